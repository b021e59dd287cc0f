# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine that the documentation's examples run on, and its two minions."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from saltext.qvm_gpu.sandbox import Sandbox

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "salt")]

from rig import STATES, Minion, build_programs, install_programs

MACHINE = {
    "qubes": {
        "sys-net": {"running": True},
        "personal": {"running": True},
        "mail": {"class": "AppVM", "template": "fedora-41-xfce", "label": "yellow"},
        "gpu": {
            "class": "StandaloneVM",
            "label": "yellow",
            "properties": {"memory": 4000, "virt_mode": "hvm", "kernel": "", "maxmem": 0},
            "devices": ["01:00.0", "01:00.1"],
        },
    },
}
GRUB = 'GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX="rhgb quiet"\n'
MENU = (
    "menuentry 'Qubes, with Xen hypervisor' {\n\tmodule2 /vmlinuz-6.12 placeholder rhgb quiet\n}\n"
)
OS_RELEASE = 'ID=fedora\nVERSION_ID=41\nPRETTY_NAME="Fedora Linux 41"\n'


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory):
    """dom0's daemon. Nothing here writes, so one does for all examples."""
    folder = tmp_path_factory.mktemp("docs")
    with Sandbox(MACHINE, folder=folder, root=True) as sandbox:
        for name, text in (("etc/default/grub", GRUB), ("boot/grub2/grub.cfg", MENU)):
            path = Path(sandbox.root) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        install_programs(
            build_programs(folder), Path(sandbox.root), "qvm-run", "qvm-template", "qvm-appmenus"
        )
        yield sandbox


@pytest.fixture(scope="session")
def dom0(sandbox, tmp_path_factory):
    """dom0's minion, with the formula."""
    folder = tmp_path_factory.mktemp("dom0") / "minion"
    minion = Minion(folder, socket=sandbox.socket, root=sandbox.root)
    minion.config["file_roots"]["base"].append(str(STATES))
    minion.write_config()
    return minion


@pytest.fixture(scope="session")
def qube(tmp_path_factory):
    """The minion of a Fedora qube."""
    folder = tmp_path_factory.mktemp("qube")
    (folder / "root" / "etc").mkdir(parents=True)
    (folder / "root" / "etc" / "os-release").write_text(OS_RELEASE, "utf-8")
    minion = Minion(folder / "minion", root=folder / "root", id="gpu")
    minion.config["file_roots"]["base"].append(str(STATES))
    minion.write_config()
    return minion
