# SPDX-License-Identifier: GPL-3.0-or-later
"""The recording, replayed: the sandbox gives the replies that a real qubesd gave.

``tests/data/admin-api-transcript.jsonl`` is one conversation with an unmodified qubesd 4.4.0 (364
exchanges on a machine with the card on a root bus, 14 on one with the card behind a bridge). Its
requests are sent in order to a sandbox with the machine file of that computer, and every reply is
compared, byte by byte but for what :func:`normalise` takes out.
"""

from __future__ import annotations

import ast
import json
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

DATA = Path(__file__).resolve().parents[1] / "data"
TRANSCRIPT = DATA / "admin-api-transcript.jsonl"
SETTLE = 0.3
"""Seconds after which a connection that is still open counts as left open."""

ALLOWED: dict[str, dict[int, str]] = {"root": {}, "bridge": {}}
"""Exchanges that may differ, by their number in their topology, each with its reason. An entry
whose exchange matches is an error."""

ENVIRONMENT: list[dict[str, Any]] = [
    {"kind": "empty", "match": "admin.pool.ListDrivers"},
    {"kind": "error", "match": "admin.vm.notes.Set", "type": "ProtocolError",
     "text": "Unable to sanitise qube notes: libqubes-pure.so.0: cannot open shared object file: "
             "No such file or directory"},
]  # fmt: skip
"""What the recording's computer lacked (its marked artefacts 5 and 360: the lvm program and a
library), as faults: later replies depend on the notes not having been set."""


def exchanges(topology: str) -> list[dict[str, Any]]:
    """The recorded exchanges of one topology."""
    with open(TRANSCRIPT, encoding="utf-8") as file:
        found = [json.loads(line) for line in file]
    return [entry for entry in found if entry["topo"] == topology]


def as_bytes(entry: dict[str, Any], key: str) -> bytes:
    """Request or reply; one that was too long to be recorded ends in the count of its bytes."""
    if entry.get(f"{key}_hex") is not None:
        return bytes.fromhex(entry[f"{key}_hex"])
    text, _, size = entry[key].rpartition("...(")
    head = ast.literal_eval(text)
    return head + head[-1:] * (int(size.split(" ")[0]) - len(head))


class Names:
    """Values that differ from run to run, numbered as they are first seen."""

    def __init__(self) -> None:
        self.seen: dict[bytes, bytes] = {}

    def __call__(self, match: re.Match[bytes]) -> bytes:
        return self.seen.setdefault(match[0], b"<%d>" % len(self.seen))


UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TOKEN = re.compile(rb"\A0\0[A-Za-z0-9]{32}\Z")
ADDRESS = re.compile(rb"(?<= at )0x[0-9a-f]+")
PROCESSOR_TIME = re.compile(rb"(?<=cputime=)[0-9]+|(?<=cpu_time\0)[0-9]+")
DEVICE_LINE = re.compile(rb"^(\S+)((?: [a-z_]+='(?:[^'\\]|\\.)*')+)$", re.MULTILINE)
PROPERTY = re.compile(rb" [a-z_-]+='(?:[^'\\]|\\.)*'", re.IGNORECASE)


def sorted_keys(match: re.Match[bytes]) -> bytes:
    """A device line with its properties sorted."""
    return match[1] + b"".join(sorted(PROPERTY.findall(match[2])))


def normalise(reply: bytes, names: Names) -> bytes:
    """Take out what no two runs of a real daemon share."""
    # uuids are random: what counts is which are the same one
    reply = UUID.sub(names, reply)
    # a token is 32 random characters: what counts is its form
    reply = TOKEN.sub(b"0\0<token>", reply)
    # an error prints the address of an object in the daemon's memory (exchange 204)
    reply = ADDRESS.sub(b"<address>", reply)
    # processor times are measured (and were invented by the simulated hypervisor)
    reply = PROCESSOR_TIME.sub(b"<time>", reply)
    # the order of a device's properties varies per daemon process
    return DEVICE_LINE.sub(sorted_keys, reply)


