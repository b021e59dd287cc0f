# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the fault tests, and the number of cases at the end."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "salt"))
sys.path.insert(0, str(HERE))

from bed import Bed, Compilers
from scenarios import SCENARIOS

CASES: Counter[str] = Counter()


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


@pytest.fixture
def count():
    """``count(kind)`` counts a case for the summary."""
    return lambda kind: CASES.update([kind])


def pytest_terminal_summary(terminalreporter):
    if CASES:
        kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(CASES.items()))
        terminalreporter.write_line(f"fault cases: {CASES.total()} ({kinds})")
