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


def test_a_dry_run_sees_what_earlier_states_would_make(sandbox, minion):
    sls = """
template:
  qvm.clone:
    - name: fedora-41-dev
    - source: fedora-41-xfce
dvm:
  qvm.vm:
    - name: dev-dvm
    - present:
      - template: fedora-41-dev
      - label: red
    - prefs:
      - template_for_dispvms: True
      - default_dispvm: dev-dvm
    - features:
      - enable: [appmenus-dispvm]
disp:
  qvm.present:
    - name: disp-dev
    - class: DispVM
    - template: dev-dvm
    - label: red
"""
    dry = minion.high(sls, test=True)
    assert [state["result"] for state in dry] == [None] * 3, dry
    assert not sandbox.writing_calls()
    first = minion.high(sls)
    assert [state["result"] for state in first] == [True] * 3, first
    assert [state["changes"] for state in first] == [state["changes"] for state in dry]
    sandbox.clear_log()
    second = minion.high(sls)
    assert [(state["result"], state["changes"]) for state in second] == [(True, {})] * 3
    assert not sandbox.writing_calls()


def test_a_template_that_nothing_makes_is_named_in_a_dry_run(sandbox, minion):
    state = minion.one("qvm.present", "mail", {"template": "nosuch", "label": "red"}, test=True)
    assert state["result"] is None and "nosuch" in state["comment"]
