# SPDX-License-Identifier: GPL-3.0-or-later
"""nvidia.driver_installed on Debian: the real apt and the real archive; DKMS builds are slow beds."""

from __future__ import annotations

import re

import pytest
from nvidia_beds import LOG, STATE, debian, debian12, debian13  # noqa: F401


def reachable(qube) -> None:
    """Skip where the archive does not answer: nothing below it can be told then."""
    update = qube.bed.run(["apt-get", "-q", "update"])
    if update.rc or re.search(r"(?m)^(W|E|Err)", update.text):
        pytest.skip(f"no package index: {update.text[-300:]}")


def sources(qube) -> dict[str, str]:
    """Every file that apt takes packages from."""
    folder = qube.root / "etc/apt"
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").iterdir())]
    return {path.name: path.read_text() for path in files if path.exists()}


def test_a_dry_run_writes_nothing(debian):
    before = debian.bed.hash_tree()
    answer = debian.apply(test=True)
    assert answer["result"] is None
    assert debian.bed.hash_tree() == before
    assert "nvidia-driver" in answer["changes"]["packages"]
    assert f"linux-headers-{debian.facts['kernel']}" in answer["changes"]["packages"]
    assert list(answer["changes"]["module"]) == [debian.facts["kernel"]]
    assert len(answer["changes"]["files"]) == 1


def test_only_debians_own_entries_are_widened(debian):
    """The dry run names them; a package that is not there ends the real one after that."""
    reachable(debian)
    before = sources(debian)
    answer = debian.apply(packages=["no-such-package"])
    assert answer["result"] is False
    assert "Unable to locate package no-such-package" in answer["comment"]
    assert "packages" not in answer["changes"]
    after = sources(debian)
    assert before["qubes-r4.list"] == after["qubes-r4.list"]
    changed = [name for name in before if before[name] != after[name]]
    assert len(changed) == 1
    shown = debian.bed.run(["apt-cache", "policy"]).stdout
    assert re.search(r"non-free/|/non-free ", shown)
    for old, new in zip(
        before[changed[0]].splitlines(), after[changed[0]].splitlines(), strict=True
    ):
        assert new == old or new == f"{old} non-free"
    assert debian.apply(packages=["no-such-package"])["changes"] == {}


def test_debian12_resolves_what_it_installs(debian12):
    """Findings 1 and 2: widened on both, the proprietary flavour can be installed."""
    reachable(debian12)
    answer = debian12.apply(flavor="open")
    assert answer["result"] is False
    assert "use flavor: proprietary" in answer["comment"]
    assert "packages" not in answer["changes"]
    names = list(debian12.apply(test=True)["changes"]["packages"])
    simulated = debian12.bed.run(["apt-get", "-s", "-q", "install", *names])
    assert simulated.rc == 0, simulated.text[-2000:]


def test_debian13_resolves_what_it_installs(debian13):
    reachable(debian13)
    assert debian13.apply(packages=["no-such-package"])["result"] is False
    names = list(debian13.apply(test=True)["changes"]["packages"])
    simulated = debian13.bed.run(["apt-get", "-s", "-q", "install", *names])
    assert simulated.rc == 0, simulated.text[-2000:]


def test_no_network(debian12):
    file = debian12.root / "etc/apt/sources.list"
    file.write_text(re.sub(r"https?://[^/ ]+", "http://127.0.0.1:9", file.read_text()))
    for index in (debian12.root / "var/lib/apt/lists").glob("*_*"):
        index.unlink()
    answer = debian12.apply()
    assert answer["result"] is False
    assert "no repository can be reached" in answer["comment"]


