/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Templates, installed by dom0's own qvm-template. */
#include "base/text.h"
#include "doc/json.h"
#include "plan/power.h"
#include "plan/program.h"
#include "qvm/body.h"
#include "qvm/create.h"
#include "qvm/job.h"
#include "wire/name.h"

#include <stdlib.h>
#include <string.h>

static const char program[] = "qvm-template";
static const char *const keys[] = {"fromrepo", "pool", "version", "timeout", NULL};

enum { INSTALL_TIMEOUT_S = 2 * 3600, INFO_TIMEOUT_MS = 120 * 1000 };

/* What is to be installed. Texts are owned. */
struct wish {
    const char *name;
    char *version, *repository, *pool;
    long long timeout;
};

static void wish_fini(struct wish *wish) {
    free(wish->version);
    free(wish->repository);
    free(wish->pool);
}

QG_DEFINE_AUTO_FINI(wish, struct wish, wish_fini)

/* A scalar key; NULL where it is missing or empty. */
static int take_text(struct qg_body *body, const char *key, char **out, struct qg_err *err) {
    struct qg_err problem = {0};
    QG_AUTO_STR char *text = qg_body_text(body, key, &problem);
    if (problem.kind != QG_ERR_NONE) {
        if (err && err->kind == QG_ERR_NONE)
            *err = problem;
        return -1;
    }
    for (const char *at = text ? text : ""; *at; at++)
        if (*at <= ' ' || *at > '~')
            return qg_err_set(err, QG_ERR_INVALID, "%s: '%.100s' holds a blank or what is no ASCII",
                              key, text);
    if (text && *text)
        *out = QG_STEAL(text);
    return 0;
}

static int warn_unused(const struct qg_body *body, struct qg_report *report, struct qg_err *err) {
    QG_AUTO(json) json_t *unused = qg_body_unused(body, err);
    size_t i;
    json_t *key;
    json_array_foreach(unused, i, key) {
        const char *name = json_string_value(key);
        const char *near = qg_text_nearest(name, keys);
        if (qg_report_warn(report, err, "Unknown key ignored: template_installed: %s%s%s%s", name,
                           near ? " (did you mean " : "", near ? near : "", near ? "?)" : "") < 0)
            return -1;
    }
    return unused ? 0 : -1;
}

static int take_wish(const json_t *args, struct wish *wish, struct qg_report *report,
                     struct qg_err *err) {
    QG_AUTO(body) struct qg_body body = {0};
    wish->name = qg_qvm_name(args, err);
    if (!wish->name || qg_body_init(&body, json_object_get(args, "body"), err) < 0 ||
        qg_body_use(&body, "flags", err) < 0 ||
        take_text(&body, "version", &wish->version, err) < 0 ||
        take_text(&body, "fromrepo", &wish->repository, err) < 0 ||
        take_text(&body, "pool", &wish->pool, err) < 0 ||
        qg_body_int(&body, "timeout", INSTALL_TIMEOUT_S, &wish->timeout, err) < 0 ||
        qg_power_check_timeout(wish->timeout, err) < 0)
        return -1;
    /* words of a command line: version, fromrepo, pool, as upstream's function has them */
    char **const places[] = {&wish->version, &wish->repository, &wish->pool};
    for (size_t i = 0; i < json_array_size(body.words); i++) {
        QG_AUTO_STR char *word = qg_value_to_text(json_array_get(body.words, i), err);
        if (!word)
            return -1;
        if (i >= QG_ARRAY_LEN(places))
            return qg_err_set(err, QG_ERR_INVALID, "'%.60s': no more words are expected", word);
        if (*word && !*places[i])
            *places[i] = QG_STEAL(word);
    }
    return warn_unused(&body, report, err);
}

static int add_option(json_t *argv, const char *option, const char *value, struct qg_err *err) {
    return value ? qg_value_append_take(argv, qg_value_format(err, "%s=%s", option, value), err)
                 : 0;
}

static json_t *install_argv(const struct wish *wish, struct qg_err *err) {
    QG_AUTO(json) json_t *argv = json_pack("[s,s]", program, "install");
    if (!argv) {
        qg_err_oom(err);
        return NULL;
    }
    json_t *what = wish->version ? qg_value_format(err, "%s-%s", wish->name, wish->version)
                                 : qg_value_text(wish->name, err);
    QG_AUTO(json) json_t *operand = what;
    if (!operand || add_option(argv, "--repoid", wish->repository, err) < 0 ||
        add_option(argv, "--pool", wish->pool, err) < 0 ||
        qg_value_append_take(argv, qg_value_text("--", err), err) < 0 ||
        qg_value_append_take(argv, QG_STEAL(operand), err) < 0)
        return NULL;
    return QG_STEAL(argv);
}

/* The step that installs; what it makes is there for the states after it, in a dry run too. */
static int add_step(struct qg_plan *plan, const struct wish *wish, struct qg_qube *qube,
                    json_t *argv, const char *function, struct qg_err *err) {
    json_t *extra = json_pack("{s:O, s:I}", "argv", argv, "timeout", (json_int_t)wish->timeout);
    struct qg_step *step =
        extra ? qg_plan_add(plan, QG_STEP_PROGRAM, qube, program, NULL, extra, err) : NULL;
    if (!step)
        return qg_err_oom(err);
    step->model = qg_create_model(wish->name, "TemplateVM", "black", err);
    if (!step->model || qg_step_effect(step, qube, err) < 0)
        return -1;
    json_t *path = json_pack("[s,s]", function, wish->name);
    return qg_step_change_take(step, path, json_null(),
                               qg_value_text(wish->version ? wish->version : wish->name, err), err);
}

