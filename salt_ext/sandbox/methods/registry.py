# SPDX-License-Identifier: GPL-3.0-or-later
"""Admin API methods by name, and what each asks of its call.

The order of the checks is the daemon's: source, destination, method, a payload where none belongs,
the kind of destination, the argument, and then the method's own (exchanges 130, 211 to 216, 243,
250, 290 and 349 to 354).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from ..errors import protocol_error
from ..frame import Request
from ..store import Qube, Store


class Stream:
    """The answer of a method that keeps its connection open for events of one subject (of all,
    for dom0)."""

    def __init__(self, kind: str, subject: str | None) -> None:
        self.kind = kind
        self.subject = subject


class Call(NamedTuple):
    """A request whose source and destination are known."""

    store: Store
    source: Qube
    dest: Qube
    method: str
    arg: str
    payload: bytes


Answer = str | Stream | Awaitable[Any] | None
Handler = Callable[[Call], Answer]


class Method(NamedTuple):
    """A method and what is checked before it runs."""

    run: Handler
    payload: bool
    dest: str
    arg: str


METHODS: dict[str, Method] = {}


def method(
    name: str, *, payload: bool = False, dest: str = "any", arg: str = "none"
) -> Callable[[Handler], Handler]:
    """Register a method.

    ``payload``: whether one may come (the method itself says whether it has to). ``dest``:
    ``any``, ``dom0`` or ``qube`` (any but dom0). ``arg``: ``none``, ``needed`` or ``free``.
    """

    def register(run: Handler) -> Handler:
        METHODS[name] = Method(run, payload, dest, arg)
        return run

    return register


def dispatch(store: Store, request: Request) -> Answer:
    """Look everything up, check it, and run the method."""
    source = store.find(request.source)
    dest = store.find(request.destination)
    found = METHODS.get(request.method)
    if found is None:
        raise protocol_error(f"no such method: {request.method!r}")
    if request.payload and not found.payload:
        raise protocol_error("unexpected payload")
    if found.dest != "any" and dest.is_admin != (found.dest == "dom0"):
        wanted = "be" if found.dest == "dom0" else "not be"
        raise protocol_error(f"expected destination to {wanted} AdminVM")
    if found.arg == "none" and request.arg:
        raise protocol_error("unexpected argument")
    if found.arg == "needed" and not request.arg:
        raise protocol_error("expected an argument")
    return found.run(Call(store, source, dest, request.method, request.arg, request.payload))


def lines(names: Any) -> str:
    """A listing: each name with its newline."""
    return "".join(f"{name}\n" for name in names)
