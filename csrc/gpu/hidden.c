/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gpu/hidden.h"

#include "base/buf.h"
#include "base/text.h"
#include "doc/kernel_cmdline.h"
#include "qubes/device.h"

#include <string.h>

void qg_hidden_fini(struct qg_hidden *hidden) {
    json_decref(hidden->now);
    json_decref(hidden->next);
    *hidden = (struct qg_hidden){0};
}

/* The items of a command line; dracut's script reads the last rd.qubes.hide_pci only. */
static json_t *items_of(const char *line, struct qg_err *err) {
    return qg_cmdline_items(line, QG_HIDE_PCI, QG_CMDLINE_LAST, err);
}

static json_t *items_of_file(const struct qg_buf *file, struct qg_err *err) {
    QG_AUTO_STR char *line =
        qg_grub_get(qg_buf_text(file), file->length, QG_GRUB_CMDLINE, NULL, err);
    return line ? items_of(line, err) : NULL;
}

int qg_hidden_read(struct qg_host *host, struct qg_hidden *hidden, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf booted = {0};
    QG_AUTO(buf) struct qg_buf file = {0};
    bool has_booted, has_file;
    if (qg_host_read(host, "/proc/cmdline", &booted, &has_booted, err) < 0 ||
        qg_host_read(host, QG_GRUB_FILE, &file, &has_file, err) < 0)
        return -1;
    if (has_booted && !(hidden->now = items_of(qg_buf_text(&booted), err)))
        return -1;
    if (has_file && !(hidden->next = items_of_file(&file, err)))
        return -1;
    return 0;
}

/* True where the item is the address, in whatever spelling. */
static bool is_address(const char *item, const char *bdf) {
    char full[16];
    return qg_bdf_normalise(item, full) && strcmp(full, bdf) == 0;
}

static bool has_address(const json_t *items, const char *bdf) {
    size_t i;
    json_t *item;
    json_array_foreach(qg_value_mutable(items), i, item) {
        if (is_address(json_string_value(item), bdf))
            return true;
    }
    return false;
}

json_t *qg_hidden_missing(const json_t *card, const json_t *items, struct qg_err *err) {
    QG_AUTO(json) json_t *missing = qg_value_array(err);
    size_t i;
    json_t *function;
    json_array_foreach(json_object_get(card, "functions"), i, function) {
        const char *bdf = qg_value_get_text(function, "bdf");
        if (!missing)
            return NULL;
        if (!bdf || has_address(items, bdf))
            continue;
        /* The script knows addresses of the first domain without it, as lspci prints them. */
        const char *plain = qg_text_starts(bdf, "0000:") ? bdf + 5 : bdf;
        if (qg_value_append_take(missing, qg_value_text(plain, err), err) < 0)
            return NULL;
    }
    return QG_STEAL(missing);
}

/* The items that are functions of the card, as they are spelled. New list. */
static json_t *spelled(const json_t *card, const json_t *items, struct qg_err *err) {
    QG_AUTO(json) json_t *found = qg_value_array(err);
    size_t i, j;
    json_t *function, *item;
    json_array_foreach(json_object_get(card, "functions"), i, function) {
        const char *bdf = qg_value_get_text(function, "bdf");
        json_array_foreach(qg_value_mutable(items), j, item) {
            if (found && bdf && is_address(json_string_value(item), bdf) &&
                qg_value_append_take(found, json_incref(item), err) < 0)
                return NULL;
        }
    }
    return QG_STEAL(found);
}

/* One edit after the other. */
static int edit(struct qg_buf *text, const json_t *items, bool hide, struct qg_err *err) {
    size_t i;
    json_t *item;
    json_array_foreach(qg_value_mutable(items), i, item) {
        const char *word = json_string_value(item);
        const char *old = qg_buf_text(text);
        QG_AUTO_STR char *edited =
            hide ? qg_grub_add_item(old, text->length, QG_GRUB_CMDLINE, QG_HIDE_PCI, word,
                                    QG_CMDLINE_LAST, err)
                 : qg_grub_remove_item(old, text->length, QG_GRUB_CMDLINE, QG_HIDE_PCI, word, err);
        if (!edited)
            return -1;
        qg_buf_fini(text);
        if (qg_buf_puts(text, edited, err) < 0)
            return -1;
    }
    return 0;
}

char *qg_hidden_text(const char *text, size_t length, const json_t *card, bool hide,
                     struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf out = {0};
    if (qg_buf_add(&out, text, length, err) < 0)
        return NULL;
    QG_AUTO(json) json_t *items = items_of_file(&out, err);
    QG_AUTO(json)
    json_t *words = !items ? NULL
                    : hide ? qg_hidden_missing(card, items, err)
                           : spelled(card, items, err);
    if (!words || edit(&out, words, hide, err) < 0)
        return NULL;
    return qg_buf_steal(&out, err);
}