def send(path: str, request: bytes, end: str) -> tuple[bytes, bool]:
    """Send a recorded request as its client did; the reply, and whether the daemon closed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(path)
        sock.settimeout(SETTLE if end != "eof" else 10)
        stays_open = "never half-closes" in end
        try:
            sock.sendall(request)
            if not stays_open:
                sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the daemon drops a request that is too long before it is through
        reply = b""
        try:
            while data := sock.recv(1 << 16):
                reply += data
        except TimeoutError:
            return reply, False
        except ConnectionResetError:
            pass
        return reply, True


def replay(sandbox: Any, topology: str) -> dict[int, tuple[bytes, bytes, bytes]]:
    """All exchanges; those that differ, with request, recorded and actual reply."""
    recorded_names, actual_names = Names(), Names()
    tokens: dict[bytes, bytes] = {}
    differing = {}
    for number, entry in enumerate(exchanges(topology), 1):
        request, recorded = as_bytes(entry, "request"), as_bytes(entry, "reply")
        for old, new in tokens.items():
            request = request.replace(old, new)
        end = "never half-closes" if "never half-closes" in entry["note"] else entry["end"]
        reply, closed = send(sandbox.socket, request, end)
        if TOKEN.match(recorded):
            tokens[recorded[2:]] = reply[2:]
        same = normalise(recorded, recorded_names) == normalise(reply, actual_names)
        if not same or closed != (entry["end"] == "eof"):
            differing[number] = (request, recorded, reply)
    return differing


@pytest.mark.parametrize("topology", ["root", "bridge"])
def test_replay(
    topology: str, start_sandbox: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    total = len(exchanges(topology))
    assert total == {"root": 364, "bridge": 14}[topology]
    sandbox = start_sandbox(DATA / "machines" / f"recorded-{topology}.yaml", faults=ENVIRONMENT)
    began = time.perf_counter()
    differing = replay(sandbox, topology)
    took = time.perf_counter() - began
    allowed = ALLOWED[topology]
    with capsys.disabled():
        print(
            f"\n{topology}: {total - len(differing)} of {total} exchanges match, "
            f"{len(allowed)} allowed to differ ({took:.1f} s)"
        )
    for number, (request, recorded, reply) in differing.items():
        if number not in allowed:
            print(f"{number}: {request[:300]!r}\n  recorded {recorded!r}\n  actual   {reply!r}")
    assert set(differing) == set(allowed)


def test_writing_calls_of_the_recording(start_sandbox: Callable[..., Any]) -> None:
    """What the harness calls writing is what the recording's writing methods are."""
    from saltext.qvm_gpu.sandbox import is_writing

    writing = {
        as_bytes(entry, "request").split(b" ")[0].partition(b"+")[0].decode()
        for entry in exchanges("root")
        if is_writing(as_bytes(entry, "request"))
    }
    reading = {name for name in writing if name.rpartition(".")[2].startswith(("Get", "List"))}
    assert not reading
    assert {"admin.vm.property.Set", "admin.vm.Start", "admin.vm.volume.CloneFrom"} <= writing
    assert "admin.Events" not in writing
    assert "admin.vm.Stats" not in writing


def test_the_comparison_sees_a_difference(start_sandbox: Callable[..., Any]) -> None:
    """Another computer gives other replies, where it is another one and nowhere else."""
    sandbox = start_sandbox({"topology": "bridge", "host": {"cpus": 4}}, faults=ENVIRONMENT)
    differing = replay(sandbox, "root")
    # no_cpus; ports that are not there; and what follows from those; the statistics of dom0
    assert {8, 23, 253, 254, 261, 263, 324, 363} <= set(differing)
    assert not {1, 36, 38, 110, 204, 245, 364} & set(differing)


@pytest.mark.parametrize("seed", range(3))
def test_no_request_is_unexpected(seed: int) -> None:
    """Recorded requests with bytes changed get an answer, an error or a refusal."""
    from saltext.qvm_gpu.sandbox import machine
    from saltext.qvm_gpu.sandbox.errors import DaemonError, Refused
    from saltext.qvm_gpu.sandbox.frame import parse_request
    from saltext.qvm_gpu.sandbox.methods import dispatch

    random = Random(seed)
    store = machine.build({})
    requests = [as_bytes(entry, "request") for entry in exchanges("root")]
    requests = [request for request in requests if 0 < len(request) < 1000]
    outcomes = {"answer": 0, "error": 0, "refusal": 0}
    for _ in range(3000):
        request = bytearray(random.choice(requests))
        for _ in range(random.randint(0, 3)):
            request[random.randrange(len(request))] = random.choice(b"\0 +'=abc01:_.\xff")
        try:
            dispatch(store, parse_request(bytes(request)))
            outcomes["answer"] += 1
        except DaemonError:
            outcomes["error"] += 1
        except Refused:
            outcomes["refusal"] += 1
    assert all(outcomes.values())
