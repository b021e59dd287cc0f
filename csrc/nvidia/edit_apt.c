/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nvidia/edit.h"
#include "nvidia/lines.h"

#include <string.h>
#include <strings.h>

static const char blanks[] = " \t\r\n";

/* One entry of either form: its words, as spans that may hold comment lines. */
struct entry {
    bool enabled;
    struct qg_span types, uris, suites, components, keys;
};

/* As qg_word_next, but skips lines that start with #: deb822 allows them inside a field. */
static bool next_word(struct qg_span *rest, struct qg_span *word) {
    while (qg_word_next(rest, blanks, word)) {
        bool comment = word->at[0] == '#' && word->at[-1] == '\n';
        if (!comment)
            return true;
        const char *end = rest->at + rest->length;
        const char *newline = memchr(word->at, '\n', (size_t)(end - word->at));
        rest->at = newline ? newline : end;
        rest->length = (size_t)(end - rest->at);
    }
    return false;
}

static bool has_word(struct qg_span span, const char *wanted) {
    struct qg_span word;
    while (next_word(&span, &word)) {
        if (qg_span_is(word, wanted))
            return true;
    }
    return false;
}

/* The archive and its -security by the last part of the path; a mirror list is named after it. */
static bool is_archive(struct qg_span uri) {
    while (uri.length && uri.at[uri.length - 1] == '/')
        uri.length--;
    if (qg_span_ends(uri, ".list"))
        uri.length -= strlen(".list");
    return qg_span_ends(uri, "/debian") || qg_span_ends(uri, "/debian-security");
}

/* Which of QG_APT_SUITES it is; that number for another release's or somebody else's. */
static size_t suite_of(struct qg_span suite, const char *codename) {
    static const char *const tails[] = {"", "-updates", "-security", "/updates"};
    static const size_t kinds[] = {0, 1, 2, 2};
    size_t length = strlen(codename);
    for (size_t i = 0; qg_span_starts(suite, codename) && i < QG_ARRAY_LEN(tails); i++) {
        if (qg_span_is((struct qg_span){.at = suite.at + length, .length = suite.length - length},
                       tails[i]))
            return kinds[i];
    }
    return QG_APT_SUITES;
}

static bool offers_more(struct qg_span components) {
    return has_word(components, "contrib") || has_word(components, "non-free") ||
           has_word(components, "non-free-firmware");
}

/* How sure it is that the entry is Debian's: the level that takes it; 3 where it is another's. */
static int doubt_of(const struct entry *entry) {
    struct qg_span rest = entry->keys, word;
    bool keyed = next_word(&rest, &word);
    /* What is no path is the key itself or its number: anybody's. */
    bool path = keyed && word.at[0] == '/';
    if (path && !memmem(entry->keys.at, entry->keys.length, "/debian-archive-", 16))
        return 3;
    rest = entry->uris;
    while (next_word(&rest, &word)) {
        if (is_archive(word))
            return path == keyed ? 0 : 1;
        if (qg_span_ends(word, "/vm")) /* Qubes' own */
            return 3;
    }
    return offers_more(entry->components) ? 1 : 2;
}

static bool is_meant(const struct entry *entry, const struct qg_apt_wanted *wanted,
                     size_t *matched) {
    if (!entry->enabled || !has_word(entry->types, "deb") || !has_word(entry->components, "main"))
        return false;
    int doubt = doubt_of(entry);
    struct qg_span rest = entry->suites, word;
    bool meant = false;
    while (next_word(&rest, &word)) {
        size_t suite = suite_of(word, wanted->codename);
        if (suite == QG_APT_SUITES || doubt > wanted->doubt[suite])
            continue;
        matched[suite]++;
        meant = true;
    }
    return meant;
}

/* Where a span's last word ends. */
static const char *last_word_end(struct qg_span span) {
    const char *end = span.at;
    struct qg_span word;
    while (next_word(&span, &word))
        end = word.at + word.length;
    return end;
}

/* Copies up to the end of the components from *copied and adds what is missing. */
static int widen(const struct entry *entry, const struct qg_apt_wanted *wanted, const char **copied,
                 struct qg_buf *out, struct qg_err *err) {
    const char *end = last_word_end(entry->components);
    if (qg_buf_add_range(out, *copied, end, err) < 0)
        return -1;
    *copied = end;
    for (const char *const *name = wanted->components; *name; name++) {
        if (!has_word(entry->components, *name) && qg_buf_printf(out, err, " %s", *name) < 0)
            return -1;
    }
    return 0;
}

static struct qg_span behind(struct qg_span line, const char *at) {
    return (struct qg_span){.at = at, .length = (size_t)(line.at + line.length - at)};
}

