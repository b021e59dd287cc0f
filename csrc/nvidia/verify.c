/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nvidia/verify.h"

#include "base/text.h"
#include "nvidia/lines.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

const char *qg_verdict_name(enum qg_verdict_kind kind) {
    static const char *const names[] = {"works",    "loaded",   "missing",    "restart",
                                        "no card",  "nouveau",  "unbound",    "outdated",
                                        "mismatch", "no nodes", "no devices", "hangs"};
    return names[kind];
}

static void rule(struct qg_verdict *out, enum qg_verdict_kind kind, const char *format, ...)
    QG_PRINTF(3, 4);

static void rule(struct qg_verdict *out, enum qg_verdict_kind kind, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(out->text, sizeof(out->text), format, args);
    va_end(args);
    qg_text_clean(out->text);
    out->kind = kind;
}

/* The first card that the driver does not have; NULL where it has all. */
static const json_t *stray_card(const struct qg_driver_facts *facts) {
    size_t index;
    json_t *card;
    json_array_foreach(facts->cards, index, card) {
        const char *driver = qg_value_get_text(card, "driver");
        if (!driver || strcmp(driver, "nvidia") != 0)
            return card;
    }
    return NULL;
}

/* nouveau or its successor: sysfs has the latter as NovaCore. */
static bool is_nouveau(const char *driver) {
    return driver && (strcmp(driver, "nouveau") == 0 || strncasecmp(driver, "nova", 4) == 0);
}

static const json_t *nouveau_card(const struct qg_driver_facts *facts) {
    const json_t *card = stray_card(facts);
    const char *driver = qg_value_get_text(card, "driver");
    return is_nouveau(driver) ? card : NULL;
}

static void judge_unloaded(const struct qg_driver_facts *facts, struct qg_verdict *out) {
    const json_t *nouveau = nouveau_card(facts);
    const char *kernel = facts->kernel[0] ? facts->kernel : "the kernel that boots next";
    if (!facts->has_module)
        rule(out, QG_VERDICT_MISSING, "The NVIDIA driver is not installed for %s.", kernel);
    else if (nouveau)
        rule(out, QG_VERDICT_NOUVEAU,
             "The driver %s is installed for %s, but %s holds the card %s: restart the qube.",
             qg_module_version(&facts->module), kernel, qg_value_get_text(nouveau, "driver"),
             qg_value_get_text(nouveau, "address"));
    else if (!json_array_size(facts->cards))
        rule(out, QG_VERDICT_NO_CARD,
             "The driver %s is installed for %s; no NVIDIA card is attached to this qube.",
             qg_module_version(&facts->module), kernel);
    else
        rule(out, QG_VERDICT_RESTART,
             "The driver %s is installed for %s and not loaded yet: restart the qube.",
             qg_module_version(&facts->module), kernel);
}

static void judge_working(struct qg_verdict *out) {
    const struct qg_nvml *nvml = &out->nvml;
    char cards[400] = "";
    size_t length = 0;
    for (unsigned i = 0; i < nvml->count && i < QG_NVML_CARDS_MAX && length < sizeof(cards); i++)
        length += (size_t)snprintf(cards + length, sizeof(cards) - length, "%s%s, %llu MiB",
                                   i ? "; " : "", nvml->cards[i].name,
                                   (unsigned long long)(nvml->cards[i].memory >> 20));
    rule(out, QG_VERDICT_WORKS, "The driver %s is loaded and works: %s.", out->loaded, cards);
}

static void judge_nvml(const struct qg_driver_facts *facts, struct qg_verdict *out) {
    const struct qg_nvml *nvml = &out->nvml;
    size_t cards = json_array_size(facts->cards);
    switch (nvml->state) {
    case QG_NVML_HANGS:
        rule(out, QG_VERDICT_HANGS,
             "The driver %s is loaded, but the card does not answer: restart the qube, and look "
             "into its kernel log.",
             out->loaded);
        return;
    case QG_NVML_FAILED:
        if (nvml->code == QG_NVML_ERROR_MISMATCH)
            rule(out, QG_VERDICT_MISMATCH,
                 "The module %s is loaded, but the library is of another version: restart the "
                 "qube.",
                 out->loaded);
        else
            rule(out, QG_VERDICT_BLIND, "The driver %s is loaded, but NVML fails: %s (%d).",
                 out->loaded, nvml->text, nvml->code);
        return;
    case QG_NVML_NO_LIBRARY:
        rule(out, QG_VERDICT_LOADED,
             "The driver %s is loaded and has the card; libnvidia-ml.so.1, which would show it at "
             "work, cannot be loaded: %s.",
             out->loaded, nvml->text);
        return;
    case QG_NVML_WORKS:
        break;
    }
    if (nvml->count < cards)
        rule(out, QG_VERDICT_BLIND,
             "The driver %s is loaded, but NVML sees %u of %zu cards: look into the kernel log; "
             "cards from Blackwell on need the open module, and some need permissive=True or "
             "no-strict-reset=True.",
             out->loaded, nvml->count, cards);
    else
        judge_working(out);
}

/* True where the library could not even try: it makes the nodes itself where it can. */
static bool lacks_nodes(const struct qg_verdict *verdict, bool nodes) {
    const struct qg_nvml *nvml = &verdict->nvml;
    return !nodes &&
           !(verdict->asked && (nvml->state == QG_NVML_WORKS || nvml->state == QG_NVML_HANGS));
}

