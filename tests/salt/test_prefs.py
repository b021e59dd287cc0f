# SPDX-License-Identifier: GPL-3.0-or-later
"""qvm.prefs: any property, written in an order that qubesd takes, and no two that contradict."""

from __future__ import annotations

import itertools

import pytest
import yaml
from rig import three_runs

CARD = "00_01.0-00_00.0"
IDENTITY = "0x10de:0x2504::p030000"
ASSIGN = (
    f"admin.vm.device.pci.Assign+dom0+{CARD}+{IDENTITY.replace(':', '+')}",
    f"device_id='{IDENTITY}' port_id='{CARD}' devclass='pci' backend_domain='dom0' mode='required'",
)


def values(sandbox, qube="work"):
    lines = sandbox.ok("admin.vm.property.GetAll", qube).splitlines()
    return {line.split(" ")[0]: line.split(" ", 3)[3] for line in lines}


def defaults(sandbox, qube="work"):
    lines = sandbox.ok("admin.vm.property.GetAll", qube).splitlines()
    return {line.split(" ")[0] for line in lines if " default=True " in line}


def give_card(sandbox, qube="work"):
    sandbox.ok(ASSIGN[0], qube, ASSIGN[1])
    sandbox.clear_log()


def assigned(sandbox, qube="work"):
    return sandbox.ok("admin.vm.device.pci.Assigned", qube).splitlines()


def state_of(body, function="qvm.prefs", name="work"):
    return yaml.safe_dump({"t": {function: [{"name": name}, *body]}}, sort_keys=False)


# -- which properties


@pytest.mark.parametrize("qube", ["work", "fedora-41-xfce", "default-dvm", "sys-net"])
def test_every_property_that_qubesd_lists_is_a_key(quick, sandbox, qube):
    """Not only those of a table: each in both spellings, reset as far as a dry run goes."""
    names = set(values(sandbox, qube)) - {"name"}  # which is the state's own key
    assert len(names) > 30
    for name in names:
        for key in {name, name.replace("_", "-")}:
            state = quick.one("qvm.prefs", qube, {key: "*default*"}, test=True)
            assert "Unknown key" not in state["comment"], (key, state)
            assert state["result"] is not False, (key, state)


def test_those_that_upstream_does_not_know(quick, sandbox):
    names = {"shutdown_timeout": 99, "qrexec-timeout": "88", "stubdom-mem": 222, "vcpus": 3}
    known = {key: value for key, value in names.items() if key.replace("-", "_") in values(sandbox)}
    assert len(known) >= 3
    three_runs(quick, sandbox, state_of([{key: value} for key, value in known.items()]))
    got = values(sandbox)
    assert all(got[key.replace("-", "_")] == str(value) for key, value in known.items())


def test_a_word_for_the_default(quick, sandbox):
    sandbox.ok("admin.vm.property.Set+memory", "work", "400")  # what the default is anyway
    sandbox.ok("admin.vm.property.Set+netvm", "work", "")
    three_runs(quick, sandbox, state_of([{"memory": "*default*"}, {"netvm": "*default*"}]))
    assert {"memory", "netvm"} <= defaults(sandbox)
    # a value that is what the default happens to be is one of the qube's own
    three_runs(quick, sandbox, state_of([{"memory": 400}]))
    assert "memory" not in defaults(sandbox)


@pytest.mark.parametrize("nothing", ["none", "None", "", None])
@pytest.mark.parametrize(
    "name", ["netvm", "default_dispvm", "guivm", "audiovm", "management-dispvm"]
)
def test_no_qube(quick, sandbox, name, nothing):
    three_runs(quick, sandbox, state_of([{name: nothing}]))
    assert values(sandbox)[name.replace("-", "_")] == ""
    assert name.replace("-", "_") not in defaults(sandbox)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("disp", [{"autostart": True}, {"default_dispvm": ""}, {"netvm": "sys-firewall"}]),
        ("fedora-41-xfce", [{"memory": 600}, {"include_in_backups": False}, {"netvm": ""}]),
        ("work", [{"template": "fedora-41-xfce"}, {"dispvm-allowed": True}]),
    ],
)
def test_each_class(quick, sandbox, name, body):
    if name == "disp":
        sandbox.ok("admin.vm.Create.DispVM+default-dvm", "dom0", "name=disp label=red")
    three_runs(quick, sandbox, state_of(body, name=name))


