# SPDX-License-Identifier: GPL-3.0-or-later
"""qvm_gpu.restarted: a running qube boots again, a halted one is left alone."""

from __future__ import annotations

import pytest

WHOLE = {
    "shutdown": {"old": "Running", "new": "Halted"},
    "start": {"old": "Halted", "new": "Running"},
}


@pytest.fixture
def running(sandbox):
    sandbox.ok("admin.vm.Start", "work")
    sandbox.clear_log()
    return sandbox


def power(sandbox, qube="work"):
    return sandbox.ok("admin.vm.List", qube).split("state=")[1].split(" ")[0]


def methods(sandbox):
    return [call.method.removeprefix("admin.vm.") for call in sandbox.writing_calls()]


def test_a_running_one_boots_again(running, minion):
    dry = minion.one("qvm_gpu.restarted", "work", test=True)
    assert dry["result"] is None
    assert dry["changes"] == {"qvm_gpu.restarted": {"work": WHOLE}}
    assert methods(running) == []
    done = minion.one("qvm_gpu.restarted", "work")
    assert done["result"] is True, done["comment"]
    assert done["changes"] == dry["changes"]
    assert methods(running) == ["Shutdown", "Start"]
    assert power(running) == "Running"
    assert "admin.Events" in [call.method for call in running.log()]


def test_a_halted_one_is_left_alone(sandbox, minion):
    for test in (True, False):
        state = minion.one("qvm_gpu.restarted", "work", test=test)
        assert (state["result"], state["changes"]) == (True, {})
        assert "halted" in state["comment"]
    assert methods(sandbox) == []


def test_a_paused_one_wakes_up_for_it(running, minion):
    running.ok("admin.vm.Pause", "work")
    running.clear_log()
    done = minion.one("qvm_gpu.restarted", "work")
    assert done["result"] is True, done["comment"]
    assert methods(running) == ["Unpause", "Shutdown", "Start"]


def test_one_that_does_not_shut_down(machine, minion_for):
    slow = machine({"shutdown_delay": 60, "qubes": {"work": {"running": True}}})
    minion = minion_for(slow)
    late = minion.one("qvm_gpu.restarted", "work", {"timeout": 1})
    assert late["result"] is False
    assert "did not shut down within 1 s" in late["comment"]
    assert late["changes"] == {}
    assert methods(slow) == ["Shutdown"]
    slow.clear_log()
    forced = minion.one("qvm_gpu.restarted", "work", {"timeout": 1, "force": True})
    assert forced["result"] is True, forced["comment"]
    assert methods(slow) == ["Shutdown", "Kill", "Start"]
    assert power(slow) == "Running"


def test_one_that_is_needed(running, minion):
    busy = {
        "kind": "error",
        "match": "admin.vm.Shutdown",
        "type": "QubesVMInUseError",
        "text": "busy",
    }
    running.faults([busy])
    refused = minion.one("qvm_gpu.restarted", "work")
    assert refused["result"] is False
    assert "busy" in refused["comment"]
    assert refused["changes"] == {}
    assert power(running) == "Running"


def test_one_that_does_not_start(running, minion):
    running.faults([{"kind": "error", "match": "admin.vm.Start", "text": "no memory"}])
    state = minion.one("qvm_gpu.restarted", "work")
    assert state["result"] is False
    assert "no memory" in state["comment"]
    assert state["changes"] == {"qvm_gpu.restarted": {"work": {"shutdown": WHOLE["shutdown"]}}}
    running.faults()
    assert minion.one("qvm_gpu.restarted", "work")["changes"] == {}


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("nobody", {}, "nobody does not exist"),
        ("dom0", {}, "not dom0"),
        ("work", {"timeout": 0}, "timeout: 0"),
        ("work", {"timeout": "soon"}, "timeout"),
        ("work", {"force": [1]}, "force"),
        ("work", {"timeot": 5}, "did you mean timeout?"),
    ],
)
def test_mistakes(running, minion, name, body, words):
    state = minion.one("qvm_gpu.restarted", name, body)
    assert state["result"] is False
    assert words in state["comment"]
    assert methods(running) == []


def undisturbed(sandbox, minion):
    """The calls of a run that nothing disturbs."""
    assert minion.one("qvm_gpu.restarted", "work")["result"] is True
    calls = sandbox.log()
    sandbox.clear_log()
    return calls


@pytest.mark.parametrize("kind", ["error", "empty", "refused"])
def test_each_call_that_fails_is_named(running, minion, kind):
    """What it reports is what the log says was done, whichever call breaks."""
    for at, broken in enumerate(undisturbed(running, minion), 1):
        running.faults([{"kind": kind, "at": at, "text": "broken"}])
        state = minion.one("qvm_gpu.restarted", "work")
        running.faults()
        done = {call.method for call in running.writing_calls() if call.reply.startswith(b"0\0")}
        steps = {name: WHOLE[name] for name in WHOLE if f"admin.vm.{name.title()}" in done}
        assert state["result"] is False, broken.method
        assert broken.method in state["comment"], state["comment"]
        assert state["changes"] == ({"qvm_gpu.restarted": {"work": steps}} if steps else {})
        if power(running) == "Halted":
            running.ok("admin.vm.Start", "work")
        running.clear_log()
