/* SPDX-License-Identifier: GPL-3.0-or-later */
/* qvm_gpu.preflight and the state qvm_gpu.ready. */
#include "gpu/ready.h"

#include "base/text.h"
#include "gpu/functions.h"
#include "gpu/hidden.h"
#include "gpu/listed.h"
#include "gpu/map.h"
#include "gpu/preflight.h"
#include "gpu/size.h"
#include "qubes/client.h"
#include "wire/lines.h"
#include "wire/name.h"

#include <string.h>

const char *const qg_ready_keys[] = {"name",     "qube",      "devices", "force",
                                     "template", "source",    "label",   "memory",
                                     "mem",      "root_size", NULL};

enum { XL_TIMEOUT_MS = 20 * 1000, MIB_SHIFT = 20 };

/* What was asked for, defaults filled in; texts are borrowed from args and map. */
struct wish {
    const char *qube, *source, *label;
    json_int_t memory, root_size; /* QG_PREFLIGHT_UNKNOWN: not said */
};

static const char *text_or(const json_t *args, const char *key, const char *other,
                           const char *fallback) {
    const char *text = qg_value_get_text(args, key);
    text = text ? text : qg_value_get_text(args, other);
    return text && *text ? text : fallback;
}

/* A number of MiB, also as a text. */
static int number_or(const json_t *args, const char *key, const char *other, json_int_t *out,
                     struct qg_err *err) {
    const json_t *value = json_object_get(args, key);
    value = value && !json_is_null(value) ? value : json_object_get(args, other);
    int64_t number;
    if (!value || json_is_null(value))
        return 0;
    if (json_is_integer(value))
        number = json_integer_value(value);
    else if (!json_is_string(value) || !qg_text_to_int(json_string_value(value), &number))
        number = -1;
    if (number < 0)
        return qg_err_set(err, QG_ERR_INVALID, "%s: a number is expected, not a %s", key,
                          qg_value_type_name(value));
    *out = number;
    return 0;
}

static int read_wish(const json_t *args, const json_t *map, struct wish *wish, struct qg_err *err) {
    const json_t *prefs = json_object_get(map, "prefs");
    *wish = (struct wish){
        .qube = text_or(args, "qube", "name", NULL),
        .source = text_or(args, "template", "source", qg_value_get_text(prefs, "template_name")),
        .label = text_or(args, "label", "label", qg_value_get_text(prefs, "standalone_label")),
        .memory = json_integer_value(json_object_get(prefs, "standalone_memory")),
        .root_size = QG_PREFLIGHT_UNKNOWN,
    };
    if (wish->source && qg_name_check_qube(wish->source, err) < 0)
        return -1;
    const json_t *size = json_object_get(args, "root_size");
    int64_t bytes = QG_PREFLIGHT_UNKNOWN;
    if (number_or(args, "memory", "mem", &wish->memory, err) < 0 ||
        (!qg_value_is_empty(size) && qg_size_parse("root_size", size, &bytes, err) < 0))
        return -1;
    wish->root_size = bytes;
    return 0;
}

/* The calls about the new qube; they travel with the survey's. */
enum { CALL_LABELS, CALL_OS, CALL_DISTRIBUTION, CALL_ROOT, CALLS };

static int ask_about(const struct wish *wish, struct qg_batch *batch, struct qg_err *err) {
    return qg_batch_add(batch, "admin.label.List", NULL, "dom0", err) < 0 ||
                   qg_batch_add(batch, "admin.vm.feature.Get", "os", wish->source, err) < 0 ||
                   qg_batch_add(batch, "admin.vm.feature.Get", "os-distribution", wish->source,
                                err) < 0 ||
                   qg_batch_add(batch, "admin.vm.volume.Info", "root", wish->source, err) < 0
               ? -1
               : 0;
}

/* The text of an answer to *out, owned by the caller; NULL where there is none: not known. */
static int answer_text(const struct qg_call *call, char **out, struct qg_err *err) {
    *out = call->data ? strndup(call->data, call->data_length) : NULL;
    return call->data && !*out ? qg_err_oom(err) : 0;
}

static int label_found(const struct qg_call *call, const char *label, int *found,
                       struct qg_err *err) {
    *found = QG_PREFLIGHT_UNKNOWN;
    if (!call->data)
        return 0;
    struct qg_err problem = {0};
    QG_AUTO(json) json_t *names = qg_lines_names(call->data, call->data_length, &problem);
    if (!names)
        return qg_err_pass_oom(err, &problem);
    *found = 0;
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name) {
        if (strcmp(json_string_value(name), label) == 0)
            *found = 1;
    }
    return 0;
}

/* The pairs of an answer to *out; NULL where there are none: not known. */
static int answer_pairs(const struct qg_call *call, json_t **out, struct qg_err *err) {
    struct qg_err problem = {0};
    *out = call->data ? qg_lines_pairs(call->data, call->data_length, &problem) : NULL;
    return qg_err_pass_oom(err, &problem);
}

