/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The driver's plan, from arguments in JSON and files of any content: ARGUMENTS NUL os-release NUL
 * grub NUL sources or dnf.conf NUL boot entry NUL packages. Once its files are written, the plan
 * has no more of them. */
#include "fuzz.h"

#include "doc/json.h"
#include "nvidia/plan.h"

static const char *const paths[][2] = {
    /* Debian, Fedora */
    {"/etc/default/grub", "/etc/default/grub"},
    {"/etc/apt/sources.list", "/etc/dnf/dnf.conf"},
    {"/etc/apt/sources.list.d/debian.sources", "/boot/loader/entries/fedora.conf"},
};

static void set_text(json_t *object, const char *key, const char *text) {
    MUST(json_object_set_new_nocheck(object, key, json_stringn_nocheck(text, strlen(text))) == 0);
}

static void fill(struct qg_driver_facts *facts, struct input *input) {
    struct qg_err err = {0};
    QG_AUTO_STR char *release = take_text(input);
    qg_parse_os_release(release, &facts->release);
    bool fedora = facts->release.family == QG_FAMILY_FEDORA;
    facts->manager = fedora ? QG_MANAGER_DNF5 : QG_MANAGER_APT;
    json_t **const objects[] = {&facts->files, &facts->repositories, &facts->installed,
                                &facts->broken, &facts->record};
    json_t **const arrays[] = {&facts->kernels, &facts->cards, &facts->held, &facts->leftovers};
    for (size_t i = 0; i < QG_ARRAY_LEN(objects); i++)
        *objects[i] = json_object();
    for (size_t i = 0; i < QG_ARRAY_LEN(arrays); i++)
        *arrays[i] = json_array();
    for (size_t i = 0; i < QG_ARRAY_LEN(paths); i++) {
        QG_AUTO_STR char *text = take_text(input);
        if (*text)
            set_text(facts->files, paths[i][fedora], text);
    }
    QG_AUTO_STR char *packages = take_text(input);
    facts->packages_known = true;
    qg_parse_rpm_list(packages, facts->installed, &err);
}

/* The files, and what is read from them, as the plan leaves them. */
static void write_files(struct qg_driver_facts *facts, const struct qg_driver_plan *plan) {
    for (size_t i = 0; i < QG_DRIVER_STEPS; i++) {
        const char *path;
        json_t *text;
        json_object_foreach(plan->steps[i].files, path, text) {
            if (json_is_null(text))
                json_object_del(facts->files, path);
            else
                set_text(facts->files, path, json_string_value(text));
        }
    }
    facts->nouveau_off = json_object_get(facts->files, QG_NOUVEAU_CONF) != NULL;
}

static void must_be_written(const struct qg_driver_plan *plan) {
    for (size_t i = 0; i < QG_DRIVER_STEPS; i++)
        MUST(json_object_size(plan->steps[i].files) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    struct qg_err err = {0};
    QG_AUTO_STR char *text = take_text(&input);
    QG_AUTO(json) json_t *args = qg_json_load(text, strlen(text), NULL);
    QG_AUTO(driver_want) struct qg_driver_want want = {0};
    QG_AUTO(driver_facts) struct qg_driver_facts facts = {0};
    if (!json_is_object(args))
        return -1;
    int status = qg_driver_want_init(&want, args, &err);
    must_explain(status, &err);
    if (status < 0)
        return 0;
    fill(&facts, &input);
    QG_AUTO(driver_plan) struct qg_driver_plan plan = {0}, again = {0};
    status = qg_driver_plan_make(&want, &facts, &plan, &err);
    must_explain(status, &err);
    if (status < 0)
        return 0;
    QG_AUTO(json) json_t *value = qg_driver_plan_value(&plan, &err);
    MUST(value != NULL);
    write_files(&facts, &plan);
    MUST(qg_driver_plan_make(&want, &facts, &again, &err) == 0);
    must_be_written(&again);
    return 0;
}
