# SPDX-License-Identifier: GPL-3.0-or-later
"""nvidia.driver_removed: what is undone, what is left and named, and what is said of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import time

import pytest
from nvidia_beds import RECORD, debian12, fedora41, listening  # noqa: F401

from tests.beds import ko, rpms


def add_package(qube, folder, name, *tags):
    """An RPM package of somebody else's, installed by rpm."""
    built = rpms._build(rpms.Rpm(name, "1", tags=list(tags)), folder)
    (qube.root / built.name).write_bytes(built.read_bytes())
    qube.bed.run(["rpm", "-i", f"/{built.name}"], check=True)


def test_what_others_need_by_now_stays_on_fedora_too(fedora41, tmp_path):
    """A package, by a version and by a file of it; and what it needs itself."""
    fedora41.install()
    add_package(
        fedora41, tmp_path, "holder", "Requires: akmods >= 0.5", "Requires: /usr/lib64/libcuda.so.1"
    )
    answer = fedora41.apply("nvidia.driver_removed")
    assert answer["result"] is True, answer["comment"]
    assert "left installed, since other packages need them by now: " in answer["comment"]
    kept = ["akmods", "kernel-devel-matched", "xorg-x11-drv-nvidia-cuda-libs", "grubby"]
    for name in kept:
        assert f" {name}" in answer["comment"]
        # The way back to grubby-dummy takes grubby.
        assert fedora41.installed("grubby-dummy" if name == "grubby" else name)
    assert "akmod-nvidia" in answer["changes"]["packages"]
    assert not fedora41.modinfo()


def test_several_versions_of_a_package_go_together(fedora41):
    """As kernels bring them; with what akmods built for the newer one."""
    fedora41.bed.run(["rpm", "-e", "kernel-devel"], check=True)
    before = fedora41.packages()
    fedora41.install()
    upgrade = ["dnf", "-y", "--enablerepo=updates-testing", "install"]
    newer = rpms.RELEASES["41"].newer_kernel
    fedora41.bed.run([*upgrade, f"kernel-devel-{newer.removesuffix('.x86_64')}"], check=True)
    module = fedora41.root / f"usr/share/bed/kmods/open/kmod-nvidia-{newer}.rpm"
    fedora41.bed.run(["rpm", "-i", f"/{module.relative_to(fedora41.root)}"], check=True)
    assert len(fedora41.bed.run(["rpm", "-q", "kernel-devel"]).stdout.split()) == 2
    answer = fedora41.apply("nvidia.driver_removed")
    assert answer["result"] is True, answer["comment"]
    assert fedora41.packages() == before


def test_a_file_that_somebody_changed_stays_on_record(debian12):
    """With its backup, until there is a way back; and a backup is never of an earlier record."""
    path, backup = "etc/apt/sources.list", "var/lib/qvm-gpu/backup/etc/apt/sources.list"
    before = debian12.read(path)
    debian12.apply(packages=["no-such-package"])
    widened = debian12.read(path)
    assert widened != before
    assert debian12.apply("nvidia.prime_offload")["changes"]
    (debian12.root / path).write_text(f"{widened}# mine\n")
    dry = debian12.apply("nvidia.driver_removed", test=True)
    answer = debian12.apply("nvidia.driver_removed")
    assert dry["changes"] == answer["changes"]
    assert list(answer["changes"]["files"]) == ["/usr/local/bin/nvrun"]
    assert answer["result"] is True
    assert f"/{path} was changed since: left as it is, and on record" in answer["comment"]
    assert "but for the files that are named below" in answer["comment"]
    assert debian12.read(path) == f"{widened}# mine\n"
    assert debian12.read(backup) == before
    assert list(json.loads(debian12.read(RECORD))) == ["files"]
    dry = debian12.apply("nvidia.driver_removed", test=True)
    assert (dry["result"], dry["changes"]) == (True, {})
    # What was undone and comes again has a backup of its own time.
    (debian12.root / "usr/local/bin/nvrun").write_text("older\n")
    old = debian12.root / "var/lib/qvm-gpu/backup/usr/local/bin/nvrun"
    old.parent.mkdir(parents=True)
    old.write_text("of an earlier record\n")
    assert debian12.apply("nvidia.prime_offload")["changes"]
    assert old.read_text() == "older\n"
    (debian12.root / path).write_text(widened)
    answer = debian12.apply("nvidia.driver_removed")
    assert set(answer["changes"]["files"]) == {f"/{path}", "/usr/local/bin/nvrun"}
    assert "named below" not in answer["comment"]
    assert debian12.read(path) == before
    assert debian12.read("usr/local/bin/nvrun") == "older\n"
    assert not (debian12.root / "var/lib/qvm-gpu").exists()


