# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make check` bounds and `make soak` does not, and the number of cases at the end.

tools/soak sets QVM_GPU_SOAK=1: everything is tried then, not a selection; QVM_GPU_SOAK_MINUTES
ends each part early, which says how far it came.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TypeVar

SOAK = os.environ.get("QVM_GPU_SOAK") == "1"
MINUTES = float(os.environ.get("QVM_GPU_SOAK_MINUTES") or "inf")
CASES: dict[str, Counter[str]] = {}
"""Part > kind > number, for the summary."""

Item = TypeVar("Item")
_began = time.monotonic()


def count(part: str, kind: str, number: int = 1) -> None:
    """A case for the summary."""
    CASES.setdefault(part, Counter())[kind] += number


def has_time() -> bool:
    """Whether the minutes are not over; always, where there is no limit."""
    return time.monotonic() - _began < MINUTES * 60


def in_time(items: Iterable[Item], part: str) -> Iterator[Item]:
    """The items until the minutes are over; counts those that were left out."""
    for item in items:
        if has_time():
            yield item
        else:
            count(part, "not reached")


def summary() -> Iterator[str]:
    """A line for each part."""
    for part, cases in CASES.items():
        kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(cases.items()))
        yield f"{part} cases: {cases.total() - cases['not reached']} ({kinds})"
