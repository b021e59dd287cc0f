/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Values, JSON and YAML. */
#include "doc/json.h"
#include "doc/value.h"
#include "doc/yaml.h"

#include "chaos.h"
#include "defaults_yaml.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

Suite *qg_suite_doc(void);

static json_t *json(const char *text) {
    struct qg_err err = {0};
    json_t *value = qg_json_load(text, strlen(text), &err);
    ck_assert_msg(value != NULL, "%s: %s", text, err.text);
    return value;
}

static void assert_dump(const json_t *value, const char *wanted) {
    struct qg_err err = {0};
    QG_AUTO_STR char *text = qg_value_dump(value, &err);
    ck_assert_str_eq(text, wanted);
}

/* ---- values ---- */

static int clean_nested(void *data, struct qg_err *err) {
    QG_AUTO(json) json_t *clean = qg_value_clean(data, err);
    return clean ? 0 : -1;
}

START_TEST(texts_inside_a_value_are_cleaned) {
    QG_AUTO(json)
    json_t *dirty = json_pack("{s:[s,i,{s:s}],s:n}", "k\x1b", "a\x07\n", 1, "x", "\xc3\x84\t", "n");
    QG_AUTO(json)
    json_t *expected = json_pack("{s:[s,i,{s:s}],s:n}", "k?", "a?\n", 1, "x", "\xc3\x84\t", "n");
    QG_AUTO(json) json_t *clean = qg_value_clean(dirty, NULL);
    ck_assert(json_equal(clean, expected));
    qg_chaos_each(clean_nested, dirty, false);
    QG_AUTO(json) json_t *same = qg_value_clean(json_object_get(dirty, "n"), NULL);
    ck_assert_ptr_eq(same, json_object_get(dirty, "n"));
}
END_TEST

START_TEST(values_are_built) {
    struct qg_err err = {0};
    QG_AUTO(json) json_t *root = qg_value_object(&err);
    ck_assert_int_eq(qg_value_set_take(root, "name", qg_value_text("work", &err), &err), 0);
    ck_assert_int_eq(qg_value_set_take(root, "mem", qg_value_int(4000, &err), &err), 0);
    QG_AUTO(json) json_t *list = qg_value_array(&err);
    ck_assert_int_eq(qg_value_append_take(list, qg_value_format(&err, "%02x:%d", 1, 0), &err), 0);
    ck_assert_int_eq(qg_value_set_take(root, "list", QG_STEAL(list), &err), 0);
    const char *const path[] = {"qvm.prefs", "mem", "new", NULL};
    ck_assert_int_eq(qg_value_set_path_take(root, path, qg_value_int(1, &err), &err), 0);
    const char *const beside[] = {"qvm.prefs", "mem", "old", NULL};
    ck_assert_int_eq(qg_value_set_path_take(root, beside, json_null(), &err), 0);
    assert_dump(root, "{\"name\":\"work\",\"mem\":4000,\"list\":[\"01:0\"],"
                      "\"qvm.prefs\":{\"mem\":{\"new\":1,\"old\":null}}}");
    ck_assert_str_eq(qg_value_get_text(root, "name"), "work");
    ck_assert_ptr_null(qg_value_get_text(root, "mem"));
    ck_assert_ptr_null(qg_value_get_text(root, "absent"));
}
END_TEST

START_TEST(values_refuse_what_is_no_utf8) {
    struct qg_err err = {0};
    ck_assert_ptr_null(qg_value_text("a\xff", &err));
    ck_assert_int_eq(err.kind, QG_ERR_INVALID);
    /* A constructor that failed fails the setter, with the first error kept. */
    QG_AUTO(json) json_t *root = json_object();
    ck_assert_int_eq(qg_value_set_take(root, "key", NULL, &err), -1);
    ck_assert_int_eq(qg_value_append_take(root, NULL, &err), -1);
    ck_assert_int_eq(err.kind, QG_ERR_INVALID);
}
END_TEST

