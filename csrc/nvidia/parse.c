/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nvidia/parse.h"

#include "base/text.h"
#include "doc/json.h"
#include "nvidia/lines.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static struct qg_span unquote(struct qg_span value) {
    value = qg_span_trim(value);
    if (value.length >= 2 && (value.at[0] == '"' || value.at[0] == '\'') &&
        value.at[value.length - 1] == value.at[0])
        return (struct qg_span){.at = value.at + 1, .length = value.length - 2};
    return value;
}

/* Cuts `key=value`; false where the line is none. */
static bool cut_setting(struct qg_span line, struct qg_span *key, struct qg_span *value) {
    const char *equals = memchr(line.at, '=', line.length);
    if (!equals)
        return false;
    *key = qg_span_trim((struct qg_span){.at = line.at, .length = (size_t)(equals - line.at)});
    *value = unquote(
        (struct qg_span){.at = equals + 1, .length = (size_t)(line.at + line.length - equals) - 1});
    return key->length > 0 && key->at[0] != '#';
}

bool qg_parse_setting(const char *text, const char *key, char *out, size_t size) {
    struct qg_span line, name, value;
    bool found = false;
    while (qg_line_next(&text, &line)) {
        if (cut_setting(line, &name, &value) && qg_span_is(name, key)) {
            qg_span_copy(value, out, size);
            qg_text_clean(out);
            found = true;
        }
    }
    return found;
}

void qg_parse_os_release(const char *text, struct qg_release *out) {
    *out = (struct qg_release){.family = QG_FAMILY_OTHER};
    char number[32] = "";
    qg_parse_setting(text, "ID", out->id, sizeof(out->id));
    qg_parse_setting(text, "VERSION_CODENAME", out->codename, sizeof(out->codename));
    qg_parse_setting(text, "VERSION_ID", number, sizeof(number));
    if (!qg_parse_setting(text, "PRETTY_NAME", out->pretty, sizeof(out->pretty)))
        memcpy(out->pretty, out->id, sizeof(out->id));
    int64_t value;
    number[strcspn(number, ".")] = '\0';
    if (qg_text_to_int(number, &value) && value > 0 && value < 10000)
        out->number = (int)value;
    if (strcmp(out->id, "fedora") == 0)
        out->family = QG_FAMILY_FEDORA;
    else if (strcmp(out->id, "debian") == 0)
        out->family = QG_FAMILY_DEBIAN;
}

/* The next run of digits or of letters; what is neither only separates. */
static struct qg_span next_run(const char **rest) {
    while (**rest && !is_digit(**rest) && !is_letter(**rest))
        ++*rest;
    const char *start = *rest;
    bool digits = is_digit(*start);
    while (**rest && (digits ? is_digit(**rest) : is_letter(**rest)))
        ++*rest;
    return (struct qg_span){.at = start, .length = (size_t)(*rest - start)};
}

static int compare_numbers(struct qg_span a, struct qg_span b) {
    while (a.length && *a.at == '0') {
        a.at++;
        a.length--;
    }
    while (b.length && *b.at == '0') {
        b.at++;
        b.length--;
    }
    if (a.length != b.length)
        return a.length < b.length ? -1 : 1;
    return memcmp(a.at, b.at, a.length);
}

int qg_version_compare(const char *a, const char *b) {
    for (;;) {
        struct qg_span one = next_run(&a), two = next_run(&b);
        if (!one.length || !two.length)
            return (one.length != 0) - (two.length != 0);
        bool number = is_digit(*one.at);
        if (number != is_digit(*two.at))
            return number ? 1 : -1;
        size_t shorter = one.length < two.length ? one.length : two.length;
        int order = number ? compare_numbers(one, two) : memcmp(one.at, two.at, shorter);
        if (order == 0 && !number && one.length != two.length)
            order = one.length < two.length ? -1 : 1;
        if (order)
            return order;
    }
}

/* Copies the word behind a marker. */
static void word_behind(const char *text, const char *marker, char *out, size_t size) {
    out[0] = '\0';
    const char *at = strstr(text, marker);
    if (!at)
        return;
    at += strlen(marker);
    struct qg_span rest = {.at = at, .length = strcspn(at, "\n")}, word;
    if (qg_word_next(&rest, " \t", &word))
        qg_span_copy(word, out, size);
    qg_text_clean(out);
}

void qg_parse_proc_version(const char *text, char *out, size_t size) {
    word_behind(text, "Linux version ", out, size);
}

