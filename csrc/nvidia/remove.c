/* SPDX-License-Identifier: GPL-3.0-or-later */
/* nvidia.driver_removed: what the record says that we did, undone. */
#include "nvidia/nvidia.h"
#include "nvidia/packages.h"
#include "nvidia/steps.h"

#include "base/text.h"
#include "doc/kernel_cmdline.h"
#include "nvidia/edit.h"
#include "nvidia/lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What of the record is still there to undo. */
struct undo {
    struct qg_task *task;
    const struct qg_driver_facts *facts;
    json_t *packages; /* list: added by us and still there */
    json_t *missing;  /* list: taken away by us and still away */
    json_t *left;     /* mapping: path > entry, of files that were left to who changed them */
};

static void undo_fini(struct undo *undo) {
    json_decref(undo->packages);
    json_decref(undo->missing);
    json_decref(undo->left);
}
QG_DEFINE_AUTO_FINI(undo, struct undo, undo_fini)

static const json_t *recorded(const struct undo *undo, const char *list) {
    return json_object_get(undo->task->record, list);
}

/* Warns of the packages, if there are any. */
static int warn_names(struct qg_task *task, const char *what, const json_t *list,
                      struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf names = {0};
    size_t index;
    json_t *name;
    json_array_foreach(list, index, name) {
        if (qg_buf_printf(&names, err, " %s", json_string_value(name)) < 0)
            return -1;
    }
    return names.length ? qg_report_warn(task->report, err, "%s:%s", what, qg_buf_text(&names)) : 0;
}

/* Adds the names that are in now, or are not; all of them without now. */
static int pick(const json_t *names, const json_t *now, bool there, json_t *out,
                struct qg_err *err) {
    size_t index;
    json_t *name;
    json_array_foreach(names, index, name) {
        if ((!now || there == (json_object_get(now, json_string_value(name)) != NULL)) &&
            qg_value_append_take(out, json_incref(name), err) < 0)
            return -1;
    }
    return 0;
}

/* Sorts the record's packages by what is there now. */
static int look_at_packages(struct undo *undo, struct qg_err *err) {
    bool known;
    QG_AUTO(json)
    json_t *now = qg_packages_all(undo->task->host, undo->facts->release.family, &known, err);
    undo->packages = qg_value_array(err);
    undo->missing = qg_value_array(err);
    undo->left = qg_value_object(err);
    if (!now || !undo->packages || !undo->missing || !undo->left)
        return -1;
    /* Where that cannot be asked, ours are taken to be there. */
    if (pick(recorded(undo, "packages"), known ? now : NULL, true, undo->packages, err) < 0 ||
        (known && pick(recorded(undo, "removed"), now, false, undo->missing, err) < 0))
        return -1;
    /* A killed run has not sorted out what was its own, and akmods builds for each new kernel. */
    const char *key;
    json_t *unused;
    const json_t *before = recorded(undo, "before");
    json_object_foreach(now, key, unused) {
        bool ours = before ? !json_object_get(before, key)
                           : qg_driver_list_has(undo->packages, "akmod-nvidia") &&
                                 qg_text_starts(key, "kmod-nvidia-") &&
                                 !qg_driver_list_has(undo->packages, key);
        if (ours && qg_value_append_take(undo->packages, qg_value_text(key, err), err) < 0)
            return -1;
    }
    if (undo->facts->release.family == QG_FAMILY_FEDORA)
        return 0;
    if (warn_names(undo->task, "taken away for the driver, and not brought back", undo->missing,
                   err) < 0)
        return -1;
    return json_array_clear(undo->missing);
}

/* Moves the one package, where it is there, from names to kept. */
static int keep(struct qg_span package, json_t *names, json_t *kept, struct qg_err *err) {
    size_t index;
    json_t *name;
    json_array_foreach(names, index, name) {
        if (!qg_span_is(package, json_string_value(name)))
            continue;
        if (qg_value_append_take(kept, json_incref(name), err) < 0)
            return -1;
        (void)json_array_remove(names, index);
        break;
    }
    return 0;
}

/* Moves the packages that dpkg, in a simulation, would not let go from names to kept. */
static int sort_out_needed(const char *text, json_t *names, json_t *kept, struct qg_err *err) {
    static const char mark[] = "dependency problems prevent removal of ";
    for (const char *at = text; (at = strstr(at, mark)) != NULL;) {
        at += strlen(mark);
        /* `NAME:`, with its architecture where there could be others: we leave out this one's. */
        struct qg_span package = {.at = at, .length = strcspn(at, "\n")};
        package.length -= qg_span_ends(package, ":");
        package.length -= qg_span_ends(package, ":amd64") ? 6 : 0;
        if (keep(package, names, kept, err) < 0)
            return -1;
    }
    return 0;
}

