# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine and a minion that run one state again and again, each time from the same start.

Salt's loader and state compiler are real and are made once: a run is a fresh ``__context__``, as
it is for a salt-call, and takes about 25 ms instead of 300.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from rig import Minion
from saltext.qvm_gpu.sandbox import Sandbox
from scenarios import Scenario

TIMEOUT = {"delay": 0.4}  # seconds for one call; others never need it
ROOMY = 20.0


def children() -> set[int]:
    """This process's children, zombies included."""
    out: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            out.update(int(pid) for pid in (task / "children").read_text().split())
    return out


def descriptors() -> int:
    """How many descriptors are open."""
    return len(os.listdir("/proc/self/fd"))


def comparable(store: dict[str, Any]) -> dict[str, Any]:
    """The store without what every creation draws anew."""
    text = json.dumps(store)
    out = json.loads(text)
    for record in out.values():
        for drawn in ("uuid", "mac"):
            record.get("props", {}).pop(drawn, None)
        record.pop("started", None)
        record.pop("xid", None)
    return out


class Compilers:
    """Salt's state compiler with the options that runs need, made once for all machines."""

    def __init__(self, folder: Path) -> None:
        self.minion = Minion(folder)
        self.made: dict[tuple[float, bool], Any] = {}

    def get(self, timeout: float, test: bool) -> Any:
        """Modules keep a copy of the options, so it is a compiler for each."""
        import salt.state

        if (timeout, test) not in self.made:
            opts = self.minion.opts(test)
            opts["grains"] = {"id": "dom0"}
            opts["qvm_gpu"] = {"timeout": timeout}
            self.made[timeout, test] = salt.state.State(opts, initial_pillar={})
        return self.made[timeout, test]


class Bed:
    """One scenario's machine."""

    def __init__(self, folder: Path, scenario: Scenario, compilers: Compilers) -> None:
        self.scenario = scenario
        self.compilers = compilers
        self.sandbox = Sandbox(folder=folder / "sandbox", root=True).start()
        for method, dest, payload in scenario.before:
            self.sandbox.ok(method, dest, payload)
        self.sandbox.snapshot()
        self.sandbox.clear_log()
        self.start = self.sandbox.state()
        self.saved = folder / "saved.json"
        self.records = compilers.minion.cache / "qvm_gpu"
        self.restarted: threading.Thread | None = None
        self.patience = 1
        """How many times as long as usual a call may take: more on a machine that is too busy."""
        self._learn()

    def _learn(self) -> None:
        """The undisturbed run: its calls, its changes, and where it ends."""
        whole = self.run()
        assert whole["result"] is True and whole["changes"], whole["comment"]
        self.calls = self.sandbox.log()
        self.whole = whole["changes"]
        self.end = comparable(self.sandbox.state())
        self.clones = sum(call.method == "admin.vm.volume.CloneTo" for call in self.calls)
        self.settle()
        self.reset()
        for kind in ("", "delay"):  # what is loaded lazily is loaded now
            self.run(kind)
            self.reset()

    def run(self, kind: str = "", test: bool = False) -> dict[str, Any]:
        """One Salt run of the state."""
        timeout = TIMEOUT[kind] * self.patience if kind in TIMEOUT else ROOMY
        compiler = self.compilers.get(timeout, test)
        compiler.state_con.clear()
        os.environ["QUBESD_SOCKET"] = self.sandbox.socket
        os.environ["QVM_GPU_ROOT"] = str(self.sandbox.root)
        answer = compiler.call_template_str(self.scenario.sls)
        assert isinstance(answer, dict) and len(answer) == 1, answer
        return next(iter(answer.values()))

    def settle(self) -> None:
        """From wherever it is now: one run reaches the undisturbed end, the next does nothing."""
        again = self.run()
        assert again["result"] is True, again["comment"]
        assert comparable(self.sandbox.state()) == self.end, again["comment"]
        self.sandbox.clear_log()
        quiet = self.run()
        assert quiet["result"] is True and quiet["changes"] == {}, quiet
        assert not self.sandbox.writing_calls(), quiet["comment"]
        assert not self.records.exists() or not list(self.records.iterdir())

    def complete(self, store: dict[str, Any]) -> bool:
        """Whether the qube that the scenario makes has all that is copied into its volumes."""
        made, whole = (
            {
                name: volume.get("content")
                for name, volume in one[self.scenario.qube]["volumes"].items()
            }
            for one in (store, self.end)
        )
        return made == whole

    def reset(self) -> None:
        """Back to the start; a daemon that died is another one now and has to be told."""
        shutil.rmtree(self.records, ignore_errors=True)
        self.sandbox.faults()
        self.sandbox.reset()

    def arm(self, kind: str, at: int) -> None:
        """The fault for the ``at``-th connection."""
        late = self.scenario.late * self.patience
        plan = {"kind": kind, "at": at, "seconds": late, "size": 17 << 20}
        self.sandbox.faults([plan])
        if kind.startswith("die"):
            self.restarted = threading.Thread(target=self._restart)
            self.restarted.start()

    def _restart(self) -> None:
        """What systemd does."""
        self.sandbox.wait()
        self.sandbox.start()

    def after(self, kind: str) -> None:
        """Wait until the fault is over."""
        if self.restarted:
            self.restarted.join()
            self.restarted = None
        until = time.monotonic() + 5 * self.patience
        while kind == "delay" and not any(call.fault for call in self.sandbox.log()):
            assert time.monotonic() < until, "the fault did not strike"
            time.sleep(0.02)

    def renew(self) -> None:
        """After the daemon died: the start again, in a new process with it."""
        self.sandbox.stop()
        path = self.sandbox.state_path
        assert path is not None
        path.write_text(json.dumps(self.start), "utf-8")
        path.with_name(path.name + ".journal").unlink(missing_ok=True)
        self.sandbox.start()
        self.sandbox.snapshot()

    def held(self) -> tuple[int, set[int]]:
        """What a run must give back: descriptors, and children but the daemon."""
        process = self.sandbox.process
        return descriptors(), children() - ({process.pid} if process else set())

    def stop(self) -> None:
        """The end."""
        self.sandbox.stop()
