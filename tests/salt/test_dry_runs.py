# SPDX-License-Identifier: GPL-3.0-or-later
"""No dry run of any function writes: not to qubesd, not to a file; none of qvm starts a process.

Every function of the core is called, as a state and as an execution function where it is one, in a
machine where it would have something to do.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rig import REPOSITORY, QuickMinion, install_programs, no_process
from saltext.qvm_gpu import _core
from saltext.qvm_gpu.sandbox import Sandbox

sys.path[:0] = [str(REPOSITORY / "tests" / each) for each in ("faults", "docs")]

from examples import functions
from scenarios import SCENARIOS

WOULD = None  # the result of a dry run that has something to do


class Try(NamedTuple):
    """A call, what qubesd is told and which files are written before it, and its dry result."""

    function: str
    name: str
    body: Any = ()
    before: tuple = ()
    files: dict[str, str] | None = None
    result: Any = WOULD


GRUB = 'GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX="rhgb quiet{}"\n'
MENU = "menuentry 'x' {{\n  module2 /vmlinuz-6.6.68-1.qubes.fc41 root=/dev/x rhgb quiet{}\n}}\n"
HIDE = " rd.qubes.hide_pci=01:00.0,01:00.1"
START = ("admin.vm.Start", "work", "")
LABEL = [{"label": "red"}, {"template": "fedora-41-xfce"}]


def dom0(words):
    """dom0's files with these words on the kernel's command line."""
    return {
        "etc/default/grub": GRUB.format(words),
        "boot/grub2/grub.cfg": MENU.format(words),
        "proc/cmdline": f"placeholder root=/dev/x rhgb quiet{words}\n",
    }


IN_DOM0 = [
    *[Try(one.function, one.qube, one.body, one.before) for one in SCENARIOS],
    Try("qvm.create", "new", LABEL),
    Try("qvm.remove", "work", [], (START,)),
    Try("qvm.run", "work", [{"cmd": "touch seen"}, {"flags": ["auto"]}]),
    Try("qvm.template_installed", "fedora-43-xfce", [{"fromrepo": "qubes-templates-itl"}]),
    Try("qvm.template_install", "fedora-43-xfce", [{"version": "4.3.0"}]),
    Try("qvm_gpu.restarted", "work", [], (START,)),
    Try("qvm_gpu.hidden", "nvidia", [], (), dom0("")),
    Try("qvm_gpu.shown", "nvidia", [], (), dom0(HIDE)),
    Try("qvm_gpu.ready", "work", result=True),
    Try("qvm.exists", "work", result=True),
    Try("qvm.missing", "work", result=False),
    Try("qvm.running", "work", result=False),
    Try("qvm.halted", "work", result=True),
    Try("qvm.check", "work", result=True),
    Try("qvm.state", "work", result=True),
    Try("qvm.template_info", "fedora-41-xfce", result=True),
    Try("qvm_gpu.map", "", result=True),
    Try("qvm_gpu.cards", "", result=True),
    Try("qvm_gpu.preflight", "", result=True),
    Try("qvm_gpu.plan", "gpu", [{"state": "present"}], result=True),
    Try("qvm_gpu.report", "", result=True),
]

KERNEL = "6.12.11-200.fc41.x86_64"
FEDORA = {
    "etc/os-release": (REPOSITORY / "tests/data/beds/os-release/fedora-41").read_text("utf-8"),
    "etc/dnf/dnf.conf": "[main]\ngpgcheck=True\n",
    "etc/default/grub": GRUB.format(""),
    "boot/grub2/grub.cfg": MENU.format(""),
    f"boot/vmlinuz-{KERNEL}": "a kernel",
    "proc/sys/kernel/osrelease": f"{KERNEL}\n",
    f"lib/modules/{KERNEL}/modules.dep": "",
}
MADE = {  # a file of ours, which the record knows by its sum
    "etc/made-by-us": "a line\n",
    "var/lib/qvm-gpu/nvidia.json": (
        '{"files": {"/etc/made-by-us": {"backup": null, "sum": "469e7c30542f7574"}}}'
    ),
}
IN_THE_QUBE = [
    Try("nvidia.driver_installed", "driver", [], (), FEDORA),
    Try("nvidia.nouveau_disabled", "driver", [], (), FEDORA),
    Try("nvidia.prime_offload", "nvrun", [], (), FEDORA),
    Try("nvidia.swap_minimized", "swap", [], (), FEDORA),
    Try("nvidia.kernel_ready", "kernel", [{"install": True}], (), FEDORA),
    Try("nvidia.driver_removed", "driver", [], (), {**FEDORA, **MADE}),
    *[Try(f"nvidia.{name}", "", [], (), FEDORA, True)
      for name in ("status", "version", "cards", "plan")],
]  # fmt: skip

ASKS_A_PROGRAM = {"qvm.template_info"}
"""dom0's qvm-template knows what it installed; nobody else does."""

PUBLISHED = {kind: {each.full for each in functions(kind)} for kind in ("modules", "states")}
ON_THE_WAY = {"qvm.apply_state", "qvm_gpu.apply_state", "nvidia.apply_state"}
"""What states call; every state walks through it."""


