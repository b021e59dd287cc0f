/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whether a card may be given away by its name alone. */
#include "gpu/card.h"

#include "gpu/listed.h"

#include <string.h>

int qg_card_check_group(const json_t *card, struct qg_err *err) {
    const json_t *group = json_object_get(card, "group");
    const json_t *blocks = json_object_get(group, "blocks");
    const char *sure = qg_value_get_text(group, "sure");
    if (json_array_size(blocks) == 0 || strcmp(sure, qg_iommu_sure_name(QG_IOMMU_UNKNOWN)) == 0)
        return 0;
    QG_AUTO_STR char *others = qg_listed_text(blocks, err);
    QG_AUTO_STR char *name = qg_card_describe(card, err);
    return others && name
               ? qg_err_set(err, QG_ERR_INVALID,
                            "%s shares its IOMMU group with %s (%s: %s), which the qube could "
                            "reach too: use another slot, or list all of them under devices",
                            name, others, sure, qg_value_get_text(group, "reason"))
               : -1;
}
