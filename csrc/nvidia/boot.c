/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Kernel arguments, boot loader entries, the initramfs, and services. */
#include "nvidia/steps.h"

#include "base/text.h"
#include "doc/kernel_cmdline.h"
#include "nvidia/lines.h"

#include <stdio.h>
#include <string.h>

int qg_step_foretell(const struct qg_driver_step *step, struct qg_report *report,
                     struct qg_err *err) {
    size_t index;
    json_t *change;
    json_array_foreach(step->changes, index, change) {
        const json_t *keys = json_object_get(change, "path");
        const char *path[] = {json_string_value(json_array_get(keys, 0)),
                              json_string_value(json_array_get(keys, 1)), NULL};
        if (qg_report_change_take(report, path, json_incref(json_object_get(change, "old")),
                                  json_incref(json_object_get(change, "new")), err) < 0)
            return -1;
    }
    if (report->result == QG_RESULT_TRUE)
        report->result = QG_RESULT_WOULD; /* a step without a lasting change is one, too */
    return qg_report_say(report, err, "would %s", step->text);
}

int qg_step_files(const struct qg_driver_job *job, struct qg_err *err) {
    return qg_task_write_files(job->task, job->step->files, err);
}

int qg_boot_mkconfig(struct qg_task *task, const char *path, struct qg_err *err) {
    const char *program =
        qg_task_has_program(task, "grub2-mkconfig") ? "grub2-mkconfig" : "grub-mkconfig";
    const char *argv[] = {program, "-o", path, NULL};
    return qg_task_must(task, argv, err);
}

static bool keeps_nouveau_away(const struct qg_driver_facts *facts, struct qg_span line) {
    char text[4096];
    qg_span_copy(line, text, sizeof(text));
    for (const char *const *key = qg_nouveau_keys; *key; key++) {
        for (const char *const *item = qg_nouveau_items; *item; item++) {
            if (qg_nouveau_item_matters(facts, *item) &&
                !qg_cmdline_has_item(text, *key, *item, QG_CMDLINE_ALL))
                return false;
        }
    }
    return true;
}

/* Looks at the kernel lines of a boot loader file that mean the kernel: *found counts them, *bad
 * those without the arguments. */
static void count_lines(const struct qg_driver_facts *facts, const char *text, const char *word,
                        const char *kernel, unsigned *found, unsigned *bad) {
    bool meant = kernel == NULL;
    struct qg_span line;
    while (qg_line_next(&text, &line)) {
        struct qg_span trimmed = qg_span_trim(line), rest = trimmed, first;
        if (!qg_word_next(&rest, " \t", &first) || !qg_span_is(first, word))
            continue;
        if (!meant && !memmem(rest.at, rest.length, kernel, strlen(kernel)))
            continue;
        ++*found;
        *bad += !keeps_nouveau_away(facts, rest);
    }
}

/* The entries where there are some (a boot loader that reads them has no lines in grub.cfg), else
 * grub.cfg. */
int qg_boot_count_lines(struct qg_host *host, const struct qg_driver_facts *facts, unsigned *found,
                        unsigned *bad, struct qg_err *err) {
    QG_AUTO(names) char **names = qg_host_list(host, "/boot/loader/entries", err);
    if (!names)
        return -1;
    QG_AUTO_STR char *tail = qg_text_format("-%s.conf", facts->kernel);
    if (!tail)
        return qg_err_oom(err);
    for (char **name = names; *name; name++) {
        QG_AUTO(buf) struct qg_buf text = {0};
        QG_AUTO_STR char *path = qg_text_format("/boot/loader/entries/%s", *name);
        if (!path)
            return qg_err_oom(err);
        if (!qg_text_ends(*name, tail))
            continue;
        if (qg_host_read(host, path, &text, NULL, err) < 0)
            return -1;
        count_lines(facts, qg_buf_text(&text), "options", NULL, found, bad);
    }
    if (*found)
        return 0;
    QG_AUTO(buf) struct qg_buf config = {0};
    if (qg_host_read(host, facts->grub_out, &config, NULL, err) < 0)
        return -1;
    count_lines(facts, qg_buf_text(&config), "linux", facts->kernel, found, bad);
    return 0;
}

static int verify_boot_lines(const struct qg_driver_job *job, struct qg_err *err) {
    unsigned found = 0, bad = 0;
    if (qg_boot_count_lines(job->task->host, job->facts, &found, &bad, err) < 0)
        return -1;
    if (bad)
        return qg_err_set(
            err, QG_ERR_IO,
            "step nouveau: the boot loader still starts %s without the arguments that "
            "keep nouveau away",
            job->facts->kernel);
    if (!found)
        return qg_report_warn(job->task->report, err,
                              "the boot loader has no entry for the kernel %s", job->facts->kernel);
    return 0;
}

