# SPDX-License-Identifier: GPL-3.0-or-later
"""IOMMU groups of made-up machines, beside the kernel's algorithm written down a second time.

The second one follows pci_device_group() of Linux' drivers/iommu/iommu.c step by step, with the
names that the functions have there. No vendor of these machines is on the kernel's lists.
"""

from __future__ import annotations

import random

import pytest
from saltext.qvm_gpu import _core

ROOT, UP, DOWN, TO_PCI = "root_port", "upstream", "downstream", "pcie_to_pci"
END, INTEGRATED, PCI, PCI_BRIDGE = "endpoint", "integrated", "conventional", "pci_bridge"
REQ_ACS_FLAGS = 0x1D
MOST = 90  # devices, for which the sandbox has memory windows


class Machine:
    """Devices grown at random, as a machine file has them, each with its parent."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.devices: list[dict] = []
        self.parents: dict[str, str | None] = {}
        self.buses = 0
        for slot in range(1, 10):
            kinds = [ROOT, ROOT, ROOT, INTEGRATED, PCI, PCI_BRIDGE]
            self.slot(None, 0, slot, kinds, depth=0)

    def slot(self, parent, bus, slot, kinds, depth):
        """One to three functions, of the same kind or of different ones."""
        mixed = self.random.random() < 0.3
        kind = self.random.choice(kinds)
        for function in range(self.random.choice([1, 1, 2, 3])):
            one = self.random.choice(kinds) if mixed else kind
            self.function(parent, bus, f"{bus:02x}:{slot:02x}.{function}", one, depth)

    def function(self, parent, bus, bdf, kind, depth):
        """A device and, below a bridge, what is behind it."""
        if len(self.devices) == MOST:
            return
        device = {"bdf": bdf, "id": "1af4:1000", "class": "020000", "kind": kind}
        if kind not in (PCI, PCI_BRIDGE, TO_PCI):
            able = self.random.choice([0, 0x0D, 0x1D, 0x5F])
            off = self.random.choice([0, 0, 0, 0x01, 0x04, 0x08, 0x10, 0xFF])
            if able:
                device |= {"acs": able & ~off, "acs_capability": able}
        self.devices.append(device)
        self.parents[bdf] = parent
        if kind in (ROOT, UP, DOWN, TO_PCI, PCI_BRIDGE):
            device |= {"class": "060400", "secondary": self.buses + 1}
            self.behind(bdf, kind, depth + 1)
            device["subordinate"] = self.buses

    def behind(self, bridge, kind, depth):
        """Point-to-point links have one slot; switches and conventional buses have several."""
        self.buses += 1
        bus = self.buses
        deep = depth >= 4
        if kind == UP:
            slots, kinds = range(3), [DOWN]
        elif kind in (TO_PCI, PCI_BRIDGE):
            slots, kinds = range(2), [PCI, PCI] if deep else [PCI, PCI, PCI_BRIDGE]
        else:
            slots, kinds = range(1), [END] if deep else [END, END, UP, TO_PCI]
        for slot in slots:
            self.slot(bridge, bus, slot, kinds, depth)


class Linux:
    """pci_device_group() for every device, bridges before what is behind them."""

    def __init__(self, machine: Machine) -> None:
        self.parents = machine.parents
        self.by_bdf = {device["bdf"]: device for device in machine.devices}
        self.group: dict[str, int] = {}
        for bdf in sorted(self.by_bdf):
            self.group[bdf] = self.pci_device_group(bdf)

    def slot_of(self, bdf):
        return [other for other in self.by_bdf if other[:-1] == bdf[:-1]]

    def multifunction(self, bdf):
        return len(self.slot_of(bdf)) > 1

    def pci_acs_flags_enabled(self, bdf):
        device = self.by_bdf[bdf]
        if "acs" not in device:
            return False
        flags = REQ_ACS_FLAGS & device["acs_capability"]
        return device["acs"] & flags == flags

    def pci_acs_enabled(self, bdf):
        kind = self.by_bdf[bdf]["kind"]
        if kind in (PCI, PCI_BRIDGE, TO_PCI):
            return False
        if kind in (ROOT, DOWN):
            return self.pci_acs_flags_enabled(bdf)
        return self.pci_acs_flags_enabled(bdf) if self.multifunction(bdf) else True

    def pci_acs_path_enabled(self, bdf):
        while bdf:
            if not self.pci_acs_enabled(bdf):
                return False
            bdf = self.parents[bdf]
        return True

    def pci_device_group(self, bdf):
        # pci_for_each_dma_alias(pdev, get_pci_alias_or_group, &data)
        pdev, bridge = bdf, self.parents[bdf]
        while bridge:
            if self.by_bdf[bridge]["kind"] in (TO_PCI, PCI_BRIDGE):
                pdev = bridge
                if bridge in self.group:
                    return self.group[bridge]
            bridge = self.parents[bridge]
        # upstream to where peers are kept apart
        bridge = self.parents[pdev]
        while bridge and not self.pci_acs_path_enabled(bridge):
            pdev = bridge
            if bridge in self.group:
                return self.group[bridge]
            bridge = self.parents[bridge]
        # get_pci_function_alias_group()
        if self.multifunction(pdev) and not self.pci_acs_enabled(pdev):
            for other in self.slot_of(pdev):
                if other != pdev and other in self.group and not self.pci_acs_enabled(other):
                    return self.group[other]
        return len(self.by_bdf) + len(self.group)  # iommu_group_alloc()


def partition(groups: dict[str, int]) -> set[frozenset[str]]:
    """Who is with whom, whatever the groups are called."""
    return {
        frozenset(bdf for bdf, number in groups.items() if number == one)
        for one in set(groups.values())
    }


@pytest.mark.parametrize("seed", range(12))
def test_groups_are_the_kernels(machine, seed):
    made = Machine(seed)
    sandbox = machine({"devices": made.devices})
    run = _core.Run(socket=str(sandbox.socket), root=str(sandbox.root))
    answer = run.call("qvm_gpu.report", {"format": "data"}, False)
    assert answer["result"] is True, answer["comment"]
    tree = answer["data"]["tree"]
    parents = {row["bdf"][5:]: row["parent"] and row["parent"][5:] for row in tree}
    assert parents == made.parents
    ours = partition({row["bdf"][5:]: row["group"] for row in tree})
    assert ours == partition(Linux(made).group)


def test_the_machines_have_what_it_is_about():
    """Groups of one and of many, aliases, switches, and slots that hold together or do not."""
    groups = [group for seed in range(12) for group in partition(Linux(Machine(seed)).group)]
    sizes = {len(group) for group in groups}
    assert 1 in sizes and max(sizes) > 8 and len(sizes) > 5
    kinds = {device["kind"] for seed in range(12) for device in Machine(seed).devices}
    assert kinds == {ROOT, UP, DOWN, TO_PCI, END, INTEGRATED, PCI, PCI_BRIDGE}
