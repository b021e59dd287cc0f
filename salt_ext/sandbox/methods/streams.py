# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls that stay open: events and statistics (exchanges 359 and 363)."""

from __future__ import annotations

from ..frame import event_frame
from ..store import Store
from .power import cpu_nanoseconds, memory_kib
from .registry import Call, Stream, method

CONNECTED = event_frame("", "connection-established", {})


@method("admin.Events")
def events(call: Call) -> Stream:
    """All events for dom0, the qube's own for a qube."""
    return Stream("events", None if call.dest.is_admin else call.dest.name)


@method("admin.vm.Stats")
def stats(call: Call) -> Stream:
    """Figures of the running qubes, every few seconds."""
    return Stream("stats", None if call.dest.is_admin else call.dest.name)


def stats_frames(store: Store, subject: str | None) -> bytes:
    """One round of figures, in the order of Xen's numbers."""
    running = [
        qube for qube in store.qubes.values()
        if not qube.is_halted and subject in (None, qube.name)
    ]  # fmt: skip
    running.sort(key=lambda qube: qube.xid)
    frames = []
    for qube in running:
        memory, maximum = memory_kib(qube)
        details = {
            "memory_kb": memory,
            "memory_assigned_total": maximum or memory,
            "memory_assigned_usable": memory,
            "memory_with_swap_used": memory,
            "cpu_time": cpu_nanoseconds(qube) // 1_000_000,
            "cpu_usage": 0,
            "online_vcpus": store.hardware.cpus if qube.is_admin else qube.get("vcpus"),
        }
        frames.append(event_frame(qube.name, "vm-stats", details))
    return b"".join(frames)
