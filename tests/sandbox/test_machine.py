# SPDX-License-Identifier: GPL-3.0-or-later
"""Machine files: what they may say, and what they must not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def test_keys_left_out_keep_the_defaults(start_sandbox: Callable[..., Any]) -> None:
    from saltext.qvm_gpu.sandbox import defaults

    state = start_sandbox({"topology": "root"}).state()
    assert set(state) == {"", "dom0", *defaults.QUBES}
    assert state[""]["props"] == defaults.GLOBALS


def test_qubes_are_merged(start_sandbox: Callable[..., Any]) -> None:
    sandbox = start_sandbox({"qubes": {
        "personal": None,
        "sys-firewall": None,
        "work": {"label": "red", "properties": {"memory": 900}, "tags": ["mine"]},
        "gpu": {"class": "StandaloneVM", "label": "yellow", "features": {"x": 1},
                "devices": ["01:00.0", {"port": "00_14.0", "mode": "auto-attach",
                                        "options": {"no-strict-reset": True}}],
                "properties": {"virt_mode": "hvm", "kernel": ""}, "running": True},
        "dom0": {"features": {"y": "2"}},
    }})  # fmt: skip
    state = sandbox.state()
    assert "personal" not in state
    assert "default_netvm" not in state[""]["props"]
    assert state["work"]["props"]["label"] == "red"
    assert state["work"]["props"]["template"] == "debian-12-xfce"
    assert state["dom0"]["features"] == {"y": "2"}
    assert state["gpu"]["power"] == "Running"
    assert [(entry["port"], entry["device_id"], entry["mode"], entry["options"])
            for entry in state["gpu"]["assigned"]] == [
        ("00_01.0-00_00.0", "0x10de:0x2504::p030000", "required", {}),
        ("00_14.0", "0x8086:0x7ae0::p0c0330", "auto-attach", {"no-strict-reset": "True"}),
    ]  # fmt: skip
    assert "state=Running" in sandbox.ok("admin.vm.List", "gpu")


def test_clones(start_sandbox: Callable[..., Any]) -> None:
    sandbox = start_sandbox({
        "qubes": {"gpu": {"class": "StandaloneVM", "devices": ["01:00.0"]}},
        "clones": [{"of": "gpu", "count": 3, "prefix": "bench"},
                   {"of": "work", "count": 1, "prefix": "other", "start": 9}],
    })  # fmt: skip
    names = [line.split(" ")[0] for line in sandbox.ok("admin.vm.List").splitlines()]
    assert {"bench-1", "bench-2", "bench-3", "other-9"} <= set(names)
    assert "frontend_domain='bench-2'" in sandbox.ok("admin.vm.device.pci.Assigned", "bench-2")
    assert "class=StandaloneVM" in sandbox.ok("admin.vm.List", "bench-3")


def test_plain_ports(start_sandbox: Callable[..., Any]) -> None:
    sandbox = start_sandbox({"ports": "plain", "identities": False})
    line = sandbox.ok("admin.vm.device.pci.Available+01_00.0")
    assert line == (
        "01_00.0:* device_id='*' port_id='01_00.0' devclass='pci' backend_domain='dom0' "
        "vendor='NVIDIA Corporation' product='GA106 [GeForce RTX 3060 Lite Hash Rate]' "
        "interfaces='p030000'\n"
    )
    sandbox.ok("admin.vm.device.pci.Assign+dom0+01_00.0+_", "work",
               "device_id='*' mode='required'")  # fmt: skip
    sandbox.ok("admin.vm.Start", "work")


@pytest.mark.parametrize("machine", [
    {"topolgy": "root"},
    {"topology": "ring"},
    {"ports": "other"},
    {"devices": [{"bdf": "00:00.0"}]},
    {"devices": [{"bdf": "0:0", "id": "8086:1234", "class": "060000"}]},
    {"devices": [{"bdf": "00:00.0", "id": "8086", "class": "060000"}]},
    {"devices": [{"bdf": "00:00.0", "id": "8086:1234", "class": "060000", "kind": "odd"}]},
    {"devices": [{"bdf": "00:00.0", "id": "8086:1234", "class": "060000"}] * 2},
    {"extra_devices": [{"bdf": "00:09.0", "id": "8086:1234", "class": "060000", "x": 1}]},
    {"qubes": {"work": {"propertys": {}}}},
    {"qubes": {"work": {"properties": {"mem": 1}}}},
    {"qubes": {"work": {"devices": ["09:00.0"]}}},
    {"qubes": {"new": {"class": "OtherVM"}}},
    {"qubes": "work"},
    {"clones": {"of": "nosuch", "count": 1, "prefix": "x"}},
    {"clones": {"of": "work"}},
    {"host": {"memory": "much"}},
])  # fmt: skip
def test_mistakes_are_told(
    start_sandbox: Callable[..., Any], machine: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    from saltext.qvm_gpu.sandbox import SandboxError

    with pytest.raises(SandboxError):
        start_sandbox(machine)
    told = capfd.readouterr().err
    assert told.startswith("qubesd-sandbox: ")
    assert "Traceback" not in told
