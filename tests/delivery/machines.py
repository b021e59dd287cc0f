# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines that `qubesctl` takes a state through: dom0, a management disposable, targets.

Each is a Debian 12 chroot with the paths of the real one. dom0 and the disposable have a Salt beside
which our package is *not* installed: what they know of it came as files. Targets have no Salt at all,
and the distribution's own Python.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from tests.beds.beds import Bed, BedUnavailable, Card, Result
from tests.beds.mounts import mount

VERSIONS = ("3006", "3008")
VENVS = {"3006": Path(sys.prefix), "3008": REPOSITORY / ".venv-3008"}
EXTMODS = "var/cache/salt/minion/extmods"
CORE = "_qvm_gpu_core.abi3.so"
PILLAR_ROOTS = ("pillar", "user_pillar")
DEADLINE = (
    420  # seconds for one Salt command; salt-ssh would retry for ever where something is amiss
)
# As Qubes' packages configure dom0's minion, in f_defaults.conf.
DOM0 = {
    "id": "dom0",
    "file_client": "local",
    "renderer": "jinja|yaml",
    "file_roots": {"base": ["/srv/salt"], "user": ["/srv/user_salt"]},
    "pillar_roots": {"base": ["/srv/pillar"], "user": ["/srv/user_pillar"]},
    "log_level_logfile": "quiet",
    "enable_gpu_grains": False,
}
# Salt 3008 shows asterisks in the place of what pillar.items answers, and qubesctl hands that over.
UNMASKED = {"3006": {}, "3008": {"pillar_mask_output": False}}
# In the place of Qubes' own wrapper around scp: what travels is kept.
SCP = """#!/bin/sh
for file; do
    case $file in *.tgz | */__salt.tmp.*) cp "$file" /var/sent/ ;; esac
done
exec /usr/bin/scp "$@"
"""


def plain(value: Any) -> bool:
    """Only what survives the way back: anything else arrives as its repr."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and plain(each) for key, each in value.items())
    if isinstance(value, list):
        return all(plain(each) for each in value)
    return value is None or isinstance(value, (bool, int, float)) or "object at" not in value


def salt_alone(version: str, folder: Path) -> Path:
    """A virtual environment in `folder` with one of the test environments' Salt, less our package."""
    found = VENVS[version] / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    if not (found / "site-packages" / "salt").is_dir():
        raise BedUnavailable(f"no virtual environment with Salt {version}")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    packages = folder / "lib" / found.name / "site-packages"
    for entry in (found / "site-packages").iterdir():
        if not entry.name.startswith(("saltext", "__editable__")):
            (packages / entry.name).symlink_to(entry)
    for name in ("salt-call", "salt-ssh"):
        program = folder / "bin" / name
        function = name.replace("-", "_")
        program.write_text(
            f"#!{folder}/bin/python\nimport salt.scripts\nsalt.scripts.{function}()\n"
        )
        program.chmod(0o755)
    return folder


def show_salt(bed: Bed, salt: Path, version: str) -> None:
    """Give a bed that Salt under the names of an installed one."""
    interpreter = Path(sys.base_prefix).resolve()
    if interpreter in (Path("/"), Path("/usr")):
        python = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        if not (bed.root / "usr/bin" / python).exists():
            raise BedUnavailable(f"the bed has no {python}, with which Salt was set up here")
    else:
        bed.bind(interpreter)
    for folder in (VENVS[version], salt):
        bed.bind(folder)
    for name in ("salt-call", "salt-ssh"):
        (bed.root / "usr/bin" / name).symlink_to(salt / "bin" / name)


