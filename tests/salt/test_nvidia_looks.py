# SPDX-License-Identifier: GPL-3.0-or-later
"""What a driver's state says is so, it has looked at; see ``nvidia_folder``."""

from __future__ import annotations

import os

import pytest
from nvidia_beds import Qube
from nvidia_folder import BLACKLIST, FEDORA_KERNEL, Folder

STATE = "nvidia.driver_installed"
GRUB = "boot/grub2/grub.cfg"
BOOT = "proc/sys/kernel/random/boot_id"
CARD = {
    f"sys/bus/pci/devices/0000:00:06.0/{name}": f"{value}\n"
    for name, value in {"vendor": "0x10de", "device": "0x2504", "class": "0x030000"}.items()
}
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


def test_a_restart_that_did_not_help_is_a_failure(tmp_path):
    """Also where this state has changed nothing here, and after a run that was killed."""
    qube = Folder(tmp_path, {**CARD, BOOT: "A\n"})
    for boot in "AB":
        qube.write(BOOT, f"{boot}\n")
        answer = qube.apply()
        assert (answer["result"], answer["changes"]) == (boot == "A", {})
        assert ("not loaded yet: restart" if boot == "A" else "but it is not loaded") in answer[
            "comment"
        ]
        assert qube.apply(test=True)["result"] is (boot == "A")
    (qube.root / "etc/modprobe.d/nouveau.conf").unlink()
    assert Qube.kill_at(qube, ".*: wrote /etc/modprobe.d")
    assert "not loaded yet: restart" in qube.apply()["comment"]
    qube.write(BOOT, "C\n")
    assert qube.apply()["result"] is False


def test_a_dry_run_makes_no_promise(tmp_path):
    qube = Folder(tmp_path, {**CARD, BOOT: "A\n"})
    assert "not loaded yet: restart" in qube.apply(test=True)["comment"]
    assert not (qube.root / "var/lib/qvm-gpu").exists()
