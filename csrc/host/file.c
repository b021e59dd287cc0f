/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/text.h"
#include "host/host_i.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum {
    LOCK_TRIES = 100, /* of 50 ms each: another run writes the same file */
    TREE_DEPTH_MAX = 64,
};

static bool is_absent(int number) {
    return number == ENOENT || number == ENOTDIR;
}

/* Opens a regular file for reading: -1 with errno. Never waits on a FIFO or takes a terminal. */
static int open_regular(struct qg_host *host, const char *path) {
    QG_AUTO(place) struct qg_place place = QG_PLACE_NONE;
    if (qg_place_find(host, path, true, &place) < 0)
        return -1;
    QG_AUTO_FD int fd =
        openat(place.dir, place.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) < 0)
        return -1;
    if (!S_ISREG(info.st_mode)) {
        errno = S_ISDIR(info.st_mode) ? EISDIR : EINVAL;
        return -1;
    }
    return qg_fd_steal(&fd);
}

/* Reads to the end, or until max bytes are there. */
static int read_all(int fd, size_t max, struct qg_buf *out, const char *path, struct qg_err *err) {
    char chunk[16 * 1024];
    while (max) {
        ssize_t got = read(fd, chunk, max < sizeof(chunk) ? max : sizeof(chunk));
        if (got == 0)
            return 0;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return qg_err_errno(err, "cannot read %s", path);
        if (out->length + (size_t)got > QG_HOST_FILE_CAP)
            return qg_err_set(err, QG_ERR_TOO_LARGE, "%s is larger than %d bytes", path,
                              QG_HOST_FILE_CAP);
        if (qg_buf_add(out, chunk, (size_t)got, err) < 0)
            return -1;
        max -= (size_t)got;
    }
    return 0;
}

/* Goes to the offset, from the end where it is negative; -1 with errno. */
static int seek_to(int fd, int64_t from) {
    struct stat info;
    if (from < 0) {
        if (fstat(fd, &info) < 0)
            return -1;
        from = info.st_size + from > 0 ? info.st_size + from : 0;
    }
    return from && lseek(fd, from, SEEK_SET) < 0 ? -1 : 0;
}

int qg_host_read_part(struct qg_host *host, const char *path, int64_t from, size_t max,
                      struct qg_buf *out, bool *found, struct qg_err *err) {
    QG_AUTO_FD int fd = open_regular(host, path);
    if (found)
        *found = fd >= 0;
    if (fd < 0)
        return found && is_absent(errno) ? 0 : qg_err_errno(err, "cannot read %s", path);
    if (seek_to(fd, from) < 0)
        return qg_err_errno(err, "cannot read %s", path);
    return read_all(fd, max, out, path, err);
}

int qg_host_read(struct qg_host *host, const char *path, struct qg_buf *out, bool *found,
                 struct qg_err *err) {
    return qg_host_read_part(host, path, 0, SIZE_MAX, out, found, err);
}

/* What of an existing file goes over to its successor. */
struct kept {
    bool found;
    mode_t mode;
    uid_t uid;
    gid_t gid;
    char label[512];
    ssize_t label_length; /* 0: none */
};

static int keep(int dir, const char *name, struct kept *kept) {
    QG_AUTO_FD int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    struct stat info;
    if (fstat(fd, &info) < 0)
        return -1;
    if (!S_ISREG(info.st_mode)) {
        errno = S_ISDIR(info.st_mode) ? EISDIR : EINVAL;
        return -1;
    }
    *kept = (struct kept){
        .found = true, .mode = info.st_mode & 07777, .uid = info.st_uid, .gid = info.st_gid};
    kept->label_length = fgetxattr(fd, "security.selinux", kept->label, sizeof(kept->label));
    if (kept->label_length < 0)
        kept->label_length = 0;
    return 0;
}

static int apply_kept(int fd, const struct kept *kept) {
    struct stat info;
    if (fstat(fd, &info) < 0)
        return -1;
    if ((info.st_uid != kept->uid || info.st_gid != kept->gid) &&
        fchown(fd, kept->uid, kept->gid) < 0)
        return -1;
    if (fchmod(fd, kept->mode) < 0)
        return -1;
    if (kept->label_length &&
        fsetxattr(fd, "security.selinux", kept->label, (size_t)kept->label_length, 0) < 0)
        return -1;
    return 0;
}

