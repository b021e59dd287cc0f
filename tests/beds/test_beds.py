# SPDX-License-Identifier: GPL-3.0-or-later
"""The beds behave as real machines were seen to: what the driver state is tested against is true."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from . import beds
from .beds import Bed, Result
from .rpms import RPMFUSION

DRIVER = ["akmod-nvidia", "xorg-x11-drv-nvidia-cuda"]


def is_dnf5(bed: Bed) -> bool:
    """Tell which dnf a Fedora bed has."""
    return bed.name == "fedora41"


def enable_rpmfusion(bed: Bed) -> Result:
    """Turn the four repositories on, each dnf in its own syntax."""
    if is_dnf5(bed):
        words = ["setopt", *(f"{name}.enabled=1" for name in RPMFUSION)]
    else:
        words = ["--set-enabled", *RPMFUSION]
    return bed.run(["dnf", "config-manager", *words], check=True)


def enabled_repositories(bed: Bed) -> set[str]:
    """Return the ids that `dnf repolist` lists as enabled."""
    lines = bed.run(["dnf", "repolist"], check=True).stdout.splitlines()
    return {line.split()[0] for line in lines if line and not line.startswith("repo id")}


def exclude_grubby_dummy(bed: Bed) -> None:
    """Write the exclude into [main], the only section of the bed's dnf.conf."""
    with (bed.root / "etc/dnf/dnf.conf").open("a") as conf:
        conf.write("exclude=grubby-dummy\n")


def installed(bed: Bed, name: str) -> bool:
    """Ask the RPM database for one package."""
    return bed.run(["rpm", "-q", name]).rc == 0


