/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Devices as people write them, among those that qubesd lists: TEXT NUL LINES. */
#include "fuzz.h"

#include "qubes/device.h"
#include "wire/lines.h"

static void try_bdf(const char *text) {
    char bdf[16], again[16];
    if (!qg_bdf_normalise(text, bdf))
        return;
    MUST(strlen(bdf) == strlen("0000:01:00.0"));
    MUST(qg_bdf_normalise(bdf, again) && strcmp(bdf, again) == 0);
}

/* What is sent for a device reads as that device. */
static void try_payload(const json_t *device) {
    struct qg_err err = {0};
    QG_AUTO(json) json_t *options = qg_device_options(device, &err);
    QG_AUTO_STR char *argument = qg_device_argument(device, &err);
    QG_AUTO_STR char *payload = qg_device_payload(device, "pci", "required", "work", options, &err);
    MUST(argument != NULL && options != NULL);
    must_explain(payload ? 0 : -1, &err);
    if (!payload)
        return;
    QG_AUTO(buf) struct qg_buf line = {0};
    MUST(qg_buf_printf(&line, &err, "port %s\n", payload) == 0);
    QG_AUTO(json) json_t *again = qg_lines_devices(line.data, line.length, &err);
    const json_t *read = json_array_get(again, 0);
    QG_AUTO(json) json_t *read_options = qg_device_options(read, &err);
    MUST(json_array_size(again) == 1 && qg_device_same(device, read));
    MUST(json_equal(read_options, options));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    struct qg_device_ref ref;
    struct qg_err err = {0};
    QG_AUTO_STR char *text = take_text(&input);
    try_bdf(text);
    int status = qg_device_ref_parse(text, &ref, &err);
    must_explain(status, &err);
    QG_AUTO(json) json_t *available = qg_lines_devices((const char *)input.at, input.left, NULL);
    size_t i;
    json_t *device;
    json_array_foreach(available, i, device) {
        MUST(qg_device_same(device, device));
        try_payload(device);
    }
    if (status < 0 || !available)
        return 0;
    const json_t *found = qg_device_find(available, &ref, &err);
    if (found && ref.identity[0])
        MUST(strcmp(qg_value_get_text(found, "device_id"), ref.identity) == 0);
    return 0;
}
