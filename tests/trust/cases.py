# SPDX-License-Identifier: GPL-3.0-or-later
"""A call of every function of the core, for tests that repeat them or starve them of memory.

Each leaves the sandbox as it was: dry runs, states that find nothing to do, and pairs that undo one
another. ``CALLS`` must name every function and every attribute of the module.
"""

from __future__ import annotations

import copy
import pickle
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from saltext.qvm_gpu import _core

DATA = Path(__file__).resolve().parents[1] / "data" / "beds"
KERNEL = "6.12.9-200.fc41.x86_64"
CARD = ["01:00.0", "01:00.1"]

Call = tuple[str, Any, bool]
"""Function, arguments, dry."""


def furnish(root: Path) -> None:
    """What nvidia and qvm_gpu.hidden look at, beside the sandbox's PCI tree: Fedora without any
    program."""
    for path, source in {
        "etc/os-release": "os-release/fedora-41",
        "etc/default/grub": "grub/fedora.in",
        "etc/dnf/dnf.conf": "dnf/fedora.in",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(DATA / source, root / path)
    (root / "lib/modules" / KERNEL).mkdir(parents=True)
    (root / "proc/sys/kernel").mkdir(parents=True)
    (root / "proc/sys/kernel/osrelease").write_text(KERNEL + "\n", "utf-8")


def qvm(function: str, name: str, *body: Any, dry: bool = True) -> Call:
    """A call with upstream's grammar."""
    return (f"qvm.{function}", {"name": name, "body": list(body)}, dry)


def gpu(function: str, dry: bool = True, **arguments: Any) -> Call:
    """A call with plain arguments."""
    return (f"qvm_gpu.{function}", arguments, dry)


def driver(function: str, **arguments: Any) -> Call:
    """A dry run in the root, where no program is."""
    return (f"nvidia.{function}", arguments, True)


PRESENT = [{"template": "fedora-40-xfce"}, {"label": "yellow"}, {"flags": ["standalone"]}]
PREFS = [{"memory": 500}, {"netvm": "none"}, {"virt_mode": "hvm"}, {"kernel": ""}, {"vcpus": "3"}]
FEATURES = [{"set": [{"a": "1"}, {"b": "x y"}]}, {"disable": ["c"]}, {"default": ["d"]}]
RULES = ["action=accept dsthost=10.0.0.1 proto=tcp dstports=80-90", "action=drop"]

CALLS: dict[str, list[Call]] = {
    "qvm.exists": [qvm("exists", "work")],
    "qvm.missing": [qvm("missing", "nosuch")],
    "qvm.running": [qvm("running", "dom0")],
    "qvm.halted": [qvm("halted", "work")],
    "qvm.present": [qvm("present", "gpu", *PRESENT), qvm("present", "work", {"label": "blue"})],
    "qvm.create": [qvm("create", "mail", {"template": "debian-12-xfce"}, {"label": "red"})],
    "qvm.prefs": [
        qvm("prefs", "work", *PREFS), qvm("prefs", "work", {"pcidevs": CARD}),
        qvm("prefs", "work", {"netvm": "sys-net"}, {"guivm": "nosuch"}),
        qvm("prefs", "work", {"label": "pink"}),
    ],
    "qvm.devices": [qvm("devices", "work", {"attach": [{"pci:dom0:01:00.1": {"permissive": 1}}]})],
    "qvm.service": [qvm("service", "work", {"enable": ["cups"]}, {"disable": ["meminfo-writer"]})],
    "qvm.features": [qvm("features", "work", *FEATURES), qvm("features", "dom0", {"list": []})],
    "qvm.tags": [qvm("tags", "work", {"add": ["one", "two"]}, {"del": ["three"]})],
    "qvm.firewall": [qvm("firewall", "work", {"set": RULES})],
    "qvm.absent": [qvm("absent", "nosuch", dry=False), qvm("absent", "sys-net")],
    "qvm.remove": [qvm("remove", "personal")],
    "qvm.clone": [qvm("clone", "copy", {"source": "sys-net"})],
    "qvm.start": [qvm("start", "work")],
    "qvm.shutdown": [qvm("shutdown", "sys-net", {"timeout": 5})],
    "qvm.kill": [qvm("kill", "work")],
    "qvm.pause": [qvm("pause", "work")],
    "qvm.unpause": [qvm("unpause", "work")],
    "qvm.run": [qvm("run", "work", {"cmd": "true"})],
    "qvm.check": [qvm("check", "work", "exists")],
    "qvm.state": [qvm("state", "work", "running", "halted")],
    "qvm.template_installed": [qvm("template_installed", "fedora-41-xfce")],
    "qvm.template_install": [qvm("template_install", "fedora-99")],
    "qvm.template_info": [qvm("template_info", "fedora-41-xfce")],
    "qvm.vm": [
        qvm(
            "vm", "gpu", {"present": PRESENT}, {"prefs": [*PREFS, {"pcidevs": CARD}]},
            {"features": FEATURES}, {"tags": [{"add": ["one"]}]}, {"service": [{"enable": ["x"]}]},
        ),
    ],
    "qvm_gpu.map": [gpu("map", pillar={"devices": "auto"}, over={"prefs": {"memory": 5000}})],
    "qvm_gpu.present": [
        gpu("present", name="gpu", template="fedora-41-xfce", mem=4000, devices=CARD,
            services=["minimal-netvm"], tags=["gpu"], root_size="20GiB"),
    ],
    "qvm_gpu.absent": [gpu("absent", name="work")],
    "qvm_gpu.attached": [gpu("attached", name="work", devices="auto", force=True)],
    "qvm_gpu.ready": [gpu("ready", name="work")],
    "qvm_gpu.hidden": [gpu("hidden", name="hidden", devices="auto")],
    "qvm_gpu.shown": [gpu("shown", name="shown", devices="auto")],
    "qvm_gpu.restarted": [gpu("restarted", name="work"), gpu("restarted", name="nosuch")],
    "qvm_gpu.cards": [gpu("cards")],
    "qvm_gpu.preflight": [gpu("preflight", devices="nvidia", qube="work")],
    "qvm_gpu.plan": [gpu("plan", state="present", name="gpu", devices="auto")],
    "qvm_gpu.report": [gpu("report", format=kind, mask=True) for kind in ("text", "html", "data")],
    "nvidia.driver_installed": [driver("driver_installed", name="d", flavor="open", tmp_size="2G")],
    "nvidia.driver_removed": [driver("driver_removed", name="d")],
    "nvidia.nouveau_disabled": [driver("nouveau_disabled", name="d")],
    "nvidia.prime_offload": [driver("prime_offload", name="d")],
    "nvidia.swap_minimized": [driver("swap_minimized", name="d")],
    "nvidia.kernel_ready": [driver("kernel_ready", name="d")],
    "nvidia.status": [driver("status")],
    "nvidia.version": [driver("version")],
    "nvidia.cards": [driver("cards")],
    "nvidia.plan": [driver("plan")],
}  # fmt: skip

WRITING: dict[str, list[Call]] = {
    "create and remove": [
        qvm("create", "mail", {"template": "debian-12-xfce"}, {"label": "red"}, dry=False),
        qvm("remove", "mail", dry=False),
    ],
    "clone and remove": [
        qvm("clone", "copy", {"source": "sys-net"}, dry=False),
        qvm("absent", "copy", dry=False),
    ],
    "guide and remove": [
        qvm("vm", "gpu", {"present": PRESENT}, {"prefs": [*PREFS, {"pcidevs": CARD}]}, dry=False),
        qvm("absent", "gpu", dry=False),
    ],
    "settings": [
        qvm("prefs", "work", {"memory": 500}, {"vcpus": 3}, dry=False),
        qvm("prefs", "work", {"memory": "*default*"}, {"vcpus": "*default*"}, dry=False),
        qvm("features", "work", {"set": [{"a": "1"}]}, dry=False),
        qvm("features", "work", {"default": ["a"]}, dry=False),
        qvm("service", "work", {"enable": ["cups"]}, dry=False),
        qvm("service", "work", {"default": ["cups"]}, dry=False),
        qvm("tags", "work", {"add": ["one"]}, dry=False),
        qvm("tags", "work", {"del": ["one"]}, dry=False),
        qvm("firewall", "work", {"set": RULES}, dry=False),
        qvm("firewall", "work", {"set": ["action=accept"]}, dry=False),
    ],
    "card": [
        gpu("attached", dry=False, name="work", force=True),
        qvm("prefs", "work", {"pcidevs": []}, dry=False),
        qvm("devices", "work", {"attach": ["pci:dom0:01:00.1"]}, dry=False),
        qvm("devices", "work", {"detach": ["pci:dom0:01:00.1"]}, dry=False),
    ],
    "power": [
        qvm("start", "work", dry=False),
        gpu("restarted", dry=False, name="work"),
        qvm("pause", "work", dry=False),
        qvm("unpause", "work", dry=False),
        qvm("shutdown", "work", dry=False),
        qvm("start", "work", dry=False),
        qvm("kill", "work", dry=False),
    ],
}


class Odd:
    """A mapping that is no dict, and one whose items are wrong."""

    def __init__(self, *pairs: Any) -> None:
        self.pairs = pairs

    def __getitem__(self, key: Any) -> Any:
        raise KeyError(key)

    def items(self) -> Any:
        return self.pairs


DEEP: list[Any] = []
for _ in range(70):
    DEEP = [DEEP]

WRONG: list[Any] = [
    {"name": object()}, {"name": float("nan")}, {"name": 1 << 70}, {"name": "a\0b"},
    {"name": "\ud800"}, {"name": {1, 2}}, Odd("no pair"), Odd((1, 2), (3,)), Odd(("a", b"b")), DEEP,
]  # fmt: skip
ODD = {"name": "work", "body": (True, 2.5, -7, None, "ä", {1: [{}, []]}, Odd(("memory", 400)))}


def expect(kind: Any, call: Callable[[], Any]) -> None:
    """The call must raise this."""
    try:
        call()
    except kind:
        return
    raise AssertionError(f"no {kind}")


def attributes(make: Callable[..., Any]) -> dict[str, Callable[[], Any]]:
    """A round for each attribute of the module and of Run; ``make`` makes a Run."""
    run = make()

    def constructor() -> None:
        expect(RuntimeError, lambda: make().__init__(socket="/nonexistent", timeout=3, log=print))
        expect(ValueError, lambda: _core.Run(timeout=-1))
        expect(TypeError, lambda: _core.Run(socket=b"bytes"))
        expect(TypeError, lambda: _core.Run(unknown=1))
        expect(ValueError, lambda: _core.Run.__new__(_core.Run).call("qvm.exists", {}))

    def call() -> None:
        expect(ValueError, lambda: run.call("nosuch.function", {}))
        expect(TypeError, lambda: run.call("qvm.exists"))
        for wrong in WRONG:
            expect((TypeError, ValueError, RecursionError), partial(run.call, "qvm.prefs", wrong))
        run.call("qvm.prefs", ODD, True)

    def copies() -> None:
        copy.copy(run)
        copy.deepcopy(run)
        pickle.dumps(run)

    def error() -> None:
        expect(_core.CoreError, lambda: (_ for _ in ()).throw(_core.CoreError("words")))

    return {
        "functions": _core.functions,
        "CoreError": error,
        "Run": constructor,
        "Run.call": call,
        "Run.__reduce__": copies,
    }


def names_of_module() -> set[str]:
    """What needs a case: every function, and every attribute that is the module's own."""
    own = {name for name in vars(_core) if not name.startswith("__")}
    methods = {f"Run.{name}" for name in vars(_core.Run) if name not in SLOTS}
    return set(_core.functions()) | own | methods


SLOTS = {"__doc__", "__module__", "__new__", "__init__"}
"""Run itself is the case of these."""
