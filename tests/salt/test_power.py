# SPDX-License-Identifier: GPL-3.0-or-later
"""Power states: qubesd's events end the wait, the timeout is an argument, the change is told."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest
from rig import no_process

LONG = 300  # seconds that nothing here waits for
SLOW = {"qubes": {"work": {"running": True}}}
READING = ("admin.vm.List", "admin.vm.CurrentState", "admin.vm.property.Get")


def change(state):
    """``old -> new`` of the power state."""
    ((_, changes),) = state["changes"].items()
    return f"{changes['power_state']['old']} -> {changes['power_state']['new']}"


def methods(sandbox):
    """What was asked for, in its order."""
    return [call.method.removeprefix("admin.vm.") for call in sandbox.log()]


def looks(sandbox):
    """How often the qube's state was read."""
    return sum(call.method.startswith(READING) for call in sandbox.log())


@pytest.mark.parametrize(
    ("function", "before", "calls", "told"),
    [
        ("start", [], ["Start"], "Halted -> Running"),
        ("pause", ["Start"], ["Pause"], "Running -> Paused"),
        ("unpause", ["Start", "Pause"], ["Unpause"], "Paused -> Running"),
        ("start", ["Start", "Pause"], ["Unpause"], "Paused -> Running"),
        ("shutdown", ["Start"], ["Shutdown"], "Running -> Halted"),
        ("kill", ["Start", "Pause"], ["Kill"], "Paused -> Halted"),
        ("start", ["Start"], [], None),
        ("pause", [], [], None),
        ("unpause", ["Start"], [], None),
        ("shutdown", [], [], None),
        ("kill", [], [], None),
    ],
)
def test_from_one_to_another(quick, sandbox, function, before, calls, told):
    for call in before:
        sandbox.ok(f"admin.vm.{call}", "work")
    for test in (True, False):
        sandbox.clear_log()
        state = quick.one(f"qvm.{function}", "work", test=test)
        assert state["result"] is (None if told and test else True), state
        assert (change(state) if state["changes"] else None) == told
        assert state["comment"].startswith(f"work: {told}" if told else "[SKIP] ")
        wrote = [call.method.removeprefix("admin.vm.") for call in sandbox.writing_calls()]
        assert wrote == ([] if test else calls)
        assert looks(sandbox) == 1


def test_a_shutdown_ends_with_its_event(machine, minion_for):
    """The stream is open before the call, so that no event is missed; nothing is polled."""
    sandbox = machine({"shutdown_delay": 0.3, **SLOW})
    minion = minion_for(sandbox)
    minion.one("qvm.exists", "work", test=True)
    sandbox.clear_log()
    with no_process():
        state = minion.one("qvm.shutdown", "work")
    assert state["result"] is True and change(state) == "Running -> Halted", state
    assert methods(sandbox) == ["List", "admin.Events", "Shutdown"]
    assert sandbox.state()["work"]["power"] == "Halted"


def test_one_that_does_not_go(machine, minion_for):
    """After its timeout it has failed; with force it is killed."""
    sandbox = machine({"shutdown_delay": LONG, **SLOW})
    minion = minion_for(sandbox)
    state = minion.one("qvm.shutdown", "work", {"timeout": 1})
    assert state["result"] is False and state["changes"] == {}, state
    assert "work did not shut down within 1 s" in state["comment"]
    assert sandbox.state()["work"]["power"] == "Running"
    sandbox.clear_log()
    state = minion.one("qvm.shutdown", "work", [{"timeout": 1}, {"flags": ["force", "wait"]}])
    assert state["result"] is True and change(state) == "Running -> Halted", state
    assert [call.method for call in sandbox.writing_calls()] == [
        "admin.vm.Shutdown",
        "admin.vm.Kill",
    ]


