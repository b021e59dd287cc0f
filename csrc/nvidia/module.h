/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The driver's kernel module as a file: where it lies for a kernel, and which version it is. */
#ifndef QG_NVIDIA_MODULE_H
#define QG_NVIDIA_MODULE_H

#include "host/host.h"
#include "nvidia/want.h"

struct qg_module {
    char path[256];
    char name[64];         /* the file's, without its suffixes: nvidia, nvidia-current, ... */
    char version[64];      /* empty where it cannot be told */
    enum qg_flavor flavor; /* by its licence; QG_FLAVOR_AUTO where that cannot be told */
};

/* Looks below /lib/modules/KERNEL. *found false where there is none. Of compressed files DKMS' own
 * folders tell the version, else modinfo; where that cannot run it stays empty. */
int qg_module_find(struct qg_host *host, const char *kernel, struct qg_module *out, bool *found,
                   struct qg_err *err);

/* Its version, for people. */
const char *qg_module_version(const struct qg_module *module);

/* Its version, with its flavour where that is what a change is about. New or NULL. */
json_t *qg_module_value(const struct qg_module *module, bool flavor, struct qg_err *err);

/* True for the name of the driver's main module file (not its -drm, -uvm and so on). */
bool qg_module_is_main(const char *file);

#endif
