# SPDX-License-Identifier: GPL-3.0-or-later
"""nvidia.driver_installed is killed at every line that it logs, and the next run ends the same."""

from __future__ import annotations

import pytest
from nvidia_beds import RECORD, debian12, fedora41, qube  # noqa: F401

STEPS = {"repositories", "grubby", "tmp", "packages", "module", "nouveau", "xorg"}
# In the middle of a transaction: both dnfs' words, then either's.
BEGUN = "packages: Running transaction"
IN_BETWEEN = ["packages:   Installing ", r"packages: \[ 5/11\] Inst"]


def with_transaction(notes):
    """The line of dnf where it belongs among the state's own."""
    at = next(i for i, note in enumerate(notes) if note.startswith("module:"))
    return [*notes[:at], BEGUN, *notes[at:]]


def undisturbed(name, folder, **body):
    """What a run logs of its own where nobody kills it, and how it ends."""
    with qube(name, folder) as one:
        one.install(**body)
        return one.notes(), one.end_state()


def test_killed_at_every_line_one_after_the_other(fedora41, tmp_path):
    """Each run dies at least a line later than the one before; the last one is left alone."""
    notes, end = undisturbed(fedora41.bed.name, tmp_path / "undisturbed")
    assert {note.split(":")[0] for note in notes} == STEPS
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
            if not one.kill_at(note):
                assert note in IN_BETWEEN, f"no such line: {note}"
                continue
            killed += 1
            one.install()
            assert one.end_state() == end, note
            assert one.install()["changes"] == {}, note
    assert killed > len(notes)


@pytest.mark.slow_bed
def test_killed_at_every_line_on_debian(debian12, tmp_path):
    """Also while dpkg unpacks, and while DKMS builds: what is half-done then is healed."""
    headers = ["linux-headers-amd64", f"linux-headers-{debian12.facts['kernel']}"]
    body = {"packages": [*headers, "nvidia-kernel-dkms"]}
    notes, end = undisturbed("debian12", tmp_path / "undisturbed", **body)
    assert {note.split(":")[0] for note in notes} == {"sources", "packages", "nouveau"}
    at = next(i for i, note in enumerate(notes) if note.startswith("nouveau:"))
    busy = ["packages: Unpacking nvidia-kernel-dkms", r"\w+: Building initial module"]
    lines = [*notes[:at], *busy, *notes[at:]]
    for at in range(len(lines)):
        assert debian12.kill_at(*lines[at:], **body), lines[at]
    debian12.install(**body)
    assert debian12.end_state() == end
    assert debian12.install(**body)["changes"] == {}
