# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: a sandbox and a minion that talks to it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from saltext.qvm_gpu.sandbox import Sandbox

sys.path.insert(0, str(Path(__file__).parent))

from rig import GUIDE, MACHINES, Minion, QuickMinion, Relay, build_programs, salt_call_of


@pytest.fixture(scope="session")
def shared_sandbox(tmp_path_factory):
    """One default machine for all tests that put it back as it was."""
    with Sandbox(folder=tmp_path_factory.mktemp("sandbox"), root=True) as sandbox:
        sandbox.snapshot()
        yield sandbox


@pytest.fixture
def sandbox(shared_sandbox):
    """The default machine, as if nothing had been asked of it yet."""
    shared_sandbox.faults()
    shared_sandbox.reset()
    yield shared_sandbox
    shared_sandbox.faults()


@pytest.fixture
def machine(tmp_path):
    """``machine("two-alike")`` starts a sandbox with that machine file, or with a mapping."""
    started = []

    def start(what, **kwargs):
        path = MACHINES / f"{what}.yaml" if isinstance(what, str) else what
        folder = tmp_path / f"sandbox{len(started)}"
        started.append(Sandbox(path, folder=folder, root=True, **kwargs).start())
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def minion_for(tmp_path):
    """``minion_for(sandbox)`` makes a minion that talks to it; keywords as :class:`rig.Minion`."""
    made = []

    def make(sandbox=None, **kwargs):
        folder = tmp_path / f"minion{len(made)}"
        if sandbox is not None:
            kwargs = {"socket": sandbox.socket, "root": sandbox.root, **kwargs}
        made.append(Minion(folder, **kwargs))
        return made[-1]

    return make


@pytest.fixture
def minion(sandbox, minion_for):
    """dom0's minion on the default machine."""
    return minion_for(sandbox)


@pytest.fixture(scope="session")
def shared_quick(shared_sandbox, tmp_path_factory):
    """One minion on the shared machine for the whole session."""
    folder = tmp_path_factory.mktemp("quick") / "minion"
    minion = QuickMinion(folder, socket=shared_sandbox.socket, root=shared_sandbox.root)
    for test in (True, False):  # what Salt loads late is loaded now
        minion.one("qvm.exists", "dom0", test=test)
    return minion


@pytest.fixture
def quick(sandbox, shared_quick):
    """dom0's minion on the default machine, with Salt's compiler made once for all tests."""
    return shared_quick


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """The stand-in for dom0's programs; ``rig.install_programs`` puts it into a root."""
    if os.geteuid() != 0:
        pytest.skip("only root may chroot")
    return build_programs(tmp_path_factory.mktemp("programs"))


@pytest.fixture(params=["3006", "3008"])
def salt_version(request):
    """Both supported Salt versions."""
    if not salt_call_of(request.param).exists():
        pytest.skip(f"no virtual environment with Salt {request.param}")
    return request.param


@pytest.fixture
def guide():
    """The guide's own files, in place."""
    if not GUIDE.is_dir():
        pytest.skip("the guide's files are not beside this checkout")
    return GUIDE


@pytest.fixture
def attached_elsewhere(sandbox, minion_for, tmp_path):
    """A minion whose qubesd says that the card is attached to personal, as one with Xen does."""
    relay = Relay(tmp_path / "relay.sock", sandbox.socket, (b"_sbdf='0000:01:00.0'",
                  b"attachment='personal' _sbdf='0000:01:00.0'"))  # fmt: skip
    yield minion_for(socket=str(relay.path), root=sandbox.root)
    relay.close()