def put_module(qube, version="535.1"):
    """The driver's module, as somebody else's."""
    kernel = qube.facts["kernel"]
    file = qube.root / f"lib/modules/{kernel}/updates/dkms/nvidia-current.ko"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(ko.build_ko(ko.modinfo_fields("nvidia", version, kernel, open_module=False)))


def test_a_driver_of_somebody_else_stays(debian12):
    """An unchanged run notes the boot in which it asked for a restart, nothing that is ours."""
    put_module(debian12)
    body = {"packages": ["bash"]}
    assert debian12.install(**body)["changes"]
    shutil.rmtree(debian12.root / "var/lib/qvm-gpu")
    assert debian12.install(**body)["changes"] == {}
    assert list(json.loads(debian12.read(RECORD))) == ["boot"]
    for test in (True, False):
        answer = debian12.apply("nvidia.driver_removed", test=test)
        assert (answer["result"], answer["changes"]) == (True, {})
        assert "was not installed by nvidia.driver_installed" in answer["comment"]
    assert debian12.apply("nvidia.swap_minimized")["changes"]
    answer = debian12.apply("nvidia.driver_removed")
    assert list(answer["changes"]) == ["files"]
    assert "is removed" not in answer["comment"]
    assert "the driver here is not ours, and stays" in answer["comment"]


def test_what_is_said_of_a_driver_that_is_ours(fedora41):
    """On Fedora the record also holds what proves that nothing has changed."""
    fedora41.install()
    assert fedora41.apply("nvidia.driver_removed", test=True)["result"] is None
    answer = fedora41.apply("nvidia.driver_removed")
    assert answer["comment"].startswith("The driver is removed, and what was done for it undone: ")
    assert "restart the qube" in answer["comment"]
    fedora41.install()
    shutil.rmtree(fedora41.root / "var/lib/qvm-gpu")
    assert fedora41.install()["changes"] == {}
    assert "proof" in fedora41.read(RECORD)
    for test in (True, False):
        answer = fedora41.apply("nvidia.driver_removed", test=test)
        assert (answer["result"], answer["changes"]) == (True, {})
        assert "was not installed by nvidia.driver_installed" in answer["comment"]
    assert fedora41.modinfo()


def test_a_damaged_record_is_no_empty_one(debian12):
    """Nothing is written over it, and what there is left is named."""
    debian12.apply("nvidia.prime_offload")
    text = debian12.read(RECORD)[:-3]
    (debian12.root / RECORD).write_text(text)
    before = debian12.bed.written()
    for function in ("driver_installed", "driver_removed", "swap_minimized"):
        for test in (True, False):
            answer = debian12.apply(f"nvidia.{function}", test=test)
            assert (answer["result"], answer["changes"]) == (False, {})
            assert f"/{RECORD} is damaged" in answer["comment"]
            assert "/var/lib/qvm-gpu/backup" in answer["comment"]
    assert debian12.bed.written() == before


def test_two_states_at_once_keep_one_record(debian12):
    """The second one waits while the first installs, also where it is a small one."""
    stub = debian12.root / "usr/bin/apt-get"
    stub.unlink()
    stub.write_text(
        "#!/bin/sh\ncase \" $* \" in *' update '*|*' -s '*) exit 0 ;; esac\n"
        "touch /installing\nwhile [ ! -e /go ]; do sleep 0.1; done\nexit 100\n"
    )
    stub.chmod(0o755)
    go = debian12.root / "go"
    first = os.fork()
    if first == 0:
        try:
            debian12.apply(packages=["tree"])
        finally:
            os._exit(0)
    try:
        while not (debian12.root / "installing").exists():
            assert os.waitpid(first, os.WNOHANG) == (0, 0)
            time.sleep(0.02)
        assert debian12.apply("nvidia.swap_minimized", test=True)["result"] is None
        heard = []

        def let_it_go(record):
            heard.append(record.getMessage())
            if "behind another state" in heard[-1]:
                go.touch()

        with listening(let_it_go):
            assert debian12.apply("nvidia.prime_offload")["changes"]
    finally:
        go.touch()
        os.waitpid(first, 0)
    assert len([line for line in heard if "behind another state" in line]) == 1
    files = json.loads(debian12.read(RECORD))["files"]
    assert {"/etc/apt/sources.list", "/usr/local/bin/nvrun"} <= set(files)
    assert debian12.apply("nvidia.driver_removed")["result"] is True
    assert not (debian12.root / "usr/local/bin/nvrun").exists()


