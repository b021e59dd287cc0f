# SPDX-License-Identifier: GPL-3.0-or-later
"""A process with nothing in it but the core, failing.c preloaded and a sandbox beside it.

``binding.py leaks FOLDER ROUNDS MINUTES`` repeats every case, ``binding.py memory FOLDER MOST
MINUTES`` lets every allocation of every case fail (at most MOST of a call, evenly spread; 0: all),
``binding.py python FOLDER 0 MINUTES`` every one of Python's own.
Prints one JSON object a case.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "faults"), str(HERE.parent / "salt")]

from bed import comparable
from cases import CALLS, ODD, WRITING, Call, attributes, furnish
from oracle import expected, leaves
from saltext.qvm_gpu import _core
from saltext.qvm_gpu.sandbox import Sandbox

libc = ctypes.CDLL(None)
END = float("inf")  # when the minutes are over
WARM = 30  # rounds until nothing is made lazily any more
CACHE = 4096


def has_time() -> bool:
    """Whether the minutes are not over."""
    return time.monotonic() < END


class Watch:
    """What is held now: blocks of C, objects of Python, memory, descriptors, children."""

    def __init__(self) -> None:
        for name in (b"_core.abi3", b"libjansson", b"libyaml"):
            libc.failing_watch(name)

    @staticmethod
    def held() -> dict[str, int]:
        gc.collect()
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
        return {
            "blocks": libc.failing_live(),
            "objects": sys.getallocatedblocks(),
            "kib": pages * os.sysconf("SC_PAGESIZE") // 1024,
            "descriptors": len(os.listdir("/proc/self/fd")),
        }


class World:
    """A sandbox and its furnished root, told to nobody else."""

    def __init__(self, folder: Path) -> None:
        self.sandbox = Sandbox(folder=folder, root=True).start()
        assert self.sandbox.root
        furnish(self.sandbox.root)
        self.sandbox.snapshot()
        self.records = folder / "records"
        self.lines: list[str] = []

    def run(self) -> Any:
        """A fresh run, as each execution function and each state of a new salt-call has."""
        return _core.Run(
            socket=self.sandbox.socket, root=str(self.sandbox.root), record_dir=str(self.records),
            timeout=20, log=self.log,
        )  # fmt: skip

    def log(self, level: int, line: str) -> None:
        """Somebody listens."""
        assert level in (10, 20, 30) and line

    def call(self, call: Call) -> Any:
        function, arguments, dry = call
        return self.run().call(function, arguments, dry)


def rounds_of(world: World) -> dict[str, tuple[int, Callable[[], Any]]]:
    """Case > (what its rounds are divided by, a round)."""

    def in_turn(calls: list[Call]) -> Callable[[], Any]:
        def each() -> None:
            for call in calls:
                world.call(call)

        return each

    out = {name: (1, in_turn(calls)) for name, calls in CALLS.items()}
    out |= {name: (1, each) for name, each in attributes(world.run).items()}
    return out | {name: (20, in_turn(calls)) for name, calls in WRITING.items()}


def grown(world: World, each: Callable[[], Any], rounds: int, until: float) -> Any:
    """How many rounds there was time for, and how much more is held after them than after the first
    of them."""
    before = Watch.held()
    done = 0
    while done < rounds and time.monotonic() < until:
        each()
        done += 1
        if done == min(rounds // 10, 1000):
            before = Watch.held()
        if done % 1000 == 0:  # the log would fill the disk
            os.truncate(world.sandbox.log_path, 0)
    after = Watch.held()
    return done, {what: after[what] - before[what] for what in after}


def leaks(world: World, rounds: int) -> Iterator[dict[str, Any]]:
    """Each case in turn, with its share of the minutes. Python's cache of attributes takes up to
    4096 names before it is full, so that a few objects more are looked at again, for longer."""
    Watch()
    todo = rounds_of(world)
    for number, (name, (divisor, each)) in enumerate(todo.items()):
        for _ in range(WARM):
            each()
        wanted = max(rounds // divisor, WARM)
        now = time.monotonic()
        done, more = grown(world, each, wanted, now + (END - now) / (len(todo) - number))
        if done // 2 < more["objects"] <= CACHE:
            done, more = grown(world, each, CACHE * 2, float("inf"))
        yield {"case": name, "rounds": done, "grown": more}


def judged(call: Callable[[], Any], whole: Any) -> str:
    """How a call that was starved ended; MemoryError, an answer that says so, or the whole one."""
    try:
        answer = call()
    except MemoryError:
        return "MemoryError"
    except BaseException as problem:
        return f"wrong: {type(problem).__name__}: {problem}"
    if answer == whole:
        return "done without"
    failed = isinstance(answer, dict) and answer.get("result") is False
    if failed and "out of memory" in answer["comment"]:
        return "said so"
    return f"wrong: {str(answer)[:300]}"


class Tally:
    """How the cases of one call ended, and which were wrong."""

    def __init__(self) -> None:
        self.cases: dict[str, int] = {}
        self.wrong: list[str] = []

    def take(self, nth: int, verdict: str, blocks: int) -> None:
        """The case of the ``nth`` allocation, before which so many of the core's blocks lived."""
        kind = verdict.partition(":")[0]
        self.cases[kind] = self.cases.get(kind, 0) + 1
        if kind == "wrong":
            self.wrong.append(f"{nth}: {verdict}")
        if libc.failing_live() != blocks:
            self.wrong.append(f"{nth}: {libc.failing_live() - blocks} blocks are lost, {verdict}")

    def told(self, total: int) -> dict[str, Any]:
        """What goes to the test."""
        return {"allocations": total, "cases": self.cases, "wrong": self.wrong[:10]}


