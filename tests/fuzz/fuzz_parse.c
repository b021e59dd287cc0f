/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What files and programs of a distribution say; the first byte says which. */
#include "fuzz.h"

#include "base/text.h"
#include "nvidia/parse.h"

enum { SMALL = 24, LINES_MAX = 6 };

static void must_be_clean(const char *text) {
    QG_AUTO_STR char *copy = strdup(text);
    MUST(copy != NULL);
    qg_text_clean_block(copy);
    MUST(strcmp(copy, text) == 0);
}

static void try_release(const char *text) {
    struct qg_release release;
    qg_parse_os_release(text, &release);
    MUST(strlen(release.id) < sizeof(release.id));
    MUST(strlen(release.codename) < sizeof(release.codename));
    MUST(release.number >= 0);
    must_be_clean(release.pretty);
}

static int sign(int number) {
    return (number > 0) - (number < 0);
}

/* Three versions: an order that does not contradict itself. */
static void try_versions(struct input *input) {
    QG_AUTO_STR char *a = take_text(input);
    QG_AUTO_STR char *b = take_text(input);
    QG_AUTO_STR char *c = take_text(input);
    int ab = sign(qg_version_compare(a, b)), bc = sign(qg_version_compare(b, c));
    MUST(qg_version_compare(a, a) == 0);
    MUST(sign(qg_version_compare(b, a)) == -ab);
    if (ab <= 0 && bc <= 0)
        MUST(sign(qg_version_compare(a, c)) == (ab + bc ? -1 : 0));
}

static void try_words(const char *text) {
    char out[SMALL];
    qg_parse_proc_version(text, out, sizeof(out));
    must_be_clean(out);
    qg_parse_nvrm_version(text, out, sizeof(out));
    must_be_clean(out);
    if (qg_parse_setting(text, "saved_entry", out, sizeof(out)))
        MUST(strlen(out) < sizeof(out));
}

static void try_dpkg(const char *text) {
    struct qg_err err = {0};
    QG_AUTO(json) json_t *installed = json_object();
    QG_AUTO(json) json_t *broken = json_object();
    QG_AUTO(json) json_t *held = json_array();
    must_explain(qg_parse_dpkg_status(text, installed, broken, held, &err), &err);
    MUST(qg_parse_dpkg_status(text, NULL, NULL, NULL, &err) == 0 || err.kind != QG_ERR_NONE);
}

static void try_rpm(const char *text) {
    struct qg_err err = {0};
    QG_AUTO(json) json_t *installed = json_object();
    must_explain(qg_parse_rpm_list(text, installed, &err), &err);
}

static void try_repositories(struct input *input) {
    struct qg_err err = {0};
    QG_AUTO(json) json_t *repos = json_object();
    QG_AUTO_STR char *file = take_text(input);
    QG_AUTO_STR char *override = take_text(input);
    int status = qg_parse_repo_file(file, repos, &err);
    size_t count = json_object_size(repos);
    if (status == 0)
        status = qg_parse_repo_override(override, repos, &err);
    MUST(json_object_size(repos) == count);
    must_explain(status, &err);
}

static void try_list(const char *text) {
    struct qg_err err = {0};
    QG_AUTO(json) json_t *repos = json_object();
    must_explain(qg_parse_repolist(text, repos, &err), &err);
}

typedef int quoter(const char *text, unsigned max, struct qg_buf *out, struct qg_err *err);

static void try_quotes(quoter *quote, const char *text) {
    QG_AUTO(buf) struct qg_buf out = {0};
    struct qg_err err = {0};
    MUST(quote(text, LINES_MAX, &out, &err) == 0);
    unsigned lines = out.length != 0;
    for (const char *at = qg_buf_text(&out); *at; at++)
        lines += *at == '\n';
    MUST(lines <= LINES_MAX);
    must_be_clean(qg_buf_text(&out));
}

static void try_modinfo(const struct input *section) {
    char out[SMALL];
    if (qg_parse_modinfo((const char *)section->at, section->left, "version", out, sizeof(out)))
        MUST(strlen(out) < sizeof(out));
}

static bool try_text(uint8_t kind, const char *text) {
    switch (kind) {
    case 'o':
        try_release(text);
        return true;
    case 'w':
        try_words(text);
        return true;
    case 'd':
        try_dpkg(text);
        return true;
    case 'r':
        try_rpm(text);
        return true;
    case 'l':
        try_list(text);
        return true;
    case 'e':
        try_quotes(qg_parse_build_errors, text);
        try_quotes(qg_parse_manager_errors, text);
        qg_parse_is_offline(text);
        return true;
    default:
        return false;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    uint8_t kind = take_byte(&input);
    if (kind == 'm')
        try_modinfo(&input);
    else if (kind == 'v')
        try_versions(&input);
    else if (kind == 'f')
        try_repositories(&input);
    else {
        QG_AUTO_STR char *text = take_text(&input);
        return try_text(kind, text) ? 0 : -1; /* other kinds are not worth keeping */
    }
    return 0;
}
