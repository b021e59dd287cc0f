# SPDX-License-Identifier: GPL-3.0-or-later
"""What a call can end in besides an answer.

qubesd tells its clients about the errors that it knows: a type, an empty traceback and a text.
Everything else - a call that it refuses, an exception that nobody expected - ends in zero bytes
and a closed connection.
"""

from __future__ import annotations


class DaemonError(Exception):
    """An error that qubesd names: ``2 NUL TYPE NUL NUL TEXT NUL``."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text


class Refused(Exception):
    """The call ends in zero bytes: the real daemon raised what it had no answer for."""


def protocol_error(text: str) -> DaemonError:
    """The request itself is wrong: its argument, destination or payload."""
    return DaemonError("ProtocolError", text)


def value_error(text: str) -> DaemonError:
    """A value that is no value of its type."""
    return DaemonError("QubesValueError", text)


def property_value_error(text: str) -> DaemonError:
    """A value of the right type that this property of this qube does not take."""
    return DaemonError("QubesPropertyValueError", text)


def permission_denied(text: str) -> DaemonError:
    """A name outside the set that the call may use, or a change that an extension forbids."""
    return DaemonError("PermissionDenied", text)


def no_such_domain(name: str) -> DaemonError:
    """The qube is not there."""
    return DaemonError("QubesVMNotFoundError", f"No such domain: {name!r}")


def not_halted(name: str) -> DaemonError:
    """The qube would have to be off."""
    return DaemonError("QubesVMNotHaltedError", f"Domain is not powered off: {name!r}")


def not_started(name: str) -> DaemonError:
    """The qube is off already."""
    return DaemonError("QubesVMNotStartedError", f"Domain is powered off: {name!r}")


def not_running(name: str) -> DaemonError:
    """The qube would have to run."""
    return DaemonError(
        "QubesVMNotRunningError", f"Domain not running (either powered off or paused): {name!r}"
    )
