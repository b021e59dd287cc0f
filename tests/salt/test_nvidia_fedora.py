# SPDX-License-Identifier: GPL-3.0-or-later
"""nvidia.driver_installed on Fedora: the real dnf and dnf5 over a repository of our own."""

from __future__ import annotations

import json
import os
import re
import shutil
import time

import pytest
from nvidia_beds import LOG, RECORD, fedora, fedora40, fedora41  # noqa: F401

RPMFUSION = [
    "rpmfusion-free",
    "rpmfusion-free-updates",
    "rpmfusion-nonfree",
    "rpmfusion-nonfree-updates",
]


def programs(qube) -> list[str]:
    """The programs that a state's log names, in order."""
    return re.findall(r"running (\S+)", qube.read(LOG))


def test_from_nothing_to_a_module(fedora):
    kernel, driver = fedora.facts["kernel"], fedora.facts["driver"]
    answer = fedora.install()
    assert fedora.modinfo() == driver
    assert fedora.modinfo("license") == "NVIDIA"
    changes = answer["changes"]
    assert changes["module"] == {kernel: {"old": None, "new": driver}}
    assert changes["packages"]["akmod-nvidia"]["new"].startswith(driver)
    assert changes["packages"]["grubby-dummy"] == {"old": "9.0.0-1", "new": None}
    assert changes["packages"][f"kmod-nvidia-{kernel}"]["new"].startswith(driver)
    assert sorted(changes["repositories"]) == RPMFUSION
    assert answer["comment"].startswith(f"The driver {driver} is installed for {kernel}")
    assert "restart the qube" in answer["comment"].splitlines()[0]
    assert answer["comment"].isascii()
    assert f"/{LOG}" in answer["comment"]
    assert "Complete!" in fedora.read(LOG)
    entry = next((fedora.root / "boot/loader/entries").iterdir()).read_text()
    assert "rd.driver.blacklist=nouveau" in entry
    assert "modprobe.blacklist=nouveau" in entry
    assert "rd.driver.blacklist=nouveau" in fedora.read("boot/grub2/grub.cfg")
    assert "\nexclude=grubby-dummy" in fedora.read("etc/dnf/dnf.conf")
    assert not (fedora.root / "usr/share/X11/xorg.conf.d/nvidia.conf").exists()


def test_a_second_run_changes_nothing_and_starts_no_package_manager(fedora):
    fedora.install()
    log = fedora.read(LOG)
    # Whatever starts them is told at once; also where nobody asks.
    called = fedora.root / "called"
    called.touch()
    called.chmod(0o666)
    before = fedora.bed.written()
    for program in ("usr/bin/rpm", "usr/bin/dnf-3", "usr/bin/dnf5", "usr/bin/dnf"):
        if (fedora.root / program).exists():
            (fedora.root / program).unlink()
            (fedora.root / program).write_text("#!/bin/sh\necho called >>/called\nexit 1\n")
            (fedora.root / program).chmod(0o755)
    answer = fedora.install()
    assert answer["changes"] == {}
    assert fedora.read(LOG) == log
    assert called.read_text() == ""
    changed = {path for path, stamp in fedora.bed.written().items() if before.get(path) != stamp}
    assert not {path for path in changed if not path.startswith("usr/bin")}


def test_a_database_that_was_touched_is_asked_once(fedora):
    fedora.install()
    assert set(fedora.programs()) <= {"modinfo"}
    database = next(
        path
        for path in (fedora.root / "var/lib/rpm").iterdir()
        if path.name in ("rpmdb.sqlite", "Packages")
    )
    database.touch()
    assert fedora.programs().count("rpm") == 1
    assert set(fedora.programs()) <= {"modinfo"}


def test_a_dry_run_writes_nothing_and_foretells(fedora):
    before = fedora.bed.hash_tree()
    answer = fedora.apply(test=True)
    assert answer["result"] is None
    assert fedora.bed.hash_tree() == before
    foretold = answer["changes"]
    done = fedora.install()["changes"]
    assert foretold["repositories"] == done["repositories"]
    assert set(foretold["packages"]) <= set(done["packages"])
    assert set(foretold["module"]) == set(done["module"])
    assert foretold["files"]["/etc/dnf/dnf.conf"] == done["files"]["/etc/dnf/dnf.conf"]
    before = fedora.bed.written()
    assert fedora.apply(test=True)["result"] is True
    assert fedora.bed.written() == before


