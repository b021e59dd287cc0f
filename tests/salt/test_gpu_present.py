# SPDX-License-Identifier: GPL-3.0-or-later
"""qvm_gpu.present: every argument, the order of its steps, and what it leaves when one fails."""

from __future__ import annotations

import pytest
import yaml
from rig import MACHINES

PORTS = ["00_01.0-00_00.0", "00_01.0-00_00.1"]
GIB = 1 << 30
BODY = {
    "template": "debian-12-xfce",
    "label": "purple",
    "mem": 3500,
    "vcpus": 6,
    "netvm": "sys-net",
    "autostart": True,
    "prefs": {"qrexec_timeout": 120, "include_in_backups": False, "shutdown-timeout": 90},
    "features": {"gui-emulated": 1, "no-monitor-layout": True, "empty": ""},
    "services": {"minimal-netvm": True, "cups": False, "nothing": None},
    "tags": ["gpu", "nvidia"],
    "menu_items": ["qubes-run-terminal.desktop", "steam.desktop"],
    "root_size": "20GiB",
    "private_size": 3 * GIB,
    "devices": "auto",
    "exact": True,
    "permissive": True,
    "strict_reset": False,
}


def properties(sandbox, qube):
    lines = sandbox.ok("admin.vm.property.GetAll", qube).splitlines()
    return {line.split(" ")[0]: line.split(" ", 3)[3] for line in lines}


def feature(sandbox, qube, name):
    return sandbox.ok(f"admin.vm.feature.Get+{name}", qube)


def size(sandbox, qube, volume):
    info = sandbox.ok(f"admin.vm.volume.Info+{volume}", qube)
    return int(dict(line.split("=", 1) for line in info.splitlines())["size"])


def assigned(sandbox, qube):
    lines = sandbox.ok("admin.vm.device.pci.Assigned", qube).splitlines()
    return {line.split(" ")[0].split(":")[0].removeprefix("dom0+"): line for line in lines}


def qubes(sandbox):
    return [line.split(" ")[0] for line in sandbox.ok("admin.vm.List").splitlines()]


def machine_with(name, **more):
    return {**(yaml.safe_load((MACHINES / f"{name}.yaml").read_text("utf-8")) or {}), **more}


# -- every argument


def test_every_argument(sandbox, minion):
    dry = minion.one("qvm_gpu.present", "gpu", BODY, test=True)
    assert dry["result"] is None, dry["comment"]
    assert sandbox.writing_calls() == []
    first = minion.one("qvm_gpu.present", "gpu", BODY)
    assert first["result"] is True, first["comment"]
    assert first["changes"] == dry["changes"]
    assert "Unknown" not in first["comment"]

    wanted = {
        "klass": "StandaloneVM", "label": "purple", "memory": "3500", "vcpus": "6",
        "netvm": "sys-net", "autostart": "True", "qrexec_timeout": "120", "kernel": "",
        "include_in_backups": "False", "shutdown_timeout": "90", "virt_mode": "hvm", "maxmem": "0",
    }  # fmt: skip
    got = properties(sandbox, "gpu")
    assert {name: got[name] for name in wanted} == wanted
    features = {
        "gui-emulated": "1", "no-monitor-layout": "1", "empty": "", "os-distribution": "debian",
        "service.minimal-netvm": "1", "service.cups": "",
        "menu-items": "qubes-run-terminal.desktop steam.desktop",
    }  # fmt: skip
    assert {name: feature(sandbox, "gpu", name) for name in features} == features
    assert {"gpu", "nvidia"} <= set(sandbox.ok("admin.vm.tag.List", "gpu").split())
    assert (size(sandbox, "gpu", "root"), size(sandbox, "gpu", "private")) == (20 * GIB, 3 * GIB)
    given = assigned(sandbox, "gpu")
    assert sorted(given) == PORTS
    for line in given.values():
        assert "_permissive='True'" in line and "_no-strict-reset='True'" in line

    sandbox.clear_log()
    second = minion.one("qvm_gpu.present", "gpu", BODY)
    assert (second["result"], second["changes"]) == (True, {})
    assert sandbox.writing_calls() == []


