# SPDX-License-Identifier: GPL-3.0-or-later
"""Random desired states against random stores, over Salt's own loader and state compiler.

The dry run writes nothing and says what the first run then does, the first run reaches what was
asked for and touches nothing else, what it reports is what the log says, and the second run finds
nothing to do. Told from qubesd's answers and the sandbox's store, not from our own reports. The
same examples in each `make check`; ever new ones, until the minutes are over, in `make soak`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from bed import comparable
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from oracle import applied, expected, leaves, path_of
from rig import MACHINES, QuickMinion
from saltext.qvm_gpu.sandbox import Sandbox
from soak import MINUTES, SOAK, count, has_time

EXAMPLES = (
    400 if SOAK else 150
)  # of one run of hypothesis; in a soak test it is run again and again
ENDLESS = SOAK and float("inf") != MINUTES
DEFAULT = "*default*"
MACHINE_FILES = [None, "recorded-root", "plain-with-identities", "r42-plain", "two-bridges"]

# ---- what states ask for

ints = st.integers
TEXT = st.text("abz019 _=.,:;-+/\\'\"<>&$()[]~", min_size=1, max_size=12)
OPTIONS = {
    "memory": ints(300, 4000), "maxmem": ints(4000, 8000) | st.just(0), "vcpus": ints(1, 8),
    "autostart": st.booleans(), "debug": st.booleans(), "include_in_backups": st.booleans(),
    "netvm": st.sampled_from(["sys-firewall", "sys-net", None, "none"]),
    "label": st.sampled_from(["red", "blue", "gray", "black"]),
    "virt_mode": st.sampled_from(["hvm", "pvh"]),
    "kernel": st.sampled_from(["", None, "6.12.39-1.fc41"]),
    "kernelopts": TEXT.map(str.strip), "default_user": st.sampled_from(["user", "other", "x1"]),
    "qrexec_timeout": ints(1, 600), "default_dispvm": st.sampled_from(["default-dvm", None]),
}  # fmt: skip
NEVER_DEFAULT = {"label"}


def written(value: Any) -> st.SearchStrategy[Any]:
    """A value as people write it: with quotes or without."""
    return (
        st.sampled_from([value, str(value)]) if isinstance(value, (int, bool)) else st.just(value)
    )


@st.composite
def prefs(draw: Any) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(sorted(OPTIONS)), unique=True, max_size=5))
    return {
        name: DEFAULT
        if name not in NEVER_DEFAULT and draw(st.integers(0, 5)) == 5
        else draw(OPTIONS[name].flatmap(written))
        for name in names
    }


NAMES = st.sampled_from(["a", "b-c", "x_y", "vm-config.z", "n.1"])
features = st.dictionaries(NAMES, st.just("1") | st.just("") | st.none() | TEXT, max_size=4)
services = st.dictionaries(st.sampled_from(["cups", "x-y", "crond"]),
                           st.sampled_from([True, False, None]), max_size=3)  # fmt: skip
tags = st.dictionaries(st.sampled_from(["one", "two-2", "three_3"]), st.booleans(), max_size=3)
RULES = ["action=accept dst4=10.0.0.1/32", "action=accept specialtarget=dns",
         "action=accept proto=tcp dsthost=example.org dstports=443-443",
         "action=drop proto=icmp"]  # fmt: skip
rules = st.none() | st.lists(st.sampled_from(RULES), max_size=3).map(lambda r: [*r, "action=drop"])
ports = st.none() | st.sets(st.integers(0, 5), max_size=3)
power = st.sampled_from(["Halted"] * 6 + ["Running", "Paused"])


class Wish(dict):
    """What one state asks for, by kinds; hypothesis prints it."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


wishes = st.fixed_dictionaries(
    {
        "qube": st.sampled_from(["work", "gpu", "gpu", "other"]),
        "klass": st.sampled_from(["AppVM", "StandaloneVM"]),
        "label": st.sampled_from(["red", "green"]),
        "prefs": prefs(), "features": features, "services": services, "tags": tags,
        "rules": rules, "ports": ports,
    },
).map(Wish)  # fmt: skip

stores = st.fixed_dictionaries(
    {
        "exists": st.booleans(), "klass": st.sampled_from(["AppVM", "StandaloneVM"]),
        "prefs": prefs(), "features": features, "services": services,
        "tags": tags, "rules": rules, "ports": ports, "power": power,
    },
).map(Wish)  # fmt: skip

# ---- the machine