class Dom0:
    """dom0: what lies in its file system decides; nothing is said by environment variables."""

    def __init__(self, bed: Bed, salt: Path, version: str, sandbox: Any) -> None:
        self.bed = bed
        self.root = bed.root
        show_salt(bed, salt, version)
        defaults = {**DOM0, **UNMASKED[version]}
        self.write("etc/salt/minion", "")
        self.write("etc/salt/minion.d/f_defaults.conf", yaml.safe_dump(defaults))
        shutil.rmtree(self.root / "srv")  # the bed's packages; dom0 has nothing there but Salt's
        for folder in ("salt", "user_salt", *PILLAR_ROOTS):
            (self.root / "srv" / folder).mkdir(parents=True)
        self.write("run/qubesd.sock", "")
        mount("--bind", sandbox.socket, self.root / "run/qubesd.sock")
        mount("--bind", sandbox.root / "sys", self.root / "sys")

    def write(self, path: str, text: str) -> Path:
        """Write a file."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
        return target

    def copy_tree(self, srv: Path, folder: str = "salt", top: bool = False) -> None:
        """Copy `build/srv` to /srv/salt or another folder, as the page on installing says."""
        leave = None if top else shutil.ignore_patterns("top.sls")
        target = self.root / "srv" / folder
        shutil.copytree(srv, target, dirs_exist_ok=True, ignore=leave)

    def run(self, *words: str) -> Result:
        """What `qubesctl` does in dom0 with a command."""
        return self.bed.run(["salt-call", "--local", *words], timeout=DEADLINE)

    def call(self, *words: str) -> Any:
        """What a function answered."""
        done = self.run("--out=json", *words)
        try:
            return json.loads(done.stdout)["local"]
        except (ValueError, KeyError):
            raise AssertionError(f"salt-call {words}: {done.text[-4000:]}") from None

    def apply(self, *words: str) -> list[dict[str, Any]]:
        """The states' returns in the order they ran."""
        answer = self.call(*(words or ["state.highstate"]))
        assert isinstance(answer, dict), answer
        return sorted(answer.values(), key=lambda state: state["__run_num__"])

    def extmods(self) -> set[str]:
        """What was synced and is there now."""
        folder = self.root / EXTMODS
        return {
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    def hand_over(self, folder: Path, targets: Sequence[str]) -> Path:
        """Make the folder that goes to the management disposable of these targets.

        A copy of all of /srv less the pillar roots; dom0's whole cache of extension modules; `master`,
        which has nothing but file_roots; and the pillar as dom0 renders it for the target.
        """
        leave = shutil.ignore_patterns(*PILLAR_ROOTS)
        shutil.copytree(self.root / "srv", folder, ignore=leave)
        if (self.root / EXTMODS).exists():
            shutil.copytree(self.root / EXTMODS, folder / "_extmods")
        else:
            (folder / "_extmods").mkdir()
        roots = self.call("config.get", "file_roots")
        (folder / "master").write_text(yaml.safe_dump({"file_roots": roots}))
        (folder / "pillar").mkdir()
        pillar = self.call(f"--id={targets[0]}", "pillar.items")
        (folder / "pillar/combined.sls").write_text(yaml.safe_dump(pillar))
        top = {"base": {target: ["combined"] for target in targets}}
        (folder / "pillar/top.sls").write_text(yaml.safe_dump(top))
        return folder


class Disposable:
    """A management disposable: it gets a folder from dom0 and runs salt-ssh."""

    def __init__(self, bed: Bed, salt: Path, version: str) -> None:
        self.bed = bed
        self.root = bed.root
        show_salt(bed, salt, version)
        connector = self.root / "usr/lib/qubes-vm-connector/ssh-wrapper"
        connector.mkdir(parents=True)
        (connector / "scp").write_text(SCP)
        (connector / "scp").chmod(0o755)
        (self.root / "var/sent").mkdir()

    def receive(self, folder: Path, targets: dict[str, Any]) -> None:
        """Take what dom0 handed over, and know the targets: names and their running sshd."""
        shutil.rmtree(self.root / "srv")
        shutil.rmtree(self.root / "var/cache/salt", ignore_errors=True)
        for path in (self.root / "var/sent").iterdir():
            path.unlink()
        shutil.copytree(folder, self.root / "srv")
        for path, link in (
            ("etc/salt/master", "/srv/master"), ("var/cache/salt/master/extmods", "/srv/_extmods")
        ):  # fmt: skip
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).unlink(missing_ok=True)
            (self.root / path).symlink_to(link)
        known = self.root / "root/.ssh"
        known.mkdir(mode=0o700, exist_ok=True)
        roster = {}
        for name, target in targets.items():
            shutil.copy2(target.key, known / name)
            shutil.copy2(target.known_hosts, known / f"{name}.hosts")
            roster[name] = {
                **target.roster(),
                "priv": f"/root/.ssh/{name}",
                "ssh_options": [f"UserKnownHostsFile=/root/.ssh/{name}.hosts"],
            }
        (self.root / "etc/salt/roster").write_text(yaml.safe_dump(roster))

    def salt_ssh(self, *words: str, limit: int = DEADLINE) -> Result:
        """Run salt-ssh as `qubesctl` does, with a timeout of its own."""
        path = "/usr/lib/qubes-vm-connector/ssh-wrapper:/usr/sbin:/usr/bin:/sbin:/bin"
        command = ["timeout", str(limit), "salt-ssh", "-w", *words]
        return self.bed.run(command, env={"PATH": path}, timeout=limit + 20)

    def ask(self, target: str, *words: str, limit: int = DEADLINE) -> Any:
        """What a function answered in the target, or in all of them for `*`."""
        done = self.salt_ssh("--out=json", "--static", target, *words, limit=limit)
        try:
            answer = json.loads(done.stdout)
            return answer if target == "*" else answer[target]
        except (ValueError, KeyError):
            raise AssertionError(f"salt-ssh {words}: {done.rc} {done.text[-4000:]}") from None

    def sent(self) -> dict[str, Path]:
        """What went to targets since it was last asked: Salt itself, modules, and SLS files."""
        box = self.root / "var/sent"
        found = {}
        for path in sorted(box.iterdir()):
            kind = next(k for k in ("thin", "ext_mods", "__salt.tmp") if path.name.startswith(k))
            found[kind] = path
        return found

    def core_sent(self, kind: str) -> bytes:
        """The extension in an archive that went to a target; there must be one."""
        with tarfile.open(self.sent()[kind]) as tar:
            found = {tar.extractfile(one).read() for one in tar if one.name.endswith(f"/{CORE}")}
        assert len(found) == 1
        return found.pop()


__all__ = ["Bed", "BedUnavailable", "Card", "Disposable", "Dom0", "plain", "salt_alone"]
