/* SPDX-License-Identifier: GPL-3.0-or-later */
/* run: a command in a qube, by dom0's own qvm-run. */
#include "plan/power.h"
#include "plan/program.h"
#include "qvm/action.h"
#include "qvm/job.h"

#include <stdlib.h>
#include <string.h>

static const char *const keys[] = {"cmd",          "user",  "localcmd", "exclude",
                                   "color-output", "flags", "timeout",  NULL};

/* Flags that qvm-run of Qubes 4 still has, and what they are called there. */
static const struct {
    const char *flag, *option;
} flags[] = {
    {"quiet", "--quiet"},
    {"pass-io", "--pass-io"},
    {"nogui", "--no-gui"},
    {"filter-escape-chars", "--filter-escape-chars"},
    {"no-filter-escape-chars", "--no-filter-escape-chars"},
    {"no-color-output", "--no-color-output"},
};

/* All that upstream takes. */
static const char *const known_flags[] = {"quiet",
                                          "auto",
                                          "tray",
                                          "all",
                                          "pause",
                                          "unpause",
                                          "pass-io",
                                          "nogui",
                                          "filter-escape-chars",
                                          "no-filter-escape-chars",
                                          "no-color-output",
                                          NULL};

/* Those that it has no more: upstream's run fails on them. */
static const char *const gone[] = {"tray", "pause", "unpause"};

enum { RUN_TIMEOUT_S = 3600 };

static int run_need(struct qg_block *block, struct qg_need *need, struct qg_err *err) {
    (void)block;
    (void)err;
    need->want.power = true;
    return 0;
}

static int add_text(json_t *argv, json_t *text, struct qg_err *err) {
    return qg_value_append_take(argv, text, err);
}

static int add_flags(struct qg_job *job, struct qg_block *block, json_t *argv, struct qg_err *err) {
    bool given;
    if (qg_job_know_flags(job, block, known_flags, err) < 0)
        return -1;
    for (size_t i = 0; i < QG_ARRAY_LEN(flags); i++) {
        if (qg_body_flag(&block->body, flags[i].flag, &given, err) < 0 ||
            (given && add_text(argv, qg_value_text(flags[i].option, err), err) < 0))
            return -1;
    }
    for (size_t i = 0; i < QG_ARRAY_LEN(gone); i++) {
        if (qg_body_flag(&block->body, gone[i], &given, err) < 0 ||
            (given &&
             qg_job_warn(job, err, "Flag ignored: run: %s, which qvm-run of Qubes 4 does not have",
                         gone[i]) < 0))
            return -1;
    }
    if (qg_body_flag(&block->body, "all", &given, err) < 0)
        return -1;
    return given ? qg_err_set(err, QG_ERR_INVALID,
                              "all: a state is about one qube, name them all under names")
                 : 0;
}

/* `--option=value` where the key has a value. */
static int add_option(struct qg_block *block, json_t *argv, const char *key, struct qg_err *err) {
    struct qg_err problem = {0};
    QG_AUTO_STR char *value = qg_body_text(&block->body, key, &problem);
    if (problem.kind != QG_ERR_NONE) {
        if (err && err->kind == QG_ERR_NONE)
            *err = problem;
        return -1;
    }
    return value && *value ? add_text(argv, qg_value_format(err, "--%s=%s", key, value), err) : 0;
}

/* Words joined with blanks, as qvm-run joins them. */
static char *join(const json_t *words, size_t from, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf out = {0};
    for (size_t i = from; i < json_array_size(words); i++) {
        QG_AUTO_STR char *word = qg_value_to_text(json_array_get(words, i), err);
        if (!word || qg_buf_printf(&out, err, "%s%s", i > from ? " " : "", word) < 0)
            return NULL;
    }
    return qg_buf_steal(&out, err);
}

/* The command, one text: the qube's shell reads it. A list is its words, and so are bare words. */
static char *command_of(struct qg_block *block, struct qg_err *err) {
    struct qg_err problem = {0};
    const json_t *value = qg_body_get(&block->body, "cmd", &problem);
    if (problem.kind != QG_ERR_NONE && err)
        *err = problem;
    if (problem.kind != QG_ERR_NONE)
        return NULL;
    char *text = !value                 ? join(block->body.words, 0, err)
                 : json_is_array(value) ? join(value, 0, err)
                                        : qg_value_to_text(value, err);
    if (!text || *text)
        return text;
    free(text);
    qg_err_set(err, QG_ERR_INVALID, "cmd: missing, the command to be run is expected");
    return NULL;
}

/* What the command line of qvm-run is, a new list. */
static json_t *argv_of(struct qg_job *job, struct qg_block *block, const char *command,
                       struct qg_err *err) {
    QG_AUTO(json) json_t *argv = qg_value_array(err);
    static const char *const options[] = {"user", "localcmd", "color-output"};
    if (!argv || add_text(argv, qg_value_text("qvm-run", err), err) < 0 ||
        add_flags(job, block, argv, err) < 0)
        return NULL;
    for (size_t i = 0; i < QG_ARRAY_LEN(options); i++)
        if (add_option(block, argv, options[i], err) < 0)
            return NULL;
    const json_t *exclude;
    if (qg_body_find(&block->body, "exclude", &exclude, err) < 0)
        return NULL;
    if (!qg_value_is_empty(exclude) &&
        qg_job_warn(job, err, "Key ignored: run: exclude, as only %s is meant", job->name) < 0)
        return NULL;
    const char *const end[] = {"--", job->name, command};
    for (size_t i = 0; i < QG_ARRAY_LEN(end); i++)
        if (add_text(argv, qg_value_text(end[i], err), err) < 0)
            return NULL;
    return QG_STEAL(argv);
}

/* With the flag `auto` the qube is started before, and that is a change of its own. */
static int start_first(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    bool automatic;
    if (qg_body_flag(&block->body, "auto", &automatic, err) < 0)
        return -1;
    return automatic ? qg_power_plan_start(job, block, 0, err) : 0;
}

static int add_program(struct qg_job *job, struct qg_block *block, json_t *argv,
                       const char *command, long long timeout, struct qg_err *err) {
    QG_AUTO(json)
    json_t *extra =
        json_pack("{s:O, s:I, s:b}", "argv", argv, "timeout", (json_int_t)timeout, "desktop", 1);
    QG_AUTO(json) json_t *new = qg_value_text(command, err);
    QG_AUTO_STR char *line = qg_program_line(argv, err);
    if (!extra)
        return qg_err_oom(err);
    if (!new || !line || qg_block_say(block, err, "%s%s", job->test ? "[TEST] " : "", line) < 0)
        return -1;
    return qg_job_step_take(job, block, QG_STEP_PROGRAM, "qvm-run", NULL, QG_STEAL(extra), "cmd",
                            json_null(), QG_STEAL(new), err);
}

static int run_plan(struct qg_job *job, struct qg_block *block, struct qg_err *err) {
    bool exists;
    long long timeout;
    QG_AUTO_STR char *command = command_of(block, err);
    if (!command || qg_body_int(&block->body, "timeout", RUN_TIMEOUT_S, &timeout, err) < 0 ||
        qg_power_check_timeout(timeout, err) < 0)
        return -1;
    QG_AUTO(json) json_t *argv = argv_of(job, block, command, err);
    if (!argv || qg_job_must_exist(job, block, &exists, err) < 0)
        return -1;
    if (!exists)
        return 0;
    if (start_first(job, block, err) < 0)
        return -1;
    return block->failed ? 0 : add_program(job, block, argv, command, timeout, err);
}

const struct qg_action qg_action_run = {"run", keys, run_need, run_plan, 0};
