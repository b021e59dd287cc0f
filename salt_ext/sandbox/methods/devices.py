# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices: what dom0 offers, what is assigned, what is attached (exchanges 253 to 329, 365 to 376).

The daemon checks little, and so does the sandbox: identities that are not the device's, ports that
are not there and one device for several qubes are all taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from ..errors import DaemonError, Refused, not_running, protocol_error
from ..pci import ANY_DEVICE, UNKNOWN_DEVICE, PciDevice
from ..store import DOM0, Assignment, Qube, Store
from .registry import Call, method

DEVICE_CLASSES = ("block", "pci")
"""Only dom0's own classes: no extension for usb or mic is installed (exchange 259)."""

MODES = ("manual", "ask-to-attach", "auto-attach", "required")
_KEYS = ("device_id", "port_id", "devclass", "backend_domain", "mode", "frontend_domain")
_KEY_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


class Target(NamedTuple):
    """The device that an argument names."""

    backend: str
    port: str
    device_id: str

    def __str__(self) -> str:
        return f"{self.backend}:{self.port}:{self.device_id}"


# -- syntax


def parse_target(store: Store, arg: str) -> Target:
    """``BACKEND+PORT`` or ``BACKEND+PORT+IDENTITY``.

    The identity's colons are written as plus signs, and ``*`` and ``?`` as underscores, because
    neither may stand in an argument (exchanges 261, 279 and 371). A port has no colon, and the
    backend has to be there.
    """
    backend, _, rest = arg.partition("+")
    port, _, identity = rest.partition("+")
    if not port or ":" in port or backend not in store.qubes:
        raise Refused(f"no such device: {arg}")
    identity = identity.replace("+", ":")
    if identity.endswith("_______"):
        identity = identity[: -len("_______")] + "?******"
    return Target(backend, port, identity.replace("_", "*") or ANY_DEVICE)


def parse_properties(payload: str) -> dict[str, str]:
    """``key='value' …``, a quote inside a value with a backslash before it."""
    found: dict[str, str] = {}
    rest = payload.lstrip(" ")
    while rest:
        key, opening, rest = rest.partition("='")
        if invalid := set(key) - _KEY_CHARACTERS:
            raise protocol_error(f"Invalid chars in property name: {invalid}")
        value, rest = _quoted(rest)
        if not opening or value is None or key in found:
            raise Refused(f"bad device properties: {payload!r}")
        found[key] = value
        rest = rest.lstrip(" ")
    return found


_QUOTED = re.compile(r"((?:[^'\\]|\\.)*)'", re.DOTALL)


def _quoted(text: str) -> tuple[str | None, str]:
    """The text up to the closing quote, and what follows it."""
    match = _QUOTED.match(text)
    if not match:
        return None, ""
    return re.sub(r"\\(.)", r"\1", match[1], flags=re.DOTALL), text[match.end() :]


def quote(value: str) -> str:
    """A value as a property."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def properties_text(properties: dict[str, str]) -> str:
    """Properties in their order."""
    return " ".join(f"{key}={quote(value)}" for key, value in properties.items())


# -- listings


def available_line(device: PciDevice, store: Store) -> str:
    """One device of dom0."""
    hardware = store.hardware
    identity = device.identity if hardware.identities else ANY_DEVICE
    properties = {
        "device_id": identity,
        "port_id": device.port,
        "devclass": "pci",
        "backend_domain": DOM0,
        "vendor": device.vendor_name,
        "product": device.product,
        "interfaces": device.interface,
    }
    if not hardware.plain_ports:
        properties["_sbdf"] = device.sbdf
    return f"{device.port}:{identity} {properties_text(properties)}\n"


def assignment_line(entry: Assignment) -> str:
    """One assigned or attached device."""
    properties = {
        "device_id": entry.device_id,
        "port_id": entry.port,
        "devclass": entry.devclass,
        "backend_domain": entry.backend,
        "mode": entry.mode,
    }
    if entry.frontend is not None:
        properties["frontend_domain"] = entry.frontend
    properties.update((f"_{key}", value) for key, value in entry.options.items())
    head = f"{entry.backend}+{entry.port}:{entry.device_id}"
    return f"{head} {properties_text(properties)}\n"


def _listing(call: Call, devclass: str, entries: list[Assignment]) -> str:
    found = [entry for entry in entries if entry.devclass == devclass]
    if call.arg:
        target = parse_target(call.store, call.arg)
        found = [e for e in found if (e.backend, e.port) == (target.backend, target.port)]
    return "".join(sorted(map(assignment_line, found)))


def device_available(call: Call, devclass: str) -> str:
    """What the qube offers: all of dom0's PCI devices, or the one in a port."""
    if devclass != "pci" or not call.dest.is_admin:
        return ""
    hardware = call.store.hardware
    if call.arg:
        found = hardware.by_port.get(call.arg.partition("+")[0])
        return available_line(found, call.store) if found else ""
    return "".join(sorted(available_line(device, call.store) for device in hardware.devices))


