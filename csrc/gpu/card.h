/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Graphics cards: found among dom0's PCI devices, and picked by what people call them. Pure.
 *
 * A card is one slot with a display function (class 03) and all its other functions, as a mapping:
 *   bdf, port, identity, vendor, product, vendor_id, product_id, class, kind: its display function
 *   display      true: dom0's own screen; false; null: not known
 *   memory       bytes of the largest memory BAR, null where sysfs does not tell
 *   functions    list of {bdf, port, identity, vendor, product, vendor_id, product_id, class, kind,
 *                driver, hidden, assigned: list of qubes, attached: list of qubes}
 *   assigned, attached: the qubes of all its functions
 *   group        {along, bridges, blocks, sure, reason} of its display function; null: not known
 * hidden is true where pciback holds the function, null where sysfs does not tell; driver "" means
 * none, null not known. Texts are clean. */
#ifndef QG_GPU_CARD_H
#define QG_GPU_CARD_H

#include "gpu/iommu.h"

#include <stdbool.h>

#define QG_CARD_AUTO "auto"

/* The cards among available (lines of Available on dom0), by address. An entry of the tree (NULL:
 * none) counts only where address, vendor, device and class are what qubesd says. New list; NULL on
 * failure. */
json_t *qg_cards_find(const json_t *available, const struct qg_pci_tree *tree,
                      struct qg_err *err) QG_MUST_CHECK;

/* Notes which functions a qube has (lines of Assigned or, attached, of Attached) in place of what
 * was noted for it before. 0/-1. */
int qg_cards_note_qube(json_t *cards, const char *qube, const json_t *devices, bool attached,
                       struct qg_err *err);

/* The one card that wanted means: `auto`, an address, port or identity of any of its functions,
 * `10de:2504`, `10de`, or words of its vendor's and product's name. dom0's display is passed over,
 * and refused where nothing else fits, unless force. None or several that fit are QG_ERR_INVALID
 * and the text lists what there is. auto means the one NVIDIA card, or, without any, the one card
 * that is not part of the processor; a card of which nobody knows whether it is the display is
 * taken only beside one that must be. Borrowed; NULL on failure. */
const json_t *qg_cards_pick(const json_t *cards, const char *wanted, bool force,
                            struct qg_err *err);

/* QG_ERR_INVALID where other devices share the card's group for all that is known: the text names
 * them. */
int qg_card_check_group(const json_t *card, struct qg_err *err);

/* Its functions as device texts that fail closed, `PORT:IDENTITY`. New list; NULL on failure. */
json_t *qg_card_refs(const json_t *card, struct qg_err *err) QG_MUST_CHECK;

/* `0000:01:00.0 NVIDIA Corporation GA106 [GeForce RTX 3060] (10de:2504)`; owned by the caller, NULL
 * on failure. */
char *qg_card_describe(const json_t *card, struct qg_err *err) QG_MUST_CHECK;

/* True for a line of Available that is a bridge: what is behind one goes to a qube, not itself. */
bool qg_pci_is_bridge(const json_t *device);

/* What a class code (24 bits) is, for people: `display`, `3D`, `audio`, `USB`, ...; static. */
const char *qg_pci_kind(uint32_t class_code);

#endif