def test_removed_leaves_the_qube_as_it_was(fedora):
    packages, before = fedora.packages(), fedora.tree()
    fedora.install()
    foretold = fedora.apply("nvidia.driver_removed", test=True)
    assert foretold["result"] is None
    answer = fedora.apply("nvidia.driver_removed")
    assert answer["result"] is True, answer["comment"]
    assert set(answer["changes"]) == set(foretold["changes"])
    assert fedora.tree() == before
    assert fedora.packages() == packages
    assert fedora.repositories() == []
    again = fedora.apply("nvidia.driver_removed")
    assert (again["result"], again["changes"]) == (True, {})
    assert fedora.install()["changes"]


def test_a_failed_build_is_quoted_and_waited_for_no_longer(fedora):
    fedora.bed.set_akmods("fail", 1)
    start = time.monotonic()
    answer = fedora.apply()
    assert time.monotonic() - start < 60
    assert answer["result"] is False
    assert "error: too few arguments to function" in answer["comment"]
    assert ".failed.log" in answer["comment"]
    assert answer["changes"]["packages"]["akmod-nvidia"]["old"] is None
    # A second try is a new build, not the old failure.
    fedora.bed.set_akmods("ok", 0)
    again = fedora.install()
    assert list(again["changes"]["module"]) == [fedora.facts["kernel"]]


def test_a_build_without_end_names_the_step(fedora40):
    fedora40.bed.set_akmods("hang")
    answer = fedora40.apply(timeout=12)
    assert answer["result"] is False
    assert "step module" in answer["comment"]
    assert "timeout" in answer["comment"]
    assert "Building RPM using the command" in answer["comment"]
    assert json.loads(fedora40.read(RECORD)).get("tmp") is None


def test_tmp_is_given_back(fedora40):
    answer = fedora40.install()
    assert "make /tmp 2048 MiB large" in answer["comment"]
    size = fedora40.bed.run(["stat", "-f", "-c", "%b %S", "/tmp"]).stdout.split()
    assert int(size[0]) * int(size[1]) == 1 << 30


def test_the_headers_of_the_kernel_are_missing(fedora40):
    shutil.rmtree(fedora40.root / "usr/src/kernels")
    answer = fedora40.apply()
    assert answer["result"] is False
    assert "Could not find files needed to compile modules" in answer["comment"]
    assert f"kernel-devel-{fedora40.facts['kernel']}" in answer["comment"]


def test_no_network(fedora):
    fedora.bed.set_repositories("http://127.0.0.1:9/")
    shutil.rmtree(fedora.root / "var/cache/dnf", ignore_errors=True)
    shutil.rmtree(fedora.root / "var/cache/libdnf5", ignore_errors=True)
    answer = fedora.apply()
    assert answer["result"] is False
    assert "no repository can be reached" in answer["comment"]


def test_one_repository_that_cannot_be_reached_is_named(fedora):
    """Somebody else's is away and the package is misspelt: that is the reason."""
    (fedora.root / "etc/yum.repos.d/chrome.repo").write_text(
        "[google-chrome]\nname=google-chrome\nbaseurl=http://127.0.0.1:9/x\nenabled=1\n"
        "gpgcheck=0\nskip_if_unavailable=True\n"
    )
    answer = fedora.apply(packages=["akmod-nvidja"])
    assert answer["result"] is False
    first = answer["comment"].splitlines()[0]
    assert first == (
        "step packages: dnf install failed (exit 1): No match for argument: akmod-nvidja"
    )
    assert "no repository" not in answer["comment"]
    assert "127.0.0.1:9/x" in answer["comment"] or "'google-chrome'" in answer["comment"]


def test_an_unknown_package(fedora):
    answer = fedora.apply(packages=["akmod-nvidia", "no-such-package"])
    assert answer["result"] is False
    assert "no-such-package" in answer["comment"]
    assert "no repository" not in answer["comment"]
    assert not fedora.installed("akmod-nvidia")


