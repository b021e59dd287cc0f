# SPDX-License-Identifier: GPL-3.0-or-later
"""Values as the Admin API writes and reads them."""

from __future__ import annotations

import re
import string

from .errors import DaemonError, value_error

Value = str | int | bool | None

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*\Z")
_NAME_CHARACTERS = frozenset(string.ascii_letters + string.digits + "-_.")
_TRUE = frozenset(("1", "true", "yes", "on"))
_FALSE = frozenset(("0", "false", "no", "off"))


def check_name(name: str) -> str:
    """A qube's name, or the error that qubesd has for it (recorded at Create, Set and as a
    destination)."""
    if _NAME.match(name) and len(name) < 32 and name not in ("none", "default"):
        return name
    if len(name) >= 32:
        raise value_error("VM name must be shorter than 32 characters")
    if not name or not _NAME_CHARACTERS.issuperset(name):
        raise value_error("VM name contains illegal characters")
    if name in ("none", "default"):
        raise value_error("VM name cannot be 'none' nor 'default'")
    raise value_error("VM name cannot start with hyphen, underscore, dot or numbers")


def text_of(value: Value) -> str:
    """The value on the wire: null is empty."""
    return "" if value is None else str(value)


def escape(text: str) -> str:
    """GetAll's escaping, where a line is a property; Get sends the value raw."""
    if "\\" in text or "\n" in text:
        return text.replace("\\", "\\\\").replace("\n", "\\n")
    return text


def parse_int(text: str) -> int:
    """``04000`` is taken; ``4000.5``, ``abc`` and nothing are not."""
    try:
        return int(text)
    except ValueError:
        raise value_error("Failed to parse property value as int") from None


def parse_bool(text: str) -> bool:
    """``True``, ``yes``, ``1``, ``on`` and their opposites, in any case."""
    lower = text.lower()
    if lower in _TRUE:
        return True
    if lower in _FALSE:
        return False
    raise value_error(f"Invalid literal for boolean property: {text!r}")


def ascii_text(payload: bytes, kind: str, text: str) -> str:
    """The payload as text, or the error of the call that wants ASCII."""
    try:
        return payload.decode("ascii")
    except UnicodeDecodeError:
        raise DaemonError(kind, text) from None
