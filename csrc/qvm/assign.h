/* SPDX-License-Identifier: GPL-3.0-or-later */
/* PCI devices of a qube: what a list of them means for its assignments. */
#ifndef QG_QVM_ASSIGN_H
#define QG_QVM_ASSIGN_H

#include "qvm/action.h"

/* What is asked of one option of an assignment, the others staying as they are. */
enum qg_switch { QG_SWITCH_AS_IS, QG_SWITCH_OFF, QG_SWITCH_ON };

/* How a list of devices is to be assigned. */
struct qg_assign {
    const char *key; /* of the user, for errors and the change, e.g. `pcidevs` */
    bool exact;      /* what is assigned and not listed is taken away */
    enum qg_switch no_strict_reset, permissive;
    bool again; /* set while planning: an assignment is made again, the changes show options */
};

/* The devices under a key as a new list of texts. A number is QG_ERR_INVALID: YAML reads a bare
 * 01:00.0 as one. NULL on failure. */
json_t *qg_assign_refs(struct qg_body *body, const char *key, struct qg_err *err) QG_MUST_CHECK;

/* Plans the assignments of `pcidevs` in a prefs body, with `pci_strictreset` and `exact`. */
int qg_assign_pcidevs(struct qg_job *job, struct qg_block *block, struct qg_err *err);

/* Plans the assignment of refs (list of texts as users write devices), mode required. A device that
 * is not there is QG_ERR_INVALID. */
int qg_assign_plan(struct qg_job *job, struct qg_block *block, const json_t *refs,
                   const struct qg_assign *asked, struct qg_err *err);

/* dom0's PCI device that a text means (as qg_device_ref_parse reads it), borrowed from the run;
 * asks dom0 again where its list is from an earlier state. A device that is not there is
 * QG_ERR_INVALID under the user's key. */
const json_t *qg_assign_resolve(struct qg_job *job, const char *key, const char *text,
                                struct qg_err *err);

/* The qube's assignment of the device, NULL where there is none; borrowed. */
const json_t *qg_assign_find(const struct qg_qube *qube, const char *devclass,
                             const json_t *device);

/* The qube's assignment of another device at this one's port: of hardware that was there before, or
 * of a made-up identity. NULL where there is none; borrowed. */
const json_t *qg_assign_find_stale(const struct qg_qube *qube, const char *devclass,
                                   const json_t *device);

/* `(a=b, c=d)` of the options, the mode first where it is not the usual one (NULL: it is); owned by
 * the caller, NULL on failure. */
char *qg_assign_options_text(const char *mode, const json_t *options,
                             struct qg_err *err) QG_MUST_CHECK;

/* The same of an assignment. */
char *qg_assign_text(const json_t *assignment, struct qg_err *err) QG_MUST_CHECK;

/* Refuses dom0, and a template where no_template: neither is given PCI devices. */
int qg_assign_check_class(const struct qg_qube *qube, bool no_template, struct qg_err *err);

/* Refuses a qube whose virt_mode somebody set to pvh; qubesd makes the default hvm by itself. */
int qg_assign_check_mode(const struct qg_qube *qube, struct qg_err *err);

/* Plan one assignment, or the end of one. The step is borrowed until the next one is planned; NULL
 * on failure. options may be NULL. */
struct qg_step *qg_assign_add(struct qg_job *job, const char *devclass, const char *mode,
                              const json_t *device, const json_t *options, struct qg_err *err);
struct qg_step *qg_assign_drop(struct qg_job *job, const char *devclass, const json_t *assignment,
                               struct qg_err *err);

/* Says who else has the device, as far as this run and Available know. */
int qg_assign_warn_taken(struct qg_job *job, const json_t *device, struct qg_err *err);

#endif
