/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "wire/lines.h"

#include "base/buf.h"
#include "base/text.h"

#include <string.h>

enum { KEY_MAX = 255 };

/* A cursor over the text; no byte beyond end is read. */
struct cursor {
    const char *at, *end;
};

static bool next_line(struct cursor *text, struct cursor *line) {
    if (text->at >= text->end)
        return false;
    const char *newline = memchr(text->at, '\n', (size_t)(text->end - text->at));
    *line = (struct cursor){text->at, newline ? newline : text->end};
    text->at = newline ? newline + 1 : text->end;
    return true;
}

static bool next_word(struct cursor *line, struct cursor *word) {
    while (line->at < line->end && *line->at == ' ')
        line->at++;
    if (line->at >= line->end)
        return false;
    const char *space = memchr(line->at, ' ', (size_t)(line->end - line->at));
    *word = (struct cursor){line->at, space ? space : line->end};
    line->at = word->end;
    return true;
}

static size_t length_of(struct cursor part) {
    return (size_t)(part.end - part.at);
}

static json_t *text_of(struct cursor part, struct qg_err *err) {
    json_t *value = json_stringn_nocheck(part.at, length_of(part));
    if (!value)
        qg_err_oom(err);
    return value;
}

/* Sets a key, whose text need not end in a NUL. */
static int put_part(json_t *object, struct cursor key, struct cursor value, struct qg_err *err) {
    char name[KEY_MAX + 1];
    size_t length = length_of(key);
    if (length > KEY_MAX)
        return qg_err_set(err, QG_ERR_PROTOCOL, "a key of more than %d bytes", KEY_MAX);
    memcpy(name, key.at, length);
    name[length] = '\0';
    return qg_value_set_take(object, name, text_of(value, err), err);
}

static int check_utf8(const char *data, size_t length, struct qg_err *err) {
    return qg_text_is_utf8(data, length)
               ? 0
               : qg_err_set(err, QG_ERR_PROTOCOL, "an answer that is not UTF-8 text");
}

/* Every line that qubesd sends ends with a newline (recorded), so a cut answer shows. */
static int check_lines(const char *data, size_t length, struct qg_err *err) {
    if (length && data[length - 1] != '\n')
        return qg_err_set(err, QG_ERR_PROTOCOL, "an answer that is cut off");
    return check_utf8(data, length, err);
}

static int fail_line(struct cursor line, struct qg_err *err) {
    return qg_err_set(err, QG_ERR_PROTOCOL, "a line that cannot be read: '%.*s'",
                      length_of(line) > 80 ? 80 : (int)length_of(line), line.at);
}

/* The word that a line begins with. */
static int take_head(struct cursor *line, struct cursor *word, struct qg_err *err) {
    if (next_word(line, word))
        return 0;
    fail_line(*line, err);
    return -1;
}

/* `key=value` up to the part's end. */
static int put_pair(json_t *object, struct cursor part, struct qg_err *err) {
    const char *equals = memchr(part.at, '=', length_of(part));
    if (!equals)
        return fail_line(part, err);
    return put_part(object, (struct cursor){part.at, equals}, (struct cursor){equals + 1, part.end},
                    err);
}

json_t *qg_lines_names(const char *data, size_t length, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_array(err);
    if (!out || check_lines(data, length, err) < 0)
        return NULL;
    struct cursor text = {data, data + length}, line;
    while (next_line(&text, &line))
        if (line.at != line.end && qg_value_append_take(out, text_of(line, err), err) < 0)
            return NULL;
    return QG_STEAL(out);
}

json_t *qg_lines_qubes(const char *data, size_t length, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_array(err);
    if (!out || check_lines(data, length, err) < 0)
        return NULL;
    struct cursor text = {data, data + length}, line, word;
    static const char key[] = "name";
    while (next_line(&text, &line)) {
        QG_AUTO(json) json_t *qube = qg_value_object(err);
        if (!qube || take_head(&line, &word, err) < 0 ||
            put_part(qube, (struct cursor){key, key + strlen(key)}, word, err) < 0)
            return NULL;
        while (next_word(&line, &word))
            if (put_pair(qube, word, err) < 0)
                return NULL;
        if (qg_value_append_take(out, QG_STEAL(qube), err) < 0)
            return NULL;
    }
    return QG_STEAL(out);
}

