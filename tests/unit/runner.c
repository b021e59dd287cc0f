/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs the suites of all check_<unit>.c, or those of the units named as arguments. */
#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QG_SUITE(unit) Suite *qg_suite_##unit(void);
#include "suites.inc"
#undef QG_SUITE

static const struct {
    const char *unit;
    Suite *(*suite)(void);
} units[] = {
#define QG_SUITE(unit) {#unit, qg_suite_##unit},
#include "suites.inc"
#undef QG_SUITE
};

static bool is_wanted(const char *unit, char **names) {
    if (!*names)
        return true;
    for (; *names; names++)
        if (strcmp(*names, unit) == 0)
            return true;
    return false;
}

int main(int argc, char **argv) {
    (void)argc;
    SRunner *runner = srunner_create(NULL);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (is_wanted(units[i].unit, argv + 1))
            srunner_add_suite(runner, units[i].suite());
    srunner_run_all(runner, CK_ENV);
    /* A name that nothing answers to, or no suite at all, is no success. */
    bool failed = srunner_ntests_failed(runner) > 0 || srunner_ntests_run(runner) == 0;
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