void qg_driver_judge(const struct qg_driver_facts *facts, bool nodes, struct qg_verdict *out) {
    const json_t *stray = stray_card(facts);
    const char *driver = qg_value_get_text(stray, "driver");
    bool same_kernel = strcmp(facts->booted, facts->kernel) == 0;
    if (!out->loaded[0])
        judge_unloaded(facts, out);
    else if (facts->has_module && facts->module.version[0] && same_kernel &&
             strcmp(facts->module.version, out->loaded) != 0)
        rule(out, QG_VERDICT_OUTDATED,
             "The driver %s is installed, but %s is loaded: restart the qube.",
             facts->module.version, out->loaded);
    else if (!json_array_size(facts->cards))
        rule(out, QG_VERDICT_NO_CARD,
             "The driver %s is loaded, but no NVIDIA card is attached to this qube.", out->loaded);
    else if (is_nouveau(driver))
        rule(out, QG_VERDICT_NOUVEAU,
             "The driver %s is loaded, but %s was first and holds the card %s: restart the qube.",
             out->loaded, driver, qg_value_get_text(stray, "address"));
    else if (stray)
        rule(out, QG_VERDICT_UNBOUND,
             "The driver %s is loaded, but the card %s is not bound to it (%s): look into the "
             "kernel log.",
             out->loaded, qg_value_get_text(stray, "address"),
             driver ? driver : "it has no driver");
    else if (lacks_nodes(out, nodes))
        rule(out, QG_VERDICT_NO_NODES,
             "The driver %s is loaded and has the card, but there are no /dev/nvidia* nodes: "
             "nvidia-modprobe or a first use by root makes them.",
             out->loaded);
    else if (out->asked)
        judge_nvml(facts, out);
    else
        rule(out, QG_VERDICT_LOADED, "The driver %s is loaded and has the card.", out->loaded);
}

/* The version that is loaded, from sysfs or /proc; both are there where the module is. */
static int read_loaded(struct qg_host *host, char *out, size_t size, struct qg_err *err) {
    QG_AUTO(buf) struct qg_buf version = {0};
    QG_AUTO(buf) struct qg_buf report = {0};
    bool found;
    out[0] = '\0';
    if (qg_host_read(host, "/sys/module/nvidia/version", &version, &found, err) < 0)
        return -1;
    const char *text = qg_buf_text(&version);
    qg_span_copy((struct qg_span){.at = text, .length = strcspn(text, "\n")}, out, size);
    qg_text_clean(out);
    if (out[0])
        return 0;
    if (qg_host_read(host, "/proc/driver/nvidia/version", &report, &found, err) < 0)
        return -1;
    qg_parse_nvrm_version(qg_buf_text(&report), out, size);
    return 0;
}

int qg_driver_verify(struct qg_host *host, const struct qg_driver_facts *facts,
                     const struct qg_deadline *deadline, struct qg_verdict *out,
                     struct qg_err *err) {
    *out = (struct qg_verdict){0};
    if (read_loaded(host, out->loaded, sizeof(out->loaded), err) < 0)
        return -1;
    bool bound = json_array_size(facts->cards) && !stray_card(facts);
    if (out->loaded[0] && bound && !qg_host_root(host)[0]) {
        out->asked = true;
        if (qg_nvml_ask(deadline, &out->nvml, err) < 0)
            return -1;
    }
    qg_driver_judge(facts, qg_host_exists(host, "/dev/nvidiactl"), out);
    return 0;
}

static json_t *nvml_value(const struct qg_nvml *nvml, struct qg_err *err) {
    static const char *const states[] = {"works", "no library", "failed", "hangs"};
    QG_AUTO(json) json_t *out = qg_value_object(err);
    QG_AUTO(json) json_t *cards = qg_value_array(err);
    for (unsigned i = 0; cards && i < nvml->count && i < QG_NVML_CARDS_MAX; i++) {
        QG_AUTO(json) json_t *card = qg_value_object(err);
        if (!card ||
            qg_value_set_take(card, "name", qg_value_text(nvml->cards[i].name, err), err) < 0 ||
            qg_value_set_take(card, "memory", qg_value_int((long long)nvml->cards[i].memory, err),
                              err) < 0 ||
            qg_value_append_take(cards, QG_STEAL(card), err) < 0)
            return NULL;
    }
    if (!out || qg_value_set_take(out, "state", qg_value_text(states[nvml->state], err), err) < 0 ||
        qg_value_set_take(out, "driver", qg_value_text(nvml->driver, err), err) < 0 ||
        qg_value_set_take(out, "code", qg_value_int(nvml->code, err), err) < 0 ||
        qg_value_set_take(out, "text", qg_value_text(nvml->text, err), err) < 0 ||
        qg_value_set_take(out, "cards", QG_STEAL(cards), err) < 0)
        return NULL;
    return QG_STEAL(out);
}

json_t *qg_verdict_value(const struct qg_verdict *verdict, struct qg_err *err) {
    QG_AUTO(json) json_t *out = qg_value_object(err);
    if (!out ||
        qg_value_set_take(out, "state", qg_value_text(qg_verdict_name(verdict->kind), err), err) <
            0 ||
        qg_value_set_take(out, "working",
                          verdict->kind == QG_VERDICT_LOADED
                              ? json_null()
                              : json_boolean(verdict->kind == QG_VERDICT_WORKS),
                          err) < 0 ||
        qg_value_set_take(out, "text", qg_value_text(verdict->text, err), err) < 0 ||
        qg_value_set_take(out, "loaded_version",
                          verdict->loaded[0] ? qg_value_text(verdict->loaded, err) : json_null(),
                          err) < 0 ||
        qg_value_set_take(out, "nvml",
                          verdict->asked ? nvml_value(&verdict->nvml, err) : json_null(), err) < 0)
        return NULL;
    return QG_STEAL(out);
}
