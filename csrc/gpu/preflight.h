/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What has to be in order before a qube gets a card, in the order of the guides' steps. Pure. */
#ifndef QG_GPU_PREFLIGHT_H
#define QG_GPU_PREFLIGHT_H

#include "doc/value.h"

#include <stdint.h>

enum { QG_PREFLIGHT_UNKNOWN = -1 };

/* What was observed; everything borrowed. NULL and QG_PREFLIGHT_UNKNOWN: not known. */
struct qg_preflight_facts {
    const json_t *card;        /* the one that is meant (card.h); NULL: none */
    const char *no_card;       /* why there is none */
    bool local;                /* this computer's files are those of the machine with the card */
    bool forced;               /* the user takes dom0's display or a shared group all the same */
    const json_t *listed;      /* what goes along with the card (listed.h); NULL: nothing */
    const char *virt_caps;     /* Xen's, `pv hvm hvm_directio ...` */
    const json_t *hidden_now;  /* items of rd.qubes.hide_pci that dom0 booted with */
    const json_t *hidden_next; /* items that it will boot with */
    const json_t *running;     /* names of the qubes that run; NULL: not known */
    const char *qube;          /* the one that gets the card; NULL: not said */
    const char *source;        /* its template; NULL: not said */
    int source_found;          /* 1 there, 0 missing */
    const char *source_os, *source_distribution; /* features of the template */
    const char *label;                           /* NULL: not said */
    int label_found;
    int64_t memory;                /* MiB that the qube is to have */
    int64_t memory_total;          /* MiB of the machine */
    int64_t root_size;             /* bytes of the new root volume; 0: none is made */
    int64_t pool_size, pool_usage; /* bytes */
    const char *pool;
};

/* A list of {check, status: ok, warn or fail, reason, cure: text or null}, checks that make no
 * sense after a failed one left out. New list; NULL on failure. */
json_t *qg_preflight(const struct qg_preflight_facts *facts, struct qg_err *err) QG_MUST_CHECK;

/* What to do, in this order, for the checks that failed: each cure once. New list; NULL on failure.
 */
json_t *qg_preflight_steps(const json_t *checks, struct qg_err *err) QG_MUST_CHECK;

/* True where no check failed. */
bool qg_preflight_passed(const json_t *checks);

#endif
