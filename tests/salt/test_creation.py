# SPDX-License-Identifier: GPL-3.0-or-later
"""Creations that break: undone where they can be, found by their record where they were cut off."""

from __future__ import annotations

import json

import pytest

BODY = {
    "present": [{"template": "fedora-40-xfce"}, {"class": "StandaloneVM"}, {"label": "yellow"}],
    "prefs": [{"memory": 4000}],
}


def names(sandbox):
    return [line.split(" ")[0] for line in sandbox.ok("admin.vm.List").splitlines()]


def record_of(minion):
    return minion.cache / "qvm_gpu" / "creating-gpu.json"


def stored(sandbox):
    """The new qube as the store keeps it, without what differs from run to run."""
    kept = dict(sandbox.state()["gpu"])
    text = json.dumps(kept, sort_keys=True)
    uuid = sandbox.ok("admin.vm.property.Get+uuid", "gpu").split(" ")[-1]
    qid = sandbox.ok("admin.vm.property.Get+qid", "gpu").split(" ")[-1]
    return text.replace(uuid, "UUID").replace(f'"qid": {qid}', '"qid": N')


@pytest.fixture
def undisturbed(sandbox, minion_for):
    """The new qube after a creation without any trouble."""
    assert minion_for(sandbox).one("qvm.vm", "gpu", BODY)["result"] is True
    kept = stored(sandbox)
    sandbox.reset()
    return kept


def test_a_failed_copy_removes_the_new_qube(sandbox, minion, undisturbed):
    sandbox.faults([{"kind": "error", "match": "admin.vm.volume.CloneTo"}])
    state = minion.one("qvm.vm", "gpu", BODY)
    assert state["result"] is False
    assert "admin.vm.volume.CloneTo+root on gpu" in state["comment"]
    assert "was removed again" in state["comment"]
    assert state["changes"] == {}
    assert "gpu" not in names(sandbox)
    assert not record_of(minion).exists()
    sandbox.faults()
    assert minion.one("qvm.vm", "gpu", BODY)["result"] is True
    assert stored(sandbox) == undisturbed


def test_a_cut_off_creation_starts_over(sandbox, minion, undisturbed):
    sandbox.ok("admin.vm.Create.StandaloneVM", "dom0", "name=gpu label=yellow")
    uuid = sandbox.ok("admin.vm.property.Get+uuid", "gpu").split(" ")[-1]
    record_of(minion).parent.mkdir(parents=True)
    record = {"name": "gpu", "source": "fedora-40-xfce", "uuid": uuid}
    record_of(minion).write_text(json.dumps(record), "utf-8")
    sandbox.clear_log()

    dry = minion.one("qvm.vm", "gpu", BODY, test=True)
    assert dry["result"] is None and "starting over" in dry["comment"]
    assert not sandbox.writing_calls() and record_of(minion).exists()

    state = minion.one("qvm.vm", "gpu", BODY)
    assert state["result"] is True, state["comment"]
    assert sandbox.writing_calls()[0].method == "admin.vm.Remove"
    assert state["changes"]["qvm.present"]["unfinished"] == {"old": "gpu", "new": None}
    assert not record_of(minion).exists()
    assert stored(sandbox) == undisturbed
    assert minion.one("qvm.vm", "gpu", BODY)["changes"] == {}


@pytest.mark.parametrize("why", ["another", "running"])
def test_a_qube_that_is_not_the_unfinished_one_is_left_alone(sandbox, minion, why):
    record = {
        "name": "work",
        "source": "fedora-40-xfce",
        "uuid": "00000000-0000-4000-8000-000000000000",
    }
    if why == "running":
        record["uuid"] = sandbox.ok("admin.vm.property.Get+uuid", "work").split(" ")[-1]
        sandbox.ok("admin.vm.Start", "work")
        sandbox.clear_log()
    path = minion.cache / "qvm_gpu" / "creating-work.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record), "utf-8")
    state = minion.one("qvm.present", "work", {"label": "blue"})
    assert state["result"] is False
    assert "cut off" in state["comment"] and "creating-work.json" in state["comment"]
    assert not sandbox.writing_calls()


def test_an_unfinished_qube_that_somebody_removes_just_now(sandbox, minion):
    """It is there when the state begins, and gone when its power state is asked for."""
    sandbox.ok("admin.vm.Create.StandaloneVM", "dom0", "name=gpu label=yellow")
    record_of(minion).parent.mkdir(parents=True)
    record_of(minion).write_text('{"name": "gpu", "source": "fedora-40-xfce"}', "utf-8")
    gone = {"kind": "error", "match": "admin.vm.List+ dom0 name gpu", "times": 0}
    sandbox.faults([gone | {"type": "QubesVMNotFoundError", "text": "no such qube"}])
    state = minion.one("qvm.present", "gpu", {"label": "yellow"})
    assert state["result"] is False and state["changes"] == {}
    assert "went away just now" in state["comment"]
    assert not [call for call in sandbox.writing_calls() if call.method == "admin.vm.Remove"]


