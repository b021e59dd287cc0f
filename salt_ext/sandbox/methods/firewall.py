# SPDX-License-Identifier: GPL-3.0-or-later
"""Firewall rules (exchanges 244 to 252): parsed, and printed in one order of options.

A rule that cannot be parsed ends in zero bytes.
"""

from __future__ import annotations

import ipaddress
import time

from ..errors import Refused, protocol_error
from .registry import Call, lines, method

DEFAULT = ["action=accept"]
ORDER = (
    "action", "proto", "dst4", "dst6", "dsthost", "dstports", "icmptype", "specialtarget",
    "expire", "comment",
)  # fmt: skip


def parse_rule(text: str) -> dict[str, str]:
    """One rule; a comment takes the rest of the line."""
    rule: dict[str, str] = {}
    rest = text
    while rest:
        key, equals, value = rest.partition("=")
        if not equals or key not in ORDER or key in rule:
            raise Refused(f"bad firewall rule: {text!r}")
        if key == "comment":
            rule[key], rest = value, ""
        else:
            value, _, rest = value.partition(" ")
            rule[key] = _check(key, value)
    if "action" not in rule or len({"dst4", "dst6", "dsthost"} & rule.keys()) > 1:
        raise Refused(f"bad firewall rule: {text!r}")
    if "dstports" in rule and rule.get("proto") not in ("tcp", "udp"):
        raise Refused(f"ports without a protocol: {text!r}")
    if "icmptype" in rule and rule.get("proto") != "icmp":
        raise Refused(f"icmptype without icmp: {text!r}")
    return rule


def _check(key: str, value: str) -> str:
    try:
        if key == "dst4":
            return ipaddress.IPv4Interface(value).with_prefixlen
        if key == "dst6":
            return ipaddress.IPv6Interface(value).with_prefixlen
        if key == "dstports":
            first, _, last = value.partition("-")
            ports = int(first), int(last or first)
            if not 0 <= ports[0] <= ports[1] <= 65535:
                raise ValueError(value)
            return f"{ports[0]}-{ports[1]}"
        if key == "icmptype" and not 0 <= int(value) <= 255:
            raise ValueError(value)
        if key == "expire":
            int(value)
    except ValueError:
        raise Refused(f"bad {key}: {value!r}") from None
    allowed = {
        "action": ("accept", "drop", "forward"),
        "proto": ("tcp", "udp", "icmp"),
        "specialtarget": ("dns",),
    }.get(key)
    if not value or (allowed and value not in allowed):
        raise Refused(f"bad {key}: {value!r}")
    return value


def print_rule(rule: dict[str, str]) -> str:
    """The rule in the daemon's order."""
    return " ".join(f"{key}={rule[key]}" for key in ORDER if key in rule)


@method("admin.vm.firewall.Get", dest="qube")
def firewall_get(call: Call) -> str:
    """The rules that have not run out."""
    rules = DEFAULT if call.dest.firewall is None else call.dest.firewall
    return lines(rule for rule in rules if not _expired(rule))


def _expired(rule: str) -> bool:
    expire = parse_rule(rule).get("expire")
    return expire is not None and int(expire) < time.time()


@method("admin.vm.firewall.Set", dest="qube", payload=True)
def firewall_set(call: Call) -> None:
    """Replace all rules."""
    if not call.payload:
        raise protocol_error("expected payload")
    try:
        text = call.payload.decode("ascii")
    except UnicodeDecodeError:
        raise Refused("firewall rules are ASCII") from None
    call.dest.firewall = [print_rule(parse_rule(line)) for line in text.splitlines()]
    call.store.touch(call.dest.name)
    call.store.fire(call.dest.name, "firewall-changed")


@method("admin.vm.firewall.Reload", dest="qube")
def firewall_reload(call: Call) -> None:
    """Apply the rules again."""
    call.store.fire(call.dest.name, "firewall-changed")