def wait_for(bed: Bed, pattern: str, seconds: float = 30) -> Path:
    """Wait for a file in the bed."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for path in bed.root.glob(pattern):
            return path
        time.sleep(0.1)
    raise AssertionError(f"no {pattern} after {seconds} s")


def _process_roots() -> list[str]:
    """Where every process has its root; one that ends while we look has none."""
    roots = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                roots.append(os.readlink(entry / "root"))
    return roots


class TestBed:
    """The bed itself: pristine, private, and gone afterwards."""

    def test_each_copy_is_pristine_and_leaves_nothing(self, fedora41: Bed) -> None:
        (fedora41.root / "etc/marker").write_text("x")
        with Bed("fedora41") as other:
            assert not (other.root / "etc/marker").exists()
            folder = other.root
            other.run(["sh", "-c", "sleep 300 >/dev/null 2>&1 </dev/null &"], check=True)
        assert not folder.exists()
        assert str(folder) not in Path("/proc/self/mountinfo").read_text()
        assert not any(root.startswith(str(folder)) for root in _process_roots())

    def test_mounts_are_not_seen_by_others(self, fedora41: Bed) -> None:
        assert str(fedora41.root) not in Path("/proc/1/mountinfo").read_text()

    def test_hash_tree_sees_every_write(self, fedora41: Bed) -> None:
        before, written = fedora41.hash_tree(), fedora41.written()
        assert fedora41.hash_tree() == before
        assert fedora41.written() == written
        name = "etc/dnf/dnf.conf"
        file = fedora41.root / name
        file.write_bytes(file.read_bytes())
        after, now = fedora41.hash_tree(), fedora41.written()
        assert {path for path in after if after[path] != before.get(path)} == {name}
        assert name in now and name not in written
        assert fedora41.hash_tree(exclude=[name]) == {
            path: digest for path, digest in before.items() if path != name
        }

    def test_shows_a_card_and_a_kernel_of_its_own(self, fedora41: Bed) -> None:
        show = "cat /proc/sys/kernel/osrelease /sys/bus/pci/devices/0000:01:00.0/{vendor,class}"
        expected = [fedora41.facts["kernel"], "0x10de", "0x030000"]
        assert fedora41.run(["bash", "-c", show], check=True).stdout.split() == expected
        fedora41.set_cards([])
        assert list((fedora41.root / "sys/bus/pci/devices").iterdir()) == []

    def test_shows_a_loaded_driver(self, debian12: Bed) -> None:
        debian12.set_loaded("535.309.01")
        text = (debian12.root / "proc/driver/nvidia/version").read_text()
        assert "Open Kernel Module for x86_64  535.309.01 " in text
        driver = debian12.root / "sys/bus/pci/devices/0000:01:00.0/driver"
        assert driver.resolve().name == "nvidia"

    def test_outside_sees_the_root(self, fedora41: Bed) -> None:
        code = "import os; print(os.listdir(os.environ['QVM_GPU_ROOT'] + '/proc/self/fd') != [])"
        assert fedora41.outside([sys.executable, "-c", code], check=True).stdout == "True\n"

    def test_tmp_can_be_remounted_larger(self, fedora40: Bed) -> None:
        fedora40.run(["mount", "-o", "remount,size=2G", "/tmp"], check=True)
        info = os.statvfs(fedora40.root / "tmp")
        assert info.f_blocks * info.f_frsize == 2 << 30

    def test_an_unknown_bed_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="no bed named"):
            beds.build("fedora1")


class TestDnf:
    """Section 2 of the facts: two package managers, two syntaxes."""

    def test_the_other_syntax_is_refused(self, fedora: Bed) -> None:
        if is_dnf5(fedora):
            result = fedora.run(["dnf", "config-manager", "--set-enabled", "rpmfusion-free"])
            assert result.rc == 2
            assert 'Unknown argument "--set-enabled"' in result.text
        else:
            result = fedora.run(["dnf", "config-manager", "setopt", "rpmfusion-free.enabled=1"])
            assert result.rc == 1
            assert "one of the following arguments is required" in result.text

    def test_an_unknown_repository_is_refused(self, fedora: Bed) -> None:
        if is_dnf5(fedora):
            words = ["setopt", "rpmfusion-free.enabled=1", "nosuch.enabled=1"]
        else:
            words = ["--set-enabled", "nosuch"]
        result = fedora.run(["dnf", "config-manager", *words])
        assert result.rc == 1
        assert re.search(r"No matching repo(sitory)? to modify: nosuch", result.text)
        assert not enabled_repositories(fedora) & set(RPMFUSION)

    def test_enabling_by_id_leaves_debuginfo_off(self, fedora: Bed) -> None:
        before = enabled_repositories(fedora)
        enable_rpmfusion(fedora)
        assert enabled_repositories(fedora) == before | set(RPMFUSION)

    def test_dnf5_glob_enables_debuginfo_too(self, fedora41: Bed) -> None:
        fedora41.run(["dnf", "config-manager", "setopt", "rpmfusion-*.enabled=1"], check=True)
        assert "rpmfusion-nonfree-debuginfo" in enabled_repositories(fedora41)

    def test_dnf5_override_beats_the_repo_file(self, fedora41: Bed) -> None:
        repo = fedora41.root / "etc/yum.repos.d/rpmfusion-free.repo"
        before = repo.read_bytes()
        enable_rpmfusion(fedora41)
        assert repo.read_bytes() == before
        override = fedora41.root / "etc/dnf/repos.override.d/99-config_manager.repo"
        assert "[rpmfusion-free]" in override.read_text()
        override.write_text("[fedora]\nenabled=0\n")
        assert "fedora" not in enabled_repositories(fedora41)

    def test_dnf5_without_override_folder(self, fedora41: Bed) -> None:
        (fedora41.root / "etc/dnf/repos.override.d").rmdir()
        words = ["dnf", "config-manager", "setopt"]
        result = fedora41.run([*words, "rpmfusion-free.enabled=1"])
        assert result.rc == 1
        assert "--create-missing-dir" in result.text
        fedora41.run([*words, "--create-missing-dir", "rpmfusion-free.enabled=1"], check=True)

    def test_dnf5_repolist_as_json(self, fedora41: Bed) -> None:
        listed = json.loads(fedora41.run(["dnf", "repolist", "--all", "--json"], check=True).stdout)
        states = {entry["id"]: entry["is_enabled"] for entry in listed}
        assert states["fedora"] and not states["rpmfusion-free"]

    def test_unknown_package(self, fedora: Bed) -> None:
        result = fedora.run(["dnf", "-y", "install", "nosuch-package"])
        assert result.rc == 1
        assert re.search(r"No match for argument: nosuch-package", result.text)

    def test_unreachable_repositories(self, fedora: Bed) -> None:
        fedora.set_repositories("http://127.0.0.1:9/none")
        fedora.run(["dnf", "clean", "all"], check=True)
        result = fedora.run(["dnf", "-y", "install", "akmods"])
        assert result.rc == 1
        assert "No match" in result.text
        if not is_dnf5(fedora):
            assert "Ignoring repositories: " in result.text

    def test_already_installed_is_success(self, fedora: Bed) -> None:
        assert fedora.run(["dnf", "-y", "install", "kernel"]).rc == 0

    def test_assumeno_with_work_is_not_success(self, fedora: Bed) -> None:
        result = fedora.run(["dnf", "--assumeno", "install", "sdubby", "--allowerasing"])
        assert result.rc == 1
        assert not installed(fedora, "sdubby")

    def test_allowerasing_place(self, fedora: Bed) -> None:
        result = fedora.run(["dnf", "-y", "--allowerasing", "install", "grubby"])
        assert result.rc == (2 if is_dnf5(fedora) else 0)

    def test_rpm_counts_what_is_missing(self, fedora: Bed) -> None:
        assert fedora.run(["rpm", "-q", "a1", "a2", "a3", "kernel"]).rc == 3


class TestExcludes:
    """What an exclude in dnf.conf means; both dnf agree."""

    @pytest.mark.parametrize(
        ("conf", "hidden"),
        [
            ("[main]\nexclude=kernel, grubby-dummy\n", {"kernel", "grubby-dummy"}),
            ("[main]\nexclude=kernel,\n grubby-dummy\n", {"kernel", "grubby-dummy"}),
            ("[main]\nexclude=kernel\nexcludepkgs=grubby-dummy\n", {"kernel", "grubby-dummy"}),
            ("[main]\nexclude=grubby-dummy\nexclude=kernel\n", {"kernel"}),
            ("[main]\nexclude=kernel\nexcludepkgs=\n", set()),
            ("[main]\nexclude=\nexcludepkgs=kernel\n", {"kernel"}),
            ("[main]\ngpgcheck=0\n{other}exclude=kernel\n", set()),
            ("[main]\nexclude=kernel\n{other}[main]\nbest=0\n", {"kernel"}),
            ("[main]\nbest=0\n{other}[main]\nexclude=kernel\n", {"kernel"}),
            ("[main]\r\nexclude=kernel\r\nbest=0\r\n", {"kernel"}),
        ],
    )
    def test_hidden(self, fedora: Bed, conf: str, hidden: set[str]) -> None:
        other = "[x]\nname=x\nbaseurl=file:///srv/repo/updates\n"
        file = fedora.root / "etc/dnf/dnf.conf"
        file.write_bytes(conf.format(other=other).encode())
        query = ["dnf", "-q", "repoquery", "--available", "--qf", "%{name}\n"]
        seen = fedora.run([*query, "kernel", "grubby-dummy"], check=True).stdout.split()
        assert {"kernel", "grubby-dummy"} - set(seen) == hidden


class TestGrubbyDummy:
    """The conflict of Qubes' grubby-dummy with akmods and the driver, on real solvers."""

    @pytest.fixture(autouse=True)
    def _rpmfusion(self, fedora: Bed) -> None:
        enable_rpmfusion(fedora)
        fedora.set_akmods("ok", 0)

    def test_a_installed_dummy_blocks_the_driver(self, fedora: Bed) -> None:
        result = fedora.run(["dnf", "-y", "install", *DRIVER])
        assert result.rc == 1
        assert re.search(
            r"sdubby-\S+ (from fedora )?conflicts with grubby provided by grubby-dummy", result.text
        )
        assert not installed(fedora, "akmod-nvidia")

    def test_b_allowerasing_swaps_it_in_one_transaction(self, fedora: Bed) -> None:
        fedora.run(["dnf", "-y", "install", "--allowerasing", *DRIVER], check=True)
        assert installed(fedora, "akmod-nvidia")
        assert installed(fedora, "grubby")
        assert not installed(fedora, "grubby-dummy")

    def test_c_f_not_excluded_it_comes_back(self, fedora: Bed) -> None:
        fedora.run(["dnf", "-y", "remove", "grubby-dummy"], check=True)
        fedora.run(["dnf", "-y", "install", *DRIVER], check=True)
        wait_for(fedora, "var/cache/akmods/nvidia/*[0-9_].log")
        assert installed(fedora, "grubby")
        fedora.run(["dnf", "-y", "upgrade"], check=True)
        assert installed(fedora, "grubby-dummy")
        assert not installed(fedora, "grubby")

    def test_d_excluded_it_stays_away(self, fedora: Bed) -> None:
        fedora.run(["dnf", "-y", "remove", "grubby-dummy"], check=True)
        exclude_grubby_dummy(fedora)
        fedora.run(["dnf", "-y", "install", *DRIVER], check=True)
        wait_for(fedora, "var/cache/akmods/nvidia/*[0-9_].log")
        result = fedora.run(["dnf", "-y", "upgrade"], check=True)
        assert "grubby-dummy" not in result.text
        assert installed(fedora, "grubby")

    def test_excluded_while_installed_it_cannot_be_removed(self, fedora: Bed) -> None:
        """An exclude hides installed packages too: `remove` then does nothing and exits 0."""
        exclude_grubby_dummy(fedora)
        remove = ["dnf", "-y", "remove", "grubby-dummy"]
        assert fedora.run(remove).rc == 0
        assert installed(fedora, "grubby-dummy")
        assert fedora.run(["dnf", "-y", "install", "--allowerasing", *DRIVER]).rc == 1
        fedora.run([*remove, "--setopt=excludepkgs="], check=True)
        assert not installed(fedora, "grubby-dummy")

    def test_plain_grubby_is_answered_by_the_dummy(self, fedora: Bed) -> None:
        """Installing the name `grubby` gives no grubby as long as the dummy is on offer."""
        fedora.run(["dnf", "-y", "remove", "grubby-dummy"], check=True)
        fedora.run(["dnf", "-y", "install", "grubby"], check=True)
        assert installed(fedora, "grubby-dummy")
        assert not installed(fedora, "grubby")


