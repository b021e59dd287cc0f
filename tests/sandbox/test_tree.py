# SPDX-License-Identifier: GPL-3.0-or-later
"""The PCI tree of every machine file, against what the same daemon says over the Admin API."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MACHINES = Path(__file__).resolve().parents[1] / "data" / "machines"
PROPERTY = re.compile(r"(\w+)='([^']*)'")


def listed(sandbox: Any) -> dict[str, dict[str, str]]:
    """The devices that qubesd lists, by their address or port."""
    found = {}
    for line in sandbox.ok("admin.vm.device.pci.Available").splitlines():
        properties = dict(PROPERTY.findall(line))
        port = properties["port_id"]
        found[properties.get("_sbdf", "0000:" + port.replace("_", ":", 1))] = properties
    return found


def text(path: Path) -> str:
    return path.read_text().rstrip("\n")


def capability(config: bytes, wanted: int) -> int | None:
    """The offset of a capability."""
    offset = config[0x34]
    while offset:
        if config[offset] == wanted:
            return offset
        offset = config[offset + 1]
    return None


def extended_capability(config: bytes, wanted: int) -> int | None:
    """The offset of an extended capability."""
    offset = 0x100
    while offset and len(config) > offset:
        (header,) = struct.unpack_from("<I", config, offset)
        if header & 0xFFFF == wanted:
            return offset
        offset = header >> 20
    return None


@pytest.mark.parametrize("name", sorted(path.name for path in MACHINES.glob("*.yaml")))
def test_tree_is_what_qubesd_says(name: str, start_sandbox: Callable[..., Any]) -> None:
    sandbox = start_sandbox(MACHINES / name, root=True)
    devices = sandbox.root / "sys" / "bus" / "pci" / "devices"
    expected = listed(sandbox)
    assert sorted(entry.name for entry in devices.iterdir()) == sorted(expected)
    displays = 0
    for sbdf, properties in expected.items():
        path = devices / sbdf
        assert path.is_symlink()
        interface = properties["interfaces"]
        assert text(path / "class") == "0x" + interface[1:]
        if properties["device_id"] != "*":
            identity = f"{text(path / 'vendor')}:{text(path / 'device')}::{interface}"
            assert properties["device_id"] == identity
        config = (path / "config").read_bytes()
        vendor, device = struct.unpack_from("<HH", config)
        assert (f"0x{vendor:04x}", f"0x{device:04x}") == (
            text(path / "vendor"), text(path / "device"),
        )  # fmt: skip
        assert config[0x09:0x0C][::-1].hex() == interface[1:]
        if interface.startswith("p0300"):
            displays += int(text(path / "boot_vga"))
        if (path / "driver").exists():
            driver = (path / "driver").resolve()
            assert driver.parent.name == "drivers"
            assert (driver / sbdf).resolve() == path.resolve()
            assert f"DRIVER={driver.name}" in text(path / "uevent").splitlines()
        if interface.startswith("p0604"):
            assert config[0x0E] & 0x7F == 1
            assert config[0x18] == int(sbdf[5:7], 16)
            assert config[0x19] == int(text(path / "secondary_bus_number"))
            assert config[0x1A] == int(text(path / "subordinate_bus_number"))
            for child in path.glob("????:??:??.?"):
                assert int(child.name[5:7], 16) == config[0x19]
        same_slot = [other for other in expected if other[:-1] == sbdf[:-1]]
        assert bool(config[0x0E] & 0x80) == (len(same_slot) > 1)
        assert capability(config, 0x01) == 0x40
    assert displays == 1


def test_paths_and_ports_agree(start_sandbox: Callable[..., Any]) -> None:
    """A port counts its bridges as the path in sysfs does."""
    sandbox = start_sandbox(MACHINES / "two-bridges.yaml", root=True)
    card = (sandbox.root / "sys/bus/pci/devices/0000:03:00.0").resolve()
    assert card.relative_to(sandbox.root / "sys/devices").parts == (
        "pci0000:00", "0000:00:01.0", "0000:01:00.0", "0000:02:00.0", "0000:03:00.0",
    )  # fmt: skip
    port = listed(sandbox)["0000:03:00.0"]["port_id"]
    assert port == "00_01.0-00_00.0-00_00.0-00_00.0"
    kinds = []
    for path in reversed(list(card.parents)[:3]):
        config = (path / "config").read_bytes()
        offset = capability(config, 0x10)
        assert offset is not None
        kinds.append(config[offset + 2] >> 4)
    assert kinds == [4, 5, 6]


def test_access_control(start_sandbox: Callable[..., Any]) -> None:
    sandbox = start_sandbox({"extra_devices": [
        {"bdf": "00:1c.0", "id": "8086:7ab8", "class": "060400", "secondary": 4, "acs": 0,
         "acs_capability": 0x5F},
        {"bdf": "00:1c.4", "id": "8086:7abc", "class": "060400", "secondary": 5},
    ]}, root=True)  # fmt: skip
    found = {}
    for name in ("00:01.0", "00:1c.0", "00:1c.4"):
        config = (sandbox.root / f"sys/bus/pci/devices/0000:{name}/config").read_bytes()
        offset = extended_capability(config, 0x0D)
        found[name] = struct.unpack_from("<HH", config, offset + 4) if offset else None
    assert found == {"00:01.0": (0x1D, 0x1D), "00:1c.0": (0x5F, 0), "00:1c.4": None}


def test_an_older_tree_is_replaced(start_sandbox: Callable[..., Any], tmp_path: Path) -> None:
    first = start_sandbox(MACHINES / "two-alike.yaml", root=True, folder=tmp_path / "one")
    first.stop()
    second = start_sandbox(root=True, folder=tmp_path / "one")
    devices = second.root / "sys" / "bus" / "pci" / "devices"
    assert not (devices / "0000:02:00.0").exists()
    assert not (second.root / "sys/devices/pci0000:00/0000:00:06.0").exists()


def test_root_topology(start_sandbox: Callable[..., Any]) -> None:
    sandbox = start_sandbox({"topology": "root"}, root=True)
    assert listed(sandbox)["0000:01:00.0"]["port_id"] == "01_00.0"
    path = (sandbox.root / "sys/bus/pci/devices/0000:01:00.0").resolve()
    assert path.parent.name == "pci0000:01"
