# SPDX-License-Identifier: GPL-3.0-or-later
"""A sample of the faults through a real salt-call, which has no memory of an earlier run."""

from __future__ import annotations

import json
import signal

import pytest
from bed import Bed, comparable
from oracle import expected, leaves
from rig import Minion
from scenarios import SCENARIOS

CREATION = next(one for one in SCENARIOS if one.name == "gpu")


@pytest.fixture(params=[CREATION], ids=["gpu"], scope="session")
def bed(request, tmp_path_factory, compilers):
    """One machine."""
    one = Bed(tmp_path_factory.mktemp("call"), request.param, compilers)
    yield one
    one.stop()


@pytest.fixture
def minion(bed, tmp_path):
    """A minion whose salt-call talks to that machine."""
    bed.reset()
    one = Minion(tmp_path / "minion", socket=bed.sandbox.socket, root=bed.sandbox.root)
    one.write("t.sls", bed.scenario.sls)
    return one


def copying(bed):
    """The number of the call that copies a volume."""
    return next(at for at, call in enumerate(bed.calls, 1) if call.method.endswith("CloneTo"))


def settle(bed, minion):
    """One salt-call reaches the end, the next does nothing."""
    bed.sandbox.faults()
    (again,) = minion.apply("t")
    assert again["result"] is True, again["comment"]
    assert comparable(bed.sandbox.state()) == bed.end
    bed.sandbox.clear_log()
    (quiet,) = minion.apply("t")
    assert quiet["result"] is True and quiet["changes"] == {}
    assert not bed.sandbox.writing_calls()


@pytest.mark.parametrize("kind", ["error", "die-after"])
def test_a_call_fails(bed, minion, kind, count):
    at = copying(bed)
    bed.arm(kind, at)
    done = minion.run("state.apply", "t")
    bed.after(kind)
    assert done.returncode != 0 and "Traceback" not in done.stdout + done.stderr
    (state,) = json.loads(done.stdout)["local"].values()
    assert state["result"] is False
    assert bed.calls[at - 1].method in state["comment"]
    assert leaves(state["changes"]) == expected(bed.sandbox.log(), bed.whole, bed.clones)
    settle(bed, minion)
    count(f"salt-call {kind}")
    if kind.startswith("die"):
        bed.renew()


@pytest.mark.parametrize("kind", ["kill-before", "kill-after"])
def test_salt_call_is_killed(bed, minion, kind, count):
    bed.arm(kind, copying(bed))
    assert minion.run("state.apply", "t").returncode == -signal.SIGKILL
    assert (minion.cache / "qvm_gpu" / f"creating-{bed.scenario.qube}.json").exists()
    assert bed.complete(bed.sandbox.state()) == (kind == "kill-after")
    settle(bed, minion)
    count(f"salt-call {kind}")