static const char needed[] = "left installed, since other packages need them by now";

/* After a purge that failed: packages with a say in it (sudo, without a password for root) stay and
 * are named. Anything of the driver's that stays is a failure. */
static int look_who_refused(const struct undo *undo, const struct qg_host_result *result,
                            struct qg_err *err) {
    bool known;
    QG_AUTO(json)
    json_t *now = qg_packages_all(undo->task->host, QG_FAMILY_DEBIAN, &known, err);
    QG_AUTO(json) json_t *left = qg_value_array(err);
    size_t index;
    json_t *name;
    if (!now || !left)
        return -1;
    json_array_foreach(undo->packages, index, name) {
        const char *text = json_string_value(name);
        if (known && !json_object_get(now, text))
            continue;
        if (!known || strstr(text, "nvidia"))
            return qg_task_failed(undo->task, "dpkg --purge", result, err);
        if (qg_value_append_take(left, json_incref(name), err) < 0)
            return -1;
    }
    return warn_names(undo->task,
                      "left installed, since dpkg cannot remove them (the log has its reasons)",
                      left, err);
}

/* dpkg, not apt: it removes what is named and nothing else. What came as a dependency may since
 * be needed by others, such as a newer kernel: that stays. */
static int remove_dpkg(const struct undo *undo, struct qg_err *err) {
    static const char *const simulate[] = {"dpkg",    "--simulate", "--abort-after=100000",
                                           "--purge", "--",         NULL};
    static const char *const purge[] = {"dpkg", "--purge", "--", NULL};
    QG_AUTO(json) json_t *kept = qg_value_array(err);
    QG_AUTO(host_result) struct qg_host_result simulated = {0};
    QG_AUTO(host_result) struct qg_host_result result = {0};
    if (!kept || qg_task_wait_for_locks(undo->task, err) < 0 ||
        qg_task_run_names(undo->task, simulate, undo->packages, &simulated, err) < 0 ||
        sort_out_needed(qg_buf_text(&simulated.out), undo->packages, kept, err) < 0)
        return -1;
    if (simulated.exit_code && !json_array_size(kept))
        return qg_task_failed(undo->task, "dpkg --simulate --purge", &simulated, err);
    if (warn_names(undo->task, needed, kept, err) < 0)
        return -1;
    if (!json_array_size(undo->packages))
        return 0;
    if (qg_task_run_names(undo->task, purge, undo->packages, &result, err) < 0)
        return -1;
    return result.exit_code ? look_who_refused(undo, &result, err) : 0;
}

/* Adds what others need, from one line of rpm's: a package, a file, a library, or several of these
 * as in `(grubby or sdubby)`. Words such as `or` and `>=` are nobody's and do no harm. */
static int add_needed(struct qg_span line, json_t *things, struct qg_err *err) {
    const char *mark = memmem(line.at, line.length, " is needed by ", 14);
    struct qg_span rest = {.at = line.at, .length = mark ? (size_t)(mark - line.at) : 0}, word;
    while (qg_word_next(&rest, " \t", &word)) {
        const char *at = word.at + strspn(word.at, "(");
        size_t length = word.length - (size_t)(at - word.at);
        if (!memchr(at, '(', length))
            length = strcspn(at, ") \t");
        if (length &&
            qg_value_append_take(things, qg_value_format(err, "%.*s", (int)length, at), err) < 0)
            return -1;
    }
    return 0;
}

/* Moves the packages that rpm says others need from the undo's to kept. */
static int sort_out_providers(const struct undo *undo, const char *text, json_t *kept,
                              struct qg_err *err) {
    static const char *const ask[] = {"rpm", "-q", "--qf", qg_rpm_format, "--whatprovides",
                                      "--",  NULL};
    QG_AUTO(json) json_t *things = qg_value_array(err);
    QG_AUTO(host_result) struct qg_host_result result = {0};
    struct qg_span line;
    if (!things)
        return -1;
    while (qg_line_next(&text, &line)) {
        if (add_needed(line, things, err) < 0)
            return -1;
    }
    if (!json_array_size(things))
        return 0;
    if (qg_task_run_names(undo->task, ask, things, &result, err) < 0)
        return -1;
    QG_AUTO(json) json_t *owners = qg_value_object(err);
    if (!owners || qg_parse_rpm_list(qg_buf_text(&result.out), owners, err) < 0)
        return -1;
    const char *name;
    json_t *unused;
    json_object_foreach(owners, name, unused) {
        struct qg_span owner = {.at = name, .length = strlen(name)};
        if (keep(owner, undo->packages, kept, err) < 0)
            return -1;
    }
    return 0;
}

