# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests of trust."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
for folder in (HERE.parent / "faults", HERE.parent / "salt", HERE.parent, HERE):
    sys.path.insert(0, str(folder))

from rig import Minion, QuickMinion
from saltext.qvm_gpu.sandbox import Sandbox


@pytest.fixture(scope="session")
def failing(tmp_path_factory):
    """The library that counts what the core allocates, and lets it fail."""
    built = tmp_path_factory.mktemp("failing") / "failing.so"
    command = ["cc", "-std=c17", "-O1", "-shared", "-fPIC", "-fvisibility=hidden", "-fno-builtin",
               "-Wall", "-Wextra", "-Werror", "-o", built, HERE / "failing.c"]  # fmt: skip
    subprocess.run(command, check=True)
    return built


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    """A default machine for the tests of a file."""
    with Sandbox(folder=tmp_path_factory.mktemp("sandbox"), root=True) as one:
        one.snapshot()
        yield one


@pytest.fixture(scope="module")
def quick(sandbox, tmp_path_factory):
    """A minion on it, with Salt's compiler made once."""
    folder = tmp_path_factory.mktemp("quick") / "minion"
    return QuickMinion(folder, socket=sandbox.socket, root=sandbox.root)


@pytest.fixture
def minion_for(tmp_path):
    """``minion_for(sandbox)``: a minion for real salt-calls; keywords as :class:`rig.Minion`."""
    made = []

    def make(sandbox, **kwargs):
        kwargs = {"socket": sandbox.socket, "root": sandbox.root, **kwargs}
        made.append(Minion(tmp_path / f"minion{len(made)}", **kwargs))
        return made[-1]

    return make
