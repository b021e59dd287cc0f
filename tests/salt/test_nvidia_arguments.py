# SPDX-License-Identifier: GPL-3.0-or-later
"""nvidia.driver_installed's arguments, each by what it does; and what keeps programs from ending."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from nvidia_beds import LOG, fedora, fedora40, fedora41  # noqa: F401

SERVICE = "nvidia-persistenced.service"
WANTED = f"etc/systemd/system/multi-user.target.wants/{SERVICE}"
XORG = "usr/share/X11/xorg.conf.d/nvidia.conf"
LABEL = b"system_u:object_r:bootloader_etc_t:s0\0"


def stub(qube, program, script):
    """Put a shell script in a program's place, the real one kept as PROGRAM.real."""
    path = qube.root / "usr/bin" / program
    path.rename(f"{path}.real")
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_what_can_be_switched(fedora41):
    """All switches away from their defaults, then back, then everything undone."""
    before = fedora41.tree()
    switched = {
        "cuda": True, "persistence": True, "nouveau": True, "xorg_conf": True, "tmp_size": 0,
    }  # fmt: skip
    dry = fedora41.apply(test=True, **switched)
    assert dry["result"] is None
    done = fedora41.install(**switched)
    asked = {"xorg-x11-drv-nvidia-cuda-libs", "nvidia-persistenced"}
    assert asked <= set(dry["changes"]["packages"]) & set(done["changes"]["packages"])
    for changes in (dry["changes"], done["changes"]):
        assert changes["services"] == {SERVICE: {"old": "disabled", "new": "enabled"}}
        assert list(changes["files"]) == ["/etc/dnf/dnf.conf"]
    assert (fedora41.root / WANTED).is_symlink()
    assert (fedora41.root / XORG).exists()
    assert "remount" not in fedora41.read(LOG)
    for path in ("etc/default/grub", "boot/grub2/grub.cfg"):
        assert "nouveau" not in fedora41.read(path) or path.startswith("boot")
    assert fedora41.install(**switched)["changes"] == {}

    off = fedora41.install(**{**switched, "persistence": False})
    assert off["changes"] == {"services": {SERVICE: {"old": "enabled", "new": "disabled"}}}
    assert not (fedora41.root / WANTED).is_symlink()
    back = fedora41.install()
    assert set(back["changes"]) == {"files"}
    assert {"/etc/default/grub", f"/{XORG}"} <= set(back["changes"]["files"])

    fedora41.install(persistence=True)
    removed = fedora41.apply("nvidia.driver_removed")
    assert removed["result"] is True, removed["comment"]
    assert removed["changes"]["services"] == {SERVICE: {"old": "enabled", "new": "disabled"}}
    assert fedora41.tree() == before


def test_repositories_and_tmp_size(fedora40):
    """One repository has the older driver; /tmp is as large as was asked while it is built."""
    answer = fedora40.install(repositories=["rpmfusion-nonfree"], tmp_size="1536M")
    assert list(answer["changes"]["repositories"]) == ["rpmfusion-nonfree"]
    assert fedora40.repositories() == ["rpmfusion-nonfree"]
    assert fedora40.modinfo() not in ("", fedora40.facts["driver"])
    assert f"size={1536 << 20} /tmp" in fedora40.read(LOG)
    assert fedora40.read(LOG).count("mount -o remount") == 2


def test_a_kernel_that_is_not_there(fedora41):
    """Nothing is touched, and those that are there are named."""
    before = fedora41.bed.written()
    for function in ("nvidia.driver_installed", "nvidia.nouveau_disabled"):
        for test in (True, False):
            answer = fedora41.apply(function, test=test, kernel="9.9.9-1.fc41.x86_64")
            assert answer["result"] is False
            assert answer["comment"].endswith(
                "kernel is '9.9.9-1.fc41.x86_64', which is not installed here: there is "
                + fedora41.facts["kernel"]
            )
    assert fedora41.bed.written() == before