/* The program may have ended well and done nothing. */
static int check_installed(struct qg_run *run, const char *name, struct qg_err *err) {
    const struct qg_want want = {.properties = true};
    QG_AUTO(qube) struct qg_qube qube = {0};
    if (qg_run_observe(run, name, &want, false, false, &qube, err) < 0)
        return -1;
    return qube.exists ? 0
                       : qg_err_set(err, QG_ERR_IO,
                                    "%s ended well, but there is no template %s: is it the name of "
                                    "one, and not of a package?",
                                    program, name);
}

static int say_output(const struct qg_plan *plan, struct qg_report *report, struct qg_err *err) {
    const char *output = qg_value_get_text(plan->steps[0].extra, "output");
    return output ? qg_report_say(report, err, "%s", output) : 0;
}

/* A dry run starts nothing, but can tell that there is nothing to be started. */
static int say_test(struct qg_run *run, const char *line, struct qg_report *report,
                    struct qg_err *err) {
    QG_AUTO_STR char *path = qg_host_which(qg_run_host(run), program, err);
    if (!path && err && err->kind != QG_ERR_NONE)
        return -1;
    if (!path && qg_report_warn(report, err, "There is no program %s here.", program) < 0)
        return -1;
    return qg_report_say(report, err, "[TEST] %s", line);
}

static int install(struct qg_run *run, const struct wish *wish, struct qg_qube *qube,
                   const char *function, struct qg_report *report, struct qg_err *err) {
    QG_AUTO(plan) struct qg_plan plan = {0};
    QG_AUTO(json) json_t *argv = install_argv(wish, err);
    QG_AUTO_STR char *line = argv ? qg_program_line(argv, err) : NULL;
    if (!line || add_step(&plan, wish, qube, argv, function, err) < 0)
        return -1;
    if (report->test)
        return say_test(run, line, report, err) < 0 ? -1
                                                    : qg_run_apply(run, &plan, 0, 1, report, err);
    if (qg_run_apply(run, &plan, 0, 1, report, err) < 0)
        return -1;
    if (check_installed(run, wish->name, err) < 0) {
        json_object_del(report->changes, function);
        return -1;
    }
    return qg_report_say(report, err, "Template %s installed", wish->name) < 0
               ? -1
               : say_output(&plan, report, err);
}

static int make_sure(struct qg_run *run, const json_t *args, const char *function,
                     struct qg_report *report, struct qg_err *err) {
    QG_AUTO(wish) struct wish wish = {0};
    QG_AUTO(qube) struct qg_qube qube = {0};
    const struct qg_want want = {.properties = true};
    qg_run_begin(run);
    if (take_wish(args, &wish, report, err) < 0 ||
        qg_run_observe(run, wish.name, &want, false, report->test, &qube, err) < 0)
        return -1;
    if (!qube.exists)
        return install(run, &wish, &qube, function, report, err);
    if (strcmp(qg_qube_class(&qube), "TemplateVM") != 0)
        return qg_err_set(err, QG_ERR_INVALID, "name: %s is a %s, and no template", wish.name,
                          qg_qube_class(&qube));
    return qg_report_say(report, err, "Template %s already installed", wish.name);
}

int qg_template_installed(struct qg_run *run, const json_t *args, struct qg_report *report,
                          struct qg_err *err) {
    return make_sure(run, args, "qvm.template_installed", report, err);
}

int qg_template_install(struct qg_run *run, const json_t *args, struct qg_report *report,
                        struct qg_err *err) {
    return make_sure(run, args, "qvm.template_install", report, err);
}

/* The first entry of what qvm-template prints; {} for anything else: it knows no such template. */
static json_t *first_entry(const struct qg_host_result *result, struct qg_err *err) {
    struct qg_err ignored = {0};
    QG_AUTO(json)
    json_t *printed = qg_json_load(qg_buf_text(&result->out), result->out.length, &ignored);
    if (qg_err_pass_oom(err, &ignored) < 0)
        return NULL;
    const json_t *entry = json_is_array(printed) ? json_array_get(printed, 0) : printed;
    return json_is_object(entry) ? json_incref(qg_value_mutable(entry)) : qg_value_object(err);
}

int qg_template_info(struct qg_run *run, const json_t *args, struct qg_report *report,
                     struct qg_err *err) {
    const char *name = qg_qvm_name(args, err);
    if (!name || qg_name_check_qube(name, err) < 0)
        return -1;
    const char *const argv[] = {program, "info", "--installed", "--machine-readable-json",
                                "--",    name,   NULL};
    const struct qg_host_command command = {.argv = argv, .separate_stderr = true};
    struct qg_deadline deadline = qg_run_deadline(run, INFO_TIMEOUT_MS);
    QG_AUTO(host_result) struct qg_host_result result = {0};
    if (qg_host_run(qg_run_host(run), &command, &deadline, &result, err) < 0)
        return -1;
    report->data = first_entry(&result, err);
    QG_AUTO_STR char *text = report->data ? qg_value_dump(report->data, err) : NULL;
    return text ? qg_report_say(report, err, "%s", text) : -1;
}