json_t *qg_lines_pairs(const char *data, size_t length, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_object(err);
    if (!out || check_lines(data, length, err) < 0)
        return NULL;
    struct cursor text = {data, data + length}, line;
    while (next_line(&text, &line))
        if (line.at != line.end && put_pair(out, line, err) < 0)
            return NULL;
    return QG_STEAL(out);
}

json_t *qg_lines_words(const char *data, size_t length, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_object(err);
    if (!out || check_utf8(data, length, err) < 0)
        return NULL;
    struct cursor text = {data, data + length}, word;
    while (next_word(&text, &word))
        if (put_pair(out, word, err) < 0)
            return NULL;
    return QG_STEAL(out);
}

/* Where the quoted value that begins at `at` ends: its closing quote, or `end` where there is none.
 * *escaped: a quote inside is written `\'`. */
static const char *quoted_end(const char *at, const char *end, bool *escaped) {
    *escaped = false;
    for (; at < end && *at != '\''; at++)
        if (at[0] == '\\' && at + 1 < end && at[1] == '\'') {
            *escaped = true;
            at++;
        }
    return at;
}

/* The value with `\'` turned back to quotes. */
static int unquote(struct cursor part, struct qg_buf *out, struct qg_err *err) {
    for (const char *at = part.at; at < part.end; at++) {
        if (at[0] == '\\' && at + 1 < part.end && at[1] == '\'')
            at++;
        if (qg_buf_add(out, at, 1, err) < 0)
            return -1;
    }
    return 0;
}

/* `key='value'` with `\'` for a quote inside; moves the line behind it. */
static int put_quoted(json_t *device, struct cursor *line, struct qg_err *err) {
    const char *equals = memchr(line->at, '=', length_of(*line));
    if (!equals || equals + 1 >= line->end || equals[1] != '\'')
        return fail_line(*line, err);
    bool escaped;
    struct cursor key = {line->at, equals};
    struct cursor value = {equals + 2, quoted_end(equals + 2, line->end, &escaped)};
    if (value.end >= line->end)
        return fail_line(*line, err);
    line->at = value.end + 1;
    if (!escaped) /* nearly all are plain */
        return put_part(device, key, value, err);
    QG_AUTO(buf) struct qg_buf plain = {0};
    if (unquote(value, &plain, err) < 0)
        return -1;
    const char *text = qg_buf_text(&plain);
    return put_part(device, key, (struct cursor){text, text + plain.length}, err);
}

json_t *qg_lines_devices(const char *data, size_t length, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_array(err);
    if (!out || check_lines(data, length, err) < 0)
        return NULL;
    struct cursor text = {data, data + length}, line, head;
    while (next_line(&text, &line)) {
        QG_AUTO(json) json_t *device = qg_value_object(err);
        if (!device || take_head(&line, &head, err) < 0)
            return NULL;
        for (;;) {
            while (line.at < line.end && *line.at == ' ')
                line.at++;
            if (line.at >= line.end)
                break;
            if (put_quoted(device, &line, err) < 0)
                return NULL;
        }
        if (!qg_value_get_text(device, "port_id") || !qg_value_get_text(device, "device_id")) {
            fail_line(head, err);
            return NULL;
        }
        if (qg_value_append_take(out, QG_STEAL(device), err) < 0)
            return NULL;
    }
    return QG_STEAL(out);
}

int qg_lines_put_device_pair(struct qg_buf *out, const char *key, const char *value,
                             struct qg_err *err) {
    if (qg_text_ends(value, "\\")) /* it would guard the quote that ends the value */
        return qg_err_set(err, QG_ERR_INVALID, "%.60s: '%.200s' must not end in a backslash", key,
                          value);
    if (qg_buf_printf(out, err, "%s%s='", out->length ? " " : "", key) < 0)
        return -1;
    for (; *value; value++) {
        if (*value == '\'' && qg_buf_add(out, "\\", 1, err) < 0)
            return -1;
        if (qg_buf_add(out, value, 1, err) < 0)
            return -1;
    }
    return qg_buf_add(out, "'", 1, err);
}
