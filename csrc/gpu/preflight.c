/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gpu/preflight.h"

#include "base/buf.h"
#include "base/text.h"
#include "gpu/hidden.h"
#include "gpu/listed.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MEMORY_RESERVE = 2048, /* MiB that dom0 and Xen keep, roughly */
    MEMORY_LIMIT = 3500,   /* MiB: what an HVM with a large BAR boots with everywhere */
};

#define LARGE_BAR ((int64_t)256 << 20)

static const char ok[] = "ok";
static const char warn[] = "warn";
static const char fail[] = "fail";
static const char reboot[] = "reboot dom0";

/* A check about the facts: adds what it has to say to list. */
typedef int check(const struct qg_preflight_facts *facts, json_t *list, struct qg_err *err);

static int add(json_t *list, const char *name, const char *status, const char *cure,
               struct qg_err *err, const char *format, ...) QG_PRINTF(6, 7);

static int add(json_t *list, const char *name, const char *status, const char *cure,
               struct qg_err *err, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *text = NULL;
    int length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0)
        return qg_err_oom(err);
    QG_AUTO_STR char *reason = text;
    qg_text_clean(reason);
    QG_AUTO(json) json_t *out = qg_value_object(err);
    if (!out || qg_value_set_take(out, "check", qg_value_text(name, err), err) < 0 ||
        qg_value_set_take(out, "status", qg_value_text(status, err), err) < 0 ||
        qg_value_set_take(out, "reason", qg_value_text(reason, err), err) < 0 ||
        qg_value_set_take(out, "cure", cure ? qg_value_text(cure, err) : json_null(), err) < 0)
        return -1;
    return qg_value_append_take(list, QG_STEAL(out), err);
}

static const char *address(const json_t *device) {
    const char *bdf = qg_value_get_text(device, "bdf");
    return bdf ? bdf : qg_value_get_text(device, "port");
}

static int check_card(const struct qg_preflight_facts *facts, json_t *list, struct qg_err *err) {
    if (!facts->card)
        return add(list, "card", fail, "qvm_gpu.cards lists the cards; name one under devices", err,
                   "%s", facts->no_card ? facts->no_card : "there is no card");
    const char *product = qg_value_get_text(facts->card, "product");
    return add(list, "card", ok, NULL, err, "%s %s, %zu function(s)", address(facts->card),
               product ? product : "", json_array_size(json_object_get(facts->card, "functions")));
}

static int check_iommu(const struct qg_preflight_facts *facts, json_t *list, struct qg_err *err) {
    if (!facts->virt_caps)
        return add(list, "iommu", warn, "in dom0: xl info | grep virt_caps", err,
                   "Xen's virt_caps could not be read here, hvm_directio has to be among them");
    if (!strstr(facts->virt_caps, "hvm_directio"))
        return add(list, "iommu", fail,
                   "switch on VT-d (Intel) or AMD-Vi/IOMMU (AMD) in the firmware's setup, and look "
                   "for 'I/O virtualisation' in xl dmesg",
                   err, "Xen can give no PCI device to an HVM qube: virt_caps are %s",
                   facts->virt_caps);
    return add(list, "iommu", ok, NULL, err, "Xen can give PCI devices to HVM qubes");
}

static int check_display(const struct qg_preflight_facts *facts, json_t *list, struct qg_err *err) {
    const json_t *display = json_object_get(facts->card, "display");
    if (json_is_false(display))
        return add(list, "display", ok, NULL, err, "the card is not dom0's display");
    if (json_is_null(display))
        return add(list, "display", warn,
                   "in dom0: cat /sys/bus/pci/devices/*/boot_vga (1 is the display)", err,
                   "whether the card is dom0's display could not be read here");
    return add(list, "display", facts->forced ? warn : fail,
               "connect the screen to the processor's graphics or another card and choose that as "
               "primary display in the firmware's setup",
               err, "the card is dom0's display: the screen would freeze");
}

