# SPDX-License-Identifier: GPL-3.0-or-later
"""Test beds: pristine chroots of a distribution, each from a cached base in less than a second.

    with Bed("fedora41") as bed:
        bed.run(["dnf", "-y", "install", "akmod-nvidia"])
        before = bed.hash_tree()

`bed.root` is a plain path for this process and its children, so code under test runs either in the
chroot (`bed.run`, `bed.salt_call`) or outside with `QVM_GPU_ROOT=<bed.root>` (`bed.outside`).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from . import recipes
from .mounts import (
    BedUnavailable,
    die_with_parent,
    furnish,
    kill_inside,
    mount,
    mount_tmpfs,
    private_mounts,
    remove_tree,
    unmount,
)

__all__ = ["NAMES", "Bed", "BedUnavailable", "Card", "Result", "SshTarget", "build", "drop"]

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / "build" / "beds"
NAMES = tuple(recipes.RECIPES)


@dataclass(frozen=True)
class Result:
    """How a program ended."""

    argv: tuple[str, ...]
    rc: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """Everything it printed."""
        return self.stdout + self.stderr


@dataclass(frozen=True)
class Card:
    """A PCI device as the bed's sysfs shows it."""

    address: str
    vendor: int
    device: int
    pci_class: int
    driver: str | None = None
    parent: str = "0000:00:01.0"


DEFAULT_CARDS = (
    Card("0000:01:00.0", 0x10DE, 0x2504, 0x030000),
    Card("0000:01:00.1", 0x10DE, 0x228E, 0x040300),
)


@dataclass(frozen=True)
class SshTarget:
    """A running sshd and what a client needs to reach it."""

    host: str
    port: int
    user: str
    key: Path
    known_hosts: Path
    log: Path

    @property
    def options(self) -> list[str]:
        """Options of ssh, scp and sftp."""
        return [
            "-F", "none", "-i", str(self.key), "-o", f"UserKnownHostsFile={self.known_hosts}",
            "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes",
        ]  # fmt: skip

    def roster(self) -> dict[str, Any]:
        """Return this target's entry of a salt-ssh roster."""
        return {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "priv": str(self.key),
            "ssh_options": [f"UserKnownHostsFile={self.known_hosts}"],
        }


def build(name: str) -> Path:
    """Return the folder of a bed's cached base, making it first where it is missing or stale."""
    if name not in recipes.RECIPES:
        raise ValueError(f"no bed named {name}: {', '.join(NAMES)}")
    private_mounts()
    for program in ("mmdebstrap", "rpmbuild", "createrepo_c", "dpkg-deb", "ssh-keygen"):
        if shutil.which(program) is None:
            raise BedUnavailable(f"{program} is not installed (tests/beds/packages.txt)")
    host = recipes.host_packages()
    wanted = recipes.stamp(name, host)
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / name
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = folder / "stamp"
        if stamp.exists() and stamp.read_text() == wanted:
            return folder
        partial = CACHE / f"{name}.partial"
        remove_tree(partial)
        recipes.make_base(name, partial, host)
        (partial / "stamp").write_text(wanted)
        remove_tree(folder)
        partial.rename(folder)
    return folder


def drop(name: str) -> None:
    """Throw a cached base away."""
    remove_tree(CACHE / name)


def _drop_leftovers() -> None:
    """Remove the working copies of test runs that are no more."""
    for folder in (CACHE / "run").glob("*"):
        owner = folder.name.rsplit("-", 2)[1]
        if not Path("/proc", owner).exists():
            remove_tree(folder)