static bool is_version(struct qg_span word) {
    bool dotted = false;
    for (size_t i = 0; i < word.length; i++) {
        if (!is_digit(word.at[i]) && word.at[i] != '.')
            return false;
        dotted = dotted || word.at[i] == '.';
    }
    return dotted && is_digit(word.at[0]);
}

void qg_parse_nvrm_version(const char *text, char *out, size_t size) {
    out[0] = '\0';
    const char *line = strstr(text, "NVRM version:");
    if (!line)
        return;
    struct qg_span rest = {.at = line, .length = strcspn(line, "\n")}, word;
    while (qg_word_next(&rest, " \t", &word)) {
        if (is_version(word)) {
            qg_span_copy(word, out, size);
            return;
        }
    }
}

/* What a stanza of dpkg's status file says. */
struct dpkg_stanza {
    char name[160], state[160], version[160], arch[24];
};

static int put_text(json_t *object, const char *key, const char *value, struct qg_err *err) {
    return object ? qg_value_set_take(object, key, qg_value_text(value, err), err) : 0;
}

static int note_stanza(const struct dpkg_stanza *stanza, json_t *installed, json_t *broken,
                       json_t *held, struct qg_err *err) {
    /* want, flag, state */
    struct qg_span rest = {.at = stanza->state, .length = strlen(stanza->state)};
    struct qg_span want, flag, state;
    if (!stanza->name[0] || !qg_word_next(&rest, " ", &want) || !qg_word_next(&rest, " ", &flag) ||
        !qg_word_next(&rest, " ", &state))
        return 0;
    char word[32], name[sizeof(stanza->name) + sizeof(stanza->arch)];
    qg_span_copy(state, word, sizeof(word));
    bool native =
        !stanza->arch[0] || strcmp(stanza->arch, "amd64") == 0 || strcmp(stanza->arch, "all") == 0;
    snprintf(name, sizeof(name), "%s%s%s", stanza->name, native ? "" : ":",
             native ? "" : stanza->arch);
    if (held && qg_span_is(want, "hold") &&
        qg_value_append_take(held, qg_value_text(name, err), err) < 0)
        return -1;
    if (strcmp(word, "installed") == 0)
        return put_text(installed, name, stanza->version, err);
    if (strcmp(word, "not-installed") == 0 || strcmp(word, "config-files") == 0)
        return 0;
    return put_text(broken, name, word, err);
}

static void copy_field(struct qg_span line, const char *field, char *out, size_t size) {
    size_t length = strlen(field);
    if (!qg_span_starts(line, field))
        return;
    qg_span_copy(
        qg_span_trim((struct qg_span){.at = line.at + length, .length = line.length - length}), out,
        size);
    qg_text_clean(out);
}

int qg_parse_dpkg_status(const char *text, json_t *installed, json_t *broken, json_t *held,
                         struct qg_err *err) {
    struct dpkg_stanza stanza = {0};
    struct qg_span line;
    while (qg_line_next(&text, &line)) {
        if (qg_span_trim(line).length == 0) {
            if (note_stanza(&stanza, installed, broken, held, err) < 0)
                return -1;
            stanza = (struct dpkg_stanza){0};
            continue;
        }
        copy_field(line, "Package:", stanza.name, sizeof(stanza.name));
        copy_field(line, "Status:", stanza.state, sizeof(stanza.state));
        copy_field(line, "Version:", stanza.version, sizeof(stanza.version));
        copy_field(line, "Architecture:", stanza.arch, sizeof(stanza.arch));
    }
    return note_stanza(&stanza, installed, broken, held, err);
}

/* The length of the ending that names this computer's own architecture, or none. */
static size_t native_tail(struct qg_span name) {
    static const char *const tails[] = {".x86_64", ".noarch", ".(none)", ":amd64"};
    for (size_t i = 0; i < QG_ARRAY_LEN(tails); i++) {
        if (qg_span_ends(name, tails[i]))
            return strlen(tails[i]);
    }
    return 0;
}

const json_t *qg_parse_find_package(const json_t *installed, const char *name) {
    char plain[256];
    struct qg_span span = {.at = name, .length = strlen(name)};
    const json_t *found = json_object_get(installed, name);
    span.length -= native_tail(span);
    qg_span_copy(span, plain, sizeof(plain));
    return found ? found : json_object_get(installed, plain);
}

int qg_parse_rpm_list(const char *text, json_t *installed, struct qg_err *err) {
    struct qg_span line;
    while (qg_line_next(&text, &line)) {
        /* The host's output has blanks for tabs; neither stands in a name or a version. */
        struct qg_span rest = line, name, version, more;
        char key[256], value[256];
        if (!qg_word_next(&rest, " \t", &name) || !qg_word_next(&rest, " \t", &version) ||
            qg_word_next(&rest, " \t", &more))
            continue;
        name.length -= native_tail(name);
        qg_span_copy(name, key, sizeof(key));
        qg_span_copy(version, value, sizeof(value));
        if (put_text(installed, key, value, err) < 0)
            return -1;
    }
    return 0;
}

