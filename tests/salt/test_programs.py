# SPDX-License-Identifier: GPL-3.0-or-later
"""What dom0's own programs do: qvm-run, qvm-template, qvm-appmenus; nothing else is started."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from rig import QuickMinion, install_programs, no_process
from saltext.qvm_gpu.sandbox import Sandbox

NAMES = ("qvm-run", "qvm-template", "qvm-appmenus")


class Dom0:
    """A machine, a minion, and the programs in its root."""

    def __init__(self, folder: Path, built: Path) -> None:
        self.sandbox = Sandbox(folder=folder / "sandbox", root=True).start()
        self.root = Path(self.sandbox.root)
        self.built = built
        self.minion = QuickMinion(folder / "minion", socket=self.sandbox.socket, root=self.root)
        self.sandbox.snapshot()
        (self.root / "run").mkdir(exist_ok=True)
        os.link(self.sandbox.socket, self.root / "run" / "qubesd.sock")
        self.one("qvm.exists", "work", test=True)

    def renew(self) -> None:
        """As at the beginning."""
        self.sandbox.reset()
        install_programs(self.built, self.root, *NAMES)
        for name in ("ran", "appmenus-fails"):
            (self.root / name).unlink(missing_ok=True)

    def one(self, *words, **kwargs):
        return self.minion.one(*words, **kwargs)

    def ran(self) -> list[str]:
        """What the programs were called with."""
        path = self.root / "ran"
        return path.read_text("utf-8").splitlines() if path.exists() else []


@pytest.fixture(scope="module")
def shared(tmp_path_factory, programs):
    one = Dom0(tmp_path_factory.mktemp("dom0"), programs)
    yield one
    one.sandbox.stop()


@pytest.fixture
def dom0(shared):
    shared.renew()
    return shared


# -- run


@pytest.mark.parametrize(
    ("body", "ran"),
    [
        ({"cmd": "touch /tmp/a; ls"}, "qvm-run -- work touch /tmp/a; ls"),
        ({"cmd": ["ls", "-l", 5]}, "qvm-run -- work ls -l 5"),
        ({"cmd": "ls", "user": "root"}, "qvm-run --user=root -- work ls"),
        ({"cmd": "ls", "flags": ["quiet", "pass-io", "nogui"]},
         "qvm-run --quiet --pass-io --no-gui -- work ls"),
        ({"cmd": "--help", "localcmd": "cat", "color-output": 3},
         "qvm-run --localcmd=cat --color-output=3 -- work --help"),
    ],
)  # fmt: skip
def test_run(dom0, body, ran):
    with no_process():
        dry = dom0.one("qvm.run", "work", body, test=True)
    assert dry["result"] is None and dry["comment"].startswith("[TEST] qvm-run "), dry
    assert dom0.ran() == []
    state = dom0.one("qvm.run", "work", body)
    assert state["result"] is True and state["changes"] == dry["changes"], state
    assert dom0.ran() == [ran]
    assert state["comment"].splitlines()[1:] == [
        "work does it",
        f"done: {ran.partition('work ')[2]}",
    ]


def test_run_starts_the_qube_where_it_is_asked_to(dom0):
    body = {"cmd": "ls", "flags": ["auto"]}
    for test in (True, False):
        state = dom0.one("qvm.run", "work", body, test=test)
        assert state["changes"] == {
            "qvm.run": {
                "power_state": {"old": "Halted", "new": "Running"},
                "cmd": {"old": None, "new": "ls"},
            }
        }
    assert [call.method for call in dom0.sandbox.writing_calls()] == ["admin.vm.Start"]
    assert dom0.one("qvm.run", "work", body)["changes"] == {
        "qvm.run": {"cmd": {"old": None, "new": "ls"}}
    }


def test_a_command_that_fails_is_a_failure(dom0):
    """Upstream: True with the flag auto, whatever became of the command."""
    state = dom0.one("qvm.run", "work", {"cmd": "fail", "flags": ["auto"]})
    assert state["result"] is False, state
    assert "qvm-run ended with exit code 3" in state["comment"]
    assert "fail: no such program in work" in state["comment"]
    assert "not known" not in state["comment"], state["comment"]
    assert state["changes"] == {"qvm.run": {"power_state": {"old": "Halted", "new": "Running"}}}


@pytest.mark.parametrize("flag", ["tray", "pause", "unpause"])
def test_flags_that_qvm_run_has_no_more(dom0, flag):
    state = dom0.one("qvm.run", "work", {"cmd": "ls", "flags": [flag], "exclude": ["x"]})
    assert state["result"] is True and dom0.ran() == ["qvm-run -- work ls"]
    assert f"run: {flag}, which qvm-run" in state["comment"] and "run: exclude" in state["comment"]


def test_its_output_goes_to_the_log_while_it_runs(dom0, caplog):
    with caplog.at_level(logging.INFO):
        dom0.one("qvm.run", "work", {"cmd": "ls"})
    lines = [record.getMessage() for record in caplog.records]
    assert {"qvm-run: work does it", "qvm-run: done: ls"} <= set(lines)


def test_without_the_programs(dom0):
    for name in NAMES:
        (dom0.root / "usr/bin" / name).unlink()
    state = dom0.one("qvm.run", "work", {"cmd": "ls"})
    assert state["result"] is False and "cannot run qvm-run: No such file" in state["comment"]
    assert state["changes"] == {} and "not known" not in state["comment"]
    dry = dom0.one("qvm.template_installed", "fedora-43-xfce", test=True)
    assert dry["result"] is None and "There is no program qvm-template here." in dry["comment"]
    state = dom0.one("qvm.template_installed", "fedora-43-xfce")
    assert state["result"] is False and "cannot run qvm-template" in state["comment"]
    assert state["changes"] == {}


# -- templates


@pytest.mark.parametrize(
    ("body", "words", "new"),
    [
        ({}, "-- fedora-43-xfce", "fedora-43-xfce"),
        ({"fromrepo": "itl", "pool": "vm"}, "--repoid=itl --pool=vm -- fedora-43-xfce",
         "fedora-43-xfce"),
    ],
)  # fmt: skip
def test_a_template_is_installed(dom0, body, words, new):
    with no_process():
        dry = dom0.one("qvm.template_installed", "fedora-43-xfce", body, test=True)
    assert dry["result"] is None and dry["comment"] == f"[TEST] qvm-template install {words}"
    state = dom0.one("qvm.template_installed", "fedora-43-xfce", body)
    assert state["result"] is True and state["changes"] == dry["changes"], state
    assert state["changes"] == {
        "qvm.template_installed": {"fedora-43-xfce": {"old": None, "new": new}}
    }
    assert state["comment"].splitlines()[0] == "Template fedora-43-xfce installed"
    assert "Downloading fedora-43-xfce" in state["comment"]
    assert dom0.ran() == [f"qvm-template install {words}"]
    with no_process():
        again = dom0.one("qvm.template_installed", "fedora-43-xfce", body)
    assert (again["result"], again["changes"]) == (True, {})
    assert again["comment"] == "Template fedora-43-xfce already installed"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fedora-44-broken", ["exit code 1", "no space left on device"]),
        ("fedora-44-nothing", ["ended well, but there is no template fedora-44-nothing"]),
        ("work", ["work is a AppVM, and no template"]),
    ],
)
def test_one_that_is_not_installed(dom0, name, words):
    state = dom0.one("qvm.template_installed", name)
    assert state["result"] is False and state["changes"] == {}, state
    for word in words:
        assert word in state["comment"]


def test_a_dry_run_counts_on_a_template_that_would_be_installed(dom0):
    sls = """
