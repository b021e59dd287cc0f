# SPDX-License-Identifier: GPL-3.0-or-later
"""Machine files: a YAML mapping that says what the default machine does not.

Keys, all of them optional; what is left out keeps the default's value:

``topology``        ``bridge`` (the card behind 00:01.0) or ``root`` (on a root bus of its own)
``ports``           ``paths`` (qubesd 4.3 and later) or ``plain`` (R4.2: ``01_00.0`` everywhere, no
                    ``_sbdf`` in the listings)
``identities``      ``false``: the listings name no vendor and device numbers (``*``), as R4.2's
                    know none; only the texts and the interface are there. Default ``true``
``host``            ``memory`` and ``dom0_memory`` in MiB, ``cpus``, ``kernels`` (a list)
``devices``         the whole list of PCI devices, in place of the default's (see below)
``extra_devices``   devices beside the default's, or beside those of ``devices``
``pools``, ``labels``, ``globals``
                    entries to add or change; an entry that is null is removed
``qubes``           entries to add or change, merged key by key; null removes a default one:
                    ``{work: null, gpu: {class: StandaloneVM, label: yellow, properties: {},
                    features: {}, tags: [], devices: [], notes: '', running: false}}``; ``devices``
                    are ports or addresses to assign, or mappings with ``port``, ``mode`` and
                    ``options``
``clones``          one or a list of ``{of: work, count: 1000, prefix: bench, start: 1}``: copies
                    of a qube as ``bench-1`` to ``bench-1000``, with its devices
``start_delay``, ``shutdown_delay``
                    seconds that every start and shutdown takes

A device: ``bdf``, ``id`` (``10de:2504``) and ``class`` (``030000``) are needed; ``vendor`` and
``product`` (texts), ``subsystem``, ``driver``, ``boot_vga``, ``revision``, ``bar_mib``, ``kind``
(endpoint, integrated, conventional, root_port, upstream, downstream, pci_bridge, pcie_to_pci), for
bridges ``secondary`` and ``subordinate`` bus numbers, ``acs`` (true, false, or the control bits)
and ``acs_capability``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import defaults
from .couplings import sync_clock, sync_guest_tags, sync_service_qube
from .pci import MachineError, PciDevice, connect, parse_bdf, parse_device
from .properties import CLASSES
from .store import Assignment, Hardware, Qube, Store

KEYS = {
    "topology", "ports", "identities", "host", "devices", "extra_devices", "pools", "labels",
    "globals", "qubes", "clones", "start_delay", "shutdown_delay",
}  # fmt: skip
QUBE_KEYS = {
    "class", "label", "template", "properties", "features", "tags", "devices", "notes", "running",
}  # fmt: skip

Machine = dict[str, Any]


def load(path: Path | None) -> Machine:
    """Read a machine file; none is the default machine."""
    if path is None:
        return {}
    import yaml  # noqa: PLC0415 - takes longer than the rest of the start together

    with open(path, encoding="utf-8") as file:
        try:
            found = yaml.safe_load(file)
        except yaml.YAMLError as error:
            raise MachineError(f"{path}: {error}") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise MachineError(f"{path}: a machine file is a mapping")
    if unknown := set(found) - KEYS:
        raise MachineError(f"{path}: unknown keys: {', '.join(sorted(map(str, unknown)))}")
    return found


def hardware(machine: Machine) -> Hardware:
    """What the machine has."""
    topology = machine.get("topology", "bridge")
    ports = machine.get("ports", "paths")
    if topology not in ("bridge", "root"):
        raise MachineError(f"topology has to be bridge or root, not {topology!r}")
    if ports not in ("paths", "plain"):
        raise MachineError(f"ports has to be paths or plain, not {ports!r}")
    entries = machine.get("devices")
    if entries is None:
        entries = defaults.devices(topology)
    devices = [parse_device(entry) for entry in [*entries, *(machine.get("extra_devices") or [])]]
    devices.sort(key=lambda device: device.sbdf)
    connect(devices, ports == "plain")
    host = machine.get("host") or {}
    return Hardware(
        devices=devices,
        memory=int(host.get("memory", 32768)),
        dom0_memory=int(host.get("dom0_memory", 4096)),
        cpus=int(host.get("cpus", 8)),
        kernels=list(host.get("kernels", defaults.KERNELS)),
        plain_ports=ports == "plain",
        identities=bool(machine.get("identities", True)),
        start_delay=float(machine.get("start_delay", 0)),
        shutdown_delay=float(machine.get("shutdown_delay", 0)),
    )


def build(machine: Machine) -> Store:
    """The store that the machine starts with."""
    try:
        return _build(machine)
    except MachineError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MachineError(f"machine file: {type(error).__name__}: {error}") from error


def _build(machine: Machine) -> Store:
    store = Store(hardware(machine))
    labels = merge(defaults.LABELS, machine.get("labels"))
    store.labels = {name: (int(index), str(colour)) for name, (index, colour) in labels.items()}
    store.pools = merge(defaults.POOLS, machine.get("pools"))
    qubes = merge(defaults.QUBES, machine.get("qubes"))
    store.props = merge(defaults.GLOBALS, machine.get("globals"))
    for name, entry in qubes.items():
        make_qube(store, str(name), entry)
    clones = machine.get("clones") or []
    for clone in [clones] if isinstance(clones, dict) else clones:
        source = qubes.get(clone["of"])
        if source is None:
            raise MachineError(f"clones: no qube {clone['of']!r} to copy")
        first = int(clone.get("start", 1))
        for number in range(first, first + int(clone["count"])):
            make_qube(store, f"{clone['prefix']}-{number}", source)
    drop_missing(store)
    sync_clock(store, None)
    store.settle_volumes()
    store.touched.clear()
    return store


def merge(default: dict[str, Any], changes: Any) -> dict[str, Any]:
    """The default's entries with a machine file's over them: mappings key by key, null removes."""
    if changes is None:
        changes = {}
    if isinstance(changes, list):
        changes = {entry["name"]: {k: v for k, v in entry.items() if k != "name"}
                   for entry in changes}  # fmt: skip
    if not isinstance(changes, dict):
        raise MachineError(f"expected a mapping, not {changes!r}")
    merged = dict(default)
    for name, value in changes.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict) and isinstance(merged.get(name), dict):
            merged[name] = merge_entry(merged[name], value)
        else:
            merged[name] = value
    return merged


def merge_entry(default: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """One entry's values over the default's; null is a value here (no netvm)."""
    merged = dict(default)
    for key, value in changes.items():
        inner = merged.get(key)
        if isinstance(value, dict) and isinstance(inner, dict):
            merged[key] = {**inner, **value}
        else:
            merged[key] = value
    return merged


def make_qube(store: Store, name: str, entry: dict[str, Any]) -> Qube:
    """One qube of the machine file. Values stand as they are: the file describes a store, it does
    not ask for one."""
    if unknown := set(entry) - QUBE_KEYS:
        raise MachineError(f"qube {name}: unknown keys: {', '.join(sorted(unknown))}")
    klass = entry.get("class", "AppVM")
    if klass not in CLASSES:
        raise MachineError(f"qube {name}: class has to be one of {', '.join(CLASSES)}")
    if name == "dom0":
        qube = store.dom0
    else:
        props: dict[str, Any] = {"label": entry.get("label", "red")}
        qube = store.add(klass, name, props)
        if "template" in qube.table:
            props["template"] = entry.get("template", store.props.get("default_template"))
        if klass == "DispVM":
            props["dispid"] = qube.get("qid")
        qube.props.update(props)
    for key, value in (entry.get("properties") or {}).items():
        if key not in qube.table:
            raise MachineError(f"qube {name}: no property {key!r} in a {qube.klass}")
        qube.props[key] = value
    if not qube.is_admin:
        sync_guest_tags(qube)
        sync_service_qube(qube)
    qube.features.update({k: str(v) for k, v in (entry.get("features") or {}).items()})
    qube.tags.update(entry.get("tags") or [])
    qube.notes = entry.get("notes", "")
    for device in entry.get("devices") or []:
        qube.assigned.append(make_assignment(store, qube, device))
    if entry.get("running"):
        qube.power = "Running"
        qube.xid = store.new_xid()
        qube.attached = list(qube.assigned)
    return qube


def make_assignment(store: Store, qube: Qube, entry: Any) -> Assignment:
    """A device that a machine file assigns to a qube: a port, or an address."""
    values = entry if isinstance(entry, dict) else {"port": entry}
    device = find_device(store.hardware.devices, str(values["port"]))
    return Assignment(
        "pci", "dom0", device.port, device.identity, values.get("mode", "required"),
        qube.name, {key: str(value) for key, value in (values.get("options") or {}).items()},
    )  # fmt: skip


def find_device(devices: list[PciDevice], text: str) -> PciDevice:
    """A device by its port or address."""
    for device in devices:
        if device.port == text:
            return device
    wanted = parse_bdf(text)
    for device in devices:
        if (device.domain, device.bus, device.slot, device.function) == wanted:
            return device
    raise MachineError(f"no PCI device {text!r} in this machine")


def drop_missing(store: Store) -> None:
    """Global properties that name a qube which the machine file removed are unset."""
    for name, prop in store.table.items():
        value = store.props.get(name)
        if prop.type == "vm" and value is not None and value not in store.qubes:
            del store.props[name]
