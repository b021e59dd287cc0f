# SPDX-License-Identifier: GPL-3.0-or-later
"""A highstate whose top file names only the environment `user`, as the guide's does.

Salt then removes from its cache what it had synced from `base`, whatever is still needed. So an
installation has to be in place where that cannot reach it, in dom0 and for the targets after it.
"""

from __future__ import annotations

import re
import shutil
from types import SimpleNamespace

import pytest
from machines import CORE, REPOSITORY

TOP = "user:\n  dom0:\n    - nvidia-driver\n  gpu:\n    - nvidia-driver\n"
DROP_IN = "etc/salt/minion.d/qvm-gpu.conf"


def documented_drop_in():
    """The file that the page on installing gives to those who copy the tree."""
    page = (REPOSITORY / "docs" / "install.md").read_text("utf-8")
    (text,) = re.findall(r"^# (/etc/salt/minion\.d/qvm-gpu\.conf\n.*?)^```$", page, re.M | re.S)
    return text.partition("\n")[2]


def as_package(dom0, srv):
    """What the RPM and the Debian package put where."""
    dom0.copy_tree(srv, "formulas/base/qvm-gpu")
    dom0.write(DROP_IN, (REPOSITORY / "packaging" / "minion.conf").read_text("utf-8"))


def copied(dom0, srv):
    """The tree in /srv/salt, and the drop-in."""
    dom0.copy_tree(srv)
    dom0.write(DROP_IN, documented_drop_in())


def bare(dom0, srv):
    """The tree in /srv/salt alone."""
    dom0.copy_tree(srv)


def for_users(dom0, srv):
    """The tree in /srv/user_salt: synced again by every highstate that matches there."""
    dom0.copy_tree(srv, "user_salt")


def lay_out(go, version, srv, layout):
    """dom0 with the modules, and the guide's layout: formula and top file in /srv/user_salt."""
    dom0 = go.dom0(version)
    layout(dom0, srv)
    shutil.copytree(
        srv / "nvidia-driver", dom0.root / "srv/user_salt/nvidia-driver", dirs_exist_ok=True
    )
    dom0.write("srv/user_salt/top.sls", TOP)
    dom0.call("saltutil.sync_all", "saltenv=base,user")
    assert len(dom0.extmods()) == 9
    return dom0


def highstate(dom0):
    """Two runs: the qube is made, and nothing is left to do. What is synced then."""
    first, second = dom0.apply(), dom0.apply()
    assert [state["result"] for state in first + second] == [True] * 4
    assert first[1]["changes"] and not second[1]["changes"]
    return dom0.extmods()


def test_a_bare_copy_does_not_survive(version, start, srv):
    """Else the tests below could not fail. The formula says what is missing, and what to do."""
    with start() as go:
        dom0 = lay_out(go, version, srv, bare)
        done = dom0.run("state.highstate")
        assert done.rc != 0
        assert dom0.extmods() == set()
        assert "saltutil.sync_all saltenv=base" in done.text
        assert dom0.run("state.apply", "test").rc != 0


def test_a_copy_with_the_drop_in_survives(version, start, srv):
    with start() as go:
        assert highstate(lay_out(go, version, srv, copied)) == set()


@pytest.mark.slow_bed
def test_a_copy_in_user_salt_survives(version, start, srv):
    with start() as go:
        assert len(highstate(lay_out(go, version, srv, for_users))) == 9


@pytest.fixture(scope="module")
def packaged(version, start, srv):
    with start() as go:
        yield SimpleNamespace(go=go, dom0=lay_out(go, version, srv, as_package), version=version)


def test_the_package_survives_and_targets_get_the_modules(packaged, srv, tmp_path):
    """qubesctl goes on to the targets with a cache that Salt has emptied; file_roots carry them."""
    dom0 = packaged.dom0
    assert highstate(dom0) == set()
    folder = dom0.hand_over(tmp_path / "folder", ["gpu"])
    assert not list((folder / "_extmods").rglob("*.so"))
    disposable, bed = packaged.go.disposable(packaged.version), packaged.go.bed()
    with bed.sshd() as target:
        disposable.receive(folder, {"gpu": target})
        (state,) = disposable.ask("gpu", "state.highstate", "test=True").values()
    assert state["result"] is None
    assert "nvidia-driver" in state["changes"]["packages"]
    assert disposable.core_sent("ext_mods") == (srv / "_modules" / CORE).read_bytes()
