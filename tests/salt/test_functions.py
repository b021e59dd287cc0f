# SPDX-License-Identifier: GPL-3.0-or-later
"""Each state of qvm and qvm_gpu from nothing, again and dry, and what it says to wrong input.

Failing at each of its calls is tried in tests/faults, on the same scenarios.
"""

from __future__ import annotations

import sys

import pytest
from rig import REPOSITORY, three_runs

sys.path[:0] = [str(REPOSITORY / "tests" / each) for each in ("faults", "docs")]

from examples import functions
from scenarios import SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_dry_first_second(quick, sandbox, scenario):
    for call in scenario.before:
        sandbox.ok(*call)
    (state,) = three_runs(quick, sandbox, scenario.sls)
    assert state["changes"] and state["comment"]


WRONG = {
    "exists": [([{"flags": {"template": True}}], ["flags", "a list of names"])],
    "missing": [([{"flags": [["quiet"]]}], ["flags", "a list of names"])],
    "running": [([], ["does not exist"])],
    "halted": [([], ["name", "bad name"])],
    "start": [
        ([], ["does not exist"]),
        ([{"timeout": 0}], ["timeout", "from 1 to"]),
        ([{"timeout": "soon"}], ["timeout", "a whole number"]),
        ([{"drive": "cdrom:dom0:/dev/sr0"}], ["drive", "qvm-start"]),
        ([{"hddisk": "x"}], ["hddisk", "qvm-start"]),
        ([{"cdrom": "x"}], ["cdrom", "qvm-start"]),
        ([{"custom-config": "/x"}], ["custom_config"]),
    ],
    "shutdown": [([{"timeout": -1}], ["timeout", "-1"]), ([{"timeout": []}], ["timeout"])],
    "kill": [([{"flags": {"a": 1}}], ["flags"])],
    "pause": [([], ["does not exist"]), ([{"timeout": 1e9}], ["timeout"])],
    "unpause": [([], ["does not exist"]), ([{"timeout": "x"}], ["timeout"])],
    "present": [
        ([{"label": ["red"]}], ["label", "one value"]),
        ([{"label": "red"}, {"mem": 0}], ["mem", "above zero"]),
        ([{"label": "red"}, {"class": "Appvm"}], ["did you mean AppVM"]),
        ([{"label": "red"}, {"root-move-from": "/x"}], ["root_move_from", "qvm-volume import"]),
        ([{"label": "red"}, {"flags": {"net": True}}], ["flags"]),
    ],
    "absent": [([{"timeout": 0}], ["timeout"]), ([{"flags": 5.5}, {"timeout": {}}], ["timeout"])],
    "clone": [
        ([], ["source", "missing"]),
        ([{"source": "nosuch"}], ["nosuch"]),
        ([{"source": "new"}], ["cloned to itself"]),
        ([{"source": ["work"]}], ["source", "one value"]),
        ([{"source": "work"}, {"path": "/x"}], ["path"]),
        ([{"source": "work"}, {"devices": "some"}], ["devices", "true or false"]),
        ([{"source": "work"}, {"timeout": 0}], ["timeout"]),
    ],
    "run": [
        ([], ["cmd", "missing"]),
        ([{"cmd": "ls"}], ["does not exist"]),
        ([{"cmd": "ls"}, {"flags": ["all"]}], ["all", "one qube"]),
        ([{"cmd": "ls"}, {"user": ["x"]}], ["user", "one value"]),
        ([{"cmd": "ls"}, {"timeout": 0}], ["timeout"]),
    ],
    "prefs": [([{"memory": 500}], ["does not exist"]), ([{"set": ["x"]}], ["set", "name: value"])],
    "devices": [([{"attach": ["x"]}], ["CLASS:BACKEND:PORT"]), ([{"list": []}], ["not exist"])],
    "service": [([{"enable": [[]]}], ["enable", "list of names"])],
    "features": [([{"set": [{"a": {}}]}], ["set", "name: value"])],
    "tags": [([{"add": ["a+b"]}], ["a+b"]), ([{"add": [{"a": "b"}]}], ["add", "list of names"])],
    "firewall": [([{"set": ["action=maybe"]}], ["action=maybe"])],
    "template_installed": [
        ([{"fromrepo": "a b"}], ["fromrepo", "blank"]),
        ([{"pool": [1]}], ["pool", "one value"]),
        ([{"timeout": 0}], ["timeout"]),
    ],
    "vm": [
        ([{"prefs": [[]]}], ["qvm.prefs", "list inside a list"]),
        ([{"presnt": []}], ["Unknown action keyword: presnt (did you mean present?)"]),
        ([{"actions": [1]}], ["actions"]),
        ([{"prefs": []}, {"actions": ["features"]}], ["Unknown action keyword: prefs"]),
        ([{"present": [{"label": "red"}, {"label": ["x"]}]}], ["qvm.present", "label"]),
    ],
}  # fmt: skip

