# SPDX-License-Identifier: GPL-3.0-or-later
"""Tags (exchanges 11, 46 and 235 to 243)."""

from __future__ import annotations

import string

from ..errors import DaemonError, permission_denied
from .registry import Call, lines, method

_CHARACTERS = frozenset(string.ascii_letters + string.digits + "-_")
_RESERVED = "created-by-"


def _tag(call: Call) -> str:
    if not _CHARACTERS.issuperset(call.arg):
        raise DaemonError("QubesInvalidTagError", "disallowed characters")
    return call.arg


def _writable_tag(call: Call) -> str:
    tag = _tag(call)
    if tag.startswith(_RESERVED):
        raise permission_denied("changing this tag is prohibited by qubes.ext.admin.AdminExtension")
    return tag


@method("admin.vm.tag.List")
def tag_list(call: Call) -> str:
    """All tags, sorted."""
    return lines(sorted(call.dest.tags))


@method("admin.vm.tag.Get", arg="needed")
def tag_get(call: Call) -> str:
    """1 or 0."""
    return "1" if _tag(call) in call.dest.tags else "0"


@method("admin.vm.tag.Set", arg="needed")
def tag_set(call: Call) -> None:
    """Set a tag; one that is set already is fine."""
    tag = _writable_tag(call)
    if tag not in call.dest.tags:
        call.dest.tags.add(tag)
        call.store.touch(call.dest.name)
        call.store.fire(call.dest.name, f"domain-tag-add:{tag}", tag=tag)


@method("admin.vm.tag.Remove", arg="needed")
def tag_remove(call: Call) -> None:
    """Remove a tag; one that is not set is an error."""
    tag = _writable_tag(call)
    if tag not in call.dest.tags:
        raise DaemonError(
            "QubesTagNotFoundError", f"Tag not set for domain {call.dest.name}: {tag}"
        )
    call.dest.tags.discard(tag)
    call.store.touch(call.dest.name)
    call.store.fire(call.dest.name, f"domain-tag-delete:{tag}", tag=tag)