def keywords(body):
    """A state's list as the arguments of an execution function."""
    return {key: value for item in body for key, value in item.items()}


def tree(*folders):
    """What is below the folders, with times: a file that was written and put back shows, too."""
    found = {}
    for folder in folders:
        for path in [folder, *sorted(folder.rglob("*"))] if folder.exists() else ():
            stat = path.lstat()
            text = os.readlink(path) if path.is_symlink() else path.is_file() and path.read_bytes()
            digest = hashlib.sha256(text).hexdigest() if isinstance(text, bytes) else text
            found[str(path)] = (stat.st_mode, stat.st_mtime_ns, digest)
    return found


@pytest.fixture(scope="module")
def machine0(tmp_path_factory, programs):
    """A machine with dom0's programs in its root."""
    folder = tmp_path_factory.mktemp("machine0")
    with Sandbox(folder=folder / "sandbox", root=True) as sandbox:
        root = Path(sandbox.root)
        install_programs(programs, root, "qvm-run", "qvm-template", "qvm-appmenus")
        install_programs(programs, root, "xl", "grub2-mkconfig", folder="usr/sbin")
        (root / "ran").write_text("", "utf-8")
        minion = QuickMinion(folder / "minion", socket=sandbox.socket, root=root)
        for test in (True, False):  # what Salt loads late is loaded now
            minion.one("qvm.exists", "dom0", test=test)
        sandbox.snapshot()
        yield sandbox, root, minion


@pytest.fixture(scope="module")
def qube(tmp_path_factory):
    """A qube with Fedora's files."""
    folder = tmp_path_factory.mktemp("qube")
    (folder / "root").mkdir()
    minion = QuickMinion(folder / "minion", root=folder / "root", id="gpu")
    return None, folder / "root", minion


def processes(call):
    """What the call answers, and whether a process was started and waited for."""
    try:
        with no_process():
            result = call()
    except AssertionError:
        return result, True
    return result, False


def ways(minion, root, one):
    """The dry call as the core has it, as a state and as an execution function."""
    body, function = keywords(one.body), one.function
    args = {"name": one.name, "body": list(one.body)}
    if not function.startswith("qvm."):
        args = {**body, **({"name": one.name} if one.name else {})}
    run = _core.Run(
        socket=minion.environment.get("QUBESD_SOCKET"),
        root=str(root),
        record_dir=str(minion.cache / "qvm_gpu"),
    )
    yield "core", lambda: run.call(function, args, True)["result"]
    if function in PUBLISHED["states"]:
        yield "state", lambda: minion.one(function, one.name, list(one.body), True)["result"]
    if function not in PUBLISHED["modules"]:
        return
    words = [one.name] if one.name and function != "qvm_gpu.plan" else []
    if function == "qvm_gpu.plan":
        body["name"] = one.name
    if function.startswith("qvm.") and function != "qvm.template_info":
        yield "execution", lambda: minion.ask(function, *words, **body, test=True).result
    else:
        yield "execution", lambda: minion.ask(function, *words, **body) is None or True


def walk(place, tries):
    """Every call in every way: what did not go as it should, and the ways that were gone."""
    sandbox, root, minion = place
    wrong, gone = [], set()
    for one in tries:
        if sandbox:
            sandbox.reset()
        for call in one.before:
            sandbox.ok(*call)
        for path, text in (one.files or {}).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, "utf-8")
        for way, call in ways(minion, root, one):
            what = f"{one.function} {one.name} as {way}"
            gone.add((one.function, way))
            before = tree(root, minion.cache / "qvm_gpu")
            if sandbox:
                sandbox.clear_log()
            result, started = processes(call)
            if started and one.function.startswith("qvm.") and one.function not in ASKS_A_PROGRAM:
                wrong.append(f"{what}: it starts a process")
            if result is not one.result:
                wrong.append(f"{what}: its result is {result}")
            if sandbox:
                wrong += [f"{what}: {each.request!r}" for each in sandbox.writing_calls()]
            after = tree(root, minion.cache / "qvm_gpu")
            changed = {path for path in before | after if before.get(path) != after.get(path)}
            wrong += [f"{what}: {path} has changed" for path in changed - {str(root / "ran")}]
    return wrong, gone


def test_no_function_writes_in_a_dry_run(machine0, qube):
    wrong, gone = walk(machine0, IN_DOM0)
    more, in_the_qube = walk(qube, IN_THE_QUBE)
    assert not wrong + more, "\n".join(wrong + more)
    gone |= in_the_qube
    assert {function for function, way in gone if way == "core"} == set(_core.functions())
    for way, kind in (("state", "states"), ("execution", "modules")):
        walked = {function for function, each in gone if each == way}
        assert walked == PUBLISHED[kind] - ON_THE_WAY
    programs = (machine0[1] / "ran").read_text("utf-8").splitlines()
    assert {line.split(" ")[1] for line in programs} <= {"info"}, programs
