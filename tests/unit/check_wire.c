/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bytes and values of the Admin API. */
#include "wire/lines.h"
#include "wire/name.h"
#include "wire/property.h"
#include "wire/reply.h"
#include "wire/request.h"

#include "chaos.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

Suite *qg_suite_wire(void);

/* ---- requests ---- */

START_TEST(a_request_is_one_frame) {
    struct qg_err err = {0};
    QG_AUTO(buf) struct qg_buf out = {0};
    const struct qg_request request = {"admin.vm.property.Set", "memory", "work", "4000", 4};
    ck_assert_int_eq(qg_request_encode(&request, &out, &err), 0);
    static const char wanted[] = "admin.vm.property.Set+memory dom0 name work\0"
                                 "4000";
    ck_assert_uint_eq(out.length, sizeof(wanted) - 1);
    ck_assert_mem_eq(out.data, wanted, sizeof(wanted) - 1);
}
END_TEST

static const struct {
    struct qg_request request;
    enum qg_err_kind kind;
} refused[] = {
    {{"admin.vm.List", NULL, "bad name", NULL, 0}, QG_ERR_INVALID},
    {{"admin.vm.List", NULL, "", NULL, 0}, QG_ERR_INVALID},
    {{"admin.vm.List", "a b", "work", NULL, 0}, QG_ERR_INVALID},
    {{"admin.vm.List", "a\nb", "work", NULL, 0}, QG_ERR_INVALID},
    {{"admin vm", NULL, "work", NULL, 0}, QG_ERR_INVALID},
    {{"admin.vm.feature.Set", "x", "work", "", QG_REQUEST_MAX}, QG_ERR_TOO_LARGE},
};

START_TEST(what_cannot_be_sent_is_refused) {
    struct qg_err err = {0};
    QG_AUTO(buf) struct qg_buf out = {0};
    ck_assert_int_eq(qg_request_encode(&refused[_i].request, &out, &err), -1);
    ck_assert_int_eq(err.kind, refused[_i].kind);
}
END_TEST

START_TEST(writing_methods_are_known) {
    static const char *const reads[] = {"admin.vm.List",
                                        "admin.vm.property.GetAll",
                                        "admin.vm.feature.CheckWithTemplate",
                                        "admin.vm.property.Help",
                                        "admin.pool.Info",
                                        "admin.vm.device.pci.Available",
                                        "admin.vm.device.pci.Assigned",
                                        "admin.vm.CurrentState",
                                        "admin.vm.Stats",
                                        "admin.Events",
                                        "admin.vm.firewall.Get",
                                        "admin.pool.ListDrivers"};
    static const char *const writes[] = {"admin.vm.property.Set",
                                         "admin.vm.Create.AppVM",
                                         "admin.vm.Remove",
                                         "admin.vm.volume.CloneFrom",
                                         "admin.vm.device.pci.Set.assignment",
                                         "admin.vm.Start"};
    for (size_t i = 0; i < QG_ARRAY_LEN(reads); i++)
        ck_assert_msg(!qg_request_writes(reads[i]), "%s", reads[i]);
    for (size_t i = 0; i < QG_ARRAY_LEN(writes); i++)
        ck_assert_msg(qg_request_writes(writes[i]), "%s", writes[i]);
}
END_TEST

/* ---- replies ---- */

/* A literal and its length, NULs inside counted. */
#define QG_BYTES(text) text, sizeof(text) - 1

