/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "doc/yaml.h"

#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

QG_DEFINE_AUTO_FINI(yaml_parser, yaml_parser_t, yaml_parser_delete)
QG_DEFINE_AUTO_FINI(yaml_event, yaml_event_t, yaml_event_delete)

static int fail_at(struct qg_err *err, const yaml_mark_t *mark, const char *problem) {
    qg_err_set(err, QG_ERR_PARSE, "YAML, line %zu, column %zu: %s", mark->line + 1,
               mark->column + 1, problem);
    if (err && err->kind == QG_ERR_PARSE) {
        err->line = (int)mark->line + 1;
        err->column = (int)mark->column + 1;
    }
    return -1;
}

/* libyaml answers 1 for ok; the caller owns the event. */
static int next_event(yaml_parser_t *parser, yaml_event_t *event, struct qg_err *err) {
    if (yaml_parser_parse(parser, event))
        return 0;
    if (parser->error == YAML_MEMORY_ERROR)
        return qg_err_oom(err);
    return fail_at(err, &parser->problem_mark,
                   parser->problem ? parser->problem : "not well-formed");
}

static bool is_word(const char *text, const char *const *words) {
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static json_t *plain_scalar(const char *text) {
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const yes[] = {"true", "True", "TRUE", "yes", "Yes",
                                      "YES",  "on",   "On",   "ON",  NULL};
    static const char *const no[] = {"false", "False", "FALSE", "no",  "No",
                                     "NO",    "off",   "Off",   "OFF", NULL};
    if (is_word(text, nulls))
        return json_null();
    if (is_word(text, yes))
        return json_true();
    if (is_word(text, no))
        return json_false();
    int64_t number;
    bool octal_looking = text[0] == '0' && text[1] != '\0';
    if (!octal_looking && qg_text_to_int(text, &number))
        return json_integer(number);
    uint64_t hex;
    if (qg_text_starts(text, "0x") && qg_text_to_hex(text, &hex) && hex <= INT64_MAX)
        return json_integer((json_int_t)hex);
    bool floating = strspn(text, "-0123456789.") == strlen(text) && strchr(text, '.') &&
                    strpbrk(text, "0123456789") && strchr(text, '.') == strrchr(text, '.') &&
                    (!strchr(text, '-') || strrchr(text, '-') == text);
    return floating ? json_real(strtod(text, NULL)) : json_string_nocheck(text);
}

static json_t *scalar_value(const yaml_event_t *event, struct qg_err *err) {
    const char *text = (const char *)event->data.scalar.value;
    if (!qg_text_is_utf8(text, event->data.scalar.length)) {
        fail_at(err, &event->start_mark, "a NUL or a byte that is not UTF-8");
        return NULL;
    }
    json_t *value = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? plain_scalar(text)
                                                                        : json_string_nocheck(text);
    if (!value)
        qg_err_oom(err);
    return value;
}

static json_t *node_value(yaml_parser_t *parser, const yaml_event_t *event, int depth,
                          struct qg_err *err);

static json_t *sequence_value(yaml_parser_t *parser, int depth, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_array(err);
    while (out) {
        QG_AUTO(yaml_event) yaml_event_t event = {0};
        if (next_event(parser, &event, err) < 0)
            return NULL;
        if (event.type == YAML_SEQUENCE_END_EVENT)
            return QG_STEAL(out);
        json_t *item = node_value(parser, &event, depth + 1, err);
        if (!item || qg_value_append_take(out, item, err) < 0)
            return NULL;
    }
    return NULL;
}

static json_t *mapping_value(yaml_parser_t *parser, int depth, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_object(err);
    while (out) {
        QG_AUTO(yaml_event) yaml_event_t key = {0};
        if (next_event(parser, &key, err) < 0)
            return NULL;
        if (key.type == YAML_MAPPING_END_EVENT)
            return QG_STEAL(out);
        if (key.type != YAML_SCALAR_EVENT || key.data.scalar.anchor || key.data.scalar.tag) {
            fail_at(err, &key.start_mark, "a key must be a plain word");
            return NULL;
        }
        const char *name = (const char *)key.data.scalar.value;
        if (!qg_text_is_utf8(name, key.data.scalar.length) || json_object_get(out, name)) {
            fail_at(err, &key.start_mark, "a key twice, or one that is not UTF-8");
            return NULL;
        }
        QG_AUTO(yaml_event) yaml_event_t event = {0};
        if (next_event(parser, &event, err) < 0)
            return NULL;
        json_t *value = node_value(parser, &event, depth + 1, err);
        if (!value || qg_value_set_take(out, name, value, err) < 0)
            return NULL;
    }
    return NULL;
}

static json_t *node_value(yaml_parser_t *parser, const yaml_event_t *event, int depth,
                          struct qg_err *err) {
    if (depth > QG_VALUE_DEPTH_MAX) {
        fail_at(err, &event->start_mark, "nested too deep");
        return NULL;
    }
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        if (!event->data.scalar.anchor && !event->data.scalar.tag)
            return scalar_value(event, err);
        break;
    case YAML_SEQUENCE_START_EVENT:
        if (!event->data.sequence_start.anchor && !event->data.sequence_start.tag)
            return sequence_value(parser, depth, err);
        break;
    case YAML_MAPPING_START_EVENT:
        if (!event->data.mapping_start.anchor && !event->data.mapping_start.tag)
            return mapping_value(parser, depth, err);
        break;
    default:
        break;
    }
    fail_at(err, &event->start_mark, "anchors, aliases and tags are not taken here");
    return NULL;
}

/* Consumes one event and checks its type. */
static int expect_event(yaml_parser_t *parser, yaml_event_type_t type, struct qg_err *err) {
    QG_AUTO(yaml_event) yaml_event_t event = {0};
    if (next_event(parser, &event, err) < 0)
        return -1;
    return event.type == type ? 0 : fail_at(err, &event.start_mark, "one document is expected");
}

json_t *qg_yaml_load(const char *text, size_t length, struct qg_err *err) {
    QG_AUTO(yaml_parser) yaml_parser_t parser = {0};
    if (!yaml_parser_initialize(&parser)) {
        qg_err_oom(err);
        return NULL;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
    if (expect_event(&parser, YAML_STREAM_START_EVENT, err) < 0 ||
        expect_event(&parser, YAML_DOCUMENT_START_EVENT, err) < 0)
        return NULL;
    QG_AUTO(yaml_event) yaml_event_t event = {0};
    if (next_event(&parser, &event, err) < 0)
        return NULL;
    QG_AUTO(json) json_t *value = node_value(&parser, &event, 0, err);
    if (!value || expect_event(&parser, YAML_DOCUMENT_END_EVENT, err) < 0 ||
        expect_event(&parser, YAML_STREAM_END_EVENT, err) < 0)
        return NULL;
    return QG_STEAL(value);
}