def starve(world: World, call: Callable[[], Any], most: int) -> dict[str, Any]:
    """Every allocation of the call, or an even spread of them, fails once."""
    whole = call()
    for _ in range(3):
        whole = call()
    made = libc.failing_made()
    call()
    total = libc.failing_made() - made
    step = max(1, -(-total // most)) if most else 1
    tally = Tally()
    nth = 1 + (total % step if step > 1 else 0)
    while has_time():
        fds, blocks = len(os.listdir("/proc/self/fd")), libc.failing_live()
        libc.failing_arm(ctypes.c_ulong(nth), nth % 3 > 0)
        verdict = judged(call, whole)
        struck = libc.failing_struck()
        libc.failing_arm(ctypes.c_ulong(0), 0)
        if not struck:
            break
        tally.take(nth, verdict, blocks)
        if len(os.listdir("/proc/self/fd")) != fds:
            tally.wrong.append(f"{nth}: descriptors are lost, {verdict}")
        nth += step
    if call() != whole:
        tally.wrong.append("another answer afterwards")
    return tally.told(total)


def starve_writing(world: World, call: Call, most: int) -> dict[str, Any]:
    """The same for a call that writes: what it reports is what the log says was done, and the next
    run ends where the undisturbed one did."""
    sandbox = world.sandbox
    sandbox.snapshot()
    sandbox.clear_log()
    made = libc.failing_made()
    whole = world.call(call)
    total = libc.failing_made() - made
    clones = sum(logged.method.endswith("CloneTo") for logged in sandbox.log())
    end = comparable(sandbox.state())
    tally = Tally()
    for nth in range(1, total + 1, max(1, -(-total // most)) if most else 1):
        if not has_time():
            break
        sandbox.reset()
        shutil.rmtree(world.records, ignore_errors=True)
        blocks = libc.failing_live()
        answer = None
        libc.failing_arm(ctypes.c_ulong(nth), 1)
        try:
            answer = world.call(call)
            kind = "done without" if answer == whole else "said so"
        except MemoryError:
            kind = "MemoryError"
        libc.failing_arm(ctypes.c_ulong(0), 0)
        tally.take(nth, kind, blocks)
        done = expected(sandbox.log(), whole["changes"], clones)
        if leaves(answer["changes"] if answer else {}) != done:
            reported = answer and answer["changes"]
            tally.wrong.append(f"{nth}: {kind} reports {reported}, done was {done}")
        if kind == "said so" and "out of memory" not in answer["comment"]:
            tally.wrong.append(f"{nth}: {answer['comment']}")
        again = world.call(call)
        if again["result"] is not True or comparable(sandbox.state()) != end:
            tally.wrong.append(f"{nth}: {kind}, then {again['result']} {again['comment'][:200]}")
    return tally.told(total)


def memory(world: World, most: int) -> Iterator[dict[str, Any]]:
    """Each case under want of memory."""
    Watch()
    for name, calls in CALLS.items():
        for call in calls:
            if not has_time():
                return
            yield {"case": name, **starve(world, partial(world.call, call), most)}
    for name, plain in {
        "functions": _core.functions,
        "Run": lambda: world.run() and None,
        "Run.call": lambda: world.run().call("qvm_gpu.map", {"over": {"prefs": ODD}}),
    }.items():
        yield {"case": name, **starve(world, plain, most)}
    for name, calls in WRITING.items():
        for call in calls:
            if not has_time():
                return
            if call[0] == "qvm_gpu.restarted":  # where it ends depends on where it began
                world.call(call)
                continue
            yield {"case": f"{name}: {call[0]}", **starve_writing(world, call, most)}


def python(world: World, most: int) -> Iterator[dict[str, Any]]:
    """Python's own allocations fail, one after the other, in calls that ask nobody."""
    import _testcapi

    Watch()
    wrong_ones = attributes(lambda: _core.Run(socket="/nonexistent"))["Run.call"]
    for name, call in {
        "functions": _core.functions,
        "Run": lambda: _core.Run(socket="/nonexistent", record_dir="/r", log=print) and None,
        "Run.call": lambda: _core.Run().call("qvm_gpu.map", {"over": {"prefs": ODD}}),
        "no call": lambda: _core.Run(socket="/nonexistent").call("qvm.prefs", ODD, True),
    }.items():
        for _ in range(CACHE // 2):
            call()
        for _ in range(CACHE // 40):
            wrong_ones()
        yield {"case": f"Python's, {name}", **starve_python(_testcapi, call)}


REPEATED = 8


def without(testcapi: Any, call: Callable[[], Any], nth: int, whole: Any) -> tuple[str, int]:
    """How the call ended eight times, and how many of Python's objects each time left behind."""
    objects = []
    verdict = ""
    for _ in range(REPEATED):
        testcapi.set_nomemory(nth, nth + 1)
        try:
            answer = call()
            testcapi.remove_mem_hooks()
            verdict = "done without" if answer == whole else f"wrong: {answer}"
        except MemoryError:
            testcapi.remove_mem_hooks()
            verdict = "MemoryError"
        except BaseException as problem:
            testcapi.remove_mem_hooks()
            verdict = f"wrong: {problem!r}"
        objects.append(sys.getallocatedblocks())
    grown = objects[-1] - objects[0] - (REPEATED - 1)  # the list holds the others
    return verdict, grown // (REPEATED - 1)


def starve_python(testcapi: Any, call: Callable[[], Any]) -> dict[str, Any]:
    """Each allocation of the call fails; what is lost each time is a leak, what only sometimes is
    one of Python's caches."""
    whole = call()
    tally = Tally()
    nth, done = 0, 0
    while done < 5:  # until it has not been reached for some time
        blocks = libc.failing_live()
        for _ in range(4):
            verdict, lost = without(testcapi, call, nth, whole)
            if lost <= 0:
                break
        done = done + 1 if verdict == "done without" else 0
        tally.take(nth, verdict, blocks)
        if lost > 0:
            tally.wrong.append(f"{nth}: {lost} objects are lost, {verdict}")
        nth += 1
    return tally.told(nth)


def main() -> None:
    mode, folder, number, minutes = sys.argv[1:]
    global END  # noqa: PLW0603 - told by the command line
    END = time.monotonic() + float(minutes) * 60
    world = World(Path(folder))
    try:
        part = {"leaks": leaks, "memory": memory, "python": python}[mode]
        for line in part(world, int(number)):
            print(json.dumps(line), flush=True)
    finally:
        world.sandbox.stop()


if __name__ == "__main__":
    main()
