# SPDX-License-Identifier: GPL-3.0-or-later
"""What properties take: the payload becomes a value, or the error that qubesd has for it.

Every parser gets the owner (a qube, or the store for global properties), the property and the
payload as text. Types, texts and canonical forms are those of exchanges 148 to 206 and 268.
"""

from __future__ import annotations

import ipaddress
import re
import string
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import DaemonError, Refused, property_value_error, value_error
from .values import Value, check_name, parse_bool, parse_int

if TYPE_CHECKING:
    from .properties import Property

Parser = Callable[[Any, "Property", str], Value]

USER_CHARACTERS = string.ascii_letters + string.digits + "_-+,."
VIRT_MODES = ("hvm", "pv", "pvh")

_MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}\Z")


def text(owner: Any, prop: Property, payload: str) -> Value:
    """Any text."""
    return payload


def boolean(owner: Any, prop: Property, payload: str) -> Value:
    """A truth value."""
    return parse_bool(payload)


def integer(owner: Any, prop: Property, payload: str) -> Value:
    """Any number."""
    return parse_int(payload)


def positive(owner: Any, prop: Property, payload: str) -> Value:
    """A number above zero; there is no upper bound (999 CPUs are taken, exchange 160)."""
    value = parse_int(payload)
    if value <= 0:
        raise property_value_error(f"{prop.name} must be positive")
    return value


def not_negative(owner: Any, prop: Property, payload: str) -> Value:
    """A number, or zero."""
    value = parse_int(payload)
    if value < 0:
        raise property_value_error(f"{prop.name} must not be negative")
    return value


def unique_id(owner: Any, prop: Property, payload: str) -> Value:
    """A uuid."""
    try:
        return str(uuid.UUID(payload))
    except ValueError:
        raise value_error("Failed to parse property value as UUID") from None


def user_name(owner: Any, prop: Property, payload: str) -> Value:
    """A user's name."""
    if not set(payload).issubset(USER_CHARACTERS):
        raise property_value_error(f"Username can contain only those characters: {USER_CHARACTERS}")
    return payload


def virt_mode(owner: Any, prop: Property, payload: str) -> Value:
    """One of three, in any case; not pvh beside PCI devices."""
    value = payload.lower()
    if value not in VIRT_MODES:
        modes = ", ".join(VIRT_MODES)
        raise property_value_error(f"Invalid virtualization mode, supported values: {modes}")
    if value == "pvh" and owner.has_pci:
        raise property_value_error("pvh mode can't be set if pci devices are assigned")
    return value


def kernel(owner: Any, prop: Property, payload: str) -> Value:
    """An installed kernel, or nothing for none."""
    if "/" in payload:
        raise property_value_error("Kernel name cannot contain '/'")
    if payload and payload not in owner.store.hardware.kernels:
        raise property_value_error(f"Kernel {payload!r} not installed")
    return payload


def label(owner: Any, prop: Property, payload: str) -> Value:
    """A label's name, or its index."""
    labels = owner.store.labels
    if payload in labels:
        return payload
    for name, (index, _colour) in labels.items():
        if str(index) == payload:
            return name
    raise DaemonError("QubesLabelNotFoundError", f"Label does not exist: {payload}")


def pool(owner: Any, prop: Property, payload: str) -> Value:
    """A storage pool."""
    if payload not in owner.store.pools:
        raise DaemonError("QubesException", f"Unknown storage pool {payload}")
    return payload


def mac(owner: Any, prop: Property, payload: str) -> Value:
    """A MAC address; a bad one ends in zero bytes (exchange 200)."""
    if not _MAC.match(payload):
        raise Refused("not a MAC address")
    return payload.lower()


def ip4(owner: Any, prop: Property, payload: str) -> Value:
    """An address; a bad one ends as a bad MAC address does."""
    try:
        return str(ipaddress.IPv4Address(payload))
    except ValueError:
        raise Refused("not an address") from None


