/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nvidia/want.h"

#include <string.h>

static const char *const flavors[] = {"auto", "open", "proprietary", NULL};

enum {
    TIMEOUT_MS = 3600 * 1000, /* a build on two busy cores takes minutes, a slow mirror more */
};
static const uint64_t tmp_size = (uint64_t)2 << 30;

const char *qg_flavor_name(enum qg_flavor flavor) {
    return flavors[flavor];
}

static int read_paths(struct qg_driver_want *out, const json_t *args, struct qg_err *err) {
    static const char *const known[] = {"nvidia_conf", "grub_conf", "grub_out", NULL};
    const json_t *paths = json_object_get(args, "paths");
    out->nvidia_conf = "/usr/share/X11/xorg.conf.d/nvidia.conf";
    out->grub_conf = "/etc/default/grub";
    if (qg_value_is_empty(paths))
        return 0;
    if (qg_driver_args_check(paths, known, err) < 0 ||
        qg_driver_args_path(paths, "nvidia_conf", &out->nvidia_conf, err) < 0 ||
        qg_driver_args_path(paths, "grub_conf", &out->grub_conf, err) < 0 ||
        qg_driver_args_path(paths, "grub_out", &out->grub_out, err) < 0) {
        qg_err_at(err, "paths");
        return -1;
    }
    return 0;
}

static int read_switches(struct qg_driver_want *out, const json_t *args, struct qg_err *err) {
    bool persistence = false;
    if (qg_driver_args_bool(args, "cuda", &out->cuda, err) < 0 ||
        qg_driver_args_bool(args, "nouveau", &out->keep_nouveau, err) < 0 ||
        qg_driver_args_bool(args, "xorg_conf", &out->keep_xorg_conf, err) < 0 ||
        qg_driver_args_bool(args, "persistence", &persistence, err) < 0)
        return -1;
    if (json_is_boolean(json_object_get(args, "persistence")))
        out->persistence = persistence ? QG_SERVICE_ON : QG_SERVICE_OFF;
    return 0;
}

static int read_kernel(struct qg_driver_want *out, const json_t *args, struct qg_err *err) {
    if (qg_driver_args_text(args, "kernel", &out->kernel, err) < 0)
        return -1;
    if (out->kernel && !qg_driver_args_is_name(out->kernel))
        return qg_err_set(err, QG_ERR_INVALID,
                          "kernel is '%s': it must be a release as `uname -r` prints it",
                          out->kernel);
    return 0;
}

int qg_driver_want_init(struct qg_driver_want *out, const json_t *args, struct qg_err *err) {
    static const char *const known[] = {
        "name",     "flavor",  "packages",  "cuda",        "repositories", "timeout", "kernel",
        "tmp_size", "nouveau", "xorg_conf", "persistence", "paths",        NULL};
    *out = (struct qg_driver_want){.timeout_ms = TIMEOUT_MS, .tmp_size = tmp_size};
    int flavor = QG_FLAVOR_AUTO;
    if (qg_driver_args_check(args, known, err) < 0 ||
        qg_driver_args_word(args, "flavor", flavors, &flavor, err) < 0 ||
        qg_driver_args_seconds(args, "timeout", &out->timeout_ms, err) < 0 ||
        qg_driver_args_size(args, "tmp_size", &out->tmp_size, err) < 0 ||
        read_kernel(out, args, err) < 0 || read_switches(out, args, err) < 0 ||
        read_paths(out, args, err) < 0 ||
        qg_driver_args_names(args, "packages", &out->packages, err) < 0 ||
        qg_driver_args_names(args, "repositories", &out->repositories, err) < 0)
        return -1;
    out->flavor = (enum qg_flavor)flavor;
    return 0;
}

void qg_driver_want_fini(struct qg_driver_want *want) {
    json_decref(want->packages);
    json_decref(want->repositories);
    want->packages = want->repositories = NULL;
}
