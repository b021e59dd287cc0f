/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plan/run_i.h"

#include "qubes/device.h"
#include "wire/lines.h"
#include "wire/name.h"

#include <stdlib.h>
#include <string.h>

static const char default_socket[] = "/run/qubesd.sock";
static const char qrexec_program[] = "qrexec-client-vm";

void qg_run_free(struct qg_run *run) {
    if (!run)
        return;
    for (size_t i = 0; i < run->dry_count; i++)
        qg_plan_fini(&run->dry[i]);
    free(run->dry);
    json_decref(run->pci);
    json_decref(run->assigned);
    json_decref(run->dry_index);
    qg_host_free(run->host);
    qg_host_free(run->records);
    free(run->socket);
    free(run->root);
    free(run->record_dir);
    free(run);
}

static int run_init(struct qg_run *run, const struct qg_run_config *config, struct qg_err *err) {
    run->socket = strdup(config->socket ? config->socket : default_socket);
    run->root = strdup(config->root ? config->root : "");
    run->record_dir = config->record_dir ? strdup(config->record_dir) : NULL;
    run->assigned = json_object();
    run->dry_index = json_object();
    if (!run->socket || !run->root || (config->record_dir && !run->record_dir) || !run->assigned ||
        !run->dry_index)
        return qg_err_oom(err);
    run->log = config->log;
    run->client = (struct qg_client){
        .transport = {.socket = config->qrexec ? NULL : run->socket,
                      .qrexec = config->qrexec ? qrexec_program : NULL},
        .timeout_ms = config->timeout_ms ? config->timeout_ms : QG_RUN_TIMEOUT_MS,
        .interrupted = config->interrupted,
        .data = config->data,
        .log = &run->log,
    };
    run->host = qg_host_new(run->root, &run->log, err);
    if (run->host && run->record_dir)
        run->records = qg_host_new("", &run->log, err);
    return run->host && (run->records || !run->record_dir) ? 0 : -1;
}

struct qg_run *qg_run_new(const struct qg_run_config *config, struct qg_err *err) {
    QG_AUTO(run) struct qg_run *run = calloc(1, sizeof(*run));
    if (!run) {
        qg_err_oom(err);
        return NULL;
    }
    return run_init(run, config, err) < 0 ? NULL : QG_STEAL(run);
}

struct qg_host *qg_run_host(struct qg_run *run) {
    return run->host;
}

const struct qg_log *qg_run_log(const struct qg_run *run) {
    return &run->log;
}

const char *qg_run_record_dir(const struct qg_run *run) {
    return run->record_dir;
}

struct qg_deadline qg_run_deadline(const struct qg_run *run, int64_t ms) {
    return qg_client_deadline(&run->client, ms ? ms : run->client.timeout_ms);
}

const struct qg_client *qg_run_client(const struct qg_run *run) {
    return &run->client;
}

void qg_run_begin(struct qg_run *run) {
    run->pci_fresh = false;
}

/* The answer to pci.Available of dom0 becomes the run's list. */
static int take_pci(struct qg_run *run, const struct qg_call *call, struct qg_err *err) {
    if (call->err.kind != QG_ERR_NONE) {
        if (err && err->kind == QG_ERR_NONE)
            *err = call->err;
        return -1;
    }
    json_t *devices = qg_lines_devices(call->data, call->data_length, err);
    if (!devices) {
        qg_err_at(err, "%s on %s", call->request.method, call->request.dest);
        return -1;
    }
    json_decref(run->pci);
    run->pci = devices;
    run->pci_fresh = true;
    return 0;
}

static int add_pci(struct qg_batch *batch, struct qg_err *err) {
    return qg_batch_add(batch, "admin.vm.device.pci.Available", NULL, "dom0", err);
}

const json_t *qg_run_pci(struct qg_run *run, bool refresh, struct qg_err *err) {
    if (run->pci && (!refresh || run->pci_fresh))
        return run->pci;
    QG_AUTO(batch) struct qg_batch batch = {0};
    if (add_pci(&batch, err) < 0 || qg_batch_run(&batch, 0, &run->client, err) < 0 ||
        take_pci(run, &batch.calls[0], err) < 0)
        return NULL;
    return run->pci;
}

/* What earlier states of a dry run would have done to this qube; NULL: nothing. */
static const struct qg_plan *dry_plan(const struct qg_run *run, const char *name) {
    const json_t *index = json_object_get(run->dry_index, name);
    return index ? &run->dry[json_integer_value(index)] : NULL;
}

/* The first step that still matters: the last creation or removal, else the first of all. *made:
 * the qube is as that step leaves it, qubesd need not be asked. */
static size_t dry_start(const struct qg_plan *plan, bool *made) {
    for (size_t i = plan->count; i-- > 0;)
        if (plan->steps[i].kind == QG_STEP_CREATE || plan->steps[i].kind == QG_STEP_REMOVE ||
            plan->steps[i].model) {
            *made = true;
            return i;
        }
    *made = false;
    return 0;
}

static int replay(const struct qg_plan *plan, size_t from, struct qg_qube *qube,
                  struct qg_err *err) {
    for (size_t i = from; plan && i < plan->count; i++)
        if (qg_step_effect(&plan->steps[i], qube, err) < 0)
            return -1;
    return 0;
}

