# SPDX-License-Identifier: GPL-3.0-or-later
"""The store: qubes, global properties, labels and pools, as qubesd keeps them.

Everything that can be written is plain data and can be turned into a record (for the journal, a
snapshot or a reader) and back. Whoever changes a qube says so with :meth:`Store.touch`; the
journal and a quick reset live on that.
"""

from __future__ import annotations

import secrets
import string
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .errors import DaemonError, no_such_domain
from .pci import PciDevice
from .properties import GLOBAL_PROPERTIES, PROPERTIES, Property
from .values import Value, check_name

DOM0 = "dom0"
DOM0_UUID = "00000000-0000-0000-0000-000000000000"
TOKEN_CHARACTERS = string.ascii_letters + string.digits
TOKEN_LENGTH = 32

Record = dict[str, Any]


@dataclass
class Assignment:
    """A device that a qube gets when it starts, or has got."""

    devclass: str
    backend: str
    port: str
    device_id: str
    mode: str
    frontend: str | None = None
    options: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two assignments the same one: a port may be assigned twice with different
        identities (exchanges 291 to 297)."""
        return (self.backend, self.port, self.device_id)

    def record(self) -> dict[str, Any]:
        """The assignment as plain data."""
        return {**vars(self), "options": dict(self.options)}

    def __str__(self) -> str:
        return f"{self.backend}:{self.port}:{self.device_id}"


class Qube:
    """One qube: what is set on it, and whether it runs."""

    __slots__ = (
        "assigned", "attached", "features", "firewall", "klass", "notes", "power", "props",
        "started", "store", "table", "tags", "volumes", "xid",
    )  # fmt: skip

    def __init__(self, store: Store, klass: str, props: dict[str, Value]) -> None:
        self.store = store
        self.klass = klass
        self.table: dict[str, Property] = PROPERTIES[klass]
        self.props = props
        self.features: dict[str, str] = {}
        self.tags: set[str] = set()
        self.notes = ""
        self.firewall: list[str] | None = None
        self.volumes: dict[str, dict[str, Any]] = {}
        self.assigned: list[Assignment] = []
        self.attached: list[Assignment] = []
        self.power = "Halted"
        self.xid = -1
        self.started = 0.0

    @property
    def name(self) -> str:
        """The qube's name, which never changes."""
        return str(self.props["name"]) if "name" in self.props else DOM0

    @property
    def is_admin(self) -> bool:
        """Whether this is dom0."""
        return self.klass == "AdminVM"

    @property
    def is_halted(self) -> bool:
        """Whether it is off."""
        return self.power == "Halted"

    def get(self, name: str) -> Any:
        """A property's value, its own or its default."""
        props = self.props
        if name in props:
            return props[name]
        default = self.table[name].default
        return default(self) if default else None

    def reference(self, name: str) -> Qube | None:
        """The qube that a property of type vm names."""
        if name not in self.table:
            return None
        value = self.get(name)
        return self.store.qubes.get(value) if value else None

    @property
    def template(self) -> Qube | None:
        """The template, of a qube that has one."""
        return self.reference("template")

    def assignments(self, devclass: str) -> list[Assignment]:
        """The assigned devices of a class."""
        return [entry for entry in self.assigned if entry.devclass == devclass]

    @property
    def has_pci(self) -> bool:
        """Whether any PCI device is assigned."""
        return any(entry.devclass == "pci" for entry in self.assigned)

    def feature(self, name: str, inherit: str = "template") -> str | None:
        """A feature, looked up along the templates (or netvms)."""
        qube: Qube | None = self
        while qube is not None:
            if name in qube.features:
                return qube.features[name]
            qube = qube.reference(inherit)
        return None

    def record(self) -> Record:
        """The qube as plain data."""
        return {
            "klass": self.klass,
            "props": dict(self.props),
            "features": dict(self.features),
            "tags": sorted(self.tags),
            "notes": self.notes,
            "firewall": self.firewall,
            "volumes": {name: dict(values) for name, values in self.volumes.items()},
            "assigned": [entry.record() for entry in self.assigned],
            "attached": [entry.record() for entry in self.attached],
            "power": self.power,
            "xid": self.xid,
            "started": self.started,
        }

    def restore(self, record: Record) -> None:
        """Become what a record says."""
        self.klass = record["klass"]
        self.table = PROPERTIES[self.klass]
        self.props = dict(record["props"])
        self.features = dict(record["features"])
        self.tags = set(record["tags"])
        self.notes = record["notes"]
        self.firewall = list(record["firewall"]) if record["firewall"] is not None else None
        self.volumes = {name: dict(values) for name, values in record["volumes"].items()}
        self.assigned = [Assignment(**entry) for entry in record["assigned"]]
        self.attached = [Assignment(**entry) for entry in record["attached"]]
        # A daemon that died while a qube was starting finds it off.
        self.power = record["power"] if record["power"] != "Transient" else "Halted"
        self.xid = record["xid"]
        self.started = record["started"]

    def __repr__(self) -> str:
        """As qubesd prints a qube inside an error (exchange 204): the address apart, name and qid
        first, then every other property in the order of the listing."""
        parts = [f"name={self.get('name')!r}", f"qid={self.get('qid')}"]
        parts += [f"{name}={self.get(name)}" for name in self.table if name not in ("name", "qid")]
        return f"<{self.klass} at {id(self):#x} {' '.join(parts)}>"


