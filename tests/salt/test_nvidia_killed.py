# SPDX-License-Identifier: GPL-3.0-or-later
"""nvidia.driver_installed is killed at every line that it logs, and the next run ends the same."""

from __future__ import annotations

import contextlib
import hashlib
import re

import pytest
from nvidia_beds import RECORD, fedora41, qube  # noqa: F401

STEPS = {"repositories", "grubby", "tmp", "packages", "nouveau", "xorg"}
BUILD = 2  # seconds: then there mostly is something to wait for, the step `module`
# In the middle of a transaction: both dnfs' words, then either's.
BEGUN = "packages: Running transaction"
IN_BETWEEN = ["packages:   Installing ", r"packages: \[ 5/11\] Inst"]


def with_transaction(notes):
    """The line of dnf where it belongs among the state's own."""
    at = next(i for i, note in enumerate(notes) if re.match("module|nouveau", note))
    return [*notes[:at], BEGUN, *notes[at:]]


def undisturbed(name, folder):
    """What a run logs of its own where nobody kills it, and how it ends."""
    with qube(name, folder) as one:
        one.bed.set_akmods("ok", BUILD)
        one.install()
        return one.notes(), one.end_state()


def test_killed_at_every_line_one_after_the_other(fedora41, tmp_path):
    """Each run dies at least a line later than the one before; the last one is left alone."""
    notes, end = undisturbed(fedora41.bed.name, tmp_path / "undisturbed")
    assert {note.split(":")[0] for note in notes} - {"module"} == STEPS
    fedora41.bed.set_akmods("ok", BUILD)
    before = fedora41.tree()
    lines = with_transaction(notes)
    for at in range(len(lines)):
        assert fedora41.kill_at(*lines[at:]), lines[at]
    fedora41.install()
    assert fedora41.end_state() == end
    assert fedora41.install()["changes"] == {}
    # Everything was on record before it was done.
    assert fedora41.apply("nvidia.driver_removed")["result"] is True
    assert fedora41.tree() == before
    assert not (fedora41.root / RECORD).exists()


@pytest.mark.slow_bed
@pytest.mark.parametrize("name", ["fedora40", "fedora41"])
def test_killed_once_at_each_line(name, tmp_path):
    notes, end = undisturbed(name, tmp_path / "undisturbed")
    killed = 0
    for number, note in enumerate([*with_transaction(notes), *IN_BETWEEN]):
        with qube(name, tmp_path / str(number)) as one:
            one.bed.set_akmods("ok", BUILD)
            if not one.kill_at(note):
                assert note in IN_BETWEEN, f"no such line: {note}"
                continue
            killed += 1
            one.install()
            assert one.end_state() == end, note
            assert one.install()["changes"] == {}, note
    assert killed > len(notes)


# A driver of our own that DKMS builds in seconds, from the real headers.
SMALL = {
    "dkms.conf": """
PACKAGE_NAME="nvidia-current"
PACKAGE_VERSION="999.1"
MAKE="make -C ${kernel_source_dir} M=${dkms_tree}/${PACKAGE_NAME}/${PACKAGE_VERSION}/build modules"
CLEAN="true"
BUILT_MODULE_NAME[0]="nvidia"
DEST_MODULE_NAME[0]="nvidia-current"
DEST_MODULE_LOCATION[0]="/updates/dkms"
AUTOINSTALL="yes"
""",
    "Makefile": "obj-m := nvidia.o\n",
    "nvidia.c": '#include <linux/module.h>\nMODULE_LICENSE("GPL");\nMODULE_VERSION("999.1");\n',
}
CONTROL = """Package: nvidia-kernel-dkms
Version: 999.1-1
Architecture: amd64
Maintainer: Test Beds <beds@localhost>
Depends: dkms
Description: test bed stand-in
"""
SCRIPTS = {
    "postinst": "/usr/lib/dkms/common.postinst nvidia-current 999.1 /usr/share/nvidia '' \"$2\"",
    "prerm": "dkms remove nvidia-current/999.1 --all || true",
}


def offer_small_driver(bed):
    """A repository with a driver that is newer than the archive's, and small."""
    tree = bed.root / "srv/small/nvidia-kernel-dkms"
    for name, text in SMALL.items():
        path = tree / "usr/src/nvidia-current-999.1" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(CONTROL)
    for name, line in SCRIPTS.items():
        (tree / "DEBIAN" / name).write_text(f"#!/bin/sh\nset -e\n{line}\n")
        (tree / "DEBIAN" / name).chmod(0o755)
    bed.run(["dpkg-deb", "--root-owner-group", "-b", "/srv/small/nvidia-kernel-dkms"], check=True)
    deb = (bed.root / "srv/small/nvidia-kernel-dkms.deb").read_bytes()
    (bed.root / "srv/small/Packages").write_text(
        f"{CONTROL}Filename: ./nvidia-kernel-dkms.deb\nSize: {len(deb)}\n"
        f"SHA256: {hashlib.sha256(deb).hexdigest()}\n"
    )
    source = bed.root / "etc/apt/sources.list.d/small.list"
    source.write_text("deb [trusted=yes] file:/srv/small ./\n")


@contextlib.contextmanager
def small_driver_qube(folder):
    """A Debian qube that is offered it, and the state's arguments."""
    with qube("debian12", folder) as one:
        offer_small_driver(one.bed)
        headers = ["linux-headers-amd64", f"linux-headers-{one.facts['kernel']}"]
        yield one, {"packages": [*headers, "nvidia-kernel-dkms"]}


@pytest.mark.slow_bed
def test_killed_at_every_line_on_debian(tmp_path):
    """Also while dpkg unpacks, and while DKMS builds: what is half-done then is healed."""
    with small_driver_qube(tmp_path / "undisturbed") as (one, body):
        one.install(**body)
        notes, end = one.notes(), one.end_state()
    assert end["module"] == "999.1"
    at = next(i for i, note in enumerate(notes) if note.startswith("nouveau:"))
    busy = ["packages: Unpacking nvidia-kernel-dkms", r"\w+: Building initial module"]
    lines = [*notes[:at], *busy, *notes[at:]]
    with small_driver_qube(tmp_path / "killed") as (one, body):
        for at in range(len(lines)):
            assert one.kill_at(*lines[at:], **body), lines[at]
        one.install(**body)
        assert one.end_state() == end
        assert one.install(**body)["changes"] == {}