static int check_group(const struct qg_preflight_facts *facts, json_t *list, struct qg_err *err) {
    const json_t *group = json_object_get(facts->card, "group");
    if (!json_is_object(group))
        return add(list, "group", warn, NULL, err,
                   "the card's IOMMU group could not be computed: its sysfs is not here");
    const char *sure = qg_value_get_text(group, "sure");
    const char *reason = qg_value_get_text(group, "reason");
    QG_AUTO(json) json_t *blocks = qg_listed_blocks(facts->card, facts->listed, err);
    if (!blocks)
        return -1;
    if (json_array_size(blocks) == 0 && json_array_size(json_object_get(group, "blocks")))
        return add(list, "group", ok, NULL, err,
                   "what shares the card's IOMMU group is listed and goes along (%s: %s)", sure,
                   reason);
    if (json_array_size(blocks) == 0)
        return add(list, "group", ok, NULL, err,
                   "nothing but the card itself is in its IOMMU group (%s: %s)", sure, reason);
    QG_AUTO_STR char *names = qg_listed_text(blocks, err);
    if (!names)
        return -1;
    bool unknown = strcmp(sure, "unknown") == 0;
    return add(list, "group", unknown || facts->forced ? warn : fail,
               "move the card or the others to another slot, or list all of them under devices",
               err, "the card's IOMMU group %s %s, too (%s: %s)", unknown ? "may hold" : "holds",
               names, sure, reason);
}

/* How many functions pciback holds; *known: all of them could be looked up. */
static size_t held(const json_t *card, bool *known) {
    size_t i, count = 0;
    json_t *function;
    *known = true;
    json_array_foreach(json_object_get(card, "functions"), i, function) {
        const json_t *hidden = json_object_get(function, "hidden");
        *known = *known && !json_is_null(hidden);
        count += json_is_true(hidden);
    }
    return count;
}

static int check_hidden(const struct qg_preflight_facts *facts, json_t *list, struct qg_err *err) {
    bool known;
    bool all =
        held(facts->card, &known) == json_array_size(json_object_get(facts->card, "functions"));
    if (!facts->local || (!facts->hidden_now && !facts->hidden_next))
        return add(list, "hidden", all ? ok : warn,
                   all ? NULL : "in dom0: grep hide_pci /proc/cmdline /etc/default/grub", err, "%s",
                   all ? "dom0 leaves the card alone: pciback holds it"
                       : "dom0's command line could not be read here");
    const json_t *coming = facts->hidden_next ? facts->hidden_next : facts->hidden_now;
    QG_AUTO(json) json_t *now = qg_hidden_missing(facts->card, facts->hidden_now, err);
    QG_AUTO(json) json_t *next = qg_hidden_missing(facts->card, coming, err);
    QG_AUTO_STR char *names = next ? qg_listed_text(next, err) : NULL;
    if (!now || !names)
        return -1;
    if (json_array_size(next)) {
        /* For the shell, and then for YAML, which reads a bare address as a number. */
        QG_AUTO_STR char *cure =
            qg_text_format("in dom0: qubesctl state.single qvm_gpu.hidden card devices=\"'%s'\"",
                           address(facts->card));
        return cure ? add(list, "hidden", all ? warn : fail, cure, err,
                          "dom0's next boot does not hide %s (rd.qubes.hide_pci)", names)
                    : qg_err_oom(err);
    }
    if (json_array_size(now) && !all)
        return add(list, "hidden", fail, reboot, err,
                   "the card is hidden from dom0 at the next boot, not yet now");
    return add(list, "hidden", ok, NULL, err, "dom0 hides all functions of the card");
}

/* Names the functions that a driver of dom0 holds. */
static int list_drivers(const json_t *card, struct qg_buf *out, struct qg_err *err) {
    size_t i;
    json_t *function;
    json_array_foreach(json_object_get(card, "functions"), i, function) {
        const char *driver = qg_value_get_text(function, "driver");
        if (json_is_true(json_object_get(function, "hidden")))
            continue;
        if (qg_buf_printf(out, err, "%s%s (%s)", out->length ? ", " : "", address(function),
                          driver && *driver ? driver : "no driver") < 0)
            return -1;
    }
    return 0;
}

static int check_pciback(const struct qg_preflight_facts *facts, json_t *list, struct qg_err *err) {
    bool known;
    size_t count = held(facts->card, &known);
    if (!known)
        return add(list, "pciback", warn, "in dom0: lspci -k", err,
                   "which driver holds the card could not be read here");
    if (count == json_array_size(json_object_get(facts->card, "functions")))
        return add(list, "pciback", ok, NULL, err, "pciback holds all functions of the card");
    QG_AUTO(buf) struct qg_buf names = {0};
    if (list_drivers(facts->card, &names, err) < 0)
        return -1;
    QG_AUTO(json) json_t *now = qg_hidden_missing(facts->card, facts->hidden_now, err);
    if (!now)
        return -1;
    bool known_here = facts->local && (facts->hidden_now || facts->hidden_next);
    bool booted = known_here && facts->hidden_now && json_array_size(now) == 0;
    return add(list, "pciback", fail,
               booted ? "in dom0: dracut -f, then reboot: the initramfs lacks the part that hides"
               : known_here ? reboot /* the check before says how it comes to be hidden */
                            : "hide the card from dom0 (state qvm_gpu.hidden) and reboot dom0",
               err, "pciback does not hold %s", qg_buf_text(&names));
}

