# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fault tests do over and over: states, and what qubesd was told before them."""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml

CARD = ["01:00.0", "01:00.1"]
GPU = "00_01.0-00_00.0"
IDENTITY = "0x10de:0x2504::p030000"

Call = tuple[str, str, str]
"""Method with argument, destination, payload."""


class Scenario(NamedTuple):
    """A state, and the calls that make the machine that it is applied to."""

    name: str
    function: str
    qube: str
    body: list[Any]
    before: tuple[Call, ...] = ()
    late: float = 0.9
    """Seconds: a reply that comes after the deadline of any of its calls."""

    @property
    def sls(self) -> str:
        """The state as a formula writes it."""
        return yaml.safe_dump({"t": {self.function: [{"name": self.qube}, *self.body]}})


def give_card(qube: str) -> Call:
    """The card's first function is the qube's."""
    return (
        f"admin.vm.device.pci.Assign+dom0+{GPU}+{IDENTITY.replace(':', '+')}", qube,
        f"device_id='{IDENTITY}' port_id='{GPU}' devclass='pci' "
        f"backend_domain='dom0' mode='required' frontend_domain='{qube}'",
    )  # fmt: skip


SCENARIOS = [
    Scenario(
        "guide", "qvm.vm", "gpu",
        [
            {"present": [
                {"template": "fedora-40-xfce"}, {"label": "yellow"}, {"mem": 4000},
                {"flags": ["standalone"]},
            ]},
            {"prefs": [
                {"virt_mode": "hvm"}, {"kernel": ""}, {"memory": 4000}, {"maxmem": 0},
                {"vcpus": 4}, {"pcidevs": CARD}, {"pci_strictreset": False},
            ]},
            {"features": [{"set": [{"menu-items": "qubes-run-terminal.desktop"}]}]},
        ],
    ),
    Scenario(
        "gpu", "qvm_gpu.present", "gpu",
        [
            {"template": "debian-12-xfce"}, {"label": "red"}, {"mem": 4000}, {"devices": CARD},
            {"root_size": "20GiB"}, {"services": ["minimal-netvm"]}, {"tags": ["gpu"]},
        ],
    ),
    Scenario(
        "appvm", "qvm.present", "new",
        [{"template": "debian-12-xfce"}, {"label": "blue"}, {"mem": 500}, {"vcpus": 3}],
    ),
    Scenario(
        "reconfigure", "qvm.vm", "work",
        [
            {"prefs": [{"memory": 500}, {"netvm": "none"}, {"autostart": True}]},
            {"service": [{"enable": ["cups"]}, {"disable": ["meminfo-writer"]}]},
            {"features": [{"set": [{"a": "1"}, {"b": "x y"}]}, {"disable": ["c"]}]},
            {"tags": [{"add": ["one", "two"]}, {"del": ["three"]}]},
        ],
        (("admin.vm.tag.Set+three", "work", ""), ("admin.vm.feature.Set+b", "work", "old")),
    ),
    Scenario(
        "devices", "qvm.prefs", "work",
        [{"pcidevs": ["01:00.0", "01:00.1"]}, {"pci_strictreset": False}, {"virt_mode": "hvm"}],
        (give_card("work"),),
    ),
    Scenario(
        "attach", "qvm.devices", "work",
        [{"attach": [{"pci:dom0:01:00.1": {"permissive": True}}]}, {"detach": [f"pci:dom0:{GPU}"]}],
        (give_card("work"),),
    ),
    Scenario(
        "features", "qvm.features", "work",
        [{"set": [{"a": "1"}, {"b": "x y"}]}, {"enable": ["d"]}, {"default": ["c"]}],
        (("admin.vm.feature.Set+c", "work", "1"), ("admin.vm.feature.Set+b", "work", "old")),
    ),
    Scenario(
        "service", "qvm.service", "work",
        [{"enable": ["cups"]}, {"disable": ["meminfo-writer"]}, {"default": ["crond"]}],
        (("admin.vm.feature.Set+service.crond", "work", "1"),),
    ),
    Scenario(
        "tags", "qvm.tags", "work", [{"add": ["one", "two"]}, {"del": ["three"]}],
        (("admin.vm.tag.Set+three", "work", ""),),
    ),
    Scenario(
        "firewall", "qvm.firewall", "work",
        [{"set": ["action=accept dsthost=10.0.0.1", "action=drop"]}],
    ),
    Scenario(
        "moved", "qvm_gpu.attached", "work", [{"force": True}],
        (give_card("personal"), ("admin.vm.Start", "personal", "")),
    ),
    Scenario("gpu-absent", "qvm_gpu.absent", "work", [], (give_card("work"),)),
    Scenario("clone", "qvm.clone", "copy", [{"source": "sys-net"}]),
    Scenario(
        "absent", "qvm.absent", "personal", [], (("admin.vm.Start", "personal", ""),),
    ),
    # a start may take longer than other calls: it has a timeout of its own
    Scenario("start", "qvm.start", "work", [{"timeout": 2}], late=2.9),
    Scenario("shutdown", "qvm.shutdown", "work", [], (("admin.vm.Start", "work", ""),)),
    Scenario("kill", "qvm.kill", "work", [], (("admin.vm.Start", "work", ""),)),
    Scenario("pause", "qvm.pause", "work", [], (("admin.vm.Start", "work", ""),)),
    Scenario(
        "unpause", "qvm.unpause", "work", [],
        (("admin.vm.Start", "work", ""), ("admin.vm.Pause", "work", "")),
    ),
]  # fmt: skip
