# SPDX-License-Identifier: GPL-3.0-or-later
"""PCI configuration space, as the PCI and PCI Express specifications lay it out.

Enough of it to find out what stands between a device and the IOMMU: header type and bus numbers,
the PCI Express capability with the kind of port, and Access Control Services.
"""

from __future__ import annotations

import struct

from .pci import BRIDGE_KINDS, PciDevice

CONVENTIONAL_SIZE = 256
EXPRESS_SIZE = 4096

# Offsets of the standard header, and of type 1's own fields.
COMMAND, STATUS, REVISION, HEADER_TYPE = 0x04, 0x06, 0x08, 0x0E
BARS, BUS_NUMBERS, SUBSYSTEM, CAPABILITIES = 0x10, 0x18, 0x2C, 0x34
MULTIFUNCTION = 0x80
STATUS_CAPABILITIES = 0x10

# Where the capabilities of the sandbox's devices lie.
POWER, BRIDGE_SUBSYSTEM, EXPRESS = 0x40, 0x50, 0x60
ERRORS, ACS = 0x100, 0x148

CAP_POWER, CAP_BRIDGE_SUBSYSTEM, CAP_EXPRESS = 0x01, 0x0D, 0x10
EXT_ERRORS, EXT_ACS = 0x0001, 0x000D

PORT_TYPES = {
    "endpoint": 0x0, "root_port": 0x4, "upstream": 0x5, "downstream": 0x6, "pcie_to_pci": 0x7,
    "integrated": 0x9,
}  # fmt: skip
"""Device/port types of PCI Express; kinds that are missing have no such capability."""

SMALL_BAR = 0x4000
PREFETCHABLE_64BIT = 0xC
BAR_FLAGS_64BIT = 0x14220C
BAR_FLAGS_32BIT = 0x40200


def memory_regions(device: PciDevice, index: int) -> list[tuple[int, int, int]]:
    """Start, end and flags of the device's memory; ``index`` keeps devices apart."""
    if device.kind in BRIDGE_KINDS:
        return []
    start = 0xA000_0000 + index * 0x0100_0000
    regions = [(start, start + SMALL_BAR - 1, BAR_FLAGS_32BIT)]
    if device.bar_mib:
        size = device.bar_mib << 20
        start = 0x40_0000_0000 + index * 0x10_0000_0000
        regions.append((start, start + size - 1, BAR_FLAGS_64BIT))
    return regions


def config_space(device: PciDevice, multifunction: bool, index: int) -> bytes:
    """The device's configuration space."""
    express = device.kind in PORT_TYPES
    space = bytearray(EXPRESS_SIZE if express else CONVENTIONAL_SIZE)
    bridge = device.kind in BRIDGE_KINDS
    struct.pack_into("<HH", space, 0, device.vendor, device.device)
    struct.pack_into("<HH", space, COMMAND, 0x0407, STATUS_CAPABILITIES)
    struct.pack_into("<I", space, REVISION, device.klass << 8 | device.revision)
    space[HEADER_TYPE] = int(bridge) | (MULTIFUNCTION if multifunction else 0)
    space[CAPABILITIES] = POWER
    capabilities = [(POWER, CAP_POWER, struct.pack("<H", 0x0003))]
    subsystem = struct.pack("<HH", *device.subsystem)
    if bridge:
        space[BUS_NUMBERS : BUS_NUMBERS + 3] = bytes(
            (device.bus, device.secondary or 0, device.subordinate or 0)
        )
        capabilities.append((BRIDGE_SUBSYSTEM, CAP_BRIDGE_SUBSYSTEM, b"\0\0" + subsystem))
    else:
        space[SUBSYSTEM : SUBSYSTEM + 4] = subsystem
        _put_bars(space, device, index)
    if express:
        capabilities.append((EXPRESS, CAP_EXPRESS, struct.pack("<H", _express_flags(device))))
        _put_extended(space, device)
    following = [offset for offset, _, _ in capabilities[1:]] + [0]
    for (offset, number, body), following_offset in zip(capabilities, following, strict=True):
        space[offset : offset + 2] = bytes((number, following_offset))
        space[offset + 2 : offset + 2 + len(body)] = body
    return bytes(space)


def _express_flags(device: PciDevice) -> int:
    """Version 2, the kind of port, and a slot below the ports that have one."""
    slot = 0x100 if device.kind in ("root_port", "downstream") else 0
    return 2 | PORT_TYPES[device.kind] << 4 | slot


def _put_bars(space: bytearray, device: PciDevice, index: int) -> None:
    offset = BARS
    for start, _end, flags in memory_regions(device, index):
        if flags == BAR_FLAGS_64BIT:
            struct.pack_into("<Q", space, offset, start | PREFETCHABLE_64BIT)
            offset += 8
        else:
            struct.pack_into("<I", space, offset, start)
            offset += 4


def _put_extended(space: bytearray, device: PciDevice) -> None:
    """Error reporting, and ACS where the device has it."""
    following = ACS if device.acs is not None else 0
    struct.pack_into("<I", space, ERRORS, EXT_ERRORS | 2 << 16 | following << 20)
    if device.acs is not None:
        struct.pack_into("<I", space, ACS, EXT_ACS | 1 << 16)
        able = device.acs if device.acs_capability is None else device.acs_capability
        struct.pack_into("<HH", space, ACS + 4, able, device.acs)
