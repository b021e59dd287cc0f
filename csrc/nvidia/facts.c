/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nvidia/facts.h"

#include "base/buf.h"
#include "base/text.h"
#include "nvidia/lines.h"
#include "nvidia/packages.h"
#include "nvidia/record.h"
#include "nvidia/steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void qg_driver_facts_fini(struct qg_driver_facts *facts) {
    json_t **const owned[] = {&facts->kernels,      &facts->cards,     &facts->files,
                              &facts->repositories, &facts->installed, &facts->broken,
                              &facts->held,         &facts->leftovers, &facts->record};
    for (size_t i = 0; i < QG_ARRAY_LEN(owned); i++) {
        json_decref(*owned[i]);
        *owned[i] = NULL;
    }
}

const char *qg_manager_name(enum qg_manager manager) {
    static const char *const names[] = {"none", "dnf", "dnf5", "apt"};
    return names[manager];
}

const char *qg_driver_file(const struct qg_driver_facts *facts, const char *path) {
    return qg_value_get_text(facts->files, path);
}

int qg_driver_check_supported(const struct qg_release *release, struct qg_err *err) {
    static const struct {
        enum qg_family family;
        int first, last;
    } known[] = {{QG_FAMILY_FEDORA, 40, 43}, {QG_FAMILY_DEBIAN, 12, 13}};
    for (size_t i = 0; i < QG_ARRAY_LEN(known); i++) {
        if (release->family == known[i].family && release->number >= known[i].first &&
            release->number <= known[i].last)
            return 0;
    }
    return qg_err_set(err, QG_ERR_INVALID,
                      "%s is not supported: the driver can be installed in Fedora 40 to 43 and in "
                      "Debian 12 and 13",
                      release->pretty[0] ? release->pretty : "a system without /etc/os-release");
}

int qg_driver_check_kernel(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                           struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf names = {0};
    size_t index;
    json_t *name;
    if (!want->kernel || want->packages || !json_array_size(facts->kernels))
        return 0;
    json_array_foreach(facts->kernels, index, name) {
        if (strcmp(json_string_value(name), want->kernel) == 0)
            return 0;
        if (qg_buf_printf(&names, err, "%s%s", index ? ", " : "", json_string_value(name)) < 0)
            return -1;
    }
    return qg_err_set(err, QG_ERR_INVALID,
                      "kernel is '%s', which is not installed here: there is %s", want->kernel,
                      qg_buf_text(&names));
}

/* A small file's first line; empty where it is not there. */
static int read_line(struct qg_host *host, const char *path, char *out, size_t size,
                     struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf text = {0};
    bool found;
    struct qg_err problem = {0};
    out[0] = '\0';
    if (qg_host_read_part(host, path, 0, size, &text, &found, &problem) < 0)
        return problem.kind == QG_ERR_OOM ? qg_err_oom(err) : 0; /* sysfs may refuse: not known */
    qg_span_copy(
        (struct qg_span){.at = qg_buf_text(&text), .length = strcspn(qg_buf_text(&text), "\n")},
        out, size);
    qg_text_clean(out);
    return 0;
}

static int set_text(json_t *object, const char *key, const char *text, struct qg_err *err) {
    return qg_value_set_take(object, key, text[0] ? qg_value_text(text, err) : json_null(), err);
}

/* Adds the device at address to the cards, if it is one. */
static int add_card(struct qg_host *host, const char *address, json_t *cards, struct qg_err *err) {
    static const char *const names[] = {"vendor", "device", "class"};
    char values[3][32];
    for (size_t i = 0; i < 3; i++) {
        QG_AUTO_STR char *path = qg_text_format("/sys/bus/pci/devices/%s/%s", address, names[i]);
        if (!path)
            return qg_err_oom(err);
        if (read_line(host, path, values[i], sizeof(values[i]), err) < 0)
            return -1;
    }
    if (strcmp(values[0], "0x10de") != 0 || !qg_text_starts(values[2], "0x03"))
        return 0;
    QG_AUTO_STR char *link = qg_text_format("/sys/bus/pci/devices/%s/driver", address);
    if (!link)
        return qg_err_oom(err);
    struct qg_err unknown = {0};
    QG_AUTO_STR char *driver = qg_host_link_name(host, link, &unknown);
    if (qg_err_pass_oom(err, &unknown) < 0)
        return -1;
    QG_AUTO(json) json_t *card = qg_value_object(err);
    if (!card || set_text(card, "address", address, err) < 0 ||
        set_text(card, "vendor", values[0], err) < 0 ||
        set_text(card, "device", values[1], err) < 0 ||
        set_text(card, "class", values[2], err) < 0 ||
        set_text(card, "driver", driver ? driver : "", err) < 0)
        return -1;
    return qg_value_append_take(cards, QG_STEAL(card), err);
}

