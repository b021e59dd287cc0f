/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nvidia/plan.h"

#include "base/text.h"
#include "doc/kernel_cmdline.h"
#include "nvidia/edit.h"
#include "nvidia/lines.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const qg_nouveau_keys[] = {"rd.driver.blacklist", "modprobe.blacklist", NULL};
const char *const qg_nouveau_items[] = {"nouveau", "nova_core", NULL};

bool qg_nouveau_item_matters(const struct qg_driver_facts *facts, const char *item) {
    return facts->has_nova || strcmp(item, qg_nouveau_items[0]) == 0;
}

static const char dnf_conf[] = "/etc/dnf/dnf.conf";
static const char kmod_macros[] = "/etc/rpm/macros.nvidia-kmod";

const char *qg_driver_step_name(enum qg_driver_step_id id) {
    static const char *const names[] = {"heal",    "sources", "repositories", "grubby",
                                        "flavor",  "tmp",     "packages",     "module",
                                        "nouveau", "xorg",    "persistence"};
    return names[id];
}

void qg_driver_plan_fini(struct qg_driver_plan *plan) {
    for (size_t i = 0; i < QG_DRIVER_STEPS; i++) {
        json_decref(plan->steps[i].files);
        json_decref(plan->steps[i].names);
        json_decref(plan->steps[i].changes);
    }
    json_decref(plan->warnings);
    *plan = (struct qg_driver_plan){0};
}

bool qg_driver_plan_is_empty(const struct qg_driver_plan *plan) {
    for (size_t i = 0; i < QG_DRIVER_STEPS; i++) {
        if (plan->steps[i].needed)
            return false;
    }
    return true;
}

static void say(struct qg_driver_step *step, const char *format, ...) QG_PRINTF(2, 3);

static void say(struct qg_driver_step *step, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(step->text, sizeof(step->text), format, args);
    va_end(args);
    qg_text_clean(step->text);
}

/* Names in a row, for a step's text; the rest is counted. */
static void join(const json_t *names, char *out, size_t size) {
    size_t used = 0, index;
    json_t *name;
    out[0] = '\0';
    json_array_foreach(names, index, name) {
        const char *text = json_string_value(name);
        if (used + strlen(text) + 24 > size) {
            snprintf(out + used, size - used, " and %zu more", json_array_size(names) - index);
            return;
        }
        used += (size_t)snprintf(out + used, size - used, "%s%s", index ? " " : "", text);
    }
}

static int make_list(json_t **list, struct qg_err *err) {
    if (!*list)
        *list = qg_value_array(err);
    return *list ? 0 : -1;
}

static int add_text(json_t **list, const char *text, struct qg_err *err) {
    return make_list(list, err) < 0 ? -1
                                    : qg_value_append_take(*list, qg_value_text(text, err), err);
}

/* Foretells changes[group][name] = {old, new}; both are consumed. */
static int add_change(struct qg_driver_step *step, const char *group, const char *name, json_t *old,
                      json_t *new, struct qg_err *err) {
    QG_AUTO(json) json_t *path = NULL;
    QG_AUTO(json) json_t *owned_old = old;
    QG_AUTO(json) json_t *owned_new = new;
    QG_AUTO(json) json_t *change = qg_value_object(err);
    if (!change || add_text(&path, group, err) < 0 || add_text(&path, name, err) < 0 ||
        qg_value_set_take(change, "path", QG_STEAL(path), err) < 0 ||
        qg_value_set_take(change, "old", QG_STEAL(owned_old), err) < 0 ||
        qg_value_set_take(change, "new", QG_STEAL(owned_new), err) < 0 ||
        make_list(&step->changes, err) < 0)
        return -1;
    return qg_value_append_take(step->changes, QG_STEAL(change), err);
}

static json_t *block_value(const char *from, const char *to, struct qg_err *err) {
    QG_AUTO_STR char *text =
        qg_span_dup((struct qg_span){.at = from, .length = (size_t)(to - from)}, err);
    if (!text)
        return NULL;
    size_t length = strlen(text);
    if (length && text[length - 1] == '\n')
        text[length - 1] = '\0';
    qg_text_clean_block(text);
    return qg_value_text(text, err);
}

