/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The page as text. */
#include "gpu/report.h"

#include "base/buf.h"

#include <string.h>

enum { COLUMNS = 100, CHECK_INDENT = 19, STEP_INDENT = 6, DEPTH_SHOWN = 4 };

/* A text under a key, "-" where there is none. */
static const char *text_of(const json_t *object, const char *key) {
    const char *text = qg_value_get_text(object, key);
    return text && *text ? text : "-";
}

/* `a, b`, "nobody" for an empty list. */
static int put_list(struct qg_buf *out, const json_t *list, const char *empty, struct qg_err *err) {
    size_t i;
    json_t *item;
    json_array_foreach(qg_value_mutable(list), i, item) {
        if (qg_buf_printf(out, err, "%s%s", i ? ", " : "", json_string_value(item)) < 0)
            return -1;
    }
    return json_array_size(list) ? 0 : qg_buf_puts(out, empty, err);
}

static int put_line(struct qg_buf *out, const char *label, const json_t *list, const char *empty,
                    struct qg_err *err) {
    if (qg_buf_printf(out, err, "  %-11s", label) < 0 || put_list(out, list, empty, err) < 0)
        return -1;
    return qg_buf_puts(out, "\n", err);
}

static int put_function(struct qg_buf *out, const json_t *function, struct qg_err *err) {
    const char *driver = qg_value_get_text(function, "driver");
    return qg_buf_printf(out, err, "  %-13s %-8s %s:%s  port %s  %s%s\n", text_of(function, "bdf"),
                         text_of(function, "kind"), text_of(function, "vendor_id"),
                         text_of(function, "product_id"), text_of(function, "port"),
                         driver ? "driver " : "driver not known",
                         !driver   ? ""
                         : *driver ? driver
                                   : "none");
}

static int put_group(struct qg_buf *out, const json_t *group, struct qg_err *err) {
    if (!json_is_object(group))
        return qg_buf_puts(out, "  group      not known: the card's sysfs is not here\n", err);
    if (put_line(out, "along", json_object_get(group, "along"), "nothing else", err) < 0 ||
        put_line(out, "bridges", json_object_get(group, "bridges"), "none", err) < 0 ||
        put_line(out, "blocked by", json_object_get(group, "blocks"), "nothing", err) < 0)
        return -1;
    return qg_buf_printf(out, err, "  %-11s%s: %s\n", "group", text_of(group, "sure"),
                         text_of(group, "reason"));
}

static int put_card(struct qg_buf *out, const json_t *card, struct qg_err *err) {
    const json_t *display = json_object_get(card, "display");
    QG_AUTO_STR char *name = qg_card_describe(card, err);
    if (!name || qg_buf_printf(out, err, "\n%s\n", name) < 0 ||
        qg_buf_printf(out, err, "  %-11s%s\n", "display",
                      json_is_true(display)    ? "dom0's own screen"
                      : json_is_false(display) ? "not dom0's"
                                               : "not known") < 0)
        return -1;
    size_t i;
    json_t *function;
    json_array_foreach(json_object_get(card, "functions"), i, function) {
        if (put_function(out, function, err) < 0)
            return -1;
    }
    return put_line(out, "assigned", json_object_get(card, "assigned"), "to no qube", err) < 0 ||
                   put_line(out, "attached", json_object_get(card, "attached"), "to no qube", err) <
                       0
               ? -1
               : put_group(out, json_object_get(card, "group"), err);
}

/* The text's words in lines of at most COLUMNS, the first after what stands there already. */
static int put_words(struct qg_buf *out, const char *text, int indent, struct qg_err *err) {
    int column = indent;
    while (*(text += strspn(text, " "))) {
        int length = (int)strcspn(text, " ");
        bool fits = column == indent || column + 1 + length <= COLUMNS;
        const char *before = column == indent ? "" : " ";
        if (!fits && qg_buf_printf(out, err, "\n%*s", indent, "") < 0)
            return -1;
        if (qg_buf_printf(out, err, "%s%.*s", fits ? before : "", length, text) < 0)
            return -1;
        column = fits ? column + (int)strlen(before) + length : indent + length;
        text += length;
    }
    return qg_buf_puts(out, "\n", err);
}