json_t *qg_driver_cards(struct qg_host *host, struct qg_err *err) {
    QG_AUTO(json) json_t *cards = qg_value_array(err);
    QG_AUTO(names) char **names = cards ? qg_host_list(host, "/sys/bus/pci/devices", err) : NULL;
    if (!names)
        return NULL;
    for (char **name = names; *name; name++) {
        if (add_card(host, *name, cards, err) < 0)
            return NULL;
    }
    return QG_STEAL(cards);
}

/* Adds a file to facts->files; a folder is none. One that is no text may be removed, but never
 * edited. */
static int read_any(struct qg_host *host, const char *path, bool edited,
                    struct qg_driver_facts *out, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf text = {0};
    QG_AUTO_STR char *inside = qg_text_format("%s/.", path);
    bool found;
    if (!inside)
        return qg_err_oom(err);
    if (qg_host_exists(host, inside))
        return 0;
    if (qg_host_read(host, path, &text, &found, err) < 0)
        return -1;
    if (!found)
        return 0;
    size_t length = strlen(qg_buf_text(&text));
    if (edited && length != text.length)
        return qg_err_set(err, QG_ERR_INVALID, "%s is no text file", path);
    /* Not qg_value_text: comments in old encodings must survive an edit. */
    return qg_value_set_take(out->files, path, json_stringn_nocheck(qg_buf_text(&text), length),
                             err);
}

static int read_file(struct qg_host *host, const char *path, struct qg_driver_facts *out,
                     struct qg_err *err) {
    return read_any(host, path, true, out, err);
}

