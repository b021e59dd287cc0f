# SPDX-License-Identifier: GPL-3.0-or-later
"""A minion for tests: a real salt-call, or Salt's own state compiler inside the test's process.

Both look at the same folder: configuration, cache and file_roots of their own, qubesd's socket of a
sandbox. ``build/`` and the checkout hold everything else, so tests can run side by side.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from saltext.qvm_gpu.sandbox.harness import exchange

REPOSITORY = Path(__file__).resolve().parents[2]
STATES = REPOSITORY / "states"
GUIDE = REPOSITORY.parent / "shared" / "guide" / "user_salt"
MACHINES = REPOSITORY / "tests" / "data" / "machines"
DEADLINE = 120  # seconds for one salt-call; it takes about one


def salt_call_of(version: str) -> Path:
    """The salt-call of one of the two supported Salt versions."""
    folder = {"3006": Path(sys.executable).parent, "3008": REPOSITORY / ".venv-3008" / "bin"}[
        version
    ]
    return folder / "salt-call"


def build_programs(folder: Path) -> Path:
    """The stand-in for dom0's programs, linked so that it runs in an empty root."""
    built = folder / "program"
    source = Path(__file__).with_name("dom0_programs.c")
    subprocess.run(["cc", "-static", "-o", built, source], check=True)
    return built


def install_programs(built: Path, root: Path, *names: str, folder: str = "usr/bin") -> None:
    """Put the stand-in into a root under these names."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(built, root / folder / name)


class Minion:
    """A minion's folder. ``id`` decides which half of the formula it gets."""

    latest: Minion | None = None
    """Whose compiler is the process's newest: Salt's loaded file server looks at its file_roots."""

    def __init__(
        self,
        folder: Path,
        *,
        socket: str | None = None,
        root: Path | None = None,
        id: str = "dom0",
        version: str = "3006",
        program: Path | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.program = program or salt_call_of(version)
        self.environment = {k: v for k, v in os.environ.items() if k != "QUBESD_SOCKET"}
        self.environment["LC_ALL"] = "C.UTF-8"
        if socket:
            self.environment["QUBESD_SOCKET"] = str(socket)
        if root:
            self.environment["QVM_GPU_ROOT"] = str(root)
        self.srv = folder / "srv"
        self.cache = folder / "cache"
        self.config = {
            "id": id,
            "file_client": "local",
            "root_dir": str(folder),  # what lies below it is taken as it is
            "cachedir": str(self.cache),
            "pki_dir": str(folder / "pki"),
            "log_file": str(folder / "minion.log"),
            "log_level_logfile": "quiet",
            "renderer": "jinja|yaml",
            "file_roots": {"base": [str(self.srv)], "user": [str(self.srv / "user")]},
            "pillar_roots": {"base": [str(folder / "pillar")]},
            "enable_gpu_grains": False,
            **(options or {}),
        }
        self.srv.mkdir(parents=True)
        self.write_config()

    def write_config(self) -> None:
        """Write the configuration again, after a test changed :attr:`config`."""
        (self.folder / "conf").mkdir(exist_ok=True)
        (self.folder / "conf" / "minion").write_text(yaml.safe_dump(self.config), "utf-8")

    def write(self, path: str, text: str) -> Path:
        """Write a file of the base environment, e.g. ``t.sls``."""
        target = self.srv / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
        return target

    # -- a real salt-call

    def run(self, *words: str, environment: dict[str, str] | None = None):
        """salt-call with these words; the finished process, output as text."""
        command = [
            str(self.program), "--local", "-c", str(self.folder / "conf"),
            "--out", "json", "--out-indent=-1", "-l", "error", *words,
        ]  # fmt: skip
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
            env={**self.environment, **(environment or {})},
        )

    def call(self, *words: str, environment: dict[str, str] | None = None) -> Any:
        """What a function answered."""
        done = self.run(*words, environment=environment)
        try:
            return json.loads(done.stdout)["local"]
        except (ValueError, KeyError):
            raise AssertionError(f"salt-call {words}: {done.stdout}{done.stderr}") from None

    def apply(self, *words: str) -> list[dict[str, Any]]:
        """``state.apply`` with these words: the states' returns in the order they ran."""
        answer = self.call("state.apply", *words)
        assert isinstance(answer, dict), answer
        return sorted(answer.values(), key=lambda state: state["__run_num__"])

    # -- Salt's compiler in this process

    def opts(self, test: bool = False) -> dict[str, Any]:
        """Salt's options for this minion."""
        import salt.config

        opts = salt.config.minion_config(str(self.folder / "conf" / "minion"))
        opts.update(test=test, file_client="local", local=True)
        return opts

    def high(self, sls: str, test: bool = False) -> list[dict[str, Any]]:
        """Run SLS text through Salt's state compiler and loader in this process."""
        with self.surroundings():
            self.write("t.sls", sls)
            highstate = self.highstate(test)
            high, errors = highstate.render_highstate({"base": ["t"]})
            assert not errors, errors
            answer = highstate.state.call_high(high)
        assert isinstance(answer, dict), answer
        return sorted(answer.values(), key=lambda one: one["__run_num__"])

    def highstate(self, test: bool) -> Any:
        """Salt's compiler for dry or real runs."""
        import salt.state

        opts = self.opts(test)
        opts["grains"] = {"id": self.config["id"]}
        Minion.latest = self
        return salt.state.HighState(opts, initial_pillar={})

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """The environment of this minion, in this process."""
        before = {name: os.environ.get(name) for name in ("QUBESD_SOCKET", "QVM_GPU_ROOT")}
        for name in before:
            _set(name, self.environment.get(name))
        try:
            yield
        finally:
            for name, value in before.items():
                _set(name, value)

    def one(self, function: str, name: str, body: Any = None, test: bool = False) -> dict[str, Any]:
        """One state by its function, e.g. ``qvm.prefs``, with a list or mapping as its body."""
        items = [{"name": name}]
        if isinstance(body, dict):
            items += [{key: value} for key, value in body.items()]
        elif body:
            items += body
        return self.high(yaml.safe_dump({"t": {function: items}}), test)[0]


