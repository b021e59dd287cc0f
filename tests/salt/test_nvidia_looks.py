# SPDX-License-Identifier: GPL-3.0-or-later
"""What a driver's state says is so, it has looked at; see ``nvidia_folder``."""

from __future__ import annotations

import os
import subprocess

import pytest
from nvidia_beds import Qube
from nvidia_folder import BLACKLIST, FEDORA_KERNEL, FEDORA_MODULE, KERNEL, Folder, package
from test_nvidia_unchanged import FILES, MODINFO

STATE = "nvidia.driver_installed"
MACROS = "etc/rpm/macros.nvidia-kmod"
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
    qube.say("rpm -qa", "\n".join(names) + "\n")
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


def builds(qube: Folder, license: str) -> None:
    """What akmods builds from now on, under that licence."""
    qube.programs("akmods")
    command = ["cc", "-c", "-x", "c", "-o", qube.root / "built.ko", "-"]
    source = MODINFO.replace("license=NVIDIA", f"license={license}")
    subprocess.run(command, input=source, text=True, check=True)
    qube.write("said/akmods.--force", "")
    qube.write("said/akmods.--force.then", f"/built.ko /{FEDORA_MODULE}\n")


@root_only
def test_a_flavor_is_what_the_modules_licence_says(tmp_path):
    """The macro file is right and the module is not: it is built again, and looked at again."""
    qube = fedora(tmp_path, {MACROS: "%_with_kmod_nvidia_open 1\n"})
    dry = qube.apply(test=True, flavor="open")
    assert dry["changes"]["module"][FEDORA_KERNEL]["old"] == "535.1 (proprietary)"
    builds(qube, "NVIDIA")
    wrong = qube.apply(flavor="open")
    assert wrong["result"] is False
    assert "open module for" in wrong["comment"] and "proprietary" in wrong["comment"]
    builds(qube, "Dual MIT/GPL")
    done = qube.apply(flavor="open")
    assert done["result"] is True, done
    module = {"old": "535.1 (proprietary)", "new": "535.1 (open)"}
    assert done["changes"] == {"module": {FEDORA_KERNEL: module}}
    before = qube.ran()
    assert qube.apply(flavor="open")["changes"] == {}
    assert [line for line in qube.ran()[len(before) :] if not line.startswith("rpm -q ")] == []
    assert (qube.root / MACROS).exists()  # there before us: auto leaves it
    assert qube.apply()["changes"] == {}


@root_only
def test_auto_takes_our_choice_back(tmp_path):
    qube = fedora(tmp_path)
    builds(qube, "Dual MIT/GPL")
    assert qube.apply(flavor="open")["result"] is True
    builds(qube, "NVIDIA")
    done = qube.apply()
    assert done["result"] is True, done
    assert done["changes"]["files"][f"/{MACROS}"]["new"] is None
    assert done["changes"]["module"][FEDORA_KERNEL]["new"] == "535.1 (proprietary)"
    assert not (qube.root / MACROS).exists()
    assert qube.apply()["changes"] == {}


@root_only
def test_debians_packages_of_both_flavors_prove_none(tmp_path):
    both = FILES["var/lib/dpkg/status"] + package("nvidia-open-kernel-dkms")
    qube = Folder(tmp_path, {"var/lib/dpkg/status": both})
    qube.programs("dkms")
    assert qube.apply(flavor="proprietary")["result"] is True
    assert qube.apply(test=True, flavor="open")["result"] is None
    answer = qube.apply(flavor="open")
    assert (answer["result"], answer["changes"]) == (False, {})
    assert (
        f"open module for {KERNEL}, where there is the other one: proprietary" in answer["comment"]
    )


@pytest.mark.parametrize("content", ["the script", "another"])
def test_a_program_can_be_run(tmp_path, content):
    """A file that is there with a mode of its own gets what it lacks, and keeps the rest."""
    qube = Folder(tmp_path)
    script = qube.root / "usr/local/bin/nvrun"
    offload = "nvidia.prime_offload"
    assert qube.apply(function=offload)["changes"]["files"]
    assert script.stat().st_mode & 0o7777 == 0o755
    if content == "another":
        script.write_text("exit 1\n")
    script.chmod(0o664)
    dry = qube.apply(test=True, function=offload)
    assert (dry["result"], script.stat().st_mode & 0o7777) == (None, 0o664)
    done = qube.apply(function=offload)
    assert done["result"] is True
    assert done["changes"] == dry["changes"]
    assert done["changes"]["modes"] == {"/usr/local/bin/nvrun": {"old": "0664", "new": "0775"}}
    assert ("files" in done["changes"]) == (content == "another")
    assert script.stat().st_mode & 0o7777 == 0o775
    assert script.read_text().startswith("#!/bin/sh\n")
    assert qube.apply(function=offload)["changes"] == {}
