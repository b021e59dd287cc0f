/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qubes/device.h"

#include "base/buf.h"
#include "base/text.h"
#include "wire/lines.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Length of `BB:DD.F` (`_` too) with an optional `SSSS:` at the text's start; 0 where there is
 * none. */
static size_t bdf_length(const char *text) {
    /* h a hexadecimal digit, o an octal one, : a colon or underscore */
    static const char *const shapes[] = {"hhhh:hh:hh.o", "hh:hh.o"};
    for (size_t i = 0; i < QG_ARRAY_LEN(shapes); i++) {
        size_t at = 0;
        for (; shapes[i][at]; at++) {
            char c = text[at], shape = shapes[i][at];
            bool fits = shape == 'h'   ? isxdigit((unsigned char)c) != 0
                        : shape == 'o' ? c >= '0' && c <= '7'
                        : shape == ':' ? c == ':' || c == '_'
                                       : c == shape;
            if (!fits)
                break;
        }
        if (!shapes[i][at])
            return at;
    }
    return 0;
}

static void copy_bdf(const char *text, size_t length, char out[16]) {
    static const char domain[] = "0000:";
    size_t used = 0;
    if (length < strlen("0000:01:00.0")) {
        memcpy(out, domain, strlen(domain));
        used = strlen(domain);
    }
    for (size_t i = 0; i < length; i++)
        out[used++] = text[i] == '_' ? ':' : (char)tolower((unsigned char)text[i]);
    out[used] = '\0';
}

/* True for text as copy_bdf writes it, which is how qubesd does, too. */
static bool is_normal(const char *text) {
    static const char shape[] = "0000:00:00.0";
    size_t at = 0;
    for (; shape[at]; at++) {
        char c = text[at];
        bool fits =
            shape[at] != '0' ? c == shape[at] : (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (!fits)
            return false;
    }
    return text[at] == '\0' && text[at - 1] <= '7';
}

bool qg_bdf_normalise(const char *text, char out[16]) {
    if (is_normal(text)) {
        memcpy(out, text, strlen("0000:00:00.0") + 1);
        return true;
    }
    size_t length = bdf_length(text);
    if (length == 0 || text[length] != '\0')
        return false;
    copy_bdf(text, length, out);
    return true;
}

static int fail_ref(const char *text, struct qg_err *err) {
    return qg_err_set(
        err, QG_ERR_INVALID,
        "device '%.120s': expected a BDF (01:00.0), a port (00_01.0-00_00.0), either with "
        ":IDENTITY behind it, or *:IDENTITY",
        text);
}

static bool is_port_text(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("_.-", text[i]))
            return false;
    return length > 0;
}

int qg_device_ref_parse(const char *text, struct qg_device_ref *ref, struct qg_err *err) {
    *ref = (struct qg_device_ref){0};
    const char *rest;
    size_t bdf = bdf_length(text);
    if (bdf && (text[bdf] == '\0' || text[bdf] == ':')) {
        copy_bdf(text, bdf, ref->bdf);
        rest = text + bdf;
        if (bdf == strlen("01_00.0")) /* the same text may be a plain port, as on R4.2 */
            memcpy(ref->port,
                   (const char[]){ref->bdf[5], ref->bdf[6], '_', ref->bdf[8], ref->bdf[9],
                                  ref->bdf[10], ref->bdf[11], '\0'},
                   sizeof("01_00.0"));
    } else if (qg_text_starts(text, "*:")) {
        rest = text + 1;
    } else {
        size_t length = strcspn(text, ":");
        if (!is_port_text(text, length) || length >= sizeof(ref->port))
            return fail_ref(text, err);
        memcpy(ref->port, text, length);
        rest = text + length;
    }
    if (*rest == ':' && strcmp(rest, ":*") != 0) {
        if (strlen(rest) >= sizeof(ref->identity) || !rest[1])
            return fail_ref(text, err);
        memcpy(ref->identity, rest + 1, strlen(rest));
    }
    if (!ref->port[0] && !ref->bdf[0] && !ref->identity[0])
        return fail_ref(text, err);
    return 0;
}

bool qg_device_bdf(const json_t *device, char out[16]) {
    const char *text = qg_value_get_text(device, "_sbdf");
    if (!text)
        text = qg_value_get_text(device, "port_id");
    return text && qg_bdf_normalise(text, out);
}

