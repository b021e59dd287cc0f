# SPDX-License-Identifier: GPL-3.0-or-later
"""qvm_gpu beside present: finding cards, checking, hiding, moving, reporting."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from rig import MACHINES, REPOSITORY, install_programs
from saltext.qvm_gpu import _core

NVIDIA = "0000:01:00.0"
PORTS = ["00_01.0-00_00.0", "00_01.0-00_00.1"]
GRUB = 'GRUB_TIMEOUT=5\n# dom0\'s own\nGRUB_CMDLINE_LINUX="rhgb quiet"\n'
HIDDEN = 'GRUB_CMDLINE_LINUX="rhgb quiet rd.qubes.hide_pci=01:00.0,01:00.1"'


def call(sandbox, function, args=None, *, test=False, root=True):
    run = _core.Run(socket=str(sandbox.socket), root=str(sandbox.root) if root else "/nowhere")
    return run.call(f"qvm_gpu.{function}", args or {}, test)


def ask(sandbox, function, args=None, **kwargs):
    answer = call(sandbox, function, args, **kwargs)
    assert answer["result"] is True, answer["comment"]
    return answer["data"]


def checks(sandbox, **args):
    return {one["check"]: one for one in ask(sandbox, "preflight", args)["checks"]}


def machine_with(name, **more):
    """A machine file's mapping, with more in it."""
    return {**(yaml.safe_load((MACHINES / f"{name}.yaml").read_text("utf-8")) or {}), **more}


def assigned(sandbox, qube):
    lines = sandbox.ok("admin.vm.device.pci.Assigned", qube).splitlines()
    return sorted(line.split(" ")[0].split(":")[0].removeprefix("dom0+") for line in lines)


@pytest.fixture
def dom0(machine, programs):
    """``dom0("two-alike")`` starts that machine with dom0's files and programs in its root."""

    def start(what, efi=False, **kwargs):
        sandbox = machine(what, **kwargs)
        root = Path(sandbox.root)
        menu = "boot/efi/EFI/qubes/grub.cfg" if efi else "boot/grub2/grub.cfg"
        for path, text in {
            "etc/default/grub": GRUB,
            menu: "  module2 /vmlinuz-6.6.68-1.qubes.fc41 root=/dev/x rhgb quiet\n",
            "proc/cmdline": "placeholder root=/dev/x rhgb quiet\n",
        }.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, "utf-8")
        install_programs(programs, root, "xl", "grub2-mkconfig", folder="usr/sbin")
        return sandbox

    return start


def reboot(sandbox):
    """What a reboot of dom0 does to its files: the menu's command line, and who holds the card."""
    root = Path(sandbox.root)
    text = (root / "etc/default/grub").read_text("utf-8")
    words = re.search(r'GRUB_CMDLINE_LINUX="(.*)"', text)[1]
    (root / "proc/cmdline").write_text(f"placeholder root=/dev/x {words}\n", "utf-8")
    found = re.search(r"hide_pci=(\S+)", words)
    (root / "sys/bus/pci/drivers/pciback").mkdir(parents=True, exist_ok=True)
    for address in found[1].split(",") if found else ():
        driver = root / "sys/bus/pci/devices" / f"0000:{address}" / "driver"
        driver.unlink(missing_ok=True)
        driver.symlink_to("/sys/bus/pci/drivers/pciback")


# -- finding


def test_cards_of_the_default_machine(sandbox):
    sandbox.clear_log()
    integrated, card = ask(sandbox, "cards")
    assert (integrated["bdf"], integrated["display"]) == ("0000:00:02.0", True)
    assert (card["bdf"], card["port"], card["display"]) == (NVIDIA, PORTS[0], False)
    assert card["identity"] == "0x10de:0x2504::p030000"
    assert [(f["kind"], f["driver"], f["hidden"]) for f in card["functions"]] == [
        ("display", "pciback", True),
        ("audio", "pciback", True),
    ]
    assert card["group"] == {
        "along": ["0000:01:00.1"],
        "bridges": [],
        "blocks": [],
        "sure": "certain",
        "reason": "everything on the way to the root separates its devices",
    }
    assert sandbox.writing_calls() == []
    asked = [one.method.removeprefix("admin.vm.") for one in sandbox.log()]
    assert sorted(asked[:2]) == ["List", "device.pci.Available"]
    assert set(asked[2:]) == {"device.pci.Assigned"}


