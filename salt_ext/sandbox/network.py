# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses: what a qube has, gives and sees.

Derived from the recording's GetAll of sys-net, sys-firewall's clients and templates (exchanges
36 to 42): 10.137.0.qid, a /32 and the netvm's own address as gateway; without a netvm nothing,
unless the qube provides network itself. IPv6 and the ``net.fake-*`` features follow the daemon's
documented behaviour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .store import Qube

DNS = "10.139.1.1 10.139.1.2"
IP6_PREFIX = "fd09:24ef:4179::"


def is_networked(qube: Qube) -> bool:
    """Whether the qube has an address."""
    return qube.get("netvm") is not None or bool(qube.get("provides_network"))


def ip(qube: Qube) -> str | None:
    """The address that follows from the qube's number."""
    if not is_networked(qube):
        return None
    if qube.klass == "DispVM":
        number = qube.get("dispid")
        return f"10.138.{(number >> 8) & 0xFF}.{number & 0xFF}"
    number = qube.get("qid")
    return f"10.137.{(number >> 8) & 0x7F}.{number & 0xFF}"


def ip6(qube: Qube) -> str | None:
    """The IPv6 address, where the feature is on here or up the chain of netvms."""
    if not is_networked(qube) or not qube.feature("ipv6", "netvm"):
        return None
    if qube.klass == "DispVM":
        return f"{IP6_PREFIX}a8a:{qube.get('dispid'):x}"
    return f"{IP6_PREFIX}a89:{qube.get('qid'):x}"


def dns(qube: Qube) -> str:
    """The two addresses that every networked qube asks."""
    return DNS if is_networked(qube) else ""


def gateway(qube: Qube) -> str | None:
    """The qube's own address, for those behind it."""
    return qube.get("ip") if qube.get("provides_network") else None


def gateway6(qube: Qube) -> str | None:
    """The qube's own IPv6 address, for those behind it."""
    return qube.get("ip6") if qube.get("provides_network") else None


def visible_gateway(qube: Qube) -> str | None:
    """The netvm's address, or a fake one."""
    fake = qube.feature("net.fake-gateway")
    netvm = qube.reference("netvm")
    return fake or (netvm.get("gateway") if netvm is not None else None)


def visible_gateway6(qube: Qube) -> str | None:
    """The netvm's IPv6 address, where the qube has one itself."""
    netvm = qube.reference("netvm")
    return netvm.get("gateway6") if netvm is not None and ip6(qube) else None


def visible_ip(qube: Qube) -> str | None:
    """The qube's address, or a fake one."""
    return qube.feature("net.fake-ip") or qube.get("ip")


def visible_netmask(qube: Qube) -> str | None:
    """A host route, where there is a netvm."""
    fake = qube.feature("net.fake-netmask")
    return fake or ("255.255.255.255" if qube.get("netvm") is not None else None)
