/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nvidia/module.h"

#include "base/text.h"
#include "nvidia/lines.h"
#include "nvidia/parse.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEPTH_MAX = 5,           /* of folders below extra and updates */
    MODINFO_CAP = 64 * 1024, /* no module says more about itself */
    SECTIONS_MAX = 4096,
    MODINFO_MS = 10 * 1000,
};

/* Splits NAME.ko[.xz|.zst|.gz]; false for any other file. */
static bool cut_suffixes(const char *file, char *name, size_t size, bool *compressed) {
    static const char *const tails[] = {".ko", ".ko.xz", ".ko.zst", ".ko.gz"};
    for (size_t i = 0; i < QG_ARRAY_LEN(tails); i++) {
        if (!qg_text_ends(file, tails[i]))
            continue;
        snprintf(name, size, "%.*s", (int)(strlen(file) - strlen(tails[i])), file);
        *compressed = i > 0;
        return true;
    }
    return false;
}

bool qg_module_is_main(const char *file) {
    static const char *const parts[] = {"-drm", "-modeset", "-uvm", "-peermem", "-vgpu-vfio"};
    char name[64];
    bool compressed;
    if (!qg_text_starts(file, "nvidia") || !cut_suffixes(file, name, sizeof(name), &compressed))
        return false;
    for (size_t i = 0; i < QG_ARRAY_LEN(parts); i++) {
        if (qg_text_ends(name, parts[i]))
            return false;
    }
    /* In the kernel's own tree there are nvidia_wmi_ec_backlight and the like. */
    return name[6] == '\0' || name[6] == '-';
}