def test_another_computers_sysfs_does_not_count(machine):
    sandbox = machine("integrated")
    card = ask(sandbox, "cards", root=False)[1]
    assert (card["display"], card["group"], card["memory"]) == (None, None, None)
    assert [f["driver"] for f in card["functions"]] == [None, None]


def test_cards_name_their_qubes(machine):
    qubes = {
        "work": {"devices": ["01:00.0"]},
        "personal": {"devices": ["01:00.0"], "running": True},
    }
    card = ask(machine(machine_with("integrated", qubes=qubes)), "cards")[1]
    assert card["assigned"] == ["personal", "work"]
    assert card["attached"] == ["personal"]
    assert card["functions"][1]["assigned"] == []


@pytest.mark.parametrize(
    ("name", "check", "words"),
    [
        ("integrated", None, ""),
        ("recorded-bridge", None, ""),
        ("four-functions", None, ""),
        ("laptop-3d", "pciback", "0000:01:00.0 (nouveau)"),
        ("two-bridges", None, ""),
        ("r42-plain", None, ""),
        ("plain-with-identities", None, ""),
        ("shared-with-usb", "group", "0000:02:00.0"),
        ("one-card", "display", "the screen would freeze"),
        ("two-alike", "card", "several cards fit, name one by its address"),
        ("recorded-root", "card", "several cards fit, name one by its address"),
    ],
)
def test_preflight_on_every_machine(machine, name, check, words):
    """What present refuses there, preflight says first (test_gpu_present.py has the other half)."""
    found = ask(machine(name), "preflight", {"devices": "auto"})
    failed = [one for one in found["checks"] if one["status"] == "fail"]
    assert found["passed"] is (check is None)
    assert [one["check"] for one in failed][:1] == ([check] if check else [])
    assert all(one["cure"] for one in failed)
    assert not failed or words in failed[0]["reason"]


def test_no_machine_file_was_forgotten():
    tested = test_preflight_on_every_machine.pytestmark[0].args[1]
    assert {path.stem for path in MACHINES.glob("*.yaml")} == {name for name, _, _ in tested}


def test_all_functions_go_along(machine):
    card = ask(machine("four-functions"), "cards")[1]
    assert [f["kind"] for f in card["functions"]] == ["display", "audio", "USB", "UCSI"]


def test_a_shared_group_blocks(machine):
    sandbox = machine("shared-with-usb")
    group = ask(sandbox, "cards")[1]["group"]
    assert group["blocks"] == ["0000:02:00.0"]
    assert group["bridges"] == ["0000:00:01.0", "0000:00:01.1"]
    assert "0000:00:01.0 has no ACS" in group["reason"]
    assert checks(sandbox)["group"]["status"] == "fail"


def is_clean(text):
    """Nothing but what a terminal prints as it is, and ends of lines."""
    return not [
        c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs")
    ]


