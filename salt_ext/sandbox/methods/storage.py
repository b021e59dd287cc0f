# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes and pools (exchanges 4, 5, 13, 32 to 35, 47, 105 to 109 and 138 to 147).

A volume is what follows from its qube's class, with a few own values over it (its pool, a size
that was changed, and from where its content was cloned).
"""

from __future__ import annotations

from typing import Any

from ..errors import DaemonError, not_halted, permission_denied, protocol_error
from ..store import Qube, Store
from .registry import Call, lines, method

VOLUMES = ("root", "private", "volatile", "kernel")
ROOT_SIZE = 10737418240
PRIVATE_SIZE = 2147483648
VOLATILE_SIZE = 10737418240
DRIVERS = ("file", "file-reflink", "linux-kernel", "lvm_thin", "callback", "zfs")

Volume = dict[str, Any]


def vid(qube: Qube, volume: str) -> str:
    """The volume's name in its pool."""
    folder = "vm-templates" if qube.klass == "TemplateVM" else "appvms"
    return f"{folder}/{qube.name}/{volume}"


def volume_info(qube: Qube, name: str) -> Volume:
    """A volume as Info shows it, in its order."""
    if name == "kernel":
        return _kernel_volume(qube)
    own = qube.volumes.get(name, {})
    source = _source(qube, name)
    saved = name != "volatile" and source is None
    pool = own.get("pool") or qube.store.get(f"default_pool_{name}")
    directory = qube.store.pools.get(pool, {}).get("dir_path", f"/dev/{pool}")
    if source is not None:
        size = volume_info(source, name)["size"]
        origin = vid(source, name)
    else:
        size = {"root": ROOT_SIZE, "private": PRIVATE_SIZE, "volatile": VOLATILE_SIZE}[name]
        origin = ""
    image = origin or vid(qube, name)
    info = {
        "pool": pool,
        "vid": vid(qube, name),
        "size": size,
        "usage": 0,
        "rw": True,
        "source": origin,
        "path": f"{directory}/{image}.img",
        "save_on_stop": saved,
        "snap_on_start": source is not None,
        "revisions_to_keep": 1 if saved else 0,
        "ephemeral": False,
        "is_outdated": False,
    }
    info.update((key, value) for key, value in own.items() if key in info)
    return info


def _kernel_volume(qube: Qube) -> Volume:
    kernel = qube.get("kernel") or ""
    pool = qube.store.get("default_pool_kernel")
    directory = qube.store.pools.get(pool, {}).get("dir_path", "")
    return {
        "pool": pool, "vid": kernel, "size": 0, "usage": 0, "rw": False, "source": "",
        "path": f"{directory}/{kernel}/modules.img" if kernel else "",
        "save_on_stop": False, "snap_on_start": False, "revisions_to_keep": 0,
        "ephemeral": False, "is_outdated": False,
    }  # fmt: skip


def _source(qube: Qube, name: str) -> Qube | None:
    """The qube whose volume is snapshot at each start."""
    if name == "root" and qube.klass in ("AppVM", "DispVM"):
        template = qube.template
        while template is not None and template.template is not None:
            template = template.template
        return template
    if name == "private" and qube.klass == "DispVM":
        return qube.template
    return None


def _names(qube: Qube) -> tuple[str, ...]:
    return () if qube.klass in ("AdminVM", "RemoteVM") else VOLUMES


def _volume(call: Call) -> Volume:
    if call.arg not in _names(call.dest):
        raise permission_denied(f"Argument not in '{call.dest.name} volumes'")
    return volume_info(call.dest, call.arg)


def _change(call: Call, **values: Any) -> None:
    call.dest.volumes.setdefault(call.arg, {}).update(values)
    call.store.touch(call.dest.name)


@method("admin.vm.volume.List")
def volume_list(call: Call) -> str:
    """The volumes; dom0 has none here."""
    return lines(_names(call.dest))


@method("admin.vm.volume.Info", arg="needed")
def volume_get(call: Call) -> str:
    """Everything about one volume."""
    return lines(f"{key}={value}" for key, value in _volume(call).items())


@method("admin.vm.volume.ListSnapshots", arg="needed")
def volume_snapshots(call: Call) -> str:
    """Revisions; the sandbox's volumes have none."""
    _volume(call)
    return ""


@method("admin.vm.volume.CloneFrom", arg="needed")
def volume_clone_from(call: Call) -> str:
    """A token to clone this volume with, any of them (exchange 147)."""
    _volume(call)
    return call.store.new_token(call.dest.name, call.arg)


