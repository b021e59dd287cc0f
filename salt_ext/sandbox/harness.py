# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox for tests: a daemon of its own in a folder of its own, for as long as a ``with`` lasts.

::

    with Sandbox(machine={"topology": "root"}) as sandbox:
        environment = {"QUBESD_SOCKET": sandbox.socket}
        ...
        assert sandbox.writing_calls() == []
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import yaml

PACKAGE = Path(__file__).resolve().parent
"""The package beside this very file is the one that runs, installed or not."""

START_TIMEOUT = 20.0
READING_WORDS = ("List", "Get", "CheckWith")
READING_ENDS = (
    "Help", "Info", "Available", "Assigned", "Attached", "CurrentState", "Stats",
)  # fmt: skip


def is_writing(request: bytes | str) -> bool:
    """Whether a request can change anything.

    Writing is every method but ``*.List*``, ``*.Get*``, ``*.CheckWith*``, ``*.Help``, ``*.Info``,
    ``*.Available``, ``*.Assigned``, ``*.Attached``, ``*.CurrentState``, ``*.Stats`` and
    ``admin.Events``.
    """
    text = request.decode("latin-1") if isinstance(request, bytes) else request
    method = text.split(" ", 1)[0].partition("+")[0]
    last = method.rpartition(".")[2]
    return not (method == "admin.Events" or last in READING_ENDS or last.startswith(READING_WORDS))


class Logged(NamedTuple):
    """A connection of the log."""

    request: bytes
    reply: bytes
    duration: float
    fault: str | None = None
    applied: bool | None = None

    @property
    def method(self) -> str:
        """The Admin API method."""
        return self.request.split(b" ", 1)[0].partition(b"+")[0].decode("latin-1")

    @property
    def arg(self) -> str:
        """The method's argument."""
        return self.request.split(b" ", 1)[0].partition(b"+")[2].decode("latin-1")

    @property
    def dest(self) -> str:
        """The qube that was asked about."""
        fields = self.request.partition(b"\0")[0].split(b" ", 3)
        return fields[3].decode("latin-1") if len(fields) == 4 else ""

    @property
    def payload(self) -> bytes:
        """What was sent along."""
        return self.request.partition(b"\0")[2]

    @property
    def writing(self) -> bool:
        """Whether the call could change anything."""
        return bool(self.request) and is_writing(self.request)


class SandboxError(RuntimeError):
    """The sandbox did not start, or refused a control call."""