def test_arguments_that_an_entry_had_before_stay(fedora41):
    """Also one of two, though the driver's package adds the other before the state comes to it."""
    entries = fedora41.root / "boot/loader/entries"
    (both,) = entries.glob("*.conf")
    text = both.read_text()
    one, none = (both.with_name(f"{name}.conf") for name in ("one", "none"))
    none.write_text(text)
    away = ("rd.driver.blacklist=nouveau", "modprobe.blacklist=nouveau")
    one.write_text(re.sub(r"(?m)^(options .*)$", rf"\1 {away[1]}", text))
    both.write_text(re.sub(r"(?m)^(options .*)$", rf"\1 {' '.join(away)}", text))
    before = fedora41.tree()
    for state in ("nouveau_disabled", "driver_installed"):
        assert fedora41.apply(f"nvidia.{state}")["result"] is True
        for entry in (both, one, none):
            assert all(word in entry.read_text() for word in away)
        dry = fedora41.apply("nvidia.driver_removed", test=True)
        answer = fedora41.apply("nvidia.driver_removed")
        assert answer["result"] is True, answer["comment"]
        assert dry["changes"]["files"] == answer["changes"]["files"]
        assert f"/boot/loader/entries/{both.name}" not in answer["changes"]["files"]
        assert fedora41.tree() == before


def test_the_initramfs_is_made_without_the_file(debian12):
    """It holds a copy of modprobe.d; a run that was cut off in between is caught up with."""
    kernel = debian12.facts["kernel"]
    sources = debian12.read("etc/apt/sources.list")
    debian12.apply(packages=["no-such-package"])
    (debian12.root / f"boot/initrd.img-{kernel}").write_text("a copy")
    program = debian12.root / "usr/sbin/update-initramfs"
    program.write_text(
        '#!/bin/sh\nset -e\n[ ! -e /fails ]\necho "$@" >>/made\nls /etc/modprobe.d >/copied\n'
    )
    program.chmod(0o755)
    assert debian12.apply("nvidia.nouveau_disabled")["result"] is True
    assert "qvm-gpu-nouveau.conf" in debian12.read("copied")
    (debian12.root / "fails").touch()
    answer = debian12.apply("nvidia.driver_removed")
    assert answer["result"] is False
    assert "update-initramfs failed" in answer["comment"]
    assert not (debian12.root / "etc/modprobe.d/qvm-gpu-nouveau.conf").exists()
    assert debian12.read("made").count("\n") == 1
    (debian12.root / "fails").unlink()
    assert debian12.apply("nvidia.driver_removed", test=True)["result"] is None
    answer = debian12.apply("nvidia.driver_removed")
    assert answer["result"] is True
    assert "was changed since" not in answer["comment"]
    assert debian12.read("etc/apt/sources.list") == sources
    assert not (debian12.root / RECORD).exists()
    assert debian12.read("made") == f"-u -k {kernel}\n" * 2
    assert "qvm-gpu-nouveau.conf" not in debian12.read("copied")


SERVICE = "nvidia-persistenced.service"
SYSTEMCTL = """#!/bin/sh
[ ! -e /fails ] || exit 1
link=/etc/systemd/system/multi-user.target.wants/$2
case $1 in enable) ln -s /usr/lib/systemd/system/$2 $link ;; disable) rm $link ;; esac
"""


def put_service(qube):
    """A service that starts at boot, with a systemctl that fails where there is /fails."""
    unit = qube.root / f"usr/lib/systemd/system/{SERVICE}"
    link = qube.root / f"etc/systemd/system/multi-user.target.wants/{SERVICE}"
    program = qube.root / "usr/bin/systemctl"
    for path in (unit, link, program):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
    unit.touch()
    link.symlink_to(f"/usr/lib/systemd/system/{SERVICE}")
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    return link


def put_record(qube, **record):
    """What earlier runs did."""
    (qube.root / RECORD).parent.mkdir(parents=True, exist_ok=True)
    (qube.root / RECORD).write_text(json.dumps(record))


