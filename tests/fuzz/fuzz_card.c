/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Cards among hostile lines, and the pages about them: WANTED NUL LINES. No text of theirs becomes
 * markup or reaches a terminal as anything but text. */
#include "fuzz.h"

#include "base/text.h"
#include "gpu/card.h"
#include "gpu/report.h"
#include "wire/lines.h"

static json_t *page_of(const json_t *cards) {
    return json_pack("{s:O,s:n,s:b}", "cards", qg_value_mutable(cards), "card", "masked", 0);
}

/* Only what we write ourselves opens a tag, and no text gets out of one. */
static void must_be_markup(const char *html) {
    static const char *const tags[] = {"!DOCTYPE", "html", "head", "meta", "title",   "style",
                                       "body",     "main", "h1",   "h2",   "h3",      "p",
                                       "dl",       "dt",   "dd",   "code", "div",     "table",
                                       "tr",       "th",   "td",   "span", "section", NULL};
    size_t open = 0;
    for (const char *at = html; *at; at++) {
        open += *at == '<';
        open -= *at == '>' && open;
        MUST(open <= 1);
        if (*at != '<')
            continue;
        const char *name = at + 1 + (at[1] == '/');
        size_t length = strcspn(name, " >\n"), i = 0;
        while (tags[i] && (strlen(tags[i]) != length || memcmp(tags[i], name, length) != 0))
            i++;
        MUST(tags[i] != NULL);
    }
}

static void try_pages(const json_t *cards) {
    struct qg_err err = {0};
    QG_AUTO(json) json_t *page = page_of(cards);
    QG_AUTO_STR char *html = qg_report_html(page, &err);
    QG_AUTO_STR char *text = qg_report_text(page, &err);
    MUST(html && text);
    must_be_markup(html);
    QG_AUTO_STR char *clean = strdup(text);
    MUST(clean != NULL);
    qg_text_clean_block(clean);
    MUST(strcmp(clean, text) == 0);
}

static void try_card(const json_t *card) {
    struct qg_err err = {0};
    QG_AUTO(json) json_t *refs = qg_card_refs(card, &err);
    QG_AUTO_STR char *text = qg_card_describe(card, &err);
    MUST(refs && text);
    QG_AUTO_STR char *clean = strdup(text);
    MUST(clean != NULL);
    qg_text_clean(clean);
    MUST(strcmp(clean, text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    struct qg_err err = {0};
    QG_AUTO_STR char *wanted = take_text(&input);
    QG_AUTO(json) json_t *lines = qg_lines_devices((const char *)input.at, input.left, &err);
    QG_AUTO(json) json_t *cards = lines ? qg_cards_find(lines, NULL, &err) : NULL;
    must_explain(cards ? 0 : -1, &err);
    if (!cards)
        return -1;
    const json_t *card = qg_cards_pick(cards, wanted, false, &err);
    must_explain(card ? 0 : -1, &err);
    if (card)
        try_card(card);
    if (json_array_size(cards))
        try_pages(cards);
    return 0;
}
