# SPDX-License-Identifier: GPL-3.0-or-later
"""The known faults of upstream's qvm 4.3.6, by their numbers: what it does, and what ours does.

Upstream's behaviour is what was seen when its unmodified module ran; docs/upstream.md has the table.
"""

from __future__ import annotations

import re

import pytest
from rig import no_process, three_runs

CARD = "00_01.0-00_00.0"
AUDIO = "00_01.0-00_00.1"
IDENTITY = "0x10de:0x2504::p030000"


def methods(sandbox):
    """The writing calls, in their order."""
    return [call.method.removeprefix("admin.vm.") for call in sandbox.writing_calls()]


def shown(sandbox, name, qube="work"):
    """A property as qubesd answers it."""
    return sandbox.ok(f"admin.vm.property.Get+{name}", qube)


def assignments(sandbox, qube="work"):
    return sandbox.ok("admin.vm.device.pci.Assigned", qube).splitlines()


def assign(sandbox, options="", identity=IDENTITY, mode="required"):
    """Assign the card to work, as another program did before."""
    product = identity.replace("::", "++").replace(":", "+")
    sandbox.ok(
        f"admin.vm.device.pci.Assign+dom0+{CARD}+{product}", "work",
        f"device_id='{identity}' port_id='{CARD}' devclass='pci' backend_domain='dom0' "
        f"mode='{mode}' {options}".rstrip(),
    )  # fmt: skip
    sandbox.clear_log()


def settled(minion, sandbox, function, body, name="work"):
    """The second run of a state changes nothing and writes nothing."""
    sandbox.clear_log()
    state = minion.one(function, name, body)
    assert state["result"] is True and state["changes"] == {}, state
    assert not sandbox.writing_calls()


def test_b1_prefs_and_devices_write_in_a_dry_run(quick, sandbox):
    """Upstream: Property.Set and Assign are sent although test is True."""
    for function, body in (
        ("qvm.prefs", {"memory": 555, "pcidevs": ["01:00.0"]}),
        ("qvm.devices", {"attach": ["pci:dom0:01:00.0"]}),
    ):
        state = quick.one(function, "work", body, test=True)
        assert state["result"] is None and state["changes"], state
    assert not sandbox.writing_calls()
    assert assignments(sandbox) == []


def test_b2_halted_is_always_true(quick, sandbox):
    """Upstream: True for a running qube."""
    sandbox.ok("admin.vm.Start", "work")
    state = quick.one("qvm.halted", "work")
    assert state["result"] is False and "Running" in state["comment"]
    assert quick.one("qvm.halted", "personal")["result"] is True
    assert quick.one("qvm.halted", "nosuch")["result"] is True  # as upstream


@pytest.mark.parametrize(
    "body", [{}, {"label": "pink"}, {"label": "red", "template": "nosuch", "class": "StandaloneVM"}]
)
def test_b3_a_failed_creation_is_a_success(quick, sandbox, body):
    """Upstream: result True, the tool's words in the comment."""
    state = quick.one("qvm.present", "new", body)
    assert state["result"] is False and state["changes"] == {} and state["comment"]
    assert "new" not in sandbox.state()


def test_b4_the_same_pcidevs_again(quick, sandbox):
    """Upstream: the second run unassigns the card and ends in a ValueError, the third assigns."""
    body = [{"virt_mode": "hvm"}, {"pcidevs": ["01:00.0"]}, {"pci_strictreset": False}]
    assert quick.one("qvm.prefs", "work", body)["result"] is True
    for _ in range(2):
        settled(quick, sandbox, "qvm.prefs", body)
        (line,) = assignments(sandbox)
        assert "_no-strict-reset='True'" in line


def test_b5_detach_is_a_traceback(quick, sandbox):
    """Upstream: TypeError, always."""
    assign(sandbox)
    state = quick.one("qvm.devices", "work", {"detach": ["pci:dom0:01_00.0"]})
    change = {"old": "[ATTACHED]", "new": "[DETACHED]"}
    assert state["changes"] == {"qvm.devices": {f"pci:dom0:{CARD}": change}}
    assert assignments(sandbox) == []
    settled(quick, sandbox, "qvm.devices", {"detach": ["pci:dom0:01_00.0"]})