static int64_t pair_number(const json_t *pairs, const char *key) {
    const char *text = qg_value_get_text(pairs, key);
    int64_t number;
    return text && qg_text_to_int(text, &number) && number >= 0 ? number : QG_PREFLIGHT_UNKNOWN;
}

/* The pool that the new root volume goes to, and how much is left in it. */
static int ask_pool(const struct qg_client *client, const struct qg_call *root, const char **name,
                    json_t **volume, struct qg_preflight_facts *facts, struct qg_err *err) {
    facts->pool_size = facts->pool_usage = QG_PREFLIGHT_UNKNOWN;
    *name = NULL;
    if (answer_pairs(root, volume, err) < 0)
        return -1;
    *name = qg_value_get_text(*volume, "pool");
    if (!*name)
        return 0;
    QG_AUTO(batch) struct qg_batch batch = {0};
    if (qg_batch_add(&batch, "admin.pool.Info", *name, "dom0", err) < 0 ||
        qg_batch_run(&batch, 0, client, err) < 0)
        return -1;
    QG_AUTO(json) json_t *pool = NULL;
    if (answer_pairs(&batch.calls[0], &pool, err) < 0)
        return -1;
    facts->pool_size = pair_number(pool, "size");
    facts->pool_usage = pair_number(pool, "usage");
    return 0;
}

/* What Xen says about itself, `key : value` a line. */
struct xen {
    char *virt_caps;
    int64_t memory;
};

static void xen_line(void *data, const char *line) {
    struct xen *xen = data;
    const char *colon = strchr(line, ':');
    if (!colon)
        return;
    const char *value = colon + 1 + strspn(colon + 1, " ");
    int64_t number;
    if (qg_text_starts(line, "virt_caps") && !xen->virt_caps)
        xen->virt_caps = strdup(value);
    if (qg_text_starts(line, "total_memory") && qg_text_to_int(value, &number))
        xen->memory = number;
}

/* `xl info`; a dom0 without it, or one that refuses, is one of which nothing is known. */
static void ask_xen(struct qg_run *run, struct xen *xen) {
    static const char *const argv[] = {"xl", "info", NULL};
    const struct qg_host_command command = {.argv = argv, .on_line = xen_line, .data = xen};
    struct qg_deadline deadline = qg_run_deadline(run, XL_TIMEOUT_MS);
    QG_AUTO(host_result) struct qg_host_result result = {0};
    QG_AUTO_STR char *program = qg_host_which(qg_run_host(run), argv[0], NULL);
    struct qg_err ignored = {0};
    if (program)
        (void)qg_host_run(qg_run_host(run), &command, &deadline, &result, &ignored);
}

static int64_t root_size_of(const struct wish *wish, bool exists, const json_t *volume) {
    if (exists)
        return wish->root_size == QG_PREFLIGHT_UNKNOWN ? 0 : wish->root_size;
    return wish->root_size == QG_PREFLIGHT_UNKNOWN ? pair_number(volume, "size") : wish->root_size;
}

static json_t *answer(const struct qg_preflight_facts *facts, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_object(err);
    QG_AUTO(json) json_t *checks = qg_preflight(facts, err);
    if (!out || !checks ||
        qg_value_set_take(out, "passed", json_boolean(qg_preflight_passed(checks)), err) < 0 ||
        qg_value_set_take(out, "card",
                          facts->card ? json_incref(qg_value_mutable(facts->card)) : json_null(),
                          err) < 0 ||
        qg_value_set_take(out, "steps", qg_preflight_steps(checks, err), err) < 0 ||
        qg_value_set_take(out, "checks", QG_STEAL(checks), err) < 0)
        return NULL;
    return QG_STEAL(out);
}

/* The part about the machine's own files. */
static json_t *check_here(struct qg_run *run, struct qg_preflight_facts *facts,
                          struct qg_err *err) {
    QG_AUTO(hidden) struct qg_hidden hidden = {0};
    struct xen xen = {.memory = QG_PREFLIGHT_UNKNOWN};
    facts->local = qg_survey_is_local(facts->card);
    if (facts->local && qg_hidden_read(qg_run_host(run), &hidden, err) < 0)
        return NULL;
    if (facts->local)
        ask_xen(run, &xen);
    QG_AUTO_STR char *virt_caps = xen.virt_caps;
    facts->virt_caps = virt_caps;
    facts->memory_total = xen.memory;
    facts->hidden_now = hidden.now;
    facts->hidden_next = hidden.next;
    return answer(facts, err);
}

/* The card that is refused just because it is dom0's display: the check of that says what to do.
 * NULL: there is another reason. */
