# SPDX-License-Identifier: GPL-3.0-or-later
"""Every call of every writing scenario fails in every way.

A bounded selection: each call once, the kinds taking turns. All kinds at each call with
QVM_GPU_SOAK=1 in the environment, as `make soak` has it.
"""

from __future__ import annotations

import gc
import time

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


def struck_by(bed, at, log):
    """The call that the fault struck. One that was closed unread has no request in the log: it is
    what is missing there among those that are asked at once, whose order may be another."""
    (fault,) = (call for call in log if call.fault)
    if fault.request:
        return fault
    first = last = at - 1
    while first > 0 and not bed.calls[first - 1].writing:
        first -= 1
    while last + 1 < len(bed.calls) and not bed.calls[last + 1].writing:
        last += 1
    seen = {call.request for call in log}
    unseen = [call for call in bed.calls[first : last + 1] if call.request not in seen]
    expected_one = bed.calls[at - 1]
    return expected_one if expected_one.writing or expected_one in unseen else unseen[0]


def needless(bed, struck):
    """Whether another call says all that this one would have: that there is no such qube."""
    missing = [call for call in bed.calls if call.reply.startswith(b"2\0QubesVMNotFoundError")]
    own = [call for call in missing if call.dest == struck.dest]
    return struck.request in [call.request for call in missing] and len(own) > 1


def check(bed, state, log, struck):
    """What the state said against what the log says."""
    comment = state["comment"]
    assert "Traceback" not in comment
    assert leaves(state["changes"]) == expected(log, bed.whole, bed.clones), comment
    if needless(bed, struck):
        assert state["result"] is True and state["changes"] == bed.whole, comment
        return
    assert state["result"] is False, comment
    assert struck.method in comment, f"{struck.method} is not named: {comment}"


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
    struck = struck_by(bed, at, log)
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