def test_an_unknown_repository(fedora):
    dry = fedora.apply(test=True, repositories=["rpmfusion-free", "rpmfusion-never"])
    assert "has the repositories rpmfusion-never: RPM Fusion's come with" in dry["comment"]
    answer = fedora.apply(repositories=["rpmfusion-free", "rpmfusion-never"])
    assert answer["result"] is False
    assert "rpmfusion-never" in answer["comment"]
    assert "rpmfusion-nonfree-release" in answer["comment"]


def test_an_override_beats_the_file(fedora):
    """What the guide calls dnf ignoring pkgrepo.managed."""
    files = list((fedora.root / "etc/yum.repos.d").glob("rpmfusion*.repo"))
    for file in files:
        file.write_text(file.read_text().replace("enabled=0", "enabled=1"))
    override = fedora.root / "etc/dnf/repos.override.d/10-off.repo"
    override.parent.mkdir(exist_ok=True)
    override.write_text("[rpmfusion-nonfree*]\nenabled=0\n")
    five = (fedora.root / "usr/bin/dnf5").exists()
    changes = fedora.apply(test=True)["changes"]
    assert sorted(changes.get("repositories", {})) == (RPMFUSION[2:] if five else [])
    assert sorted(fedora.install()["changes"].get("repositories", {})) == (
        RPMFUSION[2:] if five else []
    )


def test_the_flavor_decides_what_akmods_builds(fedora):
    fedora.install(flavor="open")
    assert fedora.modinfo("license") == "Dual MIT/GPL"
    assert fedora.install(flavor="open")["changes"] == {}
    fedora.install(flavor="proprietary")
    assert fedora.modinfo("license") == "NVIDIA"
    assert fedora.install(flavor="proprietary")["changes"] == {}


def test_a_new_kernel_gets_its_module(fedora):
    fedora.install()
    fedora.bed.run(["dnf", "-y", "--enablerepo=updates-testing", "upgrade", "kernel*"], check=True)
    kernels = sorted(path.name for path in (fedora.root / "lib/modules").iterdir())
    newer = next(name for name in kernels if name != fedora.facts["kernel"])
    answer = fedora.install()
    assert newer in answer["comment"]
    assert list((fedora.root / f"lib/modules/{newer}/extra").rglob("nvidia.ko.xz"))
    assert fedora.install()["changes"] == {}


def test_no_boot_loader_and_no_card_are_warnings(fedora40):
    (fedora40.root / "boot/grub2/grub.cfg").unlink()
    fedora40.bed.set_cards([])
    dry = fedora40.apply(test=True)
    assert dry["result"] is None
    for answer in (dry, fedora40.install()):
        assert "there is no grub.cfg" in answer["comment"]
        assert "no NVIDIA card is attached" in answer["comment"]
    assert fedora40.modinfo("license") == "Dual MIT/GPL"
    assert "nouveau" not in fedora40.read("etc/default/grub")


def test_a_manager_that_cannot_run_is_not_known(fedora40):
    (fedora40.root / "usr/bin/rpm").unlink()
    answer = fedora40.apply(test=True)
    assert answer["result"] is None
    assert "not known" in answer["comment"]
    (fedora40.root / "usr/bin/dnf").unlink()
    answer = fedora40.apply()
    assert answer["result"] is False
    assert "dnf is missing or cannot be run" in answer["comment"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"flavor": "nouveau"}, 'flavor is "nouveau": it must be auto, open or proprietary'),
        ({"flavour": "open"}, "unknown argument 'flavour'; did you mean 'flavor'?"),
        ({"packages": ["-oX=1"]}, 'packages is "-oX=1": it must be names of letters'),
        ({"packages": []}, "packages is []"),
        ({"timeout": "soon"}, 'timeout is "soon": it must be a number of seconds'),
        ({"tmp_size": "much"}, "a size such as 2G"),
        ({"cuda": "yes please"}, "cuda is"),
        ({"kernel": "../../etc"}, "kernel is '../../etc'"),
        ({"paths": {"grub_con": "/x"}}, "unknown argument 'grub_con'; did you mean 'grub_conf'?"),
        ({"paths": {"grub_conf": "etc/x"}}, "it must be an absolute path"),
    ],
)
def test_a_bad_argument_says_what_would_be_right(fedora40, body, words):
    before = fedora40.bed.written()
    for test in (True, False):
        answer = fedora40.apply(test=test, **body)
        assert answer["result"] is False
        assert words in answer["comment"]
    assert fedora40.bed.written() == before


