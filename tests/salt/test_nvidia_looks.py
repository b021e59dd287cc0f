# SPDX-License-Identifier: GPL-3.0-or-later
"""What a driver's state says is so, it has looked at; see ``nvidia_folder``."""

from __future__ import annotations

import os

import pytest
from nvidia_folder import BLACKLIST, FEDORA_KERNEL, Folder

STATE = "nvidia.driver_installed"
GRUB = "boot/grub2/grub.cfg"
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root may chroot")


def fedora(tmp_path, files=None) -> Folder:
    """A Fedora qube with the driver; rpm and grub2-mkconfig are stand-ins."""
    qube = Folder(tmp_path, files, fedora=True)
    qube.programs("rpm", "grub2-mkconfig")
    names = ["akmod-nvidia 535.1-1", "xorg-x11-drv-nvidia-cuda 535.1-1"]
    missing = [f"package {name} is not installed" for name in ("grubby-dummy", "kmod-nvidia")]
    qube.say("rpm -q", "\n".join(missing + names) + "\n")
    return qube


@root_only
@pytest.mark.parametrize("state", [STATE, "nvidia.nouveau_disabled"])
def test_the_boot_loaders_own_lines_count(tmp_path, state):
    """GRUB_CMDLINE_LINUX is as it should be; what the boot loader reads was never made of it."""
    bare = f"menuentry x {{\n  linux /vmlinuz-{FEDORA_KERNEL} root=/dev/xvda3 ro\n}}\n"
    qube = fedora(tmp_path, {GRUB: bare})
    dry = qube.apply(test=True, function=state)
    assert dry["result"] is None, dry
    stuck = qube.apply(function=state)
    assert stuck["result"] is False
    assert "the boot loader still starts" in stuck["comment"]
    qube.say("grub2-mkconfig -o", "", then={GRUB: bare.replace("ro\n", f"ro {BLACKLIST}\n")})
    done = qube.apply(function=state)
    assert done["result"] is True, done
    assert done["changes"] == dry["changes"] == {
        "boot": {f"/{GRUB}": {"old": "without the arguments that keep nouveau away",
                              "new": "with them"}}
    }  # fmt: skip
    before = len(qube.ran())
    again = qube.apply(function=state)
    assert (again["result"], again["changes"]) == (True, {})
    assert "grub2-mkconfig" not in " ".join(qube.ran()[before:])
