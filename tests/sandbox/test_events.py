# SPDX-License-Identifier: GPL-3.0-or-later
"""``admin.Events`` and ``admin.vm.Stats``: who is told what."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Event = tuple[str, str, dict[str, str]]


class Stream:
    """An open stream."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.rest = b""

    def next(self) -> Event:
        """The next event: subject, name, details."""
        while b"\0\0" not in self.rest[3:]:
            data = self.sock.recv(1 << 16)
            assert data, "the stream ended"
            self.rest += data
        fields = []
        rest = self.rest
        one, subject, event, rest = rest.split(b"\0", 3)
        assert one == b"1"
        while not rest.startswith(b"\0"):
            key, value, rest = rest.split(b"\0", 2)
            fields.append((key.decode(), value.decode()))
        self.rest = rest[1:]
        return subject.decode(), event.decode(), dict(fields)

    def until(self, event: str) -> list[Event]:
        """All events up to one of this name."""
        found = [self.next()]
        while found[-1][1] != event:
            found.append(self.next())
        return found


@contextmanager
def listening(sandbox: Any, dest: str = "dom0", method: str = "admin.Events") -> Iterator[Stream]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(sandbox.socket)
        sock.sendall(f"{method}+ dom0 name {dest}\0".encode())
        sock.shutdown(socket.SHUT_WR)
        stream = Stream(sock)
        assert stream.next() == ("", "connection-established", {})
        yield stream


def test_everything_is_told(sandbox: Any) -> None:
    with listening(sandbox) as stream:
        sandbox.ok("admin.vm.Create.AppVM", payload="name=new label=red")
        assert stream.next() == ("", "domain-add", {"vm": "new"})
        sandbox.ok("admin.vm.property.Set+memory", "new", "500")
        assert stream.next()[:2] == ("new", "property-pre-set:memory")
        assert stream.next() == (
            "new", "property-set:memory", {"name": "memory", "newvalue": "500"},
        )  # fmt: skip
        sandbox.ok("admin.vm.property.Set+memory", "new", "600")
        assert stream.until("property-set:memory")[-1][2]["oldvalue"] == "500"
        sandbox.ok("admin.vm.property.Reset+memory", "new")
        assert stream.until("property-reset:memory")[-1][2]["name"] == "memory"
        sandbox.ok("admin.vm.feature.Set+x", "new", "1")
        assert stream.next() == ("new", "domain-feature-set:x", {"feature": "x", "value": "1"})
        sandbox.ok("admin.vm.feature.Remove+x", "new")
        assert stream.next() == ("new", "domain-feature-delete:x", {"feature": "x"})
        sandbox.ok("admin.vm.tag.Set+t", "new")
        assert stream.next() == ("new", "domain-tag-add:t", {"tag": "t"})
        sandbox.ok("admin.vm.device.pci.Assign+dom0+00_14.0", "new", "mode='required'")
        assert stream.next()[:2] == ("new", "device-assign:pci")
        sandbox.ok("admin.vm.firewall.Set", "new", "action=drop")
        assert stream.next() == ("new", "firewall-changed", {})
        sandbox.ok("admin.vm.Remove", "new")
        assert stream.until("domain-delete")[-1] == ("", "domain-delete", {"vm": "new"})


def test_power(sandbox: Any) -> None:
    with listening(sandbox) as stream:
        sandbox.ok("admin.vm.Start", "sys-firewall")
        found = [(subject, event) for subject, event, _ in stream.until("domain-start")]
        assert found == [
            ("sys-firewall", "domain-pre-start"), ("sys-net", "domain-pre-start"),
            ("sys-net", "domain-spawn"), ("sys-net", "domain-start"),
        ]  # fmt: skip
        assert stream.until("domain-start")[-1][0] == "sys-firewall"
        sandbox.ok("admin.vm.Pause", "sys-net")
        assert stream.until("domain-paused")[-1][0] == "sys-net"
        sandbox.ok("admin.vm.Unpause", "sys-net")
        assert stream.until("domain-unpaused")[-1][0] == "sys-net"
        sandbox.ok("admin.vm.Shutdown", "sys-firewall")
        assert stream.until("domain-shutdown")[-1][0] == "sys-firewall"


def test_a_qubes_own_events(sandbox: Any) -> None:
    with listening(sandbox, "work") as stream:
        sandbox.ok("admin.vm.tag.Set+other", "personal")
        sandbox.ok("admin.vm.tag.Set+mine", "work")
        assert stream.next()[:2] == ("work", "domain-tag-add:mine")


def test_a_listener_that_left_is_forgotten(sandbox: Any) -> None:
    with listening(sandbox):
        pass
    for number in range(3):
        sandbox.ok(f"admin.vm.tag.Set+t{number}", "work")
    with listening(sandbox) as stream:
        sandbox.ok("admin.vm.tag.Set+last", "work")
        assert stream.next()[1] == "domain-tag-add:last"


def test_a_failed_start_is_told(sandbox: Any) -> None:
    sandbox.ok("admin.vm.device.pci.Assign+dom0+nosuch", "work", "mode='required'")
    with listening(sandbox, "work") as stream:
        assert sandbox.call("admin.vm.Start", "work").startswith(b"2\0QubesException\0")
        assert stream.until("domain-start-failed")[-1][2] == {
            "reason": "Pci device dom0:nosuch:* not available"
        }


def test_statistics(start_sandbox: Callable[..., Any]) -> None:
    sandbox = start_sandbox(
        {"globals": {"stats_interval": 1}, "qubes": {"work": {"running": True}}}
    )
    with listening(sandbox, method="admin.vm.Stats") as stream:
        for _ in range(2):
            assert stream.next()[:2] == ("dom0", "vm-stats")
            subject, event, details = stream.next()
            assert (subject, event, details["memory_kb"]) == ("work", "vm-stats", "409600")
