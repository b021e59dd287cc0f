/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is: the distribution, its kernels, its files, its packages, the card. Reading only. */
#ifndef QG_NVIDIA_FACTS_H
#define QG_NVIDIA_FACTS_H

#include "nvidia/module.h"
#include "nvidia/parse.h"
#include "nvidia/want.h"

enum qg_manager { QG_MANAGER_NONE, QG_MANAGER_DNF4, QG_MANAGER_DNF5, QG_MANAGER_APT };

struct qg_driver_facts {
    struct qg_release release;
    enum qg_manager manager;
    char booted[128]; /* the kernel that runs; empty where it is not known */
    char next[128];   /* the one that boots next from the qube's own disk; empty where none is */
    char kernel[128]; /* the one that the module is for: asked for, or next */
    char boot_id[48];
    char grub_out[256];   /* the boot loader's configuration that is there; empty where none is */
    json_t *kernels;      /* list: those with a folder in /lib/modules, oldest first */
    json_t *cards;        /* list of {address, vendor, device, class, driver} */
    json_t *files;        /* mapping: path > content of every text file that could be edited */
    json_t *repositories; /* Fedora; mapping: id > enabled */
    bool packages_known;
    json_t *installed; /* mapping: package > version (Fedora: of those that we ask about) */
    json_t *broken;    /* mapping: package > dpkg's state */
    json_t *held;      /* list of packages */
    json_t *leftovers; /* list of MODULE/VERSION of DKMS whose source is gone */
    bool has_module;
    struct qg_module module; /* for `kernel` */
    bool nouveau_off;        /* a file of modprobe.d blacklists nouveau */
    bool boots_nouveau;      /* Fedora: the boot loader lacks the arguments against it */
    bool has_nova;           /* the kernel has nova_core, nouveau's successor */
    bool persistence;        /* nvidia-persistenced starts at boot */
    struct qg_host_space tmp;
    json_t *record; /* what we did here before */
};

/* Reads everything that a plan needs; starts at most one query of rpm and one modinfo. */
int qg_driver_facts_read(struct qg_host *host, const struct qg_driver_want *want,
                         struct qg_driver_facts *out, struct qg_err *err);
void qg_driver_facts_fini(struct qg_driver_facts *facts);
QG_DEFINE_AUTO_FINI(driver_facts, struct qg_driver_facts, qg_driver_facts_fini)

/* The cards alone: PCI functions of class 03xxxx and vendor 10de. New list; NULL on failure. */
json_t *qg_driver_cards(struct qg_host *host, struct qg_err *err) QG_MUST_CHECK;

/* The times of change of what a package manager's answer depends on. New mapping or NULL. */
json_t *qg_driver_proof_files(struct qg_host *host, struct qg_err *err) QG_MUST_CHECK;

/* Where the kernel that boots next is named; empty out where there is none. */
int qg_driver_next_kernel(struct qg_host *host, char *out, size_t size, struct qg_err *err);

/* The packages that are wanted on this distribution, or a list of the user's. New list or NULL. */
json_t *qg_driver_packages(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                           struct qg_err *err) QG_MUST_CHECK;

/* A mapping for people and for Jinja. New or NULL. */
json_t *qg_driver_facts_value(const struct qg_driver_facts *facts,
                              struct qg_err *err) QG_MUST_CHECK;

/* 0 where the distribution is one that we know how to serve; else QG_ERR_INVALID names those. */
int qg_driver_check_supported(const struct qg_release *release, struct qg_err *err);

/* 0 where the kernel that was asked for can be built for; else QG_ERR_INVALID names those that can.
 * Packages of the user's own may bring one. */
int qg_driver_check_kernel(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                           struct qg_err *err);

/* True where nvidia-persistenced does. */
bool qg_driver_starts_at_boot(struct qg_host *host);

/* The content of a file that was read; NULL where it is not there. Borrowed. */
const char *qg_driver_file(const struct qg_driver_facts *facts, const char *path);

/* True where a list of texts has this one. */
bool qg_driver_list_has(const json_t *list, const char *text);

/* A word for the package manager. Static. */
const char *qg_manager_name(enum qg_manager manager);

#endif
