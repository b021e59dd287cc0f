# SPDX-License-Identifier: GPL-3.0-or-later
"""The properties of qubes and of the system: types, defaults, what they take.

Names, types, defaults and the order of the listings are those of the recording (exchanges 7 to
10, 36 to 48 and 270); properties of DispVM and RemoteVM, and defaults that no exchange shows
(template inheritance of those marked so in their help text, fake addresses, memory balancing),
follow the daemon's documented behaviour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import network, setters
from .setters import Parser

if TYPE_CHECKING:
    from .store import Qube

Default = Callable[[Any], Any] | None

CLASSES = ("AdminVM", "AppVM", "DispVM", "RemoteVM", "StandaloneVM", "TemplateVM")
BY_TEMPLATE = "TemplateBasedVMs use its template's value by default."


@dataclass(frozen=True)
class Property:
    """One property of a class of qubes, or of the system."""

    name: str
    type: str
    doc: str
    default: Default = None
    """Computes the default; none where the property has no default."""
    parse: Parser | None = None
    """Turns the payload into a value or raises; none where the property cannot be set."""
    late: bool = False
    """Loaded after the others, and so listed after them (it may refer to other qubes)."""
    once: bool = False
    """Set at creation and never again: a try ends in zero bytes (exchanges 184, 185, 210)."""


def constant(value: Any) -> Default:
    """A default that is always the same."""
    return lambda owner: value


def inherited(name: str, fallback: Callable[[Qube], Any]) -> Default:
    """The template's value where there is a template that has the property."""

    def default(qube: Qube) -> Any:
        template = qube.template
        if template is not None and name in template.table:
            return template.get(name)
        return fallback(qube)

    return default


def from_global(name: str) -> Callable[[Qube], Any]:
    """The value of a global property."""
    return lambda qube: qube.store.get(name)


# -- defaults that take some thought


def balances_memory(qube: Qube) -> bool:
    """Whether the memory balancer may touch the qube: not with PCI devices, and under hvm only
    where the qube is known to run Qubes' tools."""
    if qube.has_pci:
        return False
    if qube.get("virt_mode") != "hvm":
        return True
    if not qube.feature("qrexec"):
        return False
    names = set(qube.features)
    template = qube.template
    while template is not None:
        names.update(template.features)
        template = template.template
    if any(name.startswith("supported-service.") for name in names):
        return bool(qube.feature("supported-service.meminfo-writer"))
    return True


