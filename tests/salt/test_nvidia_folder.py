# SPDX-License-Identifier: GPL-3.0-or-later
"""What the driver's states make of files and programs that no bed has; see ``nvidia_folder``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from nvidia_folder import BLACKLIST, DEBIAN, FEDORA_KERNEL, KERNEL, Folder, package

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root may chroot")

DOCKER = (
    "deb [arch=amd64 signed-by=/etc/apt/keyrings/docker.asc] "
    "https://download.docker.com/linux/debian bookworm stable\n"
)
WINE = (
    "Types: deb\nURIs: https://dl.winehq.example/wine-builds/debian\nSuites: bookworm\n"
    "Components: main\nSigned-By: /etc/apt/keyrings/winehq.key\n"
)
MORE = " contrib non-free non-free-firmware\n"


@pytest.mark.parametrize(
    ("debian", "widened"),
    [
        pytest.param(
            "deb http://m.example/debian bookworm main\n"
            "deb http://m.example/security bookworm-security main\n",
            [0, 1],
            id="a -security with a path of its own",
        ),
        pytest.param(
            "deb https://m.example/pub/mirror bookworm main\n"
            "deb https://m.example/debian-security bookworm-security main\n",
            [0, 1],
            id="an archive with a path of its own",
        ),
        pytest.param(
            "deb https://m.example/pub/mirror bookworm main contrib\n"
            "deb https://other.example/tool bookworm main\n",
            [0],
            id="the entry that has more than main",
        ),
        pytest.param(
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
            "http://m.example/debian bookworm main\n"
            "deb [signed-by=/etc/apt/keyrings/tool.gpg] https://other.example/debian bookworm main\n",
            [0],
            id="two with the archive's path",
        ),
    ],
)
def test_only_debians_own_entries_are_widened(tmp_path, debian, widened):
    """Whatever others there are, each suite is found."""
    others = {
        "etc/apt/sources.list.d/docker.list": DOCKER,
        "etc/apt/sources.list.d/open.list": f"deb{DOCKER[DOCKER.index(']') + 1 :]}",
        "etc/apt/sources.list.d/wine.sources": WINE,
    }
    qube = Folder(tmp_path, {"etc/apt/sources.list": debian, **others})
    dry = qube.apply(test=True)
    assert list(dry["changes"]["files"]) == ["/etc/apt/sources.list"]
    assert qube.apply()["changes"]["files"] == dry["changes"]["files"]
    lines = debian.splitlines(keepends=True)
    for at in widened:
        words = lines[at].split()
        words += [word for word in MORE.split() if word not in words]
        lines[at] = " ".join(words) + "\n"
    assert (qube.root / "etc/apt/sources.list").read_text() == "".join(lines)
    for path, text in others.items():
        assert (qube.root / path).read_text() == text
    assert qube.apply(test=True)["changes"] == {}


HEALTHY = {
    "var/lib/dkms/nvidia-current/535.1/source/dkms.conf": "conf\n",
    f"var/lib/dkms/nvidia-current/535.1/{KERNEL}/x86_64/module/nvidia.ko": "module\n",
}


def test_only_the_version_without_source_goes(tmp_path):
    """Beside it there is a healthy one; a module's folder goes with its last version."""
    left = {
        "var/lib/dkms/nvidia-current/525.9/build/make.log": "log\n",
        "var/lib/dkms/nvidia-tesla/470.1/build/make.log": "log\n",
    }
    qube = Folder(tmp_path, {**HEALTHY, **left})
    (qube.root / f"var/lib/dkms/nvidia-tesla/kernel-{KERNEL}-x86_64").symlink_to("470.1/gone")
    dry = qube.apply(test=True)
    done = qube.apply()
    assert (done["result"], done["changes"]) == (True, dry["changes"]), done["comment"]
    gone = {"old": "DKMS leftover without source", "new": None}
    assert done["changes"] == {"broken": {"nvidia-current/525.9": gone, "nvidia-tesla/470.1": gone}}
    dkms = qube.root / "var/lib/dkms"
    files = {str(path.relative_to(qube.root)) for path in dkms.rglob("*") if path.is_file()}
    assert files == set(HEALTHY)
    assert [path.name for path in dkms.iterdir()] == ["nvidia-current"]
    assert qube.apply()["changes"] == {}


