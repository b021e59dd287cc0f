# SPDX-License-Identifier: GPL-3.0-or-later
"""Execution functions, and the way through qrexec-client-vm in a management qube."""

from __future__ import annotations

import os
import re
import signal
import sys

import pytest
from saltext.qvm_gpu import _core

QREXEC = """#!{python}
# What qrexec-client-vm does here: carries METHOD+ARG with its payload to the sandbox's socket.
import sys
from saltext.qvm_gpu.sandbox.harness import exchange
dest, service = sys.argv[1:]
payload = sys.stdin.buffer.read()
request = f"{{service}} dom0 name {{dest}}\\0".encode() + payload
sys.stdout.buffer.write(exchange({socket!r}, request))
"""


@pytest.fixture
def qrexec(sandbox, tmp_path, monkeypatch):
    """A management qube's way to qubesd."""
    program = tmp_path / "bin" / "qrexec-client-vm"
    program.parent.mkdir()
    program.write_text(QREXEC.format(python=sys.executable, socket=sandbox.socket), "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return program


def test_the_same_state_through_qrexec(sandbox, minion_for, qrexec):
    minion = minion_for(options={"qvm_gpu": {"transport": "qrexec", "timeout": 20}})
    body = {"memory": 555, "pcidevs": []}
    dry = minion.one("qvm.prefs", "work", body, test=True)
    assert dry["result"] is None, dry["comment"]
    state = minion.one("qvm.prefs", "work", body)
    assert state["result"] is True, state["comment"]
    assert state["changes"] == {"qvm.prefs": {"memory": {"old": "*default*", "new": 555}}}
    assert sandbox.ok("admin.vm.property.Get+memory", "work").endswith(" 555")
    assert minion.one("qvm.prefs", "work", body)["changes"] == {}
    missing = minion.one("qvm.exists", "nosuch")
    assert missing["result"] is False and "does not exist" in missing["comment"]


def test_qrexec_inherits_nothing(minion_for, qrexec, tmp_path, monkeypatch):
    seen = tmp_path / "seen"
    monkeypatch.setenv("SECRET", "of the minion")
    qrexec.write_text(
        f"#!/bin/sh\n{{ env; ls -l /proc/self/fd; grep Sig /proc/self/status; }} >{seen}\nexit 126\n",
        "utf-8",
    )
    minion = minion_for(options={"qvm_gpu": {"transport": "qrexec", "timeout": 20}})
    with open(tmp_path / "open", "w", encoding="utf-8") as file:
        os.set_inheritable(file.fileno(), True)
        minion.one("qvm.exists", "work")
    told = seen.read_text("utf-8")
    names = {line.partition("=")[0] for line in told.splitlines() if "=" in line}
    assert names <= {"PATH", "LANG", "HOME", "PWD", "SHLVL", "_", "OLDPWD"}, told
    assert str(tmp_path / "open") not in told
    ignored = int(re.search(r"SigIgn:\s+(\w+)", told)[1], 16)
    assert not ignored & 1 << signal.SIGPIPE - 1, told


def test_a_qrexec_that_refuses(minion_for, qrexec):
    qrexec.write_text("#!/bin/sh\nexit 126\n", "utf-8")
    minion = minion_for(options={"qvm_gpu": {"transport": "qrexec", "timeout": 20}})
    state = minion.one("qvm.prefs", "work", {"memory": 555})
    assert state["result"] is False and "without an answer" in state["comment"]


@pytest.mark.parametrize(
    ("words", "retcode"),
    [
        (["qvm.check", "work"], 0),
        (["qvm.check", "nosuch"], 1),
        (["qvm.check", "nosuch", "missing"], 0),
        (["qvm.check", "work", "check=missing"], 1),
        (["qvm.check", "work", "there"], 1),
        (["qvm.state", "work", "halted", "paused"], 0),
        (["qvm.state", "work", "running"], 1),
        (["qvm.state", "nosuch", "status"], 1),
        (["qvm.exists", "dom0"], 0),
        (["qvm.start", "work"], 0),
        (["qvm.running", "work"], 1),
    ],
)
def test_the_command_line_gets_a_plain_dict(sandbox, minion, words, retcode):
    answer = minion.call(*words)
    assert answer["retcode"] == retcode, answer
    assert set(answer) == {"retcode", "stdout", "stderr"}


def test_check_from_jinja_has_passed(sandbox, minion):
    minion.write(
        "s.sls",
        "{% for name in ['work', 'nosuch'] %}\n"
        "{{ name }}:\n  test.configurable_test_state:\n    - changes: False\n"
        "    - result: {{ salt['qvm.check'](name, 'exists').passed() }}\n{% endfor %}\n",
    )
    states = minion.apply("s")
    assert [state["result"] for state in states] == [True, False]


SURFACE = {
    "name", "result", "retcode", "stdout", "stderr", "data", "changes", "comment", "prefix", "message",
    "error_message",
}  # fmt: skip


@pytest.mark.parametrize(
    ("words", "more", "passed", "part"),
    [
        (["check", "work"], {}, True, "Qube work exists"),
        (["check", "work", "missing"], {}, False, "Qube work exists"),
        (["check", "work"], {"check": "missing"}, False, "Qube work exists"),
        (["check", "work", "there"], {}, False, "'there' is not exists or missing"),
        (["state", "work", "running", "halted"], {}, True, "Halted"),
        (["state", "work"], {"state": "halted"}, True, "Halted"),
        (["state", "work"], {"state": ["running", "paused"]}, False, "Qube work is Halted"),
        (["state", "work", "status"], {}, True, "Halted"),
        (["exists", "work"], {"flags": "template"}, False, "does not exist"),
        (["features", "work", "enable", "a", "b"], {}, True, "ENABLE 'b': Missing -> Enabled"),
        (["features", "work", "set", "k=v"], {}, True, "SET 'k': Missing -> v"),
        (["features", "work", "turn-on", "a"], {}, False, "'turn-on' is not enable, disable"),
        (["service", "work", "default", "cups"], {}, True, "[SKIP] Service already"),
        (["service", "work", "disable", "cups"], {}, True, "DISABLE 'cups': Missing -> Disabled"),
        (["tags", "work", "add", "a", "b"], {}, True, "+ b"),
        (["tags", "work", "del", "guivm-dom0"], {}, True, "- guivm-dom0"),
        (["tags", "work", "list"], {}, True, "guivm-dom0"),
        (["tags", "work", "mine"], {}, False, "'mine' is not add, present, del, absent or list"),
        (["firewall", "work", "set", "action=drop"], {}, True, "action=drop"),
        (["firewall", "work", "list"], {}, True, "action=accept"),
        (["prefs", "work", "label"], {}, True, "label              : blue"),
        (["run", "work", "ls", "-l"], {}, True, "[TEST] qvm-run -- work 'ls -l'"),
        (["devices", "work", "attach", "pci:dom0:01:00.0"], {}, True, "[ATTACHED]"),
        (["devices", "work", "list"], {}, True, ""),
        (["create", "new"], {"label": "red", "template": "fedora-41-xfce"}, True, "Would create"),
        (["remove", "work"], {}, True, "Would remove qube work"),
        (["clone", "work", "new"], {}, True, "Would create AppVM new as a clone of work"),
        (["vm", "work"], {"prefs": {"memory": 5}}, True, "memory             : 400 -> 5"),
    ],
)
def test_words_and_keys_in_a_dry_call(quick, sandbox, words, more, passed, part):
    """The object that formulas get, and what the same call is on a command line."""
    if words[0] == "vm":
        sandbox.ok("admin.vm.property.Set+memory", "work", "400")
        sandbox.clear_log()
    status = quick.ask(f"qvm.{words[0]}", *words[1:], **more, test=True)
    assert (status.passed(), status.failed(), bool(status)) == (passed, not passed, passed), status
    assert part in status.comment
    assert set(vars(status)) == SURFACE and type(status)(**vars(status)).passed() is passed
    would = status.result is None
    assert would is bool(status.changes) or words[0] == "run"
    plain = quick.ask(f"qvm.{words[0]}", *words[1:], **more, test=True, __pub_fun="qvm")
    assert plain == {
        "retcode": int(not passed), "stdout": status.comment,
        "stderr": "" if passed else status.comment,
    }  # fmt: skip
    assert not sandbox.writing_calls()


def test_a_run_is_set_up_once_and_not_called_from_within(sandbox):
    said = []

    def log(level, line):
        try:
            run.call("qvm.exists", {"name": "dom0"})
        except ValueError as problem:
            said.append(str(problem))

    run = _core.Run(socket=sandbox.socket, log=log)
    assert run.call("qvm.features", {"name": "work", "body": {"enable": ["x"]}})["result"] is True
    assert said and "the middle of a call" in said[0]
    with pytest.raises(RuntimeError, match="once"):
        run.__init__(socket=sandbox.socket)
    assert run.call("qvm.exists", {"name": "work"})["result"] is True


@pytest.mark.parametrize("timeout", [-1, 86401, float("nan"), float("inf")])
def test_a_timeout_is_a_number_of_seconds(timeout):
    with pytest.raises(ValueError, match="timeout"):
        _core.Run(timeout=timeout)