def test_b6_a_list_of_devices_as_a_state_is_a_traceback(quick, sandbox):
    """Upstream: TypeError, as the plain dict is no Status."""
    assign(sandbox)
    state = quick.one("qvm.devices", "work", {"list": []})
    assert state["result"] is True
    assert state["comment"] == f"pci:dom0:{CARD} ()"


@pytest.mark.parametrize("empty", [None, []])
def test_b7_an_empty_list_writes_an_empty_name(quick, sandbox, empty):
    """Upstream: feature.Set and tag.Set with an empty argument."""
    for function, key in (
        ("qvm.features", "enable"), ("qvm.features", "disable"), ("qvm.features", "default"),
        ("qvm.service", "enable"), ("qvm.tags", "add"), ("qvm.tags", "del"),
    ):  # fmt: skip
        settled(quick, sandbox, function, {key: empty})


@pytest.mark.parametrize("key", ["pci-strictreset", "pci_strictreset"])
def test_b8_the_hyphen_has_no_effect(quick, sandbox, key):
    """Upstream: with the hyphen the card is assigned without the option."""
    body = {"virt_mode": "hvm", "pcidevs": ["01:00.0"], key: False}
    assert quick.one("qvm.prefs", "work", body)["result"] is True
    assert "_no-strict-reset='True'" in assignments(sandbox)[0]


def test_b9_strictreset_true_never_settles(quick, sandbox):
    """Upstream: writes no-strict-reset='False', which is a text and so counts as on."""
    assign(sandbox, options="_no-strict-reset='False'")
    body = {"pcidevs": ["01:00.0"], "pci_strictreset": True}
    assert quick.one("qvm.prefs", "work", body)["result"] is True
    assert methods(sandbox) == ["device.pci.Unassign", "device.pci.Assign"]
    (line,) = assignments(sandbox)
    assert "no-strict-reset" not in line
    settled(quick, sandbox, "qvm.prefs", body)


@pytest.mark.parametrize("value", [True, "True"])
def test_b10_options_as_booleans_never_settle(quick, sandbox, value):
    """Upstream: True is never equal to 'True', so the card is taken off and put back every run."""
    body = {"attach": [{"pci:dom0:01_00.0": [{"permissive": value}]}]}
    assert quick.one("qvm.devices", "work", body)["result"] is True
    assert "_permissive='True'" in assignments(sandbox)[0]
    settled(quick, sandbox, "qvm.devices", body)


@pytest.mark.parametrize(("value", "text"), [(True, "1"), (False, ""), (15, "15"), ("x y", "x y")])
def test_b11_features_as_numbers_never_settle(quick, sandbox, value, text):
    """Upstream: 15 is never equal to '15', so it is written and reported in every run."""
    body = {"set": [{"a-feature": value}]}
    assert quick.one("qvm.features", "work", body)["changes"]
    assert sandbox.ok("admin.vm.feature.Get+a-feature", "work") == text
    settled(quick, sandbox, "qvm.features", body)


@pytest.mark.parametrize("value", [400, "400"])
def test_b12_a_number_as_a_text_is_always_a_change(quick, sandbox, value):
    """Upstream: '400' is not 400."""
    sandbox.ok("admin.vm.property.Set+memory", "work", "400")
    sandbox.ok("admin.vm.property.Set+autostart", "work", "True")
    settled(quick, sandbox, "qvm.prefs", {"memory": value, "autostart": "true"})


@pytest.mark.parametrize("value", [None, ""])
def test_b13_no_kernel_is_always_a_change(quick, sandbox, value):
    """Upstream: old '' and new None, in every run."""
    body = [{"virt_mode": "hvm"}, {"kernel": value}]
    first = quick.one("qvm.prefs", "work", body)
    assert first["changes"]["qvm.prefs"]["kernel"] == {"old": "*default*", "new": None}
    assert shown(sandbox, "kernel") == "default=False type=str "
    settled(quick, sandbox, "qvm.prefs", body)