class QuickMinion(Minion):
    """A minion whose compilers are made once: a run is a fresh ``__context__``, and takes 25 ms."""

    def __init__(self, folder: Path, **kwargs: Any) -> None:
        super().__init__(folder, **kwargs)
        self.made: dict[bool, Any] = {}

    def highstate(self, test: bool) -> Any:
        """Made once, and again after another minion's: loaded modules keep a copy of its options."""
        if Minion.latest is not self:
            self.made.clear()
        if test not in self.made:
            self.made[test] = super().highstate(test)
        self.made[test].building_highstate.clear()
        self.made[test].state.state_con.clear()
        return self.made[test]

    def ask(self, function: str, *words: Any, **kwargs: Any) -> Any:
        """What an execution function answers to Jinja and to other modules."""
        with self.surroundings():
            return self.highstate(False).state.functions[function](*words, **kwargs)


@contextmanager
def no_process() -> Iterator[None]:
    """Nothing in it starts a process: every child that was waited for leaves page faults behind."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
    yield
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt == before, "a process was started"


def three_runs(
    minion: Minion, sandbox: Any, sls: str, templates_may: bool = False
) -> list[dict[str, Any]]:
    """Dry, first and second run of states that start no process (``templates_may``: but their
    templates do); what the first one answered."""
    sandbox.clear_log()
    with nullcontext() if templates_may else no_process():
        dry = minion.high(sls, test=True)
        assert not sandbox.writing_calls(), "the dry run writes"
        first = minion.high(sls)
        sandbox.clear_log()
        second = minion.high(sls)
    for state in dry:
        assert state["result"] is (None if state["changes"] else True), state
    for state in first:
        assert state["result"] is True, state
    assert [one["changes"] for one in dry] == [one["changes"] for one in first]
    for state in second:
        assert state["result"] is True and state["changes"] == {}, state
    assert not sandbox.writing_calls(), "the second run writes"
    return first


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


class Relay:
    """Hands every request on to another socket, and the answer back with bytes replaced."""

    def __init__(self, path: Path, to: str, replaced: tuple[bytes, bytes]) -> None:
        self.path, self.to, self.replaced = path, to, replaced
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        self.server.listen(64)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                request = b"".join(iter(partial(connection.recv, 65536), b""))
                connection.sendall(exchange(self.to, request).replace(*self.replaced))

    def close(self) -> None:
        """No more connections."""
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
