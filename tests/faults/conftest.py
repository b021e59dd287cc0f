# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the fault tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
for folder in (HERE.parent / "salt", HERE.parent, HERE):
    sys.path.insert(0, str(folder))

from bed import Bed, Compilers
from scenarios import SCENARIOS
from soak import count


@pytest.fixture(scope="session")
def compilers(tmp_path_factory):
    """Salt, loaded once."""
    return Compilers(tmp_path_factory.mktemp("salt") / "minion")


@pytest.fixture(scope="session", params=SCENARIOS, ids=lambda scenario: scenario.name)
def bed(request, tmp_path_factory, compilers):
    """Each scenario's machine in turn."""
    one = Bed(tmp_path_factory.mktemp(request.param.name), request.param, compilers)
    yield one
    one.stop()


@pytest.fixture(name="count")
def count_fault():
    """``count(kind)`` counts a case for the summary."""
    return lambda kind: count("fault", kind)
