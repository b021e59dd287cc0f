# SPDX-License-Identifier: GPL-3.0-or-later
"""Creating and removing qubes (exchanges 110 to 137, 330 and 340 to 343)."""

from __future__ import annotations

import secrets
from typing import Any

from .. import setters
from ..couplings import sync_guest_tags
from ..errors import DaemonError, Refused, not_halted, property_value_error, protocol_error
from ..properties import CLASSES, PROPERTIES
from ..store import DOM0, Qube, Store
from ..values import check_name
from .power import discard
from .registry import Call, method
from .storage import VOLUMES

OPTIONS = ("name", "label", "pool", "pool:")


def parse_options(payload: bytes) -> dict[str, str]:
    """``name=x label=y``; two blanks in a row, or nothing, end in zero bytes (126 and 127)."""
    try:
        text = payload.decode("ascii")
    except UnicodeDecodeError:
        raise Refused("options are ASCII") from None
    options: dict[str, str] = {}
    for word in text.split(" "):
        key, equals, value = word.partition("=")
        if not equals:
            raise Refused(f"bad options: {text!r}")
        if key not in OPTIONS and not key.startswith("pool:"):
            raise protocol_error(f"Options does not match: {', '.join(OPTIONS)}")
        options[key] = value
    return options


def chosen_pools(store: Store, options: dict[str, str], allowed: bool) -> dict[str, str]:
    """The pool of each volume that does not go to the default one."""
    given = {key: value for key, value in options.items() if key.partition(":")[0] == "pool"}
    if given and not allowed:
        raise protocol_error("Pool option specified but 'allow_pool' is False")
    if "pool" in given and len(given) > 1:
        raise protocol_error("Conflicting options specified: 'pool=', 'pool:volume='")
    pools = {}
    for key, pool in given.items():
        volume = key.partition(":")[2]
        if key != "pool" and volume not in VOLUMES:
            raise protocol_error(f"Volume must be one of: {', '.join(VOLUMES)}")
        if pool not in store.pools:
            raise DaemonError("QubesException", f"Unknown storage pool {pool}")
        for name in (volume,) if volume else ("root", "private", "volatile"):
            pools[name] = pool
    return pools


def create(call: Call, klass: str, allow_pool: bool) -> None:
    """A new qube: argument, options, name, label, and only then whether it is there."""
    store = call.store
    table = PROPERTIES[klass]
    template = None
    if call.arg:
        if "template" not in table:
            raise protocol_error(f"{klass} cannot be based on template")
        template = store.find(call.arg).name
    options = parse_options(call.payload)
    pools = chosen_pools(store, options, allow_pool)
    labels = store.labels
    for key, there in (("name", "name" in options), ("label", options.get("label") in labels)):
        if not there:
            raise protocol_error(f"Creation requested without key: {key}")
    name = check_name(options["name"])
    if name in store.qubes:
        raise DaemonError("QubesVMAlreadyExistsError", f"Qube already exists: {name}")
    if klass == "AdminVM":
        raise property_value_error("property 'qid' on AdminVM instance cannot be set")
    props: dict[str, Any] = {"label": options["label"]}
    if "template" in table:
        props["template"] = _template(store, klass, template)
    if "dispid" in table:
        props["dispid"] = _dispid(store)
    enter(store, klass, name, props, pools)


def _template(store: Store, klass: str, given: str | None) -> str:
    """The template that was named, or the default one, checked as a change would be."""
    name = given or store.get("default_template" if klass == "AppVM" else "default_dispvm")
    if name is None:
        raise protocol_error(f"{klass} needs a template")
    if klass == "DispVM":
        setters.check_disposable_base(store.qubes[name])
    elif store.qubes[name].klass != "TemplateVM":
        raise property_value_error(
            f"wrong VM class: domains[{name!r}] is of type {store.qubes[name].klass} "
            "and not TemplateVM"
        )
    return name


def _dispid(store: Store) -> int:
    used = {qube.props.get("dispid") for qube in store.qubes.values()}
    while (number := secrets.randbelow(10000)) in used:
        pass
    return number


def enter(
    store: Store, klass: str, name: str, props: dict[str, Any], pools: dict[str, str]
) -> Qube:
    """Enter the qube, tagged as one that dom0 made (exchange 235)."""
    qube = store.add(klass, name, props)
    qube.volumes = {volume: {"pool": pool} for volume, pool in pools.items()}
    qube.tags.add(f"created-by-{DOM0}")
    sync_guest_tags(qube)
    store.fire("", "domain-add", vm=name)
    return qube


@method("admin.vm.CreateDisposable", dest="any", arg="none")
def create_disposable(call: Call) -> str:
    """An unnamed disposable based on the destination (on dom0's default for dom0)."""
    store = call.store
    base = store.get("default_dispvm") if call.dest.is_admin else call.dest.name
    if base is None:
        raise property_value_error("default_dispvm is not set")
    setters.check_disposable_base(store.qubes[base])
    number = _dispid(store)
    name = f"disp{number}"
    if name in store.qubes:
        raise DaemonError("QubesVMAlreadyExistsError", f"Qube already exists: {name}")
    props = {
        "label": store.qubes[base].get("label"), "template": base, "dispid": number,
        "auto_cleanup": True,
    }  # fmt: skip
    return enter(store, "DispVM", name, props, {}).name


@method("admin.vm.Remove")
def remove(call: Call) -> None:
    """Remove a qube that is off and that nothing refers to."""
    store, qube = call.store, call.dest
    if qube.is_admin:
        raise DaemonError("QubesVMInUseError", f"{qube.name!r} cannot be removed")
    if not qube.is_halted:
        raise not_halted(qube.name)
    if qube.get("installed_by_rpm"):
        raise protocol_error(f"VM installed by package manager: {qube.name}")
    if is_used(store, qube.name):
        raise DaemonError(
            "QubesVMInUseError",
            f"Domain is in use: {qube.name!r};  see 'journalctl -u qubesd -e' in dom0 for details",
        )
    discard(store, qube)


def is_used(store: Store, name: str) -> bool:
    """Whether a property of another qube or of the system, or an assignment, names the qube."""
    owners: list[Any] = [store, *store.others(name)]
    for owner in owners:
        for key, value in owner.props.items():
            if value == name and owner.table[key].type == "vm":
                return True
    return any(entry.backend == name for qube in store.others(name) for entry in qube.assigned)


def _register() -> None:
    def bind(klass: str, allow_pool: bool) -> Any:
        return lambda call: create(call, klass, allow_pool)

    for klass in CLASSES:
        for name, allow_pool in (("Create", False), ("CreateInPool", True)):
            method(f"admin.vm.{name}.{klass}", payload=True, dest="dom0", arg="free")(
                bind(klass, allow_pool)
            )


_register()
