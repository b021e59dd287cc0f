# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: `build/srv` as it is shipped, a Salt without our package, and machines with it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from saltext.qvm_gpu.sandbox import Sandbox

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[1] / "salt")]

from machines import REPOSITORY, VERSIONS, Bed, BedUnavailable, Disposable, Dom0, salt_alone


@pytest.fixture(scope="session")
def srv() -> Path:
    """The tree that `make srv` builds."""
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
    command = ["make", "-s", "srv"]
    subprocess.run(command, cwd=REPOSITORY, check=True, env=environment, timeout=600)
    return REPOSITORY / "build" / "srv"


@pytest.fixture(scope="session")
def salts():
    """``salts("3006")``: where that Salt is, without our package beside it."""
    made: dict[str, Path] = {}
    with TemporaryDirectory(dir=REPOSITORY / "build", prefix="salt-") as folder:  # rpm hides /tmp

        def find(version: str) -> Path:
            if version not in made:
                try:
                    made[version] = salt_alone(version, Path(folder) / version)
                except BedUnavailable as error:
                    pytest.skip(str(error))
            return made[version]

        yield find


@pytest.fixture(params=VERSIONS, scope="module")
def version(request) -> str:
    return request.param


@pytest.fixture(scope="session")
def start(tmp_path_factory, salts):
    """``with start() as go``: machines by what they are, ended with the context."""

    class Machines(ExitStack):
        def bed(self, name: str = "debian12") -> Bed:
            return self.enter_context(Bed(name))

        def dom0(self, version: str, name: str = "debian12") -> Dom0:
            folder = tmp_path_factory.mktemp("sandbox")
            sandbox = self.enter_context(Sandbox(folder=folder, root=True))
            return Dom0(self.bed(name), salts(version), version, sandbox)

        def disposable(self, version: str) -> Disposable:
            return Disposable(self.bed(), salts(version), version)

        def nothing(self) -> Path:
            """What a dom0 without our modules would hand over."""
            folder = tmp_path_factory.mktemp("nothing")
            (folder / "master").write_text("file_roots: {base: [/srv/salt]}\n")
            return folder

        def __exit__(self, kind, error, trace):
            ended = super().__exit__(kind, error, trace)
            if kind is not None and issubclass(kind, BedUnavailable):
                pytest.skip(str(error))
            return ended

    return Machines


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    """A qubesd that nobody should ask."""
    with Sandbox(folder=tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox
