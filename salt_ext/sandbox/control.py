# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls to the sandbox itself, over the same socket; none of them is ever logged or counted.

``sandbox.Snapshot``  keep the store as it is now; what Reset goes back to
``sandbox.Reset``     back to the snapshot (to the start, without one): costs what was changed
``sandbox.Faults``    arm the fault plan of the payload (JSON); an empty payload disarms
``sandbox.State``     the whole store as JSON, under each qube's name; the globals under ``""``

The frame is the Admin API's. A call that cannot be done answers ``SandboxError``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .errors import DaemonError
from .faults import FaultError, Plan
from .frame import Request, parse_request, reply_error, reply_ok
from .store import Record, Store

if TYPE_CHECKING:
    from .server import Server

PREFIX = b"sandbox."


class Baseline:
    """The store as it was, and the names of what changed since."""

    def __init__(self, store: Store) -> None:
        self.changed: set[str] = set()
        self.take(store)

    def take(self, store: Store) -> None:
        """What is now is what Reset goes back to."""
        self.records: dict[str, Record] = store.records()
        self.order = list(store.volume_order)
        self.changed.clear()

    def restore(self, store: Store) -> None:
        """Go back."""
        for name in self.changed:
            store.restore(name, self.records.get(name))
        store.volume_order = list(self.order)
        store.tokens.clear()


def is_control(request: bytes) -> bool:
    """Whether a request is for the sandbox and not for qubesd."""
    return request.startswith(PREFIX)


def answer(server: Server, request: bytes) -> bytes:
    """Carry out a control call."""
    try:
        return reply_ok(_run(server, parse_request(request)).encode())
    except (FaultError, json.JSONDecodeError) as error:
        return reply_error(DaemonError("SandboxError", str(error)))


def _run(server: Server, request: Request) -> str:
    store = server.store
    if request.method == "sandbox.Snapshot":
        server.commit()
        server.baseline.take(store)
    elif request.method == "sandbox.Reset":
        server.baseline.restore(store)
        server.commit()
        server.baseline.changed.clear()
    elif request.method == "sandbox.Faults":
        server.plan = Plan(json.loads(request.payload or b"[]"))
    elif request.method == "sandbox.State":
        return json.dumps(store.records())
    else:
        raise FaultError(f"no such method: {request.method}")
    return ""