static int put_check(struct qg_buf *out, const json_t *check, struct qg_err *err) {
    const char *cure = qg_value_get_text(check, "cure");
    if (qg_buf_printf(out, err, "  [%-4s] %-9s ", text_of(check, "status"),
                      text_of(check, "check")) < 0 ||
        put_words(out, text_of(check, "reason"), CHECK_INDENT, err) < 0)
        return -1;
    if (!cure)
        return 0;
    return qg_buf_printf(out, err, "%*s-> ", CHECK_INDENT, "") < 0
               ? -1
               : put_words(out, cure, CHECK_INDENT + 3, err);
}

/* What to do, counted; nothing where nothing is. */
static int put_steps(struct qg_buf *out, const json_t *steps, struct qg_err *err) {
    size_t i;
    json_t *step;
    if (json_array_size(steps) && qg_buf_puts(out, "\nWHAT TO DO, IN THIS ORDER\n", err) < 0)
        return -1;
    json_array_foreach(qg_value_mutable(steps), i, step) {
        if (qg_buf_printf(out, err, "  %2zu. ", i + 1) < 0 ||
            put_words(out, json_string_value(step), STEP_INDENT, err) < 0)
            return -1;
    }
    return 0;
}

static int put_row(struct qg_buf *out, const json_t *row, struct qg_err *err) {
    int depth = (int)json_integer_value(json_object_get(row, "depth"));
    depth = depth > DEPTH_SHOWN ? DEPTH_SHOWN : depth;
    return qg_buf_printf(out, err, "  %s %3lld  %*s%-*s %-11s %-9s  %s\n",
                         json_is_true(json_object_get(row, "marked")) ? "*" : " ",
                         (long long)json_integer_value(json_object_get(row, "group")), 2 * depth,
                         "", 12 + 2 * (DEPTH_SHOWN - depth), text_of(row, "bdf"),
                         text_of(row, "kind"), text_of(row, "driver"), text_of(row, "name"));
}

static int put_qube(struct qg_buf *out, const json_t *qube, struct qg_err *err) {
    return qg_buf_printf(out, err, "  %-20s %-13s %-8s %s, memory %s, maxmem %s, kernel %s\n",
                         text_of(qube, "name"), text_of(qube, "class"), text_of(qube, "state"),
                         text_of(qube, "virt_mode"), text_of(qube, "memory"),
                         text_of(qube, "maxmem"), text_of(qube, "kernel"));
}

/* A part of the page: its list and how an item of it is written. */
static int put_part(struct qg_buf *out, const json_t *page, const char *key, const char *title,
                    int (*put)(struct qg_buf *out, const json_t *item, struct qg_err *err),
                    struct qg_err *err) {
    const json_t *list = json_object_get(page, key);
    size_t i;
    json_t *item;
    if (json_array_size(list) == 0)
        return 0;
    if (qg_buf_printf(out, err, "\n%s\n", title) < 0)
        return -1;
    json_array_foreach(qg_value_mutable(list), i, item) {
        if (put(out, item, err) < 0)
            return -1;
    }
    return 0;
}

char *qg_report_text(const json_t *page, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf out = {0};
    bool none = json_array_size(json_object_get(page, "cards")) == 0;
    if (qg_buf_puts(&out, "GPU REPORT\n", err) < 0 ||
        (none && qg_buf_puts(&out, "\nNo graphics card.\n", err) < 0) ||
        put_part(&out, page, "cards", "CARDS", put_card, err) < 0 ||
        put_part(&out, page, "checks", "CHECKS", put_check, err) < 0 ||
        put_steps(&out, json_object_get(page, "steps"), err) < 0 ||
        put_part(&out, page, "qubes", "QUBES THAT HAVE A CARD", put_qube, err) < 0 ||
        (json_array_size(json_object_get(page, "qubes")) &&
         qg_buf_puts(&out,
                     "  Whether the driver works, the qube alone knows: nvidia.status in it.\n",
                     err) < 0) ||
        put_part(&out, page, "tree", "PCI TREE (IOMMU group before each; * is the card's)", put_row,
                 err) < 0)
        return NULL;
    if (json_is_true(json_object_get(page, "masked")) &&
        qg_buf_puts(&out, "\nNames of other qubes and serial numbers are masked.\n", err) < 0)
        return NULL;
    return qg_buf_steal(&out, err);
}
