# SPDX-License-Identifier: GPL-3.0-or-later
"""How many calls a state makes, from the sandbox's log: counts are exact, so they are tested."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections import defaultdict

from rig import REPOSITORY

GUIDE = """
{name}:
  qvm.vm:
    - name: {name}
    - present:
      - template: fedora-40-xfce
      - class: StandaloneVM
    - prefs:
      - label: yellow
      - mem: 4000
      - vcpus: 4
      - pcidevs: ['01:00.0', '01:00.1']
      - virt_mode: hvm
      - kernel:
      - maxmem: 0
      - class: StandaloneVM
    - features:
      - set:
        - menu-items: qubes-run-terminal.desktop
"""

AS_IT_SHOULD_BE = {
    "class": "StandaloneVM",
    "label": "yellow",
    "properties": {"memory": 4000, "vcpus": 4, "virt_mode": "hvm", "kernel": "", "maxmem": 0},
    "features": {"menu-items": "qubes-run-terminal.desktop"},
    "devices": ["01:00.0", "01:00.1"],
}


def methods(sandbox):
    return sorted(call.method.removeprefix("admin.vm.") for call in sandbox.log())


def many(count):
    clones = {"of": "q-0", "count": count, "prefix": "q"}
    return {"qubes": {"q-0": AS_IT_SHOULD_BE}, "clones": clones}


def test_an_unchanged_qube_is_three_calls_and_the_machine_one(machine, minion_for):
    sandbox = machine(many(1))
    (state,) = minion_for(sandbox).high(GUIDE.format(name="q-1"))
    assert state["result"] is True and state["changes"] == {}
    assert methods(sandbox) == [
        "device.pci.Assigned", "device.pci.Available", "feature.Get", "property.GetAll",
    ]  # fmt: skip


def test_fifty_unchanged_states_are_151_calls(machine, minion_for):
    sandbox = machine(many(50))
    sls = "".join(GUIDE.format(name=f"q-{number}") for number in range(1, 51))
    states = minion_for(sandbox).high(sls)
    assert [(state["result"], state["changes"]) for state in states] == [(True, {})] * 50
    assert len(sandbox.log()) == 151
    asked = defaultdict(list)
    for call in sandbox.log():
        asked[call.dest].append(call.method)
    assert asked.pop("dom0") == ["admin.vm.device.pci.Available"]
    each = ["admin.vm.device.pci.Assigned", "admin.vm.feature.Get", "admin.vm.property.GetAll"]
    assert {name: sorted(calls) for name, calls in asked.items()} == {
        f"q-{number}": each for number in range(1, 51)
    }, "the first and the fiftieth state cost the same"


def test_a_first_creation_is_52_calls_and_two_for_each_further_feature(sandbox, minion):
    def create(name):
        sandbox.clear_log()
        (state,) = minion.high(GUIDE.format(name=name))
        assert state["result"] is True, state["comment"]
        calls = sandbox.log()
        reads = [call.request for call in calls if not call.writing]
        assert len(set(reads)) == len(reads), "something was asked twice"
        return len(calls)

    assert create("gpu") == 52
    for number in range(5):
        sandbox.ok(f"admin.vm.feature.Set+extra-{number}", "fedora-40-xfce", "1")
    assert create("gpu-2") == 52 + 2 * 5


def test_no_state_depends_on_how_many_qubes_there_are(machine, minion_for):
    sandbox = machine({"clones": {"of": "work", "count": 1000, "prefix": "other"}})
    minion = minion_for(sandbox)
    for function, name, body in (
        ("qvm.prefs", "work", {"label": "blue"}),
        ("qvm.features", "work", {"set": [{"x": None}]}),
        ("qvm.tags", "work", {"del": ["nosuch"]}),
        ("qvm.exists", "work", None),
        ("qvm.missing", "nosuch", None),
        ("qvm.halted", "work", None),
        ("qvm.present", "work", {"label": "blue"}),
        ("qvm.absent", "nosuch", None),
    ):
        sandbox.clear_log()
        state = minion.one(function, name, body)
        assert state["result"] is True, state
        (call,) = [call for call in sandbox.log() if call.method != "admin.vm.property.GetAll"] or [
            None
        ]
        assert len(sandbox.log()) <= 2
        assert not call or call.method != "admin.vm.List" or call.dest == name


def test_the_guides_state_does_not_depend_on_how_many_qubes_there_are(machine, minion_for):
    """Unchanged, created and foretold among a thousand qubes; nobody asks for all of them."""
    sandbox = machine({**many(1000), "qubes": {"q-0": AS_IT_SHOULD_BE}})
    minion = minion_for(sandbox)
    for name, test, count in (("q-1000", False, 4), ("gpu", True, 25), ("gpu", False, 52)):
        sandbox.clear_log()
        (state,) = minion.high(GUIDE.format(name=name), test=test)
        assert state["result"] is (None if test else True), state["comment"]
        calls = sandbox.log()
        known = {name, "fedora-40-xfce", "dom0"}
        assert {call.dest for call in calls} <= known
        assert not [
            call for call in calls if call.method == "admin.vm.List" and call.dest == "dom0"
        ]
        assert len(calls) == count, methods(sandbox)


def test_the_devices_are_asked_for_again_only_where_one_is_not_found(machine, minion_for):
    sandbox = machine(many(3))
    unknown = GUIDE.format(name="q-2").replace("01:00.1", "0a:00.0")
    sls = GUIDE.format(name="q-1") + unknown + GUIDE.format(name="q-3")
    first, second, third = minion_for(sandbox).high(sls)
    assert (first["result"], second["result"], third["result"]) == (True, False, True)
    assert "0a:00.0" in second["comment"]
    assert methods(sandbox).count("device.pci.Available") == 2


BY_SOMEBODY_ELSE = """
    from saltext.qvm_gpu.sandbox.harness import exchange
    for method, dest, payload in CALLS:
        reply = exchange(SOCKET, f"{method} dom0 name {dest}".encode() + bytes(1) + payload)
        assert reply == b"0" + bytes(1), reply
