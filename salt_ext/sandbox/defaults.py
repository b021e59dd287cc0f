# SPDX-License-Identifier: GPL-3.0-or-later
"""The default machine: what stands where a machine file says nothing.

Qubes, labels and pools are those of the recording; its PCI tree has one card, as an ordinary PC
does: behind a bridge (``topology: bridge``) or on a root bus of its own (``topology: root``).
"""

from __future__ import annotations

from typing import Any

LABELS: dict[str, tuple[int, str]] = {
    "red": (1, "0xcc0000"),
    "orange": (2, "0xf57900"),
    "yellow": (3, "0xedd400"),
    "green": (4, "0x73d216"),
    "gray": (5, "0x555555"),
    "blue": (6, "0x3465a4"),
    "purple": (7, "0x75507b"),
    "black": (8, "0x000000"),
}

POOLS: dict[str, dict[str, Any]] = {
    "varlibqubes": {
        "driver": "file",
        "dir_path": "/var/lib/qubes",
        "ephemeral_volatile": False,
        "revisions_to_keep": 1,
        "size": 270553174016,
        "usage": 30234275840,
    },
    "linux-kernel": {
        "driver": "linux-kernel",
        "dir_path": "/var/lib/qubes/vm-kernels",
        "included_in": "varlibqubes",
    },
}

GLOBALS: dict[str, Any] = {
    "default_kernel": "6.12.39-1.fc41",
    "default_pool": "varlibqubes",
    "default_pool_kernel": "linux-kernel",
    "default_template": "fedora-41-xfce",
    "default_netvm": "sys-firewall",
    "updatevm": "sys-firewall",
    "clockvm": "sys-net",
    "default_dispvm": "default-dvm",
}

KERNELS = ["6.12.39-1.fc41", "pvgrub2-pvh"]


def _template(name: str, distribution: str, version: str) -> dict[str, Any]:
    features = {
        "qrexec": "1",
        "gui": "1",
        "os": "Linux",
        "os-distribution": distribution,
        "os-version": version,
        "supported-service.meminfo-writer": "1",
        "supported-service.cups": "1",
        "supported-rpc.qubes.GetDate": "1",
        "menu-items": "qubes-run-terminal.desktop qubes-start.desktop",
        "default-menu-items": "qubes-run-terminal.desktop firefox.desktop",
        "template-name": name,
        "template-epoch": "0",
        "template-version": "4.3.0",
        "template-release": "202501010000",
        "template-installtime": "2025-01-01 00:00:00",
    }
    return {"class": "TemplateVM", "label": "black", "features": features}


def _app(label: str, template: str, **more: Any) -> dict[str, Any]:
    return {"class": "AppVM", "label": label, "template": template, **more}


QUBES: dict[str, dict[str, Any]] = {
    "fedora-40-xfce": _template("fedora-40-xfce", "fedora", "40"),
    "fedora-41-xfce": _template("fedora-41-xfce", "fedora", "41"),
    "debian-12-xfce": _template("debian-12-xfce", "debian", "12"),
    "sys-net": _app("red", "fedora-41-xfce", properties={
        "provides_network": True, "netvm": None, "virt_mode": "hvm", "memory": 300, "maxmem": 0,
    }, features={"service.clocksync": "1"}),
    "sys-firewall": _app("green", "fedora-41-xfce", properties={
        "provides_network": True, "netvm": "sys-net", "memory": 300,
    }),
    "default-dvm": _app("red", "fedora-41-xfce", properties={"template_for_dispvms": True},
                        features={"appmenus-dispvm": "1"}),
    "personal": _app("yellow", "fedora-41-xfce"),
    "work": _app("blue", "debian-12-xfce"),
}  # fmt: skip

_INTEL = "Intel Corporation"
_NVIDIA = "NVIDIA Corporation"

PLATFORM: list[dict[str, Any]] = [
    {"bdf": "00:00.0", "id": "8086:4660", "class": "060000", "vendor": _INTEL,
     "product": "12th Gen Core Processor Host Bridge", "kind": "conventional",
     "subsystem": "1043:8882"},
    {"bdf": "00:02.0", "id": "8086:4680", "class": "030000", "vendor": _INTEL,
     "product": "AlderLake-S GT1", "kind": "integrated", "subsystem": "1043:8882",
     "driver": "i915", "boot_vga": True, "bar_mib": 256},
    {"bdf": "00:14.0", "id": "8086:7ae0", "class": "0c0330", "vendor": _INTEL,
     "product": "Alder Lake-S PCH USB 3.2 Gen 2x2 XHCI Controller", "kind": "conventional",
     "subsystem": "1043:8882", "driver": "xhci_hcd"},
    {"bdf": "00:1f.6", "id": "8086:1a1c", "class": "020000", "vendor": _INTEL,
     "product": "Ethernet Connection (17) I219-V", "kind": "conventional",
     "subsystem": "1043:8882", "driver": "pciback"},
]  # fmt: skip


def bridge(secondary: int | None, **more: Any) -> dict[str, Any]:
    """The root port 00:01.0."""
    return {
        "bdf": "00:01.0", "id": "8086:460d", "class": "060400", "vendor": _INTEL,
        "product": "12th Gen Core Processor PCI Express x16 Controller #1", "kind": "root_port",
        "driver": "pcieport", "secondary": secondary, "acs": True, **more,
    }  # fmt: skip


def card(bus: int) -> list[dict[str, Any]]:
    """Both functions of the NVIDIA card."""
    return [
        {"bdf": f"{bus:02x}:00.0", "id": "10de:2504", "class": "030000", "vendor": _NVIDIA,
         "product": "GA106 [GeForce RTX 3060 Lite Hash Rate]", "subsystem": "1462:397d",
         "driver": "pciback", "boot_vga": False, "revision": 0xA1, "bar_mib": 256},
        {"bdf": f"{bus:02x}:00.1", "id": "10de:228e", "class": "040300", "vendor": _NVIDIA,
         "product": "GA106 High Definition Audio Controller", "subsystem": "1462:397d",
         "driver": "pciback", "revision": 0xA1},
    ]  # fmt: skip


def devices(topology: str) -> list[dict[str, Any]]:
    """The default machine's devices."""
    behind = 1 if topology == "bridge" else 2
    return [*PLATFORM, bridge(behind), *card(1)]
