# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide's layout, unchanged, through a real salt-call: and our own formula beside it."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from rig import STATES

QUBE = "fedora-40-nvidia"
PORTS = {"bridge": "00_01.0-00_00", "root": "01_00"}


# our formula asks whether the machine is ready, too
DRY_CALLS = {"guide": 25, "ours": 40}
FIRST_CALLS = {"guide": 52, "ours": 67}
SECOND_CALLS = {"guide": 4, "ours": 20}


def applied(minion, formula, *words):
    """What the state about the qube answered; the one before it, which only looks, found all well."""
    *before, last = minion.apply(*words)
    assert [(state["result"], state["changes"]) for state in before] == (
        [] if formula == "guide" else [(True, {})]
    ), before
    return last


def qube_of(sandbox):
    """The properties that the guide is about, and the assignments, as qubesd tells them."""
    lines = sandbox.ok("admin.vm.property.GetAll", QUBE).splitlines()
    properties = {line.split(" ")[0]: line.split(" ", 3)[3] for line in lines}
    assigned = sandbox.ok("admin.vm.device.pci.Assigned", QUBE).splitlines()
    return properties, sorted(line.split(" ")[0] for line in assigned)


def check_qube(sandbox, topology):
    properties, assigned = qube_of(sandbox)
    wanted = {
        "memory": "4000", "label": "yellow", "virt_mode": "hvm", "kernel": "", "maxmem": "0",
        "vcpus": "4", "klass": "StandaloneVM",
    }  # fmt: skip
    assert {name: properties[name] for name in wanted} == wanted
    port = PORTS[topology]
    assert assigned == [
        f"dom0+{port}.0:0x10de:0x2504::p030000",
        f"dom0+{port}.1:0x10de:0x228e::p040300",
    ]
    assert sandbox.ok("admin.vm.feature.Get+menu-items", QUBE) == "qubes-run-terminal.desktop"
    assert sandbox.ok("admin.vm.feature.Get+os-version", QUBE) == "40"


@pytest.mark.parametrize("topology", ["bridge", "root"])
@pytest.mark.parametrize("formula", ["guide", "ours"])
def test_dry_first_second(machine, minion_for, salt_version, topology, formula, request):
    sandbox = machine({"topology": topology})
    folder = request.getfixturevalue("guide") if formula == "guide" else STATES
    roots = {"base": [str(sandbox.folder)], "user": [str(folder)]}
    minion = minion_for(sandbox, version=salt_version, options={"file_roots": roots})
    words = ["nvidia-driver", "saltenv=user"]

    dry = applied(minion, formula, *words, "test=True")
    assert dry["result"] is None
    assert not sandbox.writing_calls()
    assert len(sandbox.log()) == DRY_CALLS[formula]
    assert QUBE in dry["changes"]["qvm.present"]
    prefs = dry["changes"]["qvm.prefs"]
    assert prefs["memory"] == {"old": "*default*", "new": 4000}
    assert prefs["kernel"] == {"old": "*default*", "new": None}
    assert {"virt_mode", "maxmem", "vcpus", "pcidevs"} <= set(prefs)
    assert "menu-items" in dry["changes"]["qvm.features"]

    sandbox.clear_log()
    first = applied(minion, formula, *words)
    assert first["result"] is True, first["comment"]
    assert first["changes"] == dry["changes"]
    assert len(sandbox.log()) == FIRST_CALLS[formula]
    check_qube(sandbox, topology)

    sandbox.clear_log()
    second = applied(minion, formula, *words)
    assert second["result"] is True, second["comment"]
    assert second["changes"] == {}
    assert not sandbox.writing_calls()
    assert len(sandbox.log()) == SECOND_CALLS[formula]


def test_highstate_from_the_guides_top_file(sandbox, minion_for, guide):
    minion = minion_for(
        sandbox, options={"file_roots": {"base": ["/nowhere"], "user": [str(guide)]}}
    )
    (state,) = minion.apply()
    assert state["result"] is True, state["comment"]
    check_qube(sandbox, "bridge")


def test_plain_ports_of_r42(machine, minion_for, guide):
    sandbox = machine("plain-with-identities")
    minion = minion_for(sandbox, options={"file_roots": {"user": [str(guide)]}})
    (state,) = minion.apply("nvidia-driver", "saltenv=user")
    assert state["result"] is True, state["comment"]
    check_qube(sandbox, "root")


def test_a_device_that_is_not_there_is_an_error_before_any_write(sandbox, minion):
    for path in STATES.rglob("*"):
        if path.is_file():
            minion.write(str(path.relative_to(STATES)), path.read_text("utf-8"))
    pillar = '{"nvidia-driver": {"devices": ["09:00.0"]}}'
    ready, present = minion.apply("nvidia-driver", f"pillar={pillar}")
    assert ready["result"] is present["result"] is False
    assert "09:00.0" in ready["comment"] and "0000:01:00.0" in ready["comment"]
    assert not sandbox.writing_calls()


def children():
    """What the kernel charged to ended children, and the children that there are."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    alive = [task.joinpath("children").read_text() for task in Path("/proc/self/task").iterdir()]
    return usage.ru_minflt, "".join(alive)


def test_no_process_is_started_when_there_is_nothing_to_do(sandbox, minion):
    body = {"prefs": [{"label": "blue"}], "features": [{"set": [{"x": None}]}]}
    minion.one("qvm.vm", "work", body)  # Salt itself may start something the first time
    before = children()
    state = minion.one("qvm.vm", "work", body)
    assert state["result"] is True and state["changes"] == {}
    assert children() == before


def test_harmless_check(sandbox, minion):
    minion.write("test.sls", (STATES / "test.sls").read_text("utf-8"))
    (state,) = minion.apply("test")
    assert state["result"] is True
    assert [call.method for call in sandbox.log()] == ["admin.vm.List"]