def ip6(owner: Any, prop: Property, payload: str) -> Value:
    """An IPv6 address; a bad one ends as a bad MAC address does."""
    try:
        return str(ipaddress.IPv6Address(payload))
    except ValueError:
        raise Refused("not an address") from None


def any_qube(owner: Any, prop: Property, payload: str) -> Value:
    """A qube, or nothing for none."""
    if not payload:
        return None
    check_name(payload)
    if payload not in owner.store.qubes:
        raise property_value_error(f"Can't set {prop.name} to non-existing qube {payload}")
    return payload


def netvm(owner: Any, prop: Property, payload: str) -> Value:
    """A qube that provides network, and is not behind this one."""
    value = any_qube(owner, prop, payload)
    if value is None:
        return None
    qube = owner.store.qubes[value]
    if "provides_network" not in qube.table or not qube.get("provides_network"):
        raise value_error(f"The {value} qube does not provide network")
    while qube is not None:
        if qube is owner:
            raise value_error("Loops in network are unsupported")
        qube = qube.reference("netvm")
    return value


def disposable_template(owner: Any, prop: Property, payload: str) -> Value:
    """A qube that disposables may be based on; not even the qube itself before it is one."""
    value = any_qube(owner, prop, payload)
    if value is not None and not is_disposable_template(owner.store.qubes[value]):
        whose = f"qube {owner.name!r}" if owner.name else "system"
        raise property_value_error(
            f"Cannot set invalid property to {whose}, {prop.name} {value!r} has "
            "template_for_dispvms set to False"
        )
    return value


def is_disposable_template(qube: Any) -> bool:
    """Whether disposables may be based on the qube."""
    return "template_for_dispvms" in qube.table and bool(qube.get("template_for_dispvms"))


def template(owner: Any, prop: Property, payload: str) -> Value:
    """A TemplateVM; a qube needs one and changes it only while it is off."""
    value = any_qube(owner, prop, payload)
    if value is None:
        if owner.name:
            raise property_value_error(
                f"Invalid value None for property {prop.name!r} of {owner!r}"
            )
        return None
    klass = owner.store.qubes[value].klass
    if klass != "TemplateVM":
        raise property_value_error(
            f"wrong VM class: domains[{value!r}] is of type {klass} and not TemplateVM"
        )
    _check_halted(owner)
    return value


def disposable_base(owner: Any, prop: Property, payload: str) -> Value:
    """The AppVM that a disposable is based on."""
    value = any_qube(owner, prop, payload)
    if value is None:
        raise property_value_error(f"Invalid value None for property {prop.name!r} of {owner!r}")
    check_disposable_base(owner.store.qubes[value])
    _check_halted(owner)
    return value


def check_disposable_base(base: Any) -> None:
    """A disposable's template has to allow it."""
    if not is_disposable_template(base):
        raise property_value_error(
            f"template for DispVM ({base.name}) needs to have template_for_dispvms=True"
        )


def _check_halted(owner: Any) -> None:
    if owner.name and not owner.is_halted:
        raise DaemonError("QubesVMNotHaltedError", "Cannot change template while qube is running")


def provides_network(owner: Any, prop: Property, payload: str) -> Value:
    """A truth value; it stays on while qubes are behind this one."""
    value = parse_bool(payload)
    if not value and any(
        "netvm" in qube.table and qube.get("netvm") == owner.name
        for qube in owner.store.others(owner.name)
    ):
        raise value_error("The qube is still used by other qubes as netvm")
    return value


def template_for_dispvms(owner: Any, prop: Property, payload: str) -> Value:
    """A truth value; it stays on while disposables are based on this qube."""
    value = parse_bool(payload)
    if not value and any(
        qube.klass == "DispVM" and qube.get("template") == owner.name
        for qube in owner.store.others(owner.name)
    ):
        raise DaemonError(
            "QubesVMInUseError",
            "Cannot change template_for_dispvms to False while there are some DispVMs based on "
            "this DVM template",
        )
    return value