static bool at_place(const json_t *device, const struct qg_device_ref *ref) {
    char bdf[16];
    if (!ref->port[0] && !ref->bdf[0])
        return true;
    if (ref->bdf[0] && qg_device_bdf(device, bdf))
        return strcmp(bdf, ref->bdf) == 0;
    return ref->port[0] && strcmp(qg_value_get_text(device, "port_id"), ref->port) == 0;
}

const json_t *qg_device_find(const json_t *available, const struct qg_device_ref *ref,
                             struct qg_err *err) {
    const json_t *found = NULL;
    size_t i;
    json_t *device;
    json_array_foreach(qg_value_mutable(available), i, device) {
        if (!at_place(device, ref))
            continue;
        const char *identity = qg_value_get_text(device, "device_id");
        bool same = !ref->identity[0] || strcmp(identity, ref->identity) == 0;
        if (!same && (ref->port[0] || ref->bdf[0])) {
            qg_err_set(err, QG_ERR_INVALID,
                       "device %s: its identity is %s, not %s: the hardware has changed",
                       ref->bdf[0] ? ref->bdf : ref->port, identity, ref->identity);
            return NULL;
        }
        if (same && found) {
            qg_err_set(err, QG_ERR_INVALID,
                       "device *:%s: both %s and %s have this identity, name the port",
                       ref->identity, qg_value_get_text(found, "port_id"),
                       qg_value_get_text(device, "port_id"));
            return NULL;
        }
        if (same)
            found = device;
    }
    return found;
}

static const char *backend_of(const json_t *device) {
    const char *backend = qg_value_get_text(device, "backend_domain");
    return backend ? backend : "dom0";
}

bool qg_device_same(const json_t *a, const json_t *b) {
    if (strcmp(qg_value_get_text(a, "port_id"), qg_value_get_text(b, "port_id")) != 0 ||
        strcmp(backend_of(a), backend_of(b)) != 0)
        return false;
    const char *left = qg_value_get_text(a, "device_id"),
               *right = qg_value_get_text(b, "device_id");
    bool any = !left || !right || strcmp(left, "*") == 0 || strcmp(right, "*") == 0;
    return any || strcmp(left, right) == 0;
}

json_t *qg_device_options(const json_t *assignment, struct qg_err *err) {
    QG_AUTO(json) json_t *options = qg_value_object(err);
    const char *key;
    json_t *value;
    json_object_foreach(qg_value_mutable(assignment), key, value) {
        if (!options || key[0] != '_')
            continue;
        if (qg_value_set_take(options, key + 1, json_incref(value), err) < 0)
            return NULL;
    }
    return QG_STEAL(options);
}

char *qg_device_argument(const json_t *device, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf out = {0};
    const char *identity = qg_value_get_text(device, "device_id");
    if (qg_buf_printf(&out, err, "%s+%s", backend_of(device),
                      qg_value_get_text(device, "port_id")) < 0)
        return NULL;
    if (identity && strcmp(identity, "*") != 0) {
        size_t start = out.length;
        if (qg_buf_printf(&out, err, "+%s", identity) < 0)
            return NULL;
        for (char *at = out.data + start; *at; at++) /* qrexec takes neither ':' nor '?' and '*' */
            *at = *at == ':' ? '+' : *at == '?' || *at == '*' ? '_' : *at;
    }
    return qg_buf_steal(&out, err);
}

char *qg_device_payload(const json_t *device, const char *devclass, const char *mode,
                        const char *frontend, const json_t *options, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf out = {0};
    const char *identity = qg_value_get_text(device, "device_id");
    const char *const pairs[][2] = {
        {"device_id", identity ? identity : "*"},
        {"port_id", qg_value_get_text(device, "port_id")},
        {"devclass", devclass},
        {"backend_domain", backend_of(device)},
        {"mode", mode},
        {"frontend_domain", frontend},
    };
    for (size_t i = 0; i < QG_ARRAY_LEN(pairs); i++)
        if (qg_lines_put_device_pair(&out, pairs[i][0], pairs[i][1], err) < 0)
            return NULL;
    const char *key;
    json_t *value;
    json_object_foreach(qg_value_mutable(options), key, value) {
        QG_AUTO_STR char *name = qg_text_format("_%s", key);
        if (!name) {
            qg_err_oom(err);
            return NULL;
        }
        if (qg_lines_put_device_pair(&out, name, json_string_value(value), err) < 0)
            return NULL;
    }
    return qg_buf_steal(&out, err);
}
