/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The linker sends the code's calls of malloc and its kin here (--wrap, see CMakeLists.txt), those
 * of the archives that it is linked with included; the C library's own calls are left alone. */
#include "chaos.h"

#include <check.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>

#define WRAPPED(type, name, params)                                                                \
    type __real_##name params;                                                                     \
    type __wrap_##name params;                                                                     \
    type __wrap_##name params

enum { RUNS_MAX = 100000 };

static unsigned left; /* allocations until one fails; 0: none will */
static bool failed;

void qg_chaos_fail_from(unsigned nth) {
    left = nth;
    failed = false;
}

bool qg_chaos_has_failed(void) {
    return failed;
}

static bool is_due(void) {
    if (left == 0 || --left > 0)
        return false;
    left = 1;
    failed = true;
    errno = ENOMEM;
    return true;
}

WRAPPED(void *, malloc, (size_t size)) {
    return is_due() ? NULL : __real_malloc(size);
}

WRAPPED(void *, calloc, (size_t count, size_t size)) {
    return is_due() ? NULL : __real_calloc(count, size);
}

WRAPPED(void *, realloc, (void *old, size_t size)) {
    return is_due() ? NULL : __real_realloc(old, size);
}

WRAPPED(char *, strdup, (const char *text)) {
    return is_due() ? NULL : __real_strdup(text);
}

WRAPPED(char *, strndup, (const char *text, size_t length)) {
    return is_due() ? NULL : __real_strndup(text, length);
}

WRAPPED(int, vasprintf, (char **out, const char *format, va_list args)) {
    return is_due() ? -1 : __real_vasprintf(out, format, args);
}

void qg_chaos_each(int (*run)(void *data, struct qg_err *err), void *data, bool partial) {
    for (unsigned nth = 1; nth < RUNS_MAX; nth++) {
        struct qg_err err = {0};
        qg_chaos_fail_from(nth);
        int status = run(data, &err);
        bool hit = failed;
        qg_chaos_fail_from(0);
        if (status == 0)
            ck_assert_msg(err.kind == QG_ERR_NONE, "success with an error: %s", err.text);
        else
            ck_assert_msg(err.kind == QG_ERR_OOM, "allocation %u failed: %s: %s", nth,
                          qg_err_kind_name(err.kind), err.text);
        if (!hit) {
            ck_assert_msg(status == 0, "fails with all the memory it wants");
            return;
        }
        ck_assert_msg(status == -1 || partial, "allocation %u failed, and nobody noticed", nth);
    }
    ck_abort_msg("still allocating after %d runs", RUNS_MAX);
}
