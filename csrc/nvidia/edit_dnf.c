/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nvidia/edit.h"
#include "nvidia/lines.h"

#include <fnmatch.h>
#include <string.h>

static const char separators[] = " \t\r\n,";

/* What is in [main]: where it ends, and its list of excludes (the last one counts). */
struct main_section {
    bool found;
    const char *end;      /* behind its last line that says something */
    bool has_list;        /* exclude= or excludepkgs= */
    struct qg_span list;  /* its value, with lines that go on */
    struct qg_span first; /* its value on its first line */
};

static bool is_list_key(struct qg_span line, struct qg_span *value) {
    const char *equals = memchr(line.at, '=', line.length);
    if (!equals)
        return false;
    struct qg_span key =
        qg_span_trim((struct qg_span){.at = line.at, .length = (size_t)(equals - line.at)});
    *value =
        (struct qg_span){.at = equals + 1, .length = (size_t)(line.at + line.length - equals) - 1};
    return qg_span_is(key, "exclude") || qg_span_is(key, "excludepkgs");
}

static bool is_comment(struct qg_span line) {
    return line.length && (line.at[0] == '#' || line.at[0] == ';');
}

static struct main_section find_main(const char *text) {
    struct main_section found = {.end = text};
    struct qg_span line;
    bool inside = false, in_list = false;
    while (qg_line_next(&text, &line)) {
        struct qg_span trimmed = qg_span_trim(line);
        if (trimmed.length == 0 || is_comment(line))
            continue;
        if (line.at[0] == '[') {
            inside = qg_span_starts(trimmed, "[main]");
            found.found = found.found || inside;
            in_list = false;
        }
        if (!inside)
            continue;
        found.end = text; /* behind the newline, if there is one */
        struct qg_span value;
        if (line.at[0] == ' ' || line.at[0] == '\t') {
            if (in_list)
                found.list.length = (size_t)(line.at + line.length - found.list.at);
        } else if (is_list_key(line, &value)) {
            found.has_list = in_list = true;
            found.list = found.first = value;
        } else {
            in_list = false;
        }
    }
    return found;
}

static bool is_excluded(struct qg_span list, const char *package) {
    struct qg_span word;
    while (qg_word_next(&list, separators, &word)) {
        char pattern[256];
        qg_span_copy(word, pattern, sizeof(pattern));
        if (fnmatch(pattern, package, 0) == 0)
            return true;
    }
    return false;
}

int qg_edit_dnf_exclude(const char *text, const char *package, struct qg_buf *out,
                        struct qg_err *err) {
    struct main_section section = find_main(text);
    if (!section.found)
        return qg_buf_printf(out, err, "[main]\nexclude=%s\n%s%s", package, *text ? "\n" : "",
                             text);
    if (section.has_list && is_excluded(section.list, package))
        return qg_buf_puts(out, text, err);
    if (section.has_list) {
        struct qg_span value = qg_span_trim(section.first);
        const char *end = value.length ? value.at + value.length : section.first.at;
        if (qg_buf_add_range(out, text, end, err) < 0 ||
            qg_buf_printf(out, err, "%s%s", value.length ? " " : "", package) < 0)
            return -1;
        return qg_buf_puts(out, end, err);
    }
    if (qg_buf_add_range(out, text, section.end, err) < 0)
        return -1;
    bool open = section.end > text && section.end[-1] != '\n';
    return qg_buf_printf(out, err, "%sexclude=%s\n%s", open ? "\n" : "", package, section.end);
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
static int drop_list(const char *text, const struct main_section *section, struct qg_buf *out,
                     struct qg_err *err) {
    const char *start = section->list.at, *end = section->list.at + section->list.length;
    while (start > text && start[-1] != '\n')
        start--;
    if (qg_buf_add_range(out, text, start, err) < 0)
        return -1;
    return qg_buf_puts(out, *end == '\n' ? end + 1 : end, err);
}

int qg_edit_dnf_include(const char *text, const char *package, struct qg_buf *out,
                        struct qg_err *err) {
    struct main_section section = find_main(text);
    if (!section.has_list || !qg_span_has_word(section.list, separators, package))
        return qg_buf_puts(out, text, err);
    if (is_alone(section.list, package))
        return drop_list(text, &section, out, err);
    const char *copied = text;
    struct qg_span rest = section.list, word;
    while (qg_word_next(&rest, separators, &word)) {
        if (!qg_span_is(word, package))
            continue;
        const char *start = word.at, *end = word.at + word.length;
        if (start > section.list.at && start[-1] != '\n')
            start--;
        else if (*end == ' ' || *end == ',')
            end++;
        if (qg_buf_add_range(out, copied, start, err) < 0)
            return -1;
        copied = end;
    }
    return qg_buf_puts(out, copied, err);
}