@pytest.mark.parametrize(
    ("function", "body"),
    [
        ("qvm.features", [{"set": [{"qubes-vm-update-max-concurrency": 4}]}, {"enable": ["a"]}]),
        ("qvm.tags", [{"add": ["mine"]}]),
    ],
)
def test_dom0_is_a_target(quick, sandbox, function, body):
    three_runs(quick, sandbox, state_of(body, function, "dom0"))


def test_values_that_are_asked_for(quick, sandbox):
    assert quick.ask("qvm.prefs", "work", "label", "memory").data == {
        "label": "blue",
        "memory": 400,
    }
    assert quick.ask("qvm.prefs", "work", get=["label"]).data == {"label": "blue"}
    every = quick.ask("qvm.prefs", "work")
    assert set(every.data) == set(values(sandbox))
    for body in ({"action": "list"}, {"list": []}, {"action": "gry"}):
        assert quick.ask("qvm.prefs", "work", **body).data == every.data
    wrong = quick.ask("qvm.prefs", "work", "colour")
    assert wrong.failed() and wrong.comment.endswith(": Invalid key!")
    assert not sandbox.writing_calls()


# -- the order of writes


ORDERS = {
    "hvm before devices": [{"virt_mode": "hvm"}, {"pcidevs": ["01:00.0"]}, {"kernel": ""}],
    "up": [{"memory": 9000}, {"maxmem": 12000}, {"vcpus": 3}],
    "down": [{"memory": 200}, {"maxmem": 300}, {"vcpus": 1}],
    "disposables of its own": [
        {"default_dispvm": "work"}, {"template_for_dispvms": True}, {"management_dispvm": "work"},
    ],
    "a network for others": [{"netvm": "none"}, {"provides-network": True}, {"autostart": True}],
    "pvh when the devices are gone": [{"virt_mode": "pvh"}, {"pcidevs": []}, {"exact": True}],
}  # fmt: skip


@pytest.mark.parametrize("what", ORDERS)
def test_the_order_of_yaml_does_not_matter(quick, sandbox, what):
    ends, written = [], []
    for body in itertools.permutations(ORDERS[what]):
        sandbox.reset()
        if what.startswith("pvh"):
            give_card(sandbox)
        if what == "down":
            sandbox.ok("admin.vm.property.Set+maxmem", "work", "4000")
            sandbox.ok("admin.vm.property.Set+memory", "work", "900")
            sandbox.clear_log()
        state = quick.one("qvm.prefs", "work", list(body))
        assert state["result"] is True and state["changes"], (body, state)
        written.append([call.arg.partition("+")[0] for call in sandbox.writing_calls()])
        ends.append((values(sandbox), assigned(sandbox)))
        assert quick.one("qvm.prefs", "work", list(body))["changes"] == {}
    assert all(end == ends[0] for end in ends)
    first = written[0]
    if what in ("up", "down"):
        assert (
            first.index("maxmem") < first.index("memory")
            if what == "up"
            else (first.index("memory") < first.index("maxmem"))
        )


def test_taking_away_comes_last(quick, sandbox):
    """The other way round: what needed it is let go of first."""
    body = [{"default_dispvm": "work"}, {"template_for_dispvms": True}]
    assert quick.one("qvm.prefs", "work", body)["result"] is True
    sandbox.clear_log()
    three_runs(
        quick, sandbox, state_of([{"template_for_dispvms": False}, {"default_dispvm": "none"}])
    )


def test_pvh_waits_for_the_devices_of_the_same_state(quick, sandbox):
    """prefs come before devices, and qubesd refuses pvh as long as one is assigned."""
    give_card(sandbox)
    body = [{"prefs": [{"virt_mode": "pvh"}]}, {"devices": [{"detach": ["pci:dom0:01:00.0"]}]}]
    (state,) = three_runs(quick, sandbox, state_of(body, "qvm.vm"))
    assert list(state["changes"]) == ["qvm.devices", "qvm.prefs"]
    assert values(sandbox)["virt_mode"] == "pvh" and assigned(sandbox) == []


