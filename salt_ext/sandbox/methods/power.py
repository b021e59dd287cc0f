# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting and stopping (exchanges 14, 319 to 322, 330 to 338 and 373 to 377)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

from ..errors import DaemonError, not_running, not_started, protocol_error
from ..store import Assignment, Qube, Store
from .devices import attach_assigned
from .registry import Call, method

# -- start


@method("admin.vm.Start", dest="qube")
def start(call: Call) -> Awaitable[None] | None:
    """Start; one that runs is fine (exchange 320)."""
    if call.dest.power in ("Running", "Paused"):
        return None
    return bring_up(call.store, call.dest)


def bring_up(store: Store, qube: Qube) -> Awaitable[None] | None:
    """Start the qube and the netvms before it. Without a delay it is done at once."""
    if store.hardware.start_delay:
        return _bring_up_slowly(store, qube)
    _bring_up_now(store, qube)
    return None


def _netvm(store: Store, qube: Qube) -> Qube | None:
    """The netvm that has to run first."""
    netvm = qube.reference("netvm")
    return netvm if netvm is not None and netvm.is_halted else None


def _bring_up_now(store: Store, qube: Qube) -> None:
    attached = _prepare(store, qube)
    netvm = _netvm(store, qube)
    if netvm is not None:
        _bring_up_now(store, netvm)
    _run(store, qube, attached)


async def _bring_up_slowly(store: Store, qube: Qube) -> None:
    while qube.power == "Transient":
        await asyncio.sleep(0.01)
    if not qube.is_halted:
        return
    attached = _prepare(store, qube)
    qube.power = "Transient"
    try:
        netvm = _netvm(store, qube)
        if netvm is not None:
            await _bring_up_slowly(store, netvm)
        await asyncio.sleep(store.hardware.start_delay)
        if store.qubes.get(qube.name) is not qube or qube.power != "Transient":
            raise DaemonError("QubesException", f"{qube.name} was stopped while it started")
        _run(store, qube, attached)
    finally:
        if qube.power == "Transient":
            qube.power = "Halted"


def _prepare(store: Store, qube: Qube) -> list[Assignment]:
    """What can keep the qube from starting: no kernel, its devices, or too little memory."""
    store.fire(qube.name, "domain-pre-start", start_guid=True, mem_required=None)
    try:
        if qube.get("virt_mode") == "pvh" and not qube.get("kernel"):
            raise DaemonError("QubesException", "virt_mode PVH require kernel to be set")
        attached = attach_assigned(store, qube)
        used = sum(other.get("memory") for other in store.others("dom0") if not other.is_halted)
        if used + qube.get("memory") + store.hardware.dom0_memory > store.hardware.memory:
            raise DaemonError(
                "QubesMemoryError", f"Not enough memory to start domain {qube.name!r}"
            )
    except DaemonError as error:
        store.fire(qube.name, "domain-start-failed", reason=error.text)
        raise
    return attached


def _run(store: Store, qube: Qube, attached: list[Assignment]) -> None:
    qube.power = "Running"
    qube.xid = store.new_xid()
    qube.started = time.time()
    qube.attached = attached
    store.touch(qube.name)
    store.fire(qube.name, "domain-spawn", start_guid=True)
    store.fire(qube.name, "domain-start", start_guid=True)


# -- stop


def discard(store: Store, qube: Qube) -> None:
    """Strike a qube out and say so."""
    store.fire("", "domain-pre-delete", vm=qube.name)
    store.remove(qube.name)
    store.fire("", "domain-delete", vm=qube.name)


def bring_down(store: Store, qube: Qube) -> None:
    """The qube is off; a disposable that cleans up after itself goes away."""
    qube.power = "Halted"
    qube.xid = -1
    qube.started = 0.0
    qube.attached = []
    store.touch(qube.name)
    store.fire(qube.name, "domain-stopped")
    store.fire(qube.name, "domain-shutdown")
    if qube.klass == "DispVM" and qube.get("auto_cleanup"):
        discard(store, qube)


