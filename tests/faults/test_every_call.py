# SPDX-License-Identifier: GPL-3.0-or-later
"""Every call of every writing scenario fails in every way.

A bounded selection: each call once, the kinds taking turns. All kinds at each call with
QVM_GPU_SOAK=1 in the environment, as `make soak` has it.
"""

from __future__ import annotations

import gc
import time
from collections import Counter

import pytest
from oracle import expected, leaves, looks_whole
from soak import SOAK, in_time

QUICK = ["refused", "half", "error", "empty", "garbage", "oversized"]
SLOW = ["delay", "die-before", "die-after"]
LIMIT = 12.0  # seconds for one state: its deadline, five to find out what became of a call, a start


def selection(bed):
    """(kind, number of the call) for each case."""
    calls = range(1, len(bed.calls) + 1)
    if SOAK:
        return [(kind, at) for kind in QUICK + SLOW for at in calls]
    turn = len(bed.scenario.name)
    quick = [(QUICK[(at + turn) % len(QUICK)], at) for at in calls]
    writing = [at for at in calls if bed.calls[at - 1].writing]
    slow = [(kind, writing[-1 - turn % len(writing)]) for kind in SLOW]
    return quick + slow


def disturb(bed, kind, at):
    """The state with the fault; what it answered and what the log says of it."""
    bed.sandbox.clear_log()
    bed.arm(kind, at)
    started = time.monotonic()
    state = bed.run(kind)
    took = time.monotonic() - started
    bed.after(kind)
    log = bed.sandbox.log()
    if kind == "delay":  # carried out in its turn, logged with its late reply
        late = next(i for i, call in enumerate(log) if call.fault)
        log.insert(at - 1, log.pop(late))
    return state, took, log


def asked_at_once(bed, at):
    """From where to where the calls are that may be on their way together with this one: reads wait
    for each other only where one needs another's answer."""
    first = last = at - 1
    if bed.calls[at - 1].writing:
        return slice(first, at)
    while first > 0 and not bed.calls[first - 1].writing:
        first -= 1
    while last + 1 < len(bed.calls) and not bed.calls[last + 1].writing:
        last += 1
    return slice(first, last + 1)


def struck_by(bed, kind, at, log):
    """The calls of which one must be named. All that were on their way where the daemon died. One
    that was closed unread has no request in the log: it is among those that are missing there."""
    (fault,) = (call for call in log if call.fault)
    place = asked_at_once(bed, at)
    together = bed.calls[place]
    if kind.startswith("die"):
        return together
    if fault.request:
        return [fault]
    missing = Counter(call.request for call in together)
    missing.subtract(call.request for call in log[place.start :])
    return [call for call in together if missing[call.request] > 0]


def needless(bed, struck):
    """Whether another call says all that this one would have: that there is no such qube."""
    missing = [call for call in bed.calls if call.reply.startswith(b"2\0QubesVMNotFoundError")]
    own = [call for call in missing if call.dest == struck.dest]
    return struck.request in [call.request for call in missing] and len(own) > 1


def names(comment, call):
    """Whether the comment says that this call failed, and at which qube."""
    return call.method in comment and f" on {call.dest}" in comment


def check(bed, state, log, struck):
    """What the state said against what the log says."""
    comment = state["comment"]
    assert "Traceback" not in comment
    assert leaves(state["changes"]) == expected(log, bed.whole, bed.clones), comment
    spared = [needless(bed, call) for call in struck]
    if state["result"] is True or spared == [True]:
        assert any(spared), comment
        assert state["result"] is True and state["changes"] == bed.whole, comment
        return
    assert state["result"] is False, comment
    wanted = sorted({f"{call.method} on {call.dest}" for call in struck})
    assert any(names(comment, call) for call in struck), f"none of {wanted} is named: {comment}"


def one_case(bed, kind, at):
    """One disturbed run and what comes after it. False where the protocol hides the fault."""
    before = bed.held()
    state, took, log = disturb(bed, kind, at)
    if bed.held() != before:
        gc.collect()  # of Salt's own leavings
    assert bed.held() == before
    assert took < LIMIT * bed.patience
    faults = [call for call in log if call.fault]
    assert len(faults) == 1, "the fault did not strike once"
    struck = struck_by(bed, kind, at, log)
    bed.sandbox.faults()
    if kind == "half" and looks_whole(faults[0]):
        return False
    check(bed, state, log, struck)
    bed.settle()
    return True


def patiently(bed, kind, at):
    """The case; where a deadline may have struck another call than it should, as on a machine that
    is busy, once more with longer ones."""
    try:
        return one_case(bed, kind, at)
    except AssertionError:
        if kind != "delay":
            raise
    bed.reset()
    bed.patience = 5
    try:
        return one_case(bed, kind, at)
    finally:
        bed.patience = 1


@pytest.mark.timeout(7200)
def test_every_call(bed, count):
    failures = []
    for kind, at in in_time(selection(bed), "fault"):
        try:
            count(kind if patiently(bed, kind, at) else "half that looks whole")
        except AssertionError as problem:
            failures.append(f"{kind} at call {at} {bed.calls[at - 1].request[:80]}: {problem}")
        if kind.startswith("die"):
            bed.renew()
        bed.reset()
    assert not failures, f"{len(failures)} of {len(selection(bed))}:\n" + "\n".join(failures)
