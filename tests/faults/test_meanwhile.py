# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody else removes the qube just before one of a state's calls: any of them, in turn.

Nothing is half-made then and nothing is told that was not done; where the qube is one that the
state makes, the next run makes it.
"""

from __future__ import annotations

import re

import pytest
from bed import comparable
from oracle import expected, leaves
from soak import SOAK, count, in_time

MOST = 1000 if SOAK else 6  # calls of each scenario


def selection(bed):
    """The numbers of the calls: all of them, or an even spread."""
    calls = range(1, len(bed.calls) + 1)
    return calls[:: -(-len(calls) // MOST)]


def removed_before(bed, at):
    """The state, while somebody kills and removes its qube before its call number ``at``."""
    theirs = [f"admin.vm.{what}+ dom0 name {bed.scenario.qube}\0" for what in ("Kill", "Remove")]
    bed.sandbox.clear_log()
    bed.sandbox.faults([{"kind": "meanwhile", "at": at, "requests": theirs}])
    state = bed.run()
    log = bed.sandbox.log()
    bed.sandbox.faults()
    gone = any(call.fault and call.applied and call.method.endswith("Remove") for call in log)
    return state, log, gone


def one_case(bed, at):
    """One run of that kind, and the next; false where there was nothing to remove."""
    state, log, gone = removed_before(bed, at)
    comment, qube = state["comment"], bed.scenario.qube
    assert "Traceback" not in comment
    own = [call for call in log if not call.fault]
    # what it did, or what is left of that
    told = [expected(calls, bed.whole, bed.clones) for calls in (own, log)]
    assert leaves(state["changes"]) in told, comment
    again = bed.run()
    assert "Traceback" not in again["comment"]
    if gone and re.search(f"{qube} does not exist|there is no qube {qube}", again["comment"]):
        assert qube in bed.start and again["changes"] == {}, again["comment"]
        return gone  # this state makes none
    assert again["result"] is True, again["comment"]
    ended = comparable(bed.sandbox.state()).get(qube)
    assert (ended == bed.end.get(qube)) is True, again["comment"]
    assert bed.run()["changes"] == {}
    return gone


@pytest.mark.timeout(3600)
def test_removed_by_somebody_else(bed):
    failures = []
    for at in in_time(selection(bed), "meanwhile"):
        try:
            count("meanwhile", "removed" if one_case(bed, at) else "not there yet, or in use")
        except AssertionError as problem:
            failures.append(f"before call {at} {bed.calls[at - 1].request[:80]}: {problem}")
        bed.reset()
    assert not failures, f"{len(failures)} of {len(selection(bed))}:\n" + "\n".join(failures)
