/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plan/program.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ARGS_MAX = 64,
    LINES_KEPT = 20,   /* of the output, for the comment */
    BYTES_KEPT = 2000, /* of these lines */
    BYTES_TOLD = 700,  /* in an error, which has its own limit */
};

/* Where a program's lines go while it runs. */
struct listener {
    const struct qg_log *log;
    const char *program;
};

static void log_line(void *data, const char *line) {
    const struct listener *listener = data;
    qg_log(listener->log, QG_LOG_INFO, "%s: %s", listener->program, line);
}

/* The last lines of an output, at most so many bytes; borrowed. Cut at a line's start. */
static const char *tail_of(char *text, size_t most) {
    size_t length = strlen(text);
    while (length && (text[length - 1] == '\n' || text[length - 1] == '\r'))
        text[--length] = '\0';
    size_t lines = 0;
    const char *at = text + length;
    while (at > text && lines < LINES_KEPT && (size_t)(text + length - at) < most) {
        at--;
        lines += *at == '\n';
    }
    const char *newline = at > text ? strchr(at, '\n') : NULL;
    return newline ? newline + 1 : at;
}

/* Programs of dom0's desktop belong to its user, not to root: the first member of the group qubes,
 * as upstream has it. "" where the group is not known. Owned; NULL on failure. */
static char *desktop_user(struct qg_run *run, struct qg_err *err) {
    static const char head[] = "\nqubes:";
    QG_AUTO(buf) struct qg_buf groups = {0};
    bool found;
    if (qg_buf_puts(&groups, "\n", err) < 0)
        return NULL;
    QG_AUTO(buf) struct qg_buf file = {0};
    if (qg_host_read(qg_run_host(run), "/etc/group", &file, &found, err) < 0 ||
        qg_buf_puts(&groups, qg_buf_text(&file), err) < 0)
        return NULL;
    const char *line = strstr(qg_buf_text(&groups), head);
    const char *members = line ? strchr(line + strlen(head), ':') : NULL;
    members = members ? strchr(members + 1, ':') : NULL;
    const char *user = members ? members + 1 : "";
    char *name = strndup(user, strcspn(user, ",:\n"));
    if (!name)
        qg_err_oom(err);
    return name;
}

/* The step's words into argv, behind those that make the desktop's user run them. */
static int fill_argv(const json_t *words, const char *user, const char *argv[ARGS_MAX + 1],
                     struct qg_err *err) {
    size_t count = 0, i;
    json_t *word;
    if (*user) {
        const char *const prefix[] = {"runuser", "-u", user, "--"};
        for (; count < QG_ARRAY_LEN(prefix); count++)
            argv[count] = prefix[count];
    }
    json_array_foreach(qg_value_mutable(words), i, word) {
        if (count == ARGS_MAX)
            return qg_err_set(err, QG_ERR_INVALID, "more than %d arguments for %s", ARGS_MAX,
                              json_string_value(json_array_get(words, 0)));
        argv[count++] = json_string_value(word);
    }
    return 0;
}

/* The user that has to run the step's program; "" for ourselves. Owned; NULL on failure. */
static char *user_for(struct qg_run *run, const struct qg_step *step, struct qg_err *err) {
    QG_AUTO_STR char *user = NULL, *runuser = NULL;
    if (geteuid() == 0 && json_is_true(json_object_get(step->extra, "desktop"))) {
        user = desktop_user(run, err);
        runuser = user && *user ? qg_host_which(qg_run_host(run), "runuser", err) : NULL;
        if (!user || (err && err->kind != QG_ERR_NONE))
            return NULL;
    }
    if (user && runuser)
        return QG_STEAL(user);
    char *none = strdup("");
    if (!none)
        qg_err_oom(err);
    return none;
}

/* Keeps the end of the output for the comment. */
static int keep_output(const struct qg_step *step, struct qg_host_result *result,
                       struct qg_err *err) {
    if (!result->out.length)
        return 0;
    return qg_value_set_take(step->extra, "output",
                             qg_value_text(tail_of(result->out.data, BYTES_KEPT), err), err);
}

static int fail_exit(const char *program, struct qg_host_result *result, struct qg_err *err) {
    const char *tail = result->out.length ? tail_of(result->out.data, BYTES_TOLD) : "";
    QG_AUTO_STR char *line = strdup(tail);
    if (!line)
        return qg_err_oom(err);
    for (char *at = strchr(line, '\n'); at; at = strchr(at, '\n'))
        *at = '|';
    return qg_err_set(err, QG_ERR_IO, "%s ended with exit code %d%s%s", program, result->exit_code,
                      *line ? ": " : " and said nothing", line);
}

int qg_program_run(struct qg_run *run, const struct qg_step *step, struct qg_err *err) {
    const char *argv[ARGS_MAX + 1] = {0};
    const json_t *words = json_object_get(step->extra, "argv");
    const char *program = json_string_value(json_array_get(words, 0));
    QG_AUTO_STR char *user = user_for(run, step, err);
    if (!user || fill_argv(words, user, argv, err) < 0)
        return -1;
    struct listener listener = {.log = qg_run_log(run), .program = program};
    const struct qg_host_command command = {.argv = argv, .on_line = log_line, .data = &listener};
    const json_t *seconds = json_object_get(step->extra, "timeout");
    struct qg_deadline deadline =
        qg_run_deadline(run, (seconds ? json_integer_value(seconds) : QG_PROGRAM_TIMEOUT_S) * 1000);
    QG_AUTO(host_result) struct qg_host_result result = {0};
    if (qg_host_run(qg_run_host(run), &command, &deadline, &result, err) < 0)
        return -1;
    if (!result.started)
        return qg_err_set(err, QG_ERR_IO, "%s cannot be started here: %s", program,
                          qg_buf_text(&result.out));
    return result.exit_code ? fail_exit(program, &result, err) : keep_output(step, &result, err);
}

/* The word as a shell would have to be given it: who copies the line runs what was shown. */
static int quote(struct qg_buf *line, const char *text, struct qg_err *err) {
    if (qg_buf_puts(line, "'", err) < 0)
        return -1;
    for (; *text; text++)
        if (*text == '\'' ? qg_buf_puts(line, "'\\''", err) < 0
                          : qg_buf_add(line, text, 1, err) < 0)
            return -1;
    return qg_buf_puts(line, "'", err);
}

char *qg_program_line(const json_t *argv, struct qg_err *err) {
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.,:/=+@%";
    QG_AUTO(buf) struct qg_buf line = {0};
    size_t i;
    json_t *word;
    json_array_foreach(qg_value_mutable(argv), i, word) {
        const char *text = json_string_value(word);
        bool bare = *text && strspn(text, plain) == strlen(text);
        if (qg_buf_puts(&line, i ? " " : "", err) < 0 ||
            (bare ? qg_buf_puts(&line, text, err) : quote(&line, text, err)) < 0)
            return NULL;
    }
    return qg_buf_steal(&line, err);
}