def test_pvh_is_not_lost_where_no_device_is_given(quick, sandbox):
    body = [{"prefs": [{"virt_mode": "pvh"}]}, {"devices": [{"attach": []}]}]
    sandbox.ok("admin.vm.property.Set+virt_mode", "work", "hvm")
    (state,) = three_runs(quick, sandbox, state_of(body, "qvm.vm"))
    assert state["changes"] == {"qvm.prefs": {"virt_mode": {"old": "hvm", "new": "pvh"}}}


# -- what contradicts itself


OFF = [
    {"service": [{"disable": ["meminfo-writer"]}]},
    {"features": [{"disable": ["service.meminfo-writer"]}]},
    {"features": [{"set": [{"service.meminfo-writer": False}]}]},
]
ON = [
    {"prefs": [{"maxmem": 800}]},
    {"prefs": [{"set": [{"maxmem": "800"}]}]},
    {"prefs": [{"maxmem": "*default*"}]},
]


@pytest.mark.parametrize("off", OFF)
@pytest.mark.parametrize("on", ON)
def test_maxmem_and_no_meminfo_writer(quick, sandbox, off, on):
    for test in (True, False):
        state = quick.one("qvm.vm", "work", [on, off], test)
        assert state["result"] is False and state["changes"] == {}, state
        assert "maxmem" in state["comment"] and "meminfo-writer" in state["comment"]
    assert not sandbox.writing_calls()


@pytest.mark.parametrize("off", OFF)
def test_what_the_daemon_couples_settles(quick, sandbox, off):
    three_runs(quick, sandbox, state_of([off], "qvm.vm"))
    assert values(sandbox)["maxmem"] == "0"
    three_runs(quick, sandbox, state_of([{"vcpus": 3}]))
    body = [off, {"prefs": [{"maxmem": 0}, {"memory": 700}]}]
    three_runs(quick, sandbox, state_of(body, "qvm.vm"))


@pytest.mark.parametrize(
    ("body", "words", "card"),
    [
        ([{"prefs": [{"virt_mode": "pvh"}, {"pcidevs": ["01:00.0"]}]}], "pcidevs", False),
        ([{"prefs": [{"virt-mode": "PVH"}, {"pcidevs": []}]}], "pcidevs", True),
        ([{"prefs": [{"virt_mode": "pvh"}]}], "devices", True),
        (
            [
                {"prefs": [{"virt_mode": "pvh"}]},
                {"devices": [{"attach": ["pci:dom0:01:00.0"]}]},
            ],
            "devices",
            False,
        ),
    ],
)
def test_pvh_and_pci_devices(quick, sandbox, body, words, card):
    if card:
        give_card(sandbox)
    for test in (True, False):
        state = quick.one("qvm.vm", "work", body, test)
        assert state["result"] is False and state["changes"] == {}, state
        assert f"virt_mode: pvh and PCI devices ({words}: {CARD})" in state["comment"], state
    assert not sandbox.writing_calls()


def test_a_change_of_options_tells_both(quick, sandbox):
    """Where only options change, ports alone would be the same before and after."""
    quick.one("qvm.prefs", "work", {"pcidevs": ["01:00.0"]})
    on, off = f"{CARD} (no-strict-reset=True)", CARD
    for strict, old, new in ((False, off, on), (True, on, off)):
        body = [{"pcidevs": ["01:00.0"]}, {"pci_strictreset": strict}]
        (state,) = three_runs(quick, sandbox, state_of(body))
        assert state["changes"] == {"qvm.prefs": {"pcidevs": {"old": [old], "new": [new]}}}
        texts = (old[len(CARD) + 1 :] or "()", new[len(CARD) + 1 :] or "()")
        assert f"again with other options: {CARD} {texts[0]} -> {texts[1]}" in state["comment"]
    body = [{"pcidevs": ["01:00.0", "01:00.1"]}, {"pci_strictreset": False}]
    (state,) = three_runs(quick, sandbox, state_of(body))
    both = [on, f"{CARD[:-1]}1 (no-strict-reset=True)"]
    assert state["changes"]["qvm.prefs"]["pcidevs"] == {"old": [off], "new": both}
    body = [{"pcidevs": ["01:00.0", "01:00.1", "00:14.0"]}]
    (state,) = three_runs(quick, sandbox, state_of(body))  # no options change: ports alone
    assert state["changes"]["qvm.prefs"]["pcidevs"]["old"] == [CARD, f"{CARD[:-1]}1"]


