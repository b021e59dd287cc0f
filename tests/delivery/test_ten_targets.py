# SPDX-License-Identifier: GPL-3.0-or-later
"""Ten targets in one run: nothing of ours is in the way of Salt's own parallelism."""

from __future__ import annotations

import pytest
from machines import CORE, Card, plain

pytestmark = pytest.mark.slow_bed
NAMES = [f"gpu{number}" for number in range(10)]


def test_ten_targets_in_one_run(version, start, srv, tmp_path):
    with start() as go:
        dom0 = go.dom0(version)
        dom0.copy_tree(srv)
        dom0.write("srv/pillar/top.sls", "base: {'*': [gpu]}\n")
        dom0.write("srv/pillar/gpu.sls", "nvidia-driver: {paths: {nvidia_conf: /etc/mine.conf}}\n")
        dom0.call("saltutil.sync_all", "saltenv=base")
        folder = dom0.hand_over(tmp_path / "folder", NAMES)
        disposable = go.disposable(version)
        beds = {name: go.bed() for name in NAMES}
        # Each has a card of its own, so that no answer can be another's.
        for number, bed in enumerate(beds.values()):
            bed.set_cards([Card(f"0000:{number:02x}:00.0", 0x10DE, 0x2504, 0x030000)])
        targets = {name: go.enter_context(bed.sshd()) for name, bed in beds.items()}
        disposable.receive(folder, targets)
        answers = disposable.ask("*", "nvidia.status")
        planned = disposable.ask("*", "state.apply", "nvidia-driver", "test=True")
        core = disposable.core_sent("ext_mods")
    assert sorted(answers) == sorted(planned) == NAMES
    for number, name in enumerate(NAMES):
        assert plain(answers[name])
        (card,) = answers[name]["cards"]
        assert card["address"] == f"0000:{number:02x}:00.0"
        (state,) = planned[name].values()
        assert state["result"] is None and "nvidia-driver" in state["changes"]["packages"]
    assert core == (srv / "_modules" / CORE).read_bytes()
