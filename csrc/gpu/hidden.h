/* SPDX-License-Identifier: GPL-3.0-or-later */
/* rd.qubes.hide_pci: which of a card's functions dom0 leaves alone from its first moment on. */
#ifndef QG_GPU_HIDDEN_H
#define QG_GPU_HIDDEN_H

#include "doc/value.h"
#include "host/host.h"

#define QG_HIDE_PCI "rd.qubes.hide_pci"

/* What is hidden, as addresses in the spelling found. Free with qg_hidden_fini. */
struct qg_hidden {
    json_t *now;  /* dom0 booted with; NULL: not known */
    json_t *next; /* it will boot with; NULL: not known */
};

void qg_hidden_fini(struct qg_hidden *hidden);
QG_DEFINE_AUTO_FINI(hidden, struct qg_hidden, qg_hidden_fini)

/* Reads /proc/cmdline and /etc/default/grub; files that are not there leave NULL. */
int qg_hidden_read(struct qg_host *host, struct qg_hidden *hidden, struct qg_err *err);

/* The functions of the card (card.h) that are not among items, in any spelling of their addresses.
 * items may be NULL: none. New list of `01:00.0`; NULL on failure. */
json_t *qg_hidden_missing(const json_t *card, const json_t *items,
                          struct qg_err *err) QG_MUST_CHECK;

/* The text of /etc/default/grub with all functions of the card hidden, or none of them. Owned by
 * the caller; NULL on failure. */
char *qg_hidden_text(const char *text, size_t length, const json_t *card, bool hide,
                     struct qg_err *err) QG_MUST_CHECK;

#endif