def texts(value):
    """All texts of plain data."""
    if isinstance(value, dict):
        return [one for item in value.items() for part in item for one in texts(part)]
    if isinstance(value, list):
        return [one for item in value for one in texts(item)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("name", ["two-bridges", "one-card", "shared-with-usb"])
def test_what_devices_call_themselves_is_harmless(dom0, minion_for, name):
    """No control character of a description reaches a comment, a change, data or a report."""
    devices = machine_with(name)["devices"]
    for device in devices:
        device["product"] = device["vendor"] = f"nvidia {HOSTILE}"
    sandbox = dom0({"devices": devices})
    minion = minion_for(sandbox)
    shown = [ask(sandbox, "cards"), ask(sandbox, "preflight"), ask(sandbox, "report")]
    shown.append(ask(sandbox, "report", {"format": "html"}))
    for state, body in [
        ("ready", {}), ("present", {}), ("attached", {}), ("hidden", {}), ("shown", {}),
        ("present", {"devices": "voodoo"}), ("attached", {"devices": ["0a:00.0"]}),
    ]:  # fmt: skip
        answer = minion.one(f"qvm_gpu.{state}", "work", body, test=True)
        shown.append([answer["comment"], answer["changes"]])
    assert any("nvidia ?[31m" in text for text in texts(shown))
    assert [text for text in texts(shown) if not is_clean(text)] == []


# -- the guides' steps


def follow(cure, sandbox, minion, wish):
    """Do what a cure says, as somebody at this computer would."""
    root = Path(sandbox.root)
    if cure.startswith("switch on VT-d"):
        (root / "vt-d-off").unlink()
    elif cure.startswith("connect the screen to the processor's graphics"):
        for slot, flag in (("00:02.0", "1"), ("01:00.0", "0")):
            (root / f"sys/bus/pci/devices/0000:{slot}/boot_vga").write_text(f"{flag}\n", "utf-8")
    elif cure.startswith("in dom0: qubesctl "):
        (done,) = minion.call(*shlex.split(cure)[3:]).values()
        assert done["result"] is True, done["comment"]
    elif cure == "reboot dom0":
        reboot(sandbox)
    elif cure.startswith("shut sys-usb down"):
        sandbox.ok("admin.vm.Kill", "sys-usb")
    elif cure.startswith("in dom0: qvm-template install "):
        name = cure.rsplit(" ", 1)[1]
        sandbox.ok("admin.vm.Create.TemplateVM", payload=f"name={name} label=black")
        sandbox.ok("admin.vm.feature.Set+os", name, "Linux")
        sandbox.ok("admin.vm.feature.Set+os-distribution", name, "fedora")
    elif cure.startswith("name one of red"):
        wish["label"] = "red"
    else:
        assert cure == "give the qube less memory", cure
        wish["memory"] = 3000


def test_the_steps_of_the_guides(dom0, minion_for):
    """A dom0 with nothing prepared gets the steps in order, and passes after following them."""
    devices = machine_with("one-card")["devices"]
    devices.append({
        "bdf": "00:02.0", "id": "8086:4680", "class": "030000", "kind": "integrated",
        "driver": "i915", "boot_vga": False, "bar_mib": 256, "vendor": "Intel Corporation",
        "product": "AlderLake-S GT1",
    })  # fmt: skip
    qubes = {"sys-usb": {"devices": ["01:00.0"], "running": True}}
    sandbox = dom0({"devices": devices, "qubes": qubes})
    (Path(sandbox.root) / "vt-d-off").touch()
    minion = minion_for(sandbox)
    wish = {"template": "fedora-41-nvidia", "label": "mauve", "memory": 64000}
    failed = [
        one["check"] for one in ask(sandbox, "preflight", wish)["checks"] if one["status"] == "fail"
    ]
    assert failed == [
        "iommu", "display", "hidden", "pciback", "in_use", "template", "label", "memory",
    ]  # fmt: skip

    steps = ask(sandbox, "preflight", wish)["steps"]
    assert [step.split(" ")[0] for step in steps] == [
        "switch", "connect", "in", "reboot", "shut", "in", "name", "give",
    ]  # fmt: skip
    page = ask(sandbox, "report", wish)
    assert re.findall(r"(?m)^ +(\d)\. (\w+)", page) == [
        (str(number), step.split(" ")[0]) for number, step in enumerate(steps, 1)
    ]
    assert ask(sandbox, "report", {**wish, "format": "html"}).count("<li>") == len(steps)
    for number, step in enumerate(steps):
        found = ask(sandbox, "preflight", wish)
        assert (found["passed"], found["steps"]) == (False, steps[number:])
        state = minion.one("qvm_gpu.ready", "gpu", wish)
        assert (state["result"], state["changes"]) == (False, {})
        first = next(one for one in found["checks"] if one["status"] == "fail")
        assert f"[fail] {first['check']}: {first['reason']} -> {step}" in state["comment"]
        follow(step, sandbox, minion, wish)
    found = ask(sandbox, "preflight", wish)
    assert (found["passed"], found["steps"]) == (True, [])
    assert minion.one("qvm_gpu.ready", "gpu", wish)["result"] is True
    assert "WHAT TO DO" not in ask(sandbox, "report", wish)
    assert {one["status"] for one in found["checks"]} == {"ok"}
    assert minion.one("qvm_gpu.present", "gpu", {"template": "fedora-41-nvidia"})["result"] is True


def test_ready_counts_what_an_earlier_state_makes(machine, minion_for):
    """In a dry run alone: the template of a state before it is not there yet."""
    sls = """
base:
  qvm.present:
    - name: fedora-43-gpu
    - class: TemplateVM
    - label: black
gpu:
  qvm_gpu.ready:
    - template: fedora-43-gpu
"""
    sandbox = machine("integrated")
    minion = minion_for(sandbox)
    made, ready = minion.high(sls, test=True)
    assert (made["result"], ready["result"]) == (None, True), ready["comment"]
    assert sandbox.writing_calls() == []
    assert minion.one("qvm_gpu.ready", "gpu", {"template": "fedora-43-gpu"})["result"] is False


def test_a_shared_group_is_ready_where_all_go_along(machine):
    sandbox = machine("shared-with-usb")
    devices = ["01:00.0", "01:00.1", "02:00.0"]
    assert checks(sandbox, devices=devices)["group"]["status"] == "ok"
    assert checks(sandbox, devices=devices[:2])["group"]["status"] == "fail"
    assert checks(sandbox, devices=devices[:2], force=True)["group"]["status"] == "warn"
    only = ask(sandbox, "preflight", {"devices": ["02:00.0"]})
    assert "names no card" in only["checks"][1]["reason"]


def test_preflight_of_a_wish_that_cannot_be(dom0):
    sandbox = dom0("integrated")
    found = checks(sandbox, label="mauve", memory="64000", root_size=10**13)
    failed = {name for name, one in found.items() if one["status"] == "fail"}
    assert failed == {"label", "memory", "pool"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"device": "auto"}, "did you mean devices?"),
        ({"devices": [60.0]}, "quote 01:00.0"),
        ({"devices": {}}, "a text or a list of texts"),
        ({"devices": 60.0}, "60 is a number: write the device in quotes"),
        ({"devices": []}, "the list names no card"),
        ({"memory": "much"}, "memory: a number"),
        ({"force": "no"}, "force: true or false"),
    ],
)
def test_preflight_says_what_is_wrong(sandbox, args, words):
    answer = call(sandbox, "preflight", args)
    text = answer["comment"] or str(answer["data"])
    assert words in text