def test_another_distribution_is_refused_before_anything_is_touched(fedora40):
    release = fedora40.root / "usr/lib/os-release"
    for text in ("ID=fedora\nVERSION_ID=44\nPRETTY_NAME=Fedora 44\n", "ID=arch\n", ""):
        release.write_text(text)
        before = fedora40.bed.written()
        answer = fedora40.apply()
        assert answer["result"] is False
        assert "Fedora 40 to 43 and in Debian 12 and 13" in answer["comment"]
        assert fedora40.bed.written() == before


def test_loaded_and_working_is_another_comment(fedora40):
    fedora40.install()
    fedora40.bed.set_loaded(fedora40.facts["driver"])
    comment = fedora40.install()["comment"]
    assert "is loaded" in comment
    assert "restart" not in comment
    fedora40.bed.set_loaded("1.2.3")
    assert "but 1.2.3 is loaded: restart the qube" in fedora40.install()["comment"]


def test_a_second_restart_does_not_help(fedora40):
    fedora40.install()
    record = json.loads(fedora40.read(RECORD))
    record["boot"] = "00000000-0000-0000-0000-000000000000"
    (fedora40.root / RECORD).write_text(json.dumps(record))
    answer = fedora40.apply()
    assert answer["result"] is False
    assert "was restarted, but it is not loaded" in answer["comment"]


def test_files_keep_mode_and_owner_and_have_a_backup(fedora41):
    names = ["etc/default/grub", "etc/dnf/dnf.conf", "usr/share/X11/xorg.conf.d/nvidia.conf"]
    before = {name: fedora41.read(name) for name in names[:2]}
    for name in before:
        (fedora41.root / name).chmod(0o640)
        os.chown(fedora41.root / name, 12, 34)
    fedora41.install()
    for name, text in before.items():
        info = (fedora41.root / name).stat()
        assert (info.st_mode & 0o7777, info.st_uid, info.st_gid) == (0o640, 12, 34)
        assert fedora41.read(name) != text
        assert fedora41.read(f"var/lib/qvm-gpu/backup/{name}") == text
    # A package brought it and the state took it away.
    assert "OutputClass" in fedora41.read(f"var/lib/qvm-gpu/backup/{names[2]}")


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_a_folder_that_takes_no_file(fedora41, fault):
    """The boot loader's defaults cannot be written: named, and the old ones are as they were."""
    bed, text, before = fedora41.bed, fedora41.read("etc/default/grub"), fedora41.tree()
    bed.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", "/etc/default"], check=True)
    (fedora41.root / "etc/default/grub").write_text(text)
    if fault == "full":
        (fedora41.root / "etc/default/filler").write_bytes(b"x" * 4096)
    else:
        bed.run(["mount", "-o", "remount,ro", "/etc/default"], check=True)
    answer = fedora41.apply("nvidia.nouveau_disabled")
    assert answer["result"] is False
    reason = "No space left on device" if fault == "full" else "Read-only file system"
    assert "cannot write /etc/default/grub" in answer["comment"]
    assert reason in answer["comment"]
    assert answer["changes"] == {}
    assert fedora41.read("etc/default/grub") == text
    assert not list((fedora41.root / "etc/default").glob(".*"))
    assert "nouveau" not in fedora41.read("boot/grub2/grub.cfg")
    # With room again the next run does it, and driver_removed undoes it.
    bed.run(["umount", "/etc/default"], check=True)
    assert fedora41.apply("nvidia.nouveau_disabled")["result"] is True
    assert "rd.driver.blacklist=nouveau" in fedora41.read("boot/grub2/grub.cfg")
    assert fedora41.apply("nvidia.nouveau_disabled")["changes"] == {}
    assert fedora41.apply("nvidia.driver_removed")["result"] is True
    assert fedora41.tree() == before