/* A qube of the list that runs and is not ours; NULL: none. */
static const char *other_running(const struct qg_preflight_facts *facts, const json_t *qubes) {
    size_t i, j;
    json_t *qube, *running;
    json_array_foreach(qg_value_mutable(qubes), i, qube) {
        const char *name = json_string_value(qube);
        if (facts->qube && strcmp(name, facts->qube) == 0)
            continue;
        json_array_foreach(qg_value_mutable(facts->running), j, running) {
            if (strcmp(json_string_value(running), name) == 0)
                return name;
        }
    }
    return NULL;
}

static int check_in_use(const struct qg_preflight_facts *facts, json_t *list, struct qg_err *err) {
    const json_t *attached = json_object_get(facts->card, "attached");
    const json_t *assigned = json_object_get(facts->card, "assigned");
    const char *other = other_running(facts, attached);
    if (!facts->running)
        return add(list, "in_use", warn, NULL, err, "which qubes run is not known");
    if (other) {
        QG_AUTO_STR char *cure =
            qg_text_format("shut %s down, or use the state qvm_gpu.attached with force", other);
        return cure
                   ? add(list, "in_use", fail, cure, err, "the running qube %s has the card", other)
                   : qg_err_oom(err);
    }
    size_t others = 0, i;
    json_t *qube;
    json_array_foreach(qg_value_mutable(assigned), i, qube) {
        others += !facts->qube || strcmp(json_string_value(qube), facts->qube) != 0;
    }
    if (others)
        return add(list, "in_use", ok, NULL, err,
                   "no running qube has the card; %zu other qube(s) have it assigned, one of them "
                   "can run at a time",
                   others);
    return add(list, "in_use", ok, NULL, err, "no other qube has the card");
}

static int check_template(const struct qg_preflight_facts *facts, json_t *list,
                          struct qg_err *err) {
    if (!facts->source)
        return 0;
    if (facts->source_found == QG_PREFLIGHT_UNKNOWN)
        return add(list, "template", warn, NULL, err, "whether %s exists is not known",
                   facts->source);
    if (!facts->source_found) {
        QG_AUTO_STR char *cure = qg_text_format("in dom0: qvm-template install %s", facts->source);
        return cure ? add(list, "template", fail, cure, err, "there is no template %s",
                          facts->source)
                    : qg_err_oom(err);
    }
    return add(list, "template", ok, NULL, err, "the template %s is there", facts->source);
}

static int check_label(const struct qg_preflight_facts *facts, json_t *list, struct qg_err *err) {
    if (!facts->label || facts->label_found == QG_PREFLIGHT_UNKNOWN)
        return 0;
    if (!facts->label_found)
        return add(list, "label", fail,
                   "name one of red, orange, yellow, green, gray, blue, purple, black", err,
                   "there is no label %s", facts->label);
    return add(list, "label", ok, NULL, err, "the label %s is there", facts->label);
}

static int check_memory(const struct qg_preflight_facts *facts, json_t *list, struct qg_err *err) {
    if (facts->memory == QG_PREFLIGHT_UNKNOWN)
        return 0;
    if (facts->memory_total == QG_PREFLIGHT_UNKNOWN)
        return add(list, "memory", warn, "in dom0: xl info | grep memory", err,
                   "how much memory the machine has could not be read here; the qube takes %lld "
                   "MiB and gives none back",
                   (long long)facts->memory);
    if (facts->memory + MEMORY_RESERVE > facts->memory_total)
        return add(list, "memory", fail, "give the qube less memory", err,
                   "%lld MiB for the qube do not fit beside dom0 in %lld MiB",
                   (long long)facts->memory, (long long)facts->memory_total);
    return add(list, "memory", ok, NULL, err, "%lld of %lld MiB, none of it for balancing",
               (long long)facts->memory, (long long)facts->memory_total);
}

static int check_large_bar(const struct qg_preflight_facts *facts, json_t *list,
                           struct qg_err *err) {
    const json_t *bar = json_object_get(facts->card, "memory");
    if (facts->memory == QG_PREFLIGHT_UNKNOWN)
        return 0;
    bool large = !json_is_integer(bar) || json_integer_value(bar) >= LARGE_BAR;
    if (facts->memory > MEMORY_LIMIT && large)
        return add(list, "large_bar", warn,
                   "if the qube does not start or the driver finds no memory for the card: try "
                   "3500 MiB, and keep more for releases whose stubdomain places the hole for it",
                   err,
                   "with more than %d MiB some releases have no room for a card's large memory "
                   "window below 4 GiB",
                   MEMORY_LIMIT);
    return add(list, "large_bar", ok, NULL, err, "the card's memory window fits beside the qube's");
}