class Bench:
    """A sandbox a machine file, and one minion for all of them."""

    def __init__(self, folder: Any) -> None:
        self.folder = folder
        self.minion = QuickMinion(folder / "minion")
        self.sandboxes: dict[str | None, Sandbox] = {}
        self.sandbox: Any = None
        self.offered: list[str] = []

    def turn_to(self, machine: str | None) -> None:
        """The machine as it was made."""
        if machine not in self.sandboxes:
            path = MACHINES / f"{machine}.yaml" if machine else None
            one = Sandbox(path, folder=self.folder / str(machine), root=True).start()
            one.snapshot()
            self.sandboxes[machine] = one
        self.sandbox = self.sandboxes[machine]
        self.sandbox.reset()
        os.truncate(self.sandbox.log_path, 0)
        self.sandbox.clear_log()
        shutil.rmtree(self.minion.cache / "qvm_gpu", ignore_errors=True)
        self.minion.environment["QUBESD_SOCKET"] = self.sandbox.socket
        self.minion.environment["QVM_GPU_ROOT"] = str(self.sandbox.root)
        lines = self.sandbox.ok("admin.vm.device.pci.Available").splitlines()
        ends = [line for line in lines if "interfaces='p06" not in line]
        found = [line.split("port_id='")[1].split("'")[0] for line in ends]
        self.offered = sorted(set(found) - {"00_02.0"})  # dom0's display

    def chosen(self, numbers: Any) -> list[str]:
        """The devices with these numbers, as far as there are so many."""
        return sorted({self.offered[number % len(self.offered)] for number in numbers})

    def prepare(self, qube: str, before: Wish) -> None:
        """What somebody did to the qube earlier; what qubesd refuses was not done."""
        box = self.sandbox
        if qube not in box.state():
            if not before.exists:
                return
            based = "AppVM+debian-12-xfce" if before.klass == "AppVM" else before.klass
            box.ok(f"admin.vm.Create.{based}", "dom0", f"name={qube} label=red")
        for name, value in before.prefs.items():
            text = "" if value in (None, "none") else str(value)
            if value != DEFAULT:
                box.call(f"admin.vm.property.Set+{name}", qube, text)
        for name, value in before.features.items():
            if value is not None:
                box.call(f"admin.vm.feature.Set+{name}", qube, value)
        for name, value in before.services.items():
            if value is not None:
                box.call(f"admin.vm.feature.Set+service.{name}", qube, "1" if value else "")
        for name, value in before.tags.items():
            if value:
                box.call(f"admin.vm.tag.Set+{name}", qube)
        if before.rules:
            box.call("admin.vm.firewall.Set", qube, "".join(f"{rule}\n" for rule in before.rules))
        if before.ports:
            self.minion.one("qvm.prefs", qube, {"pcidevs": self.chosen(before.ports)})
        if before.power != "Halted":
            box.call("admin.vm.Start", qube)
        if before.power == "Paused":
            box.call("admin.vm.Pause", qube)

    def properties(self, qube: str) -> dict[str, tuple[bool, str]]:
        """Name > (is it the default, value), as qubesd tells."""
        reply = self.sandbox.call("admin.vm.property.GetAll", qube)
        if not reply.startswith(b"0\0"):
            return {}
        out = {}
        for line in reply[2:].decode().splitlines():
            name, default, _type, *value = line.split(" ", 3)
            text = "".join(value).replace("\\n", "\n").replace("\\\\", "\\")
            out[name] = (default == "default=True", text)
        return out

    def stop(self) -> None:
        for one in self.sandboxes.values():
            one.stop()


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Iterator[Bench]:
    one = Bench(tmp_path_factory.mktemp("random"))
    yield one
    one.stop()


# ---- the grammars


def as_vm(bench: Bench, wish: Wish) -> tuple[str, list[Any]]:
    """The wish in upstream's grammar."""
    body: list[Any] = []
    present = [{"label": wish.label}, {"template": "debian-12-xfce"}, {"class": wish.klass}]
    body.append({"present": present})
    if wish.prefs or wish.ports is not None:
        items = [{name: value} for name, value in wish.prefs.items()]
        devices = [] if wish.ports is None else [{"pcidevs": bench.chosen(wish.ports)}]
        body.append({"prefs": items + devices})
    if wish.features:
        body.append({"features": sorted_out(wish.features, "", "1")})
    if wish.services:
        body.append({"service": sorted_out(wish.services, False, True)})
    if wish.tags:
        add = [name for name, there in wish.tags.items() if there]
        gone = [name for name, there in wish.tags.items() if not there]
        body.append({"tags": [{"add": add}, {"del": gone}]})
    return "qvm.vm", body


