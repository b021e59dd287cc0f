# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is: qubes, classes, labels, kinds of devices (exchanges 1 to 6, 16, 17, 26 to 31)."""

from __future__ import annotations

from ..errors import DaemonError, permission_denied
from ..properties import CLASSES
from ..store import Qube
from .devices import DEVICE_CLASSES
from .registry import Call, lines, method


@method("admin.vm.List")
def vm_list(call: Call) -> str:
    """All qubes for dom0, one for a qube; another qube than dom0 is shown nothing."""
    if not call.source.is_admin:
        return ""
    qubes = call.store.sorted() if call.dest.is_admin else [call.dest]
    return "".join(map(list_line, qubes))


def list_line(qube: Qube) -> str:
    """One qube of the listing."""
    return f"{qube.name} class={qube.klass} state={qube.power} uuid={qube.get('uuid')}\n"


@method("admin.vmclass.List", dest="dom0")
def vmclass_list(call: Call) -> str:
    """The classes of qubes."""
    return lines(CLASSES)


@method("admin.deviceclass.List", dest="dom0")
def deviceclass_list(call: Call) -> str:
    """The classes of devices."""
    return lines(DEVICE_CLASSES)


@method("admin.label.List", dest="dom0")
def label_list(call: Call) -> str:
    """The labels, by their index."""
    labels = call.store.labels
    return lines(sorted(labels, key=lambda name: labels[name][0]))


def _label(call: Call) -> tuple[int, str]:
    found = call.store.labels.get(call.arg)
    if found is None:
        raise DaemonError("QubesLabelNotFoundError", f"Label does not exist: {call.arg}")
    return found


@method("admin.label.Get", dest="dom0", arg="needed")
def label_get(call: Call) -> str:
    """A label's colour."""
    return _label(call)[1]


@method("admin.label.Index", dest="dom0", arg="needed")
def label_index(call: Call) -> str:
    """A label's index."""
    return str(_label(call)[0])


@method("admin.label.Create", dest="dom0", arg="needed", payload=True)
def label_create(call: Call) -> None:
    """A new label; the payload is its colour."""
    if call.arg in call.store.labels:
        raise DaemonError("QubesValueError", f"label already exists: {call.arg}")
    index = max((index for index, _ in call.store.labels.values()), default=0) + 1
    call.store.labels[call.arg] = (index, call.payload.decode("ascii", "replace"))
    call.store.touch("")


@method("admin.label.Remove", dest="dom0", arg="needed")
def label_remove(call: Call) -> None:
    """Drop a label that no qube has; the eight usual ones stay."""
    index, _ = _label(call)
    if index <= 8:
        raise permission_denied("Labels that come with the system cannot be removed")
    if any(qube.get("label") == call.arg for qube in call.store.qubes.values()):
        raise DaemonError("QubesException", "label still in use")
    del call.store.labels[call.arg]
    call.store.touch("")


@method("admin.vm.notes.Get", dest="qube")
def notes_get(call: Call) -> str:
    """The qube's notes."""
    return call.dest.notes


@method("admin.vm.notes.Set", dest="qube", payload=True)
def notes_set(call: Call) -> None:
    """Replace the notes; an empty payload clears them."""
    call.dest.notes = call.payload.decode("utf-8", "replace")
    call.store.touch(call.dest.name)