def test_a_service_starts_again_as_it_did_before(debian12):
    """Switched off by us it is switched on again; where that fails it is told, and no more."""
    put_module(debian12)
    link = put_service(debian12)
    fails = debian12.root / "fails"
    for broken in (False, True):
        debian12.install(packages=["bash"], persistence=False)
        assert not link.is_symlink()
        dry = debian12.apply("nvidia.driver_removed", test=True)["changes"]
        if broken:
            fails.touch()
        answer = debian12.apply("nvidia.driver_removed")
        assert answer["result"] is True, answer["comment"]
        assert dry["services"] == {SERVICE: {"old": "disabled", "new": "enabled"}}
        assert answer["changes"].get("services", {}) == ({} if broken else dry["services"])
        assert (f"{SERVICE} started at boot before" in answer["comment"]) == broken
        assert link.is_symlink() != broken


def test_a_service_that_cannot_be_switched_off(debian12):
    """That is no success, and the record stays."""
    link = put_service(debian12)
    put_record(debian12, services={SERVICE: False})
    (debian12.root / "fails").touch()
    dry = debian12.apply("nvidia.driver_removed", test=True)
    answer = debian12.apply("nvidia.driver_removed")
    assert (answer["result"], answer["changes"]) == (False, {})
    assert "step services: systemctl failed" in answer["comment"]
    assert link.is_symlink() and debian12.read(RECORD)
    (debian12.root / "fails").unlink()
    answer = debian12.apply("nvidia.driver_removed")
    assert answer["result"] is True
    assert answer["changes"] == dry["changes"] != {}
    assert not link.is_symlink()


def test_what_is_not_brought_back_is_not_foretold(debian12):
    """On Debian nothing is; it is named."""
    put_record(debian12, removed=["xserver-foo"])
    for test in (True, False):
        answer = debian12.apply("nvidia.driver_removed", test=test)
        assert (answer["result"], answer["changes"]) == (None if test else True, {})
        assert "taken away for the driver, and not brought back: xserver-foo" in answer["comment"]


@pytest.mark.parametrize("state", ["driver_installed", "driver_removed"])
def test_a_large_tmp_that_a_killed_run_left_is_a_change(fedora41, state):
    """The dry run says so, too."""
    fedora41.install()
    if state == "driver_removed":
        fedora41.apply("nvidia.driver_removed")
    record = json.loads(fedora41.read(RECORD) or "{}")
    put_record(fedora41, **record, tmp=1 << 30)
    fedora41.bed.run(["mount", "-o", "remount,size=2g", "/tmp"], check=True)
    changes = {"tmp": {"/tmp": {"old": 2 << 30, "new": 1 << 30}}}
    dry = fedora41.apply(f"nvidia.{state}", test=True)
    assert (dry["result"], dry["changes"]) == (None, changes)
    assert "would give /tmp its size back" in dry["comment"]
    answer = fedora41.apply(f"nvidia.{state}")
    assert (answer["result"], answer["changes"]) == (True, changes)
    size = fedora41.bed.run(["stat", "-f", "-c", "%b %S", "/tmp"]).stdout.split()
    assert int(size[0]) * int(size[1]) == 1 << 30
    for test in (True, False):
        again = fedora41.apply(f"nvidia.{state}", test=test)
        assert (again["result"], again["changes"]) == (True, {})


def test_a_file_that_only_goes_may_hold_anything(debian12):
    """It comes back byte by byte; a folder with a source's name is no source, as for apt."""
    put_module(debian12)
    conf = debian12.root / "usr/share/X11/xorg.conf.d/nvidia.conf"
    conf.parent.mkdir(parents=True, exist_ok=True)
    conf.write_bytes(b"a\0b\n")
    (debian12.root / "etc/apt/sources.list.d/backup.list").mkdir()
    assert (
        f"/{conf.relative_to(debian12.root)}"
        in debian12.install(packages=["bash"])["changes"]["files"]
    )
    assert not conf.exists()
    assert debian12.apply("nvidia.driver_removed")["result"] is True
    assert conf.read_bytes() == b"a\0b\n"
    (debian12.root / "etc/apt/sources.list.d/binary.list").write_bytes(b"deb \0")
    answer = debian12.apply(packages=["bash"])
    assert (answer["result"], answer["changes"]) == (False, {})
    assert "binary.list is no text file" in answer["comment"]
