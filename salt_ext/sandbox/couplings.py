# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that the daemon keeps in step with others.

The tags of guivm and audiovm and the clock's feature show in the recording (exchanges 46, 235 and
233: sys-net has service.clocksync because it is the clockvm); the switched-off meminfo-writer is
described in the measurements; servicevm is the daemon's documented behaviour.
"""

from __future__ import annotations

from .store import Qube, Store

MEMINFO_WRITER = "service.meminfo-writer"
CLOCK = "service.clocksync"


def sync_guest_tags(qube: Qube) -> None:
    """Give the qube the tags that name its guivm and audiovm."""
    for prop in ("guivm", "audiovm"):
        if prop not in qube.table:
            continue
        value = qube.get(prop)
        wanted = {f"{prop}-{value}"} if value else set()
        stale = {tag for tag in qube.tags if tag.startswith(f"{prop}-")}
        if stale != wanted:
            qube.tags = (qube.tags - stale) | wanted
            qube.store.touch(qube.name)


def sync_service_qube(qube: Qube) -> None:
    """A qube that provides network carries the feature that makes its icon."""
    if "provides_network" not in qube.table:
        return
    if qube.get("provides_network"):
        qube.features["servicevm"] = "1"
    else:
        qube.features.pop("servicevm", None)


def sync_clock(store: Store, previous: str | None) -> None:
    """The qube that keeps the time, and only it, carries the feature."""
    current = store.get("clockvm")
    if previous == current:
        return
    if previous in store.qubes and store.qubes[previous].features.pop(CLOCK, None) is not None:
        store.touch(previous)
    if current in store.qubes:
        store.qubes[current].features.setdefault(CLOCK, "1")
        store.touch(current)


def after_property(owner: Qube | Store, name: str, previous: object) -> None:
    """What follows from a property that was set or reset."""
    if isinstance(owner, Store):
        if name == "clockvm":
            sync_clock(owner, previous if isinstance(previous, str) else None)
        elif name in ("default_guivm", "default_audiovm"):
            for qube in owner.qubes.values():
                sync_guest_tags(qube)
    elif name in ("guivm", "audiovm"):
        sync_guest_tags(owner)
    elif name == "provides_network":
        sync_service_qube(owner)


def after_feature(qube: Qube, name: str) -> None:
    """What follows from a feature that was set: a meminfo-writer that is switched off becomes
    maxmem 0, and the feature goes away."""
    if name != MEMINFO_WRITER or qube.features[name] or "maxmem" not in qube.table:
        return
    del qube.features[name]
    qube.props["maxmem"] = 0
    fire = qube.store.fire
    fire(qube.name, f"domain-feature-delete:{name}", feature=name)
    fire(qube.name, "property-set:maxmem", name="maxmem", newvalue=0)
