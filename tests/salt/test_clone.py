# SPDX-License-Identifier: GPL-3.0-or-later
"""qvm.clone and what qvm.present clones: all that qvm-clone copies, cleaned up where it breaks."""

from __future__ import annotations

import pytest
from rig import three_runs

CARD = "00_01.0-00_00.0"
IDENTITY = "0x10de:0x2504::p030000"
BEFORE = [
    ("admin.vm.property.Set+memory", "777"),
    ("admin.vm.property.Set+netvm", ""),
    ("admin.vm.feature.Set+menu-items", "a.desktop b.desktop"),
    ("admin.vm.feature.Set+off", ""),
    ("admin.vm.feature.Set+preload-dispvm-max", "2"),
    ("admin.vm.feature.Set+preload-dispvm-threshold", "500"),
    ("admin.vm.tag.Set+mine", ""),
    ("admin.vm.notes.Set", "two\nlines"),
    ("admin.vm.firewall.Set", "action=accept specialtarget=dns\naction=drop\n"),
    (f"admin.vm.device.pci.Assign+dom0+{CARD}+{IDENTITY.replace(':', '+')}",
     f"device_id='{IDENTITY}' port_id='{CARD}' devclass='pci' backend_domain='dom0' "
     "mode='required' _no-strict-reset='True'"),
]  # fmt: skip


@pytest.fixture
def source(sandbox):
    """work, with something of everything."""
    for method, payload in BEFORE:
        sandbox.ok(method, "work", payload)
    sandbox.clear_log()
    return sandbox


def values(sandbox, qube):
    lines = sandbox.ok("admin.vm.property.GetAll", qube).splitlines()
    return {line.split(" ")[0]: line.split(" ", 3)[3] for line in lines}


def content(sandbox, qube):
    """Where the content of each volume was cloned from."""
    volumes = sandbox.state()[qube]["volumes"]
    return {name: volume["content"] for name, volume in volumes.items() if "content" in volume}


@pytest.mark.parametrize("devices", [False, True])
def test_everything_is_copied(quick, source, devices):
    sls = "copy:\n  qvm.clone:\n    - source: work\n" + "    - devices: true\n" * devices
    (state,) = three_runs(quick, source, sls)
    new, old = values(source, "copy"), values(source, "work")
    for name in ("klass", "label", "template", "memory", "netvm", "virt_mode"):
        assert new[name] == old[name] or (name == "virt_mode" and not devices), name
    for feature, value in (("menu-items", "a.desktop b.desktop"), ("off", ""),
                           ("preload-dispvm-max", "2")):  # fmt: skip
        assert source.ok(f"admin.vm.feature.Get+{feature}", "copy") == value
    features = source.ok("admin.vm.feature.List", "copy").split()
    assert "preload-dispvm-threshold" not in features  # the source's own business
    assert "mine" in source.ok("admin.vm.tag.List", "copy").split()
    assert source.ok("admin.vm.notes.Get", "copy") == "two\nlines"
    rules = source.ok("admin.vm.firewall.Get", "copy")
    assert rules == source.ok("admin.vm.firewall.Get", "work") and "action=drop" in rules
    assert content(source, "copy") == {"private": "appvms/work/private"}
    lines = source.ok("admin.vm.device.pci.Assigned", "copy").splitlines()
    assert len(lines) == devices
    assert all("_no-strict-reset='True'" in line and IDENTITY in line for line in lines)
    copied = state["changes"]["qvm.clone"]["copy"]["new"]["copied"]
    assert copied["volumes"] == ["private"] and copied["notes"] == ["work"]
    assert copied["tags"] == ["mine"] and copied["firewall"] == ["work"]
    assert copied.get("devices") == ([CARD] if devices else None)


@pytest.mark.parametrize(
    ("function", "name", "body", "volumes"),
    [
        ("qvm.clone", "tpl", {"source": "fedora-41-xfce"}, {"root", "private"}),
        ("qvm.present", "whole", {"template": "fedora-41-xfce", "class": "StandaloneVM",
                                  "label": "red"}, {"root"}),
        ("qvm.present", "tpl", {"template": "fedora-41-xfce", "flags": ["hvm-template"],
                                "label": "red", "mem": 900}, {"root"}),
    ],
)  # fmt: skip
def test_which_volumes(quick, sandbox, function, name, body, volumes):
    assert quick.one(function, name, body)["result"] is True
    cloned = {call.arg for call in sandbox.log() if call.method == "admin.vm.volume.CloneTo"}
    assert cloned == volumes
    of = {volume: f"vm-templates/fedora-41-xfce/{volume}" for volume in volumes}
    assert content(sandbox, name) == of


@pytest.mark.parametrize(
    "method",
    ["property.Set", "tag.Set", "feature.Set", "notes.Set", "firewall.Set", "volume.CloneFrom",
     "volume.CloneTo", "device.pci.Assign"],
)  # fmt: skip
def test_it_is_cleaned_up_where_it_breaks(quick, source, method):
    before = source.state()
    source.faults([{"kind": "error", "match": f"admin.vm.{method}+"}])
    state = quick.one("qvm.clone", "copy", {"source": "work", "devices": True})
    source.faults()
    assert state["result"] is False and state["changes"] == {}, state
    assert method in state["comment"] and "copy was removed again" in state["comment"]
    assert set(source.state()) == set(before)
    assert not list((quick.cache / "qvm_gpu").glob("*copy*"))
    assert quick.one("qvm.clone", "copy", {"source": "work", "devices": True})["result"] is True


def test_a_source_that_runs(quick, sandbox):
    sandbox.ok("admin.vm.Start", "work")
    state = quick.one("qvm.clone", "copy", {"source": "work"}, test=True)
    assert "Source work is Running: it is cloned as it was" in state["comment"]
    for body in (
        {"source": "work", "shutdown": True},
        [{"source": "work"}, {"flags": ["shutdown"]}],
    ):
        dry = quick.one("qvm.clone", "copy", body, test=True)
        assert dry["changes"]["qvm.clone"]["work"] == {
            "power_state": {"old": "Running", "new": "Halted"}
        }
    assert not [call for call in sandbox.writing_calls() if call.method != "admin.vm.Start"]
    state = quick.one("qvm.clone", "copy", {"source": "work", "shutdown": True})
    assert state["result"] is True and state["changes"] == dry["changes"]
    assert sandbox.state()["work"]["power"] == "Halted"


def test_two_words_are_source_and_new_as_upstream_has_them(quick, sandbox):
    status = quick.ask("qvm.clone", "work", "copy")
    assert status.passed() and status.changes["qvm.clone"]["copy"]["new"]["source"] == "work"
    again = quick.ask("qvm.clone", "work", "copy")
    assert again.passed() and again.changes == {} and "'copy' already exists" in again.comment
    assert quick.ask("qvm.clone", "third", source="work").passed()
    assert {"copy", "third"} <= set(sandbox.state())


def test_dom0_cannot_be_cloned(quick, sandbox):
    state = quick.one("qvm.clone", "copy", {"source": "dom0"})
    assert state["result"] is False and state["changes"] == {}, state
    assert "copy" not in sandbox.state()
