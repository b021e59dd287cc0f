/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Replies and event streams. The last byte says where a stream is cut off. */
#include "fuzz.h"

#include "wire/reply.h"

static void try_reply(const char *bytes, size_t length) {
    struct qg_err err = {0};
    const char *data = NULL;
    size_t data_length = 0;
    int status = qg_reply_parse(bytes, length, &data, &data_length, &err);
    must_explain(status, &err);
    if (status == 0)
        MUST(data >= bytes && data + data_length == bytes + length);
}

/* A stream that is cut off inside an event asks for more, and gives nothing. */
static void try_cut(const char *bytes, size_t length) {
    QG_AUTO(event) struct qg_event event = {0};
    struct qg_err err = {0};
    size_t used = 0;
    MUST(qg_reply_event(bytes, length, &event, &used, &err) == 0);
    MUST(used == 0 && !event.values);
}

static void try_events(const char *bytes, size_t length, size_t cut) {
    while (length) {
        QG_AUTO(event) struct qg_event event = {0};
        struct qg_err err = {0};
        size_t used = 0;
        int status = qg_reply_event(bytes, length, &event, &used, &err);
        must_explain(status, &err);
        if (status < 0 || used == 0)
            return;
        MUST(used <= length && event.subject && event.name && event.values);
        MUST(bytes[used - 1] == '\0');
        try_cut(bytes, cut % used);
        bytes += used;
        length -= used;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    size_t cut = data[size - 1];
    QG_AUTO_STR char *bytes = malloc(size - 1 ? size - 1 : 1);
    MUST(bytes != NULL);
    memcpy(bytes, data, size - 1);
    try_reply(bytes, size - 1);
    try_events(bytes, size - 1, cut);
    return 0;
}