static int check_pool(const struct qg_preflight_facts *facts, json_t *list, struct qg_err *err) {
    if (facts->root_size == QG_PREFLIGHT_UNKNOWN || facts->root_size == 0)
        return 0;
    if (facts->pool_size <= 0 || facts->pool_usage < 0)
        return add(list, "pool", warn, "in dom0: qvm-pool", err,
                   "how much space the pool has is not known");
    int64_t left = facts->pool_size - facts->pool_usage;
    long long need = (long long)(facts->root_size >> 20), have = (long long)(left >> 20);
    const char *pool = facts->pool ? facts->pool : "the default pool";
    if (left < facts->root_size)
        return add(list, "pool", fail, "remove what is not needed, or use another pool", err,
                   "the root volume may grow to %lld MiB, %s has %lld MiB left", need, pool, have);
    return add(list, "pool", ok, NULL, err,
               "the root volume's %lld MiB fit into %s (%lld MiB left)", need, pool, have);
}

static int check_kernel(const struct qg_preflight_facts *facts, json_t *list, struct qg_err *err) {
    if (!facts->source || facts->source_found != 1)
        return 0;
    const char *os = facts->source_os, *name = facts->source_distribution;
    if (os && strcmp(os, "Linux") != 0)
        return add(list, "kernel", fail, "use a Fedora or Debian template", err,
                   "the template runs %s: the driver's state knows Linux only", os);
    bool debian = name && strcmp(name, "debian") == 0, fedora = name && strcmp(name, "fedora") == 0;
    const char *cure =
        debian   ? "in the template: apt install qubes-kernel-vm-support linux-image-amd64 "
                   "linux-headers-amd64 grub2-common"
        : fedora ? "in the template: dnf install qubes-kernel-vm-support kernel kernel-devel "
                   "grub2-pc"
                 : "install qubes-kernel-vm-support, a kernel and GRUB in the template";
    if (strstr(facts->source, "minimal"))
        return add(list, "kernel", warn, cure, err,
                   "a minimal template has no kernel of its own to boot, the driver needs one");
    if (!debian && !fedora)
        return add(list, "kernel", warn, cure, err,
                   "whether the template has a kernel of its own to boot is not known");
    return add(list, "kernel", ok, NULL, err, "the template is %s, which brings a kernel to boot",
               debian ? "Debian" : "Fedora");
}

json_t *qg_preflight(const struct qg_preflight_facts *facts, struct qg_err *err) {
    static check *const about_card[] = {check_display, check_group,  check_hidden,
                                        check_pciback, check_in_use, check_large_bar};
    static check *const about_qube[] = {check_template, check_label, check_memory, check_pool,
                                        check_kernel};
    QG_AUTO(json) json_t *list = qg_value_array(err);
    if (!list || check_iommu(facts, list, err) < 0 || check_card(facts, list, err) < 0)
        return NULL;
    for (size_t i = 0; facts->card && i < QG_ARRAY_LEN(about_card); i++) {
        if (about_card[i](facts, list, err) < 0)
            return NULL;
    }
    for (size_t i = 0; i < QG_ARRAY_LEN(about_qube); i++) {
        if (about_qube[i](facts, list, err) < 0)
            return NULL;
    }
    return QG_STEAL(list);
}

bool qg_preflight_passed(const json_t *checks) {
    size_t i;
    json_t *item;
    json_array_foreach(qg_value_mutable(checks), i, item) {
        if (strcmp(qg_value_get_text(item, "status"), fail) == 0)
            return false;
    }
    return true;
}

static bool has_text(const json_t *list, const char *text) {
    size_t i;
    json_t *item;
    json_array_foreach(qg_value_mutable(list), i, item) {
        if (strcmp(json_string_value(item), text) == 0)
            return true;
    }
    return false;
}

json_t *qg_preflight_steps(const json_t *checks, struct qg_err *err) {
    QG_AUTO(json) json_t *steps = qg_value_array(err);
    size_t i;
    json_t *item;
    json_array_foreach(qg_value_mutable(checks), i, item) {
        const char *cure = qg_value_get_text(item, "cure");
        if (!steps || (strcmp(qg_value_get_text(item, "status"), fail) == 0 && cure &&
                       !has_text(steps, cure) &&
                       qg_value_append_take(steps, qg_value_text(cure, err), err) < 0))
            return NULL;
    }
    return QG_STEAL(steps);
}
