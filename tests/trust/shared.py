# SPDX-License-Identifier: GPL-3.0-or-later
"""``shared.py WAY SOCKET ROOT``: one way of sharing the core, in a process of its own.

What hangs is ended by the test, with the threads' stacks. Prints nothing where all is well.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from typing import Any

from saltext.qvm_gpu import _core

WAY, SOCKET, ROOT = sys.argv[1:]
THREADS, ROUNDS = 12, 25


def run(**kwargs: Any) -> Any:
    return _core.Run(socket=SOCKET, root=ROOT, timeout=30, **kwargs)


def ask(one: Any) -> None:
    """Reading calls, and a dry run that the run remembers."""
    for function, args in (
        ("qvm.exists", {"name": "work"}),
        ("qvm.prefs", {"name": "work", "body": [{"memory": 500}, {"pcidevs": ["01:00.0"]}]}),
        ("qvm_gpu.cards", {}),
    ):
        answer = one.call(function, args, True)
        assert answer["result"] in (True, None), answer


def write(one: Any) -> None:
    """A call that is logged."""
    answer = one.call("qvm.tags", {"name": "work", "body": [{"add": ["w"]}]}, False)
    assert answer["result"] is True, answer
    one.call("qvm.tags", {"name": "work", "body": [{"del": ["w"]}]}, False)


def in_threads(call: Any) -> None:
    """The same in many threads, which start together."""
    failures = []
    gate = threading.Barrier(THREADS)

    def each() -> None:
        gate.wait()
        try:
            for _ in range(ROUNDS):
                call()
        except BaseException as problem:
            failures.append(repr(problem))

    threads = [threading.Thread(target=each) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


def one_run() -> None:
    """Many threads, one Run with a listener."""
    shared = run(log=lambda level, line: None)
    in_threads(lambda: ask(shared))


def many_runs() -> None:
    """Many threads, a Run for each call, some of them dropped by other threads."""
    kept: list[Any] = []

    def call() -> None:
        kept.append(run(log=lambda level, line: None))
        ask(kept[-1])
        if len(kept) > THREADS:
            kept.pop(0)

    in_threads(call)


def one_writes() -> None:
    """Many threads write one qube; each answer is of its own call."""

    def call() -> None:
        name = f"t{threading.get_ident() % 100000}"
        for verb, there in (("add", None), ("del", [])):
            answer = run().call("qvm.tags", {"name": "work", "body": [{verb: [name]}]}, False)
            assert answer["result"] is True, answer
            change = answer["changes"]["qvm.tags"]
            gained = set(change["new"]) ^ set(change["old"])
            assert gained == {name}, (there, change)

    in_threads(call)


def fork() -> None:
    """Parent and child go on with the same Run, and a grandchild."""
    shared = run()
    ask(shared)
    for depth in range(2):
        pid = os.fork()
        if pid:
            ask(shared)
            assert os.waitpid(pid, 0)[1] == 0
            if depth == 0:
                return
            os._exit(0)
        ask(shared)
        ask(run())
    os._exit(0)


def fork_while_busy() -> None:
    """One thread forks while another's call runs: the child is told, and makes another Run."""
    entered, forked = threading.Event(), threading.Event()
    parent = os.getpid()

    def listen(level: int, line: str) -> None:
        entered.set()
        if os.getpid() == parent:
            assert forked.wait(30)

    shared = run(log=listen)
    thread = threading.Thread(target=write, args=(shared,))
    thread.start()
    assert entered.wait(30)
    pid = os.fork()
    if pid == 0:
        try:
            ask(shared)
        except ValueError as problem:
            assert "forked" in str(problem)
            ask(run())
            os._exit(0)
        os._exit(1)
    forked.set()
    thread.join()
    assert os.waitpid(pid, 0)[1] == 0
    ask(shared)


def call_within_call() -> None:
    """A listener, or a signal's handler, calls the Run that calls it: it is told so."""
    said: list[str] = []

    def listen(level: int, line: str) -> None:
        try:
            shared.call("qvm.exists", {"name": "work"}, True)
        except ValueError as problem:
            said.append(str(problem))

    shared = run(log=listen)
    write(shared)
    assert said and "same thread" in said[0], said


def interpreters() -> None:
    """Interpreters of their own in one process, one after the other and nested in a call."""
    try:
        import _xxsubinterpreters as api
    except ImportError:
        import _interpreters as api  # type: ignore[no-redef]
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from saltext.qvm_gpu import _core\n"
        f"run = _core.Run(socket={SOCKET!r}, root={ROOT!r}, log=lambda level, line: None)\n"
        "assert run.call('qvm.exists', {'name': 'work'}, False)['result'] is True\n"
        "assert _core.functions()\n"
        "try:\n    run.call('nosuch', {})\nexcept ValueError:\n    pass\n"
    )
    before = run()
    for _ in range(5):
        legacy = sys.version_info >= (3, 13)  # one that shares the lock, whatever it is called
        made = api.create("legacy") if legacy else api.create(isolated=False)
        problem = api.run_string(made, code)
        assert not problem, problem
        api.destroy(made)
        ask(before)


def interrupted() -> None:
    """A signal's exception ends a call that waits, and the Run can be used again."""
    one = run()

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    args = {"name": "personal", "body": [{"timeout": 60}]}
    try:
        answer = one.call("qvm.shutdown", args, False)
    except KeyboardInterrupt:
        ask(one)
        return
    raise AssertionError(f"not interrupted: {answer}")


if __name__ == "__main__":
    faulthandler.dump_traceback_later(100, exit=True)
    globals()[WAY]()
