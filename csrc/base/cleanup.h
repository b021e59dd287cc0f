/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Cleanup attributes: every owned local is freed when its scope ends, on every path. */
#ifndef QG_BASE_CLEANUP_H
#define QG_BASE_CLEANUP_H

#include <stddef.h>

/* Makes `type *` locals declared QG_AUTO(name) call `func` at the end of their scope; func must
 * take NULL. */
#define QG_DEFINE_AUTO(name, type, func)                                                           \
    static inline void qg_auto_##name(type **ptr) {                                                \
        func(*ptr);                                                                                \
        *ptr = NULL;                                                                               \
    }

/* Makes `struct` locals (by value) declared QG_AUTO(name) call `func(&local)` at the end of their
 * scope. */
#define QG_DEFINE_AUTO_FINI(name, type, func)                                                      \
    static inline void qg_auto_##name(type *ptr) {                                                 \
        func(ptr);                                                                                 \
    }

#define QG_AUTO(name) __attribute__((cleanup(qg_auto_##name)))

/* Closes *fd when it is not negative, keeps errno, and sets it to -1. */
void qg_fd_close(int *fd);
#define QG_AUTO_FD __attribute__((cleanup(qg_fd_close)))

/* Frees the char * behind ptr; for locals: QG_AUTO_STR char *s = NULL; */
void qg_str_freep(char **ptr);
#define QG_AUTO_STR __attribute__((cleanup(qg_str_freep)))

/* Moves an owned pointer out of its variable, which becomes NULL. */
#define QG_STEAL(ptr)                                                                              \
    __extension__({                                                                                \
        __typeof__(ptr) qg_stolen = (ptr);                                                         \
        (ptr) = NULL;                                                                              \
        qg_stolen;                                                                                 \
    })

#define QG_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define QG_MUST_CHECK __attribute__((warn_unused_result))
#define QG_ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

#endif
