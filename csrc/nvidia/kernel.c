/* SPDX-License-Identifier: GPL-3.0-or-later */
/* nvidia.kernel_ready: a kernel and a boot loader of the qube's own. */
#include "nvidia/nvidia.h"
#include "nvidia/steps.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

/* What a distribution needs for a kernel of its own to boot and to be built for. */
static const char *const fedora_packages[] = {
    "kernel", "kernel-devel", "grub2-tools", "grub2-pc", "qubes-kernel-vm-support", NULL};
static const char *const debian_packages[] = {
    "linux-image-amd64", "linux-headers-amd64",     "grub2-common",
    "grub-pc-bin",       "qubes-kernel-vm-support", NULL};

/* The one of them that brings a kernel. */
static const char *kernel_package(const struct qg_driver_facts *facts) {
    return facts->release.family == QG_FAMILY_FEDORA ? fedora_packages[0] : debian_packages[0];
}

/* Which packages are asked about depends on the distribution. */
static int ask_for_packages(struct qg_driver_want *want, enum qg_family family,
                            struct qg_err *err) {
    const char *const *names = family == QG_FAMILY_FEDORA ? fedora_packages : debian_packages;
    json_decref(want->packages);
    want->packages = qg_value_array(err);
    for (; want->packages && *names; names++) {
        if (qg_value_append_take(want->packages, qg_value_text(*names, err), err) < 0)
            return -1;
    }
    return want->packages ? 0 : -1;
}

/* Reads the arguments, the distribution, and then what it has of its packages. */
static int prepare(struct qg_run *run, const json_t *args, struct qg_driver_want *want,
                   struct qg_driver_facts *facts, struct qg_err *err) {
    if (qg_driver_want_init(want, args, err) < 0 ||
        qg_driver_facts_read(qg_run_host(run), want, facts, err) < 0 ||
        qg_driver_check_supported(&facts->release, err) < 0 ||
        ask_for_packages(want, facts->release.family, err) < 0)
        return -1;
    qg_driver_facts_fini(facts);
    return qg_driver_facts_read(qg_run_host(run), want, facts, err);
}

/* Debian's metapackage, or what it would bring for the kernel that boots next. */
static bool is_there(const struct qg_driver_facts *facts, const char *name) {
    char own[192];
    size_t stem = strlen(name) - strlen("amd64");
    if (json_object_get(facts->installed, name))
        return true;
    snprintf(own, sizeof(own), "%.*s%s", (int)stem, name, facts->next);
    return facts->next[0] && qg_text_starts(name, "linux-") &&
           json_object_get(facts->installed, own);
}

static json_t *missing_of(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                          struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_array(err);
    size_t index;
    json_t *name;
    json_array_foreach(want->packages, index, name) {
        if (out && !is_there(facts, json_string_value(name)) &&
            qg_value_append_take(out, json_incref(name), err) < 0)
            return NULL;
    }
    return QG_STEAL(out);
}

static int join(const json_t *names, struct qg_buf *out, struct qg_err *err) {
    size_t index;
    json_t *name;
    json_array_foreach(names, index, name) {
        if (qg_buf_printf(out, err, "%s%s", index ? " " : "", json_string_value(name)) < 0)
            return -1;
    }
    return 0;
}

/* Where the boot loader's configuration belongs. */
static const char *config_path(const struct qg_driver_want *want,
                               const struct qg_driver_facts *facts) {
    if (facts->grub_out[0])
        return facts->grub_out;
    if (want->grub_out && facts->release.family == QG_FAMILY_FEDORA)
        return want->grub_out;
    return facts->release.family == QG_FAMILY_FEDORA ? "/boot/grub2/grub.cfg"
                                                     : "/boot/grub/grub.cfg";
}

static json_t *old_config(const struct qg_driver_facts *facts, struct qg_err *err) {
    return facts->grub_out[0] ? qg_value_text("present", err) : json_null();
}

static int install(struct qg_task *task, const json_t *missing, const json_t *held,
                   struct qg_err *err) {
    task->step = "packages";
    if (!json_array_size(missing))
        return 0;
    int status = task->family == QG_FAMILY_DEBIAN ? qg_apt_install(task, missing, held, err)
                                                  : qg_dnf_install(task, missing, err);
    struct qg_err ending = {0};
    if (qg_task_packages_end(task, &ending) < 0 && status == 0)
        return qg_err_set(err, ending.kind, "%s", ending.text);
    return status;
}

