/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What nvidia.driver_installed is asked for. */
#ifndef QG_NVIDIA_WANT_H
#define QG_NVIDIA_WANT_H

#include "nvidia/args.h"

enum qg_flavor { QG_FLAVOR_AUTO, QG_FLAVOR_OPEN, QG_FLAVOR_PROPRIETARY };
enum qg_service { QG_SERVICE_AS_IT_IS, QG_SERVICE_ON, QG_SERVICE_OFF };

#define QG_DRIVER_LOG "/var/log/qvm-gpu/nvidia.log"

struct qg_driver_want {
    enum qg_flavor flavor;
    json_t *packages; /* owned; NULL: the distribution's default */
    bool cuda;
    json_t *repositories; /* owned; NULL: RPM Fusion's four, Debian's three components */
    int64_t timeout_ms;   /* for all of it */
    const char *kernel;   /* borrowed; NULL: the one that boots next */
    uint64_t tmp_size;    /* /tmp is at least this large while a module is built; 0: as it is */
    bool keep_nouveau, keep_xorg_conf;
    enum qg_service persistence;
    const char *nvidia_conf, *grub_conf, *grub_out; /* borrowed; grub_out NULL: where it is */
};

/* Reads the arguments (a mapping, borrowed, must outlive out). 0/-1. */
int qg_driver_want_init(struct qg_driver_want *out, const json_t *args, struct qg_err *err);
void qg_driver_want_fini(struct qg_driver_want *want);
QG_DEFINE_AUTO_FINI(driver_want, struct qg_driver_want, qg_driver_want_fini)

/* A word for people. Static. */
const char *qg_flavor_name(enum qg_flavor flavor);

#endif
