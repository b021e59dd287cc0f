/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One page about a machine's cards, from plain data:
 *   cards   list as in card.h
 *   checks  list as in preflight.h
 *   steps   list of texts: what to do for those that failed
 *   card    address of the card that the checks are about, or null
 *   tree    list of {bdf, depth, parent: address or null, kind, name, ids, driver, group: number,
 *           marked: of the card's group}, each device after its bridge
 *   qubes   list of {name, class, state, virt_mode, memory, maxmem, kernel} that have a card
 *   masked  true where names and serial numbers were left out
 * Parts that are missing are left out. Pure. */
#ifndef QG_GPU_REPORT_H
#define QG_GPU_REPORT_H

#include "doc/value.h"
#include "gpu/survey.h"

/* As text for a terminal or a forum post, at most 100 columns except for long reasons. Owned by the
 * caller; NULL on failure. */
char *qg_report_text(const json_t *page, struct qg_err *err) QG_MUST_CHECK;

/* As one HTML file that needs nothing else: no scripts, nothing loaded, everything escaped. Owned
 * by the caller; NULL on failure. */
char *qg_report_html(const json_t *page, struct qg_err *err) QG_MUST_CHECK;

/* The tree's list: the survey's devices that qubesd knows, with the group of the card (NULL: none)
 * marked. New list; NULL on failure. */
json_t *qg_report_tree(const struct qg_survey *survey, const json_t *card,
                       struct qg_err *err) QG_MUST_CHECK;

#endif