def test_a_broken_record_is_said(sandbox, minion):
    path = record_of(minion)
    path.parent.mkdir(parents=True)
    path.write_text("{", "utf-8")
    state = minion.one("qvm.vm", "gpu", BODY)
    assert state["result"] is False and "no record of a creation" in state["comment"]
    assert not sandbox.writing_calls()


def test_an_appvm_is_one_call(sandbox, minion):
    state = minion.one("qvm.present", "mail", {"template": "fedora-41-xfce", "label": "green"})
    assert state["result"] is True
    assert [call.method for call in sandbox.writing_calls()] == ["admin.vm.Create.AppVM"]
    new = {"class": "AppVM", "label": "green", "template": "fedora-41-xfce"}
    assert state["changes"] == {"qvm.present": {"mail": {"old": None, "new": new}}}
    again = minion.one("qvm.present", "mail", {"template": "debian-12-xfce", "label": "green"})
    assert again["result"] is True and again["changes"] == {}
    assert "template is fedora-41-xfce, not debian-12-xfce" in again["comment"]


ACROSS = """
template:
  qvm.clone:
    - name: fedora-41-dev
    - source: fedora-41-xfce
net:
  qvm.vm:
    - name: net-dev
    - present:
      - template: fedora-41-dev
      - label: red
    - prefs:
      - provides-network: True
      - netvm: none
    - tags:
      - add: [made-here]
dvm:
  qvm.vm:
    - name: dev-dvm
    - present:
      - template: fedora-41-dev
      - label: red
    - prefs:
      - template_for_dispvms: True
      - default_dispvm: dev-dvm
      - netvm: net-dev
    - features:
      - enable: [appmenus-dispvm]
    - devices:
      - attach: ['block:net-dev:sda']
disp:
  qvm.present:
    - name: disp-dev
    - class: DispVM
    - template: dev-dvm
    - label: red
# what an earlier state made is looked at, and is as it left it
net-tags:
  qvm.tags:
    - name: net-dev
    - add: [made-here]
    - del: [audiovm-dom0]
dvm-features:
  qvm.features:
    - name: dev-dvm
    - set:
      - appmenus-dispvm: true
      - menu-items: a.desktop
net-is-there:
  qvm.exists:
    - name: net-dev
net-start:
  qvm.start:
    - name: net-dev
net-runs:
  qvm.running:
    - name: net-dev
again:
  qvm.vm:
    - name: personal
    - absent: []
    - present:
      - template: debian-12-xfce
      - label: green
    - actions: [absent, present]
gone:
  qvm.absent:
    - name: work
work-gone:
  qvm.missing:
    - name: work
"""


def assert_across(high, sandbox):
    sandbox.clear_log()
    dry = high(test=True)
    assert not sandbox.writing_calls()
    for state in dry:
        assert state["result"] is (None if state["changes"] else True), state
        assert "no state before" not in state["comment"], state
    named = {state["__id__"]: state["changes"] for state in dry}
    assert named["net-tags"]["qvm.tags"]["new"] == ["created-by-dom0", "guivm-dom0", "made-here"]
    assert list(named["dvm-features"]["qvm.features"]) == ["menu-items"]
    first = high(test=False)
    assert [state["result"] for state in first] == [True] * len(first), first
    assert [state["changes"] for state in first] == [state["changes"] for state in dry]


def test_a_dry_run_sees_what_earlier_states_would_make(quick, sandbox):
    assert_across(lambda test: quick.high(ACROSS, test), sandbox)


def test_it_does_so_through_salt_call(sandbox, minion_for, salt_version):
    minion = minion_for(sandbox, version=salt_version)
    minion.write("a.sls", ACROSS)
    assert_across(lambda test: minion.apply("a", f"test={test}"), sandbox)


def test_the_second_run_of_them_changes_nothing(quick, sandbox):
    sls = ACROSS[: ACROSS.index("# what an earlier state made")]
    assert len(quick.high(sls)) == 4
    sandbox.clear_log()
    assert [(state["result"], state["changes"]) for state in quick.high(sls)] == [(True, {})] * 4
    assert not sandbox.writing_calls()


@pytest.mark.parametrize(
    ("function", "body"),
    [
        ("qvm.present", {"template": "nosuch", "label": "red"}),
        ("qvm.present", {"template": "nosuch", "label": "red", "class": "StandaloneVM"}),
        ("qvm.present", {"template": "nosuch", "label": "red", "class": "DispVM"}),
        ("qvm.clone", {"source": "nosuch"}),
        ("qvm_gpu.present", {"template": "nosuch", "devices": []}),
    ],
)
def test_a_template_that_nothing_makes_is_named_in_a_dry_run(quick, sandbox, function, body):
    """It may come from elsewhere until then; a real run fails, before it writes."""
    dry = quick.one(function, "mail", body, test=True)
    assert dry["result"] is None, dry
    assert "nosuch does not exist, and no state before this one makes it" in dry["comment"]
    state = quick.one(function, "mail", body)
    assert state["result"] is False and "nosuch" in state["comment"] and state["changes"] == {}
    assert "mail" not in sandbox.state()
    assert not sandbox.writing_calls()