START_TEST(emptiness_is_known) {
    const char *const empty[] = {"null", "\"\"", "[]", "{}"};
    const char *const full[] = {"0", "false", "true", "\"x\"", "[null]", "{\"a\":null}"};
    ck_assert(qg_value_is_empty(NULL));
    for (size_t i = 0; i < QG_ARRAY_LEN(empty); i++) {
        QG_AUTO(json) json_t *value = json(empty[i]);
        ck_assert(qg_value_is_empty(value));
    }
    for (size_t i = 0; i < QG_ARRAY_LEN(full); i++) {
        QG_AUTO(json) json_t *value = json(full[i]);
        ck_assert(!qg_value_is_empty(value));
    }
}
END_TEST

static const struct {
    const char *json, *text, *type;
} texts[] = {
    {"null", "", "null"},       {"true", "True", "bool"}, {"false", "False", "bool"},
    {"500", "500", "number"},   {"-1", "-1", "number"},   {"1.5", "1.5", "number"},
    {"\"a b\"", "a b", "text"}, {"[1]", NULL, "list"},    {"{}", NULL, "mapping"},
    {"\"500\"", "500", "text"},
};

START_TEST(scalars_have_a_text) {
    struct qg_err err = {0};
    QG_AUTO(json) json_t *value = json(texts[_i].json);
    ck_assert_str_eq(qg_value_type_name(value), texts[_i].type);
    QG_AUTO_STR char *text = qg_value_to_text(value, &err);
    if (texts[_i].text) {
        ck_assert_str_eq(text, texts[_i].text);
    } else {
        ck_assert_ptr_null(text);
        ck_assert_int_eq(err.kind, QG_ERR_INVALID);
        ck_assert_ptr_nonnull(strstr(err.text, texts[_i].type));
    }
}
END_TEST

static const struct {
    const char *base, *over, *merged;
} merges[] = {
    {NULL, NULL, "{}"},
    {"{\"a\":1}", NULL, "{\"a\":1}"},
    {NULL, "{\"a\":{\"b\":[1]}}", "{\"a\":{\"b\":[1]}}"},
    {"{\"a\":1,\"b\":2,\"c\":3}", "{\"b\":9,\"d\":4}", "{\"a\":1,\"b\":9,\"c\":3,\"d\":4}"},
    {"{\"p\":{\"x\":1,\"y\":2}}", "{\"p\":{\"y\":null}}", "{\"p\":{\"x\":1,\"y\":null}}"},
    {"{\"l\":[1,2,3]}", "{\"l\":[9]}", "{\"l\":[9]}"},
    {"{\"l\":[1]}", "{\"l\":\"auto\"}", "{\"l\":\"auto\"}"},
    {"{\"p\":{\"x\":1}}", "{\"p\":5}", "{\"p\":5}"},
    {"{\"p\":5}", "{\"p\":{\"x\":1}}", "{\"p\":{\"x\":1}}"},
    {"{\"a\":1}", "[1]", "[1]"},
};

START_TEST(mappings_merge) {
    struct qg_err err = {0};
    QG_AUTO(json) json_t *base = merges[_i].base ? json(merges[_i].base) : NULL;
    QG_AUTO(json) json_t *over = merges[_i].over ? json(merges[_i].over) : NULL;
    QG_AUTO(json) json_t *merged = qg_value_merge(base, over, &err);
    assert_dump(merged, merges[_i].merged);
    if (base)
        assert_dump(base, merges[_i].base);
    if (over)
        assert_dump(over, merges[_i].over);
}
END_TEST

START_TEST(merged_copies_are_deep) {
    struct qg_err err = {0};
    QG_AUTO(json) json_t *base = json("{\"a\":{\"b\":1},\"l\":[{\"x\":1}]}");
    QG_AUTO(json) json_t *merged = qg_value_merge(base, NULL, &err);
    json_object_set_new(json_object_get(merged, "a"), "b", json_integer(2));
    json_array_clear(json_object_get(merged, "l"));
    assert_dump(base, "{\"a\":{\"b\":1},\"l\":[{\"x\":1}]}");
}
END_TEST

/* depth mappings in one another */
static json_t *nested(int depth) {
    json_t *value = json_object();
    while (--depth > 0) {
        json_t *outer = json_object();
        json_object_set_new(outer, "k", value);
        value = outer;
    }
    return value;
}

