/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From facts to steps. Pure: what a dry run prints is what a real run does, which plans anew from
 * fresh facts after each step. */
#ifndef QG_NVIDIA_PLAN_H
#define QG_NVIDIA_PLAN_H

#include "nvidia/facts.h"

/* In the order in which they are done. */
enum qg_driver_step_id {
    QG_DRIVER_HEAL,         /* Debian: what a broken or killed installation left */
    QG_DRIVER_SOURCES,      /* Debian: components */
    QG_DRIVER_REPOSITORIES, /* Fedora: RPM Fusion */
    QG_DRIVER_GRUBBY,       /* Fedora: Qubes' grubby-dummy out, and kept out */
    QG_DRIVER_FLAVOR,       /* Fedora: which module akmods builds */
    QG_DRIVER_TMP,          /* Fedora: room for akmods */
    QG_DRIVER_PACKAGES,
    QG_DRIVER_MODULE,
    QG_DRIVER_NOUVEAU,
    QG_DRIVER_XORG,
    QG_DRIVER_PERSISTENCE,
    QG_DRIVER_STEPS,
};

struct qg_driver_step {
    bool needed;
    char text[256];  /* what it does, for people; empty where it has no part here */
    json_t *files;   /* mapping: path > new content, null to remove it; NULL: none */
    json_t *names;   /* list: packages, ids; NULL: none */
    json_t *changes; /* list of {path, old, new}; NULL: none */
};

struct qg_driver_plan {
    struct qg_driver_step steps[QG_DRIVER_STEPS];
    json_t *warnings; /* list of texts */
};

int qg_driver_plan_make(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                        struct qg_driver_plan *out, struct qg_err *err);
void qg_driver_plan_fini(struct qg_driver_plan *plan);
QG_DEFINE_AUTO_FINI(driver_plan, struct qg_driver_plan, qg_driver_plan_fini)

/* True where the module that is there is of the other flavour than the one that is asked for. */
bool qg_driver_other_flavor(const struct qg_driver_want *want, const struct qg_driver_facts *facts);

/* One step alone. */
int qg_driver_step_plan(enum qg_driver_step_id id, const struct qg_driver_want *want,
                        const struct qg_driver_facts *facts, struct qg_driver_plan *out,
                        struct qg_err *err);

bool qg_driver_plan_is_empty(const struct qg_driver_plan *plan);

/* A word for the step, e.g. `packages`. Static. */
const char *qg_driver_step_name(enum qg_driver_step_id id);

/* The steps as plain data: list of {step, needed, text, changes}. New or NULL. */
json_t *qg_driver_plan_value(const struct qg_driver_plan *plan, struct qg_err *err) QG_MUST_CHECK;

/* The edits that keep nouveau away on this distribution: files and changes of the step. */
int qg_driver_plan_nouveau(const struct qg_driver_want *want, const struct qg_driver_facts *facts,
                           struct qg_driver_step *step, struct qg_err *err);

/* True where a package's version is another than the module's. */
bool qg_driver_is_outdated(const struct qg_driver_facts *facts);

/* True for the package of the flavour that is not wanted; what is wanted is a list of packages. */
bool qg_driver_is_unwanted(const json_t *wanted, const char *package);

/* The lines in which two texts differ; either may be NULL (no file): null. New values. */
int qg_changed_lines(const char *before, const char *after, json_t **old, json_t **new,
                     struct qg_err *err);

#define QG_BOOT_ENTRIES "/boot/loader/entries/"
#define QG_NOUVEAU_CONF "/etc/modprobe.d/qvm-gpu-nouveau.conf"

/* The kernel arguments that keep a module away, and the modules that would take the card. */
extern const char *const qg_nouveau_keys[];  /* NULL-terminated */
extern const char *const qg_nouveau_items[]; /* NULL-terminated */

/* nouveau always; its successor where the kernel has it. */
bool qg_nouveau_item_matters(const struct qg_driver_facts *facts, const char *item);

#endif