/* Cuts `deb [options] uri suite component...  # comment` into its parts. */
static bool parse_line(struct qg_span line, struct entry *entry) {
    struct qg_span rest = line;
    *entry = (struct entry){.enabled = true, .keys = {.at = line.at}};
    if (!qg_word_next(&rest, blanks, &entry->types) || !qg_span_is(entry->types, "deb"))
        return false;
    struct qg_span trimmed = qg_span_trim(rest);
    if (qg_span_starts(trimmed, "[")) {
        const char *close = memchr(trimmed.at, ']', trimmed.length);
        if (!close)
            return false;
        struct qg_span word;
        rest = (struct qg_span){.at = trimmed.at + 1, .length = (size_t)(close - trimmed.at) - 1};
        while (qg_word_next(&rest, blanks, &word)) {
            if (qg_span_starts(word, "signed-by="))
                entry->keys = (struct qg_span){.at = word.at + 10, .length = word.length - 10};
        }
        rest = behind(line, close + 1);
    }
    if (!qg_word_next(&rest, blanks, &entry->uris) || !qg_word_next(&rest, blanks, &entry->suites))
        return false;
    const char *comment = memchr(rest.at, '#', rest.length);
    entry->components = rest;
    if (comment)
        entry->components.length = (size_t)(comment - rest.at);
    return true;
}

int qg_edit_apt_list(const char *text, const struct qg_apt_wanted *wanted, struct qg_buf *out,
                     size_t *matched, struct qg_err *err) {
    const char *rest = text, *copied = text;
    struct qg_span line;
    while (qg_line_next(&rest, &line)) {
        struct entry entry;
        if (!parse_line(line, &entry) || !is_meant(&entry, wanted, matched))
            continue;
        if (widen(&entry, wanted, &copied, out, err) < 0)
            return -1;
    }
    return qg_buf_puts(out, copied, err);
}

static bool is_blank(struct qg_span line) {
    return qg_span_trim(line).length == 0;
}

static bool is_no(struct qg_span value) {
    static const char *const words[] = {"no", "false", "without", "off", "disable", "0"};
    struct qg_span word;
    if (!next_word(&value, &word))
        return false;
    for (size_t i = 0; i < QG_ARRAY_LEN(words); i++) {
        if (word.length == strlen(words[i]) && strncasecmp(word.at, words[i], word.length) == 0)
            return true;
    }
    return false;
}

static bool is_field(struct qg_span name, const char *wanted) {
    name = qg_span_trim(name);
    return name.length == strlen(wanted) && strncasecmp(name.at, wanted, name.length) == 0;
}

static void set_field(struct entry *entry, struct qg_span name, struct qg_span value) {
    if (is_field(name, "Types"))
        entry->types = value;
    else if (is_field(name, "URIs"))
        entry->uris = value;
    else if (is_field(name, "Suites"))
        entry->suites = value;
    else if (is_field(name, "Components"))
        entry->components = value;
    else if (is_field(name, "Signed-By"))
        entry->keys = value;
    else if (is_field(name, "Enabled"))
        entry->enabled = !is_no(value);
}

/* Takes one stanza off the text; false at the end. An empty entry for a run of blank lines. */
static bool next_stanza(const char **rest, struct entry *entry) {
    static const char nothing[] = "";
    struct qg_span none = {.at = nothing};
    struct qg_span name = none, value = none, line;
    bool any = false;
    *entry = (struct entry){.enabled = true,
                            .types = none,
                            .uris = none,
                            .suites = none,
                            .components = none,
                            .keys = none};
    while (qg_line_next(rest, &line)) {
        any = true;
        if (is_blank(line))
            break;
        const char *colon = memchr(line.at, ':', line.length);
        bool continued = line.at[0] == ' ' || line.at[0] == '\t' || line.at[0] == '#';
        if (continued && name.length)
            value.length = (size_t)(line.at + line.length - value.at);
        if (continued || !colon)
            continue;
        set_field(entry, name, value);
        name = (struct qg_span){.at = line.at, .length = (size_t)(colon - line.at)};
        value = behind(line, colon + 1);
    }
    set_field(entry, name, value);
    return any;
}

int qg_edit_apt_deb822(const char *text, const struct qg_apt_wanted *wanted, struct qg_buf *out,
                       size_t *matched, struct qg_err *err) {
    const char *rest = text, *copied = text;
    struct entry entry;
    while (next_stanza(&rest, &entry)) {
        if (!is_meant(&entry, wanted, matched))
            continue;
        if (widen(&entry, wanted, &copied, out, err) < 0)
            return -1;
    }
    return qg_buf_puts(out, copied, err);
}