static const struct {
    const char *bytes;
    size_t length;
    enum qg_err_kind kind;
    const char *text; /* of the data or of the error */
} replies[] = {
    {QG_BYTES("0\0hello"), QG_ERR_NONE, "hello"},
    {QG_BYTES("0\0"), QG_ERR_NONE, ""},
    {QG_BYTES(""), QG_ERR_REFUSED, "qubesd closed"},
    {QG_BYTES("0"), QG_ERR_PROTOCOL, "not an answer"},
    {QG_BYTES("2\0QubesException\0\0it failed\0"), QG_ERR_QUBESD, "it failed"},
    {QG_BYTES("2\0QubesException\0tb\0%s has %d\0work\0005\0"), QG_ERR_QUBESD, "work has 5"},
    {QG_BYTES("2\0QubesException\0\0bad\x1b[31m\0"), QG_ERR_QUBESD, "bad?[31m"},
    {QG_BYTES("2\0QubesException\0\0cut"), QG_ERR_PROTOCOL, "cut off"},
    {QG_BYTES("2\0QubesException\0"), QG_ERR_PROTOCOL, "cut off"},
    {QG_BYTES("2\0\0\0x\0"), QG_ERR_PROTOCOL, "cut off"},
    {QG_BYTES("1\0\0domain-start\0\0"), QG_ERR_PROTOCOL, "an event"},
    {QG_BYTES("\xff\xfe"), QG_ERR_PROTOCOL, "not an answer"},
};

START_TEST(replies_are_told_apart) {
    struct qg_err err = {0};
    const char *data = NULL;
    size_t length = 0;
    int status = qg_reply_parse(replies[_i].bytes, replies[_i].length, &data, &length, &err);
    ck_assert_int_eq(status, replies[_i].kind == QG_ERR_NONE ? 0 : -1);
    ck_assert_int_eq(err.kind, replies[_i].kind);
    if (status == 0)
        ck_assert_mem_eq(data, replies[_i].text, length);
    else
        ck_assert_msg(strstr(err.text, replies[_i].text) != NULL, "%s", err.text);
}
END_TEST

START_TEST(events_arrive_in_pieces) {
    static const char bytes[] = "1\0work\0domain-start\0start_guid\0True\0\0"
                                "1\0\0x\0\0";
    for (size_t length = 0; length < 37; length++) {
        QG_AUTO(event) struct qg_event event = {0};
        struct qg_err err = {0};
        size_t used = 1;
        ck_assert_int_eq(qg_reply_event(bytes, length, &event, &used, &err), 0);
        ck_assert_uint_eq(used, 0);
    }
    QG_AUTO(event) struct qg_event event = {0};
    struct qg_err err = {0};
    size_t used = 0;
    ck_assert_int_eq(qg_reply_event(bytes, sizeof(bytes) - 1, &event, &used, &err), 0);
    ck_assert_uint_eq(used, 37);
    ck_assert_str_eq(event.subject, "work");
    ck_assert_str_eq(event.name, "domain-start");
    ck_assert_str_eq(qg_value_get_text(event.values, "start_guid"), "True");
}
END_TEST

/* ---- properties ---- */

static const char three[] = "memory default=False type=int 4000\n"
                            "kernel default=False type=str \n"
                            "kernelopts default=True type=str a\\nb\\\\c\n";

START_TEST(properties_are_read) {
    struct qg_err err = {0};
    QG_AUTO(properties) struct qg_properties all = {0};
    ck_assert_int_eq(qg_properties_parse(three, strlen(three), &all, &err), 0);
    ck_assert_uint_eq(all.count, 3);
    const struct qg_property *memory = qg_properties_find(&all, "memory");
    ck_assert_str_eq(memory->value, "4000");
    ck_assert(!memory->is_default && memory->type == QG_PROPERTY_INT);
    ck_assert_str_eq(qg_properties_value(&all, "kernel"), "");
    ck_assert_str_eq(qg_properties_value(&all, "kernelopts"), "a\nb\\c");
    ck_assert_ptr_null(qg_properties_find(&all, "mem"));
    ck_assert_int_eq(qg_properties_put(&all, "memory", QG_PROPERTY_INT, "5", true, &err), 0);
    ck_assert_int_eq(qg_properties_put(&all, "new", QG_PROPERTY_STR, "x", false, &err), 0);
    QG_AUTO(properties) struct qg_properties copy = {0};
    ck_assert_int_eq(qg_properties_copy(&all, &copy, &err), 0);
    ck_assert_str_eq(qg_properties_value(&copy, "memory"), "5");
    ck_assert_str_eq(qg_properties_value(&copy, "new"), "x");
}
END_TEST

static const char *const broken[] = {
    "memory default=False type=int 4000", /* cut off */
    "memory default=Maybe type=int 4000\n",
    "memory default=True type=wizard 4000\n",
    "memory default=True\n",
    " default=True type=int 1\n",
    "\n",
    "x default=True type=str \xff\n",
};

