/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An action of qvm (prefs, features, present…): what it has to see, and the steps it plans. */
#ifndef QG_QVM_ACTION_H
#define QG_QVM_ACTION_H

#include "plan/run.h"
#include "qvm/body.h"

/* What one action of a state said and planned. */
struct qg_block {
    const struct qg_action *action;
    struct qg_body body;
    bool pass;             /* its failure does not fail the state */
    bool open;             /* a creation by it goes on in the blocks after it (qg_create_end) */
    bool failed;           /* its condition does not hold */
    bool skipped;          /* after a failure before it */
    struct qg_buf comment; /* lines */
    json_t *data;          /* what an execution function answers; NULL: nothing */
    size_t from, to;       /* its steps in the job's plan */
    /* what has to be known before it can be planned: this, and so many of the need's names */
    struct qg_want want;
    size_t features, classes, volumes;
    json_t *wanted; /* what need has found in the body, for plan; NULL: nothing is kept */
};

/* A state about one qube while it is planned. */
struct qg_job {
    struct qg_run *run;
    const char *name;
    bool test;
    bool reads_only;     /* nothing of it can write: a qube that is missing is just reported */
    struct qg_qube qube; /* observed, then as the steps so far leave it */
    struct qg_plan plan;
    struct qg_block *pvh; /* of prefs, where it left virt_mode to the devices that come after it */
    json_t *label;        /* given under prefs of the same state, for present; borrowed or NULL */
    json_t *warnings;     /* list of texts */
    struct qg_block *blocks;
    size_t count;
    size_t planned; /* blocks that are planned */
    bool stopped;   /* by a condition that does not hold: the rest is skipped */
    bool early;     /* answers are still on their way */
    bool waits;     /* set by a plan that cannot do without asking: it is called again later */
};

/* What an action has to see; gathered over all actions of a state, then asked for at once. */
struct qg_need {
    struct qg_want want;
    json_t *features, *classes, *volumes; /* owned lists behind want's */
    bool pci;
    bool meminfo_off; /* service.meminfo-writer is to be off… */
    bool maxmem_on;   /* …while maxmem is to be above 0: qubesd cannot have both */
};

enum qg_trait {
    /* For a qube that is there, the plan looks at nothing but what need has asked for, or asks for
     * what no other action of the state does: it is made as soon as that is known, while other
     * answers are on their way. */
    QG_ACTION_EARLY = 1,
    /* It assigns devices; it ends with qg_prefs_plan_deferred. */
    QG_ACTION_ASSIGNS = 2,
};

struct qg_action {
    const char *name; /* as in `qvm.NAME` */
    const char *const
        *keys; /* the keys it knows, for naming the nearest; NULL-terminated, may be NULL */
    /* Adds what has to be seen; may be NULL: nothing but whether the qube exists. */
    int (*need)(struct qg_block *block, struct qg_need *need, struct qg_err *err);
    /* Plans steps against job->qube. QG_ERR_INVALID stops the whole state before anything is
     * written; a condition that does not hold sets block->failed. */
    int (*plan)(struct qg_job *job, struct qg_block *block, struct qg_err *err);
    unsigned traits; /* of enum qg_trait */
};

extern const struct qg_action qg_action_state, qg_action_exists, qg_action_missing,
    qg_action_running, qg_action_halted, qg_action_present, qg_action_absent, qg_action_clone,
    qg_action_prefs, qg_action_devices, qg_action_service, qg_action_features, qg_action_tags,
    qg_action_firewall, qg_action_start, qg_action_shutdown, qg_action_kill, qg_action_pause,
    qg_action_unpause, qg_action_run;

/* Adds a name to need->features, need->classes or need->volumes, once. */
int qg_need_add(json_t **list, const char *name, struct qg_err *err);

/* Adds a line to the block's comment. */
int qg_block_say(struct qg_block *block, struct qg_err *err, const char *format, ...)
    QG_PRINTF(3, 4);

/* Adds the line `[SKIP] KEY: VALUE`, which most lines of an unchanged qube are. */
int qg_block_skip(struct qg_block *block, const char *key, const char *value, struct qg_err *err);

/* Adds lines of a program's output, which was cleaned when it was read. */
int qg_block_quote(struct qg_block *block, const char *output, struct qg_err *err);

/* Says why and marks the condition as not met. 0 unless memory ran out. */
int qg_block_fail(struct qg_block *block, struct qg_err *err, const char *format, ...)
    QG_PRINTF(3, 4);

/* Adds a warning to the job, once. */
int qg_job_warn(struct qg_job *job, struct qg_err *err, const char *format, ...) QG_PRINTF(3, 4);

/* Names the flags of the body that are not among the known ones (NULL-terminated): they do nothing
 * and do not fail. A known one may stand as a key. */
int qg_job_know_flags(struct qg_job *job, struct qg_block *block, const char *const *known,
                      struct qg_err *err);

/* Fails the block, and returns false through *exists, when the qube is not there. */
int qg_job_must_exist(struct qg_job *job, struct qg_block *block, bool *exists, struct qg_err *err);

/* Asks for more about the job's qube; nothing where this state itself is to make it: qubesd does
 * not know it yet, and what it has is in the plan. */
int qg_job_observe_more(struct qg_job *job, const struct qg_want *want, struct qg_err *err);

/* For a question that is asked just to fail early: qubesd's refusal to answer is of no matter, the
 * write finds out. Then 0, else -1 with err set. */
int qg_may_stay_unknown(const struct qg_err *problem, struct qg_err *err);

/* Fails where qubesd has no such label. Only for one that not every Qubes has it is asked, and what
 * it does not tell is left to the write. */
int qg_job_check_label(struct qg_job *job, const char *label, struct qg_err *err);

/* Adds a step of this block, with the change `qvm.ACTION` > key > old, new (consumed; key NULL: no
 * change). */
int qg_job_step_take(struct qg_job *job, struct qg_block *block, enum qg_step_kind kind,
                     const char *name, const char *value, json_t *extra, const char *key,
                     json_t *old, json_t *new, struct qg_err *err);

/* Plans what the prefs of this state left to the devices behind them: virt_mode pvh, which qubesd
 * refuses as long as PCI devices are assigned. Where some stay, an error that names both. */
int qg_prefs_plan_deferred(struct qg_job *job, struct qg_err *err);

/* Plans whatever brings the qube up: nothing where it runs. One that starts or dies at the moment
 * is waited for; a suspended one fails the block. timeout: seconds, 0 for the usual ones. */
int qg_power_plan_start(struct qg_job *job, struct qg_block *block, long long timeout,
                        struct qg_err *err);

/* QG_ERR_INVALID for what cannot be a number of seconds to wait. */
int qg_power_check_timeout(long long timeout, struct qg_err *err);

#endif
