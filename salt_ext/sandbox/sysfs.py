# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's PCI tree as sysfs shows it, in a folder.

The layout is the kernel's: devices lie below their bridges in ``sys/devices``, ``sys/bus/pci``
has links to them. There are no IOMMU groups: under Xen dom0 sees none.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .config_space import config_space, memory_regions
from .pci import BRIDGE_KINDS, PciDevice

RESOURCES = 13
"""Lines of a device's ``resource`` file."""


def write_tree(root: Path, devices: list[PciDevice]) -> None:
    """Write the tree anew below ``root``."""
    base = root / "sys"
    bus = base / "bus" / "pci"
    shutil.rmtree(bus, ignore_errors=True)
    for stale in (base / "devices").glob("pci*"):
        shutil.rmtree(stale)
    for folder in (bus / "devices", bus / "drivers"):
        folder.mkdir(parents=True)
    slots: dict[tuple[int, int, int], int] = {}
    for device in devices:
        slot = (device.domain, device.bus, device.slot)
        slots[slot] = slots.get(slot, 0) + 1
    for index, device in enumerate(devices):
        multifunction = slots[device.domain, device.bus, device.slot] > 1
        path = base / "devices" / device_path(device)
        path.mkdir(parents=True, exist_ok=True)
        for name, text in attributes(device, index).items():
            (path / name).write_text(text + "\n", "ascii")
        (path / "config").write_bytes(config_space(device, multifunction, index))
        link(path / "subsystem", bus)
        link(bus / "devices" / device.sbdf, path)
        if device.driver is not None:
            driver = bus / "drivers" / device.driver
            driver.mkdir(exist_ok=True)
            link(driver / device.sbdf, path)
            link(path / "driver", driver)


def device_path(device: PciDevice) -> Path:
    """Where the device lies below ``sys/devices``."""
    if device.parent is None:
        return Path(f"pci{device.domain:04x}:{device.bus:02x}") / device.sbdf
    return device_path(device.parent) / device.sbdf


def attributes(device: PciDevice, index: int) -> dict[str, str]:
    """The device's files, without their last newline."""
    vendor, product = device.subsystem
    found = {
        "vendor": f"0x{device.vendor:04x}",
        "device": f"0x{device.device:04x}",
        "subsystem_vendor": f"0x{vendor:04x}",
        "subsystem_device": f"0x{product:04x}",
        "class": f"0x{device.klass:06x}",
        "revision": f"0x{device.revision:02x}",
        "enable": "1" if device.driver not in (None, "pciback") else "0",
        "modalias": modalias(device),
        "uevent": uevent(device),
        "resource": "\n".join(resources(device, index)),
    }
    if device.boot_vga is not None:
        found["boot_vga"] = str(int(device.boot_vga))
    if device.kind in BRIDGE_KINDS and device.secondary is not None:
        found["secondary_bus_number"] = str(device.secondary)
        found["subordinate_bus_number"] = str(device.subordinate)
    return found


def modalias(device: PciDevice) -> str:
    """What the kernel finds a driver by."""
    vendor, product = device.subsystem
    base, sub, interface = device.klass >> 16, device.klass >> 8 & 0xFF, device.klass & 0xFF
    return (
        f"pci:v{device.vendor:08X}d{device.device:08X}sv{vendor:08X}sd{product:08X}"
        f"bc{base:02X}sc{sub:02X}i{interface:02X}"
    )


def uevent(device: PciDevice) -> str:
    """The kernel's event for the device."""
    vendor, product = device.subsystem
    lines = [
        f"PCI_CLASS={device.klass:X}",
        f"PCI_ID={device.vendor:04X}:{device.device:04X}",
        f"PCI_SUBSYS_ID={vendor:04X}:{product:04X}",
        f"PCI_SLOT_NAME={device.sbdf}",
        f"MODALIAS={modalias(device)}",
    ]
    if device.driver is not None:
        lines.insert(0, f"DRIVER={device.driver}")
    return "\n".join(lines)


def resources(device: PciDevice, index: int) -> list[str]:
    """The device's memory, a line each; a 64-bit region takes the line after it too."""
    lines = []
    for start, end, flags in memory_regions(device, index):
        lines.append(f"0x{start:016x} 0x{end:016x} 0x{flags:016x}")
    return lines + [" ".join(["0x" + "0" * 16] * 3)] * (RESOURCES - len(lines))


def link(path: Path, target: Path) -> None:
    """A relative link, as sysfs has them."""
    path.symlink_to(os.path.relpath(target, path.parent))
