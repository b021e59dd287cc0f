/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The page as one HTML file: no scripts, nothing loaded, every text escaped. */
#include "gpu/report.h"

#include "base/buf.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows of the tree's picture, in its own units. */
enum { ROW = 30, STEP = 22, LEFT = 20, WIDTH = 960, NAME_COLUMNS = 58 };

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
    "'unsafe-inline'\">\n"
    "<title>GPU report</title>\n<style>\n"
    ":root{--back:#f6f7f9;--page:#fff;--ink:#1c2430;--soft:#5c6877;--line:#d9dfe6;--mark:#e8f0ff;"
    "--key:#2458c5;--ok:#1a7f4b;--warn:#9a6200;--fail:#c0272d}\n"
    "@media (prefers-color-scheme:dark){:root{--back:#12161c;--page:#1a2028;--ink:#e6eaf0;"
    "--soft:#9aa7b6;--line:#323c49;--mark:#1c2c4a;--key:#85aaff;--ok:#5fd39a;--warn:#f0b954;"
    "--fail:#ff8a8a}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,sans-serif}\n"
    "main{max-width:1040px;margin:0 auto;padding:2rem 1rem 3rem}\n"
    "h1{font-size:1.7rem;margin:0 0 .2rem}h2{font-size:1.15rem;margin:2.2rem 0 .7rem}\n"
    "h3{font-size:1.02rem;margin:0}p{margin:.3rem 0}.soft{color:var(--soft)}\n"
    "section.card,.box{background:var(--page);border:1px solid var(--line);border-radius:10px;"
    "padding:1rem 1.2rem;margin:0 0 1rem;overflow-x:auto}\n"
    "table{border-collapse:collapse;width:100%;font-size:.93rem}\n"
    "th{text-align:left;color:var(--soft);font-weight:600}\n"
    "th,td{padding:.32rem .8rem .32rem 0;border-bottom:1px solid var(--line);vertical-align:top}\n"
    "tr:last-child td{border-bottom:0}ol.box{padding-left:2.4rem}\n"
    "code{font:.9em/1.4 ui-monospace,monospace;overflow-wrap:anywhere}\n"
    ".tag{display:inline-block;min-width:4.4em;text-align:center;border:1px solid currentColor;"
    "border-radius:99px;padding:0 .6em;font-size:.83em;font-weight:600}\n"
    ".ok{color:var(--ok)}.warn{color:var(--warn)}.fail{color:var(--fail)}\n"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.7rem 0}\n"
    "dt{color:var(--soft)}dd{margin:0}\n"
    "svg{display:block;min-width:820px;width:100%;height:auto}\n"
    "svg text{font:13px ui-monospace,monospace;fill:var(--ink)}svg .soft{fill:var(--soft)}\n"
    "svg .key{fill:var(--key);font-weight:700}svg path{stroke:var(--soft);fill:none}\n"
    "svg .mark{fill:var(--mark);stroke:var(--key)}svg .dot{fill:var(--page);stroke:var(--soft)}\n"
    "</style></head><body><main>\n";

/* What is written; after the first failure everything else is nothing. */
struct html {
    struct qg_buf out;
    struct qg_err *err;
    bool failed;
};

static void html_fini(struct html *html) {
    qg_buf_fini(&html->out);
}

QG_DEFINE_AUTO_FINI(html, struct html, html_fini)

/* Markup of our own. */
static void put(struct html *html, const char *markup) {
    html->failed = html->failed || qg_buf_puts(&html->out, markup, html->err) < 0;
}

/* Markup of our own with numbers in it. */
static void put_numbers(struct html *html, const char *format, ...) QG_PRINTF(2, 3);

static void put_numbers(struct html *html, const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    put(html, text);
}

/* Any text: cleaned and escaped. */
static void put_text(struct html *html, const char *text) {
    QG_AUTO_STR char *clean = strdup(text ? text : "");
    if (!clean) {
        html->failed = true;
        qg_err_oom(html->err);
        return;
    }
    qg_text_clean(clean);
    for (const char *c = clean; *c && !html->failed; c++) {
        const char *escaped = *c == '&'    ? "&amp;"
                              : *c == '<'  ? "&lt;"
                              : *c == '>'  ? "&gt;"
                              : *c == '"'  ? "&quot;"
                              : *c == '\'' ? "&#39;"
                                           : NULL;
        html->failed = (escaped ? qg_buf_puts(&html->out, escaped, html->err)
                                : qg_buf_add(&html->out, c, 1, html->err)) < 0;
    }
}