/* rpm, not dnf: it removes what is named and nothing else. What others need by now stays, and what
 * that needs in turn: asked until rpm would do it. */
static int remove_rpm(const struct undo *undo, struct qg_err *err) {
    static const char *const simulate[] = {"rpm", "-e", "--test", "--allmatches", "--", NULL};
    static const char *const erase[] = {"rpm", "-e", "--allmatches", "--", NULL};
    QG_AUTO(json) json_t *kept = qg_value_array(err);
    if (!kept || qg_task_wait_for_locks(undo->task, err) < 0)
        return -1;
    for (bool ready = false; json_array_size(undo->packages);) {
        QG_AUTO(host_result) struct qg_host_result result = {0};
        size_t before = json_array_size(kept);
        if (qg_task_run_names(undo->task, ready ? erase : simulate, undo->packages, &result, err) <
            0)
            return -1;
        if (!result.exit_code && ready)
            break;
        if (result.exit_code && !ready &&
            sort_out_providers(undo, qg_buf_text(&result.out), kept, err) < 0)
            return -1;
        if (result.exit_code && json_array_size(kept) == before)
            return qg_task_failed(undo->task, "rpm", &result, err);
        ready = !result.exit_code;
    }
    return warn_names(undo->task, needed, kept, err);
}

static int remove_packages(const struct undo *undo, struct qg_err *err) {
    undo->task->step = "packages";
    if (!json_array_size(undo->packages))
        return 0;
    if (qg_task_packages_begin(undo->task, err) < 0)
        return -1;
    return undo->facts->release.family == QG_FAMILY_DEBIAN ? remove_dpkg(undo, err)
                                                           : remove_rpm(undo, err);
}

/* ---- files ---- */

static bool is_boot_file(const char *path, const char *grub_conf) {
    return strcmp(path, grub_conf) == 0 || strcmp(path, QG_NOUVEAU_CONF) == 0 ||
           qg_text_starts(path, QG_BOOT_ENTRIES);
}

/* Takes one kernel argument out of a file of the boot loader. New text or NULL. */
static char *without_item(const char *text, bool entry, const char *key, const char *item,
                          struct qg_err *err) {
    if (!entry)
        return qg_grub_remove_item(text, strlen(text), QG_GRUB_CMDLINE, key, item, err);
    QG_AUTO(buf) struct qg_buf out = {0};
    if (qg_edit_boot_entry_remove(text, key, item, &out, err) < 0)
        return NULL;
    return qg_buf_steal(&out, err);
}

/* The text without the arguments that the backup has not either. New text or NULL. */
static char *without_nouveau(const char *text, const char *backup, bool entry, struct qg_err *err) {
    QG_AUTO_STR char *now = strdup(text);
    for (const char *const *key = qg_nouveau_keys; now && *key; key++) {
        for (const char *const *item = qg_nouveau_items; now && *item; item++) {
            QG_AUTO_STR char *before = without_item(backup, entry, *key, *item, err);
            if (!before)
                return NULL;
            if (strcmp(before, backup) != 0)
                continue; /* it was there before us */
            char *next = without_item(now, entry, *key, *item, err);
            if (!next)
                return NULL;
            free(now);
            now = next;
        }
    }
    if (!now)
        qg_err_oom(err);
    return QG_STEAL(now);
}

/* Undoes our part in a file that somebody changed since. New text, or NULL without an error where
 * there is no telling it apart. */
static char *undo_edit(const char *path, const char *now, const char *backup, struct qg_err *err) {
    if (qg_text_starts(path, QG_BOOT_ENTRIES))
        return without_nouveau(now, backup, true, err);
    if (qg_text_ends(path, "/grub"))
        return without_nouveau(now, backup, false, err);
    if (qg_text_ends(path, "/dnf.conf")) {
        QG_AUTO(buf) struct qg_buf out = {0};
        if (qg_edit_dnf_include(now, "grubby-dummy", &out, err) < 0)
            return NULL;
        return qg_buf_steal(&out, err);
    }
    return NULL;
}