@method("admin.vm.volume.CloneTo", arg="needed", payload=True)
def volume_clone_to(call: Call) -> None:
    """Take the content of the volume that the token stands for."""
    target = _volume(call)
    token = call.payload.decode("ascii", "replace")
    found = call.store.tokens.pop(token, None)
    source = call.store.qubes.get(found[0]) if found else None
    if found is None or source is None:
        raise DaemonError(
            "QubesVolumeCopyTokenNotFoundError", repr("Token to clone volume of qube was not found")
        )
    if not call.dest.is_halted:
        raise not_halted(call.dest.name)
    if target["snap_on_start"]:
        raise DaemonError("StoragePoolException", f"Cannot clone to volume {target['vid']}")
    info = volume_info(source, found[1])
    _change(call, size=info["size"], content=info["vid"])


@method("admin.vm.volume.Resize", arg="needed", payload=True)
def volume_resize(call: Call) -> None:
    """Grow a volume; shrinking is refused."""
    info = _volume(call)
    text = call.payload.decode("ascii", "replace")
    if not text.isdigit():
        raise protocol_error("Invalid volume size")
    if int(text) < info["size"]:
        raise DaemonError(
            "StoragePoolException",
            f"For your own safety, shrinking of {call.arg} is disabled "
            f"({text} < {info['size']}). If you really know what you are doing, resize "
            "filesystem manually first.",
        )
    if int(text) != info["size"]:
        _change(call, size=int(text))
        call.store.fire(call.dest.name, "domain-volume-resized", name=call.arg, size=text)


@method("admin.vm.volume.Revert", arg="needed", payload=True)
def volume_revert(call: Call) -> None:
    """Go back to a revision, of which there are none."""
    _volume(call)
    raise permission_denied(f"Argument not in '{call.arg} revisions'")


def _set_number(call: Call, key: str) -> None:
    _volume(call)
    text = call.payload.decode("ascii", "replace")
    try:
        value = int(text)
    except ValueError:
        raise protocol_error(f"Invalid {key} value") from None
    _change(call, **{key: value})


def _set_truth(call: Call, key: str) -> None:
    _volume(call)
    text = call.payload.decode("ascii", "replace")
    if text not in ("True", "False"):
        raise protocol_error(f"Invalid {key} value")
    _change(call, **{key: text == "True"})


@method("admin.vm.volume.Set.revisions_to_keep", arg="needed", payload=True)
def volume_set_revisions(call: Call) -> None:
    """How many revisions are kept."""
    _set_number(call, "revisions_to_keep")


@method("admin.vm.volume.Set.rw", arg="needed", payload=True)
def volume_set_rw(call: Call) -> None:
    """Whether the qube may write to it."""
    _set_truth(call, "rw")


@method("admin.vm.volume.Set.ephemeral", arg="needed", payload=True)
def volume_set_ephemeral(call: Call) -> None:
    """Whether it is encrypted with a key that is thrown away."""
    _set_truth(call, "ephemeral")


# -- pools


def _pool(call: Call) -> dict[str, Any]:
    found = call.store.pools.get(call.arg)
    if found is None:
        raise permission_denied("Argument not in 'pools'")
    return found


@method("admin.pool.List", dest="dom0")
def pool_list(call: Call) -> str:
    """The pools."""
    return lines(call.store.pools)


@method("admin.pool.ListDrivers", dest="dom0")
def pool_drivers(call: Call) -> str:
    """What a pool can be made of. The recording's environment could not answer this."""
    return lines(DRIVERS)


@method("admin.pool.Info", dest="dom0", arg="needed")
def pool_info(call: Call) -> str:
    """A pool's configuration, sorted by key, then where it lies in another one."""
    pool = {"name": call.arg, **_pool(call)}
    tail = {"included_in": pool.pop("included_in")} if "included_in" in pool else {}
    return lines(f"{key}={value}" for key, value in [*sorted(pool.items()), *tail.items()])


@method("admin.pool.UsageDetails", dest="dom0", arg="needed")
def pool_usage(call: Call) -> str:
    """Size and usage of the pool's data."""
    pool = _pool(call)
    return lines(f"data_{key}={pool[key]}" for key in ("size", "usage") if key in pool)


@method("admin.pool.Set.revisions_to_keep", dest="dom0", arg="needed", payload=True)
def pool_set_revisions(call: Call) -> None:
    """How many revisions volumes of this pool keep."""
    text = call.payload.decode("ascii", "replace")
    if not text.isdigit():
        raise protocol_error("Invalid revisions_to_keep value")
    _pool(call)["revisions_to_keep"] = int(text)
    call.store.touch("")


@method("admin.pool.volume.List", dest="dom0", arg="needed")
def pool_volumes(call: Call) -> str:
    """The pool's volumes, in the order in which they were set up."""
    _pool(call)
    return lines(_pool_volumes(call.store, call.arg))


def _pool_volumes(store: Store, pool: str) -> list[str]:
    found = []
    for name in store.volume_order:
        qube = store.qubes[name]
        for volume in _names(qube):
            info = volume_info(qube, volume)
            if info["pool"] == pool and volume != "kernel":
                found.append(info["vid"])
    return found if store.pools[pool]["driver"] != "linux-kernel" else store.hardware.kernels