/* The text under a key, a dash where there is none. */
static void put_key(struct html *html, const json_t *object, const char *key) {
    const char *text = qg_value_get_text(object, key);
    put_text(html, text && *text ? text : "\xe2\x80\x93");
}

static void put_code(struct html *html, const json_t *object, const char *key) {
    put(html, "<code>");
    put_key(html, object, key);
    put(html, "</code>");
}

static void put_term(struct html *html, const char *term, const char *text) {
    put(html, "<dt>");
    put(html, term);
    put(html, "</dt><dd>");
    put_text(html, text);
    put(html, "</dd>");
}

/* `term: a, b`, or what to say of an empty list. */
static void put_list(struct html *html, const char *term, const json_t *list, const char *empty) {
    size_t i;
    json_t *item;
    put(html, "<dt>");
    put(html, term);
    put(html, "</dt><dd>");
    json_array_foreach(qg_value_mutable(list), i, item) {
        put(html, i ? ", " : "");
        put_text(html, json_string_value(item));
    }
    put(html, json_array_size(list) ? "" : empty);
    put(html, "</dd>");
}

static void put_functions(struct html *html, const json_t *card) {
    size_t i;
    json_t *function;
    put(html, "<table><tr><th>Function</th><th>Kind</th><th>Device</th><th>Port in qubesd</th>"
              "<th>Driver in dom0</th></tr>\n");
    json_array_foreach(json_object_get(card, "functions"), i, function) {
        put(html, "<tr><td>");
        put_code(html, function, "bdf");
        put(html, "</td><td>");
        put_key(html, function, "kind");
        put(html, "</td><td><code>");
        put_key(html, function, "vendor_id");
        put(html, ":");
        put_key(html, function, "product_id");
        put(html, "</code></td><td>");
        put_code(html, function, "port");
        put(html, "</td><td>");
        put_key(html, function, "driver");
        put(html, "</td></tr>\n");
    }
    put(html, "</table>\n");
}

static void put_group(struct html *html, const json_t *group) {
    if (!json_is_object(group)) {
        put_term(html, "IOMMU group", "not known: the card's sysfs is not here");
        return;
    }
    put_list(html, "Goes along", json_object_get(group, "along"), "nothing else");
    put_list(html, "Bridges", json_object_get(group, "bridges"), "none in the group");
    put_list(html, "Blocked by", json_object_get(group, "blocks"), "nothing");
    put(html, "<dt>IOMMU group</dt><dd>");
    put_key(html, group, "sure");
    put(html, ": ");
    put_key(html, group, "reason");
    put(html, "</dd>");
}

static void put_card(struct html *html, const json_t *card) {
    const json_t *display = json_object_get(card, "display");
    QG_AUTO_STR char *name = qg_card_describe(card, html->err);
    html->failed = html->failed || !name;
    put(html, "<section class=\"card\"><h3>");
    put_text(html, name);
    put(html, "</h3>\n<dl>");
    put_term(html, "dom0's screen",
             json_is_true(display)    ? "yes"
             : json_is_false(display) ? "no"
                                      : "not known");
    put_list(html, "Assigned to", json_object_get(card, "assigned"), "no qube");
    put_list(html, "Attached to", json_object_get(card, "attached"), "no qube");
    put_group(html, json_object_get(card, "group"));
    put(html, "</dl>\n");
    put_functions(html, card);
    put(html, "</section>\n");
}

static void put_check(struct html *html, const json_t *check) {
    const char *status = qg_value_get_text(check, "status");
    bool known = status && (strcmp(status, "ok") == 0 || strcmp(status, "warn") == 0 ||
                            strcmp(status, "fail") == 0);
    put(html, "<tr><td><span class=\"tag ");
    put(html, known ? status : "");
    put(html, "\">");
    put_text(html, status);
    put(html, "</span></td><td>");
    put_key(html, check, "check");
    put(html, "</td><td>");
    put_key(html, check, "reason");
    if (qg_value_get_text(check, "cure")) {
        put(html, "<p class=\"soft\">\xe2\x86\x92 ");
        put_key(html, check, "cure");
        put(html, "</p>");
    }
    put(html, "</td></tr>\n");
}

