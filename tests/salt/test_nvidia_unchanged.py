# SPDX-License-Identifier: GPL-3.0-or-later
"""What an unchanged driver costs: nothing is started where files prove the state.

A Debian qube as the driver's installation leaves it, in a folder without a single program. Fedora,
whose package database is no text, is in ``test_nvidia_fedora.py`` with its own programs.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from nvidia_beds import STATE, listening
from rig import Minion, no_process

KERNEL = "6.1.0-18-amd64"
MODULE = f"lib/modules/{KERNEL}/updates/dkms/nvidia-current.ko"
DKMS = "var/lib/dkms/nvidia-current/535.1"
PACKAGES = [
    f"linux-image-{KERNEL}", f"linux-headers-{KERNEL}", "linux-headers-amd64", "nvidia-driver",
    "nvidia-kernel-dkms", "firmware-misc-nonfree",
]  # fmt: skip
MODINFO = (
    'const char v[] __attribute__((section(".modinfo"), used)) = "version=535.1\\0license=NVIDIA";'
)
FILES = {
    "etc/os-release": 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n',
    "etc/apt/sources.list": "deb http://mirror.example/debian bookworm main non-free\n",
    "proc/sys/kernel/osrelease": f"{KERNEL}\n",
    "var/lib/dpkg/status": "".join(
        f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\n"
        "Version: 535.1-1\nDescription: a package\n\n"
        for name in PACKAGES
    ),
}


@pytest.fixture
def installed(tmp_path: Path) -> Minion:
    root = tmp_path / "root"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, "utf-8")
    (root / MODULE).parent.mkdir(parents=True)
    command = ["cc", "-c", "-x", "c", "-o", root / MODULE, "-"]
    subprocess.run(command, input=MODINFO, text=True, check=True)
    minion = Minion(tmp_path / "minion", root=root, id="gpu")
    assert minion.one(STATE, "driver")["result"] is True  # keeps nouveau away
    return minion


def started(minion: Minion, test: bool = False) -> tuple[dict, list[str]]:
    """The state's return, and the programs that it started or looked for."""
    programs = []

    def heard(record: logging.LogRecord) -> None:
        if record.getMessage().startswith("running "):
            programs.append(record.getMessage().split()[1])

    with listening(heard):
        return minion.one(STATE, "driver", test=test), programs


@pytest.mark.parametrize("test", [True, False])
def test_files_alone_prove_the_state(installed, test):
    with no_process():
        state, programs = started(installed, test)
    assert state["result"] is True and state["changes"] == {}, state
    assert "The driver 535.1 is installed" in state["comment"]
    assert programs == []


@pytest.fixture
def compressed(installed: Minion) -> Path:
    """The root of Debian 13, whose DKMS compresses what it installs and keeps what it built."""
    root = Path(installed.environment["QVM_GPU_ROOT"])
    (root / MODULE).rename(root / f"{MODULE}.xz")
    module = root / DKMS / KERNEL / "x86_64/module/nvidia-current.ko.xz"
    for path in (module, root / DKMS / "source/dkms.conf"):
        path.parent.mkdir(parents=True)
        path.touch()
    return root


@pytest.mark.parametrize("test", [True, False])
def test_dkms_folders_tell_a_compressed_modules_version(installed, compressed, test):
    with no_process():
        state, programs = started(installed, test)
    assert state["result"] is True and state["changes"] == {}, state
    assert "The driver 535.1 is installed" in state["comment"]
    assert programs == []
    status = compressed / "var/lib/dpkg/status"
    status.write_text(status.read_text().replace("535.1-1", "550.2-1"))
    newer = started(installed, test=True)[0]
    assert newer["changes"]["module"] == {KERNEL: {"old": "535.1", "new": "built"}}


@pytest.mark.parametrize("folders", ["none", "two"])
def test_modinfo_is_asked_once_where_they_do_not(installed, compressed, folders):
    if folders == "two":
        shutil.copytree(compressed / DKMS, compressed / DKMS.replace("535.1", "530.9"))
    else:
        shutil.rmtree(compressed / DKMS)
    state, programs = started(installed)
    assert state["result"] is True and state["changes"] == {}, state
    assert "The driver (unknown version) is installed" in state["comment"]
    assert programs == []
    put_program(compressed, "modinfo", 'return puts("license:   NVIDIA\\nversion:   535.1") < 0;')
    state, programs = started(installed)
    assert state["result"] is True and state["changes"] == {}, state
    assert "The driver 535.1 is installed" in state["comment"]
    assert programs == ["modinfo"]


def put_program(root: Path, name: str, body: str) -> None:
    """A program that does nothing but this."""
    if os.geteuid() != 0:
        pytest.skip("only root may chroot")
    (root / "usr/sbin").mkdir(parents=True)
    command = ["cc", "-static", "-x", "c", "-o", root / "usr/sbin" / name, "-"]
    source = f"#include <stdio.h>\nint main(void) {{ {body} }}"
    subprocess.run(command, input=source, text=True, check=True)


def test_what_files_do_not_prove_is_asked(installed):
    """The counterpart: without its module the driver has to be built, and DKMS is started."""
    root = Path(installed.environment["QVM_GPU_ROOT"])
    (root / MODULE).unlink()
    put_program(root, "dkms", "return 1;")
    state, programs = started(installed)
    assert state["result"] is False
    assert "dkms" in programs, state