START_TEST(broken_properties_are_refused) {
    struct qg_err err = {0};
    QG_AUTO(properties) struct qg_properties all = {0};
    ck_assert_int_eq(qg_properties_parse(broken[_i], strlen(broken[_i]), &all, &err), -1);
    ck_assert_int_eq(err.kind, QG_ERR_PROTOCOL);
}
END_TEST

static const struct {
    const char *name;
    enum qg_property_type type;
    const char *a, *b;
    bool equal;
} values[] = {
    {"memory", QG_PROPERTY_INT, "4000", "04000", true},
    {"memory", QG_PROPERTY_INT, "4000", "400", false},
    {"autostart", QG_PROPERTY_BOOL, "True", "true", true},
    {"autostart", QG_PROPERTY_BOOL, "True", "1", true},
    {"autostart", QG_PROPERTY_BOOL, "True", "no", false},
    {"autostart", QG_PROPERTY_BOOL, "strange", "strange", true},
    {"autostart", QG_PROPERTY_BOOL, "strange", "no", false},
    {"virt_mode", QG_PROPERTY_STR, "hvm", "HVM", true},
    {"kernel", QG_PROPERTY_STR, "a", "A", false},
    {"label", QG_PROPERTY_LABEL, "green", "4", true},
    {"label", QG_PROPERTY_LABEL, "red", "4", false},
    {"netvm", QG_PROPERTY_VM, "sys-net", "sys-net", true},
};

START_TEST(values_compare_by_type) {
    ck_assert(qg_property_equal(values[_i].name, values[_i].type, values[_i].a, values[_i].b) ==
              values[_i].equal);
}
END_TEST

/* ---- lines ---- */

START_TEST(device_lines_are_read) {
    struct qg_err err = {0};
    static const char lines[] =
        "01_00.0:0x10de:0x2504::p030000 device_id='0x10de:0x2504::p030000' port_id='01_00.0' "
        "product='It\\'s \\\\ a card' _sbdf='0000:01:00.0'\n";
    QG_AUTO(json) json_t *devices = qg_lines_devices(lines, strlen(lines), &err);
    ck_assert_msg(devices != NULL, "%s", err.text);
    const json_t *device = json_array_get(devices, 0);
    ck_assert_str_eq(qg_value_get_text(device, "_sbdf"), "0000:01:00.0");
    ck_assert_str_eq(qg_value_get_text(device, "product"), "It's \\\\ a card");
}
END_TEST

static const char *const broken_devices[] = {
    "x port_id='1'\n",              /* no identity */
    "x port_id='1' device_id='2\n", /* an open quote */
    "x port_id=1 device_id='2'\n",  /* none at all */
    "x port_id='1' device_id='2'",  /* cut off */
    "x port_id='1' device_id='\xc3'\n",
    "\n", /* a line without anything */
};

START_TEST(broken_device_lines_are_refused) {
    struct qg_err err = {0};
    QG_AUTO(json)
    json_t *devices = qg_lines_devices(broken_devices[_i], strlen(broken_devices[_i]), &err);
    ck_assert_ptr_null(devices);
    ck_assert_int_eq(err.kind, QG_ERR_PROTOCOL);
}
END_TEST

START_TEST(a_backslash_would_guard_the_quote) {
    QG_AUTO(buf) struct qg_buf out = {0};
    struct qg_err err = {0};
    ck_assert_int_eq(qg_lines_put_device_pair(&out, "a", "\\' b", &err), 0);
    ck_assert_str_eq(qg_buf_text(&out), "a='\\\\' b'");
    ck_assert_int_eq(qg_lines_put_device_pair(&out, "b", "c\\", &err), -1);
    ck_assert_int_eq(err.kind, QG_ERR_INVALID);
}
END_TEST

