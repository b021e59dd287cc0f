/* SPDX-License-Identifier: GPL-3.0-or-later */
/* JSON into values: as jansson reads it (for which a text may end with a NUL), and what is printed
 * is read as it was. */
#include "fuzz.h"

#include "doc/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct qg_err err = {0};
    QG_AUTO(json) json_t *ours = qg_json_load((const char *)data, size, &err);
    must_explain(ours ? 0 : -1, &err);
    QG_AUTO(json)
    json_t *theirs =
        json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    if (!ours) {
        MUST(!theirs || memchr(data, '\0', size) || strstr(err.text, "too deep"));
        return 0;
    }
    MUST(theirs && json_equal(ours, theirs));
    QG_AUTO_STR char *text = qg_value_dump(ours, &err);
    MUST(text != NULL);
    QG_AUTO(json) json_t *again = qg_json_load(text, strlen(text), &err);
    MUST(json_equal(again, ours));
    return 0;
}
