# SPDX-License-Identifier: GPL-3.0-or-later
"""qvm.vm: its order, its whitelist, what may fail, and what it says and changes."""

from __future__ import annotations

import re

import pytest
from rig import three_runs

DEFAULT = [
    "exists", "running", "missing", "halted", "absent", "present", "clone", "prefs", "devices",
    "service", "features", "firewall", "tags", "unpause", "pause", "shutdown", "kill", "start", "run",
]  # fmt: skip
SKIPPED = "[SKIP] Skipping due to previous failure!"


def blocks(state):
    """The comment's blocks: action > its lines."""
    found = re.split(r"====== \['(\w+)'\] ======\n?", state["comment"])
    assert found[0] == "", state["comment"]
    return {name: text.strip("\n") for name, text in zip(found[1::2], found[2::2], strict=True)}


def test_the_default_order_is_upstreams(quick, sandbox):
    bodies = {name: [] for name in DEFAULT} | {
        "clone": [{"source": "personal"}], "run": [{"cmd": "ls"}],
    }  # fmt: skip
    actions = [{name: "pass"} for name in DEFAULT]
    for body in (
        [{name: bodies[name]} for name in reversed(DEFAULT)],
        [{name: bodies[name]} for name in DEFAULT] + [{"actions": actions}],
    ):
        state = quick.one("qvm.vm", "nosuch", body, test=True)
        assert list(blocks(state)) == DEFAULT, state["comment"]


def test_actions_are_the_order(quick, sandbox):
    body = [
        {"tags": [{"add": ["x"]}]}, {"prefs": [{"memory": 500}]}, {"features": [{"enable": ["a"]}]},
        {"actions": ["features", {"prefs": "fail"}, "tags", "start", "nosuch"]},
    ]  # fmt: skip
    state = quick.one("qvm.vm", "work", body)
    assert list(blocks(state)) == ["features", "prefs", "tags"]
    assert [call.method.removeprefix("admin.vm.") for call in sandbox.writing_calls()] == [
        "feature.Set", "property.Set", "tag.Set",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([{"prefs": []}, {"actions": ["tags"]}], "Unknown action keyword: prefs"),
        ([{"prefz": []}], "Unknown action keyword: prefz (did you mean prefs?)"),
        ([{"start": []}, {"sleep": []}], "Unknown action keyword: sleep"),
    ],
)
def test_actions_are_the_whitelist(quick, sandbox, body, words):
    for test in (True, False):
        state = quick.one("qvm.vm", "work", body, test)
        assert state["result"] is False and words in state["comment"], state
    assert not sandbox.log()


@pytest.mark.parametrize("word", ["pass", "PASS", "may-pass"])
@pytest.mark.parametrize("test", [True, False])
def test_what_may_fail_does_not_stop_the_rest(quick, sandbox, word, test):
    body = [
        {"missing": []},
        {"prefs": [{"memory": 500}]},
        {"actions": [{"missing": word}, "prefs"]},
    ]
    state = quick.one("qvm.vm", "work", body, test)
    assert state["result"] is (None if test else True), state
    assert blocks(state)["missing"] == "Qube work exists"
    assert list(state["changes"]) == ["qvm.prefs"]


@pytest.mark.parametrize("test", [True, False])
def test_the_first_failure_stops_the_rest(quick, sandbox, test):
    body = [{"missing": []}, {"prefs": [{"memory": 500}]}, {"tags": [{"add": ["x"]}]}]
    state = quick.one("qvm.vm", "work", body, test)
    assert state["result"] is False and state["changes"] == {}
    assert blocks(state) == {"missing": "Qube work exists", "prefs": SKIPPED, "tags": SKIPPED}
    assert not sandbox.writing_calls()