STATUS = DEBIAN["var/lib/dpkg/status"]


@root_only
@pytest.mark.parametrize("name", ["nvidia-fs-dkms", "nvidia-tesla-470-kernel-dkms"])
def test_another_module_package_is_configured_and_not_purged(tmp_path, name):
    broken = package(name, "install ok half-configured")
    qube = Folder(tmp_path, {**HEALTHY, "var/lib/dpkg/status": STATUS + broken})
    qube.programs("dpkg", "apt-get")
    dry = qube.apply(test=True)
    assert dry["changes"] == {"broken": {name: {"old": "half-configured", "new": "mended"}}}
    answer = qube.apply()
    assert answer["result"] is False  # the stand-in mends nothing
    assert f"the package {name} is still half-configured" in answer["comment"]
    assert not [line for line in qube.ran() if "purge" in line]
    assert all((qube.root / path).exists() for path in HEALTHY)


@root_only
def test_the_other_flavour_is_purged_as_foretold(tmp_path):
    """And what DKMS still keeps of it then, which is a change of its own."""
    other = "nvidia-open-kernel-dkms"
    folder = "var/lib/dkms/nvidia-current-open/550.1"
    broken = package(other, "install ok half-configured")
    files = {
        f"{folder}/build/make.log": "log\n",
        f"{folder}/source": "",
        "usr/src/nvidia-current-open-550.1/dkms.conf": "conf\n",
        "var/lib/dpkg/status": STATUS + broken,
    }
    qube = Folder(tmp_path, {**HEALTHY, **files})
    (qube.root / folder / "source").unlink()
    (qube.root / folder / "source").symlink_to("/usr/src/nvidia-current-open-550.1")
    qube.programs("dpkg", "apt-get")
    dry = qube.apply(test=True)
    assert dry["changes"] == {"broken": {other: {"old": "half-configured", "new": "purged"}}}
    (qube.root / "gone").mkdir()
    qube.say("apt-get purge", "", then={"var/lib/dpkg/status": STATUS})
    with (qube.root / "said/apt-get.purge.then").open("a") as then:
        then.write("/usr/src/nvidia-current-open-550.1/dkms.conf /gone/dkms.conf\n")
    answer = qube.apply()
    assert answer["result"] is True, answer["comment"]
    assert qube.ran()[0].endswith(f" purge -- {other}")
    assert answer["changes"]["broken"] == {
        **dry["changes"]["broken"],
        "nvidia-current-open/550.1": {"old": "DKMS leftover without source", "new": None},
    }
    assert not (qube.root / folder).parent.exists()
    assert all((qube.root / path).exists() for path in HEALTHY)
    assert qube.apply()["changes"] == {}


MAKE_LOG = "var/lib/dkms/nvidia-current-open/550.1/build/make.log"
ERROR = "/x/nv-pci.c:237:9: error: too few arguments to function\n"


def without_driver(folder: Path, files: dict[str, str] | None = None) -> Folder:
    """A qube that lacks the package nvidia-driver, with apt's and DKMS' stand-ins."""
    status = STATUS.replace("Package: nvidia-driver\n", "Package: other\n")
    qube = Folder(folder, {"var/lib/dpkg/status": status, **(files or {})})
    qube.programs("apt-get", "dpkg", "dkms")
    return qube


@root_only
def test_a_build_that_failed_before_is_no_reason(tmp_path):
    """apt cannot fetch; only what make says now is quoted."""
    files = {MAKE_LOG: ERROR, MAKE_LOG.replace("build/make.log", "source/dkms.conf"): "conf\n"}
    qube = without_driver(tmp_path, files)
    os.utime(qube.root / MAKE_LOG, (1_700_000_000, 1_700_000_000))
    fetch = "E: Failed to fetch http://mirror.example/pool/x.deb  Connection failed"
    qube.say("apt-get install", f"{fetch}\n", 100)
    qube.say("apt-get -s", "")
    answer = qube.apply()
    assert answer["result"] is False
    first = answer["comment"].splitlines()[0]
    assert first == f"step packages: apt-get install failed (exit 100): {fetch}"
    assert "too few arguments" not in answer["comment"]
    qube.say("apt-get install", f"{fetch}\n", 100, then={MAKE_LOG: ERROR})
    first = qube.apply()["comment"].splitlines()[0]
    assert "nvidia-current-open/550.1 does not build: /x/nv-pci.c:237:9: error: too few" in first