def test_the_kernel_that_was_asked_for(fedora41):
    """Not the newest one, which boots next."""
    old = fedora41.facts["kernel"]
    fedora41.bed.run(
        ["dnf", "-y", "--enablerepo=updates-testing", "upgrade", "kernel*"], check=True
    )
    kernels = {path.name for path in (fedora41.root / "lib/modules").iterdir()}
    (new,) = kernels - {old}
    for kernel in (old, new):
        assert list(fedora41.apply(test=True, kernel=kernel)["changes"]["module"]) == [kernel]
    assert list(fedora41.apply(test=True)["changes"]["module"]) == [new]
    answer = fedora41.install(kernel=old)
    assert answer["comment"].startswith(
        f"The driver {fedora41.facts['driver']} is installed for {old}"
    )


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo no bus; exit 1", "systemctl failed (exit 1): no bus"),
        ("exit 0", f"systemctl enable ended well and changed nothing: {SERVICE} says of no"),
    ],
)
def test_what_was_done_before_a_failure_is_told(fedora41, script, words):
    """The last step fails; the module that was built before is a change, the service is none."""
    stub(fedora41, "systemctl", script)
    answer = fedora41.apply(persistence=True)
    assert answer["result"] is False
    assert "step persistence: " in answer["comment"]
    assert words in answer["comment"]
    built = {"old": None, "new": fedora41.facts["driver"]}
    assert answer["changes"]["module"] == {fedora41.facts["kernel"]: built}
    assert "services" not in answer["changes"]
    (fedora41.root / "usr/bin/systemctl.real").rename(fedora41.root / "usr/bin/systemctl")
    again = fedora41.install(persistence=True)
    assert list(again["changes"]) == ["services"]


def test_a_program_without_end(fedora41):
    """The step, the program's last lines, and none of its children left."""
    script = 'case $1 in -y) ;; *) exec dnf.real "$@" ;; esac\n'
    script += "for n in 1 2 3 4 5 6 7 8 9; do echo downloading $n of 10; done\nsleep 987654"
    stub(fedora41, "dnf", script)
    answer = fedora41.apply(timeout=6)
    assert answer["result"] is False
    assert "step packages: dnf did not end within the 6 s that the state has" in answer["comment"]
    assert "downloading 9 of 10" in answer["comment"]
    assert "downloading 1 of 10" not in answer["comment"]
    assert list(answer["changes"]["packages"]) == ["grubby-dummy"]
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert "sleep 987654" not in shown.stdout
    (fedora41.root / "usr/bin/dnf.real").rename(fedora41.root / "usr/bin/dnf")
    fedora41.install()


def test_a_package_that_is_excluded(fedora):
    """dnf's way to hold one."""
    conf = fedora.root / "etc/dnf/dnf.conf"
    conf.write_text(conf.read_text() + "excludepkgs=akmod-nvidia\n")
    answer = fedora.apply()
    assert answer["result"] is False
    first = answer["comment"].splitlines()[0]
    assert re.search(r"akmod-nvidia.*exclude filtering|exclude filtering.*akmod-nvidia", first)
    assert "no repository" not in answer["comment"]
    assert not fedora.installed("akmod-nvidia")


def test_an_edited_file_keeps_its_label(fedora41):
    """SELinux's, which is an attribute like any other where no SELinux runs."""
    files = [fedora41.root / "etc/default/grub", fedora41.root / "etc/dnf/dnf.conf"]
    try:
        for file in files:
            os.setxattr(file, "security.selinux", LABEL)
    except OSError as error:
        pytest.skip(f"no labels on this file system: {error}")
    fedora41.install()
    for file in files:
        assert os.getxattr(file, "security.selinux") == LABEL
    assert fedora41.apply("nvidia.driver_removed")["result"] is True
    for file in files:
        assert os.getxattr(file, "security.selinux") == LABEL
