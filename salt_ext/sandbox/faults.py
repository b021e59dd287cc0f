# SPDX-License-Identifier: GPL-3.0-or-later
"""The fault plan: what goes wrong, and when.

A plan is a JSON list of faults (or a mapping with the list under ``faults``). A fault has a
``kind``:

===============  ===================================================================================
``refused``      the connection is closed without an answer, before the request is read where the
                 fault does not ask for a request; the call is not carried out
``empty``        zero bytes, as qubesd answers what it cannot handle; not carried out
``half``         the first half of the reply; carried out
``garbage``      bytes that are no reply (``data`` in latin-1 replaces the default ones); carried out
``oversized``    a reply of ``size`` bytes (default 64 MiB and one); carried out
``error``        an error of the daemon: ``type`` and ``text``; not carried out
``delay``        the right reply, ``seconds`` late; carried out at once
``die-before``   the daemon is gone, as if killed, before the call is carried out
``die-after``    the same, after the call was carried out and its state saved; no reply
``kill-before``  the process that calls is killed instead of answered; not carried out
``kill-after``   the same, after the call was carried out
``meanwhile``    nothing goes wrong with the call, but somebody else's ``requests`` (whole ones, in
                 latin-1) come just before it; each has an entry of its own in the log, before the
                 call's, with this kind
===============  ===================================================================================

``apply`` (true or false) changes whether the call is carried out, for every kind that does not
say so itself by its name. When a fault strikes:

``at``         at the k-th connection since the plan was armed, counted from 1
``match``      at requests that begin with this text (latin-1, NUL as ``\\u0000``)
``nth``        with ``match``: from the n-th such request on (default 1)
``times``      how many connections in a row it strikes (default 1; 0: all from then on)

Without ``at`` and ``match`` it strikes from the first connection on. The first fault of the list
that strikes is the one. Control calls do not count as connections.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KINDS = {
    "refused": False, "empty": False, "half": True, "garbage": True, "oversized": True,
    "error": False, "meanwhile": True, "delay": True, "die-before": False, "die-after": True,
    "kill-before": False, "kill-after": True,
}  # fmt: skip
"""Kinds of faults, and whether the call is carried out."""

OVERSIZED = 64 * 1024 * 1024 + 1
GARBAGE = "\x07garbage\xff\xfe\x00no reply"


class FaultError(ValueError):
    """A plan that cannot be read."""


@dataclass
class Fault:
    """One thing that goes wrong."""

    kind: str
    at: int | None = None
    match: str | None = None
    nth: int = 1
    times: int = 1
    apply: bool | None = None
    size: int = OVERSIZED
    data: str = GARBAGE
    type: str = "QubesException"
    text: str = "injected fault"
    seconds: float = 0.0
    requests: list[str] = field(default_factory=list)
    seen: int = 0
    """Matching requests so far."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise FaultError(f"unknown kind of fault: {self.kind!r}")
        if self.apply is None:
            self.apply = KINDS[self.kind]

    @property
    def before_request(self) -> bool:
        """Whether the connection is closed before anything is read from it."""
        return self.kind == "refused" and self.match is None

    def strikes(self, count: int, request: bytes) -> bool:
        """Whether it is this connection's turn."""
        if self.match is not None:
            if not request.startswith(self.match.encode("latin-1")):
                return False
            self.seen += 1
            first, count = (self.nth, self.seen) if self.at is None else (self.at, count)
        else:
            first = 1 if self.at is None else self.at
        return count >= first and (not self.times or count < first + self.times)


class Plan:
    """The faults that are armed."""

    def __init__(self, faults: Any = None) -> None:
        if isinstance(faults, dict):
            faults = faults.get("faults", [])
        try:
            self.faults = [Fault(**fault) for fault in faults or []]
        except TypeError as error:
            raise FaultError(str(error)) from None
        self.count = 0

    def enter(self) -> int:
        """Count a connection; its number."""
        self.count += 1
        return self.count

    def before_request(self, count: int) -> Fault | None:
        """The fault that closes a connection unread, if there is one."""
        for fault in self.faults:
            if fault.before_request and fault.strikes(count, b""):
                return fault
        return None

    def at_request(self, count: int, request: bytes) -> Fault | None:
        """The fault of a connection whose request is there."""
        for fault in self.faults:
            if not fault.before_request and fault.strikes(count, request):
                return fault
        return None


class PlanFile:
    """A plan in a file, armed anew whenever the file changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None

    def changed(self) -> bool:
        """Whether the file is another one than at the last look."""
        try:
            status = os.stat(self.path)
        except OSError:
            found = None
        else:
            found = (status.st_mtime_ns, status.st_ino, status.st_size)
        changed, self._seen = found != self._seen, found
        return changed

    def load(self) -> Plan:
        """The plan; an empty one where there is no file."""
        try:
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            return Plan()
        try:
            return Plan(json.loads(text or "[]"))
        except ValueError as error:
            raise FaultError(f"{self.path}: {error}") from None