def test_components_are_the_users(debian12):
    reachable(debian12)
    before = debian12.bed.written()
    answer = debian12.apply(repositories=["contrib", "non-fre"])
    assert answer["result"] is False
    assert "repositories has 'non-fre': Debian's components are main, contrib" in answer["comment"]
    assert debian12.bed.written() == before
    text = debian12.read("etc/apt/sources.list")
    body = {"repositories": ["contrib", "non-free"], "packages": ["no-such-package"]}
    dry = debian12.apply(test=True, **body)
    assert "let apt take packages from contrib non-free" in dry["comment"]
    assert debian12.apply(**body)["changes"]["files"]
    assert "non-free " not in text.replace("non-free-firmware", "")
    assert debian12.read("etc/apt/sources.list").count(" non-free") > text.count(" non-free")


def test_another_release_is_refused_before_anything_is_touched(debian12):
    release = debian12.root / "usr/lib/os-release"
    text = release.read_text()
    for other in (
        text.replace('VERSION_ID="12"', 'VERSION_ID="11"'),
        text.replace('VERSION_ID="12"', 'VERSION_ID="14"'),
        re.sub(r"VERSION_ID=.*\n", "", text),  # testing and unstable
        text.replace("ID=debian", "ID=ubuntu\nID_LIKE=debian"),
    ):
        assert other != text
        release.write_text(other)
        before = debian12.bed.written()
        for function in (STATE, "nvidia.kernel_ready", "nvidia.nouveau_disabled"):
            answer = debian12.apply(function)
            assert answer["result"] is False
            assert "Fedora 40 to 43 and in Debian 12 and 13" in answer["comment"]
        assert debian12.bed.written() == before


def test_no_room_for_packages(debian12):
    """apt names the folder itself; nothing is unpacked, and the next run gets through."""
    reachable(debian12)
    archives = "/var/cache/apt/archives"
    debian12.bed.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", archives], check=True)
    before = debian12.packages()
    answer = debian12.apply(packages=["jq"])
    assert answer["result"] is False
    assert "step packages: " in answer["comment"]
    assert "enough free space in /var/cache/apt/archives" in answer["comment"]
    assert debian12.packages() == before
    debian12.bed.run(["umount", archives], check=True)
    assert "jq" in debian12.apply(packages=["jq"])["changes"]["packages"]


def test_no_entry_that_could_be_widened(debian12):
    (debian12.root / "etc/apt/sources.list").write_text("# nothing\n")
    before = debian12.bed.written()
    answer = debian12.apply()
    assert answer["result"] is False
    assert "no entry for Debian's archive (bookworm) in" in answer["comment"]
    assert "/etc/apt/sources.list" in answer["comment"]
    assert debian12.bed.written() == before


def test_a_held_package_is_named(debian12):
    reachable(debian12)
    debian12.bed.run(["apt-mark", "hold", "linux-image-amd64"], check=True)
    answer = debian12.apply(packages=["no-such-package"])
    assert "on hold: linux-image-amd64" in answer["comment"]


