# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's PCI devices: where they sit and what qubesd calls them.

A device whose bus is no bridge's secondary bus sits on a root bus. A port is the path of bridges
to the device (exchanges 253 and 365): ``01_00.0`` on a root bus, ``00_01.0-00_00.0`` behind the
bridge 00:01.0, where the second bus number counts from the bridge's secondary bus.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_BDF = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])\Z")
_ID = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}\Z")

BRIDGE_KINDS = ("root_port", "upstream", "downstream", "pci_bridge", "pcie_to_pci")
KINDS = ("endpoint", "integrated", "conventional", *BRIDGE_KINDS)
ACS_FULL = 0x1D
"""Source validation, request redirect, completion redirect and upstream forwarding."""

VGA = 0x0300
PCI_BRIDGE = 0x0604

ANY_DEVICE = "*"
UNKNOWN_DEVICE = "0000:0000::?******"
"""The identity that qubesd gives to a port with nothing behind it (exchange 371)."""


class MachineError(ValueError):
    """A machine file says something that no machine can be."""


@dataclass
class PciDevice:
    """One function, as sysfs, the configuration space and qubesd describe it."""

    domain: int
    bus: int
    slot: int
    function: int
    vendor: int
    device: int
    klass: int
    vendor_name: str
    product: str
    kind: str = "endpoint"
    subsystem: tuple[int, int] = (0, 0)
    driver: str | None = None
    boot_vga: bool | None = None
    revision: int = 0
    secondary: int | None = None
    subordinate: int | None = None
    acs: int | None = None
    """Control bits of the ACS capability; none where the device has no such capability."""
    acs_capability: int | None = None
    """Capability bits of ACS where they are more than what is switched on."""
    bar_mib: int = 0
    parent: PciDevice | None = None
    port: str = ""

    @property
    def sbdf(self) -> str:
        """The address that people write."""
        return f"{self.domain:04x}:{self.bus:02x}:{self.slot:02x}.{self.function:x}"

    @property
    def interface(self) -> str:
        """The class code as an interface of qubesd."""
        return f"p{self.klass:06x}"

    @property
    def identity(self) -> str:
        """Vendor, device, serial (none) and interfaces."""
        return f"0x{self.vendor:04x}:0x{self.device:04x}::{self.interface}"


def parse_bdf(text: Any) -> tuple[int, int, int, int]:
    """Domain, bus, slot and function of an address; the domain may be left out."""
    match = _BDF.match(str(text).lower())
    if not match or int(match[3], 16) > 0x1F:
        raise MachineError(f"not a PCI address: {text!r}")
    domain, bus, slot, function = match.groups()
    return int(domain or "0", 16), int(bus, 16), int(slot, 16), int(function)


def _parse_id(text: Any, what: str) -> tuple[int, int]:
    if not _ID.match(str(text)):
        raise MachineError(f"{what} has to be like '10de:2504', not {text!r}")
    vendor, device = str(text).split(":")
    return int(vendor, 16), int(device, 16)


def parse_device(entry: dict[str, Any]) -> PciDevice:
    """A device of a machine file."""
    known = {
        "bdf", "id", "class", "vendor", "product", "kind", "subsystem", "driver", "boot_vga",
        "revision", "secondary", "subordinate", "acs", "acs_capability", "bar_mib",
    }  # fmt: skip
    if not isinstance(entry, dict) or not {"bdf", "id", "class"} <= set(entry):
        raise MachineError(f"a device needs bdf, id and class: {entry!r}")
    if unknown := set(entry) - known:
        raise MachineError(f"device {entry['bdf']}: unknown keys {sorted(unknown)}")
    bus = parse_bdf(entry["bdf"])
    klass = int(str(entry["class"]), 16)
    secondary = entry.get("secondary")
    kind = entry.get("kind") or ("root_port" if klass >> 8 == PCI_BRIDGE else "endpoint")
    if kind not in KINDS:
        raise MachineError(f"device {entry['bdf']}: kind has to be one of {', '.join(KINDS)}")
    acs = entry.get("acs")
    if acs is True:
        acs = ACS_FULL
    elif acs is False:
        acs = None
    return PciDevice(
        *bus,
        *_parse_id(entry["id"], "id"),
        klass,
        str(entry.get("vendor", "Unknown vendor")),
        str(entry.get("product", "Unknown device")),
        kind,
        _parse_id(entry["subsystem"], "subsystem") if "subsystem" in entry else (0, 0),
        entry.get("driver"),
        entry.get("boot_vga", False) if klass >> 8 == VGA else None,
        int(entry.get("revision", 0)),
        secondary,
        entry.get("subordinate", secondary),
        acs,
        entry.get("acs_capability"),
        int(entry.get("bar_mib", 0)),
    )


def connect(devices: list[PciDevice], plain_ports: bool = False) -> None:
    """Find each device's bridge and give it its port."""
    bridges = {}
    seen = set()
    for device in devices:
        if device.sbdf in seen:
            raise MachineError(f"two devices at {device.sbdf}")
        seen.add(device.sbdf)
        if device.secondary is not None:
            bridges[device.domain, device.secondary] = device
    for device in devices:
        device.parent = bridges.get((device.domain, device.bus))
    for device in devices:
        device.port = plain_port(device) if plain_ports else port_path(device)


def plain_port(device: PciDevice) -> str:
    """The port as R4.2 writes it: the address."""
    domain = f"{device.domain:04x}_" if device.domain else ""
    return f"{domain}{device.bus:02x}_{device.slot:02x}.{device.function:x}"


def port_path(device: PciDevice) -> str:
    """The port as qubesd 4.3 and later write it: the way there."""
    if device.parent is None or device.parent.secondary is None:
        return plain_port(device)
    bus = device.bus - device.parent.secondary
    return f"{port_path(device.parent)}-{bus:02x}_{device.slot:02x}.{device.function:x}"
