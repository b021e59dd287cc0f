# SPDX-License-Identifier: GPL-3.0-or-later
"""The page on installing, word for word: its commands, in its order, by a shell in dom0."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from machines import CORE, EXTMODS, REPOSITORY, Dom0

PAGE = (REPOSITORY / "docs" / "install.md").read_text("utf-8")
# What is not there beside Salt: root is who runs it, and the qube `builder` is a folder.
PROGRAMS = {
    "sudo": 'exec "$@"',
    "qubesctl": 'exec salt-call --local "$@"',
    "qvm-run": '[ "$1 $2" = "--pass-io builder" ] && exec sh -c "$3"',
}
INSTALLED = {
    "srv/salt/nvidia-driver/init.sls",
    f"srv/salt/_modules/{CORE}",
    "srv/salt/_states/nvidia.py",
    "srv/salt/_grains/pci_gpu_devs.py",
    "srv/salt/test.sls",
}


def section(title):
    """The commands of a part of the page."""
    text = re.split(r"^## ", PAGE, flags=re.M)
    (part,) = [each for each in text if each.startswith(f"{title}\n")]
    blocks = re.findall(r"^```console\n(.*?)^```$", part, re.M | re.S)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def follow(dom0: Dom0, commands, folder="/root"):
    """Run each command, which must succeed; what they print."""
    printed = []
    for command in commands:
        # Salt's list of files is 20 seconds old for a reader.
        shutil.rmtree(dom0.root / "var/cache/salt/minion/file_lists", ignore_errors=True)
        done = dom0.bed.run(["sh", "-c", f"cd {folder}; {command}"], timeout=420)
        assert done.rc == 0, f"{command}: {done.text[-3000:]}"
        printed.append(done.stdout)
    return printed


@pytest.fixture
def reader(start):
    """dom0, and what a reader has there."""
    with start() as go:
        dom0 = go.dom0("3006")
        for name, line in PROGRAMS.items():
            dom0.write(f"usr/local/bin/{name}", f"#!/bin/sh\n{line}\n").chmod(0o755)
        dom0.write("srv/salt/top.sls", "base: {}  # the reader's own\n")
        yield dom0


def test_install_check_update_remove(reader, srv, tmp_path):
    make, pack, checksum = section("Build")
    assert make == "make srv"
    (tmp_path / "build").symlink_to(srv.parent)
    for command in (pack, checksum):
        subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, capture_output=True)
    builder = reader.root / "home/user/qvm-gpu"
    builder.mkdir(parents=True)
    shutil.copy(tmp_path / "qvm-gpu.tar", builder)

    before = reader.bed.hash_tree(["var", "root", "home", "etc/salt"])
    printed = follow(reader, section("Carry it into dom0"))
    assert not re.search(r"(?m)^[^-d]| /|\.\.", printed[2]), "only files and folders, below srv/"
    assert all(" srv/" in line for line in printed[2].splitlines())
    assert "modules.nvidia" in printed[-1]
    assert all((reader.root / path).is_file() for path in INSTALLED)
    assert (reader.root / "srv/salt/top.sls").read_text().endswith("the reader's own\n")
    assert (reader.root / EXTMODS / "modules" / CORE).read_bytes() == (
        srv / "_modules" / CORE
    ).read_bytes()

    (answer,) = follow(reader, section("Does it answer?"))
    assert "Comment: Qube dom0 exists" in answer and "Failed:    0" in answer

    follow(reader, section("Remove"))
    assert reader.extmods() == set()
    after = reader.bed.hash_tree(["var", "root", "home", "etc/salt"])
    assert [path for path in after.keys() - before.keys() if not after[path].startswith("4")] == []