UNKNOWN = "E: Unable to locate package nvidia-drivr"
CLOCK = (
    "E: Release file for http://mirror.example/debian/dists/bookworm/InRelease is not valid yet "
    "(invalid for another 3h 2min 1s)."
)
ERR = "Err:5 https://download.docker.com/linux/debian bookworm InRelease\n"
DOCKER_AWAY = f"{ERR}  Could not resolve 'download.docker.com'\n"


@root_only
@pytest.mark.parametrize(
    ("update", "code", "words"),
    [
        (f"{CLOCK}\n", 100, CLOCK),
        (f"Hit:1 http://mirror.example/debian bookworm InRelease\n{DOCKER_AWAY}", 0, ERR.strip()),
        (f"{DOCKER_AWAY}Get:1 http://mirror.example/debian bookworm", 0, ERR.strip()),
    ],
)
def test_what_apt_could_not_fetch_is_told_beside_the_reason(tmp_path, update, code, words):
    qube = without_driver(tmp_path)
    qube.say("apt-get update", update, code)
    qube.say("apt-get -s", f"Reading package lists...\n{UNKNOWN}\n", 100)
    answer = qube.apply(packages=["nvidia-drivr"])
    assert answer["result"] is False
    first = answer["comment"].splitlines()[0]
    assert first == f"step packages: apt-get -s install failed (exit 100): {UNKNOWN}"
    assert "apt-get update said:" in answer["comment"]
    assert words in answer["comment"]
    assert "no repository" not in answer["comment"]


@root_only
def test_another_module_that_dkms_cannot_build_is_a_warning(tmp_path):
    """Ours is built; where it is not, or of another version, it stays a failure."""
    qube = Folder(tmp_path)
    built = qube.module.read_bytes().decode("latin-1")
    qube.programs("dkms")
    qube.module.unlink()
    words = "Error! Bad return status for module build on kernel: other/1\n"
    qube.say("dkms autoinstall", words, 11)
    assert "dkms autoinstall failed (exit 11): Error! Bad" in qube.apply()["comment"]
    (qube.root / "said/dkms.autoinstall.0").write_bytes(built.encode("latin-1"))
    module = qube.module.relative_to(qube.root)
    qube.write("said/dkms.autoinstall.then", f"/said/dkms.autoinstall.0 /{module}\n")
    answer = qube.apply()
    assert answer["result"] is True, answer["comment"]
    assert answer["changes"] == {"module": {KERNEL: {"old": None, "new": "535.1"}}}
    assert (
        "dkms autoinstall ended with 11, though the driver's module is built" in answer["comment"]
    )
    qube.write("var/lib/dpkg/status", STATUS.replace("535.1-1", "550.2-1"))
    answer = qube.apply()
    assert answer["result"] is False
    assert "dkms autoinstall failed (exit 11): Error! Bad" in answer["comment"]


def test_an_architecture_belongs_to_a_debian_name(tmp_path):
    """Installed is what was asked for, and the plain name is this computer's architecture only."""
    foreign = package("nvidia-driver-libs", arch="i386")
    qube = Folder(tmp_path, {"var/lib/dpkg/status": STATUS + foreign})
    names = ["nvidia-driver:amd64", "nvidia-driver-libs:i386", "nvidia-kernel-dkms"]
    assert qube.apply(test=True, packages=names)["changes"] == {}
    for name in ("nvidia-driver-libs", "nvidia-driver:i386"):
        assert list(qube.apply(test=True, packages=[name])["changes"]["packages"]) == [name]