def test_entries_of_a_boot_loader_that_keeps_them_get_the_arguments(fedora41):
    """grub2-mkconfig leaves them alone; a kernel that came since is found lacking."""
    fedora41.bed.use_bls_mkconfig()
    entries = fedora41.root / "boot/loader/entries"
    (entry,) = entries.glob("*.conf")
    old = entry.read_text()
    assert fedora41.apply("nvidia.nouveau_disabled")["result"] is True
    new = entry.read_text()
    assert re.search(
        r"(?m)^options .* rd.driver.blacklist=nouveau modprobe.blacklist=nouveau$", new
    )
    assert [line for line in new.splitlines() if not line.startswith("options")] == [
        line for line in old.splitlines() if not line.startswith("options")
    ]
    entry.write_text(old)
    answer = fedora41.apply("nvidia.nouveau_disabled")
    assert list(answer["changes"]["files"]) == [f"/boot/loader/entries/{entry.name}"]
    assert entry.read_text() == new


def test_the_successor_of_nouveau_is_kept_away_too(fedora41):
    """Where the kernel has it; what was written for it goes with the rest."""
    before = fedora41.tree()
    kernel = fedora41.facts["kernel"]
    module = fedora41.root / f"lib/modules/{kernel}/kernel/drivers/gpu/nova-core/nova_core.ko.xz"
    module.parent.mkdir(parents=True)
    module.touch()
    assert fedora41.apply("nvidia.nouveau_disabled")["result"] is True
    (entry,) = (fedora41.root / "boot/loader/entries").glob("*.conf")
    files = ["etc/default/grub", "boot/grub2/grub.cfg", str(entry.relative_to(fedora41.root))]
    for text in map(fedora41.read, files):
        for key in ("rd.driver.blacklist", "modprobe.blacklist"):
            words = re.findall(rf"{key}=([\w,]+)", text)
            assert {"nouveau", "nova_core"} <= set(",".join(words).split(","))
    assert fedora41.apply("nvidia.nouveau_disabled")["changes"] == {}
    assert fedora41.apply("nvidia.driver_removed")["result"] is True
    module.unlink()
    assert fedora41.tree() == before


def test_no_room_for_packages(fedora):
    """Both dnf tell of other things, and so did we; with room again the next run gets through."""
    bed = fedora.bed
    bed.run(["mount", "-t", "tmpfs", "-o", "size=24k", "none", "/var/cache"], check=True)
    answer = fedora.apply()
    assert answer["result"] is False
    assert "step packages: the disk is full (/var/cache)" in answer["comment"]
    assert "it said:" in answer["comment"]
    assert not fedora.installed("akmod-nvidia")
    bed.run(["umount", "/var/cache"], check=True)
    fedora.install()


def test_a_kernel_of_its_own(fedora41):
    """What is missing is named; only where somebody asks it is installed."""
    bed = fedora41.bed
    assert fedora41.apply("nvidia.kernel_ready")["result"] is True
    bed.run(["rpm", "-e", "qubes-kernel-vm-support"], check=True)
    (fedora41.root / "boot/grub2/grub.cfg").unlink()
    before = bed.written()
    answer = fedora41.apply("nvidia.kernel_ready")
    assert answer["result"] is False
    assert "Missing packages: qubes-kernel-vm-support." in answer["comment"]
    assert "There is no /boot/grub2/grub.cfg." in answer["comment"]
    dry = fedora41.apply("nvidia.kernel_ready", test=True, install=True)
    assert dry["result"] is None
    assert bed.written() == before
    done = fedora41.apply("nvidia.kernel_ready", install=True)
    assert done["result"] is True, done["comment"]
    assert {group: set(names) for group, names in done["changes"].items()} == {
        group: set(names) for group, names in dry["changes"].items()
    }
    assert f"{fedora41.facts['kernel']} boots from this qube's own disk" in done["comment"]
    assert f"vmlinuz-{fedora41.facts['kernel']}" in fedora41.read("boot/grub2/grub.cfg")
    again = fedora41.apply("nvidia.kernel_ready", install=True)
    assert (again["result"], again["changes"]) == (True, {})
    # It is no part of the driver, which may go again.
    assert fedora41.apply("nvidia.driver_removed")["changes"] == {}
    assert fedora41.installed("qubes-kernel-vm-support")