def test_arguments_that_change(sandbox, minion):
    """One after the other on the same qube: each makes its own change and no other."""
    body = {"template": "debian-12-xfce"}
    assert minion.one("qvm_gpu.present", "gpu", body)["result"] is True
    for change, path in [
        ({"permissive": True}, ("qvm.prefs", "pcidevs")),
        ({"permissive": False}, ("qvm.prefs", "pcidevs")),
        ({"root_size": "11GiB"}, ("qvm.volumes", "root")),
        ({"private_size": "3GB"}, ("qvm.volumes", "private")),
        ({"services": ["cups"]}, ("qvm.service", "cups")),
        ({"services": {"cups": None}}, ("qvm.service", "cups")),
        ({"netvm": None}, ("qvm.prefs", "netvm")),
        ({"autostart": True}, ("qvm.prefs", "autostart")),
        ({"menu_items": "a.desktop"}, ("qvm.features", "menu-items")),
    ]:
        body.update(change)
        changes = minion.one("qvm_gpu.present", "gpu", body)["changes"]
        assert [(key, *changes[key]) for key in changes] == [path]
        assert minion.one("qvm_gpu.present", "gpu", body)["changes"] == {}
    assert size(sandbox, "gpu", "private") == 3 * 10**9
    assert "_permissive" not in str(assigned(sandbox, "gpu"))


def test_exact_takes_other_devices_away(sandbox, minion):
    minion.one("qvm_gpu.present", "gpu", {"devices": ["00:14.0"]})
    assert minion.one("qvm_gpu.present", "gpu", {"devices": "auto"})["result"] is True
    assert len(assigned(sandbox, "gpu")) == 3
    done = minion.one("qvm_gpu.present", "gpu", {"devices": "auto", "exact": True})
    assert done["changes"]["qvm.prefs"]["pcidevs"]["new"] == PORTS
    assert sorted(assigned(sandbox, "gpu")) == PORTS
    minion.one("qvm_gpu.present", "gpu", {"devices": [], "exact": True})
    assert assigned(sandbox, "gpu") == {}


def test_a_clone_of_another_qube(machine, minion_for):
    spare = {"class": "StandaloneVM", "label": "blue", "features": {"mine": "1"}}
    sandbox = machine({"qubes": {"spare": spare}})
    sandbox.ok("admin.vm.volume.Resize+private", "spare", str(5 * GIB))
    minion = minion_for(sandbox)
    body = {"source": "spare", "private_size": "6GiB"}
    dry = minion.one("qvm_gpu.present", "gpu", body, test=True)
    assert dry["changes"]["qvm.volumes"]["private"] == {"old": 5 * GIB, "new": 6 * GIB}
    done = minion.one("qvm_gpu.present", "gpu", body)
    assert done["result"] is True, done["comment"]
    assert done["changes"] == dry["changes"]
    assert feature(sandbox, "gpu", "mine") == "1"
    assert properties(sandbox, "gpu")["label"] == "yellow"
    assert size(sandbox, "gpu", "private") == 6 * GIB
    assert sorted(assigned(sandbox, "gpu")) == PORTS
    assert minion.one("qvm_gpu.present", "gpu", body)["changes"] == {}


# -- what cannot be


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"private_size": 20}, ["private_size", "20 bytes", "20GiB"]),
        ({"root_size": "20 loads"}, ["root_size", "20 loads", "bytes is expected"]),
        ({"root_size": "99999999999TiB"}, ["root_size", "bytes is expected"]),
        ({"root_size": True}, ["root_size", "bytes is expected"]),
        ({"class": "AppVM", "root_size": "20GiB"}, ["root_size", "its template's"]),
        ({"source": "work", "template": "fedora-40-xfce"}, ["template and source"]),
        ({"source": "work", "class": "StandaloneVM"}, ["class", "AppVM"]),
        ({"prefs": {"pcidevs": ["01:00.0"]}}, ["prefs: pcidevs", "devices"]),
        ({"prefs": {"memory": "much"}}, ["memory", "much"]),
        ({"prefs": [1]}, ["prefs", "mapping"]),
        ({"services": {"cups": 5}}, ["services: cups", "true, false or null"]),
        ({"menu_items": [5]}, ["menu_items", "text"]),
        ({"tags": ["a b", "c+d"]}, ["tags", "a b"]),
        ({"permissive": "perhaps"}, ["permissive", "perhaps"]),
        ({"exact": [1]}, ["exact"]),
        ({"devices": [60.0]}, ["60", "quotes"]),
        ({"devices": {"01:00.0": {}}}, ["devices", "mapping"]),
        ({"devices": "voodoo"}, ["voodoo", "no graphics card fits", "0000:01:00.0"]),
        ({"devices": ["05:00.0"]}, ["05:00.0", "0000:01:00.0"]),
    ],
)
def test_a_mistake_is_named_before_any_write(sandbox, minion, body, words):
    for test in (True, False):
        state = minion.one("qvm_gpu.present", "gpu", body, test=test)
        assert state["result"] is False
        assert state["changes"] == {}
        for word in words:
            assert word in state["comment"], state["comment"]
        assert "qvm." not in state["comment"]  # the states that it is made of
        assert "gpu" not in qubes(sandbox)
        assert sandbox.writing_calls() == []


