/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a Salt function answers: every change noted as it happens, a comment, plain data. */
#ifndef QG_PLAN_REPORT_H
#define QG_PLAN_REPORT_H

#include "base/buf.h"
#include "doc/value.h"

enum qg_result {
    QG_RESULT_TRUE,  /* nothing to do, or done */
    QG_RESULT_WOULD, /* a dry run that would change something */
    QG_RESULT_FALSE, /* failed */
};

/* Start it with qg_report_init. A function that fails returns -1 with err set and leaves in the
 * report what was changed until then; whoever dispatched it puts err's sentence into the comment.
 */
struct qg_report {
    enum qg_result result;
    bool test;             /* a dry run: changes are predictions, nothing is written */
    struct qg_buf comment; /* lines, clean text */
    json_t *changes;       /* mapping: path of keys > {old, new} */
    json_t *data;          /* an execution function's answer, or NULL */
    json_t *warnings;      /* list of texts, put behind the comment */
};

int qg_report_init(struct qg_report *report, bool test, struct qg_err *err);
void qg_report_fini(struct qg_report *report);
QG_DEFINE_AUTO_FINI(report, struct qg_report, qg_report_fini)

/* Adds one line to the comment; control characters become `?`. */
int qg_report_say(struct qg_report *report, struct qg_err *err, const char *format, ...)
    QG_PRINTF(3, 4);

/* Adds a warning, once. */
int qg_report_warn(struct qg_report *report, struct qg_err *err, const char *format, ...)
    QG_PRINTF(3, 4);

/* Notes changes[path[0]][path[1]]… = {old, new} (path ends with NULL; old and new are consumed,
 * NULL is a failure). A change of the same path keeps its first old. In a dry run the result
 * becomes QG_RESULT_WOULD. */
int qg_report_change_take(struct qg_report *report, const char *const *path, json_t *old,
                          json_t *new, struct qg_err *err);

bool qg_report_has_changes(const struct qg_report *report);

/* The answer for Salt: {result, comment, changes, data}, result true/null/false. Where failure is
 * not NULL its sentence joins the comment and result is false. New value; NULL on failure. */
json_t *qg_report_value(const struct qg_report *report, const struct qg_err *failure,
                        struct qg_err *err) QG_MUST_CHECK;

#endif