class Bed:
    """A writable copy of a bed; leaving the context ends its processes and removes it.

    `tmp_size` is the size of its /tmp (Fedora's 1 GB is too small for the real akmods), `booted` the
    kernel release that /proc shows (default: the bed's own kernel).
    """

    def __init__(self, name: str, *, tmp_size: str = "1g", booted: str | None = None) -> None:
        self.name = name
        self.root = Path()
        self.facts: dict[str, str] = {}
        self._tmp_size = tmp_size
        self._booted = booted
        self._folder = Path()
        self._layer = Path()
        self._servers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Bed:
        base = build(self.name)
        self.facts = json.loads((base / "facts.json").read_text())
        _drop_leftovers()
        runs = CACHE / "run"
        runs.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-{os.getpid()}-", dir=runs))
        self._folder.chmod(0o755)
        self.root = self._folder / "root"
        self.root.mkdir()
        try:
            self._mount_copy(base / "root")
            furnish(self.root, self._tmp_size)
            recipes.name_servers(self.root)
            self.set_booted(self._booted or self.facts["kernel"])
            self.set_cards(DEFAULT_CARDS)
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._keep_archives()
        self._leave()

    def _mount_copy(self, base: Path) -> None:
        """Lay a writable layer over the base; copy it where overlays do not work."""
        upper, work = self._folder / "upper", self._folder / "work"
        upper.mkdir()
        work.mkdir()
        self._layer = upper
        self._seed_archives()
        try:
            options = f"lowerdir={base},upperdir={upper},workdir={work}"
            mount("-t", "overlay", "-o", options, "overlay", self.root)
        except subprocess.CalledProcessError:
            command = ["cp", "-a", "--reflink=auto", f"{base}/.", str(self.root)]
            subprocess.run(command, check=True, timeout=600)
            self._layer = self.root
            self._seed_archives()
            mount("--bind", self.root, self.root)

    def _leave(self) -> None:
        for server in self._servers:
            server.terminate()
        if os.path.ismount(self.root):
            kill_inside(self.root)
        for server in self._servers:
            server.wait()
        unmount(self.root)
        remove_tree(self._folder)

    # Downloaded .deb files outlive the bed, as hard links: apt only ever replaces or removes them.

    def _archives(self) -> tuple[Path, Path] | None:
        """Return where .deb files are kept and where this bed has them; None for a Fedora bed."""
        if self.facts["family"] != "debian":
            return None
        kept = CACHE / "archives" / self.facts["codename"]
        here = self._layer / "var/cache/apt/archives"
        for folder in (kept, here):
            folder.mkdir(parents=True, exist_ok=True)
        return kept, here

    def _seed_archives(self) -> None:
        if pair := self._archives():
            for deb in pair[0].glob("*.deb"):
                os.link(deb, pair[1] / deb.name)

    def _keep_archives(self) -> None:
        if pair := self._archives():
            for deb in pair[1].glob("*.deb"):
                with contextlib.suppress(FileExistsError):
                    os.link(deb, pair[0] / deb.name)

    # Running things

    def run(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
        check: bool = False,
        timeout: float = 300,
        stdin: str | None = None,
    ) -> Result:
        """Run a program inside the chroot, with a clean environment plus `env`."""
        return self._run(["chroot", str(self.root), *(os.fspath(word) for word in argv)], recipes.ENVIRONMENT,
                         env, check, timeout, stdin)  # fmt: skip

    def outside(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
        check: bool = False,
        timeout: float = 300,
    ) -> Result:
        """Run a program of this computer with `QVM_GPU_ROOT` naming the bed."""
        base = {**os.environ, "QVM_GPU_ROOT": str(self.root)}
        return self._run([os.fspath(word) for word in argv], base, env, check, timeout, None)

    def _run(
        self,
        command: list[str],
        base: Mapping[str, str],
        env: Mapping[str, str] | None,
        check: bool,
        timeout: float,
        stdin: str | None,
    ) -> Result:
        process = subprocess.Popen(
            command,
            env={**base, **(env or {})},
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        try:
            out, err = process.communicate(stdin, timeout)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        result = Result(tuple(command), process.returncode, out, err)
        if check and result.rc:
            raise AssertionError(f"{' '.join(command)}: exit {result.rc}\n{result.text[-4000:]}")
        return result

    def bind(self, path: Path) -> None:
        """Show a folder of this computer read-only at the same place in the bed."""
        target = self.root / str(path).lstrip("/")
        if os.path.ismount(target):
            return
        target.mkdir(parents=True, exist_ok=True)
        mount("--bind", path, target)
        mount("-o", "remount,bind,ro", target)

    def salt_call(
        self,
        function: str,
        *args: str,
        file_roots: Sequence[Path] = (),
        pillar: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
        timeout: float = 300,
    ) -> Any:
        """Run `salt-call --local` inside the chroot and return what it prints as JSON.

        The interpreter and the virtual environment of this process are shown to the bed, and so is
        the repository (for an editable installation).  `file_roots` are folders of this computer.
        """
        result = self.salt_call_raw(
            function, *args, file_roots=file_roots, pillar=pillar, env=env, config=config,
            timeout=timeout,
        )  # fmt: skip
        try:
            return json.loads(result.stdout)["local"]
        except (ValueError, KeyError) as error:
            raise AssertionError(f"salt-call: exit {result.rc}\n{result.text[-6000:]}") from error

    def salt_call_raw(
        self,
        function: str,
        *args: str,
        file_roots: Sequence[Path] = (),
        pillar: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
        timeout: float = 300,
    ) -> Result:
        """Like `salt_call`, but return the exit code and the output as they are."""
        interpreter = Path(sys.base_prefix).resolve()
        if interpreter in (Path("/"), Path("/usr")):
            raise BedUnavailable("the test interpreter lies in /usr and cannot be shown to a bed")
        salt = Path(sys.prefix) / "bin/salt-call"
        if not salt.exists():
            raise BedUnavailable("no salt-call in the test environment")
        for folder in (Path(sys.prefix), interpreter, REPOSITORY, *file_roots):
            self.bind(folder)
        top = Path("etc/bed-salt")
        minion = {
            "id": self.name,
            "root_dir": "/var/lib/bed-salt",
            "file_client": "local",
            "file_roots": {"base": [str(folder) for folder in file_roots]},
            "master_type": "disable",
            **(config or {}),
        }
        (self.root / top).mkdir(exist_ok=True)
        (self.root / "var/lib/bed-salt").mkdir(exist_ok=True)
        (self.root / top / "minion").write_text(json.dumps(minion))
        argv = [str(salt), "--local", "-c", f"/{top}", "--out=json", "--log-level=warning"]
        argv += [function, *args]
        if pillar is not None:
            argv.append(f"pillar={json.dumps(pillar)}")
        return self.run(argv, env=env, timeout=timeout)

    @contextlib.contextmanager
    def sshd(self) -> Iterator[SshTarget]:
        """Run the bed's own sshd on a free port of 127.0.0.1, with keys made for this run."""
        folder = self._folder / "ssh"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        inside = self.root / "etc/ssh/bed"
        inside.mkdir(mode=0o700, exist_ok=True)
        for key in (folder / "client", folder / "server"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bed", "-f", str(key)]
            subprocess.run(command, check=True, timeout=60)
        shutil.copy2(folder / "server", inside / "host_key")
        shutil.copy2(folder / "client.pub", inside / "authorized_keys")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        # Without an sftp subsystem salt-ssh retries for ever (driver-install facts, section 5).
        (inside / "sshd_config").write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey /etc/ssh/bed/host_key\nUsePAM no\n"
            "PidFile /run/sshd-bed.pid\nAuthorizedKeysFile /etc/ssh/bed/authorized_keys\n"
            "PermitRootLogin prohibit-password\nStrictModes no\n"
            "SetEnv DEBIAN_FRONTEND=noninteractive\nSubsystem sftp internal-sftp\n"
        )
        host_key = (folder / "server.pub").read_text().split()[:2]
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {' '.join(host_key)}\n")
        log = folder / "sshd.log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                ["chroot", self.root, "/usr/sbin/sshd", "-D", "-e", "-f",
                 "/etc/ssh/bed/sshd_config"],
                env=recipes.ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, preexec_fn=die_with_parent,
            )  # fmt: skip
        self._servers.append(server)
        try:
            self._await_port(server, port, log)
            yield SshTarget(
                "127.0.0.1", port, "root", folder / "client", folder / "known_hosts", log
            )
        finally:
            server.terminate()
            server.wait()
            self._servers.remove(server)

    @staticmethod
    def _await_port(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
        until = time.monotonic() + 15
        while time.monotonic() < until and server.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.02)
        raise AssertionError(f"sshd does not answer: {log.read_text()[-2000:]}")

    # What the bed shows of the machine below it

    def set_booted(self, release: str) -> None:
        """Let /proc say that this kernel is running (uname still tells the truth)."""
        version = f"Linux version {release} (build@bed) (gcc) #1 SMP PREEMPT_DYNAMIC\n"
        self._over("proc/sys/kernel/osrelease", release + "\n")
        self._over("proc/version", version)

    def set_swappiness(self, value: int) -> None:
        """Let /proc say so, and take what is written there (behind what it said)."""
        self._over("proc/sys/vm/swappiness", f"{value}\n")

    def _over(self, path: str, text: str) -> None:
        """Mount a file of our own over one of /proc, or change what it says."""
        source = self._folder / "over" / path
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(text)
        if not os.path.ismount(self.root / path):
            mount("--bind", source, self.root / path)

    def set_cards(self, cards: Sequence[Card]) -> None:
        """Make the bed's sysfs hold exactly these PCI devices."""
        sys_folder = self.root / "sys"
        for tree in ("bus", "devices"):
            shutil.rmtree(sys_folder / tree, ignore_errors=True)
        listed = sys_folder / "bus/pci/devices"
        listed.mkdir(parents=True)
        for card in cards:
            device = sys_folder / "devices/pci0000:00" / card.parent / card.address
            device.mkdir(parents=True)
            values = {"vendor": card.vendor, "device": card.device}
            for key, value in values.items():
                (device / key).write_text(f"0x{value:04x}\n")
            (device / "class").write_text(f"0x{card.pci_class:06x}\n")
            (device / "driver_override").write_text("(null)\n")
            (listed / card.address).symlink_to(os.path.relpath(device, listed))
            if card.driver:
                driver = sys_folder / "bus/pci/drivers" / card.driver
                driver.mkdir(parents=True, exist_ok=True)
                (device / "driver").symlink_to(os.path.relpath(driver, device))

    def set_loaded(self, version: str, *, open_module: bool = True) -> None:
        """Let /proc and /sys look as with the driver loaded and bound (facts, section 4)."""
        kind = "Open Kernel Module for x86_64" if open_module else "x86_64 Kernel Module"
        text = f"NVRM version: NVIDIA UNIX {kind}  {version}  Release Build  (build@bed)  \n"
        driver = self.root / "proc/driver"
        if not os.path.ismount(driver):
            mount_tmpfs(driver, "0755")
        (driver / "nvidia/gpus").mkdir(parents=True, exist_ok=True)
        (driver / "nvidia/version").write_text(text + "GCC version:  gcc version 12.2.0\n")
        module = self.root / "sys/module/nvidia"
        module.mkdir(parents=True, exist_ok=True)
        (module / "version").write_text(version + "\n")
        (module / "initstate").write_text("live\n")
        (module / "taint").write_text("O\n" if open_module else "PO\n")
        self.set_cards(
            [
                Card(c.address, c.vendor, c.device, c.pci_class, "nvidia" if i == 0 else None)
                for i, c in enumerate(DEFAULT_CARDS)
            ]
        )

    # Fedora's knobs

    def set_akmods(self, mode: str = "ok", delay: float = 4) -> None:
        """Say how akmods' next build goes: `ok`, `fail` (only a .failed.log) or `hang`."""
        if mode not in ("ok", "fail", "hang"):
            raise ValueError(mode)
        conf = self.root / "etc/bed/akmods.conf"
        conf.parent.mkdir(exist_ok=True)
        conf.write_text(f"mode={mode}\ndelay={delay}\n")

    def set_repositories(self, baseurl: str) -> None:
        """Point every .repo entry elsewhere, such as at a port where nobody listens."""
        for file in (self.root / "etc/yum.repos.d").glob("*.repo"):
            text = file.read_text()
            file.write_text(
                "".join(
                    f"baseurl={baseurl}\n" if line.startswith("baseurl=") else line
                    for line in text.splitlines(keepends=True)
                )
            )

    def use_bls_mkconfig(self) -> None:
        """Give the bed a grub2-mkconfig that knows --update-bls-cmdline."""
        tool = self.root / "usr/sbin/grub2-mkconfig"
        tool.unlink()
        shutil.copy2(recipes.HERE / "files/grub2-mkconfig-bls", tool)

    # Comparing

    def written(self) -> dict[str, tuple[int, ...]]:
        """Return what was written since the bed began, by its stat alone: quick, where
        `hash_tree` reads everything.

        Only the layer over the base is looked at; what is mounted is not in it.
        """
        found = {}
        for folder, _, names in os.walk(self._layer):
            for name in ["", *names]:
                info = os.lstat(os.path.join(folder, name))
                what = (info.st_mode, info.st_uid, info.st_gid, info.st_ino, info.st_mtime_ns)
                path = os.path.relpath(os.path.join(folder, name), self._layer)
                found[path] = what if name else what[:3]
        return found

    def hash_tree(self, exclude: Sequence[str] = ()) -> dict[str, str]:
        """Return a digest of every file by its path, mode, owner, time and content included.

        Mounted folders (proc, sys, dev, run, tmp, what `bind` shows) and `exclude` (paths
        relative to the root) are left out.  Equal results mean that nothing was written, not even
        the same bytes.
        """
        skipped = {path.strip("/") for path in exclude}
        found: dict[str, str] = {}
        device = os.stat(self.root).st_dev

        def visit(folder: Path, prefix: str) -> None:
            for entry in sorted(os.scandir(folder), key=lambda item: item.name):
                name = prefix + entry.name
                if name in skipped:
                    continue
                info = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(info.st_mode):
                    found[name] = f"{info.st_mode:o} {info.st_uid}:{info.st_gid}"
                    if info.st_dev == device:
                        visit(Path(entry.path), name + "/")
                    continue
                content = ""
                if stat.S_ISLNK(info.st_mode):
                    content = os.readlink(entry.path)
                elif stat.S_ISREG(info.st_mode):
                    content = hashlib.sha256(Path(entry.path).read_bytes()).hexdigest()
                owner = f"{info.st_uid}:{info.st_gid}"
                found[name] = f"{info.st_mode:o} {owner} {info.st_mtime_ns} {content}"

        visit(self.root, "")
        return found