def sorted_out(pairs: dict[str, Any], off: Any, on: Any) -> list[Any]:
    """enable, disable, default and set."""
    verbs: dict[str, list[Any]] = {}
    for name, value in pairs.items():
        if value is None:
            verbs.setdefault("default", []).append(name)
        elif value == on:
            verbs.setdefault("enable", []).append(name)
        elif value == off:
            verbs.setdefault("disable", []).append(name)
        else:
            verbs.setdefault("set", []).append({name: value})
    return [{verb: names} for verb, names in verbs.items()]


def as_firewall(bench: Bench, wish: Wish) -> tuple[str, list[Any]]:
    """Only its rules."""
    return "qvm.firewall", [{"set": wish.rules}]


def as_gpu(bench: Bench, wish: Wish) -> tuple[str, list[Any]]:
    """The wish in our own grammar."""
    body: list[Any] = [{"label": wish.label}, {"template": "debian-12-xfce"}]
    if wish.prefs:
        body.append({"prefs": wish.prefs})
    if wish.features:
        body.append({"features": wish.features})
    if wish.services:
        body.append({"services": wish.services})
    body.append({"tags": [name for name, there in wish.tags.items() if there]})
    if wish.ports:
        body.append({"devices": bench.chosen(wish.ports)})
    return "qvm_gpu.present", body


# ---- what must be true afterwards


def same(name: str, wanted: Any, have: tuple[bool, str]) -> bool:
    """Whether a property is as it was asked for."""
    default, text = have
    if wanted == DEFAULT:
        return default
    if wanted in (None, "none") and name in ("netvm", "default_dispvm", "kernel"):
        return text == ""
    if name in ("memory", "maxmem", "vcpus", "qrexec_timeout"):
        return int(text) == int(wanted)
    return text == str(wanted)


def check_reached(bench: Bench, wish: Wish, function: str, before: dict[str, Any]) -> None:
    """The store has what was asked for."""
    qube, gpu, created = wish.qube, function == "qvm_gpu.present", wish.qube not in before
    had = {entry["port"] for entry in before.get(qube, {}).get("assigned", ())}
    record = bench.sandbox.state()[qube]
    if function == "qvm.firewall":
        assert record["firewall"] == wish.rules
        return
    have = bench.properties(qube)
    for name, value in wish.prefs.items():
        assert same(name, value, have[name]), f"{name} is {have[name]}, not {value!r}"
    if created and "label" not in wish.prefs:
        assert have["label"][1] == wish.label
    if created:
        assert record["klass"] == ("StandaloneVM" if gpu else wish.klass)
    for name, value in wish.features.items():
        assert record["features"].get(name) == value, name
    for name, value in wish.services.items():
        text = {True: "1", False: "", None: None}[value]
        assert record["features"].get(f"service.{name}") == text, name
    for name, there in wish.tags.items():
        assert (name in record["tags"]) == there or (gpu and not there), name
    if wish.ports is not None and not (gpu and not wish.ports):
        ports = {entry["port"] for entry in record["assigned"]}
        wanted = set(bench.chosen(wish.ports))
        assert ports == had | wanted, f"{ports}, not {had} and {wanted}"


def check_untouched(wish: Wish, before: dict[str, Any], after: dict[str, Any], gpu: bool) -> None:
    """Nobody else was touched, and nothing that was not asked for."""
    for name in set(before) | set(after):
        if name not in (wish.qube, ""):
            assert before.get(name) == after.get(name), f"{name} was touched"
    old, new = before.get(wish.qube), after[wish.qube]
    if old is None:
        return
    named = {f"service.{name}" for name in wish.services} | set(wish.features)
    for part, mine in (("features", named), ("props", set(wish.prefs))):
        for name in set(old[part]) | set(new[part]):
            if name in mine or (gpu and part == "props") or (gpu and name == "menu-items"):
                continue
            assert old[part].get(name) == new[part].get(name), f"{part}: {name}"
    assert set(old["tags"]) ^ set(new["tags"]) <= set(wish.tags)
    assert (old["klass"], old["notes"], old["power"]) == (new["klass"], new["notes"], new["power"])