static bool is_true(struct qg_span value) {
    static const char *const words[] = {"1", "yes", "true", "on"};
    for (size_t i = 0; i < QG_ARRAY_LEN(words); i++) {
        if (value.length == strlen(words[i]) && strncasecmp(value.at, words[i], value.length) == 0)
            return true;
    }
    return false;
}

/* The name of a section; false where the line opens none. */
static bool cut_section(struct qg_span line, char *out, size_t size) {
    line = qg_span_trim(line);
    if (line.length < 2 || line.at[0] != '[' || line.at[line.length - 1] != ']')
        return false;
    qg_span_copy((struct qg_span){.at = line.at + 1, .length = line.length - 2}, out, size);
    qg_text_clean(out);
    return true;
}

static int put_bool(json_t *object, const char *key, bool value, struct qg_err *err) {
    return qg_value_set_take(object, key, json_boolean(value), err);
}

int qg_parse_repo_file(const char *text, json_t *repos, struct qg_err *err) {
    char section[128] = "";
    struct qg_span line, key, value;
    while (qg_line_next(&text, &line)) {
        if (cut_section(line, section, sizeof(section))) {
            if (strcmp(section, "main") != 0 && put_bool(repos, section, true, err) < 0)
                return -1;
        } else if (json_object_get(repos, section) && cut_setting(line, &key, &value) &&
                   qg_span_is(key, "enabled") &&
                   put_bool(repos, section, is_true(value), err) < 0) {
            return -1;
        }
    }
    return 0;
}

int qg_parse_repo_override(const char *text, json_t *repos, struct qg_err *err) {
    char section[128] = "";
    struct qg_span line, key, value;
    while (qg_line_next(&text, &line)) {
        if (cut_section(line, section, sizeof(section)) || !cut_setting(line, &key, &value) ||
            !qg_span_is(key, "enabled"))
            continue;
        const char *id;
        json_t *unused;
        json_object_foreach(repos, id, unused) {
            if (fnmatch(section, id, 0) == 0 && put_bool(repos, id, is_true(value), err) < 0)
                return -1;
        }
    }
    return 0;
}

static int parse_repolist_json(const char *text, json_t *repos, struct qg_err *err) {
    QG_AUTO(json) json_t *list = qg_json_load(text, strlen(text), err);
    if (!list)
        return -1;
    size_t index;
    json_t *item;
    json_array_foreach(list, index, item) {
        const char *id = qg_value_get_text(item, "id");
        if (id && put_bool(repos, id, json_is_true(json_object_get(item, "is_enabled")), err) < 0)
            return -1;
    }
    return 0;
}

int qg_parse_repolist(const char *text, json_t *repos, struct qg_err *err) {
    const char *bracket = text + strspn(text, " \t\n");
    if (*bracket == '[')
        return parse_repolist_json(bracket, repos, err);
    struct qg_span line, word;
    while (qg_line_next(&text, &line)) {
        struct qg_span rest = line;
        if (!qg_word_next(&rest, " \t\r", &word) || qg_span_is(word, "repo"))
            continue; /* the heading: repo id, repo name */
        char id[128];
        qg_span_copy(word, id, sizeof(id));
        struct qg_span trimmed = qg_span_trim(line);
        if (put_bool(repos, id, !qg_span_ends(trimmed, " disabled"), err) < 0)
            return -1;
    }
    return 0;
}

static bool holds(struct qg_span line, const char *const *marks) {
    for (; *marks; marks++) {
        if (memmem(line.at, line.length, *marks, strlen(*marks)))
            return true;
    }
    return false;
}

enum { QUOTED_MAX = 200 }; /* of a line that is quoted */

static int quote_line(struct qg_span line, struct qg_buf *out, struct qg_err *err) {
    char text[QUOTED_MAX + 1];
    qg_span_copy(qg_span_trim(line), text, sizeof(text));
    qg_text_clean(text);
    return qg_buf_printf(out, err, "%s  %s", out->length ? "\n" : "", text);
}

