# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own process is killed (-9) at each writing call, before and after it was carried out.

A process a case: it is forked from this one, which has Salt loaded, and runs the state until the
sandbox kills it. What it leaves is for the next run to find. A bounded selection; every writing
call with QVM_GPU_SOAK=1.
"""

from __future__ import annotations

import os
import signal

import pytest
from bed import comparable
from soak import SOAK, in_time

KINDS = ("kill-before", "kill-after")
A_SCENARIO = 4  # calls of each scenario in make check


def selection(bed):
    """(kind, number of the call): all of them, or an even spread."""
    writing = [at for at, call in enumerate(bed.calls, 1) if call.writing]
    if not SOAK:
        writing = writing[:: -(-len(writing) // A_SCENARIO)]
    return [(kind, at) for at in writing for kind in KINDS]


def run_and_die(bed, kind, at):
    """The state in a process that is killed at this call; how that process ended."""
    bed.sandbox.clear_log()
    bed.arm(kind, at)
    pid = os.fork()
    if pid == 0:
        try:
            bed.run()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def records(bed):
    """What creations left on file."""
    return sorted(path.name for path in bed.records.glob("*")) if bed.records.exists() else []


def one_case(bed, kind, at, count):
    """It dies, and the next run ends where the undisturbed one did."""
    assert run_and_die(bed, kind, at) == -signal.SIGKILL, "it was not killed"
    struck = next(call for call in bed.sandbox.log() if call.fault)
    assert struck.method == bed.calls[at - 1].method
    bed.sandbox.faults()
    left = comparable(bed.sandbox.state())
    if bed.scenario.qube in left and bed.clones and not bed.complete(left):
        assert records(bed) == [f"creating-{bed.scenario.qube}.json"]
        kind += " in a half-made clone"
    bed.settle()
    count(kind)


@pytest.mark.timeout(3600)
def test_killed(bed, count):
    failures = []
    for kind, at in in_time(selection(bed), "fault"):
        try:
            one_case(bed, kind, at, count)
        except AssertionError as problem:
            failures.append(f"{kind} call {at} {bed.calls[at - 1].request[:80]}: {problem}")
        bed.reset()
    assert not failures, f"{len(failures)} of {len(selection(bed))}:\n" + "\n".join(failures)