def check_told(bench: Bench, changes: dict[str, Any]) -> None:
    """The report is what the log says: each change was made, and each that was made is told."""
    log = [call for call in bench.sandbox.log() if call.writing and applied(call)]
    copied = sum(call.method == "admin.vm.volume.CloneTo" for call in log)
    assert leaves(changes) == expected(log, changes, copied), "the report is not the log"
    if not any(call.method.startswith("admin.vm.Create.") for call in log):
        hidden = [call.request for call in log if not path_of(call, leaves(changes))]
        assert not hidden, f"not told: {hidden}"
    if not changes:
        assert not log


def check_old(changes: dict[str, Any], had: dict[str, tuple[bool, str]]) -> None:
    """What the report calls old is what qubesd had."""
    for name, change in changes.get("qvm.prefs", {}).items():
        if name in had and name in OPTIONS:
            default, text = had[name]
            old = "" if change["old"] is None else str(change["old"])  # None: it is empty
            assert same(name, change["old"], (default, text)) or (not default and old == text), (
                f"{name} was {had[name]}, not {change['old']!r}"
            )


def trial(bench: Bench, machine: str | None, before: Wish, wish: Wish, grammar: Any) -> str:
    """One example; what kind it was."""
    if grammar is as_gpu:  # work is based on a template, and that cannot change
        wish = Wish(wish, qube="gpu" if wish.qube == "work" else wish.qube)
        before = Wish(before, klass="StandaloneVM")
        wish["prefs"] = {
            k: v for k, v in wish.prefs.items() if v != "pvh"
        }  # an error beside a card
    bench.turn_to(machine)
    bench.prepare(wish.qube, before)
    function, body = grammar(bench, wish)
    sls = yaml.safe_dump({"t": {function: [{"name": wish.qube}, *body]}})
    start = bench.sandbox.state()
    had = bench.properties(wish.qube)
    bench.sandbox.clear_log()
    (dry,) = bench.minion.high(sls, test=True)
    assert not bench.sandbox.writing_calls(), "the dry run writes"
    assert bench.sandbox.state() == start, "the dry run changed the store"
    bench.sandbox.clear_log()
    (first,) = bench.minion.high(sls)
    told = f"{first['comment']}\n{json.dumps(first['changes'])}"
    assert "Traceback" not in told
    check_told(bench, first["changes"])
    check_old(first["changes"], had)
    if first["result"] is not True:
        # Only qubesd may find something that a dry run cannot know.
        assert dry["result"] is False or "admin.vm." in first["comment"], told
        return "refused"
    assert dry["result"] is (None if dry["changes"] else True), dry
    assert leaves(dry["changes"]) == leaves(first["changes"]), f"predicted {dry['changes']}, {told}"
    end = bench.sandbox.state()
    check_reached(bench, wish, function, start)
    check_untouched(wish, comparable(start), comparable(end), function == "qvm_gpu.present")
    bench.sandbox.clear_log()
    (second,) = bench.minion.high(sls)
    assert second["result"] is True and second["changes"] == {}, second
    assert not bench.sandbox.writing_calls(), "the second run writes"
    assert bench.sandbox.state() == end
    return "changed" if first["changes"] else "nothing to do"


def explore(bench: Bench, what: str, grammar: Any, strategy: Any, share: float = 1.0) -> None:
    """Hypothesis with this grammar."""
    options = settings(
        max_examples=int(EXAMPLES * share), derandomize=not SOAK, database=None, deadline=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck), print_blob=True,
    )  # fmt: skip

    @options
    @given(machine=st.sampled_from(MACHINE_FILES), before=stores, wish=strategy)
    def examples(machine: str | None, before: Wish, wish: Wish) -> None:
        count("random", f"{what} {trial(bench, machine, before, wish, grammar)}")

    seed(int.from_bytes(os.urandom(4), "big"))(examples)() if SOAK else examples()


PARTS = {
    "qvm.vm": (as_vm, wishes, 1.5),
    "qvm_gpu.present": (as_gpu, wishes, 1.0),
    "qvm.firewall": (as_firewall, wishes.filter(lambda wish: wish.rules and wish.qube == "work"), 0.2),
}  # fmt: skip


@pytest.mark.timeout(0)
@pytest.mark.parametrize("what", sorted(PARTS))
def test_random_states(bench, what):
    grammar, strategy, share = PARTS[what]
    explore(bench, what, grammar, strategy, share)


@pytest.mark.timeout(0)
@pytest.mark.skipif(not ENDLESS, reason="only make soak goes on until its minutes are over")
def test_until_the_end(bench):
    while has_time():
        for what, (grammar, strategy, share) in PARTS.items():
            if has_time():
                explore(bench, what, grammar, strategy, share / 4)
