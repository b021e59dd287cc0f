# SPDX-License-Identifier: GPL-3.0-or-later
"""The fault plan: every kind, when it strikes, and what was carried out."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SET = b"admin.vm.property.Set+memory dom0 name work\x00777"
GET = b"admin.vm.property.Get+memory dom0 name work\0"
WHOLE = b"0\0default=True type=int 400"


def memory(sandbox: Any) -> int:
    return sandbox.state()["work"]["props"].get("memory", 400)


@pytest.mark.parametrize(
    ("fault", "reply", "applied"),
    [
        ({"kind": "refused"}, b"", False),
        ({"kind": "refused", "match": "admin.vm.property.Set"}, b"", False),
        ({"kind": "empty"}, b"", False),
        ({"kind": "empty", "apply": True}, b"", True),
        ({"kind": "half"}, b"0", True),
        ({"kind": "half", "apply": False}, b"", False),
        ({"kind": "garbage"}, b"\x07garbage\xff\xfe\0no reply", True),
        ({"kind": "garbage", "data": "\u00e9\u0000"}, b"\xe9\0", True),
        ({"kind": "error"}, b"2\0QubesException\0\0injected fault\0", False),
        ({"kind": "error", "type": "T", "text": "t"}, b"2\0T\0\0t\0", False),
        ({"kind": "delay", "seconds": 0.05}, b"0\0", True),
    ],
)
def test_kinds(sandbox: Any, fault: dict[str, Any], reply: bytes, applied: bool) -> None:
    sandbox.faults([fault])
    assert sandbox.raw(SET) == reply
    assert memory(sandbox) == (777 if applied else 400)
    assert sandbox.raw(GET) == (b"0\0default=False type=int 777" if applied else WHOLE)
    struck, fine = sandbox.log()
    assert (struck.fault, struck.applied) == (fault["kind"], applied)
    assert struck.reply == reply
    assert fine.fault is None


def test_somebody_else_comes_first(sandbox: Any) -> None:
    theirs = [
        "admin.vm.property.Set+memory dom0 name work\x00555",
        "admin.vm.Kill dom0 name work\x00",
    ]
    sandbox.faults([{"kind": "meanwhile", "match": "admin.vm.property.Get", "requests": theirs}])
    assert sandbox.raw(GET) == b"0\0default=False type=int 555"
    memory_set, killed, own = sandbox.log()
    assert (memory_set.fault, memory_set.applied, memory_set.reply) == ("meanwhile", True, b"0\0")
    assert killed.applied is False and killed.reply.startswith(b"2\0QubesVMNotStartedError")
    assert own.fault is None and own.request == GET


def test_delay(sandbox: Any) -> None:
    sandbox.faults([{"kind": "delay", "seconds": 0.3}])
    began = time.monotonic()
    assert sandbox.raw(GET) == WHOLE
    assert time.monotonic() - began >= 0.3


def test_oversized(sandbox: Any) -> None:
    sandbox.faults([{"kind": "oversized", "size": 5_000_003}])
    reply = sandbox.raw(GET)
    assert len(reply) == 5_000_003
    assert reply.startswith(b"0\0xxx")
    sandbox.faults([{"kind": "oversized"}])
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(sandbox.socket)
        sock.sendall(GET)
        sock.shutdown(socket.SHUT_WR)
        assert len(sock.recv(1 << 16)) > 2
    assert sandbox.raw(GET) == WHOLE


@pytest.mark.parametrize("kind", ["die-before", "die-after"])
def test_death(sandbox: Any, kind: str) -> None:
    sandbox.faults([{"kind": kind}])
    assert sandbox.raw(SET) == b""
    assert sandbox.wait() == -signal.SIGKILL
    (struck,) = sandbox.log()
    assert (struck.fault, struck.applied) == (kind, kind == "die-after")
    sandbox.start()
    assert memory(sandbox) == (777 if kind == "die-after" else 400)


@pytest.mark.parametrize("kind", ["kill-before", "kill-after"])
def test_death_of_the_caller(sandbox: Any, kind: str) -> None:
    sandbox.faults([{"kind": kind}])
    caller = (
        "import sys; from saltext.qvm_gpu.sandbox.harness import exchange;"
        f" exchange(sys.argv[1], {SET!r})"
    )
    done = subprocess.run([sys.executable, "-c", caller, sandbox.socket], check=False)
    assert done.returncode == -signal.SIGKILL
    assert memory(sandbox) == (777 if kind == "kill-after" else 400)


def test_the_kth_connection(sandbox: Any) -> None:
    sandbox.faults([{"kind": "empty", "at": 3}])
    sandbox.state()
    assert [sandbox.raw(GET) for _ in range(4)] == [WHOLE, WHOLE, b"", WHOLE]


def test_times(sandbox: Any) -> None:
    sandbox.faults([{"kind": "refused", "at": 2, "times": 2}])
    assert [sandbox.raw(GET) for _ in range(4)] == [WHOLE, b"", b"", WHOLE]
    sandbox.faults([{"kind": "empty", "times": 0}])
    assert [sandbox.raw(GET) for _ in range(4)] == [b""] * 4
    sandbox.faults()
    assert sandbox.raw(GET) == WHOLE


def test_match(sandbox: Any) -> None:
    sandbox.faults([{"kind": "empty", "match": "admin.vm.property.Set", "nth": 2}])
    assert [sandbox.raw(SET), sandbox.raw(GET), sandbox.raw(SET), sandbox.raw(SET)] == [
        b"0\0", b"0\0default=False type=int 777", b"", b"0\0",
    ]  # fmt: skip


def test_plan_file_is_read_again_when_it_changes(sandbox: Any, tmp_path: Path) -> None:
    plan = tmp_path / "faults.json"
    command = [*sandbox.command(), "--faults", str(plan)]
    sandbox.stop()
    sandbox.command = lambda: command
    sandbox.start()
    assert sandbox.raw(GET) == WHOLE
    plan.write_text(json.dumps({"faults": [{"kind": "empty"}]}))
    assert [sandbox.raw(GET), sandbox.raw(GET)] == [b"", WHOLE]
    plan.write_text(json.dumps([{"kind": "empty", "at": 2}]))
    assert [sandbox.raw(GET) for _ in range(3)] == [WHOLE, b"", WHOLE]
    os.kill(sandbox.process.pid, signal.SIGHUP)
    time.sleep(0.2)
    assert [sandbox.raw(GET) for _ in range(3)] == [WHOLE, b"", WHOLE]
    plan.unlink()
    assert [sandbox.raw(GET) for _ in range(3)] == [WHOLE] * 3


def test_thousands_of_cases_in_one_daemon(start_sandbox: Callable[..., Any]) -> None:
    sandbox = start_sandbox({"clones": {"of": "work", "count": 1000, "prefix": "bench"}})
    began = time.perf_counter()
    for number in range(300):
        sandbox.reset()
        sandbox.faults([{"kind": "empty", "at": 2}])
        assert sandbox.raw(SET.replace(b"work", b"bench-%d" % (number + 1))) == b"0\0"
        assert sandbox.raw(SET) == b""
    assert time.perf_counter() - began < 10
    sandbox.reset()
    assert all(qube["props"].get("memory") != 777 for qube in sandbox.state().values())


def test_a_control_call_in_two_pieces_does_not_count(sandbox: Any) -> None:
    sandbox.faults([{"kind": "empty", "at": 1}])
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(sandbox.socket)
        sock.sendall(b"sandbox.State+ dom0 name dom0\0")
        time.sleep(0.1)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(2) == b"0\0"
    assert [sandbox.raw(GET), sandbox.raw(GET)] == [b"", WHOLE]


def test_a_request_in_pieces_counts_once(sandbox: Any) -> None:
    sandbox.faults([{"kind": "empty", "at": 2}])
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(sandbox.socket)
        for byte in GET:
            sock.sendall(bytes((byte,)))
            time.sleep(0.001)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(100) == WHOLE
    assert [sandbox.raw(GET), sandbox.raw(GET)] == [b"", WHOLE]