@method("admin.vm.Shutdown", dest="qube", arg="free")
def shutdown(call: Call) -> Awaitable[None] | None:
    """Ask the qube to shut down: ``force`` although qubes are behind it, ``wait`` until it is
    off. Without ``wait`` the answer comes at once and the qube is off after its delay."""
    words = call.arg.split("+") if call.arg else []
    if not {"force", "wait"}.issuperset(words):
        raise protocol_error("Argument must match: force, wait")
    store, qube = call.store, call.dest
    if qube.is_halted:
        raise not_started(qube.name)
    if "force" not in words:
        behind = [
            other.name for other in store.sorted()
            if "netvm" in other.table and not other.is_halted and other.get("netvm") == qube.name
        ]  # fmt: skip
        if behind:
            raise DaemonError(
                "QubesVMInUseError",
                f"There are other VMs connected to this VM: {', '.join(behind)}",
            )
    store.fire(qube.name, "domain-pre-shutdown", force="force" in words)
    delay = store.hardware.shutdown_delay
    if not delay:
        bring_down(store, qube)
        return None
    if "wait" not in words:
        asyncio.get_running_loop().call_later(delay, _down_if_up, store, qube, qube.xid)
        return None
    return _shutdown_and_wait(store, qube, delay)


def _down_if_up(store: Store, qube: Qube, xid: int) -> None:
    """The end of a shutdown, unless the qube was killed or started anew meanwhile."""
    if store.qubes.get(qube.name) is qube and qube.xid == xid:
        bring_down(store, qube)
        store.commit()


async def _shutdown_and_wait(store: Store, qube: Qube, delay: float) -> None:
    xid, timeout = qube.xid, qube.get("shutdown_timeout")
    asyncio.get_running_loop().call_later(delay, _down_if_up, store, qube, xid)
    await asyncio.sleep(min(delay, timeout))
    if delay > timeout and qube.xid == xid:
        raise DaemonError(
            "QubesVMShutdownTimeoutError", f"Domain shutdown timed out: {qube.name!r}"
        )
    _down_if_up(store, qube, xid)


@method("admin.vm.Kill", dest="qube")
def kill(call: Call) -> None:
    """Off, at once."""
    if call.dest.is_halted:
        raise not_started(call.dest.name)
    bring_down(call.store, call.dest)


@method("admin.vm.Pause", dest="qube")
def pause(call: Call) -> None:
    """Stop the qube's processors."""
    _switch(call, "Running", "Paused", "paused")


@method("admin.vm.Unpause", dest="qube")
def unpause(call: Call) -> None:
    """Let them run again."""
    if call.dest.power != "Paused":
        raise DaemonError("QubesVMNotPausedError", f"Domain is not paused: {call.dest.name!r}")
    _switch(call, "Paused", "Running", "unpaused")


def _switch(call: Call, before: str, after: str, event: str) -> None:
    qube = call.dest
    if qube.power != before:
        raise not_running(qube.name)
    call.store.fire(qube.name, f"domain-pre-{event}")
    qube.power = after
    call.store.touch(qube.name)
    call.store.fire(qube.name, f"domain-{event}")


# -- state


def memory_kib(qube: Qube) -> tuple[int, int]:
    """Memory now, and what balancing may reach."""
    if qube.is_halted:
        return 0, 0
    if qube.is_admin:
        memory = qube.store.hardware.dom0_memory * 1024
        return memory, memory
    return qube.get("memory") * 1024, qube.get("maxmem") * 1024


def cpu_nanoseconds(qube: Qube) -> int:
    """Processor time; the sandbox's qubes are always a little busy."""
    since = time.time() - qube.started if not qube.is_admin else time.monotonic()
    return 0 if qube.is_halted else int(since * 50_000_000)


@method("admin.vm.CurrentState")
def current_state(call: Call) -> str:
    """Memory in KiB, processor time in nanoseconds, and the power state."""
    memory, maximum = memory_kib(call.dest)
    fields: dict[str, Any] = {
        "mem": memory,
        "mem_static_max": maximum,
        "cputime": cpu_nanoseconds(call.dest),
        "power_state": call.dest.power,
    }
    return " ".join(f"{key}={value}" for key, value in fields.items())
