/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gpu/listed.h"

#include "base/buf.h"
#include "qubes/device.h"

/* The device that a text names, NULL where none is; borrowed. */
static const json_t *find(const json_t *available, const char *text) {
    struct qg_device_ref ref;
    struct qg_err ignored = {0};
    bool is_ref = text && qg_device_ref_parse(text, &ref, &ignored) == 0;
    return is_ref ? qg_device_find(available, &ref, &ignored) : NULL;
}

static int add_device(json_t *listed, const json_t *device, struct qg_err *err) {
    char bdf[16];
    if (qg_device_bdf(device, bdf) && qg_value_set_take(listed, bdf, json_true(), err) < 0)
        return -1;
    return qg_value_set_take(listed, qg_value_get_text(device, "port_id"), json_true(), err);
}

json_t *qg_listed(const json_t *available, const json_t *devices, struct qg_err *err) {
    QG_AUTO(json) json_t *listed = qg_value_object(err);
    size_t i;
    json_t *item;
    json_array_foreach(qg_value_mutable(devices), i, item) {
        const json_t *device = find(available, json_string_value(item));
        if (!listed || (device && add_device(listed, device, err) < 0))
            return NULL;
    }
    return QG_STEAL(listed);
}

json_t *qg_listed_functions(const json_t *card, const json_t *listed, bool missing,
                            struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_array(err);
    size_t i;
    json_t *function;
    json_array_foreach(json_object_get(card, "functions"), i, function) {
        const char *bdf = qg_value_get_text(function, "bdf");
        const char *port = qg_value_get_text(function, "port");
        if (!out)
            return NULL;
        if ((json_object_get(listed, port) == NULL) == missing &&
            qg_value_append_take(out, qg_value_text(bdf ? bdf : port, err), err) < 0)
            return NULL;
    }
    return QG_STEAL(out);
}

json_t *qg_listed_blocks(const json_t *card, const json_t *listed, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_array(err);
    size_t i;
    json_t *block;
    json_array_foreach(json_object_get(json_object_get(card, "group"), "blocks"), i, block) {
        if (!out || (!json_object_get(listed, json_string_value(block)) &&
                     qg_value_append_take(out, json_incref(block), err) < 0))
            return NULL;
    }
    return QG_STEAL(out);
}

json_t *qg_listed_drivers(const json_t *card, const json_t *listed, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_array(err);
    size_t i;
    json_t *function;
    json_array_foreach(json_object_get(card, "functions"), i, function) {
        const char *bdf = qg_value_get_text(function, "bdf");
        const char *driver = qg_value_get_text(function, "driver");
        bool meant = !listed || json_object_get(listed, qg_value_get_text(function, "port"));
        if (!out)
            return NULL;
        if (meant && bdf && driver && *driver &&
            json_is_false(json_object_get(function, "hidden")) &&
            qg_value_append_take(out, qg_value_format(err, "%s (%s)", bdf, driver), err) < 0)
            return NULL;
    }
    return QG_STEAL(out);
}

char *qg_listed_text(const json_t *list, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf out = {0};
    size_t i, count = json_array_size(list);
    json_t *item;
    json_array_foreach(qg_value_mutable(list), i, item) {
        const char *between = i == 0 ? "" : i + 1 == count ? " and " : ", ";
        if (qg_buf_printf(&out, err, "%s%s", between, json_string_value(item)) < 0)
            return NULL;
    }
    return qg_buf_steal(&out, err);
}