"""


def test_a_change_between_two_states_is_seen(machine, minion_for):
    """Of every kind that a state reads, made by another process while Salt's run goes on."""
    sandbox = machine({**many(2), "clones": {"of": "q-0", "count": 2, "prefix": "q"}})
    minion = minion_for(sandbox)
    calls = [
        ("admin.vm.property.Set+memory", "q-1", b"700"),
        ("admin.vm.feature.Set+menu-items", "q-1", b"other.desktop"),
        ("admin.vm.device.pci.Unassign+dom0+00_01.0-00_00.1+0x10de+0x228e++p040300", "q-1", b""),
        ("admin.vm.tag.Remove+mine", "q-1", b""),
        ("admin.vm.firewall.Set+", "q-1", b"action=drop\n"),
        ("admin.vm.Remove+", "q-2", b""),
    ]
    script = textwrap.dedent(BY_SOMEBODY_ELSE).replace("CALLS", repr(calls))
    (minion.folder / "other.py").write_text(script.replace("SOCKET", repr(sandbox.socket)), "utf-8")
    more = """
    - tags:
      - add: [mine]
    - firewall:
      - set: ['action=accept dsthost=example.org']
"""
    state = GUIDE.format(name="q-1").rstrip() + more
    there = "{}:\n  qvm.exists:\n    - name: q-2\n"
    other = f"other:\n  cmd.run:\n    - name: {sys.executable} {minion.folder}/other.py\n"
    minion.write(
        "t.sls",
        state
        + there.format("there")
        + other
        + state.replace("q-1:", "again:", 1)
        + there.format("gone"),
    )
    first, there, other, again, gone = minion.apply("t")
    assert sorted(first["changes"]) == ["qvm.firewall", "qvm.tags"], first
    assert there["result"] is True and other["result"] is True, other
    assert gone["result"] is False
    assert again["result"] is True, again
    changes = again["changes"]
    assert sorted(changes) == ["qvm.features", "qvm.firewall", "qvm.prefs", "qvm.tags"]
    assert changes["qvm.prefs"]["memory"] == {"old": 700, "new": 4000}
    ports = ["00_01.0-00_00.0", "00_01.0-00_00.1"]
    assert changes["qvm.prefs"]["pcidevs"] == {"old": ports[:1], "new": ports}
    assert changes["qvm.features"]["menu-items"]["old"] == "other.desktop"


def test_a_qube_that_goes_away_between_two_answers_is_not_planned_for(sandbox, quick):
    """What its first answers were planned into is dropped: there are more calls than go out at
    once, so that the last one is sent when the first is answered."""
    names = [f"f{number:02}" for number in range(20)]
    gone = {
        "kind": "error", "match": f"admin.vm.feature.Get+{names[-1]} ",
        "type": "QubesVMNotFoundError", "text": "No such domain: 'work'",
    }  # fmt: skip
    body = {
        "prefs": [{"memory": 500}, {"vcpus": 1}, {"nosuch": 1}],
        "features": [{"set": [{name: "1"} for name in names]}],
    }
    for test in (True, False):
        sandbox.faults([gone])
        state = quick.one("qvm.vm", "work", body, test=test)
        assert state["result"] is False
        assert state["changes"] == {}
        assert "Qube work does not exist" in state["comment"]
        assert "500" not in state["comment"]
        assert not sandbox.writing_calls()


