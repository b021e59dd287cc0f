/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nvidia/edit.h"
#include "nvidia/lines.h"

#include <fnmatch.h>
#include <string.h>

static const char separators[] = " \t\r\n,";

static const char *const keys[] = {"exclude", "excludepkgs"};

/* The value that counts of one of the keys: its last one. */
struct list {
    bool found;
    bool again;           /* not the first one of its key: it takes back those before it */
    struct qg_span whole; /* with lines that go on */
    struct qg_span first; /* on its own line */
};

/* What is in [main], which may be opened more than once. */
struct main_section {
    bool found;
    const char *end; /* behind its last line that says something */
    struct list lists[QG_ARRAY_LEN(keys)];
};

/* The list that a line sets; NULL for any other line. */
static struct list *list_of(struct qg_span line, struct main_section *section) {
    const char *equals = memchr(line.at, '=', line.length);
    struct qg_span key = {.at = line.at, .length = equals ? (size_t)(equals - line.at) : 0};
    for (size_t i = 0; equals && i < QG_ARRAY_LEN(keys); i++) {
        if (!qg_span_is(qg_span_trim(key), keys[i]))
            continue;
        struct qg_span value = {.at = equals + 1,
                                .length = (size_t)(line.at + line.length - equals) - 1};
        section->lists[i] = (struct list){
            .found = true, .again = section->lists[i].found, .whole = value, .first = value};
        return &section->lists[i];
    }
    return NULL;
}

static bool is_comment(struct qg_span line) {
    return line.length && (line.at[0] == '#' || line.at[0] == ';');
}

static struct main_section find_main(const char *text) {
    struct main_section found = {.end = text};
    struct list *open = NULL; /* may go on in the next line */
    struct qg_span line;
    bool inside = false;
    while (qg_line_next(&text, &line)) {
        struct qg_span trimmed = qg_span_trim(line);
        if (trimmed.length == 0 || is_comment(line))
            continue;
        if (line.at[0] == '[') {
            inside = qg_span_starts(trimmed, "[main]");
            found.found = found.found || inside;
            open = NULL;
        }
        if (!inside)
            continue;
        found.end = text; /* behind the newline, if there is one */
        bool goes_on = line.at[0] == ' ' || line.at[0] == '\t';
        if (!goes_on)
            open = list_of(line, &found);
        else if (open)
            open->whole.length = (size_t)(line.at + line.length - open->whole.at);
    }
    return found;
}

/* The list that is read last; NULL where there is none. */
static const struct list *last_list(const struct main_section *section) {
    const struct list *a = &section->lists[0], *b = &section->lists[1];
    if (a->found && b->found)
        return a->whole.at > b->whole.at ? a : b;
    return a->found ? a : b->found ? b : NULL;
}

static bool lists_package(struct qg_span list, const char *package) {
    struct qg_span word;
    while (qg_word_next(&list, separators, &word)) {
        char pattern[256];
        qg_span_copy(word, pattern, sizeof(pattern));
        if (fnmatch(pattern, package, 0) == 0)
            return true;
    }
    return false;
}

static bool is_empty(struct qg_span list) {
    struct qg_span word;
    return !qg_word_next(&list, separators, &word);
}

/* As both dnf take it: the lists add up, and an empty one that is read last clears the other. */
static bool is_excluded(const struct main_section *section, const char *package) {
    const struct list *last = last_list(section);
    if (!last || lists_package(last->whole, package))
        return last != NULL;
    const struct list *other = last == &section->lists[0] ? &section->lists[1] : &section->lists[0];
    return other->found && !is_empty(last->whole) && lists_package(other->whole, package);
}

/* A new list at the end of [main], which is put behind everything where there is none. */
static int add_list(const char *text, const struct main_section *section, const char *package,
                    struct qg_buf *out, struct qg_err *err) {
    const char *newline = strstr(text, "\r\n") ? "\r\n" : "\n";
    const char *end = section->found ? section->end : text + strlen(text);
    bool open = end > text && end[-1] != '\n';
    if (qg_buf_add_range(out, text, end, err) < 0 ||
        qg_buf_puts(out, open ? newline : "", err) < 0 ||
        (!section->found &&
         qg_buf_printf(out, err, "%s[main]%s", *text ? newline : "", newline) < 0))
        return -1;
    return qg_buf_printf(out, err, "exclude=%s%s%s", package, newline, end);
}

int qg_edit_dnf_exclude(const char *text, const char *package, struct qg_buf *out,
                        struct qg_err *err) {
    struct main_section section = find_main(text);
    const struct list *last = last_list(&section);
    if (is_excluded(&section, package))
        return qg_buf_puts(out, text, err);
    if (last) {
        struct qg_span value = qg_span_trim(last->first);
        const char *end = value.length ? value.at + value.length : last->first.at;
        if (qg_buf_add_range(out, text, end, err) < 0 ||
            qg_buf_printf(out, err, "%s%s", value.length ? " " : "", package) < 0)
            return -1;
        return qg_buf_puts(out, end, err);
    }
    return add_list(text, &section, package, out, err);
}

/* True where the list holds nothing but this package. */
static bool is_alone(struct qg_span list, const char *package) {
    struct qg_span word;
    while (qg_word_next(&list, separators, &word)) {
        if (!qg_span_is(word, package))
            return false;
    }
    return true;
}

/* Drops the whole line: one that is left empty would be a leftover of ours. */
static int drop_list(const char *text, struct qg_span list, struct qg_buf *out,
                     struct qg_err *err) {
    const char *start = list.at, *end = list.at + list.length;
    while (start > text && start[-1] != '\n')
        start--;
    if (qg_buf_add_range(out, text, start, err) < 0)
        return -1;
    return qg_buf_puts(out, *end == '\n' ? end + 1 : end, err);
}

/* Copies the text without the package in one list. */
static int take_out(const char *text, struct qg_span list, const char *package, struct qg_buf *out,
                    struct qg_err *err) {
    const char *copied = text;
    struct qg_span rest = list, word;
    while (qg_word_next(&rest, separators, &word)) {
        if (!qg_span_is(word, package))
            continue;
        const char *start = word.at, *end = word.at + word.length;
        if (start > list.at && start > copied && start[-1] != '\n')
            start--;
        else if (*end == ' ' || *end == ',')
            end++;
        if (qg_buf_add_range(out, copied, start, err) < 0)
            return -1;
        copied = end;
    }
    return qg_buf_puts(out, copied, err);
}

/* Takes the package out of the list of one key. */
static int take_out_of(const char *text, size_t key, const char *package, struct qg_buf *out,
                       struct qg_err *err) {
    struct main_section section = find_main(text);
    const struct list *list = &section.lists[key];
    if (!list->found || !qg_span_has_word(list->whole, separators, package))
        return qg_buf_puts(out, text, err);
    return is_alone(list->whole, package) && !list->again
               ? drop_list(text, list->whole, out, err)
               : take_out(text, list->whole, package, out, err);
}

int qg_edit_dnf_include(const char *text, const char *package, struct qg_buf *out,
                        struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf first = {0};
    return take_out_of(text, 0, package, &first, err) < 0 ||
                   take_out_of(qg_buf_text(&first), 1, package, out, err) < 0
               ? -1
               : 0;
}
