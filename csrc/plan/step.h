/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Steps: what a dry run prints and a real run does, one after the other. */
#ifndef QG_PLAN_STEP_H
#define QG_PLAN_STEP_H

#include "plan/report.h"
#include "qubes/qube.h"

enum qg_step_kind {
    QG_STEP_CREATE,         /* value: class; extra: {template, label}; model: the qube it makes */
    QG_STEP_REMOVE,         /* - */
    QG_STEP_PROPERTY_SET,   /* name, value ("" for none) */
    QG_STEP_PROPERTY_RESET, /* name */
    QG_STEP_FEATURE_SET,    /* name, value */
    QG_STEP_FEATURE_REMOVE, /* name */
    QG_STEP_TAG_SET,        /* name */
    QG_STEP_TAG_REMOVE,     /* name */
    QG_STEP_FIREWALL_SET,   /* extra: list of rules */
    QG_STEP_NOTES_SET,      /* value */
    QG_STEP_ASSIGN,         /* name: class; value: mode; extra: {device, options} */
    QG_STEP_UNASSIGN,       /* name: class; extra: {device} */
    QG_STEP_VOLUME_CLONE,   /* name: volume; value: source qube */
    QG_STEP_VOLUME_RESIZE,  /* name: volume; value: bytes */
    QG_STEP_START,          /* extra: {timeout (s)} or none */
    QG_STEP_SHUTDOWN,       /* extra: {force, kill (after the timeout), timeout (s)} */
    QG_STEP_KILL,           /* - */
    QG_STEP_PAUSE,          /* - */
    QG_STEP_UNPAUSE,        /* - */
    QG_STEP_PROGRAM,        /* extra: {argv, timeout (s), desktop: as the desktop's user}; done: its
                               `output`; name: what it is for; model: the qube it makes */
    QG_STEP_RECORD_BEGIN,   /* value: source qube; the creation that follows is on record */
    QG_STEP_RECORD_UUID,    /* the new qube's uuid joins the record */
    QG_STEP_RECORD_END,     /* - */
};

/* Every pointer is owned. */
struct qg_step {
    enum qg_step_kind kind;
    char *qube, *name, *value;
    json_t *extra;
    struct qg_qube *model;
    bool creating; /* part of a creation: when it fails the new qube is removed */
    json_t *path;  /* keys of the change this step makes, or NULL: it has none of its own */
    json_t *old, *new;
};

struct qg_plan {
    struct qg_step *steps;
    size_t count, size;
};

void qg_plan_fini(struct qg_plan *plan);
QG_DEFINE_AUTO_FINI(plan, struct qg_plan, qg_plan_fini)

/* Adds a step and applies its effect to qube (what the following steps are planned against; NULL:
 * no effect is kept). Texts are copied, extra is consumed; name, value and extra may be NULL. The
 * step returned is borrowed until the next one is added; NULL on failure. */
struct qg_step *qg_plan_add(struct qg_plan *plan, enum qg_step_kind kind, struct qg_qube *qube,
                            const char *name, const char *value, json_t *extra, struct qg_err *err);

/* Notes which change the step makes: path (list of texts) > old, new. All consumed; a NULL one is a
 * failure. */
int qg_step_change_take(struct qg_step *step, json_t *path, json_t *old, json_t *new,
                        struct qg_err *err);

/* Changes the observed qube as qubesd will when the step is done, its couplings included. */
int qg_step_effect(const struct qg_step *step, struct qg_qube *qube, struct qg_err *err);

/* A line for people, e.g. `set memory of work to 4000`; owned by the caller, NULL on failure. */
char *qg_step_describe(const struct qg_step *step, struct qg_err *err) QG_MUST_CHECK;

/* The steps as plain data: list of {do, qube, name, value, text}. New list or NULL. */
json_t *qg_plan_value(const struct qg_plan *plan, struct qg_err *err) QG_MUST_CHECK;

#endif