static void put_step(struct html *html, const json_t *step) {
    put(html, "<li>");
    put_text(html, json_string_value(step));
    put(html, "</li>\n");
}

static void put_qube(struct html *html, const json_t *qube) {
    static const char *const keys[] = {"name",   "class",  "state", "virt_mode",
                                       "memory", "maxmem", "kernel"};
    put(html, "<tr>");
    for (size_t i = 0; i < QG_ARRAY_LEN(keys); i++) {
        put(html, "<td>");
        put_key(html, qube, keys[i]);
        put(html, "</td>");
    }
    put(html, "</tr>\n");
}

/* The row of the device that another one is behind; -1 on a root bus. */
static int row_of(const json_t *tree, const char *bdf) {
    size_t i;
    json_t *row;
    json_array_foreach(qg_value_mutable(tree), i, row) {
        const char *other = qg_value_get_text(row, "bdf");
        if (bdf && other && strcmp(bdf, other) == 0)
            return (int)i;
    }
    return -1;
}

/* At most so many characters, an ellipsis where some are left out. */
static void put_short(struct html *html, const char *text, size_t columns) {
    size_t at = 0, seen = 0;
    text = text ? text : "";
    for (; text[at]; at++) {
        seen += ((unsigned char)text[at] & 0xc0) != 0x80;
        if (seen > columns)
            break;
    }
    QG_AUTO_STR char *part = strndup(text, at);
    if (!part) {
        html->failed = true;
        qg_err_oom(html->err);
        return;
    }
    put_text(html, part);
    put(html, text[at] ? "\xe2\x80\xa6" : "");
}

/* The line from the bridge above down to this row. */
static void put_branch(struct html *html, int row, int above, int depth) {
    int x = LEFT + STEP * (depth - 1), y = ROW * row + ROW / 2;
    int from = ROW * above + ROW / 2 + 5;
    put_numbers(html, "<path d=\"M%d %dV%dH%d\"/>", x, from, y, x + STEP - 5);
}

static void put_row(struct html *html, const json_t *tree, const json_t *device, int row) {
    int depth = (int)json_integer_value(json_object_get(device, "depth"));
    int x = LEFT + STEP * depth, y = ROW * row + ROW / 2;
    bool marked = json_is_true(json_object_get(device, "marked"));
    if (marked)
        put_numbers(html,
                    "<rect class=\"mark\" x=\"1\" y=\"%d\" width=\"%d\" height=\"%d\" "
                    "rx=\"6\"/>",
                    ROW * row + 2, WIDTH - 2, ROW - 4);
    if (depth > 0)
        put_branch(html, row, row_of(tree, qg_value_get_text(device, "parent")), depth);
    put_numbers(html, "<circle class=\"dot\" cx=\"%d\" cy=\"%d\" r=\"5\"/>", x, y);
    put_numbers(html, "<text x=\"%d\" y=\"%d\"%s>", x + 14, y + 5, marked ? " class=\"key\"" : "");
    put_key(html, device, "bdf");
    put_numbers(html, "</text><text x=\"%d\" y=\"%d\">", x + 126, y + 5);
    put_short(html, qg_value_get_text(device, "name"), (size_t)(NAME_COLUMNS - 2 * depth));
    put_numbers(html, "</text><text class=\"soft\" x=\"%d\" y=\"%d\">", 660, y + 5);
    put_short(html, qg_value_get_text(device, "kind"), 12);
    put_numbers(html, "</text><text class=\"soft\" x=\"%d\" y=\"%d\">", 770, y + 5);
    put_short(html, qg_value_get_text(device, "driver"), 12);
    put_numbers(html, "</text><text class=\"soft\" x=\"%d\" y=\"%d\" text-anchor=\"end\">group %d",
                WIDTH - 10, y + 5, (int)json_integer_value(json_object_get(device, "group")));
    put(html, "</text>\n");
}

