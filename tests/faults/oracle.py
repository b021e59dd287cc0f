# SPDX-License-Identifier: GPL-3.0-or-later
"""What a state must have reported, told from the sandbox's log and the undisturbed run alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from saltext.qvm_gpu.sandbox.harness import Logged

Leaves = dict[tuple[str, ...], dict[str, Any]]

POWER = {"Start", "Shutdown", "Kill", "Pause", "Unpause"}


def leaves(changes: dict[str, Any], path: tuple[str, ...] = ()) -> Leaves:
    """Path > {old, new}; lists without their order, which is the daemon's."""
    if set(changes) == {"old", "new"}:
        return {path: {key: _sorted(value) for key, value in changes.items()}}
    return {
        inner: change
        for key, value in changes.items()
        for inner, change in leaves(value, (*path, key)).items()
    }


def _sorted(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


def applied(call: Logged) -> bool:
    """Whether the daemon did what it was asked."""
    if call.applied is not None:
        return call.applied
    return call.reply.startswith((b"0\0", b"1\0"))


def keys_of(call: Logged) -> tuple[str, ...]:
    """What the change that the call makes may be called; nothing where it has no name of its own."""
    what = call.method.removeprefix("admin.vm.")
    if what.startswith("Create."):
        return (dict(pair.split("=", 1) for pair in call.payload.decode().split(" "))["name"],)
    if what.startswith("property."):
        return (call.arg,)
    if what.startswith("feature."):
        return (call.arg.removeprefix("service."),)
    if what == "volume.Resize":
        return (call.arg,)
    if what.startswith("tag."):
        return ("qvm.tags",)
    if what.startswith("device.pci."):
        port = _port(call)
        return (f"pci:dom0:{port}", port, "pcidevs")
    if what == "firewall.Set":
        return ("qvm.firewall",)
    if what == "Remove":
        return (call.dest,)
    return ("power_state",) if what in POWER else ()


def _port(call: Logged) -> str:
    return re.sub(r"^dom0\+([^+]*).*", r"\1", call.arg)


def path_of(call: Logged, paths: Iterable[tuple[str, ...]]) -> tuple[str, ...] | None:
    """Which of the undisturbed run's changes the call makes."""
    own = [path for path in paths if path[0] != "qvm_gpu.attached" or path[1] == call.dest]
    return next((path for key in keys_of(call) for path in own if path[-1] == key), None)


def expected(calls: Iterable[Logged], whole: dict[str, Any], clones: int) -> Leaves:
    """The changes of the applied calls. ``whole``: the undisturbed run's changes. ``clones``: how
    many volumes its creation copies; what is written until then belongs to the creation."""
    all_leaves = leaves(whole)
    out: Leaves = {}
    copying = 0
    for call in calls:
        if not (call.writing and applied(call)):
            continue
        if call.method == "admin.vm.volume.CloneTo":
            copying -= 1
            continue
        path = path_of(call, all_leaves)
        if call.method == "admin.vm.Remove" and path and "qvm.absent" not in path:
            out = {}  # a creation that was undone
            continue
        if path is None or copying:
            continue
        out[path] = _change(out.get(path), all_leaves[path], call)
        if call.method.startswith("admin.vm.Create."):
            copying = clones
    return out


def _change(sofar: dict[str, Any] | None, final: dict[str, Any], call: Logged) -> dict[str, Any]:
    """One more item of a list, or the whole value."""
    if not isinstance(final["new"], list):
        return final
    items = set((sofar or {"new": final["old"]})["new"])
    item = _port(call) if call.method.startswith("admin.vm.device.") else call.arg
    items = {
        one for one in items if one.split(" ")[0] != item
    }  # a port may have its options behind
    if call.method.endswith((".Set", ".Assign")):
        items.add(next((one for one in final["new"] if one.split(" ")[0] == item), item))
    return {"old": final["old"], "new": sorted(items)}


def looks_whole(call: Logged) -> bool:
    """Whether half of this call's reply is a reply that nobody can tell from a whole one: raw
    values end with the connection, and lists may be cut at the end of a line."""
    half = call.reply
    if not half.startswith(b"0\0"):
        return False
    if call.method in ("admin.vm.feature.Get", "admin.vm.notes.Get"):
        return True
    lines = call.method.endswith((".List", ".Get", ".GetAll", ".Available", ".Assigned"))
    return lines and (half == b"0\0" or half.endswith(b"\n"))
