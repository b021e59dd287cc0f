# SPDX-License-Identifier: GPL-3.0-or-later
"""No function is forgotten: each that writes through the Admin API has a scenario here."""

from __future__ import annotations

import pytest
from saltext.qvm_gpu import _core
from saltext.qvm_gpu.sandbox import Sandbox
from scenarios import SCENARIOS

SAME_AS = {"qvm.create": "qvm.present", "qvm.remove": "qvm.absent"}
"""Execution functions that are another's under upstream's name."""

READING = {
    "qvm.exists", "qvm.missing", "qvm.running", "qvm.halted", "qvm.check", "qvm.state",
    "qvm.template_installed", "qvm.template_info", "qvm_gpu.map", "qvm_gpu.ready", "qvm_gpu.cards",
    "qvm_gpu.preflight", "qvm_gpu.plan", "qvm_gpu.report",
}  # fmt: skip

NOT_QUBESD = {"qvm.run", "qvm.template_install", "qvm_gpu.hidden", "qvm_gpu.shown"}
"""These change what they change with dom0's programs and files; tests/salt tries those, as it does
all of ``nvidia``, which runs inside qubes."""


OWN_TESTS = {"qvm_gpu.restarted"}
"""Broken between its two steps it leaves a halted qube, and a second run leaves halted ones alone:
not where the undisturbed run ends. tests/salt/test_gpu_restarted.py breaks each of its calls."""


def test_every_function_has_a_scenario():
    tried = {scenario.function for scenario in SCENARIOS}
    writing = {
        SAME_AS.get(name, name)
        for name in set(_core.functions()) - READING - NOT_QUBESD - OWN_TESTS
        if not name.startswith("nvidia.")
    }
    assert tried == writing


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(root=True) as one:
        yield one


@pytest.mark.parametrize("function", sorted(READING | NOT_QUBESD))
def test_the_others_write_nothing_over_the_socket(sandbox, function):
    """Whatever they are asked, and whether they fail or not."""
    run = _core.Run(socket=sandbox.socket, root=str(sandbox.root))
    for args in ({}, {"name": "work"}, {"name": "work", "body": [{"list": []}]}):
        run.call(function, args, False)
    assert not sandbox.writing_calls()
