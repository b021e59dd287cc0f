/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One Salt run: where qubesd is, what this run already knows, and the functions that it can be
 * asked for. */
#ifndef QG_PLAN_RUN_H
#define QG_PLAN_RUN_H

#include "base/clock.h"
#include "base/log.h"
#include "doc/value.h"
#include "host/host.h"
#include "plan/report.h"
#include "plan/step.h"

struct qg_run;

/* How a run is set up; every text is copied. */
struct qg_run_config {
    const char *socket;     /* qubesd's socket; NULL: /run/qubesd.sock */
    bool qrexec;            /* reach qubesd through qrexec-client-vm (a management qube) */
    const char *root;       /* QVM_GPU_ROOT, NULL or "": the computer's own files */
    const char *record_dir; /* where unfinished creations are on record; NULL: none are kept */
    int64_t timeout_ms;     /* for one call of the Admin API; 0: QG_RUN_TIMEOUT_MS */
    struct qg_log log;
    bool (*interrupted)(void *data); /* asked when a signal breaks a wait; may be NULL */
    void *data;
};

enum { QG_RUN_TIMEOUT_MS = 60 * 1000 };

/* Opens nothing. Owned by the caller; NULL on failure. */
struct qg_run *qg_run_new(const struct qg_run_config *config, struct qg_err *err) QG_MUST_CHECK;
void qg_run_free(struct qg_run *run);
QG_DEFINE_AUTO(run, struct qg_run, qg_run_free)

struct qg_host *qg_run_host(struct qg_run *run);
const struct qg_log *qg_run_log(const struct qg_run *run);
const char *qg_run_record_dir(const struct qg_run *run); /* NULL: none */

/* A deadline in so many ms (0: the configured time for one call) that also ends on the run's
 * interruption. */
struct qg_deadline qg_run_deadline(const struct qg_run *run, int64_t ms);

/* How qubesd is reached; borrowed from the run. */
const struct qg_client *qg_run_client(const struct qg_run *run);

/* Begins a Salt function: what it reads is fresh from here on. */
void qg_run_begin(struct qg_run *run);

/* Observes a qube (qube is initialised here; name is checked). In a dry run, what earlier states of
 * this run would have made counts as there. With pci, the machine's PCI devices are asked for in
 * the same round, once a run. want->more is called only where what is known then stays true: not
 * where a dry run's states have changed the qube, nor before the devices are known. */
int qg_run_observe(struct qg_run *run, const char *name, const struct qg_want *want, bool pci,
                   bool test, struct qg_qube *qube, struct qg_err *err);

/* Asks for more about a qube that was observed. */
int qg_run_observe_more(struct qg_run *run, struct qg_qube *qube, const struct qg_want *want,
                        bool test, struct qg_err *err);

/* Which properties of dom0 and of other qubes name the qube, as a text; "" for none. It asks every
 * qube: for the rare case only. err must not be NULL. */
int qg_run_users(struct qg_run *run, const char *name, bool test, struct qg_buf *users,
                 struct qg_err *err);

/* dom0's PCI devices (lines of Available), borrowed until the next refresh; asked for where not
 * known yet. refresh asks again unless this function has just asked. NULL on failure. */
const json_t *qg_run_pci(struct qg_run *run, bool refresh, struct qg_err *err);

/* The qubes that earlier states of a dry run would have changed, by name; borrowed. */
const json_t *qg_run_dry(const struct qg_run *run);

/* Who was given the device at this port by an earlier state of this run; NULL: nobody. Borrowed. */
const char *qg_run_assigned_to(const struct qg_run *run, const char *port);

/* Does the steps from..to-1 (or, in a dry run, keeps them for later states to see), noting each
 * change as it happens. A creation that fails is undone. 0, or -1 with err and the changes until
 * then in the report. */
int qg_run_apply(struct qg_run *run, struct qg_plan *plan, size_t from, size_t to,
                 struct qg_report *report, struct qg_err *err);

/* The record of a creation that was begun and never ended: {name, source, uuid?}. NULL without an
 * error where there is none. New value. */
json_t *qg_run_unfinished(struct qg_run *run, const char *name, struct qg_err *err) QG_MUST_CHECK;

/* A Salt function of the core. args is a mapping of what the user wrote (borrowed, untrusted);
 * report->test says whether it is a dry run. 0, or -1 with err and what was done until then in the
 * report. */
typedef int qg_function(struct qg_run *run, const json_t *args, struct qg_report *report,
                        struct qg_err *err);

/* A row of a folder's table of functions; a NULL name ends the table. */
struct qg_function_entry {
    const char *name; /* e.g. `nvidia.driver_installed` */
    qg_function *call;
};

#endif
