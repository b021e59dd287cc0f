/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Does the driver work? Each way in which it does not has its own words. */
#ifndef QG_NVIDIA_VERIFY_H
#define QG_NVIDIA_VERIFY_H

#include "nvidia/facts.h"
#include "nvidia/nvml.h"

enum qg_verdict_kind {
    QG_VERDICT_WORKS,    /* NVML showed it at work */
    QG_VERDICT_LOADED,   /* loaded and bound; nothing here could show it at work */
    QG_VERDICT_MISSING,  /* no module for the kernel that boots next */
    QG_VERDICT_RESTART,  /* installed, not loaded yet */
    QG_VERDICT_NO_CARD,  /* nothing to drive */
    QG_VERDICT_NOUVEAU,  /* the other driver was first */
    QG_VERDICT_UNBOUND,  /* loaded, but the card has no driver, or another one */
    QG_VERDICT_OUTDATED, /* another version is loaded than the one that is installed */
    QG_VERDICT_MISMATCH, /* module and library are of different versions */
    QG_VERDICT_NO_NODES, /* no /dev/nvidia* */
    QG_VERDICT_BLIND,    /* NVML sees no card, or fails */
    QG_VERDICT_HANGS,    /* NVML does not answer */
};

struct qg_verdict {
    enum qg_verdict_kind kind;
    char loaded[64]; /* the module's version that is loaded; empty: none */
    char text[512];  /* for people */
    bool asked;      /* NVML was asked */
    struct qg_nvml nvml;
};

/* Looks. NVML is asked only on the computer's own root. */
int qg_driver_verify(struct qg_host *host, const struct qg_driver_facts *facts,
                     const struct qg_deadline *deadline, struct qg_verdict *out,
                     struct qg_err *err);

/* The verdict from what was seen; fills kind and text. Pure. nodes: /dev/nvidiactl is there. */
void qg_driver_judge(const struct qg_driver_facts *facts, bool nodes, struct qg_verdict *verdict);

/* A word for the kind, e.g. `works`. Static. */
const char *qg_verdict_name(enum qg_verdict_kind kind);

/* {state, working (null: not known), text, loaded_version, nvml}. New or NULL. */
json_t *qg_verdict_value(const struct qg_verdict *verdict, struct qg_err *err) QG_MUST_CHECK;

#endif