def test_a_larger_volume_is_large_enough(sandbox, minion):
    """Its user has grown it."""
    body = {"root_size": "20GiB", "private_size": "1GiB"}
    minion.one("qvm_gpu.present", "gpu", {"root_size": "30GiB"})
    sandbox.clear_log()
    for test in (True, False):
        state = minion.one("qvm_gpu.present", "gpu", body, test=test)
        assert (state["result"], state["changes"]) == (True, {}), state
        assert f"{30 * GIB}, more than the {20 * GIB} asked for" in state["comment"]
    assert sandbox.writing_calls() == []
    assert size(sandbox, "gpu", "root") == 30 * GIB


def test_a_size_that_a_dry_run_cannot_know(sandbox, minion):
    """The template may come from elsewhere."""
    body = {"template": "fedora-50-xfce", "root_size": "20GiB"}
    state = minion.one("qvm_gpu.present", "gpu", body, test=True)
    assert state["result"] is None, state
    assert f"root_size          : unknown -> {20 * GIB}" in state["comment"], state
    assert state["changes"]["qvm.volumes"]["root"] == {"old": None, "new": 20 * GIB}


# -- the order of the steps


def test_devices_come_last(sandbox, minion):
    assert minion.one("qvm_gpu.present", "gpu", BODY)["result"] is True
    writing = [call.method for call in sandbox.writing_calls()]
    first = writing.index("admin.vm.device.pci.Assign")
    assert (
        first
        > writing.index("admin.vm.volume.Resize")
        > writing.index("admin.vm.Create.StandaloneVM")
    )
    assert set(writing[first:]) == {"admin.vm.device.pci.Assign"}


BEFORE = [
    "property.Set+memory", "property.Set+netvm", "feature.Set+service.minimal-netvm",
    "feature.Set+menu-items", "tag.Set+nvidia", "volume.CloneTo+root", "volume.Resize+root",
    "volume.Resize+private",
]  # fmt: skip


@pytest.mark.parametrize("step", BEFORE)
def test_what_fails_before_the_first_device_is_undone(sandbox, minion, step):
    match = f"admin.vm.{step} dom0 name gpu"
    sandbox.faults([{"kind": "error", "type": "QubesException", "text": "no luck", "match": match}])
    state = minion.one("qvm_gpu.present", "gpu", BODY)
    assert state["result"] is False
    assert "no luck" in state["comment"]
    assert "was removed again" in state["comment"]
    assert state["changes"] == {}
    assert "gpu" not in qubes(sandbox)
    sandbox.faults()
    again = minion.one("qvm_gpu.present", "gpu", BODY)
    assert again["result"] is True, again["comment"]


@pytest.mark.parametrize("nth", [1, 2])
def test_what_fails_at_a_device_is_reported(sandbox, minion, nth):
    fault = {
        "kind": "error", "type": "QubesException", "text": "no luck",
        "match": "admin.vm.device.pci.Assign+", "nth": nth,
    }  # fmt: skip
    sandbox.faults([fault])
    state = minion.one("qvm_gpu.present", "gpu", BODY)
    assert state["result"] is False
    assert "admin.vm.device.pci.Assign+dom0+00_01.0" in state["comment"]
    assert "gpu" in state["changes"]["qvm.present"]
    assert state["changes"]["qvm.volumes"]["root"]["new"] == 20 * GIB
    assert len(assigned(sandbox, "gpu")) == nth - 1
    sandbox.faults()
    again = minion.one("qvm_gpu.present", "gpu", BODY)
    assert again["result"] is True, again["comment"]
    assert list(again["changes"]) == ["qvm.prefs"] and list(again["changes"]["qvm.prefs"]) == [
        "pcidevs"
    ]


