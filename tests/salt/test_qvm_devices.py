# SPDX-License-Identifier: GPL-3.0-or-later
"""qvm.devices: what is attached, detached and listed, and that a second run changes nothing."""

from __future__ import annotations

import pytest

CARD = "00_01.0-00_00.0"
IDENTITY = "0x10de:0x2504::p030000"
NAME = f"pci:dom0:{CARD}"


def assigned(sandbox, qube="work", devclass="pci"):
    """The assignments without what every one has."""
    lines = sandbox.ok(f"admin.vm.device.{devclass}.Assigned", qube).splitlines()
    return [line.replace(f" frontend_domain='{qube}'", "") for line in lines]


def three_runs(sandbox, minion, body, changes):
    """Dry, first and second run: predicted, done, settled."""
    sandbox.clear_log()
    dry = minion.one("qvm.devices", "work", body, test=True)
    assert dry["result"] is None, dry["comment"]
    assert dry["changes"] == {"qvm.devices": changes}
    assert not sandbox.writing_calls()
    first = minion.one("qvm.devices", "work", body)
    assert first["result"] is True, first["comment"]
    assert first["changes"] == dry["changes"]
    sandbox.clear_log()
    second = minion.one("qvm.devices", "work", body)
    assert second["result"] is True, second["comment"]
    assert second["changes"] == {}
    assert "[SKIP] Device" in second["comment"]
    assert not sandbox.writing_calls()
    return first


@pytest.mark.parametrize(
    "written",
    [
        "pci:dom0:01:00.0", "pci:dom0:01_00.0", "pci:dom0:0000:01:00.0", NAME,
        f"{NAME}:{IDENTITY}", f"pci:dom0:*:{IDENTITY}", f"pci:dom0:01:00.0:{IDENTITY}",
    ],
)  # fmt: skip
def test_every_way_to_write_a_device(sandbox, minion, written):
    state = minion.one("qvm.devices", "work", {"attach": [written]})
    assert state["result"] is True, state["comment"]
    assert state["changes"] == {"qvm.devices": {NAME: {"old": None, "new": "[ATTACHED] ()"}}}
    (line,) = assigned(sandbox)
    assert line.startswith(f"dom0+{CARD}:{IDENTITY} ") and "mode='required'" in line
    again = minion.one("qvm.devices", "work", {"attach": [written]})
    assert again["changes"] == {}
    assert again["comment"] == f"[SKIP] Device already attached: {NAME} ()"
    gone = minion.one("qvm.devices", "work", {"detach": [written]})
    assert gone["changes"] == {"qvm.devices": {NAME: {"old": "[ATTACHED]", "new": "[DETACHED]"}}}
    assert assigned(sandbox) == []


def test_options_settle(sandbox, minion):
    """B10: bools, numbers and texts are what qubesd keeps of them; a false one is none (B9)."""
    options = [{"permissive": True}, {"no-strict-reset": False}, {"count": 3}, {"gone": None}]
    text = "[ATTACHED] (permissive=True, count=3)"
    three_runs(
        sandbox, minion, {"attach": [{"pci:dom0:01_00.0": options}]},
        {NAME: {"old": None, "new": text}},
    )  # fmt: skip
    assert assigned(sandbox)[0].endswith(" _permissive='True' _count='3'")
    three_runs(
        sandbox, minion, {"attach": {"pci:dom0:01_00.0": {"permissive": "False"}}},
        {NAME: {"old": text, "new": "[ATTACHED] ()"}},
    )  # fmt: skip
    assert [call.method.rpartition(".")[2] for call in sandbox.writing_calls()] == []