# -- hiding


@pytest.mark.parametrize("efi", [False, True])
def test_hidden_and_shown(dom0, minion_for, efi):
    sandbox = dom0("integrated", efi=efi)
    root, minion = Path(sandbox.root), minion_for(sandbox)
    menu = "/boot/efi/EFI/qubes/grub.cfg" if efi else "/boot/grub2/grub.cfg"
    grub = root / "etc/default/grub"
    dry = minion.one("qvm_gpu.hidden", "x", {"devices": "nvidia"}, test=True)
    assert dry["result"] is None
    assert grub.read_text("utf-8") == GRUB
    done = minion.one("qvm_gpu.hidden", "x", {"devices": "nvidia"})
    assert done["result"] is True, done["comment"]
    assert done["changes"] == dry["changes"]
    assert done["changes"]["/etc/default/grub"] == {
        "rd.qubes.hide_pci": {"old": [], "new": ["01:00.0", "01:00.1"]}
    }
    assert menu in done["changes"]
    assert "reboot dom0" in done["comment"]
    assert HIDDEN in grub.read_text("utf-8")
    assert "hide_pci=01:00.0,01:00.1" in (root / menu[1:]).read_text("utf-8")
    again = minion.one("qvm_gpu.hidden", "x", {"devices": "nvidia"})
    assert (again["result"], again["changes"]) == (True, {})
    assert "reboot dom0" in again["comment"]
    reboot(sandbox)
    assert "reboot" not in minion.one("qvm_gpu.hidden", "x")["comment"]
    assert minion.one("qvm_gpu.shown", "x", test=True)["result"] is None
    undone = minion.one("qvm_gpu.shown", "x")
    assert undone["result"] is True, undone["comment"]
    assert grub.read_text("utf-8") == GRUB
    assert "hide_pci" not in (root / menu[1:]).read_text("utf-8")
    assert minion.one("qvm_gpu.shown", "x")["changes"] == {}