def test_b14_unknown_keys_are_dropped_silently(quick, sandbox):
    """Upstream: no word about them. They do not fail a state here either."""
    for function, name, body, words in (
        ("qvm.present", "work", {"label": "blue", "maxmem": 4000}, "present: maxmem"),
        ("qvm.features", "work", {"ipv6": ""}, "features: ipv6"),
        ("qvm.prefs", "work", {"memroy": 5}, "memroy (did you mean memory?)"),
        ("qvm.tags", "work", {"ad": ["x"]}, "ad (did you mean add?)"),
    ):
        state = quick.one(function, name, body)
        assert state["result"] is True and words in state["comment"], state
    assert not sandbox.writing_calls()


@pytest.mark.parametrize(
    ("function", "body"),
    [
        ("qvm.prefs", {"memory": 555, "pcidevs": ["09:00.0"]}),
        ("qvm.devices", {"attach": ["pci:dom0:09_00.0"]}),
    ],
)
def test_b15_a_device_that_is_not_there_is_assigned(quick, sandbox, function, body):
    """Upstream: assigned with the identity 0000:0000::?******, and the qube cannot start."""
    state = quick.one(function, "work", body)
    assert state["result"] is False
    assert "dom0 has no PCI device" in state["comment"] and "0000:01:00.0" in state["comment"]
    assert not sandbox.writing_calls()


def test_b16_no_changes_for_power_creation_and_removal(quick, sandbox):
    """Upstream: changes is empty, so watch and onchanges never fire."""
    new = {"label": "red", "template": "fedora-41-xfce"}
    for function, body, key in (
        ("qvm.present", new, "new"), ("qvm.start", None, "power_state"),
        ("qvm.pause", None, "power_state"), ("qvm.unpause", None, "power_state"),
        ("qvm.shutdown", None, "power_state"), ("qvm.start", None, "power_state"),
        ("qvm.kill", None, "power_state"), ("qvm.absent", None, "new"),
        ("qvm.clone", {"source": "work"}, "new"),
    ):  # fmt: skip
        state = quick.one(function, "new", body)
        assert state["result"] is True, state
        (change,) = state["changes"][function].values()
        assert list(state["changes"][function]) == [key] and change["old"] != change["new"]


def test_b17_flags_that_are_documented_and_not_implemented(quick, sandbox):
    """Upstream: its README lists flags that no code reads; switches written as keys are errors.

    Here such a flag is named, and a switch may be a key.
    """
    body = [{"label": "red"}, {"flags": ["internal", "force-root", "no-guid", "tray", "quiet"]}]
    state = quick.one("qvm.present", "new", body)
    assert state["result"] is True and "Unknown flag ignored: present: internal" in state["comment"]
    state = quick.one("qvm.start", "new", [{"flags": ["no-guid", "tray", "dvm"]}])
    assert state["result"] is True and "Unknown flag ignored: start: dvm" in state["comment"]
    assert quick.one("qvm.clone", "copy", [{"source": "new"}, {"shutdown": True}])["result"] is True
    assert sandbox.state()["new"]["power"] == "Halted"


def test_b18_a_dry_run_of_create_then_configure_fails(quick, sandbox):
    """Upstream: 'Virtual Machine does not exist!' for everything after present."""
    body = [
        {"present": [{"label": "red"}, {"template": "fedora-41-xfce"}]},
        {"prefs": [{"memory": 500}, {"netvm": "none"}]},
        {"features": [{"enable": ["internal"]}]},
        {"tags": [{"add": ["mine"]}]},
    ]
    state = quick.one("qvm.vm", "new", body, test=True)
    assert state["result"] is None, state
    assert set(state["changes"]) == {"qvm.present", "qvm.prefs", "qvm.features", "qvm.tags"}
    assert not sandbox.writing_calls()
    assert quick.one("qvm.vm", "new", body)["changes"] == state["changes"]