def default_maxmem(qube: Qube) -> int:
    """None without balancing; else the template's, or ten times the memory of a Linux (4000 for
    the rest), at most half of the machine."""
    if not balances_memory(qube):
        return 0
    template = qube.template
    if template is not None:
        return int(template.get("maxmem"))
    wanted = qube.get("memory") * 10 if qube.features.get("os") == "Linux" else 4000
    return int(min(wanted, qube.store.hardware.memory // 2))


def default_virt_mode(qube: Qube) -> str:
    """pvh, but hvm with PCI devices (exchange 311)."""
    if qube.has_pci:
        return "hvm"
    template = qube.template
    return template.get("virt_mode") if template is not None else "pvh"


def default_netvm(qube: Qube) -> Any:
    """The global default; a qube that provides network has none of its own accord."""
    if qube.get("provides_network"):
        return None
    return qube.store.get("default_netvm")


def default_disposable_netvm(qube: Qube) -> Any:
    """A disposable goes online as its template does."""
    template = qube.template
    return template.get("netvm") if template is not None else default_netvm(qube)


def default_bootmode(qube: Qube) -> str:
    """What the template says for its qubes."""
    template = qube.template
    if template is not None and "appvm_default_bootmode" in template.table:
        return str(template.get("appvm_default_bootmode"))
    return "default"


def icon(qube: Qube) -> str:
    """The icon's name: kind of qube and label."""
    label = qube.get("label")
    if qube.klass in ("TemplateVM", "AdminVM", "DispVM"):
        return f"{qube.klass.lower()}-{label}"
    if "template_for_dispvms" in qube.table and qube.get("template_for_dispvms"):
        return f"templatevm-{label}"
    if "provides_network" in qube.table and qube.features.get(
        "servicevm", qube.get("provides_network")
    ):
        return f"servicevm-{label}"
    return f"{qube.klass.lower()}-{label}"


def start_time(qube: Qube) -> str | None:
    """When the qube was started."""
    return None if qube.is_halted else f"{qube.started:.2f}"


def stubdom_xid(qube: Qube) -> int:
    """The number of the device model's domain, of a running hvm."""
    return -1 if qube.is_halted or qube.get("virt_mode") != "hvm" else qube.xid + 1000


def stubdom_uuid(qube: Qube) -> str:
    """The sandbox's stub domains have no uuid."""
    return ""


def dom0_maxmem(qube: Qube) -> int:
    """What dom0 has."""
    return qube.store.hardware.dom0_memory


# -- the tables

_COMMON = [
    Property("devices_denied", "str", "Device interfaces that may not be attached to this qube.",
             constant(""), setters.text),
    Property("icon", "str", "Name of the icon.", icon),
    Property("include_in_backups", "bool", "Whether a backup takes this qube by default.",
             constant(True), setters.boolean),
    Property("keyboard_layout", "str", "Keyboard layout, variant and options.",
             constant("us++"), setters.text),
    Property("klass", "str", "Class of the qube.", lambda qube: qube.klass),
    Property("updateable", "bool", "Whether software is installed in this qube itself.",
             lambda qube: qube.klass in ("AdminVM", "TemplateVM", "StandaloneVM")),
]  # fmt: skip

_LABEL_DOC = "Colourful label assigned to VM. This is where the colour of the padlock is set."

_ADMIN = [
    Property("label", "label", _LABEL_DOC),
    Property("maxmem", "int", "Memory of dom0.", dom0_maxmem),
    Property("name", "str", "Name of the qube.", constant("dom0"), setters.text, once=True),
    Property("qid", "int", "Number of the qube.", constant(0), setters.integer, once=True),
    Property("uuid", "str", "UUID of the qube.",
             constant("00000000-0000-0000-0000-000000000000"), setters.unique_id, once=True),
    Property("default_dispvm", "vm", "Disposable template of calls from dom0.",
             from_global("default_dispvm"), setters.disposable_template, late=True),
]  # fmt: skip

_IDENTITY = [
    Property("installed_by_rpm", "bool", "Whether the package manager installed this qube.",
             constant(False), setters.boolean),
    Property("label", "label", _LABEL_DOC, None, setters.label),
    Property("name", "str", "Name of the qube.", None, setters.text, once=True),
    Property("qid", "int", "Number of the qube.", None, setters.integer, once=True),
    Property("uuid", "str", "UUID of the qube.", None, setters.unique_id, once=True),
]  # fmt: skip

_DOMAIN = [
    Property("autostart", "bool", "Whether the qube starts with the machine.",
             constant(False), setters.boolean),
    Property("backup_timestamp", "int", "When the qube was last backed up.",
             constant(None), setters.integer),
    Property("debug", "bool", "Whether the qube runs with debugging on.",
             constant(False), setters.boolean),
    Property("default_user", "str", f"User that programs run as. {BY_TEMPLATE}",
             inherited("default_user", lambda qube: "user"), setters.user_name),
    Property("dns", "str", "Name servers handed to this qube.", network.dns),
    Property("gateway", "str", "Gateway of the qubes behind this one.", network.gateway),
    Property("gateway6", "str", "IPv6 gateway of the qubes behind this one.", network.gateway6),
    Property("ip", "str", "IP address of this qube.", network.ip, setters.ip4),
    Property("ip6", "str", "IPv6 address of this qube.", network.ip6, setters.ip6),
    Property("kernel", "str", f"Kernel used by this domain. {BY_TEMPLATE}",
             inherited("kernel", from_global("default_kernel")), setters.kernel),
    Property("mac", "str", "MAC address of this qube.", constant("00:16:3e:5e:6c:00"), setters.mac),
    Property("maxmem", "int", f"Memory that balancing may reach; 0 is off. {BY_TEMPLATE}",
             default_maxmem, setters.not_negative),
    Property("memory", "int", f"Memory currently available for this VM. {BY_TEMPLATE}",
             inherited("memory", lambda qube: 400), setters.positive),
    Property("provides_network", "bool", "Whether other qubes may use this one as their netvm.",
             constant(False), setters.provides_network),
    Property("qrexec_timeout", "int", f"Seconds in which a start has to finish. {BY_TEMPLATE}",
             inherited("qrexec_timeout", from_global("default_qrexec_timeout")),
             setters.positive),
    Property("shutdown_timeout", "int", f"Seconds in which it has to shut down. {BY_TEMPLATE}",
             inherited("shutdown_timeout", from_global("default_shutdown_timeout")),
             setters.positive),
    Property("start_time", "str", "When the qube was started.", start_time),
    Property("stubdom_mem", "int", "Memory of the device model's domain.",
             constant(None), setters.positive),
    Property("stubdom_uuid", "str", "UUID of the device model's domain.", stubdom_uuid),
    Property("stubdom_xid", "int", "Xen's number of the device model's domain.", stubdom_xid),
    Property("vcpus", "int", f"Number of virtual CPUs. {BY_TEMPLATE}",
             inherited("vcpus", lambda qube: 2), setters.positive),
    Property("virt_mode", "str",
             'Virtualisation mode: full virtualisation ("HVM"), or paravirtualisation ("PV"), '
             f'or hybrid ("PVH"). {BY_TEMPLATE}', default_virt_mode, setters.virt_mode),
    Property("visible_gateway", "str", "Gateway as the qube sees it.", network.visible_gateway),
    Property("visible_gateway6", "str", "IPv6 gateway as the qube sees it.",
             network.visible_gateway6),
    Property("visible_ip", "str", "IP address as the qube sees it.", network.visible_ip),
    Property("visible_ip6", "str", "IPv6 address as the qube sees it.", network.ip6),
    Property("visible_netmask", "str", "Netmask as the qube sees it.", network.visible_netmask),
    Property("xid", "int", "Xen's number of the running domain.", lambda qube: qube.xid),
    Property("audiovm", "vm", "Qube that plays this qube's sound.",
             from_global("default_audiovm"), setters.any_qube, late=True),
    Property("bootmode", "str", "Boot mode of this qube.",
             default_bootmode, setters.text, late=True),
    Property("default_dispvm", "vm", f"Disposable template of calls from here. {BY_TEMPLATE}",
             inherited("default_dispvm", from_global("default_dispvm")),
             setters.disposable_template, late=True),
    Property("guivm", "vm", "Qube that shows this qube's windows.",
             from_global("default_guivm"), setters.any_qube, late=True),
    Property("kernelopts", "str", f"Kernel command line. {BY_TEMPLATE}",
             inherited("kernelopts", lambda qube: "swiotlb=2048"), setters.text, late=True),
    Property("management_dispvm", "vm", f"Disposable template that manages it. {BY_TEMPLATE}",
             inherited("management_dispvm", from_global("management_dispvm")),
             setters.disposable_template, late=True),
]  # fmt: skip

_NETVM_DOC = (
    "VM that provides network connection to this domain. When None, machine is disconnected. "
    "When absent, domain uses default NetVM."
)
_NETVM = Property("netvm", "vm", _NETVM_DOC, default_netvm, setters.netvm, late=True)
_FOR_DISPOSABLES = Property(
    "template_for_dispvms", "bool", "Whether disposables may be based on this qube.",
    constant(False), setters.template_for_dispvms,
)  # fmt: skip

_TEMPLATE = [
    Property("appvm_default_bootmode", "str", "Boot mode of the qubes based on this template.",
             constant("default"), setters.text, late=True),
    Property("netvm", "vm", _NETVM_DOC, constant(None), setters.netvm, late=True),
]  # fmt: skip

_APP = [
    _NETVM,
    _FOR_DISPOSABLES,
    Property("template", "vm", "Template, on which this AppVM is based.",
             None, setters.template, late=True),
]  # fmt: skip

_DISPOSABLE = [
    Property("netvm", "vm", _NETVM_DOC, default_disposable_netvm, setters.netvm, late=True),
    Property("auto_cleanup", "bool", "Whether the qube is removed once it is off.",
             constant(False), setters.boolean),
    Property("dispid", "int", "Number of the disposable.", None, setters.integer, once=True),
    Property("template", "vm", "Disposable template, on which this DispVM is based.",
             None, setters.disposable_base, late=True),
]  # fmt: skip

_REMOTE = [
    Property("relayvm", "vm", "Qube that relays calls to the remote one.",
             constant(None), setters.any_qube, late=True),
    Property("remote_name", "str", "Name of the qube on the other machine.",
             constant(None), setters.text),
    Property("transport_rpc", "str", "Service that carries the calls.",
             constant(None), setters.text),
]  # fmt: skip


def _table(*groups: list[Property]) -> dict[str, Property]:
    """A class's properties in the order of its listings."""
    found = [entry for group in groups for entry in group]
    return {entry.name: entry for entry in sorted(found, key=lambda e: (e.late, e.name))}


PROPERTIES: dict[str, dict[str, Property]] = {
    "AdminVM": _table(_COMMON, _ADMIN),
    "TemplateVM": _table(_COMMON, _IDENTITY, _DOMAIN, _TEMPLATE),
    "StandaloneVM": _table(_COMMON, _IDENTITY, _DOMAIN, [_NETVM, _FOR_DISPOSABLES]),
    "AppVM": _table(_COMMON, _IDENTITY, _DOMAIN, _APP),
    "DispVM": _table(_COMMON, _IDENTITY, _DOMAIN, _DISPOSABLE),
    "RemoteVM": _table(_COMMON, _IDENTITY, _REMOTE),
}

GLOBAL_PROPERTIES: dict[str, Property] = _table([
    Property("check_updates_vm", "bool", "Whether qubes look for updates.",
             constant(True), setters.boolean),
    Property("clockvm", "vm", "Qube that keeps the time.", constant(None), setters.any_qube),
    Property("default_audiovm", "vm", "Qube that plays sound.",
             constant("dom0"), setters.any_qube),
    Property("default_dispvm", "vm", "Disposable template of calls from qubes.",
             constant(None), setters.disposable_template),
    Property("default_guivm", "vm", "Qube that shows windows.",
             constant("dom0"), setters.any_qube),
    Property("default_kernel", "str", "Kernel of qubes that say nothing else.",
             constant(None), setters.kernel),
    Property("default_netvm", "vm", "Netvm of qubes that say nothing else.",
             constant(None), setters.netvm),
    Property("default_pool", "str", "Storage pool of new volumes.", constant(None), setters.pool),
    Property("default_pool_kernel", "str", "Storage pool of kernels.",
             constant(None), setters.pool),
    Property("default_pool_private", "str", "Storage pool of private volumes.",
             from_global("default_pool"), setters.pool),
    Property("default_pool_root", "str", "Storage pool of root volumes.",
             from_global("default_pool"), setters.pool),
    Property("default_pool_volatile", "str", "Storage pool of volatile volumes.",
             from_global("default_pool"), setters.pool),
    Property("default_qrexec_timeout", "int", "Seconds in which a start has to finish.",
             constant(60), setters.positive),
    Property("default_shutdown_timeout", "int", "Seconds in which a qube has to shut down.",
             constant(60), setters.positive),
    Property("default_template", "vm", "Template of qubes that name none.",
             constant(None), setters.template),
    Property("management_dispvm", "vm", "Disposable template that manages qubes.",
             constant(None), setters.disposable_template),
    Property("maxmem", "int", "Memory of the machine.", lambda store: store.hardware.memory),
    Property("no_cpus", "int", "CPUs of the machine.", lambda store: store.hardware.cpus),
    Property("stats_interval", "int", "Seconds between statistics.",
             constant(3), setters.positive),
    Property("updatevm", "vm", "Qube that dom0 updates through.", constant(None), setters.netvm),
])  # fmt: skip