class TestAkmods:
    """What a build leaves behind: the module and its log, or only a failed log, or nothing."""

    @pytest.fixture(autouse=True)
    def _ready(self, fedora: Bed) -> None:
        enable_rpmfusion(fedora)
        fedora.run(["dnf", "-y", "remove", "grubby-dummy"], check=True)
        exclude_grubby_dummy(fedora)

    def test_build_ends_well(self, fedora: Bed) -> None:
        fedora.set_akmods("ok", 1)
        fedora.run(["dnf", "-y", "install", *DRIVER], check=True)
        kernel, driver = fedora.facts["kernel"], fedora.facts["driver"]
        log = wait_for(fedora, f"var/cache/akmods/nvidia/{driver}-1-for-{kernel}.log")
        assert "Building RPM" in log.read_text()
        assert (fedora.root / f"lib/modules/{kernel}/extra/nvidia/nvidia.ko.xz").exists()
        for field, value in (("version", driver), ("license", "NVIDIA")):
            show = ["modinfo", "-k", kernel, "-F", field, "nvidia"]
            assert fedora.run(show, check=True).stdout.strip() == value
        assert installed(fedora, f"kmod-nvidia-{kernel}")
        assert (fedora.root / "usr/share/X11/xorg.conf.d/nvidia.conf").exists()
        entry = next((fedora.root / "boot/loader/entries").iterdir()).read_text()
        assert "rd.driver.blacklist=nouveau" in entry

    def test_without_a_card_the_open_module_is_built(self, fedora: Bed) -> None:
        fedora.set_cards([])
        fedora.set_akmods("ok", 0)
        fedora.run(["dnf", "-y", "install", *DRIVER], check=True)
        wait_for(fedora, "var/cache/akmods/nvidia/*[0-9_].log")
        show = ["modinfo", "-k", fedora.facts["kernel"], "-F", "license", "nvidia"]
        assert fedora.run(show, check=True).stdout.strip() == "Dual MIT/GPL"

    def test_build_fails(self, fedora: Bed) -> None:
        fedora.set_akmods("fail", 0)
        fedora.run(["dnf", "-y", "install", *DRIVER], check=True)
        log = wait_for(fedora, "var/cache/akmods/nvidia/*.failed.log")
        assert "error: too few arguments to function 'pci_resize_resource'" in log.read_text()
        assert not list(fedora.root.glob("lib/modules/*/extra"))
        again = fedora.run(["akmods"])
        assert again.rc == 1
        fedora.set_akmods("ok", 0)
        fedora.run(["akmods", "--force", "--kernels", fedora.facts["kernel"]], check=True)
        assert installed(fedora, f"kmod-nvidia-{fedora.facts['kernel']}")

    def test_build_never_ends(self, fedora: Bed) -> None:
        fedora.set_akmods("hang")
        fedora.run(["dnf", "-y", "install", *DRIVER], check=True)
        wait_for(fedora, "var/cache/akmods/nvidia/*.log.part")
        lock = fedora.run(["flock", "--nonblock", "/run/akmods/akmods.lock", "true"])
        assert lock.rc == 1
        assert not list(fedora.root.glob("lib/modules/*/extra"))

    def test_kernel_without_headers(self, fedora: Bed) -> None:
        fedora.set_akmods("ok", 0)
        fedora.run(["dnf", "-y", "install", "akmods", *DRIVER], check=True)
        wait_for(fedora, "var/cache/akmods/nvidia/*[0-9_].log")
        result = fedora.run(["akmods", "--kernels", "9.9.9-1.fc99.x86_64"])
        assert result.rc == 1
        assert "Could not find files needed to compile modules" in result.text