static int write_all(int fd, const char *bytes, size_t length) {
    while (length) {
        ssize_t done = write(fd, bytes, length);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        bytes += done;
        length -= (size_t)done;
    }
    return 0;
}

/* True where the name still means the file that is open. */
static bool is_same(int fd, int dir, const char *name) {
    struct stat ours, there;
    return fstat(fd, &ours) == 0 && fstatat(dir, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/* True for a file that an earlier run of ours left: one of somebody else's could be read and
 * written by its owner after it is in place, and one with a second name would be emptied there,
 * too. */
static bool is_ours(int fd) {
    struct stat info;
    return fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_uid == geteuid() &&
           info.st_nlink <= 1;
}

/* The temporary file, ours alone while it is open. Its name is fixed, so that what a killed run
 * left is taken over; a lock keeps two runs apart. -1 with errno. */
static int open_temporary(int dir, const char *name) {
    for (int i = 0; i < LOCK_TRIES; i++) {
        QG_AUTO_FD int fd =
            openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
        if (fd < 0 && errno != ELOOP && errno != ENXIO)
            return -1;
        if (fd < 0 || !is_ours(fd)) {
            if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
                return -1;
            continue;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            if (is_same(fd, dir, name))
                return qg_fd_steal(&fd);
        } else if (errno != EWOULDBLOCK) {
            return -1;
        }
        nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
    }
    errno = EBUSY;
    return -1;
}

/* Fills the temporary file and puts it in place of name. */
static int replace(int dir, const char *temporary, const char *name, const char *content,
                   size_t length, const struct kept *kept) {
    QG_AUTO_FD int fd = open_temporary(dir, temporary);
    if (fd < 0)
        return -1;
    if (fchmod(fd, 0600) == 0 && ftruncate(fd, 0) == 0 && write_all(fd, content, length) == 0 &&
        apply_kept(fd, kept) == 0 && fsync(fd) == 0 && renameat(dir, temporary, dir, name) == 0)
        return 0;
    int saved = errno;
    unlinkat(dir, temporary, 0);
    errno = saved;
    return -1;
}

/* Makes a rename last; a folder that cannot be synced (some file systems) is not a failure. */
static void sync_folder(int dir) {
    QG_AUTO_FD int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        (void)fsync(fd);
}

static int back_up(struct qg_host *host, const char *path, const char *backup, mode_t mode,
                   struct qg_err *err) {
    if (qg_host_exists(host, backup))
        return 0;
    QG_AUTO(buf) struct qg_buf old = {0};
    if (qg_host_read(host, path, &old, NULL, err) < 0)
        return -1;
    QG_AUTO_STR char *folder = strdup(backup);
    if (!folder)
        return qg_err_oom(err);
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    if (qg_host_mkdirs(host, folder, err) < 0)
        return -1;
    return qg_host_write(host, backup, qg_buf_text(&old), old.length, mode, NULL, err);
}

int qg_host_write(struct qg_host *host, const char *path, const char *content, size_t length,
                  mode_t mode, const char *backup, struct qg_err *err) {
    QG_AUTO(place) struct qg_place place = QG_PLACE_NONE;
    struct kept kept = {.mode = mode, .uid = geteuid(), .gid = getegid()};
    if (qg_place_find(host, path, true, &place) < 0 || keep(place.dir, place.name, &kept) < 0)
        return qg_err_errno(err, "cannot write %s", path);
    if (backup && kept.found && back_up(host, path, backup, kept.mode, err) < 0)
        return -1;
    QG_AUTO_STR char *temporary = qg_text_format(".%s.qvm-gpu", place.name);
    if (!temporary)
        return qg_err_oom(err);
    if (mode & 0111)
        kept.mode |= mode;
    if (replace(place.dir, temporary, place.name, content, length, &kept) < 0)
        return qg_err_errno(err, "cannot write %s", path);
    sync_folder(place.dir);
    return 0;
}

int qg_host_append(struct qg_host *host, const char *path, const char *bytes, size_t length,
                   mode_t mode, struct qg_err *err) {
    QG_AUTO(place) struct qg_place place = QG_PLACE_NONE;
    if (qg_place_find(host, path, true, &place) < 0)
        return qg_err_errno(err, "cannot write %s", path);
    QG_AUTO_FD int fd =
        openat(place.dir, place.name,
               O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, mode);
    struct stat info;
    if (fd >= 0 && fstat(fd, &info) == 0 && !S_ISREG(info.st_mode))
        return qg_err_set(err, QG_ERR_IO, "cannot write %s: it is no file", path);
    if (fd < 0 || write_all(fd, bytes, length) < 0)
        return qg_err_errno(err, "cannot write %s", path);
    return 0;
}

int qg_host_remove(struct qg_host *host, const char *path, bool *removed, struct qg_err *err) {
    QG_AUTO(place) struct qg_place place = QG_PLACE_NONE;
    bool done =
        qg_place_find(host, path, false, &place) == 0 && unlinkat(place.dir, place.name, 0) == 0;
    if (removed)
        *removed = done;
    if (!done && !is_absent(errno))
        return qg_err_errno(err, "cannot remove %s", path);
    if (done)
        sync_folder(place.dir);
    return 0;
}

static void close_folder(DIR *folder) {
    if (folder)
        closedir(folder);
}
QG_DEFINE_AUTO(folder, DIR, close_folder)

/* Opens the folder name in dir for listing; NULL with errno. */
static DIR *open_folder(int dir, const char *name) {
    QG_AUTO_FD int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (folder)
        (void)qg_fd_steal(&fd);
    return folder;
}

static bool is_dots(const char *name) {
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Empties and removes the folder name in dir; -1 with errno. */
static int remove_folder(int dir, const char *name, dev_t device, int depth) {
    QG_AUTO(folder) DIR *folder = open_folder(dir, name);
    struct stat info;
    if (!folder || fstat(dirfd(folder), &info) < 0)
        return -1;
    if (info.st_dev != device || depth > TREE_DEPTH_MAX) {
        errno = depth > TREE_DEPTH_MAX ? ELOOP : EXDEV;
        return -1;
    }
    for (const struct dirent *entry; (entry = readdir(folder));) {
        if (is_dots(entry->d_name) || unlinkat(dirfd(folder), entry->d_name, 0) == 0)
            continue;
        if (errno != EISDIR && errno != EPERM)
            return -1;
        if (remove_folder(dirfd(folder), entry->d_name, device, depth + 1) < 0)
            return -1;
    }
    return unlinkat(dir, name, AT_REMOVEDIR);
}

int qg_host_remove_tree(struct qg_host *host, const char *path, struct qg_err *err) {
    QG_AUTO(place) struct qg_place place = QG_PLACE_NONE;
    struct stat info;
    if (qg_place_find(host, path, false, &place) < 0 ||
        fstatat(place.dir, place.name, &info, AT_SYMLINK_NOFOLLOW) < 0)
        return is_absent(errno) ? 0 : qg_err_errno(err, "cannot remove %s", path);
    if (remove_folder(place.dir, place.name, info.st_dev, 0) < 0)
        return qg_err_errno(err, "cannot remove %s", path);
    return 0;
}

/* Makes one folder unless it is there. */
static int make_folder(struct qg_host *host, const char *path) {
    QG_AUTO(place) struct qg_place place = QG_PLACE_NONE;
    if (qg_place_find(host, path, true, &place) < 0)
        return -1;
    if (mkdirat(place.dir, place.name, 0755) == 0)
        return 0;
    int saved = errno;
    struct stat info;
    if (saved == EEXIST && fstatat(place.dir, place.name, &info, AT_SYMLINK_NOFOLLOW) == 0)
        saved = S_ISDIR(info.st_mode) ? 0 : ENOTDIR;
    errno = saved;
    return saved ? -1 : 0;
}

int qg_host_mkdirs(struct qg_host *host, const char *path, struct qg_err *err) {
    QG_AUTO_STR char *part = strdup(path);
    if (!part)
        return qg_err_oom(err);
    char *slash = part;
    do {
        slash += strspn(slash, "/");
        slash += strcspn(slash, "/");
        char saved = *slash;
        *slash = '\0';
        if (part[0] && make_folder(host, part) < 0)
            return qg_err_errno(err, "cannot make the folder %s", part);
        *slash = saved;
    } while (*slash);
    return 0;
}

/* The file that path ends at; -1 with errno. */
static int stat_path(const struct qg_host *host, const char *path, struct stat *info) {
    QG_AUTO(place) struct qg_place place = QG_PLACE_NONE;
    if (qg_place_find(host, path, true, &place) < 0)
        return -1;
    return fstatat(place.dir, place.name, info, AT_SYMLINK_NOFOLLOW);
}

bool qg_host_exists(struct qg_host *host, const char *path) {
    struct stat info;
    return stat_path(host, path, &info) == 0;
}

int64_t qg_host_mtime(struct qg_host *host, const char *path) {
    struct stat info;
    if (stat_path(host, path, &info) < 0)
        return -1;
    return (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
}

int qg_host_mode(struct qg_host *host, const char *path) {
    struct stat info;
    return stat_path(host, path, &info) < 0 ? -1 : (int)(info.st_mode & 07777);
}

int qg_host_space(struct qg_host *host, const char *path, struct qg_host_space *out,
                  struct qg_err *err) {
    QG_AUTO(place) struct qg_place place = QG_PLACE_NONE;
    if (qg_place_find(host, path, true, &place) < 0)
        return qg_err_errno(err, "cannot look at %s", path);
    QG_AUTO_FD int fd = openat(place.dir, place.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct statfs info;
    if (fd < 0 || fstatfs(fd, &info) < 0)
        return qg_err_errno(err, "cannot look at %s", path);
    uint64_t block = (uint64_t)info.f_frsize;
    *out = (struct qg_host_space){.size = (uint64_t)info.f_blocks * block,
                                  .available = (uint64_t)info.f_bavail * block,
                                  .in_memory = info.f_type == TMPFS_MAGIC};
    return 0;
}

pid_t qg_host_lock_holder(struct qg_host *host, const char *path) {
    QG_AUTO(place) struct qg_place place = QG_PLACE_NONE;
    if (qg_place_find(host, path, true, &place) < 0)
        return 0;
    QG_AUTO_FD int fd = openat(place.dir, place.name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fd < 0)
        return 0;
    if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
        return lock.l_pid > 0 ? lock.l_pid : 1; /* -1: somebody outside of our pid namespace */
    return flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK ? 1 : 0;
}

int qg_host_lock(struct qg_host *host, const char *folder, int *fd, struct qg_err *err) {
    QG_AUTO(place) struct qg_place place = QG_PLACE_NONE;
    QG_AUTO_FD int opened = -1;
    *fd = -1;
    if (qg_place_find(host, folder, true, &place) == 0)
        opened = openat(place.dir, place.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (opened >= 0 && flock(opened, LOCK_EX | LOCK_NB) == 0)
        *fd = qg_fd_steal(&opened);
    else if (opened < 0 || errno != EWOULDBLOCK)
        return qg_err_errno(err, "cannot lock %s", folder);
    return 0;
}

void qg_host_names_free(char **names) {
    for (char **name = names; name && *name; name++)
        free(*name);
    free(names);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Appends a copy of name to the array of count names; NULL where memory ran out. */
static char **add_name(char **names, size_t count, const char *name) {
    char *copy = strdup(name);
    char **longer = copy ? reallocarray(names, count + 2, sizeof(*names)) : NULL;
    if (!longer) {
        free(copy);
        qg_host_names_free(names);
        return NULL;
    }
    longer[count] = copy;
    longer[count + 1] = NULL;
    return longer;
}

char **qg_host_list(struct qg_host *host, const char *path, struct qg_err *err) {
    QG_AUTO(place) struct qg_place place = QG_PLACE_NONE;
    QG_AUTO(folder) DIR *folder = NULL;
    if (qg_place_find(host, path, true, &place) == 0)
        folder = open_folder(place.dir, place.name);
    if (!folder && !is_absent(errno)) {
        qg_err_errno(err, "cannot list %s", path);
        return NULL;
    }
    char **names = calloc(1, sizeof(*names));
    size_t count = 0;
    for (const struct dirent *entry; names && folder && (entry = readdir(folder));) {
        if (!is_dots(entry->d_name))
            names = add_name(names, count++, entry->d_name);
    }
    if (!names) {
        qg_err_oom(err);
        return NULL;
    }
    qsort(names, count, sizeof(*names), compare_names);
    return names;
}

char *qg_host_link_name(struct qg_host *host, const char *path, struct qg_err *err) {
    QG_AUTO(place) struct qg_place place = QG_PLACE_NONE;
    char target[PATH_MAX];
    if (qg_place_find(host, path, false, &place) < 0)
        return NULL;
    ssize_t length = readlinkat(place.dir, place.name, target, sizeof(target) - 1);
    if (length < 0)
        return NULL;
    target[length] = '\0';
    const char *slash = strrchr(target, '/');
    char *name = strdup(slash ? slash + 1 : target);
    if (!name)
        qg_err_oom(err);
    return name;
}