def exchange(path: str, request: bytes, timeout: float = 30.0) -> bytes:
    """One request over the socket: send, half-close, read to the end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        sock.connect(path)
        try:
            sock.sendall(request)
            sock.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        chunks = []
        try:
            while data := sock.recv(1 << 16):
                chunks.append(data)
        except ConnectionResetError:
            pass
        return b"".join(chunks)


class Sandbox:
    """A running sandbox.

    ``machine``: a machine file's path, or its content as a mapping. ``root``: also write the PCI
    tree (then :attr:`root`). ``folder``: where everything lies, kept afterwards; without it a
    temporary folder that goes away. ``state``: keep the store across :meth:`kill` and
    :meth:`start`.
    """

    def __init__(
        self,
        machine: str | os.PathLike[str] | dict[str, Any] | None = None,
        *,
        folder: str | os.PathLike[str] | None = None,
        root: bool = False,
        state: bool = True,
        faults: list[dict[str, Any]] | None = None,
    ) -> None:
        self._keep = folder is not None
        self.folder = Path(folder if folder is not None else tempfile.mkdtemp(prefix="qubesd-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.socket = str(self.folder / "qubesd.sock")
        self.log_path = self.folder / "calls.jsonl"
        self.state_path = self.folder / "state.json" if state else None
        self.root = self.folder / "root" if root else None
        self.process: subprocess.Popen[str] | None = None
        self._offset = 0
        self._initial_faults = faults
        if isinstance(machine, dict):
            self.machine: Path | None = self.folder / "machine.yaml"
            self.machine.write_text(yaml.safe_dump(machine), "utf-8")
        else:
            self.machine = Path(machine) if machine is not None else None

    # -- the process

    def command(self) -> list[str]:
        """The command line of the daemon, found beside this very file."""
        command = [sys.executable, "-m", PACKAGE.name]
        for option, value in (
            ("--socket", self.socket), ("--log", self.log_path), ("--machine", self.machine),
            ("--state", self.state_path), ("--root", self.root),
        ):  # fmt: skip
            if value is not None:
                command += [option, str(value)]
        return command

    def start(self) -> Sandbox:
        """Start the daemon and wait until it listens."""
        paths = (str(PACKAGE.parent), os.environ.get("PYTHONPATH"))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        self.process = subprocess.Popen(
            self.command(), stdout=subprocess.PIPE, text=True, env=environment
        )
        with self.process.stdout or open(os.devnull, encoding="utf-8") as output:
            if output.readline() != "ready\n":
                raise SandboxError(f"the sandbox did not start (exit {self.process.wait()})")
        if self._initial_faults:
            self.faults(self._initial_faults)
        return self

    def stop(self) -> int:
        """End the daemon as a service manager does; its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """End the daemon as a crash does: nothing is saved, the socket file stays."""
        return self._end(signal.SIGKILL)

    def wait(self) -> int:
        """Wait for a daemon that ends by itself (a fault); its exit status."""
        return self._end(None)

    def _end(self, number: int | None) -> int:
        process = self.process
        if process is None:
            return 0
        self.process = None
        if number is not None and process.poll() is None:
            process.send_signal(number)
        return process.wait(START_TIMEOUT)

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        if not self._keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    # -- calls

    def raw(self, request: bytes, timeout: float = 30.0) -> bytes:
        """Send bytes as they are; the whole reply."""
        return exchange(self.socket, request, timeout)

    def call(self, method: str, dest: str = "dom0", payload: bytes | str = b"") -> bytes:
        """Call ``METHOD`` or ``METHOD+ARG`` as dom0; the reply with its frame."""
        if isinstance(payload, str):
            payload = payload.encode()
        if "+" not in method:
            method += "+"
        return self.raw(f"{method} dom0 name {dest}".encode() + b"\0" + payload)

    def ok(self, method: str, dest: str = "dom0", payload: bytes | str = b"") -> str:
        """Call and expect an answer; what it says."""
        reply = self.call(method, dest, payload)
        if not reply.startswith(b"0\0"):
            raise SandboxError(f"{method} {dest}: {reply!r}")
        return reply[2:].decode("utf-8", "surrogateescape")

    # -- control

    def reset(self) -> None:
        """Back to the snapshot (to the start, without one); forgets the log so far too."""
        self.ok("sandbox.Reset")
        self.clear_log()

    def snapshot(self) -> None:
        """What is now is what :meth:`reset` goes back to."""
        self.ok("sandbox.Snapshot")

    def faults(self, plan: list[dict[str, Any]] | None = None) -> None:
        """Arm a fault plan, from the next connection on; none disarms."""
        self.ok("sandbox.Faults", payload=json.dumps(plan or []))

    def state(self) -> dict[str, Any]:
        """The whole store: records by the qubes' names, the globals under the empty name."""
        return json.loads(self.ok("sandbox.State"))

    # -- log

    def log(self) -> list[Logged]:
        """The connections since the start, or since :meth:`clear_log`."""
        if not self.log_path.exists():
            return []
        with open(self.log_path, "rb") as file:
            file.seek(self._offset)
            return [_logged(json.loads(line)) for line in file]

    def writing_calls(self) -> list[Logged]:
        """The logged calls that could change anything."""
        return [entry for entry in self.log() if entry.writing]

    def clear_log(self) -> None:
        """Forget what was logged so far; the file keeps it."""
        self._offset = self.log_path.stat().st_size if self.log_path.exists() else 0


def _logged(entry: dict[str, Any]) -> Logged:
    return Logged(
        ast.literal_eval(entry["request"]), ast.literal_eval(entry["reply"]), entry["duration"],
        entry.get("fault"), entry.get("applied"),
    )  # fmt: skip