START_TEST(merging_has_a_depth) {
    struct qg_err err = {0};
    QG_AUTO(json) json_t *deep = nested(QG_VALUE_DEPTH_MAX);
    QG_AUTO(json) json_t *merged = qg_value_merge(deep, deep, &err);
    ck_assert_ptr_nonnull(merged);
    QG_AUTO(json) json_t *deeper = nested(QG_VALUE_DEPTH_MAX + 2);
    QG_AUTO(json) json_t *refused = qg_value_merge(NULL, deeper, &err);
    ck_assert_ptr_null(refused);
    ck_assert_int_eq(err.kind, QG_ERR_INVALID);
}
END_TEST

/* ---- JSON ---- */

static const char *const good_json[] = {
    " {\"a\" :1 ,\"b\":[ ] ,\"c\":{ }, \"\":null}\r\n\t",
    "[true,false,null,\"\",0,-0,-9223372036854775808,9223372036854775807]",
    "[0.5,-1e3,1E+2,2.25e-2,1e-400]",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0001\\u00e4\\u20AC\\ud83d\\ude00\\uDBFF\\uDFFF\"",
    "\"\x7f\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80 and a text that is longer than sixteen bytes\"",
};

static const char *const bad_json[] = {
    "",
    " ",
    "{",
    "[",
    "[1",
    "[1,]",
    "[,1]",
    "{,}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{a:1}",
    "{1:2}",
    "[1 2]",
    "1 2",
    "nul",
    "truee",
    "True",
    "'a'",
    "\"a",
    "\"a\n\"",
    "\"\\",
    "\"\\\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12g4",
    "\"\\u\"",
    "\"\\u0000\"",
    "\"\\ud83d",
    "\"\\ud83d\"",
    "\"\\ude00",
    "\"\\ud83dx",
    "\"\xff\"",
    "\"\xc3\"",
    "\"\xed\xa0\x80\"",
    "01",
    "-",
    "+1",
    ".5",
    "1.",
    "1e",
    "1e+",
    "1e999",
    "0x10",
    "NaN",
    "1,",
    "]",
    "\357\273\2771",
    "9223372036854775808",
    "-9223372036854775809",
    "\"\\ud83d\\u0041\"",
    "{\"a\":1,\"a\":2}",
};

/* Jansson's reading, which is right where memory does not run out. */
static json_t *jansson(const char *text) {
    return json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
}

START_TEST(good_json_is_read_as_jansson_does) {
    QG_AUTO(json) json_t *ours = json(good_json[_i]);
    QG_AUTO(json) json_t *theirs = jansson(good_json[_i]);
    ck_assert(theirs && json_equal(ours, theirs));
}
END_TEST

START_TEST(bad_json_is_refused_as_jansson_does) {
    struct qg_err err = {0};
    ck_assert_ptr_null(jansson(bad_json[_i]));
    ck_assert_msg(!qg_json_load(bad_json[_i], strlen(bad_json[_i]), &err), "%s", bad_json[_i]);
    ck_assert_int_eq(err.kind, QG_ERR_PARSE);
    ck_assert_int_ge(err.line, 1);
}
END_TEST

START_TEST(broken_json_has_a_place) {
    struct qg_err err = {0};
    ck_assert_ptr_null(qg_json_load("{\"a\":1,\n\"a\":2}", 14, &err));
    ck_assert_str_eq(err.text, "JSON, line 2, column 4: a key twice");
    ck_assert_int_eq(err.line, 2);
    ck_assert_int_eq(err.column, 4);
}
END_TEST

START_TEST(json_ends_where_its_length_says) {
    struct qg_err err = {0};
    QG_AUTO(json) json_t *value = qg_json_load("12345", 2, &err);
    ck_assert_int_eq(json_integer_value(value), 12);
    ck_assert_ptr_null(qg_json_load("\"ab\"", 3, &err));
    qg_err_clear(&err);
    ck_assert_ptr_null(qg_json_load("\"a\0b\"", 5, &err));
    ck_assert_int_eq(err.kind, QG_ERR_PARSE);
}
END_TEST

