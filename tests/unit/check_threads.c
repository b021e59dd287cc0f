/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Salt's functions in several threads at once, each with a run of its own, as under salt-api: the
 * core keeps nothing that they could share. Of use under ThreadSanitizer above all. */
#include "doc/json.h"
#include "salt/salt.h"

#include <check.h>
#include <pthread.h>
#include <string.h>

Suite *qg_suite_threads(void);

enum { THREADS = 8, ROUNDS = 3 };

/* Nobody listens and no file is there, so that every function ends by itself. */
static const struct qg_run_config config = {.socket = "/nonexistent/qubesd.sock",
                                            .root = "/nonexistent"};

static const char *const arguments[] = {
    "{}",
    "{\"name\":\"work\",\"body\":[]}",
    "{\"name\":\"work\",\"body\":[{\"memory\":400},{\"enable\":[\"cups\"]}]}",
    "{\"name\":\"work\",\"devices\":[\"01:00.0\"],\"unknown\":1}",
};

static bool call(const char *function, const char *text) {
    struct qg_err err = {0};
    QG_AUTO(json) json_t *args = qg_json_load(text, strlen(text), &err);
    QG_AUTO(run) struct qg_run *run = qg_run_new(&config, &err);
    QG_AUTO(json) json_t *answer = qg_salt_call(run, function, args, true, &err);
    return answer && qg_value_get_text(answer, "comment");
}

/* NULL when every call has its answer, else the function that has none. */
static void *call_all(void *data) {
    const json_t *functions = data;
    for (size_t i = 0; i < json_array_size(functions) * ROUNDS; i++) {
        const json_t *name = json_array_get(functions, i / ROUNDS);
        for (size_t j = 0; j < QG_ARRAY_LEN(arguments); j++)
            if (!call(json_string_value(name), arguments[j]))
                return qg_value_mutable(name);
    }
    return NULL;
}

START_TEST(functions_run_side_by_side) {
    struct qg_err err = {0};
    QG_AUTO(json) json_t *functions = qg_salt_functions(&err);
    pthread_t threads[THREADS];
    ck_assert_uint_gt(json_array_size(functions), 30);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, call_all, functions), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
        ck_assert_msg(!failed, "%s", failed ? json_string_value(failed) : "");
    }
}
END_TEST

Suite *qg_suite_threads(void) {
    Suite *suite = suite_create("threads");
    TCase *all = tcase_create("threads");
    tcase_set_timeout(all, 60);
    tcase_add_test(all, functions_run_side_by_side);
    suite_add_tcase(suite, all);
    return suite;
}