enum todo { NOTHING, UNDO, LEAVE };

static bool is_same(const struct qg_buf *now, const char *bytes, size_t length) {
    return now->length == length && memcmp(qg_buf_text(now), bytes, length) == 0;
}

/* What a file is to hold again: *content owned by the caller, NULL for a file that goes. Any bytes
 * where it is a backup. */
static int old_content(const struct undo *undo, const char *path, const json_t *entry,
                       const struct qg_buf *now, bool there, char **content, size_t *length,
                       enum todo *todo, struct qg_err *err) {
    const char *sum = qg_value_get_text(entry, "sum"), *kept = qg_value_get_text(entry, "backup");
    QG_AUTO(buf) struct qg_buf backup = {0};
    bool has_backup = false;
    char sum_now[17];
    if (kept && qg_host_read(undo->task->host, kept, &backup, &has_backup, err) < 0)
        return -1;
    qg_record_sum(qg_buf_text(now), now->length, sum_now);
    bool changed = sum && strcmp(sum, sum_now) != 0, lost = kept && !has_backup;
    /* Given back by a run that was cut off, begun and not done, gone by itself, or a package's file
     * that goes with its package. */
    if (there && has_backup && is_same(now, qg_buf_text(&backup), backup.length))
        return 0;
    if (sum ? !there || (changed && lost) : there || lost || json_array_size(undo->packages))
        return 0;
    *todo = lost ? LEAVE : UNDO;
    if (changed) {
        *content = undo_edit(path, qg_buf_text(now), qg_buf_text(&backup), err);
        *todo = *content ? UNDO : LEAVE;
        *length = *content ? strlen(*content) : 0;
        return err && err->kind ? -1 : 0;
    }
    *length = backup.length;
    if (has_backup)
        *content = qg_buf_steal(&backup, err);
    return has_backup && !*content ? -1 : 0;
}

static int undo_file(struct undo *undo, const char *path, const json_t *entry,
                     const char *grub_conf, struct qg_err *err) {
    struct qg_host *host = undo->task->host;
    QG_AUTO_STR char *content = NULL;
    QG_AUTO(buf) struct qg_buf now = {0};
    enum todo todo = NOTHING;
    size_t length = 0;
    bool there;
    if (qg_host_read(host, path, &now, &there, err) < 0 ||
        old_content(undo, path, entry, &now, there, &content, &length, &todo, err) < 0)
        return -1;
    if (todo == LEAVE)
        return qg_value_set_take(undo->left, path, json_incref((json_t *)(uintptr_t)entry), err) < 0
                   ? -1
                   : qg_report_warn(undo->task->report, err,
                                    "%s was changed since: left as it is, and on record", path);
    if (todo == NOTHING)
        return 0;
    if (content && there && is_same(&now, content, length))
        return 0;
    if (!undo->task->report->test && is_boot_file(path, grub_conf) &&
        qg_boot_flag(undo->task, undo->facts, true, err) < 0)
        return -1;
    if (!undo->task->report->test &&
        (content ? qg_host_write(host, path, content, length, 0644, NULL, err)
                 : qg_host_remove(host, path, NULL, err)) < 0)
        return -1;
    return qg_task_change_file(undo->task, path, there ? qg_buf_text(&now) : NULL, content, err);
}

/* The driver's package passed our arguments on to boot loader entries that we never wrote. Those
 * that an entry had before us are its own. */
static int undo_entries(struct undo *undo, const char *grub_conf, struct qg_err *err) {
    const json_t *files = recorded(undo, "files");
    const char *path;
    json_t *content;
    if (!json_object_get(files, grub_conf))
        return 0;
    json_object_foreach(undo->facts->files, path, content) {
        if (!qg_text_starts(path, QG_BOOT_ENTRIES) || json_object_get(files, path))
            continue;
        const char *now = json_string_value(content);
        const char *before = qg_value_get_text(recorded(undo, "entries"), path);
        QG_AUTO_STR char *text = without_nouveau(now, before ? before : "", true, err);
        if (!text)
            return -1;
        if (strcmp(text, now) == 0)
            continue;
        if (!undo->task->report->test &&
            qg_host_write(undo->task->host, path, text, strlen(text), 0644, NULL, err) < 0)
            return -1;
        if (qg_task_change_file(undo->task, path, now, text, err) < 0)
            return -1;
    }
    return 0;
}