START_TEST(other_lines_are_read) {
    struct qg_err err = {0};
    static const char list[] = "work class=AppVM state=Halted uuid=1\n";
    QG_AUTO(json) json_t *qubes = qg_lines_qubes(list, strlen(list), &err);
    ck_assert_str_eq(qg_value_get_text(json_array_get(qubes, 0), "name"), "work");
    ck_assert_str_eq(qg_value_get_text(json_array_get(qubes, 0), "state"), "Halted");
    QG_AUTO(json) json_t *names = qg_lines_names("a\nb\n", 4, &err);
    ck_assert_uint_eq(json_array_size(names), 2);
    QG_AUTO(json) json_t *pairs = qg_lines_pairs("size=5\nsource=\n", 15, &err);
    ck_assert_str_eq(qg_value_get_text(pairs, "size"), "5");
    QG_AUTO(json) json_t *words = qg_lines_words("mem=0 power_state=Halted", 24, &err);
    ck_assert_str_eq(qg_value_get_text(words, "power_state"), "Halted");
    ck_assert_ptr_null(qg_lines_names("cut", 3, &err));
    qg_err_clear(&err);
    ck_assert_ptr_null(qg_lines_qubes("\n", 1, &err));
    ck_assert_int_eq(err.kind, QG_ERR_PROTOCOL);
}
END_TEST

/* ---- names ---- */

static const struct {
    const char *name;
    bool fine;
} names[] = {
    {"work", true},
    {"sys-net", true},
    {"a.b_c-1", true},
    {"dom0", true},
    {"", false},
    {"1a", false},
    {"-a", false},
    {"a b", false},
    {"a/b", false},
    {"none", false},
    {"default", false},
    {"Domain-0", false},
    {"abcdefghijabcdefghijabcdefghija", true},
    {"abcdefghijabcdefghijabcdefghijab", false},
};

START_TEST(names_are_checked) {
    struct qg_err err = {0};
    ck_assert_int_eq(qg_name_check_qube(names[_i].name, &err), names[_i].fine ? 0 : -1);
    ck_assert_int_eq(err.kind, names[_i].fine ? QG_ERR_NONE : QG_ERR_INVALID);
}
END_TEST

/* ---- want of memory ---- */

static int read_everything(void *data, struct qg_err *err) {
    (void)data;
    QG_AUTO(properties) struct qg_properties all = {0};
    QG_AUTO(properties) struct qg_properties copy = {0};
    static const char line[] = "a device_id='1' port_id='2'\n";
    if (qg_properties_parse(three, strlen(three), &all, err) < 0 ||
        qg_properties_put(&all, "new", QG_PROPERTY_STR, "x", false, err) < 0 ||
        qg_properties_copy(&all, &copy, err) < 0)
        return -1;
    QG_AUTO(json) json_t *devices = qg_lines_devices(line, strlen(line), err);
    return devices ? 0 : -1;
}

START_TEST(want_of_memory_is_said) {
    qg_chaos_each(read_everything, NULL, false);
}
END_TEST

Suite *qg_suite_wire(void) {
    Suite *suite = suite_create("wire");
    TCase *all = tcase_create("wire");
    tcase_add_test(all, a_request_is_one_frame);
    tcase_add_loop_test(all, what_cannot_be_sent_is_refused, 0, (int)QG_ARRAY_LEN(refused));
    tcase_add_test(all, writing_methods_are_known);
    tcase_add_loop_test(all, replies_are_told_apart, 0, (int)QG_ARRAY_LEN(replies));
    tcase_add_test(all, events_arrive_in_pieces);
    tcase_add_test(all, properties_are_read);
    tcase_add_loop_test(all, broken_properties_are_refused, 0, (int)QG_ARRAY_LEN(broken));
    tcase_add_loop_test(all, values_compare_by_type, 0, (int)QG_ARRAY_LEN(values));
    tcase_add_test(all, device_lines_are_read);
    tcase_add_loop_test(all, broken_device_lines_are_refused, 0, (int)QG_ARRAY_LEN(broken_devices));
    tcase_add_test(all, a_backslash_would_guard_the_quote);
    tcase_add_test(all, other_lines_are_read);
    tcase_add_loop_test(all, names_are_checked, 0, (int)QG_ARRAY_LEN(names));
    tcase_add_test(all, want_of_memory_is_said);
    suite_add_tcase(suite, all);
    return suite;
}
