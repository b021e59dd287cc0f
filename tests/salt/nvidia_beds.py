# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for the driver's tests: real package managers in beds, Salt's own compiler around us."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from rig import Minion

from tests.beds.beds import Bed, BedUnavailable

STATE = "nvidia.driver_installed"
RECORD = "var/lib/qvm-gpu/nvidia.json"
LOG = "var/log/qvm-gpu/nvidia.log"


# What package managers keep for themselves, and change by being asked.
CACHES = [
    "var/cache", "var/log", "var/lib/rpm", "var/lib/dnf", "usr/lib/sysimage", "var/lib/apt",
    "var/lib/dpkg",
]  # fmt: skip


class _Listener(logging.Handler):
    """Hands on what the core logs, before the core goes on."""

    def __init__(self, heard: Callable[[logging.LogRecord], None]) -> None:
        super().__init__()
        self.heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        self.heard(record)


@contextlib.contextmanager
def listening(heard: Callable[[logging.LogRecord], None]) -> Iterator[None]:
    """Call back with every line that the core logs while the context lasts."""
    logger = logging.getLogger("_qvm_gpu_shim")
    listener, level = _Listener(heard), logger.level
    logger.addHandler(listener)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)


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

    def salt_call(self, *words: str):
        """What a salt-call inside the qube returns; skips where the bed cannot run this Python."""
        try:
            return self.bed.salt_call(*words)
        except BedUnavailable as error:
            pytest.skip(str(error))

    def programs(self, **body) -> list[str]:
        """The programs that an unchanged state starts: every one goes through the host layer."""
        started = []

        def heard(record: logging.LogRecord) -> None:
            if record.levelno == logging.DEBUG and record.getMessage().startswith("running "):
                started.append(record.getMessage().split()[1])

        with listening(heard):
            assert self.install(**body)["changes"] == {}
        return started

    def kill_at(self, *lines: str, **body) -> bool:
        """Run the driver's state until it logs a line that begins like one of these patterns, and
        kill it there with SIGKILL; false where it came to its end without one."""
        first = re.compile("|".join(lines))

        def heard(record: logging.LogRecord) -> None:
            if first.match(record.getMessage()):
                os.kill(os.getpid(), signal.SIGKILL)

        pid = os.fork()
        if pid == 0:
            try:
                with listening(heard):
                    self.apply(**body)
            finally:
                os._exit(0)
        status = os.waitpid(pid, 0)[1]
        assert not os.WIFSIGNALED(status) or os.WTERMSIG(status) == signal.SIGKILL
        return os.WIFSIGNALED(status)

    def notes(self) -> list[str]:
        """The log's own lines, without those that programs said: steps, programs, files. As
        patterns."""
        return [re.escape(line) for line in re.findall(r"(?m)^\d{4}-\S+Z (.*)$", self.read(LOG))]

    def tree(self) -> dict[str, str]:
        """Mode, owner and content of every file but those that package managers and depmod keep
        for themselves. Folders are left out: packages do not own all that they make."""
        return {
            path: " ".join(word for i, word in enumerate(digest.split(" ")) if i != 2)
            for path, digest in self.bed.hash_tree(CACHES).items()
            if not digest.startswith("4") and not re.search(r"lib/modules/[^/]+/modules\.", path)
        }

    def read(self, path: str) -> str:
        """A file's text; empty where it is not there."""
        file = self.root / path
        return file.read_text(errors="replace") if file.exists() else ""

    def installed(self, *names: str) -> bool:
        """Whether rpm has all of them."""
        return self.bed.run(["rpm", "-q", *names]).rc == 0

    def packages(self) -> list[str]:
        """Every package with its version."""
        fedora = self.facts["family"] == "fedora"
        return sorted(
            self.bed.run(
                ["rpm", "-qa"]
                if fedora
                else ["dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n"]
            ).stdout.splitlines()
        )

    def modinfo(self, field: str = "version", name: str = "nvidia") -> str:
        """What modinfo says of the module for the bed's kernel."""
        show = ["modinfo", "-k", self.facts["kernel"], "-F", field, name]
        return self.bed.run(show).stdout.strip()

    def repositories(self) -> list[str]:
        """RPM Fusion's repositories that dnf has enabled."""
        if self.facts["family"] != "fedora":
            return []
        lines = self.bed.run(["dnf", "repolist"]).stdout.splitlines()
        return sorted(line.split()[0] for line in lines if line.startswith("rpmfusion"))

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
            "module": self.modinfo() or self.modinfo(name="nvidia-current"),
            "packages": self.packages(),
            "modprobe": sorted(path.name for path in (self.root / "etc/modprobe.d").iterdir()),
            "xorg": (self.root / "usr/share/X11/xorg.conf.d/nvidia.conf").exists(),
            "repositories": self.repositories(),
            "left over": sorted(
                str(path.relative_to(self.root))
                for folder in ("etc", "boot", f"lib/modules/{kernel}")
                for path in (self.root / folder).rglob("*.qvm-gpu*")
            ),
        }


@contextlib.contextmanager
def qube(name: str, folder: Path) -> Iterator[Qube]:
    """A fresh qube; skips where its bed cannot be built."""
    bed = Bed(name)
    try:
        bed.__enter__()
    except BedUnavailable as error:
        pytest.skip(f"bed {name}: {error}")
    try:
        if bed.facts["family"] == "fedora":
            bed.set_akmods("ok", 0)
        yield Qube(bed, folder)
    finally:
        bed.__exit__(None, None, None)


def _qube(name: str, folder: Path) -> Iterator[Qube]:
    with qube(name, folder / "minion-in-bed") as one:
        yield one


@pytest.fixture
def fedora40(tmp_path: Path) -> Iterator[Qube]:
    yield from _qube("fedora40", tmp_path)


@pytest.fixture
def fedora41(tmp_path: Path) -> Iterator[Qube]:
    yield from _qube("fedora41", tmp_path)


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