class TestGrub:
    """grub-mkconfig and the boot loader entries."""

    def edit(self, bed: Bed) -> None:
        file = bed.root / "etc/default/grub"
        text = re.sub(
            r'(?m)^GRUB_CMDLINE_LINUX="(.*)"$',
            r'GRUB_CMDLINE_LINUX="\1 rd.driver.blacklist=nouveau"',
            file.read_text(),
        )
        file.write_text(text)

    def test_fedora_cmdline_reaches_grub_cfg_but_not_the_entries(self, fedora: Bed) -> None:
        self.edit(fedora)
        fedora.run(["grub2-mkconfig", "-o", "/boot/grub2/grub.cfg"], check=True)
        lines = (fedora.root / "boot/grub2/grub.cfg").read_text().splitlines()
        kernels = [line for line in lines if line.lstrip().startswith("linux\t")]
        assert kernels
        assert all("rd.driver.blacklist=nouveau" in line for line in kernels)
        entry = next((fedora.root / "boot/loader/entries").iterdir()).read_text()
        assert "nouveau" not in entry

    def test_update_bls_cmdline(self, fedora: Bed) -> None:
        assert "bls" not in fedora.run(["grub2-mkconfig", "--help"], check=True).text
        fedora.use_bls_mkconfig()
        assert "--update-bls-cmdline" in fedora.run(["grub2-mkconfig", "--help"], check=True).text
        self.edit(fedora)
        words = ["grub2-mkconfig", "-o", "/boot/grub2/grub.cfg", "--update-bls-cmdline"]
        fedora.run(words, check=True)
        entry = next((fedora.root / "boot/loader/entries").iterdir()).read_text()
        assert "options root=/dev/mapper/dmroot ro rhgb quiet rd.driver.blacklist=nouveau" in entry

    def test_debian(self, debian: Bed) -> None:
        self.edit(debian)
        debian.run(["update-grub"], check=True)
        text = (debian.root / "boot/grub/grub.cfg").read_text()
        assert f"vmlinuz-{debian.facts['kernel']} root=/dev/xvda3 ro  rd.driver" in text.replace(
            "ro rd", "ro  rd"
        )