START_TEST(json_has_a_depth) {
    struct qg_err err = {0};
    char text[2 * (QG_VALUE_DEPTH_MAX + 2)];
    size_t most = QG_VALUE_DEPTH_MAX + 1;
    memset(text, '[', most);
    memset(text + most, ']', most);
    QG_AUTO(json) json_t *deep = qg_json_load(text, 2 * most, &err);
    ck_assert_msg(deep != NULL, "%s", err.text);
    memset(text, '[', sizeof(text));
    ck_assert_ptr_null(qg_json_load(text, sizeof(text), &err));
    ck_assert_ptr_nonnull(strstr(err.text, "nested too deep"));
}
END_TEST

/* A text that was read short would be another one, not a failure. */
static int load_json(void *data, struct qg_err *err) {
    const char *text = good_json[*(int *)data];
    QG_AUTO(json) json_t *value = qg_json_load(text, strlen(text), err);
    return value ? 0 : -1;
}

START_TEST(json_without_memory) {
    qg_chaos_each(load_json, &_i, false);
}
END_TEST

/* ---- YAML ---- */

static const struct {
    const char *yaml, *json;
} documents[] = {
    {"a: 1\n", "{\"a\":1}"},
    {"- '01:00.0'\n- 01:00.1\n", "[\"01:00.0\",\"01:00.1\"]"},
    {"[~, null, Null, '', !!x]", NULL},
    {"[~, null, NULL, '', ]", "[null,null,null,\"\"]"},
    {"kernel:\nlabel: red\n", "{\"kernel\":null,\"label\":\"red\"}"},
    {"[yes, No, on, OFF, true, False, y, n]", "[true,false,true,false,true,false,\"y\",\"n\"]"},
    {"['yes', \"1\", '~']", "[\"yes\",\"1\",\"~\"]"},
    {"[0, 12, -3, 0x1F, 007, 1.5, 1.5.2, 1-2, .5, -.5]",
     "[0,12,-3,31,\"007\",1.5,\"1.5.2\",\"1-2\",0.5,-0.5]"},
    {"[9223372036854775807, 9223372036854775808]", "[9223372036854775807,\"9223372036854775808\"]"},
    {"a: {b: {c: [x]}}", "{\"a\":{\"b\":{\"c\":[\"x\"]}}}"},
    {"---\na: b\n...\n", "{\"a\":\"b\"}"},
    {"a: |\n  one\n  two\n", "{\"a\":\"one\\ntwo\\n\"}"},
    {"1: a\ntrue: b\n", "{\"1\":\"a\",\"true\":\"b\"}"},
    {"word", "\"word\""},
    /* what is refused */
    {"", NULL},
    {"a: 1\na: 2\n", NULL},
    {"a: &x 1\nb: *x\n", NULL},
    {"a: !!python/object:os.system x\n", NULL},
    {"? [a]\n: b\n", NULL},
    {"? {a: b}\n: c\n", NULL},
    {"a: 1\n---\nb: 2\n", NULL},
    {"a: [1\n", NULL},
    {"a: \"\\0\"\n", NULL},
    {"\"\\0\": a\n", NULL},
    {"\ta: 1\n", NULL},
    {"a: \xff\n", NULL},
    {"&anchor {a: 1}", NULL},
    {"!tag [1]", NULL},
    {"*alias", NULL},
};

START_TEST(documents_are_read_or_refused) {
    struct qg_err err = {0};
    const char *yaml = documents[_i].yaml;
    QG_AUTO(json) json_t *value = qg_yaml_load(yaml, strlen(yaml), &err);
    if (documents[_i].json) {
        ck_assert_msg(value != NULL, "%s: %s", yaml, err.text);
        assert_dump(value, documents[_i].json);
    } else {
        ck_assert_msg(value == NULL, "%s was taken", yaml);
        ck_assert_int_eq(err.kind, QG_ERR_PARSE);
        ck_assert_int_ge(err.line, 1);
        ck_assert_int_ge(err.column, 1);
    }
}
END_TEST