@pytest.mark.parametrize(
    ("function", "name", "body"),
    [
        ("qvm.absent", "work", {"timeout": 1}),
        ("qvm.clone", "copy", {"source": "work", "shutdown": True, "timeout": 1}),
    ],
)
def test_others_that_shut_down_have_the_timeout_too(machine, minion_for, function, name, body):
    sandbox = machine({"shutdown_delay": LONG, **SLOW})
    state = minion_for(sandbox).one(function, name, body)
    if function == "qvm.absent":  # killed, as upstream does it
        assert state["result"] is True and "work" not in sandbox.state(), state
        return
    assert state["result"] is False and "within 1 s" in state["comment"], state
    assert state["changes"] == {} and "copy" not in sandbox.state()


def test_a_start_that_takes_too_long(machine, minion_for):
    sandbox = machine({"start_delay": LONG})
    state = minion_for(sandbox).one("qvm.start", "work", {"timeout": 1})
    assert state["result"] is False and "admin.vm.Start on work" in state["comment"], state
    assert "in time" in state["comment"]


def until(condition):
    """Wait for what another one does."""
    while not condition():
        time.sleep(0.01)


@pytest.fixture
def starting(machine, minion_for):
    """``starting(seconds)``: a machine whose qube work is being started by somebody else."""

    def start(sandbox):
        with contextlib.suppress(OSError):  # it ends with the machine
            sandbox.call("admin.vm.Start", "work")

    def begin(seconds):
        sandbox = machine({"start_delay": seconds})
        minion = minion_for(sandbox)
        minion.one("qvm.exists", "work")
        threading.Thread(target=start, args=[sandbox], daemon=True).start()
        until(lambda: sandbox.state()["work"]["power"] != "Halted")
        sandbox.clear_log()
        return sandbox, minion

    return begin


@pytest.mark.parametrize("function", ["pause", "unpause", "shutdown", "absent"])
def test_one_that_is_starting_is_waited_for(starting, function):
    """Upstream kills it, then goes on to qvm-shutdown. Here its events are waited for: as soon as
    somebody listens, somebody else kills it."""
    sandbox, minion = starting(LONG)

    def kill():
        until(lambda: [call for call in sandbox.log() if call.method == "admin.Events"])
        sandbox.ok("admin.vm.Kill", "work")

    killer = threading.Thread(target=kill)
    killer.start()
    state = minion.one(f"qvm.{function}", "work")
    killer.join()
    assert state["result"] is True, state
    wrote = [call.method.removeprefix("admin.vm.") for call in sandbox.writing_calls()]
    assert [each for each in wrote if each not in ("Start", "Kill")] == (
        ["Remove"] if function == "absent" else []
    )
    assert "Transient" not in state["comment"]


def test_a_start_that_is_under_way_is_not_asked_for_again(starting):
    sandbox, minion = starting(2)
    state = minion.one("qvm.start", "work")
    assert state["result"] is True and state["changes"] == {}, state
    assert state["comment"] == "[SKIP] Running"
    assert looks(sandbox) <= 6  # the first, one behind the stream's beginning, one an event


def test_in_use_is_qubesds_to_say(quick, sandbox):
    sandbox.ok("admin.vm.Start", "work")  # and with it the netvms before it
    state = quick.one("qvm.shutdown", "sys-firewall")
    assert state["result"] is False and state["changes"] == {}
    assert "QubesVMInUseError" in state["comment"] and "work" in state["comment"]
    state = quick.one("qvm.shutdown", "sys-firewall", [{"flags": ["force"]}])
    assert state["result"] is True and change(state) == "Running -> Halted"


def test_in_qvm_vm_the_change_is_the_actions(quick, sandbox):
    body = [{"start": []}, {"running": []}, {"actions": ["start", "running"]}]
    for test in (True, False):
        state = quick.one("qvm.vm", "work", body, test)
        assert state["changes"] == {
            "qvm.start": {"power_state": {"old": "Halted", "new": "Running"}}
        }  # fmt: skip