def widen(bed: Bed, *, security: bool) -> None:
    """Add non-free to the archive, and to -security too where asked."""
    one_line = bed.root / "etc/apt/sources.list"
    if one_line.exists():
        lines = one_line.read_text().splitlines(keepends=True)
        for number, line in enumerate(lines):
            if line.startswith("deb ") and (security or "-security" not in line):
                lines[number] = line.replace("contrib", "contrib non-free")
        one_line.write_text("".join(lines))
    else:
        file = bed.root / "etc/apt/sources.list.d/debian.sources"
        stanzas = file.read_text().split("\n\n")
        for number, stanza in enumerate(stanzas):
            if security or "-security" not in stanza:
                stanzas[number] = stanza.replace("contrib", "contrib non-free")
        file.write_text("\n\n".join(stanzas))
    update = bed.run(["apt-get", "-q", "update"])
    if update.rc or re.search(r"(?m)^(W|E|Err)", update.text):
        pytest.skip(f"no package index: {update.text[-500:]}")


class TestApt:
    """Findings 1 and 2, by simulation against the real archive."""

    def simulate(self, bed: Bed, *packages: str) -> Result:
        return bed.run(["apt-get", "-s", "-q", "install", *packages])

    def test_own_sources_have_no_driver(self, debian: Bed) -> None:
        assert self.simulate(debian, "nvidia-driver").rc == 100

    def test_the_qubes_repository_works(self, debian: Bed) -> None:
        debian.run(["apt-get", "-y", "-q", "install", "qubes-kernel-vm-support"], check=True)

    def test_debian12_half_wide_is_not_installable(self, debian12: Bed) -> None:
        widen(debian12, security=False)
        result = self.simulate(debian12, "nvidia-driver", "firmware-misc-nonfree")
        assert result.rc == 100
        assert "unmet dependencies" in result.text

    def test_debian12_wide_is_installable(self, debian12: Bed) -> None:
        widen(debian12, security=True)
        packages = ["linux-headers-amd64", "firmware-misc-nonfree", "nvidia-driver"]
        assert self.simulate(debian12, *packages).rc == 0

    def test_debian12_open_flavour_is_not_installable(self, debian12: Bed) -> None:
        widen(debian12, security=True)
        assert self.simulate(debian12, "nvidia-driver", "nvidia-open-kernel-dkms").rc == 100

    def test_debian13_wide_is_installable(self, debian13: Bed) -> None:
        widen(debian13, security=True)
        packages = ["linux-headers-amd64", "nvidia-driver", "nvidia-kernel-dkms"]
        assert self.simulate(debian13, *packages).rc == 0