static int find_below(struct qg_host *host, const char *folder, int depth, struct qg_module *out,
                      bool *found, struct qg_err *err) {
    struct qg_err ignored = {0}; /* a file where a folder was expected is none */
    QG_AUTO(names) char **names = qg_host_list(host, folder, &ignored);
    if (!names)
        return ignored.kind == QG_ERR_OOM ? qg_err_oom(err) : 0;
    for (char **name = names; *name && !*found; name++) {
        QG_AUTO_STR char *path = qg_text_format("%s/%s", folder, *name);
        if (!path)
            return qg_err_oom(err);
        bool compressed;
        if (qg_module_is_main(*name)) {
            snprintf(out->path, sizeof(out->path), "%s", path);
            cut_suffixes(*name, out->name, sizeof(out->name), &compressed);
            *found = true;
        } else if (depth < DEPTH_MAX && !strstr(*name, ".ko") &&
                   find_below(host, path, depth + 1, out, found, err) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Reads exactly length bytes at an offset into out; false where they are not there. */
static bool read_exactly(struct qg_host *host, const char *path, uint64_t from, size_t length,
                         struct qg_buf *out) {
    struct qg_err ignored = {0};
    bool found;
    return from <= INT64_MAX &&
           qg_host_read_part(host, path, (int64_t)from, length, out, &found, &ignored) == 0 &&
           found && out->length == length;
}

/* The section headers of a 64-bit ELF file; 0 where it is none. */
static size_t read_sections(struct qg_host *host, const char *path, struct qg_buf *out,
                            size_t *names) {
    QG_AUTO(buf) struct qg_buf bytes = {0};
    Elf64_Ehdr header;
    if (!read_exactly(host, path, 0, sizeof(header), &bytes))
        return 0;
    memcpy(&header, bytes.data, sizeof(header));
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shnum > SECTIONS_MAX ||
        header.e_shstrndx >= header.e_shnum)
        return 0;
    *names = header.e_shstrndx;
    return read_exactly(host, path, header.e_shoff, header.e_shnum * sizeof(Elf64_Shdr), out)
               ? header.e_shnum
               : 0;
}

static Elf64_Shdr section_at(const struct qg_buf *sections, size_t index) {
    Elf64_Shdr section;
    memcpy(&section, sections->data + index * sizeof(section), sizeof(section));
    return section;
}

static bool is_named(const struct qg_buf *names, size_t at, const char *wanted) {
    return at < names->length && strcmp(names->data + at, wanted) == 0;
}

static void set_license(struct qg_module *out, const char *license) {
    out->flavor = qg_text_starts(license, "Dual") ? QG_FLAVOR_OPEN
                  : license[0]                    ? QG_FLAVOR_PROPRIETARY
                                                  : QG_FLAVOR_AUTO;
}

/* What the file's .modinfo section says, where it can be read. */
static void read_modinfo(struct qg_host *host, struct qg_module *out) {
    const char *path = out->path;
    char license[32] = "";
    QG_AUTO(buf) struct qg_buf sections = {0};
    QG_AUTO(buf) struct qg_buf names = {0};
    size_t names_index = 0;
    size_t count = read_sections(host, path, &sections, &names_index);
    if (!count)
        return;
    Elf64_Shdr table = section_at(&sections, names_index);
    if (table.sh_size > MODINFO_CAP ||
        !read_exactly(host, path, table.sh_offset, table.sh_size, &names))
        return;
    for (size_t i = 0; i < count; i++) {
        Elf64_Shdr section = section_at(&sections, i);
        if (!is_named(&names, section.sh_name, ".modinfo") || section.sh_size > MODINFO_CAP)
            continue;
        QG_AUTO(buf) struct qg_buf content = {0};
        if (!read_exactly(host, path, section.sh_offset, section.sh_size, &content))
            return;
        const char *text = qg_buf_text(&content);
        qg_parse_modinfo(text, content.length, "version", out->version, sizeof(out->version));
        qg_parse_modinfo(text, content.length, "license", license, sizeof(license));
        set_license(out, license);
        return;
    }
}

static int ask_modinfo(struct qg_host *host, struct qg_module *out, struct qg_err *err) {
    const char *argv[] = {"modinfo", out->path, NULL};
    struct qg_host_command command = {.argv = argv, .separate_stderr = true, .unprivileged = true};
    struct qg_deadline deadline = qg_deadline_in(MODINFO_MS);
    QG_AUTO(host_result) struct qg_host_result result = {0};
    struct qg_err problem = {0};
    if (qg_host_run(host, &command, &deadline, &result, &problem) < 0)
        return problem.kind == QG_ERR_OOM ? qg_err_oom(err) : 0;
    const char *rest = qg_buf_text(&result.out);
    struct qg_span line, key;
    while (result.exit_code == 0 && qg_line_next(&rest, &line)) {
        char license[32];
        if (!qg_word_next(&line, " ", &key))
            continue;
        line = qg_span_trim(line);
        if (qg_span_is(key, "version:"))
            qg_span_copy(line, out->version, sizeof(out->version));
        if (!qg_span_is(key, "license:"))
            continue;
        qg_span_copy(line, license, sizeof(license));
        set_license(out, license);
    }
    return 0;
}

/* A file that DKMS compressed: it keeps a folder of what it built for a kernel, and that of one
 * version alone tells it. */
static int ask_dkms(struct qg_host *host, const char *kernel, struct qg_module *out,
                    struct qg_err *err) {
    QG_AUTO_STR char *folder = qg_text_format("/var/lib/dkms/%s", out->name);
    QG_AUTO(names) char **names = folder ? qg_host_list(host, folder, err) : NULL;
    if (!names)
        return folder ? -1 : qg_err_oom(err);
    unsigned matches = 0;
    for (char **name = names; *name && strstr(out->path, "/dkms/"); name++) {
        QG_AUTO_STR char *built = qg_text_format("%s/%s/%s", folder, *name, kernel);
        if (!built)
            return qg_err_oom(err);
        if (!qg_host_exists(host, built))
            continue;
        snprintf(out->version, sizeof(out->version), "%s", *name);
        out->flavor = strstr(out->name, "-open") ? QG_FLAVOR_OPEN : QG_FLAVOR_PROPRIETARY;
        matches++;
    }
    if (matches > 1)
        out->version[0] = '\0';
    return 0;
}

int qg_module_find(struct qg_host *host, const char *kernel, struct qg_module *out, bool *found,
                   struct qg_err *err) {
    static const char *const folders[] = {"updates", "extra", "weak-updates", "kernel/nvidia"};
    *out = (struct qg_module){0};
    *found = false;
    for (size_t i = 0; i < QG_ARRAY_LEN(folders) && !*found; i++) {
        QG_AUTO_STR char *folder = qg_text_format("/lib/modules/%s/%s", kernel, folders[i]);
        if (!folder)
            return qg_err_oom(err);
        if (find_below(host, folder, 0, out, found, err) < 0)
            return -1;
    }
    if (!*found)
        return 0;
    if (qg_text_ends(out->path, ".ko")) {
        read_modinfo(host, out);
        return 0;
    }
    if (ask_dkms(host, kernel, out, err) < 0)
        return -1;
    return out->version[0] ? 0 : ask_modinfo(host, out, err);
}

const char *qg_module_version(const struct qg_module *module) {
    return module->version[0] ? module->version : "(unknown version)";
}

json_t *qg_module_value(const struct qg_module *module, bool flavor, struct qg_err *err) {
    return flavor ? qg_value_format(err, "%s (%s)", qg_module_version(module),
                                    qg_flavor_name(module->flavor))
                  : qg_value_text(qg_module_version(module), err);
}
