# SPDX-License-Identifier: GPL-3.0-or-later
"""On a machine with an NVIDIA card and a loaded driver; anywhere else these tests skip."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/driver/nvidia/version").exists(), reason="no NVIDIA driver is loaded here"
)


@pytest.fixture
def here(minion_for):
    """A minion that looks at this computer itself."""
    return minion_for(id="card")


def test_status_says_that_it_works(here):
    status = here.call("nvidia.status")
    assert status["state"] == "works", status["text"]
    assert status["working"] is True
    assert status["nvml"]["state"] == "works"
    assert status["nvml"]["cards"][0]["memory"] > 1 << 30
    assert status["loaded_version"] == status["nvml"]["driver"]
    assert status["cards"][0]["vendor"] == "0x10de"
    assert status["cards"][0]["driver"] == "nvidia"


def test_version_and_cards(here):
    version = here.call("nvidia.version")
    assert version["loaded"] == version["library"]
    assert here.call("nvidia.cards")[0]["class"].startswith("0x03")
