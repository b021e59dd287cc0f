/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "host/host_i.h"

#include <stdlib.h>

struct qg_host *qg_host_new(const char *root, const struct qg_log *log, struct qg_err *err) {
    struct qg_host *host = malloc(sizeof(*host));
    if (!host) {
        qg_err_oom(err);
        return NULL;
    }
    *host = (struct qg_host){.root = root ? root : "", .log = log};
    return host;
}

void qg_host_free(struct qg_host *host) {
    free(host);
}

const char *qg_host_root(const struct qg_host *host) {
    return host->root;
}

void qg_host_result_fini(struct qg_host_result *result) {
    qg_buf_fini(&result->out);
}
