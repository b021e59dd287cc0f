/* SPDX-License-Identifier: GPL-3.0-or-later */
/* PCI configuration spaces of any content and length. Of fewer bytes less is known, but never
 * anything else. The last two bytes say where the space is cut off. */
#include "fuzz.h"

#include "gpu/pci_config.h"

static void must_not_contradict(enum qg_pci_known less, enum qg_pci_known more) {
    MUST(less == QG_PCI_UNKNOWN || less == more);
}

static void try_cut(const struct qg_pci_config *whole, const void *bytes, size_t cut) {
    struct qg_pci_config part;
    qg_pci_config_parse(bytes, cut, &part);
    if (!part.header)
        return;
    MUST(whole->header && part.class_code == whole->class_code && part.bridge == whole->bridge);
    must_not_contradict(part.pcie, whole->pcie);
    must_not_contradict(part.acs, whole->acs);
    if (part.pcie == QG_PCI_YES)
        MUST(part.pcie_type == whole->pcie_type);
    if (part.acs == QG_PCI_YES)
        MUST(part.acs_capability == whole->acs_capability &&
             part.acs_control == whole->acs_control);
}

static void try_capabilities(const uint8_t *bytes, size_t length) {
    for (uint8_t id = 1; id < 0x14; id++) {
        enum qg_pci_known known;
        size_t at = qg_pci_find_capability(bytes, length, id, &known);
        MUST((at != 0) == (known == QG_PCI_YES));
        if (at)
            MUST(at < length && bytes[at] == id);
        at = qg_pci_find_extended(bytes, length, id, &known);
        MUST((at != 0) == (known == QG_PCI_YES));
        if (at)
            MUST(at >= QG_PCI_CONVENTIONAL_SIZE && at + 4 <= length && bytes[at] == id);
    }
}

static void try_resources(const char *text) {
    struct qg_pci_resources resources;
    qg_pci_resources_parse(text, &resources);
    MUST(resources.largest <= resources.total);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return -1;
    size_t cut = (size_t)data[size - 1] << 8 | data[size - 2];
    struct input input = {data, size - 2};
    struct qg_pci_config whole;
    qg_pci_config_parse(data, size - 2, &whole);
    MUST(qg_pcie_type_name(whole.pcie_type) != NULL);
    try_cut(&whole, data, cut % (size - 1));
    try_capabilities(data, size - 2);
    QG_AUTO_STR char *text = take_text(&input);
    try_resources(text);
    return 0;
}
