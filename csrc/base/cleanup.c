/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void qg_fd_close(int *fd) {
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
    }
    *fd = -1;
}

void qg_str_freep(char **ptr) {
    free(*ptr);
    *ptr = NULL;
}