def test_what_cannot_be_right_is_said_however_early_it_is_found(sandbox, quick):
    """The class is known with the first answer; what is planned before it is not done."""
    names = [f"f{number:02}" for number in range(20)]
    body = [
        {"tags": [{"add": ["x"]}]},
        {"prefs": [{"memory": 500}, {"class": "TemplateVM"}]},
        {"features": [{"set": [{name: "1"} for name in names]}]},
    ]
    state = quick.one("qvm.vm", "work", body)
    assert state["result"] is False and state["changes"] == {}
    assert "a qube's class cannot change to TemplateVM" in state["comment"]
    assert not sandbox.writing_calls()


ONLY_OURS = """
    import os, sys
    forbidden = ("socket.", "subprocess.", "os.posix_spawn", "os.fork", "os.exec")
    def watch(event, args):
        if armed and event.startswith(forbidden):
            raise SystemExit(f"loading did {event}")
        if armed and event == "open":
            opened.append(os.path.realpath(args[0]))
    armed, opened = False, []
    import importlib.util, logging, platform, struct, salt.exceptions
    known = set(sys.modules)
    sys.addaudithook(watch)
    armed = True
    for path in PATHS:
        spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if "modules" in path:
            module.__opts__, module.__pillar__, module.__salt__ = {}, {}, {}
            module.__virtual__()
            module._shim.core().Run()
    armed = False
    others = [path for path in opened if not path.startswith(OURS)]
    assert not others, others
    assert len(opened) <= 2 * (len(PATHS) + 4), opened
    new = {name for name in sys.modules if name not in known}
    assert new == {"saltext", "saltext.qvm_gpu", "saltext.qvm_gpu._core"}, new
"""


def test_loading_opens_and_asks_for_nothing_but_our_own_files(sandbox):
    """All shims and the extension, in a process that must not open a socket or start a program.

    A file is opened for its text or its byte code, the shims' common file once for each of them.
    What is known before is what Salt's loader has loaded anyway.
    """
    ours = REPOSITORY / "salt_ext"
    paths = sorted(str(path) for path in ours.glob("*/[a-z]*.py") if path.parent.name != "sandbox")
    code = textwrap.dedent(ONLY_OURS).replace("PATHS", repr(paths)).replace("OURS", repr(str(ours)))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "QUBESD_SOCKET": sandbox.socket},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not sandbox.log()


KEEPS_NOTHING = """
    import ctypes
    from saltext.qvm_gpu import _core

    class Info(ctypes.Structure):
        names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
        _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = Info
    run = _core.Run(socket=SOCKET)
    def call():
        for answer in (run.call("qvm.vm", {"name": "q-1", "body": BODY}),
                       run.call("qvm.prefs", {"name": "nosuch", "body": {"memory": 400}})):
            assert answer["changes"] == {}
    def kept(calls):
        before = mallinfo().uordblks
        for _ in range(calls):
            call()
        return mallinfo().uordblks - before
    kept(50)
    print(kept(CALLS), kept(2 * CALLS))
"""


def test_calls_of_the_core_keep_no_memory(machine):
    """Bytes in use by the C heap, exact: what the interpreter keeps once does not grow with calls."""
    sandbox, calls = machine(many(1)), 500
    body = {
        "present": [{"template": "fedora-40-xfce"}, {"class": "StandaloneVM"}],
        "prefs": [{"label": "yellow"}, {"mem": 4000}, {"pcidevs": ["01:00.0", "01:00.1"]}],
        "features": [{"set": [{"menu-items": "qubes-run-terminal.desktop"}]}],
    }
    code = textwrap.dedent(KEEPS_NOTHING).replace("SOCKET", repr(sandbox.socket))
    code = code.replace("BODY", repr(body)).replace("CALLS", str(calls))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    once, twice = map(int, done.stdout.split())
    assert twice - once < 4 * calls, f"not given back: {once} bytes, of twice the calls {twice}"
    assert twice < 8 * calls, f"not given back: {twice} bytes"
