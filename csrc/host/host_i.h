/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The inside of a host, for this folder alone. */
#ifndef QG_HOST_HOST_I_H
#define QG_HOST_HOST_I_H

#include "host/host.h"

#include <limits.h>

struct qg_host {
    const char *root;         /* borrowed; "" for / */
    const struct qg_log *log; /* borrowed; may be NULL */
};

/* Where a path ends: a folder that is open, and a name in it that is no link (unless it was asked
 * not to follow). */
struct qg_place {
    int dir; /* O_PATH; -1 where there is none */
    char name[NAME_MAX + 1];
};

void qg_place_fini(struct qg_place *place);
QG_DEFINE_AUTO_FINI(place, struct qg_place, qg_place_fini)

/* Moves a descriptor out of its variable. */
static inline int qg_fd_steal(int *fd) {
    int stolen = *fd;
    *fd = -1;
    return stolen;
}

/* A place that holds nothing yet. */
#define QG_PLACE_NONE                                                                              \
    { .dir = -1 }

/* Finds where path ends, as if the root were /: links and .. never leave it. The last component
 * need not exist. 0, or -1 with errno. */
int qg_place_find(const struct qg_host *host, const char *path, bool follow_last,
                  struct qg_place *place);

#endif