def test_hidden_keeps_what_is_hidden_already(dom0):
    sandbox = dom0("integrated")
    grub = Path(sandbox.root) / "etc/default/grub"
    grub.write_text(
        'GRUB_CMDLINE_LINUX="a rd.qubes.hide_pci=00:14.0,0000:01:00.1 b" # c\n', "utf-8"
    )
    assert call(sandbox, "hidden")["result"] is True
    assert grub.read_text("utf-8") == (
        'GRUB_CMDLINE_LINUX="a rd.qubes.hide_pci=00:14.0,0000:01:00.1,01:00.0 b" # c\n'
    )


def test_hidden_tries_a_menu_again(dom0):
    """A menu that could not be written fails the state; the next run writes it."""
    sandbox = dom0("integrated")
    root = Path(sandbox.root)
    (root / "mkconfig-fails").touch()
    failed = call(sandbox, "hidden")
    assert failed["result"] is False
    assert "no such device" in failed["comment"]
    assert list(failed["changes"]) == ["/etc/default/grub"]
    (root / "mkconfig-fails").unlink()
    done = call(sandbox, "hidden")
    assert done["result"] is True
    assert list(done["changes"]) == ["/boot/grub2/grub.cfg"]


@pytest.mark.parametrize("name", ["r42-plain", "laptop-3d"])
def test_hidden_as_preflight_writes_it(dom0, minion_for, name):
    """The command goes through a shell and Salt's reading of YAML, whatever ports look like."""
    sandbox = dom0(name)
    cure = checks(sandbox)["hidden"]["cure"]
    (done,) = minion_for(sandbox).call(*shlex.split(cure)[3:]).values()
    assert done["result"] is True, done["comment"]
    assert "rd.qubes.hide_pci=01:00.0" in (Path(sandbox.root) / "etc/default/grub").read_text()


def test_hidden_refuses_the_display(dom0):
    sandbox = dom0("one-card")
    refused = call(sandbox, "hidden", {"devices": NVIDIA})
    assert refused["result"] is False
    assert "dom0's display" in refused["comment"]
    assert (Path(sandbox.root) / "etc/default/grub").read_text("utf-8") == GRUB
    assert call(sandbox, "hidden", {"devices": NVIDIA, "force": True})["result"] is True


def test_hidden_needs_dom0s_own_files(machine):
    sandbox = machine("integrated")
    assert "dom0's own minion" in call(sandbox, "hidden", root=False)["comment"]
    (Path(sandbox.root) / "etc/default").mkdir(parents=True)
    (Path(sandbox.root) / "etc/default/grub").write_text(GRUB, "utf-8")
    dry = call(sandbox, "hidden", test=True)
    assert dry["result"] is None
    assert "lists a kernel" in dry["comment"] and "No grub2-mkconfig" in dry["comment"]
    real = call(sandbox, "hidden")
    assert real["result"] is False
    assert "nothing was changed" in real["comment"]
    assert (Path(sandbox.root) / "etc/default/grub").read_text("utf-8") == GRUB


# -- moving


def owners_machine(running):
    return machine_with(
        "integrated", qubes={"work": {"devices": ["01:00.0", "01:00.1"], "running": running}}
    )


def test_attached_moves_the_card(machine, minion_for):
    sandbox = machine(owners_machine(False))
    minion = minion_for(sandbox)
    dry = minion.one("qvm_gpu.attached", "personal", {"devices": "auto"}, test=True)
    assert dry["result"] is None
    assert sandbox.writing_calls() == []
    done = minion.one("qvm_gpu.attached", "personal", {"devices": "auto"})
    assert done["result"] is True, done["comment"]
    assert done["changes"] == dry["changes"]
    assert assigned(sandbox, "personal") == PORTS
    assert assigned(sandbox, "work") == []
    sandbox.clear_log()
    again = minion.one("qvm_gpu.attached", "personal")
    assert (again["result"], again["changes"]) == (True, {})
    assert sandbox.writing_calls() == []


def test_attached_leaves_a_running_qube_alone(machine, minion_for):
    sandbox = machine(owners_machine(True))
    minion = minion_for(sandbox)
    refused = minion.one("qvm_gpu.attached", "personal")
    assert refused["result"] is False
    assert "work has the card and is Running" in refused["comment"]
    assert sandbox.writing_calls() == []
    forced = minion.one("qvm_gpu.attached", "personal", {"force": True})
    assert forced["result"] is True, forced["comment"]
    assert assigned(sandbox, "personal") == PORTS
    assert "state=Halted" in sandbox.ok("admin.vm.List", "work")