def test_two_spellings(quick, sandbox):
    for body in (
        {"default-dispvm": "default-dvm", "default_dispvm": "none"},
        {"dispvm-allowed": True, "template_for_dispvms": False},
        {"mem": 500, "memory": 600},
    ):
        state = quick.one("qvm.prefs", "work", body)
        assert state["result"] is False and "two spellings" in state["comment"]
        assert all(key in state["comment"] for key in body)
    assert not sandbox.writing_calls()


# -- cards


@pytest.mark.parametrize(
    "written",
    [
        "01:00.0", "0000:01:00.0", "01_00.0", CARD, f"{CARD}:{IDENTITY}", f"01:00.0:{IDENTITY}",
        f"01_00.0:{IDENTITY}", "01:00.0:*", f"*:{IDENTITY}",
    ],
)  # fmt: skip
def test_every_way_to_write_a_card(quick, sandbox, written):
    (state,) = three_runs(quick, sandbox, state_of([{"pcidevs": [written]}]))
    assert state["changes"] == {"qvm.prefs": {"pcidevs": {"old": [], "new": [CARD]}}}
    (line,) = assigned(sandbox)
    assert line.startswith(f"dom0+{CARD}:{IDENTITY} ") and "mode='required'" in line
    three_runs(quick, sandbox, state_of([{"pcidevs": [written, "00:14.0"]}]))
    # a list that is shorter takes nothing away, unless it is to be exact
    assert quick.one("qvm.prefs", "work", {"pcidevs": [written]})["changes"] == {}
    assert quick.one("qvm.prefs", "work", {"pcidevs": []})["changes"] == {}
    three_runs(quick, sandbox, state_of([{"pcidevs": written}, {"exact": True}]))
    assert len(assigned(sandbox)) == 1


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (f"{CARD}:0x10de:0x9999::p030000", "its identity is 0x10de:0x2504::p030000"),
        ("*:0x10de:0x9999::p030000", "dom0 has no PCI device *:0x10de:0x9999::p030000"),
        ("09_00.0", "dom0 has no PCI device 09_00.0"),
        ("card", "dom0 has no PCI device card"),
        ("01:00.0:", "expected a BDF"),
        ("", "a list of names"),
    ],
)
def test_what_is_not_this_card_is_no_card(quick, sandbox, written, words):
    for test in (True, False):
        state = quick.one("qvm.prefs", "work", {"memory": 500, "pcidevs": [written]}, test)
        assert state["result"] is False and words in state["comment"], state
    assert not sandbox.writing_calls()


# -- a card that somebody else has


def test_a_card_that_another_qube_has(quick, sandbox, attached_elsewhere):
    """What Available says, and what this run did; asking every qube is for qvm_gpu.cards."""
    for function, body in (
        ("qvm.prefs", {"pcidevs": ["01:00.0"]}),
        ("qvm.devices", {"attach": ["pci:dom0:01:00.0"]}),
    ):
        state = attached_elsewhere.one(function, "work", body, test=True)
        assert state["result"] is None, state
        assert f"Device {CARD} is attached to personal now." in state["comment"]
    both = "".join(
        state_of([{"pcidevs": ["01:00.0"]}], name=name).replace("t:", f"{name}:", 1)
        for name in ("work", "personal")
    )
    for test in (True, False):
        second = quick.high(both, test)[1]
        assert second["result"] is (None if test else True)
        assert f"Device {CARD} is also assigned to work by this run" in second["comment"]