/* Moves both ends of a text to the lines that differ from another's. */
int qg_changed_lines(const char *before, const char *after, json_t **old, json_t **new,
                     struct qg_err *err) {
    const char *a = before ? before : "", *b = after ? after : "";
    size_t same = 0, line = 0;
    for (; a[same] && a[same] == b[same]; same++) {
        if (a[same] == '\n')
            line = same + 1;
    }
    const char *a_end = a + strlen(a), *b_end = b + strlen(b);
    const char *a_cut = a_end, *b_cut = b_end;
    while (a_end > a + line && b_end > b + line && a_end[-1] == b_end[-1]) {
        a_end--;
        b_end--;
        if (a_end == a + line || b_end == b + line || (a_end[-1] == '\n' && b_end[-1] == '\n')) {
            a_cut = a_end;
            b_cut = b_end;
        }
    }
    *old = before ? block_value(a + line, a_cut, err) : json_null();
    *new = after ? block_value(b + line, b_cut, err) : json_null();
    return *old && *new ? 0 : -1;
}

/* Puts a new content into the step's files and foretells the change. after NULL: removal. */
static int add_file(struct qg_driver_step *step, const char *path, const char *before,
                    const char *after, struct qg_err *err) {
    json_t *old = NULL, *new = NULL;
    if (!step->files)
        step->files = qg_value_object(err);
    if (!step->files ||
        qg_value_set_take(step->files, path,
                          after ? json_stringn_nocheck(after, strlen(after)) : json_null(),
                          err) < 0)
        return -1;
    if (qg_changed_lines(before, after, &old, &new, err) < 0) {
        json_decref(old);
        json_decref(new);
        return -1;
    }
    step->needed = true;
    return add_change(step, "files", path, old, new, err);
}

/* As add_file, where the content differs. */
static int add_edit(struct qg_driver_step *step, const char *path, const char *before,
                    const char *after, struct qg_err *err) {
    if (before && strcmp(before, after) == 0)
        return 0;
    return add_file(step, path, before, after, err);
}

/* ---- what is missing ---- */

static int missing_packages(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                            json_t **out, struct qg_err *err) {
    QG_AUTO(json) json_t *wanted = qg_driver_packages(want, facts, err);
    if (!wanted || make_list(out, err) < 0)
        return -1;
    size_t index;
    json_t *name;
    json_array_foreach(wanted, index, name) {
        if (!qg_parse_find_package(facts->installed, json_string_value(name)) &&
            qg_value_append_take(*out, json_incref(name), err) < 0)
            return -1;
    }
    return 0;
}

static int has_missing(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                       bool *out, struct qg_err *err) {
    QG_AUTO(json) json_t *missing = NULL;
    if (missing_packages(want, facts, &missing, err) < 0)
        return -1;
    *out = json_array_size(missing) > 0;
    return 0;
}

bool qg_driver_is_outdated(const struct qg_driver_facts *facts) {
    static const char *const sources[] = {"akmod-nvidia", "nvidia-kernel-dkms",
                                          "nvidia-open-kernel-dkms"};
    for (size_t i = 0; i < QG_ARRAY_LEN(sources); i++) {
        const char *version = qg_value_get_text(facts->installed, sources[i]);
        size_t length = version ? strcspn(version, "-") : 0;
        if (version && facts->module.version[0] &&
            (length != strlen(facts->module.version) ||
             memcmp(version, facts->module.version, length) != 0))
            return true;
    }
    return false;
}

bool qg_driver_other_flavor(const struct qg_driver_want *want,
                            const struct qg_driver_facts *facts) {
    enum qg_flavor flavor = facts->module.flavor;
    return facts->has_module && want->flavor != QG_FLAVOR_AUTO && flavor != QG_FLAVOR_AUTO &&
           flavor != want->flavor;
}

