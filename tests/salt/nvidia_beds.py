# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for the driver's tests: real package managers in beds, Salt's own compiler around us."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from rig import Minion

from tests.beds.beds import Bed, BedUnavailable

STATE = "nvidia.driver_installed"
RECORD = "var/lib/qvm-gpu/nvidia.json"
LOG = "var/log/qvm-gpu/nvidia.log"


class Qube:
    """A bed and the minion in it."""

    def __init__(self, bed: Bed, folder: Path) -> None:
        self.bed = bed
        self.root = bed.root
        self.facts = bed.facts
        self.minion = Minion(folder, root=bed.root, id=bed.name)

    def apply(self, function: str = STATE, test: bool = False, **body):
        """One state's return."""
        return self.minion.one(function, "driver", body, test)

    def install(self, **body):
        """The driver's state, which must succeed."""
        answer = self.apply(**body)
        assert answer["result"] is True, answer["comment"]
        return answer

    def read(self, path: str) -> str:
        """A file's text; empty where it is not there."""
        file = self.root / path
        return file.read_text(errors="replace") if file.exists() else ""

    def installed(self, *names: str) -> bool:
        """Whether rpm has all of them."""
        return self.bed.run(["rpm", "-q", *names]).rc == 0

    def modinfo(self, field: str = "version", name: str = "nvidia") -> str:
        """What modinfo says of the module for the bed's kernel."""
        show = ["modinfo", "-k", self.facts["kernel"], "-F", field, name]
        return self.bed.run(show).stdout.strip()

    def end_state(self) -> dict[str, object]:
        """What must be the same however the driver came to be there."""
        kernel = self.facts["kernel"]
        names = [
            "etc/dnf/dnf.conf", "etc/default/grub", "boot/grub2/grub.cfg", "boot/grub/grub.cfg",
            "etc/apt/sources.list", "etc/apt/sources.list.d/debian.sources",
        ]  # fmt: skip
        files = {name: self.read(name) for name in names}
        for entry in sorted((self.root / "boot/loader/entries").glob("*.conf")):
            # The driver's package and this state add the same arguments, in either order.
            files[entry.name] = sorted(set(re.split(r"\s+", entry.read_text())))
        return {
            "files": files,
            "module": self.modinfo(),
            "packages": sorted(self.bed.run(["rpm", "-qa"]).stdout.split()),
            "xorg": (self.root / "usr/share/X11/xorg.conf.d/nvidia.conf").exists(),
            "repositories": sorted(
                line.split()[0]
                for line in self.bed.run(["dnf", "repolist"]).stdout.splitlines()
                if line.startswith("rpmfusion")
            ),
            "left over": sorted(
                str(path.relative_to(self.root))
                for folder in ("etc", "boot", f"lib/modules/{kernel}")
                for path in (self.root / folder).rglob("*.qvm-gpu*")
            ),
        }


def _qube(name: str, folder: Path) -> Iterator[Qube]:
    bed = Bed(name)
    try:
        bed.__enter__()
    except BedUnavailable as error:
        pytest.skip(f"bed {name}: {error}")
    try:
        if bed.facts["family"] == "fedora":
            bed.set_akmods("ok", 0)
        yield Qube(bed, folder / "minion-in-bed")
    finally:
        bed.__exit__(None, None, None)


@pytest.fixture
def fedora40(tmp_path: Path) -> Iterator[Qube]:
    yield from _qube("fedora40", tmp_path)


@pytest.fixture(params=["fedora40", "fedora41"])
def fedora(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Qube]:
    yield from _qube(request.param, tmp_path)


@pytest.fixture
def debian12(tmp_path: Path) -> Iterator[Qube]:
    yield from _qube("debian12", tmp_path)


@pytest.fixture
def debian13(tmp_path: Path) -> Iterator[Qube]:
    yield from _qube("debian13", tmp_path)


@pytest.fixture(params=["debian12", "debian13"])
def debian(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Qube]:
    yield from _qube(request.param, tmp_path)
