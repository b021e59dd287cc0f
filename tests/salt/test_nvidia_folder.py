# SPDX-License-Identifier: GPL-3.0-or-later
"""What the driver's states make of files and programs that no bed has; see ``nvidia_folder``."""

from __future__ import annotations

import os

import pytest
from nvidia_folder import Folder

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