@dataclass
class Hardware:
    """What the machine has, and no call can change."""

    devices: list[PciDevice]
    memory: int
    """Host memory in MiB."""
    cpus: int
    kernels: list[str]
    plain_ports: bool = False
    identities: bool = True
    start_delay: float = 0.0
    shutdown_delay: float = 0.0
    dom0_memory: int = 4096

    def __post_init__(self) -> None:
        self.by_port = {device.port: device for device in self.devices}


class Store:
    """Everything that qubesd knows about one machine."""

    def __init__(self, hardware: Hardware) -> None:
        self.hardware = hardware
        self.table = GLOBAL_PROPERTIES
        self.props: dict[str, Value] = {}
        self.qubes: dict[str, Qube] = {}
        self.labels: dict[str, tuple[int, str]] = {}
        self.pools: dict[str, dict[str, Any]] = {}
        self.volume_order: list[str] = []
        self.tokens: dict[str, tuple[str, str]] = {}
        self.fire: Callable[..., None] = lambda subject, event, **details: None
        self.touched: set[str] = set()
        self.commit: Callable[[], None] = lambda: None
        self._by_uuid: dict[str, str] = {}
        self._qids: set[int] = set()
        self._lowest_qid = 1
        self._last_xid = 0
        dom0 = Qube(self, "AdminVM", {"label": "black"})
        dom0.power = "Running"
        dom0.xid = 0
        self._enter(dom0)

    # -- global properties: the store answers for them as a qube does for its own

    name = ""
    klass = "Qubes"

    def get(self, name: str) -> Any:
        """A global property's value."""
        if name in self.props:
            return self.props[name]
        default = self.table[name].default
        return default(self) if default else None

    @property
    def store(self) -> Store:
        """The store itself: global properties and qubes' ones are parsed alike."""
        return self

    # -- qubes

    @property
    def dom0(self) -> Qube:
        """The administrative qube."""
        return self.qubes[DOM0]

    def find(self, name: str) -> Qube:
        """The qube of a name or ``uuid:…``, or qubesd's error."""
        qube = self.qubes.get(name)
        if qube is not None:
            return qube
        if name.startswith("uuid:"):
            text = name[len("uuid:") :]
            try:
                found = self._by_uuid.get(str(uuid.UUID(text)))
            except ValueError:
                raise DaemonError(
                    "QubesVMInvalidUUIDError", f"VM UUID is not valid: {text!r}"
                ) from None
            if found is None:
                raise no_such_domain(name)
            return self.qubes[found]
        raise no_such_domain(check_name(name))

    def sorted(self) -> list[Qube]:
        """All qubes, dom0 first, then by name (exchange 1)."""
        names = sorted(self.qubes)
        names.remove(DOM0)
        return [self.qubes[DOM0], *(self.qubes[name] for name in names)]

    def others(self, name: str) -> Iterator[Qube]:
        """All qubes but one."""
        return (qube for qube in self.qubes.values() if qube.name != name)

    def new_qid(self) -> int:
        """The lowest number that is free."""
        while self._lowest_qid in self._qids:
            self._lowest_qid += 1
        return self._lowest_qid

    def new_xid(self) -> int:
        """The next number of a running domain."""
        self._last_xid += 1
        return self._last_xid

    def add(self, klass: str, name: str, props: dict[str, Value]) -> Qube:
        """Enter a new qube, with the number and uuid that it gets."""
        identity: dict[str, Value] = {
            "name": name, "qid": self.new_qid(), "uuid": str(uuid.uuid4())
        }  # fmt: skip
        qube = Qube(self, klass, {**identity, **props})
        self._enter(qube)
        self.volume_order.append(name)
        self.touch(name)
        return qube

    def remove(self, name: str) -> None:
        """Strike a qube out."""
        qube = self.qubes.pop(name)
        self._leave(qube)
        if name in self.volume_order:
            self.volume_order.remove(name)
        self.touch(name)

    def _enter(self, qube: Qube) -> None:
        self.qubes[qube.name] = qube
        self._by_uuid[str(qube.get("uuid"))] = qube.name
        self._qids.add(qube.get("qid"))
        self._last_xid = max(self._last_xid, qube.xid)

    def _leave(self, qube: Qube) -> None:
        self._by_uuid.pop(str(qube.get("uuid")), None)
        qid = qube.get("qid")
        self._qids.discard(qid)
        self._lowest_qid = min(self._lowest_qid, qid)

    def new_token(self, qube: str, volume: str) -> str:
        """A token that lets a volume be cloned once (exchanges 138 to 143)."""
        token = "".join(secrets.choice(TOKEN_CHARACTERS) for _ in range(TOKEN_LENGTH))
        self.tokens[token] = (qube, volume)
        return token

    # -- records

    def touch(self, name: str) -> None:
        """Note that a qube changed; the empty name stands for what is global. The change is on
        record once :attr:`commit` was called, at the end of a call."""
        self.touched.add(name)

    def global_record(self) -> Record:
        """What belongs to no qube, as plain data."""
        return {
            "props": dict(self.props),
            "labels": {name: list(label) for name, label in self.labels.items()},
            "pools": {name: dict(pool) for name, pool in self.pools.items()},
        }

    def record(self, name: str) -> Record | None:
        """The record of a qube, none where it is gone; of the globals for the empty name."""
        if not name:
            return self.global_record()
        qube = self.qubes.get(name)
        return qube.record() if qube else None

    def records(self) -> dict[str, Record]:
        """Everything as plain data."""
        return {"": self.global_record(), **{n: q.record() for n, q in self.qubes.items()}}

    def restore(self, name: str, record: Record | None) -> None:
        """Make one qube, or the globals, what a record says; without one the qube goes away."""
        if not name and record is not None:
            self.props = dict(record["props"])
            self.labels = {label: tuple(value) for label, value in record["labels"].items()}
            self.pools = {pool: dict(value) for pool, value in record["pools"].items()}
        elif record is None:
            if name in self.qubes:
                self.remove(name)
        else:
            qube = self.qubes.get(name)
            if qube is None:
                qube = Qube(self, record["klass"], {})
            else:
                self._leave(qube)
            qube.restore(record)
            self._enter(qube)
            if name not in self.volume_order and name != DOM0:
                self.volume_order.append(name)
        self.touch(name)

    def settle_volumes(self) -> None:
        """Put the pools' volumes into the order of a daemon that has just started: by name, but
        each after its template's (exchange 35)."""
        order: dict[str, None] = {}

        def visit(qube: Qube) -> None:
            template = qube.template
            if template is not None and template.name not in order:
                visit(template)
            order.setdefault(qube.name)

        for qube in self.sorted()[1:]:
            visit(qube)
        self.volume_order = list(order)