static void put_tree(struct html *html, const json_t *tree) {
    size_t i;
    json_t *device;
    int height = ROW * (int)json_array_size(tree);
    put(html, "<h2>PCI tree</h2>\n<div class=\"box\">");
    put_numbers(html,
                "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"PCI devices behind their "
                "bridges\">\n",
                WIDTH, height);
    json_array_foreach(qg_value_mutable(tree), i, device) {
        put_row(html, tree, device, (int)i);
    }
    put(html, "</svg></div>\n<p class=\"soft\">Coloured rows are the card's IOMMU group, computed "
              "from topology and ACS. Devices that dom0 does not offer are left out.</p>\n");
}

/* `13 checks: 2 failed, 3 warnings` */
static void put_counts(struct html *html, const json_t *checks) {
    size_t i, failed = 0, warned = 0;
    json_t *check;
    json_array_foreach(qg_value_mutable(checks), i, check) {
        const char *status = qg_value_get_text(check, "status");
        failed += status && strcmp(status, "fail") == 0;
        warned += status && strcmp(status, "warn") == 0;
    }
    put_numbers(html,
                "<p class=\"soft\">%zu checks: <b class=\"%s\">%zu failed</b>, %zu warnings.</p>\n",
                json_array_size(checks), failed ? "fail" : "ok", failed, warned);
}

/* What stands around the items of one list. */
static void put_items(struct html *html, const json_t *list, const char *before,
                      void (*put_item)(struct html *html, const json_t *item), const char *after) {
    size_t i;
    json_t *item;
    put(html, before);
    json_array_foreach(qg_value_mutable(list), i, item) {
        put_item(html, item);
    }
    put(html, after);
}

static void put_table(struct html *html, const json_t *list, const char *before,
                      void (*put_item)(struct html *html, const json_t *item)) {
    put_items(html, list, before, put_item, "</table></div>\n");
}

static void put_page(struct html *html, const json_t *page) {
    const json_t *cards = json_object_get(page, "cards"), *checks = json_object_get(page, "checks");
    const json_t *steps = json_object_get(page, "steps");
    const json_t *qubes = json_object_get(page, "qubes"), *tree = json_object_get(page, "tree");
    size_t i;
    json_t *card;
    put(html, head);
    put(html, "<h1>GPU report</h1>\n<p class=\"soft\">Graphics cards of this computer and what "
              "stands between them and a qube.</p>\n");
    if (json_array_size(checks))
        put_counts(html, checks);
    put(html, "<h2>Cards</h2>\n");
    json_array_foreach(qg_value_mutable(cards), i, card) {
        put_card(html, card);
    }
    put(html, json_array_size(cards) ? "" : "<p class=\"box\">No graphics card.</p>\n");
    if (json_array_size(checks))
        put_table(html, checks,
                  "<h2>Checks</h2>\n<div class=\"box\"><table><tr><th></th><th>Check</th>"
                  "<th>Finding</th></tr>\n",
                  put_check);
    if (json_array_size(steps))
        put_items(html, steps, "<h2>What to do, in this order</h2>\n<ol class=\"box\">\n", put_step,
                  "</ol>\n");
    if (json_array_size(qubes))
        put_table(html, qubes,
                  "<h2>Qubes that have a card</h2>\n<div class=\"box\"><table><tr><th>Qube</th>"
                  "<th>Class</th><th>State</th><th>Mode</th><th>Memory</th><th>Maxmem</th>"
                  "<th>Kernel</th></tr>\n",
                  put_qube);
    if (json_array_size(qubes))
        put(html, "<p class=\"soft\">Whether the driver works, the qube alone knows: "
                  "<code>nvidia.status</code> in it.</p>\n");
    if (json_array_size(tree))
        put_tree(html, tree);
    if (json_is_true(json_object_get(page, "masked")))
        put(html, "<p class=\"soft\">Names of other qubes and serial numbers are masked.</p>\n");
    put(html, "</main></body></html>\n");
}

char *qg_report_html(const json_t *page, struct qg_err *err) {
    QG_AUTO(html) struct html html = {.err = err};
    put_page(&html, page);
    return html.failed ? NULL : qg_buf_steal(&html.out, err);
}
