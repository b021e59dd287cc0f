/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "host/host_i.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    DEPTH_MAX = 64, /* folders below the root */
    LINKS_MAX = 40, /* what the kernel allows, too */
};

/* A walk from the root: the folders that are open, and what of the path is still to go. */
struct walk {
    int dirs[DEPTH_MAX + 1];
    size_t depth; /* dirs[depth] is where we are; dirs[0] is the root */
    int links;
    char rest[PATH_MAX];
};

static void walk_up_to(struct walk *walk, size_t depth) {
    while (walk->depth > depth)
        qg_fd_close(&walk->dirs[walk->depth--]);
}

static void walk_fini(struct walk *walk) {
    walk_up_to(walk, 0);
    qg_fd_close(&walk->dirs[0]);
}
QG_DEFINE_AUTO_FINI(walk, struct walk, walk_fini)

static int fail(int number) {
    errno = number;
    return -1;
}

/* Takes the next component off the rest; *last is true where nothing follows. False at the end. */
static bool take_component(struct walk *walk, char *name, size_t size, bool *last) {
    const char *start = walk->rest + strspn(walk->rest, "/");
    size_t length = strcspn(start, "/");
    if (length == 0)
        return false;
    const char *after = start + length + strspn(start + length, "/");
    snprintf(name, size, "%.*s", (int)length, start);
    *last = *after == '\0';
    memmove(walk->rest, after, strlen(after) + 1);
    return true;
}

/* Puts a link's target before the rest. */
static int follow(struct walk *walk, const char *target) {
    char rest[PATH_MAX];
    if (++walk->links > LINKS_MAX)
        return fail(ELOOP);
    int length = snprintf(rest, sizeof(rest), "%s/%s", target, walk->rest);
    if (length < 0 || (size_t)length >= sizeof(rest))
        return fail(ENAMETOOLONG);
    memcpy(walk->rest, rest, (size_t)length + 1);
    if (target[0] == '/')
        walk_up_to(walk, 0);
    return 0;
}

static int enter(struct walk *walk, const char *name) {
    if (walk->depth == DEPTH_MAX)
        return fail(ENAMETOOLONG);
    int fd = openat(walk->dirs[walk->depth], name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    walk->dirs[++walk->depth] = fd;
    return 0;
}

static int finish(struct walk *walk, const char *name, struct qg_place *place) {
    snprintf(place->name, sizeof(place->name), "%s", name);
    place->dir = fcntl(walk->dirs[walk->depth], F_DUPFD_CLOEXEC, 3);
    return place->dir < 0 ? -1 : 0;
}

/* One component: 1 where the path ends with it, 0 to go on, -1 with errno. */
static int step(struct walk *walk, const char *name, bool last, bool follow_last) {
    if (strcmp(name, ".") == 0)
        return 0;
    if (strcmp(name, "..") == 0) {
        walk_up_to(walk, walk->depth ? walk->depth - 1 : 0);
        return 0;
    }
    if (last && !follow_last)
        return 1;
    char target[PATH_MAX];
    ssize_t length = readlinkat(walk->dirs[walk->depth], name, target, sizeof(target));
    if (length >= (ssize_t)sizeof(target))
        return fail(ENAMETOOLONG);
    if (length >= 0) {
        target[length] = '\0';
        return follow(walk, target);
    }
    if (last && (errno == EINVAL || errno == ENOENT))
        return 1;
    return errno == EINVAL ? enter(walk, name) : -1;
}

int qg_place_find(const struct qg_host *host, const char *path, bool follow_last,
                  struct qg_place *place) {
    QG_AUTO(walk) struct walk walk = {.dirs = {-1}};
    if (strlen(path) >= sizeof(walk.rest))
        return fail(ENAMETOOLONG);
    memcpy(walk.rest, path, strlen(path) + 1);
    walk.dirs[0] = open(host->root[0] ? host->root : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (walk.dirs[0] < 0)
        return -1;
    char name[NAME_MAX + 2];
    bool last = false;
    while (take_component(&walk, name, sizeof(name), &last)) {
        if (strlen(name) > NAME_MAX)
            return fail(ENAMETOOLONG);
        int status = step(&walk, name, last, follow_last);
        if (status < 0)
            return -1;
        if (status > 0)
            return finish(&walk, name, place);
    }
    return finish(&walk, ".", place);
}

void qg_place_fini(struct qg_place *place) {
    qg_fd_close(&place->dir);
}
