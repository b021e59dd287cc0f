# SPDX-License-Identifier: GPL-3.0-or-later
"""RPM and Debian package, installed by rpm and dpkg beside a real Salt, which their scripts run."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from machines import CORE, EXTMODS, REPOSITORY

TREE = "srv/formulas/base/qvm-gpu"
CONF = "etc/salt/minion.d/qvm-gpu.conf"
OTHERS = "module_of_others.py"
WAYS = {
    "fedora41": ("*.rpm", ["rpm", "-U", "--nodeps", "--nosignature"], ["rpm", "-e"]),
    "debian12": ("*.deb", ["dpkg", "--force-depends", "-i"], ["dpkg", "-P"]),
}


@pytest.fixture(scope="session")
def packages(srv):
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
    command = ["make", "-s", "package"]
    subprocess.run(
        command, cwd=REPOSITORY, check=True, env=environment, timeout=600, capture_output=True
    )
    return REPOSITORY / "dist"


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("3006", "fedora41"),
        ("3008", "debian12"),
        pytest.param("3008", "fedora41", marks=pytest.mark.slow_bed),
        pytest.param("3006", "debian12", marks=pytest.mark.slow_bed),
    ],
)
def test_scripts_sync_and_clean_up(version, name, start, packages, srv):
    """Salt's list of files is not believed, though it is new; what Python compiled goes, too."""
    pattern, install, remove = WAYS[name]
    (package,) = packages.glob(pattern)
    with start() as go:
        dom0 = go.dom0(version, name)
        # What another formula has synced stays what it is.
        dom0.write(f"srv/salt/_modules/{OTHERS}", "def answer():\n    return 'theirs'\n")
        dom0.call("saltutil.sync_all", "saltenv=base")
        shutil.copy(package, dom0.root / "tmp" / package.name)
        dom0.bed.run([*install, f"/tmp/{package.name}"], check=True, timeout=420)
        built = (srv / "_modules" / CORE).read_bytes()
        assert (dom0.root / EXTMODS / "modules" / CORE).read_bytes() == built
        assert (dom0.root / TREE / "_modules" / CORE).read_bytes() == built
        assert f"modules/{OTHERS}" in dom0.extmods()
        (state,) = dom0.apply("state.apply", "test")
        assert state["comment"] == "Qube dom0 exists"
        dom0.bed.run([*remove, "salt-qvm-gpu"], check=True, timeout=420)
        assert dom0.extmods() == {f"modules/{OTHERS}"}
        assert not (dom0.root / TREE).exists() and not (dom0.root / CONF).exists()
        assert dom0.run("qvm.check", "dom0").rc != 0