/* Quotes the last max lines that are not blank. */
static int quote_tail(const char *text, unsigned max, struct qg_buf *out, struct qg_err *err) {
    unsigned lines = 0;
    struct qg_span line;
    const char *rest = text;
    while (qg_line_next(&rest, &line))
        lines += qg_span_trim(line).length > 0;
    while (qg_line_next(&text, &line)) {
        if (qg_span_trim(line).length == 0 || lines-- > max)
            continue;
        if (quote_line(line, out, err) < 0)
            return -1;
    }
    return 0;
}

static int quote_marked(const char *text, const char *const *marks, unsigned max,
                        struct qg_buf *out, struct qg_err *err) {
    const char *rest = text;
    struct qg_span line;
    unsigned found = 0;
    while (found < max && qg_line_next(&rest, &line)) {
        if (!holds(line, marks))
            continue;
        found++;
        if (quote_line(line, out, err) < 0)
            return -1;
    }
    return found ? 0 : quote_tail(text, max, out, err);
}

int qg_parse_build_errors(const char *text, unsigned max, struct qg_buf *out, struct qg_err *err) {
    static const char *const marks[] = {"error:",
                                        "Error!",
                                        "ERROR:",
                                        "undefined!",
                                        "Could not find files needed",
                                        "No space left on device",
                                        "more space",
                                        "Killed",
                                        NULL};
    return quote_marked(text, marks, max, out, err);
}

/* What dnf does not have, or keeps out of a transaction because its configuration says so: the
 * reason, which dnf itself tells last. The state excludes grubby-dummy. */
static int quote_excluded(const char *text, unsigned max, struct qg_buf *out, unsigned *found,
                          struct qg_err *err) {
    static const char *const marks[] = {"filtered out", "No match for argument", NULL};
    static const char *const ours[] = {"grubby-dummy", NULL};
    struct qg_span line;
    while (*found < max && qg_line_next(&text, &line)) {
        if (!holds(line, marks) || holds(line, ours))
            continue;
        ++*found;
        if (quote_line(line, out, err) < 0)
            return -1;
    }
    return 0;
}

int qg_parse_manager_errors(const char *text, unsigned max, struct qg_buf *out,
                            struct qg_err *err) {
    static const char *const marks[] = {"E: ",
                                        "Error: ",
                                        "Error!",
                                        "Errors ",
                                        "error: ",
                                        " error ",
                                        "Failed to ",
                                        "Unable to ",
                                        "No matching",
                                        "conflicts with",
                                        "but it is not going to be installed",
                                        "but it is not installable",
                                        "No space left on device",
                                        "more space",
                                        "Curl error",
                                        "nothing provides",
                                        "Problem",
                                        "Depends: ",
                                        "is needed by",
                                        "Unknown argument",
                                        NULL};
    unsigned found = 0;
    if (quote_excluded(text, max / 2, out, &found, err) < 0)
        return -1;
    bool more = !found || holds((struct qg_span){.at = text, .length = strlen(text)}, marks);
    return more ? quote_marked(text, marks, max - found, out, err) : 0;
}

/* What dnf5, dnf and apt say of a server that they did reach. */
static bool shows_reached(const char *text) {
    static const char *const marks[] = {"100% |", "Last metadata expiration check", "kB     ",
                                        "MB     ", NULL};
    static const char *const local[] = {" file:", " cdrom:", " copy:", NULL};
    struct qg_span line;
    while (qg_line_next(&text, &line)) {
        bool got = qg_span_starts(line, "Hit:") || qg_span_starts(line, "Get:");
        if ((got && !holds(line, local)) || holds(line, marks))
            return true;
    }
    return false;
}

bool qg_parse_is_offline(const char *text) {
    static const char *const marks[] = {"Could not resolve",
                                        "Temporary failure resolving",
                                        "Could not connect",
                                        "Couldn't connect",
                                        "Failed to connect",
                                        "Connection refused",
                                        "Connection timed out",
                                        "Network is unreachable",
                                        "Cannot download repomd.xml",
                                        "Failed to download metadata",
                                        "Ignoring repositories:",
                                        "Curl error",
                                        "Cannot initiate the connection",
                                        NULL};
    return holds((struct qg_span){.at = text, .length = strlen(text)}, marks) &&
           !shows_reached(text);
}

bool qg_parse_modinfo(const char *section, size_t length, const char *field, char *out,
                      size_t size) {
    const char *end = section + length;
    size_t key = strlen(field);
    while (section < end) {
        size_t entry = strnlen(section, (size_t)(end - section));
        if (entry > key && memcmp(section, field, key) == 0 && section[key] == '=') {
            qg_span_copy((struct qg_span){.at = section + key + 1, .length = entry - key - 1}, out,
                         size);
            qg_text_clean(out);
            return true;
        }
        section += entry + 1;
    }
    return false;
}
