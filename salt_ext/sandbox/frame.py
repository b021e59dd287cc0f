# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests and replies as bytes: ``METHOD+ARG SRC name DEST NUL PAYLOAD`` and what comes back."""

from __future__ import annotations

from typing import NamedTuple

from .errors import DaemonError, Refused

REQUEST_LIMIT = 65536
"""A request over this size, header and payload together, is dropped."""


class Request(NamedTuple):
    """One request, taken apart but not yet looked up."""

    method: str
    arg: str
    source: str
    destination: str
    payload: bytes


def parse_request(data: bytes) -> Request:
    """Take a request apart.

    A header without its NUL, with a field missing or with an unknown kind of destination ends the
    connection without an answer. A blank in METHOD+ARG shifts the fields and ends the same way;
    one in the destination does not (it is the last field, and no valid name).
    """
    header, nul, payload = data.partition(b"\0")
    fields = header.split(b" ", 3)
    if not nul or len(fields) < 4:
        raise Refused("no header")
    try:
        call, source, kind, destination = (field.decode("ascii") for field in fields)
    except UnicodeDecodeError:
        raise Refused("a header that is not ASCII") from None
    if kind == "keyword" and destination == "adminvm":
        destination = "dom0"
    elif kind != "name":
        raise Refused("unknown kind of destination")
    method, _, arg = call.partition("+")
    return Request(method, arg, source, destination, payload)


def reply_ok(data: bytes) -> bytes:
    """An answer."""
    return b"0\0" + data


def reply_error(error: DaemonError) -> bytes:
    """An error with its type and text; the traceback is left empty as by a release daemon."""
    text = error.text.replace("\0", "")
    return f"2\0{error.kind}\0\0{text}\0".encode("utf-8", "surrogateescape")


def event_frame(subject: str, event: str, details: dict[str, object]) -> bytes:
    """One event of a stream; the subject is empty for events of the system itself."""
    parts = ["1", subject, event]
    for key, value in details.items():
        parts.append(key)
        parts.append(str(value))
    parts.append("\0")
    return "\0".join(parts).encode("utf-8", "surrogateescape")
