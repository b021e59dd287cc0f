/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Asking qubesd: one call, or a batch of calls that do not depend on one another, at once. */
#ifndef QG_QUBES_CLIENT_H
#define QG_QUBES_CLIENT_H

#include "base/log.h"
#include "doc/value.h"
#include "net/call.h"

/* Where and how; borrowed by everything that calls. Opens nothing by itself. */
struct qg_client {
    struct qg_transport transport;
    int64_t timeout_ms;              /* for one call or batch */
    bool (*interrupted)(void *data); /* see struct qg_deadline */
    void *data;
    const struct qg_log *log; /* each writing call is a debug line; may be NULL */
};

struct qg_deadline qg_client_deadline(const struct qg_client *client, int64_t ms);

/* One call; its reply and failure are in call (started as {0}). 0/-1, err is a copy of the call's
 * failure. */
int qg_client_call(const struct qg_client *client, struct qg_call *call, struct qg_err *err);

/* One call for its effect: no data is expected back. payload may be NULL. */
int qg_client_do(const struct qg_client *client, const char *method, const char *arg,
                 const char *dest, const char *payload, struct qg_err *err);

/* Calls without payload, to be run at once. Texts are borrowed until qg_batch_fini. */
struct qg_batch {
    struct qg_call *calls;
    size_t count, size;
    json_t *texts; /* those that the batch keeps itself */
};

void qg_batch_fini(struct qg_batch *batch);
QG_DEFINE_AUTO_FINI(batch, struct qg_batch, qg_batch_fini)

int qg_batch_add(struct qg_batch *batch, const char *method, const char *arg, const char *dest,
                 struct qg_err *err);

/* As qg_batch_add with `admin.vm.device.CLASS.OPERATION`, a text that the batch keeps. A class that
 * cannot be one is QG_ERR_INVALID. */
int qg_batch_add_device(struct qg_batch *batch, const char *devclass, const char *operation,
                        const char *dest, struct qg_err *err);

/* Runs those added since the last run; each call's outcome stays in batch->calls in the order of
 * adding. */
int qg_batch_run(struct qg_batch *batch, size_t from, const struct qg_client *client,
                 struct qg_err *err);

#endif
