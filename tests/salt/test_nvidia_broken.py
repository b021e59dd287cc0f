# SPDX-License-Identifier: GPL-3.0-or-later
"""Every program that nvidia.driver_installed starts breaks; the next run ends the same."""

from __future__ import annotations

import contextlib
import logging
import shutil

import pytest
from nvidia_beds import STATE, fedora41, listening, qube  # noqa: F401

WAYS = {
    "fails": "#!/bin/sh\necho broken on purpose >&2\nexit 7\n",
    "dies": "#!/bin/sh\nkill -9 $$\n",
}


WRITERS = ["rpm", "mount", "dnf", "grub2-mkconfig"]
"""In the order in which the state needs them."""


def path_of(one, program):
    """Where the program is, in the root."""
    for folder in ("usr/bin", "usr/sbin", "bin", "sbin"):
        found = one.root / folder / program.lstrip("/").removeprefix(folder).lstrip("/")
        if found.exists():
            return found
    raise AssertionError(f"no {program} in the bed")


class Saboteur:
    """Puts something broken in the place of a program just before it is started, and the program
    back when anything else is said."""

    def __init__(self, one, is_meant, way):
        self.one, self.is_meant, self.way = one, is_meant, way
        self.started = []
        self.struck = False
        self.broken = None

    def heard(self, record):
        """A line of the core, before the core goes on."""
        self.mend()
        line = record.getMessage()
        if record.levelno != logging.DEBUG or not line.startswith("running "):
            return
        self.started.append(line.removeprefix("running "))
        program = self.started[-1].split()[0]
        if self.is_meant(len(self.started), program):
            self.struck = True
            self.replace(path_of(self.one, program))

    def replace(self, program):
        """The program breaks."""
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
def sabotage(one, is_meant, way):
    """While it lasts, what is_meant(number of the start, program) says breaks."""
    saboteur = Saboteur(one, is_meant, way)
    with listening(saboteur.heard):
        yield saboteur
    saboteur.mend()


def programs(name, folder):
    """What an undisturbed run starts, in its order, and where it ends."""
    with qube(name, folder) as one:
        with sabotage(one, lambda number, program: False, "fails") as saboteur:
            one.install()
        return saboteur.started, one.end_state()


@pytest.mark.parametrize("way", ["fails", pytest.param("dies", marks=pytest.mark.slow_bed)])
def test_each_program_is_broken_for_a_run(fedora41, way, tmp_path):
    """In one qube, one program after the other; what only tells something comes last, as the state
    may do without."""
    started, end = programs("fedora41", tmp_path / "undisturbed")
    found = {line.split()[0] for line in started}
    names = [*WRITERS, *sorted(found - set(WRITERS))]
    told = set()
    for name in names:
        with sabotage(fedora41, lambda number, program, name=name: program == name, way) as broken:
            answer = fedora41.apply(STATE)
        assert "Traceback" not in answer["comment"]
        if broken.struck and answer["result"] is False:
            # a database that tells nothing is met again by what needs it
            either = name.rpartition("/")[2] in answer["comment"] or name == "rpm"
            assert either, f"{name}: {answer['comment']}"
            told.add(name)
    assert set(WRITERS) <= told, (told, names)
    fedora41.install()
    assert fedora41.end_state() == end
    assert fedora41.install()["changes"] == {}
    assert fedora41.apply("nvidia.driver_removed")["result"] is True


@pytest.mark.slow_bed
@pytest.mark.parametrize("way", sorted(WAYS))
def test_every_program_breaks_in_a_fresh_qube(tmp_path, way):
    """The others are whole: what was done until then stays, and the next run ends the same."""
    started, end = programs("fedora41", tmp_path / "undisturbed")
    for at in range(1, len(started) + 1):
        with qube("fedora41", tmp_path / str(at)) as one:
            with sabotage(one, lambda number, program, at=at: number == at, way):
                answer = one.apply(STATE)
            assert "Traceback" not in answer["comment"]
            one.install()
            assert one.end_state() == end, started[at - 1]
            assert one.install()["changes"] == {}, started[at - 1]
    shutil.rmtree(tmp_path, ignore_errors=True)
