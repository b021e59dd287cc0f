/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A request of the Admin API and its bytes: `METHOD+ARG SRC name DEST\0PAYLOAD`. */
#ifndef QG_WIRE_REQUEST_H
#define QG_WIRE_REQUEST_H

#include "base/buf.h"

#include <stdbool.h>

enum { QG_REQUEST_MAX = 65536 }; /* qubesd drops anything larger without a word */

/* All borrowed. */
struct qg_request {
    const char *method;  /* e.g. `admin.vm.property.Set` */
    const char *arg;     /* NULL or "": none */
    const char *dest;    /* a qube's name */
    const char *payload; /* NULL: none */
    size_t payload_length;
};

/* Appends the whole request for a unix socket to out. QG_ERR_INVALID for a name that cannot be
 * sent, QG_ERR_TOO_LARGE over QG_REQUEST_MAX. */
int qg_request_encode(const struct qg_request *request, struct qg_buf *out, struct qg_err *err);

/* Checks names and size alone, for a transport that sends the parts another way. */
int qg_request_check(const struct qg_request *request, struct qg_err *err);

/* True where the method can change something (the contract's list of reading methods, turned
 * round). */
bool qg_request_writes(const char *method);

#endif