/* Reads the files of a folder that end in suffix. */
static int read_folder(struct qg_host *host, const char *folder, const char *suffix,
                       struct qg_driver_facts *out, struct qg_err *err) {
    QG_AUTO(names) char **names = qg_host_list(host, folder, err);
    if (!names)
        return -1;
    for (char **name = names; *name; name++) {
        if (!qg_text_ends(*name, suffix) || (*name)[0] == '.')
            continue;
        QG_AUTO_STR char *path = qg_text_format("%s/%s", folder, *name);
        if (!path)
            return qg_err_oom(err);
        if (read_file(host, path, out, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- kernels ---- */

static int compare_versions(const void *a, const void *b) {
    return qg_version_compare(*(char *const *)a, *(char *const *)b);
}

static json_t *read_kernels(struct qg_host *host, struct qg_err *err) {
    QG_AUTO(json) json_t *kernels = qg_value_array(err);
    QG_AUTO(names) char **names = kernels ? qg_host_list(host, "/lib/modules", err) : NULL;
    if (!names)
        return NULL;
    size_t count = 0;
    while (names[count])
        count++;
    qsort(names, count, sizeof(*names), compare_versions);
    for (char **name = names; *name; name++) {
        if (qg_driver_args_is_name(*name) &&
            qg_value_append_take(kernels, qg_value_text(*name, err), err) < 0)
            return NULL;
    }
    return QG_STEAL(kernels);
}

/* The kernel of the boot loader entry that grubenv says was chosen. */
static int saved_kernel(struct qg_host *host, char *out, size_t size, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf env = {0};
    QG_AUTO(buf) struct qg_buf entry = {0};
    char saved[192];
    bool found;
    out[0] = '\0';
    struct qg_err ignored = {0};
    if (qg_host_read(host, "/boot/grub2/grubenv", &env, &found, &ignored) < 0 || !found ||
        !qg_parse_setting(qg_buf_text(&env), "saved_entry", saved, sizeof(saved)) || !saved[0] ||
        strchr(saved, '/'))
        return 0;
    QG_AUTO_STR char *path = qg_text_format("/boot/loader/entries/%s.conf", saved);
    if (!path)
        return qg_err_oom(err);
    if (qg_host_read(host, path, &entry, &found, &ignored) < 0 || !found)
        return 0;
    const char *rest = qg_buf_text(&entry);
    struct qg_span line;
    while (qg_line_next(&rest, &line)) {
        struct qg_span word;
        if (qg_word_next(&line, " \t\r", &word) && qg_span_is(word, "version"))
            qg_span_copy(qg_span_trim(line), out, size);
    }
    if (!qg_driver_args_is_name(out))
        out[0] = '\0';
    return 0;
}

/* The newest /boot/vmlinuz-*; a rescue image or a copy (.old, .bak) has no modules. */
static int newest_kernel(struct qg_host *host, char *out, size_t size, struct qg_err *err) {
    static const char prefix[] = "vmlinuz-";
    QG_AUTO(names) char **names = qg_host_list(host, "/boot", err);
    if (!names)
        return -1;
    for (char **name = names; *name; name++) {
        const char *release = *name + strlen(prefix);
        if (!qg_text_starts(*name, prefix) || strstr(release, "rescue") ||
            !qg_driver_args_is_name(release))
            continue;
        QG_AUTO_STR char *modules = qg_text_format("/lib/modules/%s", release);
        if (!modules)
            return qg_err_oom(err);
        if (!qg_host_exists(host, modules))
            continue;
        if (!out[0] || qg_version_compare(release, out) > 0)
            snprintf(out, size, "%s", release);
    }
    return 0;
}

int qg_driver_next_kernel(struct qg_host *host, char *out, size_t size, struct qg_err *err) {
    if (saved_kernel(host, out, size, err) < 0)
        return -1;
    return out[0] ? 0 : newest_kernel(host, out, size, err);
}

static int read_booted(struct qg_host *host, struct qg_driver_facts *out, struct qg_err *err) {
    if (read_line(host, "/proc/sys/kernel/osrelease", out->booted, sizeof(out->booted), err) < 0 ||
        read_line(host, "/proc/sys/kernel/random/boot_id", out->boot_id, sizeof(out->boot_id),
                  err) < 0)
        return -1;
    if (!out->booted[0]) {
        char line[256];
        if (read_line(host, "/proc/version", line, sizeof(line), err) < 0)
            return -1;
        qg_parse_proc_version(line, out->booted, sizeof(out->booted));
    }
    if (!qg_driver_args_is_name(out->booted))
        out->booted[0] = '\0';
    return 0;
}

bool qg_driver_list_has(const json_t *list, const char *text) {
    size_t index;
    json_t *item;
    json_array_foreach(list, index, item) {
        if (strcmp(json_string_value(item), text) == 0)
            return true;
    }
    return false;
}

static int choose_kernel(const struct qg_driver_want *want, struct qg_driver_facts *out) {
    const json_t *newest = json_array_get(out->kernels, json_array_size(out->kernels) - 1);
    const char *chosen = want->kernel                                    ? want->kernel
                         : out->next[0]                                  ? out->next
                         : qg_driver_list_has(out->kernels, out->booted) ? out->booted
                         : newest                                        ? json_string_value(newest)
                                                                         : "";
    snprintf(out->kernel, sizeof(out->kernel), "%s", chosen);
    return 0;
}

static int read_boot(struct qg_host *host, const struct qg_driver_want *want,
                     struct qg_driver_facts *out, struct qg_err *err) {
    const char *const places[] = {want->grub_out, "/boot/grub2/grub.cfg", "/boot/grub/grub.cfg"};
    for (size_t i = 0; i < QG_ARRAY_LEN(places) && !out->grub_out[0]; i++) {
        if (places[i] && qg_host_exists(host, places[i]))
            snprintf(out->grub_out, sizeof(out->grub_out), "%s", places[i]);
    }
    out->kernels = read_kernels(host, err);
    if (!out->kernels || read_booted(host, out, err) < 0 ||
        qg_driver_next_kernel(host, out->next, sizeof(out->next), err) < 0)
        return -1;
    return choose_kernel(want, out);
}

/* ---- what a distribution keeps where ---- */

static int read_repositories(struct qg_host *host, struct qg_driver_facts *out,
                             struct qg_err *err) {
    static const char *const folders[] = {"/usr/share/dnf5/repos.d", "/etc/distro.repos.d",
                                          "/etc/yum/repos.d", "/etc/yum.repos.d"};
    static const char *const overrides[] = {"/usr/share/dnf5/repos.override.d",
                                            "/etc/dnf/repos.override.d"};
    for (size_t i = 0; i < QG_ARRAY_LEN(folders); i++) {
        if (read_folder(host, folders[i], ".repo", out, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < QG_ARRAY_LEN(overrides) && out->manager == QG_MANAGER_DNF5; i++) {
        if (read_folder(host, overrides[i], ".repo", out, err) < 0)
            return -1;
    }
    const char *path;
    json_t *text;
    for (int override = 0; override < 2; override++) {
        json_object_foreach(out->files, path, text) {
            if (!qg_text_ends(path, ".repo") || (strstr(path, ".override.d/") != NULL) != override)
                continue;
            if ((override ? qg_parse_repo_override : qg_parse_repo_file)(
                    json_string_value(text), out->repositories, err) < 0)
                return -1;
        }
    }
    return 0;
}

static int read_fedora(struct qg_host *host, struct qg_driver_facts *out, struct qg_err *err) {
    return read_repositories(host, out, err) < 0 ||
                   read_file(host, "/etc/dnf/dnf.conf", out, err) < 0 ||
                   read_file(host, "/etc/rpm/macros.nvidia-kmod", out, err) < 0 ||
                   read_folder(host, "/boot/loader/entries", ".conf", out, err) < 0
               ? -1
               : 0;
}

/* Adds the versions of a DKMS module that dkms calls broken: their source folder is gone. */
static int add_leftovers(struct qg_host *host, const char *module, json_t *out,
                         struct qg_err *err) {
    QG_AUTO_STR char *folder = qg_text_format("/var/lib/dkms/%s", module);
    QG_AUTO(names) char **versions = folder ? qg_host_list(host, folder, err) : NULL;
    if (!versions)
        return folder ? -1 : qg_err_oom(err);
    for (char **version = versions; *version; version++) {
        QG_AUTO_STR char *conf = qg_text_format("%s/%s/source/dkms.conf", folder, *version);
        if (!conf)
            return qg_err_oom(err);
        if ((*version)[0] >= '0' && (*version)[0] <= '9' && !qg_host_exists(host, conf) &&
            qg_value_append_take(out, qg_value_format(err, "%s/%s", module, *version), err) < 0)
            return -1;
    }
    return 0;
}

static int read_leftovers(struct qg_host *host, struct qg_driver_facts *out, struct qg_err *err) {
    QG_AUTO(names) char **modules = qg_host_list(host, "/var/lib/dkms", err);
    for (char **module = modules; module && *module; module++) {
        if (qg_text_starts(*module, "nvidia") &&
            add_leftovers(host, *module, out->leftovers, err) < 0)
            return -1;
    }
    return modules ? 0 : -1;
}

static int read_nouveau(struct qg_host *host, struct qg_driver_facts *out, struct qg_err *err) {
    static const char *const folders[] = {"/etc/modprobe.d", "/usr/lib/modprobe.d",
                                          "/lib/modprobe.d"};
    for (size_t i = 0; i < QG_ARRAY_LEN(folders) && !out->nouveau_off; i++) {
        QG_AUTO(names) char **names = qg_host_list(host, folders[i], err);
        if (!names)
            return -1;
        for (char **name = names; *name && !out->nouveau_off; name++) {
            QG_AUTO(buf) struct qg_buf text = {0};
            QG_AUTO_STR char *path = qg_text_format("%s/%s", folders[i], *name);
            bool found;
            if (!path)
                return qg_err_oom(err);
            struct qg_err ignored = {0};
            if (!qg_text_ends(*name, ".conf") ||
                qg_host_read(host, path, &text, &found, &ignored) < 0)
                continue;
            const char *rest = qg_buf_text(&text);
            struct qg_span line;
            while (qg_line_next(&rest, &line))
                out->nouveau_off =
                    out->nouveau_off || qg_span_is(qg_span_trim(line), "blacklist nouveau");
        }
    }
    return 0;
}

static int read_debian(struct qg_host *host, struct qg_driver_facts *out, struct qg_err *err) {
    return read_file(host, "/etc/apt/sources.list", out, err) < 0 ||
                   read_folder(host, "/etc/apt/sources.list.d", ".list", out, err) < 0 ||
                   read_folder(host, "/etc/apt/sources.list.d", ".sources", out, err) < 0 ||
                   read_leftovers(host, out, err) < 0
               ? -1
               : 0;
}

static enum qg_manager find_manager(struct qg_host *host, const struct qg_release *release) {
    struct qg_err ignored = {0};
    if (release->family == QG_FAMILY_DEBIAN)
        return QG_MANAGER_APT;
    if (release->family != QG_FAMILY_FEDORA)
        return QG_MANAGER_NONE;
    QG_AUTO_STR char *five = qg_host_which(host, "dnf5", &ignored);
    QG_AUTO_STR char *four = qg_host_which(host, "dnf", &ignored);
    if (five || four)
        return five ? QG_MANAGER_DNF5 : QG_MANAGER_DNF4;
    return release->number >= 41 ? QG_MANAGER_DNF5 : QG_MANAGER_DNF4;
}

static int make_containers(struct qg_driver_facts *out, struct qg_err *err) {
    out->files = qg_value_object(err);
    out->repositories = qg_value_object(err);
    out->installed = qg_value_object(err);
    out->broken = qg_value_object(err);
    out->held = qg_value_array(err);
    out->leftovers = qg_value_array(err);
    return out->files && out->repositories && out->installed && out->broken && out->held &&
                   out->leftovers
               ? 0
               : -1;
}

static int read_release(struct qg_host *host, struct qg_driver_facts *out, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf text = {0};
    bool found;
    if (qg_host_read(host, "/etc/os-release", &text, &found, err) < 0 ||
        (!found && qg_host_read(host, "/usr/lib/os-release", &text, &found, err) < 0))
        return -1;
    qg_parse_os_release(qg_buf_text(&text), &out->release);
    out->manager = find_manager(host, &out->release);
    return 0;
}

static int read_nova(struct qg_host *host, struct qg_driver_facts *out, struct qg_err *err) {
    QG_AUTO_STR char *folder =
        qg_text_format("/lib/modules/%s/kernel/drivers/gpu/nova-core", out->kernel);
    QG_AUTO(names) char **names = folder ? qg_host_list(host, folder, err) : NULL;
    if (!names)
        return folder ? -1 : qg_err_oom(err);
    out->has_nova = names[0] != NULL;
    return 0;
}

bool qg_driver_starts_at_boot(struct qg_host *host) {
    return qg_host_exists(
        host, "/etc/systemd/system/multi-user.target.wants/nvidia-persistenced.service");
}

int qg_driver_facts_read(struct qg_host *host, const struct qg_driver_want *want,
                         struct qg_driver_facts *out, struct qg_err *err) {
    *out = (struct qg_driver_facts){0};
    if (make_containers(out, err) < 0 || read_release(host, out, err) < 0 ||
        read_boot(host, want, out, err) < 0)
        return -1;
    out->cards = qg_driver_cards(host, err);
    out->record = qg_record_load(host, err);
    if (!out->cards || !out->record || read_file(host, want->grub_conf, out, err) < 0 ||
        read_any(host, want->nvidia_conf, false, out, err) < 0 || read_nouveau(host, out, err) < 0)
        return -1;
    if ((out->release.family == QG_FAMILY_FEDORA && read_fedora(host, out, err) < 0) ||
        (out->release.family == QG_FAMILY_DEBIAN && read_debian(host, out, err) < 0))
        return -1;
    unsigned lines = 0, bad = 0;
    if (read_nova(host, out, err) < 0 ||
        (out->release.family == QG_FAMILY_FEDORA && out->grub_out[0] && out->kernel[0] &&
         qg_boot_count_lines(host, out, &lines, &bad, err) < 0))
        return -1;
    out->boots_nouveau = bad > 0;
    out->persistence = qg_driver_starts_at_boot(host);
    struct qg_err ignored = {0};
    (void)qg_host_space(host, "/tmp", &out->tmp, &ignored);
    if (out->kernel[0] &&
        qg_module_find(host, out->kernel, &out->module, &out->has_module, err) < 0)
        return -1;
    return qg_packages_read(host, want, out, err);
}

json_t *qg_driver_facts_value(const struct qg_driver_facts *facts, struct qg_err *err) {
    static const char *const families[] = {"other", "fedora", "debian"};
    QG_AUTO(json) json_t *out = qg_value_object(err);
    QG_AUTO(json) json_t *module = qg_value_object(err);
    if (!out || !module || set_text(module, "path", facts->module.path, err) < 0 ||
        set_text(module, "name", facts->module.name, err) < 0 ||
        set_text(module, "version", facts->module.version, err) < 0)
        return NULL;
    if (set_text(out, "distribution", facts->release.pretty, err) < 0 ||
        set_text(out, "family", families[facts->release.family], err) < 0 ||
        qg_value_set_take(out, "release", qg_value_int(facts->release.number, err), err) < 0 ||
        set_text(out, "package_manager", qg_manager_name(facts->manager), err) < 0 ||
        set_text(out, "booted_kernel", facts->booted, err) < 0 ||
        set_text(out, "next_kernel", facts->next, err) < 0 ||
        set_text(out, "kernel", facts->kernel, err) < 0 ||
        set_text(out, "grub_cfg", facts->grub_out, err) < 0 ||
        qg_value_set_take(out, "kernels", json_incref(facts->kernels), err) < 0 ||
        qg_value_set_take(out, "cards", json_incref(facts->cards), err) < 0 ||
        qg_value_set_take(out, "module", facts->has_module ? QG_STEAL(module) : json_null(), err) <
            0)
        return NULL;
    return QG_STEAL(out);
}
