# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shipped, built once for all tests that look at it."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def make(target):
    """Make a target, as a user would, whatever make runs the tests."""
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run(
        ["make", "-s", target],
        cwd=ROOT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def srv():
    make("srv")
    return ROOT / "build" / "srv"


@pytest.fixture(scope="session")
def wheel():
    make("wheel")
    (path,) = (ROOT / "dist").glob("saltext*.whl")
    return path


@pytest.fixture(scope="session")
def packages(srv):
    """What `make package` says of the RPM and the Debian package, and their paths."""
    listing = make("package")
    (rpm,) = (ROOT / "dist").glob("*.rpm")
    (deb,) = (ROOT / "dist").glob("*.deb")
    return listing, rpm, deb