def test_locks_are_waited_for(debian12):
    """Another package manager that does not end in time is named."""
    reachable(debian12)
    script = (
        "import fcntl, time\n"
        "f = open('/var/lib/dpkg/lock-frontend', 'w'); fcntl.lockf(f, fcntl.LOCK_EX)\n"
        "print('held', flush=True); time.sleep(60)\n"
    )
    import subprocess

    holder = subprocess.Popen(
        ["chroot", debian12.root, "/usr/bin/python3", "-c", script], stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        answer = debian12.apply(timeout=2)
    finally:
        holder.kill()
        holder.wait()
    assert answer["result"] is False
    assert f"process {holder.pid} still holds /var/lib/dpkg/lock-frontend" in answer["comment"]


def test_what_a_killed_installation_left_is_mended(debian12):
    """dpkg was killed between unpacking and configuring; DKMS has a module without its source."""
    bed = debian12.bed
    bed.run(["apt-get", "-y", "-q", "install", "--download-only", "qubes-kernel-vm-support"])
    packages = [str(path) for path in (debian12.root / "var/cache/apt/archives").glob("qubes*.deb")]
    inside = ["/" + str(path).split("/root/", 1)[1] for path in packages]
    if not inside:
        inside = ["/srv/qubes/r4.2/vm/qubes-kernel-vm-support.deb"]
    bed.run(["dpkg", "--unpack", *inside], check=True)
    (debian12.root / "var/lib/dkms/nvidia-current-open/550.163.01").mkdir(parents=True)
    before = bed.written()
    dry = debian12.apply(test=True)
    assert bed.written() == before
    assert set(dry["changes"]["broken"]) == {
        "qubes-kernel-vm-support",
        "nvidia-current-open/550.163.01",
    }
    answer = debian12.apply(packages=["no-such-package"])
    assert answer["result"] is False  # after mending
    assert answer["changes"]["broken"] == {
        "nvidia-current-open/550.163.01": {"old": "DKMS leftover without source", "new": None},
        "qubes-kernel-vm-support": {"old": "unpacked", "new": "installed"},
    }
    assert not (debian12.root / "var/lib/dkms/nvidia-current-open").exists()


def test_a_read_only_file_is_named_and_nothing_is_half_done(debian12):
    file = debian12.root / "etc/apt/sources.list"
    before = file.read_text()
    bed = debian12.bed
    bed.run(["mount", "--bind", "/etc/apt/sources.list", "/etc/apt/sources.list"], check=True)
    try:
        answer = debian12.apply()
    finally:
        bed.run(["umount", "/etc/apt/sources.list"], check=True)
    assert answer["result"] is False
    assert "cannot write /etc/apt/sources.list" in answer["comment"]
    assert file.read_text() == before
    assert not list((debian12.root / "etc/apt").glob(".*qvm-gpu*"))


def test_nouveau_and_the_small_states(debian12):
    for function in ("nvidia.nouveau_disabled", "nvidia.prime_offload", "nvidia.swap_minimized"):
        before = debian12.bed.written()
        dry = debian12.apply(function, test=True)
        assert dry["result"] is None, dry
        assert debian12.bed.written() == before
        done = debian12.apply(function)
        assert done["result"] is True, done["comment"]
        assert done["changes"] == dry["changes"]
        assert debian12.apply(function)["changes"] == {}
        assert debian12.apply(function, test=True)["result"] is True
    assert "blacklist nouveau" in debian12.read("etc/modprobe.d/qvm-gpu-nouveau.conf")
    words = ["/usr/local/bin/nvrun", "printf", "[%s]", "a b", "c  d", "$HOME", ""]
    assert debian12.bed.run(words).stdout == "[a b][c  d][$HOME][]"
    shown = debian12.bed.run(["/usr/local/bin/nvrun", "env"]).stdout
    assert "__NV_PRIME_RENDER_OFFLOAD=1\n" in shown
    removed = debian12.apply("nvidia.driver_removed")
    assert removed["result"] is True, removed["comment"]
    assert not (debian12.root / "usr/local/bin/nvrun").exists()
    assert not (debian12.root / "etc/modprobe.d/qvm-gpu-nouveau.conf").exists()


def test_odd_deb822_is_widened_where_apt_reads_it(debian13):
    """Carriage returns, comments, odd spacing, and stanzas that are off or somebody else's."""
    reachable(debian13)
    file = debian13.root / "etc/apt/sources.list.d/debian.sources"
    archive = re.search(r"(?m)^URIs: (\S+)$", file.read_text())[1]
    own = (
        f"# the archive\ntypes:deb\nURIs:\t{archive}\nSuites:  trixie\n  trixie-updates\n"
        "# not all\nComponents:   main\n  contrib\nX-Note: kept\n"
    )
    off = f"Enabled: no\nTypes: deb\nURIs: {archive}\nSuites: trixie-backports\nComponents: main\n"
    file.write_text(f"{own}\n\n{off}")
    dos = debian13.root / "etc/apt/sources.list.d/dos.sources"
    dos.write_bytes(
        f"Types: deb\r\nURIs: {archive}\r\nSuites: trixie\r\nComponents: main\r\n".encode()
    )
    dos.chmod(0o600)
    assert debian13.apply(packages=["no-such-package"])["changes"]["files"]
    assert file.read_text() == (
        f"{own}\n\n{off}".replace("contrib\n", "contrib non-free non-free-firmware\n")
    )
    assert b"Components: main contrib non-free non-free-firmware\r\n" in dos.read_bytes()
    assert dos.stat().st_mode & 0o777 == 0o600
    shown = debian13.bed.run(["apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT)"])
    assert {"trixie non-free", "trixie-updates main"} <= set(shown.stdout.splitlines())
    assert "trixie-backports" not in shown.stdout
    assert debian13.apply(packages=["no-such-package"])["changes"] == {}


def test_kernel_ready_names_what_is_missing(debian12):
    reachable(debian12)
    answer = debian12.apply("nvidia.kernel_ready")
    assert answer["result"] is False
    assert "qubes-kernel-vm-support" in answer["comment"]
    assert "linux-headers-amd64" in answer["comment"]
    assert "linux-image-amd64" not in answer["comment"]


def test_a_second_state_of_the_same_run_sees_the_first(debian12):
    """Without a card and without a driver the questions still answer plainly."""
    debian12.bed.set_cards([])
    minion = debian12.minion
    assert minion.call("nvidia.cards") == []
    status = minion.call("nvidia.status")
    assert (status["state"], status["working"]) == ("missing", False)
    assert minion.call("nvidia.version") == {"installed": None, "library": None, "loaded": None}
    plan = minion.call("nvidia.plan", "flavor=open")
    assert [step["step"] for step in plan["steps"]] == ["sources", "packages", "module"]


def test_removed_keeps_what_others_need_by_now(debian12):
    """As after an upgrade that brought a newer kernel with new dependencies."""
    reachable(debian12)
    bed, before = debian12.bed, debian12.packages()
    answer = debian12.apply(packages=["tree", "jq"])
    assert answer["result"] is False
    assert "none of the packages brings one" in answer["comment"]
    assert {"tree", "jq", "libjq1"} <= set(answer["changes"]["packages"])
    control = debian12.root / "srv/holder/DEBIAN/control"
    control.parent.mkdir(parents=True)
    control.write_text(
        "Package: holder\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDepends: libjq1\n"
        "Description: needs one of our packages\n"
    )
    bed.run(["dpkg-deb", "-b", "/srv/holder"], check=True)
    bed.run(["dpkg", "-i", "/srv/holder.deb"], check=True)
    removed = debian12.apply("nvidia.driver_removed")
    assert removed["result"] is True, removed["comment"]
    assert "left installed, since other packages need them by now: " in removed["comment"]
    assert {"tree", "jq"} <= set(removed["changes"]["packages"])
    left = {line.split()[0] for line in set(debian12.packages()) - set(before)}
    assert left == {"holder", "libjq1", "libonig5"}
    assert "non-free " not in debian12.read("etc/apt/sources.list")


def test_removed_leaves_what_refuses_to_go(debian12):
    """As sudo does, where root has no password; the rest is undone all the same."""
    reachable(debian12)
    before = debian12.read("etc/apt/sources.list")
    debian12.apply(packages=["tree", "jq"])
    prerm = debian12.root / "var/lib/dpkg/info/tree.prerm"
    prerm.write_text("#!/bin/sh\necho refusing\nexit 1\n")
    prerm.chmod(0o755)
    removed = debian12.apply("nvidia.driver_removed")
    assert removed["result"] is True, removed["comment"]
    assert "dpkg cannot remove them (the log has its reasons): tree" in removed["comment"]
    assert "refusing" in debian12.read(LOG) or "refusing" in removed["comment"]
    assert "jq" in removed["changes"]["packages"]
    assert "tree" not in removed["changes"]["packages"]
    assert debian12.read("etc/apt/sources.list") == before
    assert not (debian12.root / "var/lib/qvm-gpu").exists()


@pytest.mark.slow_bed
def test_a_kernel_of_its_own(debian12):
    """A template that boots dom0's kernel gets the release's, and a menu that has it."""
    reachable(debian12)
    bed, kernel = debian12.bed, debian12.facts["kernel"]
    bed.run(["dpkg", "-P", "linux-image-amd64", f"linux-image-{kernel}"], check=True)
    (debian12.root / "boot/grub/grub.cfg").unlink()
    before = bed.written()
    answer = debian12.apply("nvidia.kernel_ready")
    assert answer["result"] is False
    assert "Missing packages: linux-image-amd64 linux-headers-amd64" in answer["comment"]
    assert "There is no /boot/grub/grub.cfg." in answer["comment"]
    dry = debian12.apply("nvidia.kernel_ready", test=True, install=True)
    assert dry["result"] is None
    assert bed.written() == before
    done = debian12.apply("nvidia.kernel_ready", install=True)
    assert done["result"] is True, done["comment"]
    assert set(dry["changes"]["packages"]) <= set(done["changes"]["packages"])
    assert dry["changes"]["files"] == done["changes"]["files"]
    (image,) = (debian12.root / "boot").glob("vmlinuz-*")
    assert f"linux\t/boot/{image.name} " in debian12.read("boot/grub/grub.cfg")
    assert done["comment"].startswith(f"{image.name.removeprefix('vmlinuz-')} boots from this")
    for body in ({}, {"install": True}):
        again = debian12.apply("nvidia.kernel_ready", **body)
        assert (again["result"], again["changes"]) == (True, {})


@pytest.mark.slow_bed
def test_debian12_from_nothing_to_a_module(debian12):
    reachable(debian12)
    answer = debian12.install(timeout=3600)
    kernel = debian12.facts["kernel"]
    version = debian12.modinfo(name="nvidia-current")
    assert re.fullmatch(r"\d+\.\d+(\.\d+)?", version)
    assert answer["changes"]["module"] == {kernel: {"old": None, "new": version}}
    assert f"The driver {version} is installed for {kernel}" in answer["comment"]
    status = debian12.bed.run(["dkms", "status"]).stdout
    assert f"nvidia-current/{version}, {kernel}, x86_64: installed" in status
    before = debian12.bed.written()
    log = debian12.read(LOG)
    assert debian12.programs() == []
    assert debian12.bed.written() == before
    assert debian12.read(LOG) == log
    packages = debian12.bed.run(["dpkg-query", "-W"]).stdout
    removed = debian12.apply("nvidia.driver_removed")
    assert removed["result"] is True, removed["comment"]
    assert "nvidia-kernel-dkms" in packages
    assert not [line for line in debian12.packages() if "nvidia" in line or "headers" in line]
    assert "non-free " not in debian12.read("etc/apt/sources.list")
    assert not debian12.modinfo(name="nvidia-current")


@pytest.mark.slow_bed
def test_debian13_quotes_the_compiler_and_then_builds_the_other_flavor(debian13):
    """Finding 3: the open module does not compile; what it leaves does not block the other one."""
    reachable(debian13)
    kernel, before = debian13.facts["kernel"], sources(debian13)
    packages = ["linux-headers-amd64", f"linux-headers-{kernel}"]
    answer = debian13.apply(flavor="open", packages=[*packages, "nvidia-open-kernel-dkms"])
    assert answer["result"] is False
    assert "nvidia-current-open/" in answer["comment"]
    assert "error: too few arguments to function" in answer["comment"]
    assert "make.log" in answer["comment"]
    done = debian13.install(packages=[*packages, "nvidia-kernel-dkms"])
    assert done["changes"]["broken"]["nvidia-open-kernel-dkms"]["new"] == "purged"
    assert list(done["changes"]["module"]) == [kernel]
    assert debian13.install(packages=[*packages, "nvidia-kernel-dkms"])["changes"] == {}
    removed = debian13.apply("nvidia.driver_removed")
    assert removed["result"] is True, removed["comment"]
    assert sources(debian13) == before
    assert not [line for line in debian13.packages() if "nvidia" in line or "headers" in line]
    assert not debian13.modinfo(name="nvidia-current")
    assert not (debian13.root / "etc/modprobe.d/qvm-gpu-nouveau.conf").exists()