def test_modes(sandbox, minion):
    three_runs(
        sandbox, minion, {"attach": [{NAME: [{"mode": "auto-attach"}]}]},
        {NAME: {"old": None, "new": "[ATTACHED] (mode=auto-attach)"}},
    )  # fmt: skip
    assert "mode='auto-attach'" in assigned(sandbox)[0]
    # whoever names no mode leaves the one that is there, as upstream
    assert minion.one("qvm.devices", "work", {"attach": [NAME]})["changes"] == {}
    three_runs(
        sandbox, minion, {"attach": [{NAME: [{"mode": "required"}]}]},
        {NAME: {"old": "[ATTACHED] (mode=auto-attach)", "new": "[ATTACHED] ()"}},
    )  # fmt: skip


def test_detach_what_vanished(sandbox, minion):
    """What is stored is what counts: the hardware may be gone, its identity a made-up one."""
    ghost = "0000:0000::?******"
    for port, identity in (("09_00.0", "*"), (CARD, ghost)):
        arg = f"dom0+{port}" + ("" if identity == "*" else "+0000+0000++_______")
        sandbox.ok(
            f"admin.vm.device.pci.Assign+{arg}", "work",
            f"device_id='{identity}' port_id='{port}' devclass='pci' backend_domain='dom0' "
            "mode='required'",
        )  # fmt: skip
    body = {"detach": ["pci:dom0:09_00.0", "pci:dom0:01:00.0", "pci:dom0:0a_00.0"]}
    detached = {"old": "[ATTACHED]", "new": "[DETACHED]"}
    first = three_runs(sandbox, minion, body, {"pci:dom0:09_00.0": detached, NAME: detached})
    assert "[SKIP] Device not attached: pci:dom0:0a_00.0" in first["comment"]
    assert assigned(sandbox) == []


def test_what_was_at_the_port_gives_way(sandbox, minion):
    """B15: upstream's ghost at the card's port keeps the qube from starting."""
    sandbox.ok(
        f"admin.vm.device.pci.Assign+dom0+{CARD}+0000+0000++_______", "work",
        f"device_id='0000:0000::?******' port_id='{CARD}' devclass='pci' backend_domain='dom0' "
        "mode='required'",
    )  # fmt: skip
    state = minion.one("qvm.devices", "work", {"attach": [NAME]})
    assert state["result"] is True and "was another device" in state["comment"]
    (line,) = assigned(sandbox)
    assert IDENTITY in line
    sandbox.ok("admin.vm.Start", "work")


def test_other_classes_and_backends(sandbox, minion):
    three_runs(
        sandbox, minion, {"attach": [{"block:sys-net:sda": {"read-only": True}}]},
        {"block:sys-net:sda": {"old": None, "new": "[ATTACHED] (read-only=True)"}},
    )  # fmt: skip
    asked = {call.method for call in sandbox.log()}
    assert asked == {"admin.vm.device.block.Assigned"}  # the class that is named, nothing else
    (line,) = assigned(sandbox, devclass="block")
    assert line.startswith("sys-net+sda:* ")


def test_list(sandbox, minion):
    minion.one("qvm.devices", "work", {"attach": [{NAME: [{"permissive": True}]}]})
    minion.one("qvm.devices", "work", {"attach": ["block:dom0:sda"]})
    for body in ({}, {"list": []}, {"list": None}):
        sandbox.clear_log()
        state = minion.one("qvm.devices", "work", body)
        assert state["result"] is True and state["changes"] == {}
        assert state["comment"].splitlines() == ["block:dom0:sda ()", f"{NAME} (permissive=True)"]
        asked = [call.method for call in sandbox.log()]
        assert "admin.deviceclass.List" in asked and len(asked) <= 4
    only = minion.one("qvm.devices", "work", {"list": ["block"]})
    assert only["comment"] == "block:dom0:sda ()"


