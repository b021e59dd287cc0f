# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the extension cannot be loaded, Salt's own output says what was found and what to do."""

from __future__ import annotations

import re
import shutil
import struct

import pytest
from machines import CORE
from rig import Minion

MACHINE = 18  # where an ELF header says for which machine it is
AARCH64 = 183


def of_another_machine(core):
    data = bytearray(core.read_bytes())
    struct.pack_into("<H", data, MACHINE, AARCH64)
    core.write_bytes(data)
    return r"is built for aarch64"


def for_a_newer_libc(core):
    """As on a machine whose libc is too old: the file asks for a version that is not there."""
    data = core.read_bytes()
    newest = max(re.findall(rb"GLIBC_2\.\d\d\b", data))
    core.write_bytes(data.replace(newest, b"GLIBC_2.99"))
    return r"cannot be loaded: .*GLIBC_2\.99"


def missing(core):
    core.unlink()
    return rf"there is no {re.escape(CORE)} in .*_modules, and no installed package"


def cut_off(core):
    data = core.read_bytes()
    core.write_bytes(data[: len(data) // 2])
    return rf"is cut off: it has {len(data) // 2} bytes of \d+"


STATES = """
driver:
  nvidia.nouveau_disabled: []
gpu:
  qvm_gpu.absent: []
work:
  qvm.exists: []
"""
WHAT_TO_DO = "Copy build/srv again, or build it for this machine with `make srv`"


@pytest.mark.parametrize("breaks", [of_another_machine, for_a_newer_libc, missing, cut_off])
def test_the_reason_is_told(version, breaks, salts, srv, sandbox, tmp_path):
    tree = tmp_path / "srv"
    shutil.copytree(srv, tree)
    reason = breaks(tree / "_modules" / CORE)
    minion = Minion(
        tmp_path / "minion",
        socket=sandbox.socket,
        program=salts(version) / "bin" / "salt-call",
        options={"module_dirs": [str(tree)]},
    )
    minion.write("t.sls", STATES)
    runs = [(["state.apply", "t"], ["nvidia", "qvm_gpu", "qvm"])]
    if breaks is missing:  # asked for by its name, a function tells the same as a state
        runs += [(["nvidia.status"], ["nvidia"]), (["qvm_gpu.cards"], ["qvm_gpu"])]
    for words, names in runs:
        done = minion.run(*words)
        assert done.returncode != 0
        said = " ".join((done.stdout + done.stderr).split())
        assert "Traceback" not in said
        assert re.search(reason, said), said
        assert WHAT_TO_DO in said and "with Python 3." in said
        for name in names:
            assert re.search(rf"\b{name}\b'? __virtual__ returned False: qvm_gpu's extension", said)
    assert not sandbox.log()
