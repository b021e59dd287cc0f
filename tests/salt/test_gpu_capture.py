# SPDX-License-Identifier: GPL-3.0-or-later
"""tools/capture-pci keeps what groups are made of, and nothing that names the computer."""

from __future__ import annotations

import json
import runpy
import struct
import subprocess
import sys

import pytest
from rig import REPOSITORY

SCRIPT = REPOSITORY / "tools" / "capture-pci"


@pytest.fixture(scope="module")
def mask():
    return runpy.run_path(str(SCRIPT))["mask"]


def space(*extended, length=4096):
    """A space with a VPD capability, then these extended ones, 64 bytes each."""
    made = bytearray(4096)
    made[0x06], made[0x34] = 0x10, 0x40
    made[0x40:0x48] = bytes((0x03, 0x50)) + b"secret"
    made[0x50:0x54] = bytes((0x10, 0x00, 0x42, 0x00))
    for index, number in enumerate(extended):
        at = 0x100 + index * 0x40
        following = at + 0x40 if index + 1 < len(extended) else 0
        struct.pack_into("<I8s", made, at, number | 1 << 16 | following << 20, b"identity")
    return made[:length]


def test_masks_what_identifies(mask):
    made = space(0x0001, 0x0003, 0x000D)
    mask(made)
    assert made[0x40:0x50] == bytes((0x03, 0x50)) + bytes(14)
    assert made[0x50:0x54] == bytes((0x10, 0x00, 0x42, 0x00))
    assert bytes(made).count(b"identity") == 2
    assert made[0x144:0x14C] == bytes(8)


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 256, 257, 260, 330])
def test_takes_any_length(mask, length):
    made = space(0x0003, 0x0003, length=length)
    mask(made)
    assert len(made) == length
    assert b"identity" not in bytes(made)


def test_ends_loops(mask):
    made = space(0x0003)
    made[0x41] = 0x40
    struct.pack_into("<I", made, 0x100, 0x0003 | 1 << 16 | 0x100 << 20)
    mask(made)
    assert b"identity" not in bytes(made)


def test_reads_this_computer():
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=True)
    for device in json.loads(done.stdout)["devices"]:
        assert len(device["config"]) <= 2 * device["length"]
        assert "uuid" not in str(device).lower()