@root_only
def test_an_architecture_belongs_to_an_rpm(tmp_path):
    """As rpm itself prints what it is asked for."""
    qube = Folder(tmp_path, fedora=True)
    qube.programs("rpm", "dnf", "dnf5")
    names = ["akmod-nvidia.x86_64", "xorg-x11-drv-nvidia-libs.i686", "nvidia-settings"]
    missing = ["package grubby-dummy is not installed"]
    missing.append(f"package kmod-nvidia-{FEDORA_KERNEL} is not installed")
    found = ["akmod-nvidia.x86_64 535.1-1", "xorg-x11-drv-nvidia-libs.i686 535.1-1"]
    qube.say("rpm --qf", "\n".join([*missing, *found, "nvidia-settings.noarch 535.1-1", ""]))
    answer = qube.apply(test=True, packages=names)
    assert (answer["result"], answer["changes"]) == (True, {}), answer["comment"]
    assert "--qf %{NAME}.%{ARCH} %{VERSION}-%{RELEASE}" in qube.ran()[0]
    qube.say("rpm --qf", "\n".join([*missing, *found, "nvidia-settings.i686 535.1-1", ""]))
    answer = qube.apply(test=True, packages=names)
    assert list(answer["changes"]["packages"]) == ["nvidia-settings"]


@root_only
def test_a_package_of_another_architecture_is_removed_or_kept_by_its_name(tmp_path):
    """As dpkg names it: with the architecture, where there could be others."""
    names = ["lib-a:i386", "lib-b", "lib-c:i386", "lib-c"]
    stanzas = "".join(package(n.split(":")[0], arch=n.partition(":")[2] or "amd64") for n in names)
    qube = Folder(tmp_path, {"var/lib/dpkg/status": stanzas + STATUS})
    qube.write("var/lib/qvm-gpu/nvidia.json", json.dumps({"packages": names}))
    qube.programs("dpkg")
    words = "dpkg: dependency problems prevent removal of {}:\n holder depends on it.\n"
    qube.say("dpkg --simulate", words.format("lib-a:i386") + words.format("lib-b:amd64"), 1)
    qube.say("dpkg --purge", "", then={"var/lib/dpkg/status": STATUS})
    answer = qube.apply(function="nvidia.driver_removed")
    assert answer["result"] is True, answer["comment"]
    assert "other packages need them by now: lib-a:i386 lib-b" in answer["comment"]
    assert qube.ran()[-1] == "dpkg --purge -- lib-c:i386 lib-c"


@pytest.mark.parametrize("tail", [".old", ".bak", ".dpkg-tmp"])
def test_a_copy_of_a_kernel_does_not_boot_next(tmp_path, tail):
    qube = Folder(tmp_path, {f"boot/vmlinuz-{KERNEL}{tail}": ""})
    assert qube.apply(test=True)["changes"] == {}
    assert qube.minion.ask("nvidia.status")["next_kernel"] == KERNEL


@root_only
def test_a_boot_loader_entry_may_have_tabs(tmp_path):
    """The entry that was chosen counts, not the newest kernel."""
    newer = "6.99.1-1.fc41.x86_64"
    entry = f"title\tFedora\nversion\t{FEDORA_KERNEL}\noptions\troot=/dev/xvda3 {BLACKLIST}\n"
    files = {
        f"boot/vmlinuz-{newer}": "",
        f"lib/modules/{newer}/modules.dep": "",
        "boot/grub2/grubenv": "# GRUB Environment Block\nsaved_entry=chosen\n",
        "boot/loader/entries/chosen.conf": entry,
    }
    qube = Folder(tmp_path, files, fedora=True)
    qube.programs("rpm")
    assert qube.minion.ask("nvidia.status")["next_kernel"] == FEDORA_KERNEL


@root_only
def test_a_quote_that_is_never_closed_is_found(tmp_path):
    """By its file and line, whether they are the usual ones or not."""
    text = 'GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX="quiet\n'
    qube = Folder(tmp_path, {"etc/default/grub": text, "etc/grub.conf": text}, fedora=True)
    qube.programs("rpm")
    for path in ("/etc/default/grub", "/etc/grub.conf"):
        for function in ("nvidia.driver_installed", "nvidia.nouveau_disabled"):
            body = {"paths": {"grub_conf": path}}
            answer = qube.apply(test=True, function=function, **body)
            assert answer["result"] is False
            words = f"{path}, line 2: a quote or bracket that is never closed"
            assert words in answer["comment"]


