/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "wire/reply.h"

#include <string.h>

/* A cursor over NUL-terminated fields. */
struct fields {
    const char *at;
    size_t left;
};

/* The next field, or NULL where no NUL ends it. */
static const char *next_field(struct fields *fields) {
    const char *end = fields->left ? memchr(fields->at, '\0', fields->left) : NULL;
    if (!end)
        return NULL;
    const char *field = fields->at;
    fields->left -= (size_t)(end - fields->at) + 1;
    fields->at = end + 1;
    return field;
}

/* Older daemons send a format and its arguments: each %s or %d or %r takes the next field. */
static int fail_with_message(const char *type, struct fields *fields, struct qg_err *err) {
    const char *format = next_field(fields);
    if (!format)
        return qg_err_set(err, QG_ERR_PROTOCOL, "an error reply that is cut off");
    char text[sizeof(err->text) + 1]; /* one too many: what is cut off is seen to be */
    size_t used = 0;
    for (const char *at = format; *at && used < sizeof(text) - 1; at++) {
        const char *argument =
            at[0] == '%' && at[1] && strchr("sdr", at[1]) ? next_field(fields) : NULL;
        if (!argument) {
            text[used++] = *at;
            continue;
        }
        at++;
        for (; *argument && used < sizeof(text) - 1; argument++)
            text[used++] = *argument;
    }
    text[used] = '\0';
    return qg_err_qubesd(err, type, text);
}

static int fail_with_exception(struct fields *fields, struct qg_err *err) {
    const char *type = next_field(fields);
    const char *traceback = next_field(fields);
    if (!type || !traceback || !*type)
        return qg_err_set(err, QG_ERR_PROTOCOL, "an error reply that is cut off");
    return fail_with_message(type, fields, err);
}

static int fail_refused(struct qg_err *err) {
    return qg_err_set(err, QG_ERR_REFUSED,
                      "qubesd closed the connection without an answer (refused by policy, or an "
                      "exception there: see journalctl -u qubesd in dom0)");
}

int qg_reply_parse(const char *bytes, size_t length, const char **data, size_t *data_length,
                   struct qg_err *err) {
    if (length == 0)
        return fail_refused(err);
    struct fields fields = {bytes, length};
    const char *kind = next_field(&fields);
    if (kind && strcmp(kind, "0") == 0) {
        *data = fields.at;
        *data_length = fields.left;
        return 0;
    }
    if (kind && strcmp(kind, "2") == 0)
        return fail_with_exception(&fields, err);
    if (kind && strcmp(kind, "1") == 0)
        return qg_err_set(err, QG_ERR_PROTOCOL, "an event where an answer was expected");
    return qg_err_set(err, QG_ERR_PROTOCOL, "not an answer of the Admin API (%zu bytes)", length);
}

void qg_event_fini(struct qg_event *event) {
    json_decref(event->values);
    *event = (struct qg_event){0};
}

int qg_reply_event(const char *bytes, size_t length, struct qg_event *event, size_t *used,
                   struct qg_err *err) {
    *used = 0;
    struct fields fields = {bytes, length};
    const char *kind = next_field(&fields);
    if (!kind)
        return length < 2 ? 0 : qg_err_set(err, QG_ERR_PROTOCOL, "not an event of the Admin API");
    if (strcmp(kind, "2") == 0)
        return fail_with_exception(&fields, err);
    if (strcmp(kind, "1") != 0)
        return qg_err_set(err, QG_ERR_PROTOCOL, "not an event of the Admin API");
    event->subject = next_field(&fields);
    event->name = event->subject ? next_field(&fields) : NULL;
    if (!event->name)
        return 0;
    QG_AUTO(json) json_t *values = qg_value_object(err);
    if (!values)
        return -1;
    const char *key;
    while ((key = next_field(&fields)) && *key) {
        const char *value = next_field(&fields);
        if (!value)
            return 0;
        if (qg_value_set_take(values, key, qg_value_text(value, err), err) < 0)
            return -1;
    }
    if (!key)
        return 0;
    event->values = QG_STEAL(values);
    *used = length - fields.left;
    return 0;
}