def test_a_qube_that_is_there_is_never_removed(sandbox, minion):
    minion.one("qvm_gpu.present", "gpu", {"template": "debian-12-xfce"})
    sandbox.faults(
        [
            {
                "kind": "error",
                "type": "QubesException",
                "text": "no luck",
                "match": "admin.vm.tag.Set",
            }
        ]
    )
    state = minion.one("qvm_gpu.present", "gpu", BODY)
    assert state["result"] is False
    assert state["changes"]["qvm.prefs"]["vcpus"] == {"old": 4, "new": 6}
    assert "gpu" in qubes(sandbox)


# -- which card

RIGHT, WRONG = True, False


@pytest.mark.parametrize(
    ("name", "outcome", "words"),
    [
        ("integrated", RIGHT, PORTS),
        ("recorded-bridge", RIGHT, PORTS),
        ("four-functions", RIGHT, [f"00_01.0-00_00.{number}" for number in range(4)]),
        ("laptop-3d", RIGHT, ["00_01.0-00_00.0"]),
        (
            "two-bridges",
            RIGHT,
            ["00_01.0-00_00.0-00_00.0-00_00.0", "00_01.0-00_00.0-00_00.0-00_00.1"],
        ),
        ("r42-plain", RIGHT, ["01_00.0", "01_00.1"]),
        ("plain-with-identities", RIGHT, ["01_00.0", "01_00.1"]),
        ("one-card", WRONG, ["dom0's display", "0000:01:00.0"]),
        ("two-alike", WRONG, ["several cards fit", "0000:01:00.0", "0000:02:00.0"]),
        ("recorded-root", WRONG, ["several cards fit", "0000:01:00.0", "0000:02:00.0"]),
        ("shared-with-usb", WRONG, ["shares its IOMMU group with 0000:02:00.0", "has no ACS"]),
    ],
)
def test_auto_on_every_machine(machine, minion_for, name, outcome, words):
    """The right card with all its functions, or an error that names what is in the way."""
    sandbox = machine(name)
    minion = minion_for(sandbox)
    for body in ({"devices": "auto"}, {}):
        sandbox.clear_log()
        dry = minion.one("qvm_gpu.present", "gpu", body, test=True)
        assert sandbox.writing_calls() == []
        assert dry["result"] is (None if outcome else False), dry["comment"]
        if not outcome:
            assert minion.one("qvm_gpu.present", "gpu", body)["result"] is False
            for word in words:
                assert word in dry["comment"]
            assert sandbox.writing_calls() == []
    if outcome:
        done = minion.one("qvm_gpu.present", "gpu")
        assert done["result"] is True, done["comment"]
        assert done["changes"] == dry["changes"]
        assert sorted(assigned(sandbox, "gpu")) == words
        assert minion.one("qvm_gpu.present", "gpu")["changes"] == {}


def test_every_machine_file_is_tried():
    tried = test_auto_on_every_machine.pytestmark[0].args[1]
    assert {name for name, _, _ in tried} == {path.stem for path in MACHINES.glob("*.yaml")}


def test_a_shared_group_can_go_along(machine, minion_for):
    sandbox = machine("shared-with-usb")
    minion = minion_for(sandbox)
    card = ["01:00.0", "01:00.1"]
    alone = minion.one("qvm_gpu.present", "gpu", {"devices": card}, test=True)
    assert "shares its IOMMU group with what is not listed: 0000:02:00.0" in alone["comment"]
    forced = minion.one("qvm_gpu.present", "gpu", {"devices": "auto", "force": True}, test=True)
    assert forced["result"] is None
    assert "shares its IOMMU group with 0000:02:00.0" in forced["comment"]
    whole = minion.one("qvm_gpu.present", "gpu", {"devices": [*card, "02:00.0"]})
    assert whole["result"] is True
    assert "IOMMU" not in whole["comment"]
    assert len(assigned(sandbox, "gpu")) == 3