int qg_run_observe(struct qg_run *run, const char *name, const struct qg_want *want, bool pci,
                   bool test, struct qg_qube *qube, struct qg_err *err) {
    if (qg_qube_init(qube, name, err) < 0 || qg_name_check_qube(name, err) < 0)
        return -1;
    const struct qg_plan *dry = test ? dry_plan(run, name) : NULL;
    bool made = false;
    size_t from = dry ? dry_start(dry, &made) : 0;
    if (made)
        return pci && !qg_run_pci(run, false, err) ? -1 : replay(dry, from, qube, err);
    QG_AUTO(batch) struct qg_batch batch = {0};
    bool ask_pci = pci && !run->pci;
    if (ask_pci && add_pci(&batch, err) < 0)
        return -1;
    struct qg_want asked = *want;
    if (dry || ask_pci)
        asked.more = NULL;
    int status = qg_qube_observe(qube, &asked, &run->client, &batch, err);
    if (status == 0 && ask_pci)
        status = take_pci(run, &batch.calls[0], err);
    return status < 0 ? -1 : replay(dry, from, qube, err);
}

int qg_run_observe_more(struct qg_run *run, struct qg_qube *qube, const struct qg_want *want,
                        bool test, struct qg_err *err) {
    const struct qg_plan *dry = test ? dry_plan(run, qube->name) : NULL;
    bool made = false;
    size_t from = dry ? dry_start(dry, &made) : 0;
    if (made)
        return 0;
    if (qg_qube_observe(qube, want, &run->client, NULL, err) < 0)
        return -1;
    return replay(dry, from, qube, err);
}

const json_t *qg_run_dry(const struct qg_run *run) {
    return run->dry_index;
}

/* Adds the properties that name the qube; defaults follow another property, which is listed itself.
 */
static int add_users(const struct qg_properties *properties, const char *owner, const char *name,
                     struct qg_buf *users, struct qg_err *err) {
    for (size_t i = 0; i < properties->count; i++) {
        const struct qg_property *item = &properties->items[i];
        if (item->type == QG_PROPERTY_VM && !item->is_default && strcmp(item->value, name) == 0 &&
            qg_buf_printf(users, err, "%s%s of %s", users->length ? ", " : "", item->name, owner) <
                0)
            return -1;
    }
    return 0;
}

int qg_run_users(struct qg_run *run, const char *name, bool test, struct qg_buf *users,
                 struct qg_err *err) {
    const struct qg_want want = {.properties = true};
    QG_AUTO(properties) struct qg_properties global = {0};
    QG_AUTO(batch) struct qg_batch batch = {0};
    QG_AUTO(json) json_t *qubes = NULL;
    if (qg_batch_add(&batch, "admin.vm.List", NULL, "dom0", err) < 0 ||
        qg_batch_add(&batch, "admin.property.GetAll", NULL, "dom0", err) < 0 ||
        qg_batch_run(&batch, 0, &run->client, err) < 0)
        return -1;
    const struct qg_call *list = &batch.calls[0], *all = &batch.calls[1];
    if (!list->data || !all->data) {
        *err = list->data ? all->err : list->err;
        return -1;
    }
    if (!(qubes = qg_lines_qubes(list->data, list->data_length, err)) ||
        qg_properties_parse(all->data, all->data_length, &global, err) < 0 ||
        add_users(&global, "dom0", name, users, err) < 0)
        return -1;
    size_t i;
    json_t *item;
    json_array_foreach(qubes, i, item) {
        QG_AUTO(qube) struct qg_qube qube = {0};
        const char *owner = qg_value_get_text(item, "name");
        if (strcmp(owner, name) != 0 &&
            (qg_run_observe(run, owner, &want, false, test, &qube, err) < 0 ||
             (qube.exists && add_users(&qube.properties, owner, name, users, err) < 0)))
            return -1;
    }
    return 0;
}

const char *qg_run_assigned_to(const struct qg_run *run, const char *port) {
    return qg_value_get_text(run->assigned, port);
}

int qg_run_note_assigned(struct qg_run *run, const struct qg_step *step, struct qg_err *err) {
    const char *port = qg_value_get_text(json_object_get(step->extra, "device"), "port_id");
    if (step->kind == QG_STEP_ASSIGN && port)
        return qg_value_set_take(run->assigned, port, qg_value_text(step->qube, err), err);
    if (step->kind == QG_STEP_UNASSIGN && port)
        json_object_del(run->assigned, port);
    return 0;
}

/* The qube's plan of this dry run, made where there is none. */
static struct qg_plan *dry_plan_of(struct qg_run *run, const char *name, struct qg_err *err) {
    const json_t *index = json_object_get(run->dry_index, name);
    if (index)
        return &run->dry[json_integer_value(index)];
    struct qg_plan *dry = reallocarray(run->dry, run->dry_count + 1, sizeof(*dry));
    if (!dry) {
        qg_err_oom(err);
        return NULL;
    }
    run->dry = dry;
    if (qg_value_set_take(run->dry_index, name, json_integer((json_int_t)run->dry_count), err) < 0)
        return NULL;
    run->dry[run->dry_count] = (struct qg_plan){0};
    return &run->dry[run->dry_count++];
}

int qg_run_keep(struct qg_run *run, struct qg_plan *plan, size_t from, size_t to,
                struct qg_err *err) {
    for (size_t i = from; i < to; i++) {
        struct qg_plan *dry = dry_plan_of(run, plan->steps[i].qube, err);
        if (!dry)
            return -1;
        if (dry->count == dry->size) {
            size_t size = dry->size ? dry->size * 2 : 16;
            struct qg_step *steps = reallocarray(dry->steps, size, sizeof(*steps));
            if (!steps)
                return qg_err_oom(err);
            dry->steps = steps;
            dry->size = size;
        }
        dry->steps[dry->count++] = plan->steps[i];
        plan->steps[i] =
            (struct qg_step){.kind = QG_STEP_RECORD_END}; /* an empty shell to be freed */
    }
    return 0;
}