static const json_t *pick_display(const struct qg_survey *survey, const json_t *args,
                                  struct qg_err *err) {
    QG_AUTO(json) json_t *forced = qg_value_copy(args, err);
    struct qg_err ignored = {0};
    if (!forced || qg_value_set_take(forced, "force", json_true(), err) < 0)
        return NULL;
    const json_t *card = qg_survey_pick(survey, forced, true, &ignored);
    return json_is_true(json_object_get(card, "display")) ? card : NULL;
}

/* The card that is meant, or why there is none. */
static int pick(const struct qg_survey *survey, const json_t *args,
                struct qg_preflight_facts *facts, struct qg_err *problem, struct qg_err *err) {
    facts->card = qg_survey_pick(survey, args, true, problem);
    if (!facts->card && problem->kind != QG_ERR_INVALID) {
        if (err && err->kind == QG_ERR_NONE)
            *err = *problem;
        return -1;
    }
    if (!facts->card)
        facts->card = pick_display(survey, args, err);
    facts->no_card = facts->card ? NULL : problem->text;
    return qg_args_bool(args, "force", &facts->forced, err);
}

json_t *qg_ready_check(struct qg_run *run, const json_t *args, bool mask, bool test,
                       struct qg_survey *survey, struct qg_err *err) {
    QG_AUTO(json) json_t *map = qg_map_render(NULL, err);
    QG_AUTO(batch) struct qg_batch batch = {0};
    struct wish wish;
    if (!map || read_wish(args, map, &wish, err) < 0 || ask_about(&wish, &batch, err) < 0 ||
        qg_survey_take(run, survey, &batch, err) < 0 ||
        (test && qg_survey_foresee(run, survey, err) < 0) ||
        (mask && qg_survey_mask(survey, wish.qube, wish.source, err) < 0))
        return NULL;
    struct qg_err problem = {0};
    bool exists = wish.qube && qg_survey_qube(survey, wish.qube);
    QG_AUTO_STR char *os = NULL;
    QG_AUTO_STR char *distribution = NULL;
    int labelled;
    if (answer_text(&batch.calls[CALL_OS], &os, err) < 0 ||
        answer_text(&batch.calls[CALL_DISTRIBUTION], &distribution, err) < 0 ||
        label_found(&batch.calls[CALL_LABELS], wish.label, &labelled, err) < 0)
        return NULL;
    struct qg_preflight_facts facts = {
        .running = survey->running,
        .qube = wish.qube,
        .source = exists ? NULL : wish.source,
        .source_found = wish.source && qg_survey_qube(survey, wish.source),
        .source_os = os,
        .source_distribution = distribution,
        .label = exists ? NULL : wish.label,
        .label_found = labelled,
        .memory = wish.memory,
    };
    QG_AUTO(json) json_t *volume = NULL;
    QG_AUTO(json)
    json_t *listed = qg_listed(survey->available, json_object_get(args, "devices"), err);
    facts.listed = listed;
    if (!listed || pick(survey, args, &facts, &problem, err) < 0 ||
        ask_pool(qg_run_client(run), &batch.calls[CALL_ROOT], &facts.pool, &volume, &facts, err) <
            0)
        return NULL;
    facts.root_size = root_size_of(&wish, exists, volume);
    return check_here(run, &facts, err);
}

int qg_gpu_preflight(struct qg_run *run, const json_t *args, struct qg_report *report,
                     struct qg_err *err) {
    QG_AUTO(survey) struct qg_survey survey = {0};
    qg_run_begin(run);
    if (qg_args_check(args, "preflight", qg_ready_keys, err) < 0)
        return -1;
    report->data = qg_ready_check(run, args, false, false, &survey, err);
    return report->data ? 0 : -1;
}

/* `[fail] hidden: reason - cure` */
static int say_check(struct qg_report *report, const json_t *check, struct qg_err *err) {
    const char *status = qg_value_get_text(check, "status");
    const char *cure = qg_value_get_text(check, "cure");
    return qg_report_say(report, err, "[%s]%*s %s: %s%s%s", status,
                         (int)(strlen("warn") - strlen(status)), "",
                         qg_value_get_text(check, "check"), qg_value_get_text(check, "reason"),
                         cure ? " -> " : "", cure ? cure : "");
}

int qg_gpu_ready(struct qg_run *run, const json_t *args, struct qg_report *report,
                 struct qg_err *err) {
    QG_AUTO(survey) struct qg_survey survey = {0};
    qg_run_begin(run);
    if (qg_args_check(args, "ready", qg_ready_keys, err) < 0)
        return -1;
    QG_AUTO(json) json_t *answer = qg_ready_check(run, args, false, report->test, &survey, err);
    if (!answer)
        return -1;
    size_t i;
    json_t *check;
    json_array_foreach(json_object_get(answer, "checks"), i, check) {
        if (say_check(report, check, err) < 0)
            return -1;
    }
    if (json_is_false(json_object_get(answer, "passed")))
        report->result = QG_RESULT_FALSE;
    return 0;
}