static int undo_files(struct undo *undo, const char *grub_conf, struct qg_err *err) {
    const char *path;
    json_t *entry;
    undo->task->step = "files";
    json_object_foreach((json_t *)(uintptr_t)recorded(undo, "files"), path, entry) {
        if (undo_file(undo, path, entry, grub_conf, err) < 0)
            return -1;
    }
    return undo_entries(undo, grub_conf, err);
}

/* ---- the rest ---- */

static int disable(const struct undo *undo, const char *id, struct qg_err *err) {
    QG_AUTO_STR char *option = qg_text_format("%s.enabled", id);
    QG_AUTO_STR char *off = qg_text_format("%s.enabled=0", id);
    if (!option || !off)
        return qg_err_oom(err);
    const char *four[] = {"dnf", "config-manager", "--set-disabled", id, NULL};
    const char *unset[] = {"dnf", "config-manager", "unsetopt", option, NULL};
    const char *five[] = {"dnf", "config-manager", "setopt", off, NULL};
    if (undo->task->manager == QG_MANAGER_DNF4)
        return qg_task_must(undo->task, four, err);
    QG_AUTO(host_result) struct qg_host_result result = {0};
    if (qg_task_run(undo->task, unset, &result, err) < 0)
        return -1;
    return result.exit_code ? qg_task_must(undo->task, five, err) : 0;
}

/* dnf5 leaves a file that says nothing any more. */
static int drop_empty_override(const struct undo *undo, struct qg_err *err) {
    static const char path[] = "/etc/dnf/repos.override.d/99-config_manager.repo";
    QG_AUTO(buf) struct qg_buf text = {0};
    bool found;
    if (qg_host_read(undo->task->host, path, &text, &found, err) < 0)
        return -1;
    return found && !strchr(qg_buf_text(&text), '[')
               ? qg_host_remove(undo->task->host, path, NULL, err)
               : 0;
}

static int disable_repositories(const struct undo *undo, struct qg_err *err) {
    size_t index;
    json_t *id;
    undo->task->step = "repositories";
    json_array_foreach(recorded(undo, "repositories"), index, id) {
        const char *name = json_string_value(id);
        if (!json_is_true(json_object_get(undo->facts->repositories, name)))
            continue;
        if (!undo->task->report->test && disable(undo, name, err) < 0)
            return -1;
        if (qg_task_change(undo->task, "repositories", name, qg_value_text("enabled", err),
                           qg_value_text("disabled", err), err) < 0)
            return -1;
    }
    return undo->task->report->test ? 0 : drop_empty_override(undo, err);
}

/* Puts back what stood in the driver's way. Not being able to is no reason to fail. */
static int bring_back(const struct undo *undo, struct qg_err *err) {
    static const char *const words[] = {"dnf", "-y", "install", "--allowerasing", NULL};
    undo->task->step = "packages";
    if (!json_array_size(undo->missing))
        return 0;
    QG_AUTO(host_result) struct qg_host_result result = {0};
    int status = qg_task_packages_begin(undo->task, err) < 0
                     ? -1
                     : qg_task_run_names(undo->task, words, undo->missing, &result, err);
    if (status == 0 && result.exit_code)
        return qg_report_warn(undo->task->report, err,
                              "%s was there before the driver and could not be installed again",
                              json_string_value(json_array_get(undo->missing, 0)));
    return status;
}

/* Services start at boot as they did before us. */
static int reset_services(const struct undo *undo, struct qg_err *err) {
    const char *name;
    json_t *on;
    undo->task->step = "services";
    json_object_foreach(qg_value_mutable(recorded(undo, "services")), name, on) {
        bool was = json_is_true(on);
        struct qg_err gone = {0};
        if (was == undo->facts->persistence ||
            qg_service_set(undo->task, name, was, was ? &gone : err) == 0)
            continue;
        /* One that is to start again may be gone, with its package. */
        if (!was || qg_report_warn(undo->task->report, err, "%s started at boot before: %s", name,
                                   gone.text) < 0)
            return -1;
    }
    return 0;
}

/* Foretells packages that go, or come back. */
static int foretell(const struct undo *undo, const json_t *names, bool back, struct qg_err *err) {
    size_t index;
    json_t *name;
    json_array_foreach(names, index, name) {
        json_t *there = qg_value_text("installed", err);
        if (qg_task_change(undo->task, "packages", json_string_value(name),
                           back ? json_null() : there, back ? there : json_null(), err) < 0)
            return -1;
    }
    return 0;
}