def test_attached_refuses_a_shared_group(machine, minion_for):
    sandbox = machine("shared-with-usb")
    minion = minion_for(sandbox)
    refused = minion.one("qvm_gpu.attached", "personal", {"devices": "nvidia"})
    assert refused["result"] is False
    assert "shares its IOMMU group with 0000:02:00.0" in refused["comment"]
    assert sandbox.writing_calls() == []
    forced = minion.one("qvm_gpu.attached", "personal", {"devices": "nvidia", "force": True})
    assert forced["result"] is True, forced["comment"]
    assert assigned(sandbox, "personal") == PORTS


def test_attached_says_that_dom0_has_the_card(machine, minion_for):
    state = minion_for(machine("laptop-3d")).one("qvm_gpu.attached", "work", test=True)
    assert state["result"] is None
    assert "hide the card from dom0 (state qvm_gpu.hidden)" in state["comment"]
    assert "drivers hold: 0000:01:00.0 (nouveau)" in state["comment"]


def test_attached_needs_its_qube(sandbox):
    assert "no qube nobody" in call(sandbox, "attached", {"name": "nobody"})["comment"]
    assert "name" in call(sandbox, "attached", {"name": 5})["comment"]


STARTED = "a: {qvm_gpu.present: [{name: g1}]}\ns: {qvm.start: [{name: g1}]}\n"


@pytest.mark.parametrize(
    ("before", "state", "words"),
    [
        (STARTED + "b: {qvm_gpu.present: [{name: g2}]}", "attached: [{name: g2}]",
         "g1 has the card and is Running"),
        (STARTED, "attached: [{name: work}, {force: true}]", ""),
        (STARTED + "k: {qvm.kill: [{name: g1}]}", "attached: [{name: work}]", ""),
        (STARTED + "k: {qvm.vm: [{name: g1}, {actions: [kill, absent]}, {kill: []}, "
         "{absent: []}]}", "attached: [{name: work}]", ""),
        (STARTED, "ready: [{name: ok}, {qube: work}]", "the running qube g1 has the card"),
        (STARTED, "ready: [{name: ok}, {qube: g1}]", "no other qube has the card"),
        ("a: {qvm_gpu.present: [{name: g1}]}", "ready: [{name: ok}, {qube: work}]",
         "1 other qube(s) have it assigned"),
        ("d: {qvm.prefs: [{name: personal}, {pcidevs: ['01:00.0']}]}",
         "ready: [{name: ok}, {qube: work}]", "no running qube has the card; 1 other"),
        ("a: {qvm.clone: [{name: mine}, {source: fedora-41-xfce}]}",
         "ready: [{name: ok}, {template: mine}]", "the template mine is there"),
    ],
)  # fmt: skip
def test_a_dry_run_sees_what_earlier_states_assigned_and_started(
    quick, sandbox, before, state, words
):
    sandbox.ok("admin.vm.Start", "personal")
    sandbox.clear_log()
    sls = f"{before}\nt: {{qvm_gpu.{state}}}"
    dry = quick.high(sls, test=True)
    assert sandbox.writing_calls() == []
    done = quick.high(sls)
    assert [one["changes"] for one in dry] == [one["changes"] for one in done]
    assert all(one["result"] for one in done[:-1]), done
    for last in (dry[-1], done[-1]):
        assert (last["result"] is False) == (done[-1]["result"] is False), last
        assert words in last["comment"], last


@pytest.mark.parametrize("test", [True, False])
@pytest.mark.parametrize(
    ("function", "name", "body", "klass"),
    [
        ("qvm_gpu.attached", "dom0", {"force": True}, "AdminVM"),
        ("qvm_gpu.attached", "debian-12-xfce", {"force": True}, "TemplateVM"),
        ("qvm.prefs", "dom0", {"pcidevs": ["01:00.0"]}, "AdminVM"),
        ("qvm.devices", "dom0", {"attach": ["pci:dom0:00_14.0"]}, "AdminVM"),
    ],
)
def test_dom0_and_templates_are_given_no_card(quick, sandbox, function, name, body, klass, test):
    """Nor is it taken from the qube that has it."""
    quick.one("qvm.prefs", "work", {"pcidevs": ["01:00.0", "01:00.1"]})
    sandbox.clear_log()
    state = quick.one(function, name, body, test=test)
    assert (state["result"], state["changes"]) == (False, {})
    assert f"{name} is of class {klass}" in state["comment"]
    assert "name a StandaloneVM" in state["comment"]
    assert sandbox.writing_calls() == []


