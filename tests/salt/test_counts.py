# SPDX-License-Identifier: GPL-3.0-or-later
"""How many calls a state makes, from the sandbox's log: counts are exact, so they are tested."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
from rig import REPOSITORY

GUIDE = """
{name}:
  qvm.vm:
    - name: {name}
    - present:
      - template: fedora-40-xfce
      - class: StandaloneVM
    - prefs:
      - label: yellow
      - mem: 4000
      - vcpus: 4
      - pcidevs: ['01:00.0', '01:00.1']
      - virt_mode: hvm
      - kernel:
      - maxmem: 0
      - class: StandaloneVM
    - features:
      - set:
        - menu-items: qubes-run-terminal.desktop
"""

AS_IT_SHOULD_BE = {
    "class": "StandaloneVM",
    "label": "yellow",
    "properties": {"memory": 4000, "vcpus": 4, "virt_mode": "hvm", "kernel": "", "maxmem": 0},
    "features": {"menu-items": "qubes-run-terminal.desktop"},
    "devices": ["01:00.0", "01:00.1"],
}


def methods(sandbox):
    return sorted(call.method.removeprefix("admin.vm.") for call in sandbox.log())


def many(count):
    clones = {"of": "q-0", "count": count, "prefix": "q"}
    return {"qubes": {"q-0": AS_IT_SHOULD_BE}, "clones": clones}


def test_an_unchanged_qube_is_three_calls_and_the_machine_one(machine, minion_for):
    sandbox = machine(many(1))
    (state,) = minion_for(sandbox).high(GUIDE.format(name="q-1"))
    assert state["result"] is True and state["changes"] == {}
    assert methods(sandbox) == [
        "device.pci.Assigned", "device.pci.Available", "feature.Get", "property.GetAll",
    ]  # fmt: skip


def test_fifty_unchanged_states_are_151_calls(machine, minion_for):
    sandbox = machine(many(50))
    sls = "".join(GUIDE.format(name=f"q-{number}") for number in range(1, 51))
    states = minion_for(sandbox).high(sls)
    assert [(state["result"], state["changes"]) for state in states] == [(True, {})] * 50
    assert len(sandbox.log()) == 151
    assert methods(sandbox).count("device.pci.Available") == 1


@pytest.mark.parametrize("further", [0, 5])
def test_a_first_creation(sandbox, minion, further):
    for number in range(further):
        sandbox.ok(f"admin.vm.feature.Set+extra-{number}", "fedora-40-xfce", "1")
    sandbox.clear_log()
    (state,) = minion.high(GUIDE.format(name="gpu"))
    assert state["result"] is True, state["comment"]
    assert len(sandbox.log()) <= 60 + 2 * further
    reads = [call.request for call in sandbox.log() if not call.writing]
    assert len(set(reads)) == len(reads), "something was asked twice"


def test_no_state_depends_on_how_many_qubes_there_are(machine, minion_for):
    sandbox = machine({"clones": {"of": "work", "count": 300, "prefix": "other"}})
    minion = minion_for(sandbox)
    for function, name, body in (
        ("qvm.prefs", "work", {"label": "blue"}),
        ("qvm.features", "work", {"set": [{"x": None}]}),
        ("qvm.tags", "work", {"del": ["nosuch"]}),
        ("qvm.exists", "work", None),
        ("qvm.missing", "nosuch", None),
        ("qvm.halted", "work", None),
        ("qvm.present", "work", {"label": "blue"}),
        ("qvm.absent", "nosuch", None),
    ):
        sandbox.clear_log()
        state = minion.one(function, name, body)
        assert state["result"] is True, state
        (call,) = [call for call in sandbox.log() if call.method != "admin.vm.property.GetAll"] or [
            None
        ]
        assert len(sandbox.log()) <= 2
        assert not call or call.method != "admin.vm.List" or call.dest == name


def test_a_change_between_two_states_is_seen(sandbox, minion):
    minion.write(
        "t.sls",
        textwrap.dedent(f"""
        first:
          qvm.prefs:
            - name: work
            - memory: 500
        other:
          cmd.run:
            - name: {sys.executable} {minion.folder}/other.py
        second:
          qvm.prefs:
            - name: work
            - memory: 500
        """),
    )
    (minion.folder / "other.py").write_text(
        "from saltext.qvm_gpu.sandbox.harness import exchange\n"
        f"exchange({sandbox.socket!r}, b'admin.vm.property.Set+memory dom0 name work\\0' + b'700')\n",
        "utf-8",
    )
    states = minion.apply("t")
    assert [state["result"] for state in states] == [True] * 3, states
    assert states[2]["changes"] == {"qvm.prefs": {"memory": {"old": 700, "new": 500}}}


def test_loading_opens_nothing_and_asks_nothing(sandbox):
    """Importing shims and extension in a process that must not open a socket or start a program."""
    code = """
        import sys
        forbidden = ("socket.", "subprocess.", "os.posix_spawn", "os.fork", "os.exec")
        def watch(event, args):
            if armed and event.startswith(forbidden):
                raise SystemExit(f"loading did {event}")
        armed = False
        import logging, platform, salt.exceptions
        sys.addaudithook(watch)
        armed = True
        import importlib.util
        for name in NAMES:
            spec = importlib.util.spec_from_file_location(name, f"salt_ext/modules/{name}.py")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            module.__opts__, module.__pillar__ = {}, {}
            module.__virtual__()
            module._shim.core().Run()
    """
    shims = (REPOSITORY / "salt_ext" / "modules").glob("[a-z]*.py")
    code = textwrap.dedent(code).replace("NAMES", repr(sorted(path.stem for path in shims)))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env={**os.environ, "QUBESD_SOCKET": sandbox.socket},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not sandbox.log()