static int needs_module(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                        bool *out, struct qg_err *err) {
    bool missing;
    if (has_missing(want, facts, &missing, err) < 0)
        return -1;
    *out = missing || !facts->has_module || qg_driver_is_outdated(facts) ||
           qg_driver_other_flavor(want, facts) ||
           json_is_true(json_object_get(facts->record, "rebuild"));
    return 0;
}

/* ---- the steps, in their order ---- */

bool qg_driver_is_unwanted(const json_t *wanted, const char *package) {
    static const char *const flavors[] = {"nvidia-kernel-dkms", "nvidia-open-kernel-dkms"};
    for (size_t i = 0; i < QG_ARRAY_LEN(flavors); i++) {
        if (strcmp(package, flavors[i]) == 0)
            return !qg_driver_list_has(wanted, package) &&
                   qg_driver_list_has(wanted, flavors[1 - i]);
    }
    return false;
}

static int plan_heal(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                     struct qg_driver_step *step, struct qg_err *err) {
    QG_AUTO(json) json_t *wanted = qg_driver_packages(want, facts, err);
    if (!wanted)
        return -1;
    const char *name;
    json_t *state;
    json_object_foreach(facts->broken, name, state) {
        if (add_text(&step->names, name, err) < 0 ||
            add_change(
                step, "broken", name, json_incref(state),
                qg_value_text(qg_driver_is_unwanted(wanted, name) ? "purged" : "mended", err),
                err) < 0)
            return -1;
    }
    size_t index;
    json_t *module;
    json_array_foreach(facts->leftovers, index, module) {
        const char *text = json_string_value(module);
        if (add_text(&step->names, text, err) < 0 ||
            add_change(step, "broken", text, qg_value_text("DKMS leftover without source", err),
                       json_null(), err) < 0)
            return -1;
    }
    step->needed = step->names != NULL;
    if (step->needed) {
        char names[160];
        join(step->names, names, sizeof(names));
        say(step, "mend what an earlier installation left half-done: %s", names);
    }
    return 0;
}

static const char *const default_components[] = {"contrib", "non-free", "non-free-firmware", NULL};
static const char *const default_ids[] = {"rpmfusion-free", "rpmfusion-free-updates",
                                          "rpmfusion-nonfree", "rpmfusion-nonfree-updates", NULL};

static void free_array(const char **array) {
    free(array);
}
QG_DEFINE_AUTO(words, const char *, free_array)