@pytest.mark.parametrize("test", [True, False])
@pytest.mark.parametrize(
    ("function", "body"),
    [
        ("qvm_gpu.attached", {"force": True}),
        ("qvm.prefs", {"pcidevs": ["01:00.0"], "memory": 800}),
        ("qvm.devices", {"attach": ["pci:dom0:00_14.0"]}),
        ("qvm.vm", {"devices": [{"attach": ["pci:dom0:00_14.0"]}]}),
    ],
)
def test_a_qube_that_was_set_to_pvh_is_given_no_card(quick, sandbox, function, body, test):
    quick.one("qvm.prefs", "personal", {"pcidevs": ["01:00.0", "01:00.1"]})
    sandbox.clear_log()
    mode = "a: {qvm.prefs: [{name: work}, {virt_mode: pvh}]}\n"
    items = [{"name": "work"}, *({key: value} for key, value in body.items())]
    state = quick.high(mode + yaml.safe_dump({"t": {function: items}}), test)[1]
    assert (state["result"], state["changes"]) == (False, {})
    assert "virt_mode of work is pvh" in state["comment"]
    assert "set virt_mode: hvm" in state["comment"]
    assert [one.method for one in sandbox.log() if one.writing] == (
        [] if test else ["admin.vm.property.Set"]
    )
    body = {**body, "virt_mode": "hvm"} if function == "qvm.prefs" else body
    mended = [{"prefs": [{"virt_mode": "hvm"}]}] if function == "qvm.vm" else []
    items = [{"name": "work"}, *mended, *({key: value} for key, value in body.items())]
    if function not in ("qvm.prefs", "qvm.vm"):
        mode += "h: {qvm.prefs: [{name: work}, {virt_mode: '*default*'}]}\n"
    state = quick.high(mode + yaml.safe_dump({"t": {function: items}}), test)[-1]
    assert state["result"] is (None if test else True), state


FORCES = [("true", True), ("True", True), (1, True), ("false", False), (0, False), (None, False),
          ("perhaps", "true or false"), ([True], "true or false")]  # fmt: skip


@pytest.mark.parametrize("function", ["attached", "ready", "present"])
def test_force_is_read_alike(machine, minion_for, function):
    """The card is dom0's display: only force gives it away."""
    minion = minion_for(machine("one-card"))
    name = "gpu" if function == "present" else "work"
    for force, result in FORCES:
        body = {"devices": "10de:2504", "force": force}
        state = minion.one(f"qvm_gpu.{function}", name, body, test=True)
        if isinstance(result, str):
            assert state["result"] is False and result in state["comment"], state
        elif function == "ready":
            assert ("[warn] display" in state["comment"]) is result, state
        else:
            assert (state["result"] is None) is result, state


def test_absent(machine, minion_for):
    sandbox = machine("integrated")
    minion = minion_for(sandbox)
    assert minion.one("qvm_gpu.absent", "work", test=True)["result"] is None
    assert minion.one("qvm_gpu.absent", "work")["result"] is True
    assert "work" not in sandbox.ok("admin.vm.List")
    assert minion.one("qvm_gpu.absent", "work", test=True)["result"] is True


@pytest.mark.parametrize(
    ("function", "name", "body"),
    [("absent", "dom0", {}), ("restarted", "work", {"timeout": "soon"})],
)
def test_errors_name_the_state_that_was_written(quick, sandbox, function, name, body):
    state = quick.one(f"qvm_gpu.{function}", name, body)
    assert state["result"] is False and state["comment"].startswith(f"qvm_gpu.{function}: "), state
    assert sandbox.writing_calls() == []


def test_plan_writes_nothing(sandbox):
    got = ask(sandbox, "plan", {"state": "attached", "name": "work"})
    assert got["result"] is None
    assert got["changes"]["qvm.prefs"]["pcidevs"]["new"] == PORTS
    assert sandbox.writing_calls() == []
    refused = ask(sandbox, "plan", {"state": "attached", "name": "nobody"})
    assert refused["result"] is False
    assert "one of present" in call(sandbox, "plan", {"state": "cards", "name": "x"})["comment"]


