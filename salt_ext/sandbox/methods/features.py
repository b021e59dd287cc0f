# SPDX-License-Identifier: GPL-3.0-or-later
"""Features (exchanges 12, 45 and 217 to 234)."""

from __future__ import annotations

import string

from ..couplings import after_feature
from ..errors import DaemonError, permission_denied, protocol_error
from ..values import ascii_text
from .registry import Call, lines, method

_NAME_CHARACTERS = frozenset(string.ascii_letters + string.digits + "-_.:/")
_VALUE_CHARACTERS = frozenset(map(chr, range(0x20, 0x7F)))
_DAEMONS_OWN = frozenset(
    ("preload-dispvm", "preload-dispvm-completed", "preload-dispvm-in-progress")
)


def _not_found(call: Call) -> DaemonError:
    return DaemonError(
        "QubesFeatureNotFoundError", f"Feature not set for domain {call.dest.name}: {call.arg}"
    )


@method("admin.vm.feature.List")
def feature_list(call: Call) -> str:
    """The qube's own features, in the order in which they were set."""
    return lines(call.dest.features)


@method("admin.vm.feature.Get", arg="needed")
def feature_get(call: Call) -> str:
    """The qube's own value."""
    value = call.dest.features.get(call.arg)
    if value is None:
        raise _not_found(call)
    return value


def _inherited(call: Call, inherit: str = "", dom0: bool = False) -> str:
    value = call.dest.feature(call.arg, inherit)
    if value is None and dom0:
        value = call.store.dom0.features.get(call.arg)
    if value is None:
        raise _not_found(call)
    return value


@method("admin.vm.feature.CheckWithTemplate", arg="needed")
def feature_check_template(call: Call) -> str:
    """The qube's value or its template's."""
    return _inherited(call, "template")


@method("admin.vm.feature.CheckWithNetvm", arg="needed")
def feature_check_netvm(call: Call) -> str:
    """The qube's value or that of the netvms before it."""
    return _inherited(call, "netvm")


@method("admin.vm.feature.CheckWithAdminVM", arg="needed")
def feature_check_admin(call: Call) -> str:
    """The qube's value or dom0's."""
    return _inherited(call, dom0=True)


@method("admin.vm.feature.CheckWithTemplateAndAdminVM", arg="needed")
def feature_check_template_admin(call: Call) -> str:
    """The qube's value, its template's or dom0's."""
    return _inherited(call, "template", dom0=True)


def _check_writable(call: Call) -> None:
    if not _NAME_CHARACTERS.issuperset(call.arg):
        raise protocol_error("feature name contains illegal characters")
    if call.arg in _DAEMONS_OWN:
        raise permission_denied(
            "changing this feature is prohibited by qubes.ext.admin.AdminExtension"
        )


@method("admin.vm.feature.Set", arg="needed", payload=True)
def feature_set(call: Call) -> None:
    """Set a feature; the empty value is a value."""
    _check_writable(call)
    value = ascii_text(call.payload, "ProtocolError", "Feature value contains non-ASCII characters")
    if not _VALUE_CHARACTERS.issuperset(value):
        raise protocol_error(f"{call.arg} value contains illegal characters")
    qube, store = call.dest, call.store
    old = {"oldvalue": qube.features[call.arg]} if call.arg in qube.features else {}
    qube.features[call.arg] = value
    store.touch(qube.name)
    store.fire(qube.name, f"domain-feature-set:{call.arg}", feature=call.arg, value=value, **old)
    after_feature(qube, call.arg)


@method("admin.vm.feature.Remove", arg="needed")
def feature_remove(call: Call) -> None:
    """Remove the qube's own value."""
    _check_writable(call)
    if call.arg not in call.dest.features:
        raise _not_found(call)
    del call.dest.features[call.arg]
    call.store.touch(call.dest.name)
    call.store.fire(call.dest.name, f"domain-feature-delete:{call.arg}", feature=call.arg)