@pytest.mark.parametrize("names", ["nvidia-driver=535.1", ["tree", "nvidia driver"], ["-f"]])
def test_a_name_that_is_none_is_told_what_may_be_in_one(tmp_path, names):
    answer = Folder(tmp_path).apply(packages=names)
    assert answer["result"] is False
    name = names if isinstance(names, str) else names[-1]
    assert answer["comment"].startswith(
        f'packages is "{name}": it must be names of letters, digits and .+-_:~@ that begin with '
        "neither - nor . (no version)"
    )


OWN = ["linux-image-amd64", "linux-headers-amd64"]
BOOT = ["grub2-common", "grub-pc-bin", "qubes-kernel-vm-support"]
READY = "nvidia.kernel_ready"


def with_packages(*names: str) -> dict[str, str]:
    """A status file with these packages alone."""
    return {"var/lib/dpkg/status": "".join(package(name) for name in names)}


def test_no_kernel_in_boot_is_a_reason_of_its_own(tmp_path):
    """All packages are there, and a kernel is not: no installation brings one."""
    qube = Folder(tmp_path, {f"boot/vmlinuz-{KERNEL}": None, **with_packages(*OWN, *BOOT)})
    for body in ({}, {"install": True}, {"install": True, "test": True}):
        answer = qube.apply(function=READY, **body)
        assert (answer["result"], answer["changes"]) == (False, {})
        assert "There is no kernel in /boot. Its package is installed" in answer["comment"]
        assert "install: true" not in answer["comment"]


@root_only
def test_the_boot_loaders_file_is_foretold_as_it_is_made(tmp_path):
    """Also where there is one: a new kernel is not in it."""
    qube = Folder(tmp_path, with_packages(*OWN, *BOOT[:2]))
    qube.programs("apt-get", "grub-mkconfig")
    body = {"function": READY, "install": True}
    dry = qube.apply(test=True, **body)
    assert dry["result"] is None
    assert dry["changes"] == {
        "files": {"/boot/grub/grub.cfg": {"old": "present", "new": "generated"}},
        "packages": {BOOT[2]: {"old": None, "new": "installed"}},
    }
    assert dry["comment"] == f"would install {BOOT[2]} and make /boot/grub/grub.cfg"
    qube.say("apt-get install", "", then=with_packages(*OWN, *BOOT))
    qube.say("apt-get -s", "")
    done = qube.apply(**body)
    assert done["result"] is True, done["comment"]
    assert done["changes"]["files"] == dry["changes"]["files"]
    assert list(done["changes"]["packages"]) == [BOOT[2]]
    again = qube.apply(**body)
    assert (again["result"], again["changes"]) == (True, {})


def test_only_the_boot_loaders_file_is_missing(tmp_path):
    files = {"boot/grub/grub.cfg": None, **with_packages(*OWN, *BOOT)}
    dry = Folder(tmp_path, files).apply(test=True, function=READY, install=True)
    made = {"/boot/grub/grub.cfg": {"old": None, "new": "generated"}}
    assert (dry["result"], dry["changes"]) == (None, {"files": made})
    assert dry["comment"] == "would make /boot/grub/grub.cfg"


def test_a_kernel_without_its_metapackage_boots_as_well(tmp_path):
    """Where it is the one that boots next."""
    own = [f"linux-image-{KERNEL}", f"linux-headers-{KERNEL}"]
    answer = Folder(tmp_path / "a", with_packages(*own, *BOOT)).apply(function=READY)
    assert (answer["result"], answer["changes"]) == (True, {}), answer["comment"]
    other = [name.replace("18", "17") for name in own]
    answer = Folder(tmp_path / "b", with_packages(*other, *BOOT)).apply(function=READY)
    assert answer["result"] is False
    assert "Missing packages: linux-image-amd64 linux-headers-amd64." in answer["comment"]
