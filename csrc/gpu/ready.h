/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Observing what preflight checks. */
#ifndef QG_GPU_READY_H
#define QG_GPU_READY_H

#include "gpu/survey.h"

/* The arguments that say what is to be checked; NULL-terminated. */
extern const char *const qg_ready_keys[];

/* Takes a survey, masked if mask (qg_survey_mask), and checks what args ask about: {passed, card:
 * object or null, checks}. In a dry run (test) what earlier states would make counts as there. New
 * mapping; NULL on failure. */
json_t *qg_ready_check(struct qg_run *run, const json_t *args, bool mask, bool test,
                       struct qg_survey *survey, struct qg_err *err) QG_MUST_CHECK;

#endif