class TestSshd:
    """The way of qubesctl ends at a real sshd."""

    def test_ssh_and_sftp_answer(self, debian: Bed) -> None:
        with debian.sshd() as target:
            login = ["ssh", *target.options, "-p", str(target.port), "root@127.0.0.1"]
            done = subprocess.run(
                [*login, "cat /etc/debian_version; command -v python3; echo $DEBIAN_FRONTEND"],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr + target.log.read_text()
            assert done.stdout.split()[1:] == ["/usr/bin/python3", "noninteractive"]
            copy = ["scp", *target.options, "-P", str(target.port), __file__]
            subprocess.run([*copy, "root@127.0.0.1:/root/copied"], check=True, timeout=60)
            assert (debian.root / "root/copied").read_bytes() == Path(__file__).read_bytes()
            assert target.roster()["port"] == target.port

    def test_two_at_once(self, debian12: Bed) -> None:
        with Bed("debian12") as other, debian12.sshd() as one, other.sshd() as two:
            assert one.port != two.port


class TestSalt:
    """salt-call runs inside a bed and takes it for what it claims to be."""

    @pytest.mark.parametrize(
        ("name", "system", "family"),
        [("fedora40", "Fedora", "RedHat"), ("fedora41", "Fedora", "RedHat"),
         ("debian12", "Debian", "Debian"), ("debian13", "Debian", "Debian")],
    )  # fmt: skip
    def test_grains(
        self, request: pytest.FixtureRequest, name: str, system: str, family: str
    ) -> None:
        bed: Bed = request.getfixturevalue(name)
        try:
            grains = bed.salt_call("grains.item", "os", "os_family", "osmajorrelease")
        except beds.BedUnavailable as error:
            pytest.skip(str(error))
        assert grains == {"os": system, "os_family": family, "osmajorrelease": int(name[-2:])}

    def test_state_from_file_roots(self, fedora41: Bed, tmp_path: Path) -> None:
        (tmp_path / "t.sls").write_text("/etc/made:\n  file.managed:\n    - contents: x\n")
        try:
            done = fedora41.salt_call("state.apply", "t", file_roots=[tmp_path])
        except beds.BedUnavailable as error:
            pytest.skip(str(error))
        assert all(state["result"] for state in done.values())
        assert (fedora41.root / "etc/made").read_text() == "x\n"


@pytest.mark.slow_bed
class TestDkms:
    """Real kernel modules from the real archive (minutes each)."""

    def install(self, bed: Bed, *packages: str) -> Result:
        widen(bed, security=True)
        words = ["apt-get", "-y", "-q", "--no-install-recommends", "install", *packages]
        return bed.run(words, timeout=1800)

    def test_debian12_driver_builds(self, debian12: Bed) -> None:
        result = self.install(debian12, "linux-headers-amd64", "nvidia-kernel-dkms")
        assert result.rc == 0, result.text[-3000:]
        kernel = debian12.facts["kernel"]
        status = debian12.run(["dkms", "status"], check=True).stdout
        assert re.search(rf"nvidia-current/[\d.]+, {kernel}, x86_64: installed", status)
        # The file is not called nvidia (finding 4).
        assert debian12.run(["modinfo", "-k", kernel, "nvidia"]).rc == 1
        show = ["modinfo", "-k", kernel, "-F", "version", "nvidia-current"]
        assert re.fullmatch(r"[\d.]+\n", debian12.run(show, check=True).stdout)

    def test_debian13_proprietary_module_builds(self, debian13: Bed) -> None:
        result = self.install(debian13, "linux-headers-amd64", "nvidia-kernel-dkms")
        assert result.rc == 0, result.text[-3000:]
        assert "installed" in debian13.run(["dkms", "status"], check=True).stdout

    def test_debian13_open_module_does_not_compile(self, debian13: Bed) -> None:
        """Finding 3; an archive that has mended it makes this test fail: then change the default."""
        result = self.install(debian13, "linux-headers-amd64", "nvidia-open-kernel-dkms")
        assert result.rc == 100, result.text[-3000:]
        logs = list(debian13.root.glob("var/lib/dkms/nvidia*/*/build/make.log"))
        assert logs
        assert re.search(r"error: too few arguments to function", logs[0].read_text())
        status = debian13.run(["dkms", "status"]).stdout
        assert re.search(r"nvidia-current-open/[\d.]+.*: (added|broken)", status)
        # Purged at once, the half-configured package leaves no tree behind.
        purge = ["apt-get", "-y", "-q", "purge", "nvidia-open-kernel-dkms"]
        debian13.run(purge, check=True, timeout=600)
        assert not list(debian13.root.glob("var/lib/dkms/nvidia*"))

    def test_a_tree_without_its_source(self, debian: Bed) -> None:
        """Only dkms 3.2 calls it broken, on stderr and with exit code 0; 3.0 says `added`."""
        words = ["apt-get", "-y", "-q", "--no-install-recommends", "install", "dkms"]
        debian.run(words, check=True, timeout=1800)
        tree = debian.root / "var/lib/dkms/nvidia-current-open/550.163.01"
        tree.mkdir(parents=True)
        (tree / "source").symlink_to("/usr/src/nvidia-current-open-550.163.01")
        status = debian.run(["dkms", "status"])
        assert status.rc == 0
        if debian.name == "debian12":
            assert status.stdout == "nvidia-current-open/550.163.01: added\n"
        else:
            assert status.stdout == "nvidia-current-open/550.163.01: broken\n"
            assert "Missing the module source directory" in status.stderr
