/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "doc/kernel_cmdline.h"

#include "base/buf.h"
#include "base/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum piece_kind {
    PIECE_CHAR,  /* one character that the shell takes as it is */
    PIECE_OTHER, /* part of an expansion that we do not follow */
    PIECE_SELF,  /* the variable's own earlier value */
};

/* One character of a value, and the bytes of the file that stand for it. */
struct piece {
    size_t at, length;
    enum piece_kind kind;
    char c;
};

/* NAME=value or NAME+=value. */
struct assignment {
    size_t first, last; /* its pieces: [first, last) */
    size_t start, end;  /* the value's bytes in the file: [start, end) */
    char quote;         /* the quote that closes the value, or 0 */
    bool appends;       /* += */
    bool takes_self;
};

/* All assignments of one variable in one file. */
struct script {
    const char *text;
    size_t length;
    const char *variable;
    struct piece *pieces;
    size_t piece_count, piece_size;
    struct assignment *items;
    size_t count, size;
};

static void script_fini(struct script *script) {
    free(script->pieces);
    free(script->items);
}

QG_DEFINE_AUTO_FINI(script, struct script, script_fini)

/* Makes room for one more element; the new array, or NULL. */
static void *grown(void *array, size_t count, size_t *size, size_t element) {
    if (count < *size)
        return array;
    size_t wanted = *size ? *size * 2 : 64;
    void *larger = reallocarray(array, wanted, element);
    if (larger)
        *size = wanted;
    return larger;
}