def test_a_write_that_may_fail(quick, sandbox):
    """What is planned behind it is planned again from what is there then."""
    body = [
        {"prefs": [{"memory": 500}, {"kernel": "nosuch"}]}, {"tags": [{"add": ["x"]}]},
        {"actions": [{"prefs": "pass"}, "tags"]},
    ]  # fmt: skip
    state = quick.one("qvm.vm", "work", body)
    assert state["result"] is True, state
    assert "admin.vm.property.Set+kernel on work" in blocks(state)["prefs"]
    assert state["changes"]["qvm.prefs"] == {"memory": {"old": "*default*", "new": 500}}
    assert "x" in state["changes"]["qvm.tags"]["new"]


@pytest.mark.parametrize("empty", [None, [], {}, ""])
def test_an_empty_body_is_an_action_without_arguments(quick, sandbox, empty):
    state = quick.one("qvm.vm", "work", [{"start": empty}, {"exists": empty}])
    assert state["result"] is True and list(blocks(state)) == ["exists", "start"]
    assert state["changes"] == {"qvm.start": {"power_state": {"old": "Halted", "new": "Running"}}}


@pytest.mark.parametrize(
    "body",
    [
        [{"memory": 500}, {"vcpus": 3}],
        [{"memory": 500, "vcpus": 3}],
        {"memory": 500, "vcpus": 3},
        [{"memory": 900}, {"memory": 500}, None, {"vcpus": 3}],  # the last of equal keys wins
        [{"set": [{"memory": 500}, {"vcpus": 3}]}],
        {"set": {"memory": 500, "vcpus": "3"}},
        ["set", {"memory": 500}, {"vcpus": 3}],
    ],
)
def test_a_body_is_a_mapping_or_a_list(quick, sandbox, body):
    state = quick.one("qvm.vm", "work", [{"prefs": body}])
    assert state["changes"] == {
        "qvm.prefs": {
            "memory": {"old": "*default*", "new": 500}, "vcpus": {"old": "*default*", "new": 3},
        }
    }, state  # fmt: skip


def test_changes_and_comments_are_nested_as_upstream_nests_them(quick, sandbox):
    sls = """
new:
  qvm.vm:
    - present:
      - label: red
      - template: fedora-41-xfce
    - prefs:
      - memory: 500
    - features:
      - set:
        - a: 1
    - tags:
      - add: [x]
    - firewall:
      - set: [action=drop]
    - service:
      - enable: [cups]
"""
    (state,) = three_runs(quick, sandbox, sls)
    new = {"class": "AppVM", "label": "red", "template": "fedora-41-xfce"}
    before = ["audiovm-dom0", "created-by-dom0", "guivm-dom0"]
    assert state["changes"] == {
        "qvm.present": {"new": {"old": None, "new": new}},
        "qvm.prefs": {"memory": {"old": "*default*", "new": 500}},
        "qvm.features": {"a": {"old": None, "new": "1"}},
        "qvm.tags": {"old": before, "new": [*before, "x"]},
        "qvm.firewall": {"old": "action=accept", "new": "action=drop"},
        "qvm.service": {"cups": {"old": "Missing", "new": "Enabled"}},
    }
    again = quick.high(sls)[0]
    for text in (
        "[SKIP] A VM with the name 'new' already exists.",
        "[SKIP] memory             : 500",
        "[SKIP] Feature already in desired state: SET 'a' = 1"
        if "SET 'a'" in again["comment"]
        else "[SKIP] Feature already in desired state: ENABLE 'a' = Enabled",
        "[SKIP] Service already in desired state: ENABLE 'cups' = Enabled",
    ):
        assert text in again["comment"]


def test_requisites_and_names(quick, sandbox):
    states = quick.high("""
first:
  qvm.prefs:
    - name: work
    - memory: 500
both:
  qvm.vm:
    - names: [work, personal]
    - tags: {add: [x]}
    - require:
      - qvm: first
    - watch:
      - qvm: first
    - onlyif: "true"
    - failhard: true
last:
  qvm.exists:
    - name: work
    - onchanges:
      - qvm: first
""")
    assert [state["result"] for state in states] == [True] * 4, states
    assert [state["name"] for state in states] == ["work", "work", "personal", "work"]
    assert all("Unknown" not in state["comment"] for state in states)