/* The initramfs holds a copy of modprobe.d. */
static int make_initramfs(struct qg_task *task, const struct qg_driver_facts *facts,
                          struct qg_err *err) {
    const char *kernel = facts->kernel;
    QG_AUTO_STR char *image = qg_text_format("/boot/initrd.img-%s", kernel);
    if (!image)
        return qg_err_oom(err);
    if (!kernel[0] || !qg_host_exists(task->host, image))
        return 0;
    const char *argv[] = {"update-initramfs", "-u", "-k", kernel, NULL};
    return qg_task_must(task, argv, err);
}

static const char *boot_flag(const struct qg_driver_facts *facts) {
    return facts->release.family == QG_FAMILY_FEDORA ? "mkconfig" : "initramfs";
}

int qg_boot_flag(struct qg_task *task, const struct qg_driver_facts *facts, bool value,
                 struct qg_err *err) {
    return qg_task_flag(task, boot_flag(facts), value, err);
}

int qg_boot_make(struct qg_task *task, const struct qg_driver_facts *facts, struct qg_err *err) {
    if (!qg_task_has_flag(task, boot_flag(facts)))
        return 0;
    if (facts->release.family != QG_FAMILY_FEDORA)
        return make_initramfs(task, facts, err);
    return facts->grub_out[0] ? qg_boot_mkconfig(task, facts->grub_out, err) : 0;
}

/* Copies a boot loader entry, cleaned so that it can be on record. */
static json_t *entry_copy(const char *text, struct qg_err *err) {
    QG_AUTO_STR char *copy = strdup(text);
    if (!copy) {
        qg_err_oom(err);
        return NULL;
    }
    qg_text_clean_data(copy);
    return qg_value_text(copy, err);
}

int qg_boot_remember(struct qg_task *task, const struct qg_driver_facts *facts,
                     struct qg_err *err) {
    const char *path;
    json_t *text;
    if (facts->release.family != QG_FAMILY_FEDORA || json_object_get(task->record, "entries"))
        return 0;
    QG_AUTO(json) json_t *entries = qg_value_object(err);
    if (!entries)
        return -1;
    json_object_foreach(facts->files, path, text) {
        if (qg_text_starts(path, QG_BOOT_ENTRIES) &&
            qg_value_set_take(entries, path, entry_copy(json_string_value(text), err), err) < 0)
            return -1;
    }
    return qg_value_set_take(task->record, "entries", QG_STEAL(entries), err);
}

int qg_boot_nouveau(const struct qg_driver_job *job, struct qg_err *err) {
    struct qg_task *task = job->task;
    bool fedora = job->facts->release.family == QG_FAMILY_FEDORA;
    if (qg_boot_remember(task, job->facts, err) < 0 ||
        qg_boot_flag(task, job->facts, true, err) < 0 ||
        qg_task_write_files(task, job->step->files, err) < 0 ||
        qg_boot_make(task, job->facts, err) < 0 || (fedora && verify_boot_lines(job, err) < 0))
        return -1;
    /* Where no file had to be edited, what the boot loader was made to say is the change. */
    const json_t *change = job->step->files ? NULL : json_array_get(job->step->changes, 0);
    if (change && qg_task_change(task, "boot", job->facts->grub_out,
                                 json_incref(json_object_get(change, "old")),
                                 json_incref(json_object_get(change, "new")), err) < 0)
        return -1;
    return qg_boot_flag(task, job->facts, false, err);
}

int qg_service_set(struct qg_task *task, const char *service, bool on, struct qg_err *err) {
    const char *argv[] = {"systemctl", on ? "enable" : "disable", service, NULL};
    if (!task->report->test) {
        if (qg_task_must(task, argv, err) < 0)
            return -1;
        if (qg_driver_starts_at_boot(task->host) != on)
            return qg_err_set(
                err, QG_ERR_IO, "step %s: systemctl %s ended well and changed nothing: %s %s",
                task->step, argv[1], service,
                on ? "says of no target that it wants it (WantedBy)" : "is still there");
    }
    return qg_task_change(task, "services", service,
                          qg_value_text(on ? "disabled" : "enabled", err),
                          qg_value_text(on ? "enabled" : "disabled", err), err);
}

int qg_service_persistence(const struct qg_driver_job *job, struct qg_err *err) {
    struct qg_task *task = job->task;
    bool on = job->want->persistence == QG_SERVICE_ON;
    const char *service = json_string_value(json_array_get(job->step->names, 0));
    const char *path[] = {"services", service, NULL};
    if (!json_object_get(json_object_get(task->record, path[0]), service) &&
        (qg_value_set_path_take(task->record, path, json_boolean(!on), err) < 0 ||
         qg_record_save(task->host, task->record, err) < 0))
        return -1;
    return qg_service_set(task, service, on, err);
}