START_TEST(broken_yaml_has_a_place) {
    struct qg_err err = {0};
    const char *yaml = "a: 1\nb:\n  - x\n  - *y\n";
    ck_assert_ptr_null(qg_yaml_load(yaml, strlen(yaml), &err));
    ck_assert_int_eq(err.line, 4);
    ck_assert_int_eq(err.column, 5);
    ck_assert_ptr_nonnull(strstr(err.text, "line 4, column 5"));
}
END_TEST

START_TEST(yaml_has_a_depth) {
    struct qg_err err = {0};
    char open[1000];
    memset(open, '[', sizeof(open));
    ck_assert_ptr_null(qg_yaml_load(open, sizeof(open), &err));
    ck_assert_ptr_nonnull(strstr(err.text, "deep"));
}
END_TEST

START_TEST(defaults_are_compiled_in) {
    struct qg_err err = {0};
    ck_assert_uint_eq(strlen(qg_defaults_yaml), qg_defaults_yaml_length);
    QG_AUTO(json) json_t *map = qg_yaml_load(qg_defaults_yaml, qg_defaults_yaml_length, &err);
    ck_assert_msg(map != NULL, "%s", err.text);
    ck_assert(json_is_object(json_object_get(map, "prefs")));
    ck_assert_ptr_nonnull(json_object_get(map, "devices"));
    ck_assert(json_is_object(json_object_get(map, "paths")));
}
END_TEST

static int load_and_merge(void *data, struct qg_err *err) {
    (void)data;
    QG_AUTO(json) json_t *base = qg_yaml_load(qg_defaults_yaml, qg_defaults_yaml_length, err);
    QG_AUTO(json) json_t *over = base ? qg_value_text("v", err) : NULL;
    const char *const path[] = {"prefs", "x", "y", NULL};
    QG_AUTO(json) json_t *copy = over ? qg_value_merge(base, base, err) : NULL;
    if (!copy || qg_value_set_path_take(copy, path, QG_STEAL(over), err) < 0)
        return -1;
    QG_AUTO_STR char *text = qg_value_dump(copy, err);
    return text ? 0 : -1;
}

START_TEST(want_of_memory_is_said) {
    qg_chaos_each(load_and_merge, NULL, false);
}
END_TEST

Suite *qg_suite_doc(void) {
    Suite *suite = suite_create("doc");
    TCase *values = tcase_create("values");
    tcase_add_test(values, texts_inside_a_value_are_cleaned);
    tcase_add_test(values, values_are_built);
    tcase_add_test(values, values_refuse_what_is_no_utf8);
    tcase_add_test(values, emptiness_is_known);
    tcase_add_loop_test(values, scalars_have_a_text, 0, (int)QG_ARRAY_LEN(texts));
    tcase_add_loop_test(values, mappings_merge, 0, (int)QG_ARRAY_LEN(merges));
    tcase_add_test(values, merged_copies_are_deep);
    tcase_add_test(values, merging_has_a_depth);

    suite_add_tcase(suite, values);
    TCase *json = tcase_create("json");
    tcase_add_loop_test(json, good_json_is_read_as_jansson_does, 0, (int)QG_ARRAY_LEN(good_json));
    tcase_add_loop_test(json, bad_json_is_refused_as_jansson_does, 0, (int)QG_ARRAY_LEN(bad_json));
    tcase_add_test(json, broken_json_has_a_place);
    tcase_add_test(json, json_ends_where_its_length_says);
    tcase_add_test(json, json_has_a_depth);
    tcase_add_loop_test(json, json_without_memory, 0, (int)QG_ARRAY_LEN(good_json));
    suite_add_tcase(suite, json);
    TCase *yaml = tcase_create("yaml");
    tcase_add_loop_test(yaml, documents_are_read_or_refused, 0, (int)QG_ARRAY_LEN(documents));
    tcase_add_test(yaml, broken_yaml_has_a_place);
    tcase_add_test(yaml, yaml_has_a_depth);
    tcase_add_test(yaml, defaults_are_compiled_in);
    tcase_add_test(yaml, want_of_memory_is_said);
    suite_add_tcase(suite, yaml);
    return suite;
}