static int add_piece(struct script *script, struct piece piece, struct qg_err *err) {
    struct piece *pieces =
        grown(script->pieces, script->piece_count, &script->piece_size, sizeof(*script->pieces));
    if (!pieces)
        return qg_err_oom(err);
    script->pieces = pieces;
    pieces[script->piece_count++] = piece;
    return 0;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static int unclosed(const struct script *script, size_t at, struct qg_err *err) {
    qg_err_set(err, QG_ERR_PARSE, "a quote or bracket that is never closed");
    if (err && err->kind == QG_ERR_PARSE && !err->line) {
        err->line = 1;
        for (size_t i = 0; i < at; i++)
            err->line += script->text[i] == '\n';
    }
    return -1;
}

/* The end of `$(..)`, `${..}` or `..` in backticks that begins at `at`; 0 where it never ends. */
static size_t bracket_end(const struct script *script, size_t at) {
    char open = script->text[at] == '$' ? script->text[at + 1] : '`';
    char close = open == '(' ? ')' : open == '{' ? '}' : '`';
    size_t depth = 1;
    for (size_t i = at + (open == '`' ? 1 : 2); i < script->length; i++) {
        char c = script->text[i];
        if (c == '\\')
            i++;
        else if (c == close && --depth == 0)
            return i + 1;
        else if (c == open && open != '`')
            depth++;
    }
    return 0;
}

/* The end of the expansion that begins at `at`, `at` itself for a `$` that is only a `$`. */
static size_t expansion_end(const struct script *script, size_t at) {
    if (script->text[at] == '`' ||
        (at + 1 < script->length && (script->text[at + 1] == '(' || script->text[at + 1] == '{')))
        return bracket_end(script, at);
    size_t end = at + 1;
    while (end < script->length && is_name(script->text[end]))
        end++;
    return end == at + 1 ? at : end;
}

/* True where the bytes are $NAME or ${NAME} of the script's own variable. */
static bool is_self(const struct script *script, size_t at, size_t end) {
    size_t skip = script->text[at + 1] == '{' ? 2 : 1, tail = skip - 1;
    size_t length = strlen(script->variable);
    return script->text[at] == '$' && end - at == length + skip + tail &&
           memcmp(script->text + at + skip, script->variable, length) == 0;
}

/* Takes up an expansion at *at and moves *at behind it. */
static int scan_expansion(struct script *script, size_t *at, struct qg_err *err) {
    size_t end = expansion_end(script, *at);
    if (end == 0)
        return unclosed(script, *at, err);
    if (end == *at)
        end++;
    else if (is_self(script, *at, end)) {
        struct piece piece = {.at = *at, .length = end - *at, .kind = PIECE_SELF};
        *at = end;
        return add_piece(script, piece, err);
    }
    for (; *at < end; ++*at) {
        struct piece piece = {.at = *at, .length = 1, .kind = PIECE_OTHER, .c = script->text[*at]};
        if (add_piece(script, piece, err) < 0)
            return -1;
    }
    return 0;
}

/* Takes up a backslash at *at and what it guards; inside "..", it guards only what has a meaning
 * there. */
static int scan_backslash(struct script *script, size_t *at, char quote, struct qg_err *err) {
    if (*at + 1 >= script->length)
        return unclosed(script, *at, err);
    char guarded = script->text[*at + 1];
    struct piece piece = {.at = *at, .length = 2, .c = guarded};
    *at += 2;
    if (guarded == '\n')
        return 0; /* a line that goes on */
    if (quote == '"' && !strchr("\"\\$`", guarded)) {
        piece.c = '\\';
        piece.length = 1;
        --*at;
    }
    return add_piece(script, piece, err);
}

/* Takes up one character, expansion or quote at *at. */
static int scan_one(struct script *script, size_t *at, char *quote, struct qg_err *err) {
    char c = script->text[*at];
    if (*quote == '\0' && (c == '"' || c == '\'')) {
        *quote = c;
        ++*at;
        return 0;
    }
    if (c == *quote && c != '\0') {
        *quote = '\0';
        ++*at;
        return 0;
    }
    if (*quote != '\'' && c == '\\')
        return scan_backslash(script, at, *quote, err);
    if (*quote != '\'' && (c == '$' || c == '`'))
        return scan_expansion(script, at, err);
    struct piece piece = {.at = *at, .length = 1, .c = c};
    ++*at;
    return add_piece(script, piece, err);
}

static bool ends_word(char c) {
    return is_space(c) || c == ';' || c == '&' || c == '|' || c == '(' || c == ')';
}

/* Takes up a shell word from *at to its end; *closing is the quote that it ends with, or 0. */
static int scan_word(struct script *script, size_t *at, char *closing, struct qg_err *err) {
    char quote = '\0';
    size_t opened = *at;
    *closing = '\0';
    while (*at < script->length && (quote || !ends_word(script->text[*at]))) {
        char before = quote;
        if (scan_one(script, at, &quote, err) < 0)
            return -1;
        *closing = before && !quote ? before : '\0';
        if (quote && !before)
            opened = *at - 1;
    }
    return quote ? unclosed(script, opened, err) : 0;
}

/* The bytes that `NAME=` or `NAME+=` takes at `at`, 0 where something else stands there. */
static size_t assignment_head(const struct script *script, size_t at, bool *appends) {
    size_t length = strlen(script->variable);
    if (script->length - at <= length || memcmp(script->text + at, script->variable, length) != 0)
        return 0;
    const char *rest = script->text + at + length;
    *appends = *rest == '+';
    if (*appends && script->length - at == length + 1)
        return 0;
    return rest[*appends] == '=' ? length + 1 + *appends : 0;
}

static int add_assignment(struct script *script, struct assignment item, struct qg_err *err) {
    struct assignment *items =
        grown(script->items, script->count, &script->size, sizeof(*script->items));
    if (!items)
        return qg_err_oom(err);
    script->items = items;
    for (size_t i = item.first; i < item.last; i++)
        item.takes_self |= script->pieces[i].kind == PIECE_SELF;
    item.takes_self |= item.appends;
    items[script->count++] = item;
    return 0;
}

/* Takes up one shell word; one that is no assignment of ours leaves no trace. */
static int scan_statement(struct script *script, size_t *at, struct qg_err *err) {
    struct assignment item = {.first = script->piece_count};
    size_t head = assignment_head(script, *at, &item.appends);
    *at += head;
    item.start = *at;
    if (scan_word(script, at, &item.quote, err) < 0)
        return -1;
    item.end = *at;
    item.last = script->piece_count;
    if (head)
        return add_assignment(script, item, err);
    script->piece_count = item.first;
    return 0;
}

static int scan(struct script *script, struct qg_err *err) {
    if (memchr(script->text, '\0', script->length))
        return qg_err_set(err, QG_ERR_INVALID, "a file with NUL bytes is no shell script");
    for (size_t at = 0; at < script->length;) {
        if (ends_word(script->text[at])) {
            at++;
        } else if (script->text[at] == '#') {
            while (at < script->length && script->text[at] != '\n')
                at++;
        } else if (scan_statement(script, &at, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* The first assignment whose text is still part of the final value. */
static size_t first_live(const struct script *script) {
    size_t first = 0;
    for (size_t i = 0; i < script->count; i++) {
        if (!script->items[i].takes_self)
            first = i;
    }
    return first;
}

/* A kernel argument: pieces [first, last). */
struct word {
    size_t first, last;
};

static bool separates(const struct piece *piece) {
    return piece->kind == PIECE_CHAR && is_space(piece->c);
}

/* The next word from *at, before end; "..", as the kernel reads it, keeps its spaces. */
static bool next_word(const struct piece *pieces, size_t *at, size_t end, struct word *word) {
    while (*at < end && separates(&pieces[*at]))
        ++*at;
    word->first = *at;
    bool quoted = false;
    for (; *at < end && (quoted || !separates(&pieces[*at])); ++*at)
        quoted ^= pieces[*at].c == '"' && pieces[*at].kind == PIECE_CHAR;
    word->last = *at;
    return word->first < word->last;
}

static bool pieces_equal(const struct piece *pieces, size_t first, size_t last, const char *text,
                         size_t length) {
    if (last - first != length)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (pieces[first + i].kind != PIECE_CHAR || pieces[first + i].c != text[i])
            return false;
    }
    return true;
}

/* True where the word is key=...; *value is then the piece behind the `=`. */
static bool word_has_key(const struct piece *pieces, const struct word *word, const char *key,
                         size_t *value) {
    size_t length = strlen(key);
    if (word->last - word->first <= length ||
        !pieces_equal(pieces, word->first, word->first + length, key, length))
        return false;
    *value = word->first + length + 1;
    return pieces[*value - 1].kind == PIECE_CHAR && pieces[*value - 1].c == '=';
}

/* The item that begins at `at`: where it ends. */
static size_t item_end(const struct piece *pieces, size_t at, size_t end) {
    while (at < end && !(pieces[at].kind == PIECE_CHAR && pieces[at].c == ','))
        at++;
    return at;
}

/* A booted command line as pieces, so that one set of functions reads both. */
static int scan_line(struct script *line, const char *text, struct qg_err *err) {
    *line = (struct script){.text = text, .length = strlen(text), .variable = ""};
    for (size_t i = 0; i < line->length; i++) {
        if (add_piece(line, (struct piece){.at = i, .length = 1, .c = text[i]}, err) < 0)
            return -1;
    }
    return 0;
}

/* Appends the items of one word's value; empty ones (`a,,b`) and ones that are not UTF-8 are
 * nothing. */
static int append_items(const struct script *line, size_t at, size_t end, json_t *out,
                        struct qg_err *err) {
    for (; at < end; at++) {
        size_t stop = item_end(line->pieces, at, end);
        size_t length = stop - at;
        if (length && qg_text_is_utf8(line->text + at, length) &&
            qg_value_append_take(out, json_stringn_nocheck(line->text + at, length), err) < 0)
            return -1;
        at = stop;
    }
    return 0;
}

json_t *qg_cmdline_items(const char *line, const char *key, enum qg_cmdline_many many,
                         struct qg_err *err) {
    QG_AUTO(script) struct script script = {0};
    QG_AUTO(json) json_t *out = qg_value_array(err);
    if (!out || scan_line(&script, line, err) < 0)
        return NULL;
    struct word word;
    for (size_t at = 0, value; next_word(script.pieces, &at, script.piece_count, &word);) {
        if (!word_has_key(script.pieces, &word, key, &value))
            continue;
        if (many == QG_CMDLINE_LAST)
            json_array_clear(out);
        if (append_items(&script, value, word.last, out, err) < 0)
            return NULL;
    }
    return QG_STEAL(out);
}

/* Whether item is one of the items to *found. */
static int find_item(const char *line, const char *key, const char *item, enum qg_cmdline_many many,
                     bool *found, struct qg_err *err) {
    *found = false;
    QG_AUTO(json) json_t *items = qg_cmdline_items(line, key, many, err);
    size_t index;
    json_t *known;
    json_array_foreach(items, index, known) {
        *found = *found || strcmp(json_string_value(known), item) == 0;
    }
    return items ? 0 : -1;
}

static int find_word(const char *line, const char *wanted, bool *found, struct qg_err *err) {
    *found = false;
    QG_AUTO(script) struct script script = {0};
    if (scan_line(&script, line, err) < 0)
        return -1;
    struct word word;
    size_t length = strlen(wanted);
    for (size_t at = 0; !*found && next_word(script.pieces, &at, script.piece_count, &word);)
        *found = pieces_equal(script.pieces, word.first, word.last, wanted, length);
    return 0;
}

bool qg_cmdline_has_item(const char *line, const char *key, const char *item,
                         enum qg_cmdline_many many) {
    bool found;
    return find_item(line, key, item, many, &found, NULL) == 0 && found;
}

bool qg_cmdline_has_word(const char *line, const char *wanted) {
    bool found;
    return find_word(line, wanted, &found, NULL) == 0 && found;
}

/* Adds what the assignment is worth to out; before is the variable's earlier value. */
static int add_value(const struct script *script, const struct assignment *item,
                     const struct qg_buf *before, struct qg_buf *out, struct qg_err *err) {
    if (item->appends && qg_buf_puts(out, qg_buf_text(before), err) < 0)
        return -1;
    for (size_t i = item->first; i < item->last; i++) {
        const struct piece *piece = &script->pieces[i];
        int status = piece->kind == PIECE_SELF ? qg_buf_puts(out, qg_buf_text(before), err)
                                               : qg_buf_add(out, &piece->c, 1, err);
        if (status < 0)
            return -1;
    }
    return 0;
}

enum { VALUE_CAP = 64 * 1024 }; /* the kernel takes 4 KiB at most; X="$X$X" must not explode */

static char *value_of(const struct script *script, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf value = {.cap = VALUE_CAP};
    for (size_t i = first_live(script); i < script->count; i++) {
        QG_AUTO(buf) struct qg_buf next = {.cap = VALUE_CAP};
        if (add_value(script, &script->items[i], &value, &next, err) < 0)
            return NULL;
        struct qg_buf old = value;
        value = next;
        next = old;
    }
    return qg_buf_steal(&value, err);
}

static int open_script(struct script *script, const char *text, size_t length, const char *variable,
                       struct qg_err *err) {
    *script = (struct script){.text = text, .length = length, .variable = variable};
    return scan(script, err);
}

char *qg_grub_get(const char *text, size_t length, const char *variable, bool *found,
                  struct qg_err *err) {
    QG_AUTO(script) struct script script = {0};
    if (open_script(&script, text, length, variable, err) < 0)
        return NULL;
    if (found)
        *found = script.count > 0;
    return value_of(&script, err);
}

/* What is written into the file must mean itself in every kind of quotes. */
static int check_plain(const char *text, const char *also_forbidden, struct qg_err *err) {
    bool plain = *text != '\0';
    for (const char *c = text; *c; c++) {
        if (*c <= ' ' || *c > '~' || strchr("\"'\\$`;&|()<>#*?[]{}!~", *c) ||
            strchr(also_forbidden, *c))
            plain = false;
    }
    return plain ? 0 : qg_err_set(err, QG_ERR_INVALID, "'%s' cannot be a kernel argument", text);
}

/* The text with some bytes inserted. */
static char *inserted(const struct script *script, size_t at, const char *text,
                      struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf out = {0};
    if (qg_buf_add(&out, script->text, at, err) < 0 || qg_buf_puts(&out, text, err) < 0 ||
        qg_buf_add(&out, script->text + at, script->length - at, err) < 0)
        return NULL;
    return qg_buf_steal(&out, err);
}

static char *unchanged(const struct script *script, struct qg_err *err) {
    return inserted(script, script->length, "", err);
}

/* The text with a new last line that sets the variable. */
static char *with_new_line(const struct script *script, const char *word, struct qg_err *err) {
    const char *end = memchr(script->text, '\n', script->length);
    const char *newline = end && end > script->text && end[-1] == '\r' ? "\r\n" : "\n";
    bool open = script->length && script->text[script->length - 1] != '\n';
    QG_AUTO(buf) struct qg_buf line = {0};
    if (qg_buf_printf(&line, err, "%s%s=\"%s\"%s", open ? newline : "", script->variable, word,
                      newline) < 0)
        return NULL;
    return inserted(script, script->length, qg_buf_text(&line), err);
}

/* A bare value gets its quotes, so that it can hold a second word. */
static char *with_quotes(const struct script *script, const struct assignment *item,
                         const char *more, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf out = {0};
    if (qg_buf_add(&out, script->text, item->start, err) < 0 || qg_buf_puts(&out, "\"", err) < 0 ||
        qg_buf_add(&out, script->text + item->start, item->end - item->start, err) < 0 ||
        qg_buf_printf(&out, err, "%s\"", more) < 0 ||
        qg_buf_add(&out, script->text + item->end, script->length - item->end, err) < 0)
        return NULL;
    return qg_buf_steal(&out, err);
}

/* The text with one word more at the end of the last assignment. */
static char *with_word(const struct script *script, const char *word, struct qg_err *err) {
    if (script->count == 0)
        return with_new_line(script, word, err);
    const struct assignment *item = &script->items[script->count - 1];
    bool empty = item->first == item->last;
    bool space = empty ? item->appends : !separates(&script->pieces[item->last - 1]);
    QG_AUTO(buf) struct qg_buf more = {0};
    if (qg_buf_printf(&more, err, "%s%s", space ? " " : "", word) < 0)
        return NULL;
    if (item->quote)
        return inserted(script, item->end - 1, qg_buf_text(&more), err);
    size_t length = item->end - item->start;
    bool bare = !memchr(script->text + item->start, '"', length) &&
                !memchr(script->text + item->start, '\'', length) &&
                !memchr(script->text + item->start, '\\', length);
    if (bare)
        return with_quotes(script, item, qg_buf_text(&more), err);
    QG_AUTO(buf) struct qg_buf joined = {0};
    if (qg_buf_printf(&joined, err, "\"%s\"", qg_buf_text(&more)) < 0)
        return NULL;
    return inserted(script, item->end, qg_buf_text(&joined), err);
}

/* Whether the line has the word, or (key not NULL) the item. What cannot be scanned has neither. */
static int holds(const char *line, const char *key, const char *wanted, enum qg_cmdline_many many,
                 bool *found, struct qg_err *err) {
    struct qg_err problem = {0};
    int status = key ? find_item(line, key, wanted, many, found, &problem)
                     : find_word(line, wanted, found, &problem);
    return status < 0 ? qg_err_pass_oom(err, &problem) : 0;
}

/* Passes an edited text on where the edit does what it is for: behind a quote that the kernel waits
 * to see closed, for one, no word stands for itself. */
static char *checked_take(char *text, const char *variable, const char *key, const char *wanted,
                          enum qg_cmdline_many many, struct qg_err *err) {
    QG_AUTO_STR char *owned = text;
    QG_AUTO_STR char *line = owned ? qg_grub_get(owned, strlen(owned), variable, NULL, err) : NULL;
    bool held;
    if (!line || holds(line, key, wanted, many, &held, err) < 0)
        return NULL;
    if (held)
        return QG_STEAL(owned);
    qg_err_set(err, QG_ERR_INVALID, "%s is '%.200s': nothing can be added to that", variable, line);
    return NULL;
}

char *qg_grub_add_word(const char *text, size_t length, const char *variable, const char *word,
                       struct qg_err *err) {
    QG_AUTO(script) struct script script = {0};
    if (check_plain(word, "", err) < 0 || open_script(&script, text, length, variable, err) < 0)
        return NULL;
    QG_AUTO_STR char *value = value_of(&script, err);
    if (!value)
        return NULL;
    bool held;
    if (holds(value, NULL, word, QG_CMDLINE_ALL, &held, err) < 0)
        return NULL;
    if (held)
        return unchanged(&script, err);
    return checked_take(with_word(&script, word, err), variable, NULL, word, QG_CMDLINE_ALL, err);
}

/* The last word `key=...` of the assignments that count; *value is the piece behind the `=`. */
static bool last_with_key(const struct script *script, const char *key, struct word *found,
                          size_t *value) {
    bool any = false;
    for (size_t i = first_live(script); i < script->count; i++) {
        struct word word;
        size_t behind;
        for (size_t at = script->items[i].first;
             next_word(script->pieces, &at, script->items[i].last, &word);) {
            if (!word_has_key(script->pieces, &word, key, &behind))
                continue;
            *found = word;
            *value = behind;
            any = true;
        }
    }
    return any;
}

/* The text with one item more in the last word `key=...`, or with a word of its own for it. */
static char *with_item(const struct script *script, const char *key, const char *item,
                       struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf more = {0};
    struct word word;
    size_t behind;
    if (!last_with_key(script, key, &word, &behind)) {
        if (qg_buf_printf(&more, err, "%s=%s", key, item) < 0)
            return NULL;
        return with_word(script, qg_buf_text(&more), err);
    }
    if (qg_buf_printf(&more, err, "%s%s", behind < word.last ? "," : "", item) < 0)
        return NULL;
    const struct piece *last = &script->pieces[word.last - 1];
    return inserted(script, last->at + last->length, qg_buf_text(&more), err);
}

char *qg_grub_add_item(const char *text, size_t length, const char *variable, const char *key,
                       const char *item, enum qg_cmdline_many many, struct qg_err *err) {
    QG_AUTO(script) struct script script = {0};
    if (check_plain(key, "=,", err) < 0 || check_plain(item, ",", err) < 0 ||
        open_script(&script, text, length, variable, err) < 0)
        return NULL;
    QG_AUTO_STR char *value = value_of(&script, err);
    if (!value)
        return NULL;
    bool held;
    if (holds(value, key, item, many, &held, err) < 0)
        return NULL;
    if (held)
        return unchanged(&script, err);
    return checked_take(with_item(&script, key, item, err), variable, key, item, many, err);
}

/* Marks the bytes of pieces [first, last) as to be left out. */
static void drop_pieces(const struct script *script, size_t first, size_t last, bool *drop) {
    for (size_t i = first; i < last; i++)
        memset(drop + script->pieces[i].at, true, script->pieces[i].length);
}

/* Leaves out a word and the spaces that set it apart. */
static void drop_word(const struct script *script, const struct assignment *item,
                      const struct word *word, bool *drop) {
    size_t first = word->first, last = word->last;
    while (first > item->first && separates(&script->pieces[first - 1]))
        first--;
    if (first == item->first) {
        while (last < item->last && separates(&script->pieces[last]))
            last++;
    }
    drop_pieces(script, first, last, drop);
}

/* Leaves the item out of key=a,b,c; the word goes where nothing else is in it. */
static void drop_item(const struct script *script, const struct assignment *item,
                      const struct word *word, size_t value, const char *wanted, bool *drop) {
    size_t length = strlen(wanted), kept = 0, found = 0;
    for (size_t at = value; at <= word->last;) {
        size_t end = item_end(script->pieces, at, word->last);
        bool match = pieces_equal(script->pieces, at, end, wanted, length);
        if (match)
            drop_pieces(script, at, end, drop);
        if (at > value && (match || kept == 0) && found + match > 0)
            drop_pieces(script, at - 1, at, drop); /* the comma before it */
        found += match;
        kept += !match && end > at;
        at = end + 1;
    }
    if (found && !kept)
        drop_word(script, item, word, drop);
}

/* Copies what is not to be left out. */
static char *without(const struct script *script, const bool *drop, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf out = {0};
    if (qg_buf_reserve(&out, script->length, err) < 0)
        return NULL;
    for (size_t i = 0; i < script->length; i++) {
        if (!drop[i] && qg_buf_add(&out, script->text + i, 1, err) < 0)
            return NULL;
    }
    return qg_buf_steal(&out, err);
}

/* True where the shortened text reads as what was kept of the old one: a `\` that loses the blank
 * behind it would guard what comes next, for one the closing quote. */
static bool reads_as_kept(const struct script *old, const bool *drop, const char *shortened,
                          struct qg_err *err) {
    QG_AUTO(script) struct script now = {0};
    size_t at = 0;
    if (open_script(&now, shortened, strlen(shortened), old->variable, err) < 0)
        return false;
    for (size_t i = 0; i < old->piece_count; i++) {
        const struct piece *piece = &old->pieces[i];
        if (drop[piece->at])
            continue;
        if (at == now.piece_count || now.pieces[at].kind != piece->kind ||
            now.pieces[at].c != piece->c)
            return false;
        at++;
    }
    return at == now.piece_count && now.count == old->count;
}

/* The text without what is to be dropped, where that is all there is of what is not wanted: some of
 * it may stand in an expansion, or behind a quote that an earlier value opens. */
static char *shortened(const struct script *script, const bool *drop, const char *key,
                       const char *wanted, struct qg_err *err) {
    QG_AUTO_STR char *out = without(script, drop, err);
    struct qg_err broken = {0};
    if (!out)
        return NULL;
    QG_AUTO_STR char *line = reads_as_kept(script, drop, out, &broken)
                                 ? qg_grub_get(out, strlen(out), script->variable, NULL, &broken)
                                 : NULL;
    bool held = true;
    if (line && holds(line, key, wanted, QG_CMDLINE_ALL, &held, &broken) == 0 && !held)
        return QG_STEAL(out);
    if (broken.kind == QG_ERR_OOM)
        qg_err_oom(err);
    else
        qg_err_set(err, QG_ERR_INVALID, "%s: '%s' cannot be taken out of it", script->variable,
                   wanted);
    return NULL;
}

/* Removes the word, or (key not NULL) the item of every word `key=...`. */
static char *removed(const char *text, size_t length, const char *variable, const char *key,
                     const char *wanted, struct qg_err *err) {
    QG_AUTO(script) struct script script = {0};
    if (open_script(&script, text, length, variable, err) < 0)
        return NULL;
    bool *drop = calloc(length + 1, sizeof(*drop));
    if (!drop) {
        qg_err_oom(err);
        return NULL;
    }
    for (size_t i = first_live(&script); i < script.count; i++) {
        const struct assignment *item = &script.items[i];
        struct word word;
        size_t value;
        for (size_t at = item->first; next_word(script.pieces, &at, item->last, &word);) {
            if (!key && pieces_equal(script.pieces, word.first, word.last, wanted, strlen(wanted)))
                drop_word(&script, item, &word, drop);
            else if (key && word_has_key(script.pieces, &word, key, &value))
                drop_item(&script, item, &word, value, wanted, drop);
        }
    }
    char *out = shortened(&script, drop, key, wanted, err);
    free(drop);
    return out;
}

char *qg_grub_remove_word(const char *text, size_t length, const char *variable, const char *word,
                          struct qg_err *err) {
    return removed(text, length, variable, NULL, word, err);
}

char *qg_grub_remove_item(const char *text, size_t length, const char *variable, const char *key,
                          const char *item, struct qg_err *err) {
    return removed(text, length, variable, key, item, err);
}