def test_b19_a_failure_becomes_none_in_a_dry_run(quick):
    """Upstream: missing fails, then exists passes with None, and None is what is left."""
    body = [{"missing": []}, {"exists": []}, {"actions": ["missing", "exists"]}]
    state = quick.one("qvm.vm", "work", body, test=True)
    assert state["result"] is False and "Qube work exists" in state["comment"]


def test_b20_a_comment_that_is_a_tuple(quick):
    """Upstream: ('Template ... installed',). See test_programs for an installation itself."""
    state = quick.one("qvm.template_installed", "fedora-41-xfce")
    assert state["comment"] == "Template fedora-41-xfce already installed"
    assert isinstance(quick.one("qvm.template_installed", "new", test=True)["comment"], str)


def test_b21_paused_qubes(quick, sandbox):
    """Upstream: starts again after unpausing; a shutdown only unpauses, and fails.

    One that is starting is in test_power.
    """
    for function, expected in (
        ("qvm.start", ["Unpause"]),
        ("qvm.shutdown", ["Unpause", "Shutdown"]),
        ("qvm.kill", ["Kill"]),
    ):
        sandbox.ok("admin.vm.Start", "work")
        sandbox.ok("admin.vm.Pause", "work")
        sandbox.clear_log()
        assert quick.one(function, "work")["result"] is True
        assert methods(sandbox) == expected


def test_b22_changes_of_prefs_are_called_create(quick):
    """Upstream: {'qvm.create': ...}, and in qvm.vm {'qvm.prefs': {'qvm.create': ...}}."""
    change = {"memory": {"old": "*default*", "new": 555}}
    state = quick.one("qvm.prefs", "work", {"memory": 555}, test=True)
    assert state["changes"] == {"qvm.prefs": change}
    state = quick.one("qvm.vm", "work", {"prefs": [{"memory": 555}]}, test=True)
    assert state["changes"] == {"qvm.prefs": change}


def test_b23_two_calls_a_key_and_a_program_a_check(quick, sandbox):
    """Upstream: 1 to 14 lists and 2 Gets a key; exists, present, start and others start tools."""
    sandbox.clear_log()
    keys = {"memory": 400, "vcpus": 2, "label": "blue", "netvm": "sys-firewall", "maxmem": 4000}
    with no_process():
        quick.one("qvm.prefs", "work", keys, test=True)
        assert [call.method for call in sandbox.log()] == ["admin.vm.property.GetAll"]
        quick.one("qvm.present", "new", {"label": "red"})
        for function in ("qvm.start", "qvm.shutdown", "qvm.exists", "qvm.absent"):
            assert quick.one(function, "new")["result"] is True


def test_b24_an_address_behind_a_bridge(quick, sandbox):
    """Upstream: looks for a port called 01_00.0 and assigns an unknown device."""
    sls = "work:\n  qvm.prefs:\n    - virt_mode: hvm\n    - pcidevs: ['01:00.0', '01:00.1']\n"
    (state,) = three_runs(quick, sandbox, sls)
    assert state["changes"]["qvm.prefs"]["pcidevs"] == {"old": [], "new": [CARD, AUDIO]}
    assert sorted(line.split(" ")[0] for line in assignments(sandbox)) == [
        f"dom0+{CARD}:{IDENTITY}", f"dom0+{AUDIO}:0x10de:0x228e::p040300",
    ]  # fmt: skip
    sandbox.ok("admin.vm.Start", "work")  # qubesd finds what is assigned


def test_each_of_them_has_a_test_that_says_what_upstream_does():
    tests = {name: each for name, each in globals().items() if re.match(r"test_b\d+_", name)}
    assert {int(re.findall(r"\d+", name)[0]) for name in tests} == set(range(1, 25))
    assert all(each.__doc__.startswith("Upstream: ") for each in tests.values())
