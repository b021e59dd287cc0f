# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon: a socket, one request a connection, one reply.

Sockets are watched by the event loop directly: a call of this API is over in less time than a
transport and two streams take to set up.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import struct
import sys
import time
import traceback
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

from . import control
from .errors import DaemonError, Refused
from .events import Hub
from .faults import Fault, FaultError, Plan, PlanFile
from .frame import REQUEST_LIMIT, parse_request, reply_error, reply_ok
from .journal import Journal
from .methods import Stream, dispatch
from .store import Store

BACKLOG = 1024
CHUNK = 1 << 20
ACCEPTS_A_ROUND = 32


class SocketInUse(OSError):
    """A daemon listens on the socket already, or something else has its name."""


def bind(path: str) -> socket.socket:
    """Listen; a socket that a dead daemon left behind is removed, a live one's is not."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        pass
    else:
        if not stat.S_ISSOCK(mode):
            raise SocketInUse(f"{path} is there and is no socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
            else:
                raise SocketInUse(f"a daemon listens on {path} already")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, 0o660)  # as the socket of qubesd itself
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def peer(sock: socket.socket) -> int:
    """The process at the other end."""
    size = struct.calcsize("3i")
    return struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[0]


class Connection:
    """One connection: bytes in until the client's half-close, a reply out, the end."""

    __slots__ = ("_buffer", "_chunks", "_count", "_out", "_reading", "_server", "_socket",
                 "_started", "_stream", "_writing")  # fmt: skip

    def __init__(self, server: Server, sock: socket.socket) -> None:
        self._server = server
        self._socket = sock
        self._count = 0
        self._buffer = b""
        self._out = b""
        self._chunks: Iterator[bytes] = iter(())
        self._reading = False
        self._writing = False
        self._stream = False
        self._started = time.perf_counter()

    # -- in

    def read(self) -> None:
        """Take what has come; most requests are here as a whole by the first look."""
        new = not self._buffer and not self._count
        if new and self._server.plan.faults and not self._enter():
            return
        while True:
            try:
                data = self._socket.recv(REQUEST_LIMIT + 1)
            except (BlockingIOError, InterruptedError):
                self._await()
                return
            except OSError:
                self.close()
                return
            if not data:
                break
            self._buffer = self._buffer + data if self._buffer else data
            if len(self._buffer) > REQUEST_LIMIT:
                self._finish(b"")
                return
        if self._reading:
            self._reading = False
            self._server.loop.remove_reader(self._socket)
        self._handle()

    def _await(self) -> None:
        """Come back when there is more."""
        if not self._reading:
            self._reading = True
            self._server.loop.add_reader(self._socket, self.read)

    def _enter(self) -> bool:
        """Count the connection, once its first bytes say that it is no control call; says whether
        its request may be read."""
        try:
            if control.is_control(self._socket.recv(len(control.PREFIX), socket.MSG_PEEK)):
                return True
        except (BlockingIOError, InterruptedError):
            self._await()
            return False
        except OSError:
            self.close()
            return False
        plan = self._server.plan
        self._count = plan.enter()
        fault = plan.before_request(self._count)
        if fault is not None:
            self._server.log(b"", b"", self._started, fault)
            self.close()
        return fault is None

    def _handle(self) -> None:
        server, request = self._server, self._buffer
        if control.is_control(request):
            self._send(iter((control.answer(server, request),)))
            return
        fault = server.plan.at_request(self._count, request) if self._count else None
        if fault is None:
            self._carry_out(None)
        else:
            self._strike(fault)

    def _carry_out(self, fault: Fault | None) -> None:
        """Run the call and reply."""
        try:
            answer = dispatch(self._server.store, parse_request(self._buffer))
        except Exception as error:
            self._finish(failure(error), fault)
            return
        if answer is None:
            self._finish(b"0\0", fault)
        elif isinstance(answer, str):
            self._finish(reply_ok(answer.encode("utf-8", "surrogateescape")), fault)
        elif isinstance(answer, Stream):
            self._stream = True
            self._finish(self._server.hub.open(answer, self), fault)
        else:
            self._server.spawn(self._wait(answer, fault))

    def _let_in(self, request: bytes, fault: Fault) -> None:
        """Somebody else's call; one that takes its time goes on beside ours."""
        server, reply = self._server, b"0\0"
        fault.apply = True
        try:
            answer = dispatch(server.store, parse_request(request))
            if isinstance(answer, Coroutine):
                server.spawn(answer)
        except Exception as error:
            reply, fault.apply = failure(error), False
        server.commit()
        server.log(request, reply, time.perf_counter(), fault)

    async def _wait(self, answer: Any, fault: Fault | None) -> None:
        try:
            await answer
            reply = b"0\0"
        except Exception as error:
            reply = failure(error)
        self._finish(reply, fault)

    def _strike(self, fault: Fault) -> None:
        """A call that goes wrong."""
        if fault.kind == "meanwhile":
            for request in fault.requests:
                self._let_in(request.encode("latin-1"), fault)
            self._carry_out(None)
        elif fault.apply:
            self._carry_out(fault)
        elif fault.kind == "error":
            self._finish(reply_error(DaemonError(fault.type, fault.text)), fault)
        else:
            self._finish(b"", fault)

    # -- out

    def _finish(self, reply: bytes, fault: Fault | None = None) -> None:
        """The call is over: what it changed goes on file, then the reply out."""
        server = self._server
        server.commit()
        if fault is None:
            server.log(self._buffer, reply, self._started)
            self._send(iter((reply,)))
        elif fault.kind == "delay":
            server.loop.call_later(fault.seconds, self._finish_late, reply, fault)
        else:
            self._send_spoilt(reply, fault)

    def _finish_late(self, reply: bytes, fault: Fault) -> None:
        self._server.log(self._buffer, reply, self._started, fault)
        self._send(iter((reply,)))

    def _send_spoilt(self, reply: bytes, fault: Fault) -> None:
        chunks = iter((reply,))
        if fault.kind == "half":
            reply = reply[: len(reply) // 2]
            chunks = iter((reply,))
        elif fault.kind == "garbage":
            reply = fault.data.encode("latin-1")
            chunks = iter((reply,))
        elif fault.kind == "oversized":
            chunks = oversized(fault.size)
            reply = b"0\0x"
        elif fault.kind != "error":
            reply = b""
            chunks = iter(())
        self._server.log(self._buffer, reply, self._started, fault)
        if fault.kind.startswith("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault.kind.startswith("kill"):
            os.kill(peer(self._socket), signal.SIGKILL)
        self._stream = False
        self._send(chunks)

    def _send(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._write()

    def feed(self, data: bytes) -> bool:
        """More of a stream."""
        if self._socket.fileno() < 0:
            return False
        self._out += data
        if not self._writing:
            self._write()
        return self._socket.fileno() >= 0

    def _write(self) -> None:
        while True:
            if not self._out:
                self._out = next(self._chunks, b"")
                if not self._out:
                    break
            try:
                sent = self._socket.send(self._out, socket.MSG_NOSIGNAL)
            except (BlockingIOError, InterruptedError):
                if not self._writing:
                    self._writing = True
                    self._server.loop.add_writer(self._socket, self._write)
                return
            except OSError:
                self.close()
                return
            self._out = self._out[sent:] if sent < len(self._out) else b""
        if self._writing:
            self._writing = False
            self._server.loop.remove_writer(self._socket)
        if not self._stream:
            self.close()

    def close(self) -> None:
        """The end."""
        if self._reading:
            self._reading = False
            self._server.loop.remove_reader(self._socket)
        if self._writing:
            self._writing = False
            self._server.loop.remove_writer(self._socket)
        self._socket.close()


def failure(error: Exception) -> bytes:
    """The reply to a call that failed: an error that has a name, or nothing at all; what nobody
    expected is told on stderr, as it is in the journal of the real daemon."""
    if isinstance(error, DaemonError):
        return reply_error(error)
    if not isinstance(error, Refused):
        traceback.print_exception(error)
    return b""


def oversized(size: int) -> Iterator[bytes]:
    """A reply of this many bytes that is never in memory as a whole."""
    chunk = b"x" * CHUNK
    yield b"0\0" + chunk[: size - 2]
    left = size - 2 - CHUNK
    while left > 0:
        yield chunk[:left]
        left -= CHUNK


class Server:
    """The daemon of one store."""

    def __init__(
        self,
        store: Store,
        journal: Journal | None = None,
        log: Path | None = None,
        plan_file: PlanFile | None = None,
    ) -> None:
        self.store = store
        self.journal = journal
        self.plan = Plan()
        self.plan_file = plan_file
        self.hub = Hub(store)
        self.baseline = control.Baseline(store)
        self.loop: asyncio.AbstractEventLoop = asyncio.new_event_loop()
        self._log = -1
        if log is not None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._log = os.open(log, flags, 0o600)
        self._tasks: set[asyncio.Task[None]] = set()
        store.commit = self.commit

    def run(self, path: str) -> None:
        """Listen until a signal says stop."""
        listener = bind(path)
        identity = os.lstat(path).st_ino
        self.arm()
        if self.journal is not None:
            self.journal.save(dict(self.store.records()))
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(number, self.loop.stop)
        self.loop.add_signal_handler(signal.SIGHUP, self.arm)
        self.loop.add_reader(listener, self._accept, listener)
        print("ready", flush=True)
        try:
            self.loop.run_forever()
        finally:
            self.loop.remove_reader(listener)
            listener.close()
            self._end_tasks()
            if Path(path).exists() and os.lstat(path).st_ino == identity:
                os.unlink(path)
            if self.journal is not None:
                self.commit()
                self.journal.save(dict(self.store.records()))
                self.journal.close()

    def _end_tasks(self) -> None:
        """Calls that wait get no answer any more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            self.loop.run_until_complete(asyncio.wait(self._tasks))

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS_A_ROUND):
            try:
                sock, _address = listener.accept()
            except OSError:
                return
            sock.setblocking(False)
            if self.plan_file is not None and self.plan_file.changed():
                self.arm()
            Connection(self, sock).read()

    def arm(self) -> None:
        """Read the plan file, if there is one; a broken one is told and disarms."""
        if self.plan_file is None:
            return
        self.plan_file.changed()
        try:
            self.plan = self.plan_file.load()
        except FaultError as error:
            print(f"qubesd-sandbox: {error}", file=sys.stderr, flush=True)
            self.plan = Plan()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a call that takes its time."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def commit(self) -> None:
        """Put what was touched on file."""
        touched = self.store.touched
        if not touched:
            return
        self.baseline.changed |= touched
        if self.journal is not None:
            full = self.journal.append({name: self.store.record(name) for name in touched})
            if full:
                self.journal.save(dict(self.store.records()))
        touched.clear()

    def log(self, request: bytes, reply: bytes, started: float, fault: Fault | None = None) -> None:
        """One object for the connection, on file before it closes."""
        if self._log < 0:
            return
        entry: dict[str, Any] = {
            "request": repr(request),
            "reply": repr(reply),
            "duration": round(time.perf_counter() - started, 6),
        }
        if fault is not None:
            entry["fault"] = fault.kind
            entry["applied"] = fault.apply
        os.write(self._log, json.dumps(entry).encode() + b"\n")
