/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qubes/client.h"

#include <stdlib.h>
#include <string.h>

struct qg_deadline qg_client_deadline(const struct qg_client *client, int64_t ms) {
    struct qg_deadline deadline = qg_deadline_in(ms);
    deadline.interrupted = client->interrupted;
    deadline.data = client->data;
    return deadline;
}

int qg_client_call(const struct qg_client *client, struct qg_call *call, struct qg_err *err) {
    if (qg_request_writes(call->request.method))
        qg_log(client->log, QG_LOG_DEBUG, "%s+%s on %s", call->request.method,
               call->request.arg ? call->request.arg : "", call->request.dest);
    struct qg_deadline deadline = qg_client_deadline(client, client->timeout_ms);
    if (qg_calls_run(&client->transport, call, 1, &deadline, err) < 0)
        return -1;
    if (call->err.kind == QG_ERR_NONE)
        return 0;
    if (err && err->kind == QG_ERR_NONE)
        *err = call->err;
    return -1;
}

int qg_client_do(const struct qg_client *client, const char *method, const char *arg,
                 const char *dest, const char *payload, struct qg_err *err) {
    struct qg_call call = {.request = {method, arg, dest, payload, payload ? strlen(payload) : 0}};
    int status = qg_client_call(client, &call, err);
    qg_call_fini(&call);
    return status;
}

void qg_batch_fini(struct qg_batch *batch) {
    for (size_t i = 0; i < batch->count; i++)
        qg_call_fini(&batch->calls[i]);
    free(batch->calls);
    json_decref(batch->texts);
    *batch = (struct qg_batch){0};
}

int qg_batch_add(struct qg_batch *batch, const char *method, const char *arg, const char *dest,
                 struct qg_err *err) {
    if (batch->count == batch->size) {
        size_t size = batch->size ? batch->size * 2 : 4;
        struct qg_call *calls = reallocarray(batch->calls, size, sizeof(*calls));
        if (!calls)
            return qg_err_oom(err);
        batch->calls = calls;
        batch->size = size;
    }
    struct qg_call *call = &batch->calls[batch->count++];
    call->request = (struct qg_request){.method = method, .arg = arg, .dest = dest};
    call->reply = (struct qg_buf){0};
    call->data = NULL;
    call->data_length = 0;
    qg_err_clear(&call->err);
    call->landed = NULL;
    call->owner = NULL;
    return 0;
}

int qg_batch_add_device(struct qg_batch *batch, const char *devclass, const char *operation,
                        const char *dest, struct qg_err *err) {
    if (!*devclass ||
        strspn(devclass, "abcdefghijklmnopqrstuvwxyz0123456789_-") != strlen(devclass))
        return qg_err_set(err, QG_ERR_INVALID,
                          "devices: '%.60s' is no device class (pci, usb, block, mic)", devclass);
    if (!batch->texts && !(batch->texts = qg_value_array(err)))
        return -1;
    const char *const parts[] = {"admin.vm.device.", devclass, ".", operation};
    QG_AUTO(buf) struct qg_buf text = {0};
    if (qg_buf_add_all(&text, parts, QG_ARRAY_LEN(parts), err) < 0 ||
        qg_value_append_take(batch->texts, qg_value_text(text.data, err), err) < 0)
        return -1;
    const json_t *method = json_array_get(batch->texts, json_array_size(batch->texts) - 1);
    return qg_batch_add(batch, json_string_value(method), NULL, dest, err);
}

int qg_batch_run(struct qg_batch *batch, size_t from, const struct qg_client *client,
                 struct qg_err *err) {
    if (batch->count == from)
        return 0;
    struct qg_deadline deadline = qg_client_deadline(client, client->timeout_ms);
    return qg_calls_run(&client->transport, batch->calls + from, batch->count - from, &deadline,
                        err);
}