/* The user's list or the default one, as an array that is freed with free(). */
static const char **words_of(const json_t *list, const char *const *standard, struct qg_err *err) {
    size_t count = json_array_size(list);
    while (!list && standard[count])
        count++;
    const char **out = calloc(count + 1, sizeof(*out));
    if (!out) {
        qg_err_oom(err);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        out[i] = list ? json_string_value(json_array_get(list, i)) : standard[i];
    return out;
}

static bool is_apt_file(const char *path) {
    return qg_text_starts(path, "/etc/apt/") &&
           (qg_text_ends(path, ".list") || qg_text_ends(path, ".sources"));
}

/* step NULL: counts only. */
static int edit_sources(const struct qg_driver_facts *facts, const struct qg_apt_wanted *wanted,
                        struct qg_driver_step *step, size_t *matched, struct qg_err *err) {
    const char *path;
    json_t *content;
    json_object_foreach(facts->files, path, content) {
        if (!is_apt_file(path))
            continue;
        QG_AUTO(buf) struct qg_buf edited = {0};
        const char *text = json_string_value(content);
        if ((qg_text_ends(path, ".list") ? qg_edit_apt_list : qg_edit_apt_deb822)(
                text, wanted, &edited, matched, err) < 0 ||
            (step && add_edit(step, path, text, qg_buf_text(&edited), err) < 0))
            return -1;
    }
    return 0;
}

static int no_sources(const struct qg_driver_facts *facts, struct qg_err *err) {
    QG_AUTO(json) json_t *paths = NULL;
    const char *path;
    json_t *content;
    json_object_foreach(facts->files, path, content) {
        if (is_apt_file(path) && add_text(&paths, path, err) < 0)
            return -1;
    }
    char names[256];
    join(paths, names, sizeof(names));
    return qg_err_set(err, QG_ERR_INVALID,
                      "no entry for Debian's archive (%s) in %s: add one, for the state does not "
                      "guess a mirror",
                      facts->release.codename, paths ? names : "/etc/apt, which has no sources");
}

/* apt only warns of a component that no release has, and would do so for ever. */
static int check_component(const char *name, struct qg_err *err) {
    if (strcmp(name, "main") == 0)
        return 0;
    for (const char *const *known = default_components; *known; known++) {
        if (strcmp(name, *known) == 0)
            return 0;
    }
    return qg_err_set(err, QG_ERR_INVALID,
                      "repositories has '%s': Debian's components are main, contrib, non-free and "
                      "non-free-firmware",
                      name);
}

/* What the components are, for the step's text. */
static int say_components(struct qg_driver_step *step, const char *const *components,
                          struct qg_err *err) {
    QG_AUTO(json) json_t *list = qg_value_array(err);
    char names[160];
    for (; *components; components++) {
        if (add_text(&list, *components, err) < 0)
            return -1;
    }
    join(list, names, sizeof(names));
    say(step, "let apt take packages from %s", names);
    return 0;
}

static int plan_sources(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                        struct qg_driver_step *step, struct qg_err *err) {
    QG_AUTO(words) const char **components = words_of(want->repositories, default_components, err);
    if (!components)
        return -1;
    for (const char **name = components; *name; name++) {
        if (check_component(*name, err) < 0)
            return -1;
    }
    struct qg_apt_wanted wanted = {.codename = facts->release.codename, .components = components};
    bool missing, any = false;
    /* A suite without an entry that is surely Debian's is looked for where it could be. */
    for (int doubt = 1; doubt <= 2; doubt++) {
        size_t matched[QG_APT_SUITES] = {0};
        if (edit_sources(facts, &wanted, NULL, matched, err) < 0)
            return -1;
        for (size_t i = 0; i < QG_APT_SUITES; i++)
            wanted.doubt[i] = matched[i] ? wanted.doubt[i] : doubt;
    }
    size_t matched[QG_APT_SUITES] = {0};
    if (edit_sources(facts, &wanted, step, matched, err) < 0 ||
        has_missing(want, facts, &missing, err) < 0)
        return -1;
    for (size_t i = 0; i < QG_APT_SUITES; i++)
        any = any || matched[i];
    if (!any && missing)
        return no_sources(facts, err);
    return step->needed ? say_components(step, components, err) : 0;
}

static int plan_repositories(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                             struct qg_driver_step *step, struct qg_err *err) {
    QG_AUTO(words) const char **ids = words_of(want->repositories, default_ids, err);
    if (!ids)
        return -1;
    for (const char **id = ids; *id; id++) {
        if (json_is_true(json_object_get(facts->repositories, *id)))
            continue;
        if (add_text(&step->names, *id, err) < 0 ||
            add_change(step, "repositories", *id,
                       json_object_get(facts->repositories, *id) ? qg_value_text("disabled", err)
                                                                 : json_null(),
                       qg_value_text("enabled", err), err) < 0)
            return -1;
    }
    step->needed = step->names != NULL;
    if (step->needed) {
        char names[160];
        join(step->names, names, sizeof(names));
        say(step, "enable the repositories %s", names);
    }
    return 0;
}

static bool has_qubes_repository(const struct qg_driver_facts *facts) {
    const char *id;
    json_t *unused;
    json_object_foreach(facts->repositories, id, unused) {
        if (qg_text_starts(id, "qubes"))
            return true;
    }
    return false;
}

static int plan_grubby(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                       struct qg_driver_step *step, struct qg_err *err) {
    (void)want;
    const char *version = qg_value_get_text(facts->installed, "grubby-dummy");
    if (!version && !has_qubes_repository(facts))
        return 0;
    const char *conf = qg_driver_file(facts, dnf_conf);
    QG_AUTO(buf) struct qg_buf edited = {0};
    if (qg_edit_dnf_exclude(conf ? conf : "", "grubby-dummy", &edited, err) < 0 ||
        add_edit(step, dnf_conf, conf, qg_buf_text(&edited), err) < 0)
        return -1;
    if (version && (add_text(&step->names, "grubby-dummy", err) < 0 ||
                    add_change(step, "packages", "grubby-dummy", qg_value_text(version, err),
                               json_null(), err) < 0))
        return -1;
    step->needed = step->needed || step->names;
    if (step->needed)
        say(step, "%s",
            step->names ? "remove grubby-dummy, which blocks the driver's packages, "
                          "and exclude it in dnf.conf"
                        : "exclude grubby-dummy in dnf.conf, or updates bring it back");
    return 0;
}

static int plan_flavor(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                       struct qg_driver_step *step, struct qg_err *err) {
    static const char *const macros[] = {[QG_FLAVOR_OPEN] = "%_with_kmod_nvidia_open 1\n",
                                         [QG_FLAVOR_PROPRIETARY] =
                                             "%_without_kmod_nvidia_detect 1\n"};
    const char *now = qg_driver_file(facts, kmod_macros);
    if (want->flavor == QG_FLAVOR_AUTO) {
        const json_t *ours = json_object_get(json_object_get(facts->record, "files"), kmod_macros);
        if (!now || !ours || qg_value_get_text(ours, "backup"))
            return 0; /* there was one before us: the user's */
        say(step, "let akmods choose the module by the card");
        return add_file(step, kmod_macros, now, NULL, err);
    }
    if (add_edit(step, kmod_macros, now, macros[want->flavor], err) < 0)
        return -1;
    if (step->needed)
        say(step, "let akmods build the %s module", qg_flavor_name(want->flavor));
    return 0;
}

static int plan_tmp(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                    struct qg_driver_step *step, struct qg_err *err) {
    bool builds;
    if (needs_module(want, facts, &builds, err) < 0)
        return -1;
    step->needed = builds && facts->tmp.in_memory && facts->tmp.size < want->tmp_size;
    if (step->needed)
        say(step, "make /tmp %llu MiB large while the module is built (it has %llu MiB)",
            (unsigned long long)(want->tmp_size >> 20),
            (unsigned long long)(facts->tmp.size >> 20));
    return 0;
}

static int plan_packages(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                         struct qg_driver_step *step, struct qg_err *err) {
    if (missing_packages(want, facts, &step->names, err) < 0)
        return -1;
    size_t index;
    json_t *name;
    json_array_foreach(step->names, index, name) {
        if (add_change(step, "packages", json_string_value(name), json_null(),
                       qg_value_text("installed", err), err) < 0)
            return -1;
    }
    step->needed = json_array_size(step->names) > 0;
    if (step->needed) {
        char names[160];
        join(step->names, names, sizeof(names));
        say(step, "install %s%s", names,
            facts->packages_known ? "" : " (what is installed is not known: rpm cannot run here)");
    }
    return 0;
}

static int plan_module(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                       struct qg_driver_step *step, struct qg_err *err) {
    if (needs_module(want, facts, &step->needed, err) < 0)
        return -1;
    if (!step->needed)
        return 0;
    const char *kernel = facts->kernel[0] ? facts->kernel : "the kernel that is installed";
    bool other = qg_driver_other_flavor(want, facts);
    say(step, "build the driver's %s%smodule for %s%s%s", other ? qg_flavor_name(want->flavor) : "",
        other ? " " : "", kernel, other ? ", where there is the other one: " : "",
        other ? qg_flavor_name(facts->module.flavor) : "");
    /* A wanted package may bring a module that is there already up to date. */
    if (facts->has_module && !qg_driver_is_outdated(facts) && !other &&
        !json_is_true(json_object_get(facts->record, "rebuild")))
        return 0;
    return add_change(step, "module", kernel,
                      facts->has_module ? qg_module_value(&facts->module, other, err) : json_null(),
                      qg_value_text("built", err), err);
}

/* Adds every argument to GRUB_CMDLINE_LINUX. New text or NULL. */
static char *edit_grub(const struct qg_driver_facts *facts, const char *text, struct qg_err *err) {
    QG_AUTO_STR char *now = strdup(text);
    if (!now) {
        qg_err_oom(err);
        return NULL;
    }
    for (const char *const *key = qg_nouveau_keys; *key; key++) {
        for (const char *const *item = qg_nouveau_items; *item; item++) {
            if (!qg_nouveau_item_matters(facts, *item))
                continue;
            char *next = qg_grub_add_item(now, strlen(now), QG_GRUB_CMDLINE, *key, *item,
                                          QG_CMDLINE_ALL, err);
            if (!next)
                return NULL;
            free(now);
            now = next;
        }
    }
    return QG_STEAL(now);
}

static char *edit_entry(const struct qg_driver_facts *facts, const char *text, struct qg_err *err) {
    QG_AUTO_STR char *now = strdup(text);
    if (!now) {
        qg_err_oom(err);
        return NULL;
    }
    for (const char *const *key = qg_nouveau_keys; *key; key++) {
        for (const char *const *item = qg_nouveau_items; *item; item++) {
            if (!qg_nouveau_item_matters(facts, *item))
                continue;
            QG_AUTO(buf) struct qg_buf next = {0};
            if (qg_edit_boot_entry_add(now, *key, *item, &next, err) < 0)
                return NULL;
            free(now);
            now = qg_buf_steal(&next, err);
            if (!now)
                return NULL;
        }
    }
    return QG_STEAL(now);
}

/* GRUB's variable for kernels to come, the boot loader entries for those that are there. */
static int nouveau_by_cmdline(const struct qg_driver_want *want,
                              const struct qg_driver_facts *facts, struct qg_driver_step *step,
                              struct qg_err *err) {
    const char *conf = qg_driver_file(facts, want->grub_conf);
    QG_AUTO_STR char *edited = edit_grub(facts, conf ? conf : "", err);
    if (!edited && err->line)
        qg_err_at(err, "%s, line %d", want->grub_conf, err->line);
    else if (!edited)
        qg_err_at(err, "%s", want->grub_conf);
    if (!edited || add_edit(step, want->grub_conf, conf, edited, err) < 0)
        return -1;
    const char *path;
    json_t *content;
    json_object_foreach(facts->files, path, content) {
        if (!qg_text_starts(path, "/boot/loader/entries/"))
            continue;
        QG_AUTO_STR char *entry = edit_entry(facts, json_string_value(content), err);
        if (!entry || add_edit(step, path, json_string_value(content), entry, err) < 0)
            return -1;
    }
    step->needed = step->needed || facts->boots_nouveau;
    if (step->files || !facts->boots_nouveau)
        return 0;
    return add_change(step, "boot", facts->grub_out,
                      qg_value_text("without the arguments that keep nouveau away", err),
                      qg_value_text("with them", err), err);
}

static int nouveau_by_modprobe(const struct qg_driver_facts *facts, struct qg_driver_step *step,
                               struct qg_err *err) {
    bool pending = json_is_true(json_object_get(facts->record, "initramfs"));
    if (!facts->nouveau_off && add_file(step, QG_NOUVEAU_CONF, NULL,
                                        "blacklist nouveau\noptions nouveau modeset=0\n", err) < 0)
        return -1;
    step->needed = step->needed || pending;
    return 0;
}

int qg_driver_plan_nouveau(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                           struct qg_driver_step *step, struct qg_err *err) {
    bool fedora = facts->release.family == QG_FAMILY_FEDORA;
    if (fedora && !facts->grub_out[0])
        return 0; /* dom0 gives the kernel: nothing here has a say */
    if (fedora ? nouveau_by_cmdline(want, facts, step, err) < 0
               : nouveau_by_modprobe(facts, step, err) < 0)
        return -1;
    step->needed = step->needed || json_is_true(json_object_get(facts->record, "mkconfig"));
    if (step->needed)
        say(step, "keep nouveau away from the card (%s)",
            fedora ? "kernel arguments of the boot loader" : "modprobe.d and the initramfs");
    return 0;
}

static int plan_nouveau(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                        struct qg_driver_step *step, struct qg_err *err) {
    bool missing;
    if (want->keep_nouveau)
        return 0;
    if (has_missing(want, facts, &missing, err) < 0)
        return -1;
    /* Debian's packages bring the blacklist: looked at again once they are there. */
    if (facts->release.family == QG_FAMILY_DEBIAN && missing)
        return 0;
    return qg_driver_plan_nouveau(want, facts, step, err);
}

static int plan_xorg(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                     struct qg_driver_step *step, struct qg_err *err) {
    const char *conf = qg_driver_file(facts, want->nvidia_conf);
    if (want->keep_xorg_conf || !conf)
        return 0;
    say(step, "remove %s, with which the GUI agent's X server takes the card", want->nvidia_conf);
    return add_file(step, want->nvidia_conf, conf, NULL, err);
}

static int plan_persistence(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                            struct qg_driver_step *step, struct qg_err *err) {
    static const char service[] = "nvidia-persistenced.service";
    bool on = want->persistence == QG_SERVICE_ON;
    if (want->persistence == QG_SERVICE_AS_IT_IS || facts->persistence == on)
        return 0;
    step->needed = true;
    say(step, "%s %s at boot", on ? "start" : "do not start", service);
    if (add_text(&step->names, service, err) < 0)
        return -1;
    return add_change(step, "services", service, qg_value_text(on ? "disabled" : "enabled", err),
                      qg_value_text(on ? "enabled" : "disabled", err), err);
}

/* ---- warnings ---- */

static unsigned card_number(const json_t *card) {
    uint64_t number = 0;
    const char *device = qg_value_get_text(card, "device");
    return device && qg_text_to_hex(device, &number) ? (unsigned)number : 0;
}

/* Device numbers by generation: the open module starts with Turing, the proprietary one ends
 * before Blackwell. */
enum { TURING = 0x1e00, BLACKWELL = 0x2900 };

static int warn_card(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                     const json_t *card, json_t **out, struct qg_err *err) {
    unsigned number = card_number(card);
    bool open = want->flavor == QG_FLAVOR_OPEN;
    bool closed = want->flavor == QG_FLAVOR_PROPRIETARY ||
                  (want->flavor == QG_FLAVOR_AUTO && facts->release.family == QG_FAMILY_DEBIAN);
    if (number && number < TURING && open)
        return add_text(out,
                        "the card is older than Turing: the open module does not drive it, "
                        "use flavor: proprietary",
                        err);
    if (number >= BLACKWELL && closed)
        return add_text(out,
                        "the card is of the Blackwell generation or later: only the open "
                        "module drives it, use flavor: open",
                        err);
    return 0;
}

static int warn_boot(const struct qg_driver_facts *facts, json_t **out, struct qg_err *err) {
    if (!facts->kernel[0])
        return add_text(out,
                        "no kernel is installed in this qube: nvidia.kernel_ready says what "
                        "is needed",
                        err);
    if (!facts->grub_out[0])
        return add_text(out,
                        "there is no grub.cfg: this qube boots a kernel of dom0's, in which "
                        "the driver cannot load (nvidia.kernel_ready, then an empty `kernel`)",
                        err);
    if (strstr(facts->booted, "qubes"))
        return add_text(out,
                        "a kernel of dom0's is running, in which the driver cannot load: set "
                        "the qube's `kernel` to nothing",
                        err);
    return 0;
}

/* Enabling them will fail; a dry run must not keep that to itself. Where no repository at all is
 * known there is nothing to compare with. */
static int warn_repositories(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                             json_t **out, struct qg_err *err) {
    QG_AUTO(words) const char **ids = words_of(want->repositories, default_ids, err);
    QG_AUTO(json) json_t *missing = NULL;
    if (!ids)
        return -1;
    if (facts->release.family != QG_FAMILY_FEDORA || !json_object_size(facts->repositories))
        return 0;
    for (const char **id = ids; *id; id++) {
        if (!json_object_get(facts->repositories, *id) && add_text(&missing, *id, err) < 0)
            return -1;
    }
    if (!missing)
        return 0;
    char names[160], text[400];
    join(missing, names, sizeof(names));
    snprintf(text, sizeof(text),
             "no file in /etc/yum.repos.d has the repositories %s: RPM Fusion's come with the "
             "packages rpmfusion-free-release and rpmfusion-nonfree-release",
             names);
    return add_text(out, text, err);
}

static int plan_warnings(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                         json_t **out, struct qg_err *err) {
    if (make_list(out, err) < 0 || warn_boot(facts, out, err) < 0 ||
        warn_repositories(want, facts, out, err) < 0)
        return -1;
    if (!json_array_size(facts->cards)) {
        bool guesses = facts->release.family == QG_FAMILY_FEDORA && want->flavor == QG_FLAVOR_AUTO;
        return add_text(out,
                        guesses ? "no NVIDIA card is attached to this qube: akmods then builds the "
                                  "open module, which does not drive cards older than Turing"
                                : "no NVIDIA card is attached to this qube",
                        err);
    }
    return warn_card(want, facts, json_array_get(facts->cards, 0), out, err);
}

typedef int plan_function(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                          struct qg_driver_step *step, struct qg_err *err);

static const struct {
    plan_function *call;
    enum qg_family only; /* QG_FAMILY_OTHER: all */
} planners[] = {
    [QG_DRIVER_HEAL] = {plan_heal, QG_FAMILY_DEBIAN},
    [QG_DRIVER_SOURCES] = {plan_sources, QG_FAMILY_DEBIAN},
    [QG_DRIVER_REPOSITORIES] = {plan_repositories, QG_FAMILY_FEDORA},
    [QG_DRIVER_GRUBBY] = {plan_grubby, QG_FAMILY_FEDORA},
    [QG_DRIVER_FLAVOR] = {plan_flavor, QG_FAMILY_FEDORA},
    [QG_DRIVER_TMP] = {plan_tmp, QG_FAMILY_FEDORA},
    [QG_DRIVER_PACKAGES] = {plan_packages, QG_FAMILY_OTHER},
    [QG_DRIVER_MODULE] = {plan_module, QG_FAMILY_OTHER},
    [QG_DRIVER_NOUVEAU] = {plan_nouveau, QG_FAMILY_OTHER},
    [QG_DRIVER_XORG] = {plan_xorg, QG_FAMILY_OTHER},
    [QG_DRIVER_PERSISTENCE] = {plan_persistence, QG_FAMILY_OTHER},
};

int qg_driver_step_plan(enum qg_driver_step_id id, const struct qg_driver_want *want,
                        const struct qg_driver_facts *facts, struct qg_driver_plan *out,
                        struct qg_err *err) {
    if (planners[id].only != QG_FAMILY_OTHER && planners[id].only != facts->release.family)
        return 0;
    return planners[id].call(want, facts, &out->steps[id], err);
}

int qg_driver_plan_make(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                        struct qg_driver_plan *out, struct qg_err *err) {
    *out = (struct qg_driver_plan){0};
    for (int id = 0; id < QG_DRIVER_STEPS; id++) {
        if (qg_driver_step_plan((enum qg_driver_step_id)id, want, facts, out, err) < 0)
            return -1;
    }
    return plan_warnings(want, facts, &out->warnings, err);
}

json_t *qg_driver_plan_value(const struct qg_driver_plan *plan, struct qg_err *err) {
    QG_AUTO(json) json_t *list = qg_value_array(err);
    for (int id = 0; list && id < QG_DRIVER_STEPS; id++) {
        const struct qg_driver_step *step = &plan->steps[id];
        if (!step->needed)
            continue;
        QG_AUTO(json) json_t *item = qg_value_object(err);
        if (!item ||
            qg_value_set_take(item, "step",
                              qg_value_text(qg_driver_step_name((enum qg_driver_step_id)id), err),
                              err) < 0 ||
            qg_value_set_take(item, "text", qg_value_text(step->text, err), err) < 0 ||
            qg_value_set_take(item, "changes",
                              step->changes ? json_incref(step->changes) : json_array(), err) < 0 ||
            qg_value_append_take(list, QG_STEAL(item), err) < 0)
            return NULL;
    }
    return QG_STEAL(list);
}
