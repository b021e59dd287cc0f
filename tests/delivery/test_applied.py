# SPDX-License-Identifier: GPL-3.0-or-later
"""The formula applied for real by salt-ssh: a driver that DKMS builds in seconds, by the archive's
own apt, headers and compiler."""

from __future__ import annotations

import hashlib

import pytest
from test_nvidia_killed import offer_small_driver

LONG = 1500  # seconds: the headers and a compiler are downloaded the first time
pytestmark = pytest.mark.slow_bed
DRIVER = """Package: nvidia-driver
Version: 999.1-1
Architecture: amd64
Maintainer: Test Beds <beds@localhost>
Depends: nvidia-kernel-dkms
Description: test bed stand-in
"""


def offer_driver(bed):
    """Both packages that the formula asks for by default, newer than the archive's."""
    offer_small_driver(bed)
    control = bed.root / "srv/small/nvidia-driver/DEBIAN/control"
    control.parent.mkdir(parents=True)
    control.write_text(DRIVER)
    bed.run(["dpkg-deb", "--root-owner-group", "-b", "/srv/small/nvidia-driver"], check=True)
    deb = (bed.root / "srv/small/nvidia-driver.deb").read_bytes()
    with (bed.root / "srv/small/Packages").open("a") as index:
        index.write(
            f"\n{DRIVER}Filename: ./nvidia-driver.deb\nSize: {len(deb)}\n"
            f"SHA256: {hashlib.sha256(deb).hexdigest()}\n"
        )


def test_the_driver_is_installed_by_salt_ssh(start, srv, tmp_path):
    with start() as go:
        dom0 = go.dom0("3006")
        dom0.copy_tree(srv)
        dom0.call("saltutil.sync_all", "saltenv=base")
        disposable, bed = go.disposable("3006"), go.bed()
        offer_driver(bed)
        with bed.sshd() as target:
            disposable.receive(dom0.hand_over(tmp_path / "folder", ["gpu"]), {"gpu": target})
            (first,) = disposable.ask("gpu", "state.apply", "nvidia-driver", limit=LONG).values()
            assert first["result"] is True, first["comment"]
            assert "nvidia-kernel-dkms" in first["changes"]["packages"]
            status = disposable.ask("gpu", "nvidia.status")
            (second,) = disposable.ask("gpu", "state.apply", "nvidia-driver").values()
    assert status["module"]["version"] == "999.1"
    assert (status["state"], status["working"]) == ("restart", False)
    assert second["result"] is True and second["changes"] == {}
