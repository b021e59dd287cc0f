# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts that vanish by themselves, and the chroot's furniture (proc, dev, tmpfs).

The test process moves into a mount namespace of its own once.  What it mounts is then seen by it and
its children only, and goes away with them however they end.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import stat
import subprocess
import time
from pathlib import Path

_CLONE_NEWNS = 0x00020000
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_DEVICES = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}
_own_namespace: list[int] = []


class BedUnavailable(Exception):
    """A bed that cannot be built here (no mirror, no privileges): a reason to skip, not to fail."""


def private_mounts() -> None:
    """Move this process into its own mount namespace, once."""
    if os.getpid() in _own_namespace:
        return
    if os.geteuid() != 0:
        raise BedUnavailable("beds need root: chroot and mount")
    if _LIBC.unshare(_CLONE_NEWNS) != 0:
        raise BedUnavailable(f"no own mount namespace: {os.strerror(ctypes.get_errno())}")
    mount("--make-rprivate", "/")
    _own_namespace.append(os.getpid())


def mount(*args: str | os.PathLike[str]) -> None:
    """Run mount(8); CalledProcessError carries its message."""
    subprocess.run(["mount", *args], check=True, capture_output=True, text=True, timeout=30)


def unmount(path: Path) -> None:
    """Detach everything at and below `path`."""
    subprocess.run(["umount", "-R", "-l", path], check=False, capture_output=True, timeout=30)


def mount_tmpfs(path: Path, mode: str, size: str = "64m") -> None:
    """Mount an empty tmpfs on `path`."""
    path.mkdir(parents=True, exist_ok=True)
    mount("-t", "tmpfs", "-o", f"mode={mode},size={size}", "tmpfs", path)


def furnish(root: Path, tmp_size: str = "1g") -> None:
    """Mount what programs in a chroot need: proc, a small dev, tmpfs on /run, /tmp and /sys.

    /dev holds no disk of the computer, and /sys is empty: what a bed shows there it is given.
    """
    (root / "proc").mkdir(exist_ok=True)
    mount("-t", "proc", "proc", root / "proc")
    mount_tmpfs(root / "run", "0755")
    (root / "run/lock").mkdir()
    (root / "run/sshd").mkdir(mode=0o755)
    mount_tmpfs(root / "tmp", "1777", tmp_size)
    mount_tmpfs(root / "sys", "0755")
    dev = root / "dev"
    mount_tmpfs(dev, "0755")
    for name, minor in _DEVICES.items():
        os.mknod(dev / name, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
        (dev / name).chmod(0o666)
    os.mknod(dev / "tty", 0o666 | stat.S_IFCHR, os.makedev(5, 0))
    (dev / "tty").chmod(0o666)
    (dev / "pts").mkdir()
    mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666,mode=620", "devpts", dev / "pts")
    (dev / "ptmx").symlink_to("pts/ptmx")
    (dev / "fd").symlink_to("/proc/self/fd")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        (dev / name).symlink_to(f"/proc/self/fd/{number}")
    mount_tmpfs(dev / "shm", "1777")


def kill_inside(root: Path) -> None:
    """End every process whose root directory is `root`: what scriptlets left running, and sshd."""
    for sign, patience in ((signal.SIGTERM, 1.0), (signal.SIGKILL, 5.0)):
        until = time.monotonic() + patience
        while pids := _processes_in(root):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, sign)
            if time.monotonic() > until:
                break
            time.sleep(0.05)


def _processes_in(root: Path) -> list[int]:
    """Return the live processes that are chrooted to `root` or below."""
    found = []
    inside = os.stat(root)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            its_root = os.stat(entry / "root")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if (its_root.st_dev, its_root.st_ino) == (inside.st_dev, inside.st_ino) and state != "Z":
            found.append(int(entry.name))
    return found


def die_with_parent() -> None:
    """Make the calling child end when its parent does (for `preexec_fn`)."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def remove_tree(path: Path) -> None:
    """Remove a file or folder of ours, never crossing into another file system."""
    subprocess.run(["rm", "-rf", "--one-file-system", path], check=False, timeout=300)
