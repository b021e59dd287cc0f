/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Salt's functions with arguments from JSON, against a qubesd that answers what it likes:
 * FUNCTION NUL ARGUMENTS NUL ANSWERS, where a FUNCTION that begins with `?` is a dry run. A dry run
 * never writes, and what a function says of itself is true. */
#include "fake_qubesd.h"

#include "base/text.h"
#include "doc/json.h"
#include "salt/salt.h"

/* Nothing is there: no program starts, no file is written. */
static const char root[] = "/nonexistent/qvm-gpu-fuzz";

static bool is_clean(const char *text) {
    QG_AUTO_STR char *copy = strdup(text);
    MUST(copy != NULL);
    qg_text_clean_block(copy);
    return strcmp(copy, text) == 0;
}

static void must_be_answer(const json_t *answer, bool dry) {
    const json_t *result = json_object_get(answer, "result");
    const json_t *changes = json_object_get(answer, "changes");
    const char *comment = qg_value_get_text(answer, "comment");
    MUST(json_is_object(changes) && comment && is_clean(comment));
    MUST(json_is_boolean(result) || (dry && json_is_null(result)));
    if (dry && json_is_true(result))
        MUST(json_object_size(changes) == 0);
    if (json_is_false(result))
        MUST(*comment || json_object_get(answer, "data"));
}

static void call(const char *function, const json_t *args, struct input answers, bool dry) {
    const struct qg_run_config config = {.root = root};
    struct qg_err err = {0};
    QG_AUTO(run) struct qg_run *run = qg_run_new(&config, &err);
    MUST(run != NULL);
    fake_begin(answers, dry);
    QG_AUTO(json) json_t *answer = qg_salt_call(run, function, args, dry, &err);
    must_explain(answer ? 0 : -1, &err);
    if (answer)
        must_be_answer(answer, dry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    QG_AUTO_STR char *function = take_text(&input);
    QG_AUTO_STR char *text = take_text(&input);
    QG_AUTO(json) json_t *args = qg_json_load(text, strlen(text), NULL);
    bool dry = function[0] == '?';
    if (!json_is_object(args) || !qg_text_starts(function + dry, "qvm"))
        return -1;
    call(function + dry, args, input, dry);
    return 0;
}
