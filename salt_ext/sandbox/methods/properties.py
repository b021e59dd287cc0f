# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of qubes and of the system (exchanges 7 to 10, 18 to 25, 36 to 104, 148 to 216)."""

from __future__ import annotations

from ..couplings import after_property
from ..errors import DaemonError, Refused, property_value_error
from ..properties import Property
from ..store import Qube, Store
from ..values import Value, ascii_text, escape, text_of
from .registry import Call, lines, method

Owner = Qube | Store


def _owner(call: Call) -> Owner:
    """Global properties are the store's."""
    return call.store if call.method.startswith("admin.property.") else call.dest


def _property(call: Call) -> tuple[Owner, Property]:
    owner = _owner(call)
    found = owner.table.get(call.arg)
    if found is None:
        whose = f" of {owner.name}" if owner.name else ""
        raise DaemonError("QubesNoSuchPropertyError", f"Invalid property {call.arg!r}{whose}")
    return owner, found


def read(owner: Owner, prop: Property) -> str:
    """Whether the value is the default one, its type, and itself, raw."""
    value = text_of(owner.get(prop.name))
    return f"default={prop.name not in owner.props} type={prop.type} {value}"


@method("admin.vm.property.List")
@method("admin.property.List", dest="dom0")
def property_list(call: Call) -> str:
    """The names."""
    return lines(_owner(call).table)


@method("admin.vm.property.Get", arg="needed")
@method("admin.property.Get", dest="dom0", arg="needed")
def property_get(call: Call) -> str:
    """One property."""
    return read(*_property(call))


@method("admin.vm.property.GetAll")
@method("admin.property.GetAll", dest="dom0")
def property_get_all(call: Call) -> str:
    """All properties, a line each; the only reply with escapes."""
    owner = _owner(call)
    own = owner.props
    rows = []
    for name, prop in owner.table.items():
        if name in own:
            value = own[name]
            head = f"{name} default=False type={prop.type} "
        else:
            value = prop.default(owner) if prop.default else None
            head = f"{name} default=True type={prop.type} "
        rows.append(head + escape(text_of(value)))
    rows.append("")
    return "\n".join(rows)


@method("admin.vm.property.GetDefault", arg="needed")
@method("admin.property.GetDefault", dest="dom0", arg="needed")
def property_get_default(call: Call) -> str:
    """The default's type and value; nothing for a property without one."""
    owner, prop = _property(call)
    if prop.default is None:
        return ""
    return f"type={prop.type} {text_of(prop.default(owner))}"


@method("admin.vm.property.Help", arg="needed")
@method("admin.property.Help", dest="dom0", arg="needed")
def property_help(call: Call) -> str:
    """What the property is for."""
    return _property(call)[1].doc


@method("admin.vm.property.Set", arg="needed", payload=True)
@method("admin.property.Set", dest="dom0", arg="needed", payload=True)
def property_set(call: Call) -> None:
    """Parse and set."""
    owner, prop = _property(call)
    payload = ascii_text(call.payload, "QubesValueError", "Non-ASCII bytes in property value")
    if prop.parse is None:
        raise property_value_error(
            f"property {prop.name!r} on {owner.klass} instance cannot be set"
        )
    value = prop.parse(owner, prop, payload)
    if prop.once:
        raise Refused(f"{prop.name} was set at creation")
    change(owner, prop, value)


def change(owner: Owner, prop: Property, value: Value) -> None:
    """Set a value that was checked, tell the listeners, and keep what hangs on it in step."""
    store = owner.store
    previous = owner.get(prop.name)
    old = {"oldvalue": previous} if prop.name in owner.props else {}
    store.fire(owner.name, f"property-pre-set:{prop.name}", name=prop.name, newvalue=value, **old)
    owner.props[prop.name] = value
    store.touch(owner.name)
    store.fire(owner.name, f"property-set:{prop.name}", name=prop.name, newvalue=value, **old)
    after_property(owner, prop.name, previous)


@method("admin.vm.property.Reset", arg="needed")
@method("admin.property.Reset", dest="dom0", arg="needed")
def property_reset(call: Call) -> None:
    """Back to the default."""
    owner, prop = _property(call)
    if prop.parse is None:
        raise property_value_error(
            f"property {prop.name!r} on {owner.klass} instance cannot be set"
        )
    if prop.name == "template" and owner.name:
        raise DaemonError("QubesValueError", "Cannot unset template")
    if prop.once or (prop.default is None and owner.name):
        raise Refused(f"{prop.name} has no default")
    if prop.name not in owner.props:
        return
    store = owner.store
    previous = owner.props[prop.name]
    store.fire(owner.name, f"property-pre-reset:{prop.name}", name=prop.name, oldvalue=previous)
    del owner.props[prop.name]
    store.touch(owner.name)
    store.fire(owner.name, f"property-reset:{prop.name}", name=prop.name, oldvalue=previous)
    after_property(owner, prop.name, previous)
