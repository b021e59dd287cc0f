/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "wire/request.h"

#include "base/text.h"
#include "wire/name.h"

#include <string.h>

/* ` dom0 name ` and the NUL between the head and the payload. */
static const char source[] = " dom0 name ";

int qg_request_check(const struct qg_request *request, struct qg_err *err) {
    const char *arg = request->arg ? request->arg : "";
    if (qg_name_check_argument("method", request->method, err) < 0 ||
        qg_name_check_argument("argument", arg, err) < 0 ||
        qg_name_check_destination(request->dest, err) < 0)
        return -1;
    size_t head =
        strlen(request->method) + 1 + strlen(arg) + sizeof(source) + strlen(request->dest);
    if (head > QG_REQUEST_MAX || request->payload_length > QG_REQUEST_MAX - head)
        return qg_err_set(err, QG_ERR_TOO_LARGE,
                          "a request of more than %d bytes, qubesd takes no larger",
                          QG_REQUEST_MAX);
    return 0;
}

int qg_request_encode(const struct qg_request *request, struct qg_buf *out, struct qg_err *err) {
    const char *const head[] = {request->method, "+", request->arg ? request->arg : "", source,
                                request->dest};
    if (qg_request_check(request, err) < 0 ||
        qg_buf_add_all(out, head, QG_ARRAY_LEN(head), err) < 0 || qg_buf_add(out, "", 1, err) < 0)
        return -1;
    return qg_buf_add(out, request->payload, request->payload_length, err);
}

bool qg_request_writes(const char *method) {
    static const char *const endings[] = {".Help",     ".Info",         ".Available", ".Assigned",
                                          ".Attached", ".CurrentState", ".Stats",     NULL};
    static const char *const parts[] = {".List", ".Get", ".CheckWith", NULL};
    if (strcmp(method, "admin.Events") == 0)
        return false;
    for (const char *const *ending = endings; *ending; ending++)
        if (qg_text_ends(method, *ending))
            return false;
    const char *last = strrchr(method, '.');
    for (const char *const *part = parts; last && *part; part++)
        if (qg_text_starts(last, *part))
            return false;
    return true;
}