static int make_config(struct qg_task *task, const struct qg_driver_facts *facts,
                       const char *config, struct qg_err *err) {
    task->step = "boot loader";
    QG_AUTO_STR char *folder = strdup(config);
    if (!folder)
        return qg_err_oom(err);
    *strrchr(folder, '/') = '\0';
    if (qg_host_mkdirs(task->host, folder, err) < 0 || qg_boot_mkconfig(task, config, err) < 0)
        return -1;
    return qg_task_change(task, "files", config, old_config(facts, err),
                          qg_value_text("generated", err), err);
}

/* hopeless: no package that would be installed brings a kernel. */
static int fail_with_names(const json_t *missing, const struct qg_driver_facts *facts,
                           const char *config, bool hopeless, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf names = {0};
    if (join(missing, &names, err) < 0)
        return -1;
    bool made = facts->grub_out[0];
    return qg_err_set(err, QG_ERR_INVALID,
                      "This qube cannot boot a kernel of its own yet.%s%s%s%s%s%s%s %s",
                      names.length ? " Missing packages: " : "", qg_buf_text(&names),
                      names.length ? "." : "", made ? "" : " There is no ", made ? "" : config,
                      made ? "" : ".", facts->next[0] ? "" : " There is no kernel in /boot.",
                      hopeless ? "Its package is installed all the same: reinstall that."
                               : "`install: true` does it.");
}

static int make_ready(struct qg_task *task, const struct qg_driver_want *want,
                      const struct qg_driver_facts *facts, const json_t *missing,
                      struct qg_err *err) {
    const char *config = config_path(want, facts);
    if (install(task, missing, facts->held, err) < 0)
        return -1;
    /* New kernels are in no configuration that was made before them. */
    if ((json_array_size(missing) || !facts->grub_out[0]) &&
        make_config(task, facts, config, err) < 0)
        return -1;
    char kernel[128] = "";
    if (qg_driver_next_kernel(task->host, kernel, sizeof(kernel), err) < 0)
        return -1;
    if (!kernel[0])
        return qg_err_set(err, QG_ERR_IO, "There is still no kernel in /boot.");
    return qg_report_say(task->report, err,
                         "%s boots from this qube's own disk once its `kernel` is empty and it was "
                         "restarted.",
                         kernel);
}

static int foretell_ready(struct qg_report *report, const struct qg_driver_want *want,
                          const struct qg_driver_facts *facts, const json_t *missing,
                          struct qg_err *err) {
    const char *config = config_path(want, facts);
    QG_AUTO(buf) struct qg_buf names = {0};
    size_t index;
    json_t *name;
    json_array_foreach(missing, index, name) {
        const char *path[] = {"packages", json_string_value(name), NULL};
        if (qg_report_change_take(report, path, json_null(), qg_value_text("installed", err), err) <
            0)
            return -1;
    }
    /* It is not ready: one of the two there is. */
    const char *path[] = {"files", config, NULL};
    if (qg_report_change_take(report, path, old_config(facts, err), qg_value_text("generated", err),
                              err) < 0 ||
        join(missing, &names, err) < 0)
        return -1;
    return qg_report_say(report, err, "would %s%s%smake %s", names.length ? "install " : "",
                         qg_buf_text(&names), names.length ? " and " : "", config);
}

int qg_nvidia_kernel_ready(struct qg_run *run, const json_t *args, struct qg_report *report,
                           struct qg_err *err) {
    static const char *const known[] = {"name", "install", "timeout", "paths", NULL};
    QG_AUTO(driver_want) struct qg_driver_want want = {0};
    QG_AUTO(driver_facts) struct qg_driver_facts facts = {0};
    QG_AUTO(task) struct qg_task task = {0};
    bool wanted = false;
    if (qg_driver_args_check(args, known, err) < 0 ||
        qg_driver_args_bool(args, "install", &wanted, err) < 0)
        return -1;
    QG_AUTO(json) json_t *rest = qg_value_merge(NULL, args, err);
    if (!rest)
        return -1;
    json_object_del(rest, "install");
    if (prepare(run, rest, &want, &facts, err) < 0 ||
        qg_task_init(&task, run, report, want.timeout_ms, err) < 0)
        return -1;
    task.family = facts.release.family;
    task.manager = facts.manager;
    task.lasting = true; /* or a qube without the driver could not boot */
    QG_AUTO(json) json_t *missing = missing_of(&want, &facts, err);
    if (!missing)
        return -1;
    bool ready = !json_array_size(missing) && facts.grub_out[0] && facts.next[0];
    bool hopeless = !facts.next[0] && !qg_driver_list_has(missing, kernel_package(&facts));
    if (!ready && (!wanted || hopeless))
        return fail_with_names(missing, &facts, config_path(&want, &facts), hopeless, err);
    if (!ready && report->test)
        return foretell_ready(report, &want, &facts, missing, err);
    return make_ready(&task, &want, &facts, missing, err);
}
