/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the machine has in cards and qubes, asked for in two rounds of calls at once. */
#ifndef QG_GPU_SURVEY_H
#define QG_GPU_SURVEY_H

#include "gpu/card.h"
#include "plan/run.h"

/* Free with qg_survey_fini. */
struct qg_survey {
    struct qg_pci_tree tree; /* of this computer, or below the test root */
    json_t *available;       /* dom0's PCI devices, lines of Available */
    json_t *cards;           /* card.h; who has them included */
    json_t *qubes;           /* list of {name, class, state, uuid} */
    json_t *running;         /* names of those that are not halted, dom0 too */
    json_t *aliases;         /* masked name > real name; NULL: nothing is masked */
};

void qg_survey_fini(struct qg_survey *survey);
QG_DEFINE_AUTO_FINI(survey, struct qg_survey, qg_survey_fini)

/* Asks qubesd for dom0's devices, the qubes and their devices, and reads sysfs. Calls of the
 * caller's own, added to extra (NULL: none) before, travel with the second round. */
int qg_survey_take(struct qg_run *run, struct qg_survey *survey, struct qg_batch *extra,
                   struct qg_err *err);

/* Takes up what earlier states of a dry run would have made, assigned, started and stopped; where
 * none of this run has, asks nothing. */
int qg_survey_foresee(struct qg_run *run, struct qg_survey *survey, struct qg_err *err);

/* The qube of this name, {name, class, state, uuid}; NULL where there is none. Borrowed. */
const json_t *qg_survey_qube(const struct qg_survey *survey, const char *name);

/* Gives every qube but dom0 and the two named (NULL: none) another name, takes out uuids and the
 * serial numbers in identities: for what is shown to others. */
int qg_survey_mask(struct qg_survey *survey, const char *keep, const char *keep_too,
                   struct qg_err *err);

/* The name that qubesd knows the qube by. Borrowed. */
const char *qg_survey_real_name(const struct qg_survey *survey, const char *name);

/* The one card that args' `devices` mean (`auto`, one of the words of qg_cards_pick, or a list, all
 * of one card; with companions, other devices may stand beside it), `auto` where nothing is said;
 * `force` takes dom0's display. Borrowed; NULL on failure. */
const json_t *qg_survey_pick(const struct qg_survey *survey, const json_t *args, bool companions,
                             struct qg_err *err);

/* True where this computer's sysfs has the card: its other files are those of the machine. */
bool qg_survey_is_local(const json_t *card);

/* The bool under a key of args, false where it is not there; another value is QG_ERR_INVALID. */
int qg_args_bool(const json_t *args, const char *key, bool *out, struct qg_err *err);

/* Names the function in the failure of an action that it is made of and the user did not write.
 * Returns status. */
int qg_args_blame(const char *function, int status, struct qg_err *err);

/* Refuses arguments that are not among keys (NULL-terminated), naming the nearest. Salt's own begin
 * with two underscores. */
int qg_args_check(const json_t *args, const char *function, const char *const *keys,
                  struct qg_err *err);

#endif
