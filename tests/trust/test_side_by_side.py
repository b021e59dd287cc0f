# SPDX-License-Identifier: GPL-3.0-or-later
"""More than one at once: parallel states, two salt-calls, threads, interpreters, forks."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml
from bed import comparable
from rig import DEADLINE, salt_call_of
from saltext.qvm_gpu.sandbox import Sandbox
from scenarios import SCENARIOS
from soak import count

CREATION = next(one for one in SCENARIOS if one.name == "gpu")
WAYS = ["one_run", "many_runs", "one_writes", "fork", "fork_while_busy", "call_within_call",
        "interpreters"]  # fmt: skip
QUBES = ["one", "two", "three", "four"]


@pytest.fixture(autouse=True)
def fresh(sandbox):
    sandbox.faults()
    sandbox.reset()


def shared(way, sandbox, python=sys.executable, **kwargs):
    """shared.py with this way of sharing; the finished process."""
    command = [python, Path(__file__).with_name("shared.py"), way, sandbox.socket, sandbox.root]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=DEADLINE, check=False, **kwargs
    )


@pytest.mark.parametrize("way", WAYS)
def test_shared(way, sandbox):
    done = shared(way, sandbox)
    assert done.returncode == 0, done.stderr[-3000:]
    count("side by side", way)


def test_interrupted(tmp_path):
    slow = {"shutdown_delay": 60, "qubes": {"personal": {"running": True}}}
    with Sandbox(slow, folder=tmp_path / "slow", root=True) as sandbox:
        done = shared("interrupted", sandbox)
    assert done.returncode == 0, done.stderr[-3000:]
    count("side by side", "interrupted")


def test_an_interpreter_with_a_lock_of_its_own_is_refused(sandbox):
    """From Python 3.12 on: the module does not say that it could, so that Python says no."""
    try:
        import _interpreters
    except ImportError:
        pytest.skip("this Python has no such interpreters")
    made = _interpreters.create("isolated")
    problem = _interpreters.run_string(made, f"import sys; sys.path[:] = {sys.path!r}\n"
                                       "from saltext.qvm_gpu import _core")  # fmt: skip
    _interpreters.destroy(made)
    assert problem and "does not support loading in subinterpreters" in str(problem)


def parallel_states():
    """States of four qubes and one more of one of them, all at once."""
    out = {}
    for name in QUBES:
        body = [
            {"name": name}, {"parallel": True},
            {"present": [{"template": "debian-12-xfce"}, {"label": "red"}]},
            {"prefs": [{"memory": 500}]}, {"tags": [{"add": ["made"]}]},
        ]  # fmt: skip
        out[name] = {"qvm.vm": body}
    out["tags-of-work"] = {"qvm.tags": [{"name": "work"}, {"parallel": True}, {"add": ["a"]}]}
    out["prefs-of-work"] = {
        "qvm.prefs": [{"name": "work"}, {"parallel": True}, {"memory": 600}, {"vcpus": 3}]
    }
    return yaml.safe_dump(out)


@pytest.mark.parametrize("version", ["3006", "3008"])
def test_parallel_states(sandbox, minion_for, version):
    if not salt_call_of(version).exists():
        pytest.skip(f"no virtual environment with Salt {version}")
    minion = minion_for(sandbox, version=version)
    minion.write("t.sls", parallel_states())
    first = minion.apply("t")
    assert [state["result"] for state in first] == [True] * 6, first
    assert all(state["changes"] for state in first)
    store = sandbox.state()
    for name in QUBES:
        assert store[name]["props"]["memory"] == 500 and "made" in store[name]["tags"]
    assert (store["work"]["props"]["memory"], store["work"]["props"]["vcpus"]) == (600, 3)
    sandbox.clear_log()
    again = minion.apply("t")
    assert [(state["result"], state["changes"]) for state in again] == [(True, {})] * 6, again
    assert not sandbox.writing_calls()
    count("side by side", f"parallel states, Salt {version}")


def ends(process):
    """What a salt-call that runs already says of its one state."""
    out, err = process.communicate(timeout=DEADLINE)
    told = (process.returncode, out, err)
    assert out and process.returncode >= 0 and "Traceback" not in out + err, told
    (state,) = json.loads(out)["local"].values()
    return state


def start(minion):
    """A salt-call that does not mind another one."""
    command = [str(salt_call_of("3006")), "--local", "-c", str(minion.folder / "conf"), "--out",
               "json", "-l", "error", "state.apply", "t", "concurrent=True"]  # fmt: skip
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=minion.environment
    )


def test_two_salt_calls_make_one_qube(sandbox, minion_for):
    """The copy takes long enough for them to meet. One makes it; the other has it, or says why it
    has not; nothing is half-made and nothing is made twice."""
    minion = minion_for(sandbox)
    minion.write("t.sls", CREATION.sls)
    minion.call("test.ping")  # Salt's own folders: two that make those at once trip over each other
    copying = {"kind": "delay", "match": "admin.vm.volume.CloneTo", "seconds": 6, "times": 0}
    sandbox.faults([copying])
    both = [start(minion) for _ in range(2)]
    states = [ends(process) for process in both]
    made = [call for call in sandbox.writing_calls() if ".Create." in call.method]
    assert sum(call.reply.startswith(b"0\0") for call in made) == 1
    assert not [call for call in sandbox.writing_calls() if call.method == "admin.vm.Remove"]
    assert any(state["result"] is True and state["changes"] for state in states), states
    for state in states:
        assert state["result"] is True or "gpu" in state["comment"], states
    sandbox.faults()
    (last,) = minion.apply("t")
    assert last["result"] is True and last["changes"] == {}, last
    end = comparable(sandbox.state())["gpu"]
    assert end["volumes"]["root"]["content"] and len(end["assigned"]) == 2
    assert not list((minion.cache / "qvm_gpu").iterdir())
    count("side by side", "two salt-calls")


def test_the_loader_in_threads(sandbox, quick):
    """salt-api's way: each thread loads the modules for itself and asks them."""
    import salt.loader

    opts = quick.opts()
    opts["grains"] = {"id": "dom0"}
    failures = []
    gate = threading.Barrier(6)

    def each():
        gate.wait()
        try:
            functions = salt.loader.minion_mods(dict(opts))
            for _ in range(3):
                assert functions["qvm.exists"]("work").passed()
                assert functions["qvm_gpu.map"]()["prefs"]
                assert functions["qvm_gpu.cards"]()
        except BaseException as problem:
            failures.append(repr(problem))

    with quick.surroundings():
        threads = [threading.Thread(target=each) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures, failures
    count("side by side", "loaders in threads")