NAMES = {"halted": "bad name", "tags": "work", "firewall": "work"}


@pytest.mark.parametrize("function", WRONG)
def test_wrong_input_is_told_and_nothing_written(quick, sandbox, function):
    for body, words in WRONG[function]:
        for test in (True, False):
            state = quick.one(f"qvm.{function}", NAMES.get(function, "new"), body, test)
            if not (test and "nosuch" in words):  # something else may make it until then
                assert state["result"] is False, (body, state)
            assert "Traceback" not in state["comment"] and state["comment"].isascii()
            for word in words:
                assert word in state["comment"], (body, state["comment"])
    assert not sandbox.writing_calls()


def test_every_state_is_given_wrong_input():
    assert set(WRONG) == {each.name for each in functions("states") if each.module == "qvm"}


@pytest.mark.parametrize(
    ("function", "body", "words"),
    [
        (
            "present",
            [{"flags": ["standalon", "net"]}],
            "present: standalon (did you mean standalone?)",
        ),
        ("exists", [{"flags": ["templates"]}], "exists: templates (did you mean template?)"),
        ("start", [{"flags": "no-guid"}], "start: no-guid"),
        ("shutdown", [{"flags": ["forced"]}], "shutdown: forced (did you mean force?)"),
        ("absent", [{"flags": ["jst-db"]}], "absent: jst-db (did you mean just-db?)"),
        ("kill", [{"flags": ["now"]}], "kill: now"),
    ],
)
def test_flags_that_nobody_knows_are_named(quick, sandbox, function, body, words):
    """Upstream ignores them in silence, and makes an AppVM of what was to be standalone."""
    state = quick.one(f"qvm.{function}", "work", body, test=True)
    assert state["result"] is not False and f"Unknown flag ignored: {words}" in state["comment"]


def test_a_flag_may_have_either_spelling(quick, sandbox):
    body = [{"label": "red"}, {"template": "fedora-41-xfce"}, {"flags": ["hvm_template"]}]
    state = quick.one("qvm.present", "new", body, test=True)
    assert state["changes"]["qvm.present"]["new"]["new"]["class"] == "TemplateVM"
    assert "Unknown" not in state["comment"]


@pytest.mark.parametrize(
    ("switch", "klass"), [({"standalone": True}, "StandaloneVM"), ({"standalone": None}, "StandaloneVM"),
                          ({"hvm-template": "true"}, "TemplateVM"), ({"standalone": False}, "AppVM"),
                          ({"quiet": True}, "AppVM")]
)  # fmt: skip
def test_a_switch_may_be_a_key(quick, sandbox, switch, klass):
    """Upstream takes its value for another qube's name, and fails."""
    body = {"label": "red", "template": "fedora-41-xfce", **switch}
    state = quick.one("qvm.present", "new", body, test=True)
    assert state["changes"]["qvm.present"]["new"]["new"]["class"] == klass
    assert "Unknown" not in state["comment"]


@pytest.mark.parametrize(
    ("body", "differs"),
    [
        ({"label": "blue", "template": "debian-12-xfce", "mem": 400, "vcpus": 2}, []),
        ({"label": "red"}, ["label is blue, not red"]),
        ({"template": "fedora-41-xfce"}, ["template is debian-12-xfce, not fedora-41-xfce"]),
        ({"class": "StandaloneVM"}, ["class is AppVM, not StandaloneVM"]),
        ({"mem": 500, "vcpus": "3"}, ["memory is 400, not 500", "vcpus is 2, not 3"]),
        (
            {"flags": ["hvm", "net"]},
            ["virt_mode is pvh, not hvm", "provides_network is False, not True",
             "netvm is sys-firewall, not none"],
        ),
        ({"flags": ["proxy"]}, ["provides_network is False, not True"]),
    ],
)  # fmt: skip
def test_present_says_what_differs_and_leaves_it(quick, sandbox, body, differs):
    for test in (True, False):
        state = quick.one("qvm.present", "work", body, test)
        assert (state["result"], state["changes"]) == (True, {}), state
        lines = state["comment"].splitlines()
        assert lines[0] == "[SKIP] A VM with the name 'work' already exists."
        told = " (present does not change a qube that is there)"
        assert lines[1:] == [f"It differs: {each}{told}" for each in differs]
    assert not sandbox.writing_calls()


def test_the_usual_class_is_not_held_against_a_qube(quick, sandbox):
    """Upstream means an AppVM where none is named; a template that is there is no fault."""
    state = quick.one("qvm.present", "fedora-41-xfce", {"label": "black"})
    assert state["comment"] == "[SKIP] A VM with the name 'fedora-41-xfce' already exists."
