# SPDX-License-Identifier: GPL-3.0-or-later
"""A qube that is a folder: files as a distribution keeps them, and a stand-in for its programs.

For what no bed can be brought to say: each program says and returns what the test puts down.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from rig import QuickMinion
from test_nvidia_unchanged import FILES, KERNEL, MODINFO, MODULE, PACKAGES

FEDORA_KERNEL = "6.11.4-301.fc41.x86_64"
FEDORA_MODULE = f"lib/modules/{FEDORA_KERNEL}/extra/nvidia/nvidia.ko"
BLACKLIST = "rd.driver.blacklist=nouveau modprobe.blacklist=nouveau"
FEDORA = {
    "etc/os-release": 'ID=fedora\nVERSION_ID=41\nPRETTY_NAME="Fedora Linux 41"\n',
    "proc/sys/kernel/osrelease": f"{FEDORA_KERNEL}\n",
    f"boot/vmlinuz-{FEDORA_KERNEL}": "",
    "boot/grub2/grub.cfg": f"linux /vmlinuz-{FEDORA_KERNEL} {BLACKLIST}\n",
    "etc/default/grub": f'GRUB_CMDLINE_LINUX="{BLACKLIST}"\n',
    "etc/yum.repos.d/rpmfusion.repo": "".join(
        f"[rpmfusion-{name}]\nenabled=1\n"
        for name in ("free", "free-updates", "nonfree", "nonfree-updates")
    ),
}
DEBIAN = {
    **FILES,
    f"boot/vmlinuz-{KERNEL}": "",
    "boot/grub/grub.cfg": "menu\n",
    "etc/modprobe.d/nouveau.conf": "blacklist nouveau\n",
    "etc/apt/sources.list": "deb http://mirror.example/debian bookworm main contrib non-free "
    "non-free-firmware\n",
}

SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utime.h>
/* Says the file /said/NAME.WORD of the first word that has one, does what NAME.WORD.then says
 * (lines of two words: a file, and where it is moved to) and returns what NAME.WORD.rc says. What
 * it was called with is a line of /ran. */
static char *text(const char *stem, const char *tail) {
    static char buffer[65536];
    char path[600];
    snprintf(path, sizeof(path), "/said/%s%s", stem, tail);
    FILE *file = fopen(path, "r");
    if (!file)
        return NULL;
    buffer[fread(buffer, 1, sizeof(buffer) - 1, file)] = '\0';
    fclose(file);
    return buffer;
}
int main(int argc, char **argv) {
    const char *slash = strrchr(argv[0], '/');
    char stem[500] = "-";
    FILE *ran = fopen("/ran", "a");
    for (int i = 0; ran && i < argc; i++)
        fprintf(ran, "%s%s", i ? " " : "", argv[i]);
    if (ran) {
        fputs("\n", ran);
        fclose(ran);
    }
    for (int i = 1; i < argc; i++) {
        snprintf(stem, sizeof(stem), "%s.%s", slash ? slash + 1 : argv[0], argv[i]);
        if (!strchr(argv[i], '/') && text(stem, ""))
            break;
    }
    char *said = text(stem, "");
    if (said)
        fputs(said, stdout);
    fflush(stdout);
    char from[300], to[300];
    int length;
    for (char *then = text(stem, ".then"); then; then += length) {
        if (sscanf(then, "%299s %299s\n%n", from, to, &length) < 2)
            break;
        if (rename(from, to) < 0 || utime(to, NULL) < 0)
            perror(from);
    }
    char *code = text(stem, ".rc");
    return code ? atoi(code) : 0;
}
"""


def package(
    name: str, state: str = "install ok installed", arch: str = "amd64", version: str = "535.1-1"
) -> str:
    """A stanza of dpkg's status file."""
    return (
        f"Package: {name}\nStatus: {state}\nArchitecture: {arch}\nVersion: {version}\n"
        "Description: a package\n\n"
    )


class Folder:
    """The qube; ``files`` come over those of the distribution, None for one that is not there."""

    def __init__(
        self, folder: Path, files: dict[str, str | None] | None = None, fedora: bool = False
    ) -> None:
        self.root = folder / "root"
        self.folder = folder
        for path, text in {**(FEDORA if fedora else DEBIAN), **(files or {})}.items():
            if text is not None:
                self.write(path, text)
        self.module = self.root / (FEDORA_MODULE if fedora else MODULE)
        self.module.parent.mkdir(parents=True)
        command = ["cc", "-c", "-x", "c", "-o", self.module, "-"]
        subprocess.run(command, input=MODINFO, text=True, check=True)
        self.minion = QuickMinion(folder / "minion", root=self.root, id="gpu")

    def write(self, path: str, text: str) -> Path:
        """Put a file down."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
        return target

    def programs(self, *names: str) -> None:
        """Put the stand-in into the root under these names."""
        built = self.folder / "program"
        if not built.exists():
            command = ["cc", "-static", "-x", "c", "-o", built, "-"]
            subprocess.run(command, input=SOURCE, text=True, check=True)
        (self.root / "usr/bin").mkdir(parents=True, exist_ok=True)
        (self.root / "dev").mkdir(exist_ok=True)
        (self.root / "ran").touch()
        (self.root / "ran").chmod(0o666)  # rpm is asked as nobody
        for name in names:
            shutil.copy(built, self.root / "usr/bin" / name)

    def say(self, call: str, text: str, code: int = 0, then: dict[str, str] | None = None) -> None:
        """What a call such as ``apt-get update`` says and returns, and the files that it writes;
        each stays as it is until then."""
        stem = "said/" + call.replace(" ", ".")
        self.write(stem, text)
        self.write(f"{stem}.rc", str(code))
        moves = ""
        for number, (path, content) in enumerate((then or {}).items()):
            self.write(f"{stem}.{number}", content)
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            moves += f"/{stem}.{number} /{path}\n"
        if moves:
            self.write(f"{stem}.then", moves)

    def ran(self) -> list[str]:
        """What the stand-in was called with."""
        return (self.root / "ran").read_text("utf-8").splitlines()

    def apply(
        self, test: bool = False, function: str = "nvidia.driver_installed", **body: Any
    ) -> dict[str, Any]:
        """One state's return."""
        return self.minion.one(function, "driver", body, test)


__all__ = ["DEBIAN", "FEDORA_KERNEL", "KERNEL", "MODULE", "PACKAGES", "Folder", "package"]