fedora-43-xfce:
  qvm.template_installed: []
mail:
  qvm.present:
    - template: fedora-43-xfce
    - label: red
"""
    dry = dom0.minion.high(sls, test=True)
    assert [state["result"] for state in dry] == [None, None]
    assert "no state before" not in str(dry)
    first = dom0.minion.high(sls)
    assert [state["changes"] for state in first] == [state["changes"] for state in dry]
    assert [state["changes"] for state in dom0.minion.high(sls)] == [{}, {}]


def test_execution_functions_of_templates(dom0):
    ask = dom0.minion.ask
    assert ask("qvm.template_info", "fedora-41-xfce") == {
        "name": "fedora-41-xfce", "version": "4.3.0",
    }  # fmt: skip
    assert ask("qvm.template_info", "nosuch") == {}
    status = ask("qvm.template_install", "fedora-43-xfce", "4.3.0", "itl", "vm", test=True)
    assert status.passed() and status.result is None
    assert "--repoid=itl --pool=vm -- fedora-43-xfce-4.3.0" in status.comment
    again = ask("qvm.template_install", name="fedora-43-xfce", version="4.3.0", test=True)
    assert "-- fedora-43-xfce-4.3.0" in again.comment
    assert not ask("qvm.template_install", "fedora-43-broken")


# -- the application menu


def test_a_clone_has_its_menu_made(dom0):
    state = dom0.one("qvm.clone", "copy", {"source": "work"})
    assert state["result"] is True
    assert dom0.ran() == ["qvm-appmenus --init --update --source work -- copy"]


def test_a_menu_that_cannot_be_made_takes_the_clone_back(dom0):
    (dom0.root / "appmenus-fails").touch()
    state = dom0.one("qvm.clone", "copy", {"source": "work"})
    assert state["result"] is False and state["changes"] == {}
    assert "qvm-appmenus: no such template" in state["comment"]
    assert "copy" not in dom0.sandbox.state()


def test_no_other_state_starts_a_process(dom0):
    """All that the others do, where every program is there to be started."""
    sls = """
new:
  qvm.vm:
    - present: [{label: red}, {template: fedora-41-xfce}, {flags: [net]}]
    - prefs: [{memory: 500}, {virt_mode: hvm}, {pcidevs: ['01:00.0']}]
    - devices: [{detach: ['pci:dom0:01:00.0']}]
    - service: [{enable: [cups]}]
    - features: [{set: [{a: b}]}]
    - firewall: [{set: [action=drop]}]
    - tags: [{add: [x]}]
    - start: []
    - running: []
    - pause: []
    - unpause: []
    - shutdown: []
    - halted: []
    - kill: []
    - exists: []
    - actions: [present, prefs, devices, service, features, firewall, tags, exists, start, running, pause,
                unpause, shutdown, halted, kill]
gone:
  qvm.absent:
    - name: new
there:
  qvm.missing:
    - name: new
installed:
  qvm.template_installed:
    - name: fedora-41-xfce
"""
    with no_process():
        states = dom0.minion.high(sls)
    assert [state["result"] for state in states] == [True] * 4, states
    assert dom0.ran() == []
