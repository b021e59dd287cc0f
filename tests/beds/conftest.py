# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: a fresh bed a test.  A bed that cannot be built skips with its reason.

Tests marked `slow_bed` (real DKMS builds, minutes each) run with `-m slow_bed` (`make beds`).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .beds import Bed, BedUnavailable


def _fresh(name: str) -> Iterator[Bed]:
    bed = Bed(name)
    try:
        bed.__enter__()
    except BedUnavailable as error:
        pytest.skip(f"bed {name}: {error}")
    try:
        yield bed
    finally:
        bed.__exit__(None, None, None)


@pytest.fixture
def fedora40() -> Iterator[Bed]:
    """Fedora 40 with dnf 4, grubby-dummy installed, RPM Fusion off."""
    yield from _fresh("fedora40")


@pytest.fixture
def fedora41() -> Iterator[Bed]:
    """Fedora 41 with dnf5, grubby-dummy installed, RPM Fusion off."""
    yield from _fresh("fedora41")


@pytest.fixture(params=["fedora40", "fedora41"])
def fedora(request: pytest.FixtureRequest) -> Iterator[Bed]:
    """Both Fedora beds, one after the other."""
    yield from _fresh(request.param)


@pytest.fixture
def debian12() -> Iterator[Bed]:
    """Debian 12 as Qubes ships it: one-line sources without non-free."""
    yield from _fresh("debian12")


@pytest.fixture
def debian13() -> Iterator[Bed]:
    """Debian 13 with deb822 sources without non-free."""
    yield from _fresh("debian13")


@pytest.fixture(params=["debian12", "debian13"])
def debian(request: pytest.FixtureRequest) -> Iterator[Bed]:
    """Both Debian beds, one after the other."""
    yield from _fresh(request.param)
