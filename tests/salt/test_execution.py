# SPDX-License-Identifier: GPL-3.0-or-later
"""Execution functions, and the way through qrexec-client-vm in a management qube."""

from __future__ import annotations

import os
import sys

import pytest

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