static int dry_run(struct undo *undo, const char *grub_conf, struct qg_err *err) {
    struct qg_report *report = undo->task->report;
    if (reset_services(undo, err) < 0 || foretell(undo, undo->packages, false, err) < 0 ||
        foretell(undo, undo->missing, true, err) < 0 || undo_files(undo, grub_conf, err) < 0 ||
        disable_repositories(undo, err) < 0 || qg_dnf_tmp_restore(undo->task, err) < 0)
        return -1;
    if (!json_object_size(undo->left))
        report->result = QG_RESULT_WOULD; /* the record goes in any case */
    return qg_report_say(report, err, "%s",
                         report->result == QG_RESULT_WOULD ? "would undo what was done in this qube"
                                                           : "There is nothing more to undo.");
}

/* Of a file that was left, its entry and its backup are the only way back. */
static int drop_record(const struct undo *undo, struct qg_err *err) {
    struct qg_task *task = undo->task;
    if (!json_object_size(undo->left))
        return qg_record_drop(task->host, err);
    json_object_clear(task->record);
    return qg_value_set_take(task->record, "files", json_incref(undo->left), err) < 0
               ? -1
               : qg_record_save(task->host, task->record, err);
}

/* The driver may be another's, or may not have been here. */
static int conclude(const struct undo *undo, struct qg_err *err) {
    bool all = !json_object_size(undo->left), has_module = false;
    struct qg_module module;
    if (undo->facts->has_module &&
        qg_module_find(undo->task->host, undo->facts->kernel, &module, &has_module, err) < 0)
        return -1;
    bool gone = undo->facts->has_module && !has_module;
    return qg_report_say(undo->task->report, err, "%s%s%s The log is %s.",
                         gone ? "The driver is removed, and what was done for it undone"
                              : "What was done in this qube is undone",
                         all ? "" : " but for the files that are named below",
                         gone         ? ": restart the qube."
                         : has_module ? "; the driver here is not ours, and stays."
                                      : ".",
                         QG_DRIVER_LOG);
}

static int real_run(struct undo *undo, const char *grub_conf, struct qg_err *err) {
    struct qg_task *task = undo->task;
    int status = reset_services(undo, err) < 0 || remove_packages(undo, err) < 0 ||
                         undo_files(undo, grub_conf, err) < 0 || bring_back(undo, err) < 0 ||
                         disable_repositories(undo, err) < 0 ||
                         qg_boot_make(task, undo->facts, err) < 0 ||
                         qg_dnf_tmp_restore(task, err) < 0
                     ? -1
                     : 0;
    struct qg_err ending = {0};
    bool ended = qg_task_packages_end(task, &ending) == 0;
    if (status < 0)
        return -1;
    if (!ended)
        return qg_err_set(err, ending.kind, "%s", ending.text);
    return drop_record(undo, err) < 0 ? -1 : conclude(undo, err);
}

/* True where the record holds more than what an unchanged run leaves. */
static bool has_work(const json_t *record) {
    static const char *const keys[] = {"files",        "packages", "removed", "before",
                                       "repositories", "services", "tmp"};
    for (size_t i = 0; i < QG_ARRAY_LEN(keys); i++) {
        if (json_object_get(record, keys[i]))
            return true;
    }
    return false;
}

int qg_nvidia_driver_removed(struct qg_run *run, const json_t *args, struct qg_report *report,
                             struct qg_err *err) {
    static const char *const known[] = {"name", "timeout", "paths", NULL};
    QG_AUTO(driver_want) struct qg_driver_want want = {0};
    QG_AUTO(driver_facts) struct qg_driver_facts facts = {0};
    QG_AUTO(task) struct qg_task task = {0};
    QG_AUTO(undo) struct undo undo = {.task = &task, .facts = &facts};
    if (qg_driver_args_check(args, known, err) < 0 || qg_driver_want_init(&want, args, err) < 0 ||
        qg_task_init(&task, run, report, want.timeout_ms, err) < 0 ||
        qg_driver_facts_read(task.host, &want, &facts, err) < 0)
        return -1;
    task.family = facts.release.family;
    task.manager = facts.manager;
    if (!has_work(task.record))
        return qg_report_say(report, err, "%s",
                             facts.has_module
                                 ? "The driver here was not installed by nvidia.driver_installed: "
                                   "there is nothing on record to undo."
                                 : "There is no driver here, and nothing to undo.");
    if (look_at_packages(&undo, err) < 0)
        return -1;
    return report->test ? dry_run(&undo, want.grub_conf, err)
                        : real_run(&undo, want.grub_conf, err);
}