def test_pvh_and_a_card_contradict_each_other_before_any_write(sandbox, minion):
    refused = minion.one("qvm_gpu.present", "gpu", {"prefs": {"virt_mode": "pvh"}})
    assert refused["result"] is False
    assert "virt_mode: pvh and PCI devices" in refused["comment"], refused["comment"]
    assert sandbox.writing_calls() == []
    for changes in (True, False):  # nothing to give: it may be pvh, and settles
        body = {"prefs": {"virt_mode": "pvh"}, "devices": []}
        state = minion.one("qvm_gpu.present", "gpu", body)
        assert state["result"] is True and bool(state["changes"]) is changes, state
    assert properties(sandbox, "gpu")["virt_mode"] == "pvh"


@pytest.mark.parametrize("devices", ["auto", ["01:00.0"]])
def test_a_card_that_dom0_uses_is_told(machine, minion_for, devices):
    """Assigning does no harm; what has to be done before a start is in the comment."""
    minion = minion_for(machine("laptop-3d"))
    for test in (True, False):
        comment = minion.one("qvm_gpu.present", "gpu", {"devices": devices}, test=test)["comment"]
        assert "hide it from dom0 (state qvm_gpu.hidden)" in comment
        assert "drivers hold: 0000:01:00.0 (nouveau)" in comment
    hidden = minion_for(machine("integrated"))
    assert "hide it" not in hidden.one("qvm_gpu.present", "gpu", test=True)["comment"]


def test_a_list_is_looked_at(machine, minion_for):
    sandbox = machine("one-card")
    minion = minion_for(sandbox)
    body = {"devices": ["01:00.0", "01:00.1"]}
    refused = minion.one("qvm_gpu.present", "gpu", body)
    assert refused["result"] is False
    assert "dom0's display" in refused["comment"]
    assert sandbox.writing_calls() == []
    part = minion.one("qvm_gpu.present", "gpu", {"devices": ["01:00.0"], "force": True}, test=True)
    assert part["result"] is None
    assert "not all functions are listed, dom0 keeps: 0000:01:00.1" in part["comment"]


@pytest.mark.parametrize(
    ("name", "devices", "words"),
    [
        ("integrated", ["10de:2504"], None),
        ("integrated", ["nvidia", "01:00.1"], None),
        ("integrated", ["GA106", "00:14.0"], None),
        ("integrated", ["*:0x10de:0x2504::p030000"], None),
        ("integrated", ["auto"], None),
        ("two-alike", ["10de:2504"], "several cards fit"),
        ("integrated", ["voodoo"], "no graphics card fits"),
        ("integrated", ["8086:4680"], "dom0's display"),
        ("integrated", ["0a:00.0"], "0a:00.0"),
    ],
)
def test_a_word_in_a_list_means_the_same_everywhere(machine, minion_for, name, devices, words):
    sandbox = machine(name)
    minion = minion_for(sandbox)
    body = {"devices": devices}
    ready = minion.one("qvm_gpu.ready", "gpu", body)
    present = minion.one("qvm_gpu.present", "gpu", body)
    assert (present["result"] is False) == (ready["result"] is False) == bool(words), present
    if words:
        assert words in present["comment"], present
        assert words in ready["comment"], ready
        assert sandbox.writing_calls() == []
        return
    ports = present["changes"]["qvm.prefs"]["pcidevs"]["new"]
    card = PORTS[:1] if devices[0].startswith("*") else PORTS
    assert sorted(ports) == sorted(card + ["00_14.0"] * ("00:14.0" in devices))
    assert minion.one("qvm_gpu.present", "gpu", body)["changes"] == {}


@pytest.mark.parametrize(
    ("name", "bridge"), [("two-bridges", "01:00.0"), ("integrated", "00:00.0")]
)
def test_no_bridge_is_given_away(machine, minion_for, name, bridge):
    sandbox = machine(name)
    minion = minion_for(sandbox)
    card = "03:00.0" if name == "two-bridges" else "01:00.0"
    for test in (True, False):
        state = minion.one("qvm_gpu.present", "gpu", {"devices": [card, bridge]}, test=test)
        assert (state["result"], state["changes"]) == (False, {})
        assert f"{bridge} is a bridge, which dom0 keeps" in state["comment"]
    for function in ("ready", "attached"):
        state = minion.one(f"qvm_gpu.{function}", "work", {"devices": [card, bridge]})
        assert state["result"] is False
    assert sandbox.writing_calls() == []