# -- reporting


class Balance(HTMLParser):
    """Counts what is open, and what would be loaded from elsewhere."""

    VOID = ("meta",)

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self.loads += [tag for name, _ in attrs if name in ("src", "href", "onload", "onclick")]
        self.loads += [tag] if tag in ("script", "link", "iframe", "img") else []

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


HOSTILE = "\x1b[31m\x07red\x08\x0b\x7f"

SECRET = {
    "secret-lair": {
        "class": "StandaloneVM",
        "devices": ["01:00.0", "01:00.1"],
        "running": True,
        "properties": {"virt_mode": "hvm", "kernel": "", "maxmem": 0},
    }
}


@pytest.mark.parametrize("form", ["text", "html"])
def test_report(machine, form):
    sandbox = machine(machine_with("shared-with-usb", qubes=SECRET))
    page = ask(sandbox, "report", {"format": form})
    for shown in ("GA106", NVIDIA, "0000:02:00.0", "no ACS", "pciback", "its own", "qube-"):
        assert shown in page
    for private in ("secret-lair", "personal", "uuid"):
        assert private not in page
    assert "secret-lair" in ask(sandbox, "report", {"format": form, "mask": False})
    assert "secret-lair" in ask(sandbox, "report", {"format": form, "qube": "secret-lair"})


def test_report_is_one_sound_file(machine):
    devices = machine_with("shared-with-usb")["devices"]
    for device in devices:
        device["product"] = "<script>alert('x')</script> \" & \\"
    page = ask(machine({"devices": devices}), "report", {"format": "html"})
    parsed = Balance()
    parsed.feed(page)
    parsed.close()
    assert parsed.open == []
    assert parsed.loads == []
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.parametrize("name", sorted(path.stem for path in MACHINES.glob("*.yaml")))
def test_report_of_every_machine(machine, name):
    sandbox = machine(name)
    data = ask(sandbox, "report", {"format": "data"})
    assert data["cards"]
    parsed = Balance()
    parsed.feed(ask(sandbox, "report", {"format": "html"}))
    parsed.close()
    assert parsed.open == []
    assert "format: text, html or data" in call(sandbox, "report", {"format": "pdf"})["comment"]


@pytest.fixture(scope="session")
def browser():
    """Chromium, installed on the first call."""
    if not shutil.which("chromium"):
        command = [REPOSITORY / "tools/apt-install", Path(__file__).with_name("browser.txt")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not shutil.which("chromium"):
            pytest.skip(f"no Chromium, and none to be had: {done.stdout}{done.stderr}")
    return shutil.which("chromium")


def test_report_opens_in_a_browser(machine, tmp_path, browser):
    """The picture is drawn, and what devices call themselves stays text."""
    devices = machine_with("shared-with-usb")["devices"]
    for device in devices:
        device["product"] = "<img src=x onerror=\"document.title='owned'\">" + HOSTILE
        device["vendor"] = "</title></svg><script>document.title='owned'</script>"
    page = tmp_path / "report.html"
    sandbox = machine({"devices": devices, "qubes": SECRET})
    text = ask(sandbox, "report", {"format": "html", "label": "<svg/onload=document.title=1>"})
    page.write_text(text, "utf-8")
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout.count("<circle") == text.count("<circle") == len(devices)
    assert done.stdout.count("<svg") == 1
    assert "<title>GPU report</title>" in done.stdout
    assert "<script" not in done.stdout and "<img" not in done.stdout
    assert "&lt;img src=x" in done.stdout
    assert "secret-lair" not in done.stdout


def test_from_the_command_line(minion):
    assert minion.call("qvm_gpu.cards")[1]["bdf"] == NVIDIA
    assert minion.call("qvm_gpu.preflight", "nvidia")["card"]["bdf"] == NVIDIA
    assert minion.call("qvm_gpu.plan", "absent", "work")["result"] is None
    assert minion.call("qvm_gpu.report").startswith("GPU REPORT")
    assert "no graphics card fits" in str(minion.call("qvm_gpu.preflight", "voodoo"))