def device_assigned(call: Call, devclass: str) -> str:
    """What the qube gets when it starts."""
    return _listing(call, devclass, call.dest.assigned)


def device_attached(call: Call, devclass: str) -> str:
    """What the qube has now."""
    return _listing(call, devclass, call.dest.attached)


# -- changes


def parse_assignment(call: Call, devclass: str, mode: str) -> Assignment:
    """The assignment that argument and payload describe together."""
    target = parse_target(call.store, call.arg)
    try:
        given = parse_properties(call.payload.decode("ascii"))
    except UnicodeDecodeError:
        raise Refused("device properties are ASCII") from None
    options = {key[1:]: value for key, value in given.items() if key.startswith("_")}
    known = {key: value for key, value in given.items() if not key.startswith("_")}
    if not set(known) <= set(_KEYS):
        raise Refused(f"unknown device properties: {sorted(known)}")
    for key, wanted, what in (
        ("device_id", target.device_id, "identity"),
        ("port_id", target.port, "port"),
        ("backend_domain", target.backend, "backend"),
        ("devclass", devclass, "class"),
    ):
        if known.get(key, wanted) != wanted:
            raise protocol_error(f"Unrecognized device {what} {known[key]!r} expected {wanted!r}")
    mode = known.get("mode", mode)
    if mode not in MODES:
        raise protocol_error(f"{mode!r} is not a valid AssignmentMode")
    return Assignment(
        devclass, target.backend, target.port, target.device_id, mode,
        known.get("frontend_domain"), options,
    )  # fmt: skip


def find(entries: list[Assignment], devclass: str, target: Target) -> Assignment | None:
    """The assignment of just this port and identity."""
    for entry in entries:
        if entry.devclass == devclass and entry.key == tuple(target):
            return entry
    return None


def find_device(store: Store, entry: Assignment | Target) -> PciDevice | None:
    """The device in an assignment's port."""
    return store.hardware.by_port.get(entry.port) if entry.backend == DOM0 else None


def device_assign(call: Call, devclass: str) -> None:
    """Assign a device.

    A port that is not there is taken with any identity or with the unknown one (exchanges 297 and
    371), but ends in zero bytes with a real one (296); so does the mode of a live attachment (287).
    """
    if not call.payload:
        raise protocol_error("expected payload")
    entry = parse_assignment(call, devclass, "required")
    if entry.mode == "manual":
        raise Refused("manual is no mode of an assignment")
    if entry.device_id not in (ANY_DEVICE, UNKNOWN_DEVICE) and not find_device(call.store, entry):
        raise Refused(f"no device in {entry.port}")
    if any(entry.key == other.key for other in call.dest.assignments(devclass)):
        raise DaemonError(
            "DeviceAlreadyAssigned",
            repr(f"{devclass} device {entry} already assigned to {call.dest.name}"),
        )
    call.dest.assigned.append(entry)
    call.store.touch(call.dest.name)
    call.store.fire(
        call.dest.name, f"device-assign:{devclass}", device=str(entry), options=entry.options
    )


def _assigned(call: Call, devclass: str) -> Assignment:
    target = parse_target(call.store, call.arg)
    entry = find(call.dest.assigned, devclass, target)
    if entry is None:
        raise DaemonError(
            "DeviceNotAssigned",
            repr(f"{devclass} device {target} not assigned to {call.dest.name}"),
        )
    return entry


def device_unassign(call: Call, devclass: str) -> None:
    """Drop an assignment; the identity has to be the stored one (exchange 314). An attached device
    stays attached until the qube is off."""
    entry = _assigned(call, devclass)
    call.dest.assigned.remove(entry)
    call.store.touch(call.dest.name)
    call.store.fire(call.dest.name, f"device-unassign:{devclass}", device=str(entry))


def device_set_assignment(call: Call, devclass: str) -> None:
    """Change an assignment's mode."""
    mode = call.payload.decode("ascii", "replace")
    if mode not in MODES or mode == "manual":
        raise DaemonError("QubesUnrecognizedDeviceAssignmentMode", "Invalid assignment mode")
    entry = _assigned(call, devclass)
    entry.mode = mode
    call.store.touch(call.dest.name)
    call.store.fire(call.dest.name, f"device-assignment-changed:{devclass}", device=str(entry))