def test_words_of_a_command_line(sandbox, minion):
    out = minion.call("qvm.devices", "work", "attach", "pci:dom0:01_00.0")
    assert out["retcode"] == 0, out
    assert len(assigned(sandbox)) == 1
    out = minion.call("qvm.devices", "work", "detach", "pci:dom0:01_00.0")
    assert out["retcode"] == 0 and assigned(sandbox) == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"attach": ["pci:dom0:0b:00.0"]}, ["no PCI device 0b:00.0", "0000:01:00.0"]),
        ({"attach": [f"{NAME}:0x10de:0x9999::p030000"]}, ["its identity is", "0x9999"]),
        ({"attach": ["pci:dom0:*:0x1:0x2::p030000"]}, ["dom0 has no PCI device"]),
        ({"attach": ["01:00.0"]}, ["CLASS:BACKEND:PORT"]),
        ({"attach": ["pci:dom0"]}, ["CLASS:BACKEND:PORT"]),
        ({"attach": ["PCI:dom0:01_00.0"]}, ["no device class"]),
        ({"attach": [3]}, ["CLASS:BACKEND:PORT"]),
        ({"attach": [{NAME: [{"mode": "manual"}]}]}, ["required, auto-attach"]),
        ({"attach": [{NAME: [{"permissive": [1]}]}]}, ["permissive", "one value"]),
        ({"attach": [{NAME: [{"a b": 1}]}]}, ["'a b' is no option"]),
        ({"attach": [{NAME: ["permissive"]}]}, ["'permissive' is no option: value"]),
        ({"attach": [{NAME: [{"x": "a\\b"}]}]}, ["backslash"]),
        ({"attach": ["block:nosuch:sda"]}, ["there is no qube nosuch"]),
        ({"attach": ["block:sys-net:sda:id1"]}, ["sys-net offers no block device sda:id1"]),
        ({"attach": ["usb:sys-net:2-1"]}, ["devices: 'usb' is no device class of this qubesd"]),
        ({"attach": [NAME], "detach": ["pci:dom0:01:00.1"]}, []),
    ],
)  # fmt: skip
def test_bad_input_writes_nothing(sandbox, minion, body, words):
    for test in (True, False):
        if not words and not test:
            continue
        state = minion.one("qvm.devices", "work", body, test=test)
        if words and not (test and "there is no" in words[0]):
            assert state["result"] is False, state
            for word in words:
                assert word in state["comment"], state["comment"]
        assert "Traceback" not in state["comment"]
        assert not sandbox.writing_calls()


def test_contradictions_and_mismatches(sandbox, minion):
    minion.one("qvm.devices", "work", {"attach": [NAME]})
    sandbox.clear_log()
    both = minion.one("qvm.devices", "work", {"attach": [NAME], "detach": ["pci:dom0:01:00.0"]})
    assert both["result"] is False and "attached and detached" in both["comment"]
    other = minion.one("qvm.devices", "work", {"detach": [f"{NAME}:0x1:0x2::p030000"]})
    assert other["result"] is False and "what is assigned there is" in other["comment"]
    assert not sandbox.writing_calls()
    missing = minion.one("qvm.devices", "nosuch", {"attach": [NAME]})
    assert missing["result"] is False and "does not exist" in missing["comment"]


def test_a_failure_half_way_says_what_was_done(sandbox, minion):
    minion.one("qvm.devices", "work", {"attach": [NAME]})
    sandbox.faults([{"kind": "empty", "match": "admin.vm.device.pci.Assign+"}])
    state = minion.one("qvm.devices", "work", {"attach": [{NAME: {"permissive": True}}]})
    sandbox.faults()
    assert state["result"] is False
    assert state["changes"]["qvm.devices"][NAME]["old"] == "[ATTACHED] ()"
    assert "admin.vm.device.pci.Assign" in state["comment"]
    again = minion.one("qvm.devices", "work", {"attach": [{NAME: {"permissive": True}}]})
    assert again["result"] is True, again["comment"]
    assert "_permissive='True'" in assigned(sandbox)[0]


def test_taken_by_another_qube_of_this_run(sandbox, minion):
    state = minion.high(
        f"a:\n  qvm.devices:\n    - name: work\n    - attach: ['{NAME}']\n"
        f"b:\n  qvm.devices:\n    - name: personal\n    - attach: ['{NAME}']\n"
    )[1]
    assert state["result"] is True
    assert "also assigned to work by this run" in state["comment"]
