# SPDX-License-Identifier: GPL-3.0-or-later
"""Every program that nvidia.driver_installed starts breaks once; the next run ends the same."""

from __future__ import annotations

import contextlib
import logging
import shutil

import pytest
from nvidia_beds import STATE, listening, qube

WAYS = {
    "fails": "#!/bin/sh\necho broken on purpose >&2\nexit 7\n",
    "dies": "#!/bin/sh\nkill -9 $$\n",
}


def path_of(one, program):
    """Where the program is, in the root."""
    for folder in ("usr/bin", "usr/sbin", "bin", "sbin"):
        found = one.root / folder / program.lstrip("/").removeprefix(folder).lstrip("/")
        if found.exists():
            return found
    raise AssertionError(f"no {program} in the bed")


class Saboteur:
    """Puts something broken in the place of the program that is started as number ``at``, and the
    program back when anything else is said."""

    def __init__(self, one, at, way):
        self.one, self.at, self.way = one, at, way
        self.started = []
        self.broken = None

    def heard(self, record):
        """A line of the core, before the core goes on."""
        self.mend()
        line = record.getMessage()
        if record.levelno != logging.DEBUG or not line.startswith("running "):
            return
        self.started.append(line.removeprefix("running "))
        if len(self.started) == self.at:
            program = path_of(self.one, self.started[-1].split()[0])
            kept = program.with_name(f".{program.name}.kept")
            program.rename(kept)
            program.write_text(WAYS[self.way], "utf-8")
            program.chmod(0o755)
            self.broken = (kept, program)

    def mend(self):
        """The program is whole again."""
        if self.broken:
            kept, program = self.broken
            kept.replace(program)
            self.broken = None


@contextlib.contextmanager
def sabotage(one, at, way):
    """While it lasts, the program number ``at`` breaks."""
    saboteur = Saboteur(one, at, way)
    with listening(saboteur.heard):
        yield saboteur
    saboteur.mend()


def programs(one):
    """What an undisturbed run starts, in its order, and where it ends."""
    with sabotage(one, 0, "fails") as saboteur:
        one.install()
    return saboteur.started, one.end_state()


@pytest.mark.parametrize("way", sorted(WAYS))
def test_every_program_breaks_one_after_the_other(fedora41, way, tmp_path):
    """In one qube: each run breaks at a later program than the one before."""
    with qube("fedora41", tmp_path / "undisturbed") as whole:
        started, end = programs(whole)
    broken = passed = 0
    for at in range(1, 4 * len(started)):
        with sabotage(fedora41, at, way) as saboteur:
            answer = fedora41.apply(STATE)
        assert "Traceback" not in answer["comment"]
        if len(saboteur.started) < at:
            break  # there is no program that has not been broken
        if answer["result"] is False:
            broken += 1
            name = saboteur.started[at - 1].split()[0].rpartition("/")[2]
            assert name in answer["comment"], f"{saboteur.started[at - 1]}: {answer['comment']}"
        else:
            passed += 1  # what it would have told is not needed, or is told otherwise
    assert answer["result"] is True, answer["comment"]
    assert broken >= 5, (broken, passed, started)
    assert fedora41.end_state() == end
    assert fedora41.install()["changes"] == {}
    assert fedora41.apply("nvidia.driver_removed")["result"] is True


@pytest.mark.slow_bed
@pytest.mark.parametrize("way", sorted(WAYS))
def test_every_program_breaks_in_a_fresh_qube(tmp_path, way):
    """The others are whole: what was done until then stays, and the next run ends the same."""
    with qube("fedora41", tmp_path / "undisturbed") as whole:
        started, end = programs(whole)
    for at in range(1, len(started) + 1):
        with qube("fedora41", tmp_path / str(at)) as one:
            with sabotage(one, at, way):
                answer = one.apply(STATE)
            assert "Traceback" not in answer["comment"]
            one.install()
            assert one.end_state() == end, started[at - 1]
            assert one.install()["changes"] == {}, started[at - 1]
    shutil.rmtree(tmp_path, ignore_errors=True)