def device_attach(call: Call, devclass: str) -> None:
    """Attach to a running qube."""
    entry = parse_assignment(call, devclass, "manual")
    qube = call.dest
    if qube.is_halted:
        raise DaemonError(
            "QubesVMNotRunningError",
            "VM not running, cannot attach device, do you mean `assign`?",
        )
    device = find_device(call.store, entry)
    if device is None:
        raise DaemonError("QubesException", f"Pci device {entry} not available")
    if any(entry.port == other.port for other in qube.attached):
        raise DaemonError(
            "DeviceAlreadyAttached",
            repr(f"{devclass} device {entry} already attached to {qube.name}"),
        )
    check_free(call.store, qube, device)
    entry.device_id = device.identity
    qube.attached.append(entry)
    call.store.touch(qube.name)
    call.store.fire(
        qube.name, f"device-attach:{devclass}", device=str(entry), options=entry.options
    )


def device_detach(call: Call, devclass: str) -> None:
    """Take a device from a running qube; not one that it requires."""
    target = parse_target(call.store, call.arg)
    qube = call.dest
    if qube.is_halted:
        raise not_running(qube.name)
    for entry in qube.attached:
        if entry.devclass == devclass and (entry.backend, entry.port) == target[:2]:
            break
    else:
        raise DaemonError(
            "DeviceNotAttached", repr(f"{devclass} device {target} not attached to {qube.name}")
        )
    if any(other.port == entry.port and other.mode == "required" for other in qube.assigned):
        raise DaemonError(
            "QubesVMNotHaltedError",
            "Can not detach a required device from a non halted qube. "
            "You need to unassign device first.",
        )
    qube.attached.remove(entry)
    call.store.touch(qube.name)
    call.store.fire(qube.name, f"device-detach:{devclass}", device=str(entry))


def check_free(store: Store, qube: Qube, device: PciDevice) -> None:
    """No other running qube may hold the device."""
    for other in store.others(qube.name):
        if any(entry.port == device.port for entry in other.attached):
            raise DaemonError(
                "QubesException",
                f"Requested operation is not valid: PCI device {device.sbdf} is in use by "
                f"driver xenlight, domain {other.name}",
            )


def attach_assigned(store: Store, qube: Qube) -> list[Assignment]:
    """What a qube gets as it starts, or why it cannot start (exchange 373)."""
    attached = []
    for entry in qube.assignments("pci"):
        device = find_device(store, entry)
        known = (ANY_DEVICE, device.identity) if device is not None else ()
        if device is None or (store.hardware.identities and entry.device_id not in known):
            if entry.mode != "required":
                continue
            raise DaemonError("QubesException", f"Pci device {entry} not available")
        check_free(store, qube, device)
        identity = device.identity if entry.device_id == ANY_DEVICE else entry.device_id
        attached.append(Assignment(**{**vars(entry), "device_id": identity}))
    return attached


# -- interfaces that a qube refuses


def _interfaces(text: str) -> list[str]:
    """Interfaces are seven characters each, written without a separator."""
    if len(text) % 7:
        raise DaemonError("QubesValueError", f"Invalid device interface: {text!r}")
    return [text[index : index + 7] for index in range(0, len(text), 7)]


@method("admin.vm.device.denied.List")
def denied_list(call: Call) -> str:
    """The denied interfaces."""
    return "\n".join(sorted(_interfaces(call.dest.get("devices_denied"))))


def _denied_change(call: Call, change: Callable[[set[str], set[str]], set[str]]) -> None:
    denied = set(_interfaces(call.dest.get("devices_denied")))
    given = set(_interfaces(call.payload.decode("ascii", "replace")))
    call.dest.props["devices_denied"] = "".join(sorted(change(denied, given)))
    call.store.touch(call.dest.name)


@method("admin.vm.device.denied.Add", payload=True)
def denied_add(call: Call) -> None:
    """Deny more."""
    _denied_change(call, lambda denied, given: denied | given)


@method("admin.vm.device.denied.Remove", payload=True)
def denied_remove(call: Call) -> None:
    """Deny less; ``all`` denies nothing more."""
    if call.payload == b"all":
        call = call._replace(payload="".join(call.dest.get("devices_denied")).encode())
    _denied_change(call, lambda denied, given: denied - given)


def _register() -> None:
    """Every operation of every class is a method of its own."""

    def bind(run: Callable[[Call, str], str | None], devclass: str) -> Callable[[Call], str | None]:
        return lambda call: run(call, devclass)

    for devclass in DEVICE_CLASSES:
        for name, run, payload, arg in (
            ("Available", device_available, False, "free"),
            ("Assigned", device_assigned, False, "free"),
            ("Attached", device_attached, False, "free"),
            ("Assign", device_assign, True, "needed"),
            ("Unassign", device_unassign, False, "needed"),
            ("Set.assignment", device_set_assignment, True, "needed"),
            ("Attach", device_attach, True, "needed"),
            ("Detach", device_detach, False, "needed"),
        ):
            method(f"admin.vm.device.{devclass}.{name}", payload=payload, arg=arg)(
                bind(run, devclass)
            )


_register()
