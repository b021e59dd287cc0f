# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon as a process: its socket, its end, its log, what it keeps."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_ready_serve_and_end(sandbox: Any) -> None:
    assert sandbox.ok("admin.vm.List", "work").startswith("work class=AppVM state=Halted uuid=")
    assert sandbox.stop() == 0
    assert not os.path.exists(sandbox.socket)


def test_sigint_ends_it_too(sandbox: Any) -> None:
    sandbox.process.send_signal(signal.SIGINT)
    assert sandbox.wait() == 0
    assert not os.path.exists(sandbox.socket)


def test_socket_of_a_dead_daemon_is_taken_over(sandbox: Any) -> None:
    sandbox.kill()
    assert os.path.exists(sandbox.socket)
    sandbox.start()
    assert sandbox.ok("admin.vm.List", "work")


def test_socket_of_a_live_daemon_is_an_error(sandbox: Any) -> None:
    second = subprocess.run(sandbox.command(), capture_output=True, text=True, check=False,
                            env=package_environment(), timeout=20)  # fmt: skip
    assert second.returncode == 1
    assert second.stderr.strip() == f"qubesd-sandbox: a daemon listens on {sandbox.socket} already"
    assert sandbox.ok("admin.vm.List", "work")


def package_environment() -> dict[str, str]:
    """An environment in which ``python -m sandbox`` is this project's."""
    from saltext.qvm_gpu.sandbox import harness

    return {**os.environ, "PYTHONPATH": str(harness.PACKAGE.parent)}


def test_a_file_in_the_sockets_place_is_an_error(
    start_sandbox: Callable[..., Any], tmp_path: Path
) -> None:
    from saltext.qvm_gpu.sandbox.harness import SandboxError

    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "qubesd.sock").write_text("mine")
    with pytest.raises(SandboxError, match="exit 1"):
        start_sandbox(folder=tmp_path / "x")
    assert (tmp_path / "x" / "qubesd.sock").read_text() == "mine"


def test_log_has_a_line_a_connection_before_it_closes(sandbox: Any) -> None:
    reply = sandbox.call("admin.label.Get+yellow")
    (entry,) = sandbox.log_path.read_text().splitlines()
    found = json.loads(entry)
    assert found["request"] == repr(b"admin.label.Get+yellow dom0 name dom0\0")
    assert found["reply"] == repr(reply) == repr(b"0\x000xedd400")
    assert 0 <= found["duration"] < 1


def test_log_has_a_stream_as_it_opens(sandbox: Any) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(sandbox.socket)
        sock.sendall(b"admin.Events+ dom0 name dom0\0")
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(100) == b"1\0\0connection-established\0\0"
        assert [entry.method for entry in sandbox.log()] == ["admin.Events"]


def test_many_connections_at_once(sandbox: Any) -> None:
    sockets = []
    for _ in range(200):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(sandbox.socket)
        sock.sendall(b"admin.vm.property.Get+memory dom0 ")
        sockets.append(sock)
    for sock in reversed(sockets):
        sock.sendall(b"name work\0")
        sock.shutdown(socket.SHUT_WR)
    for sock in sockets:
        assert sock.recv(100) == b"0\0default=True type=int 400"
        assert sock.recv(100) == b""
        sock.close()


CHANGES = (
    ("admin.vm.Create.StandaloneVM", "dom0", "name=gpu label=yellow"),
    ("admin.vm.property.Set+memory", "gpu", "4000"),
    ("admin.vm.property.Set+kernel", "gpu", ""),
    ("admin.vm.property.Set+netvm", "gpu", ""),
    ("admin.vm.feature.Set+menu-items", "gpu", "qubes-run-terminal.desktop"),
    ("admin.vm.tag.Set+mine", "gpu", ""),
    ("admin.vm.notes.Set", "gpu", "on two\nlines"),
    ("admin.vm.firewall.Set", "gpu", "action=drop\n"),
    ("admin.vm.volume.Resize+private", "gpu", "4294967296"),
    ("admin.vm.device.pci.Assign+dom0+00_01.0-00_00.0+0x10de+0x2504++p030000", "gpu",
     "mode='required' frontend_domain='gpu' _no-strict-reset='True'"),
    ("admin.property.Set+default_netvm", "dom0", "sys-net"),
    ("admin.vm.Remove", "personal", ""),
    ("admin.vm.Start", "gpu", ""),
)  # fmt: skip


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_state_survives(sandbox: Any, end: str) -> None:
    for method, dest, payload in CHANGES:
        sandbox.ok(method, dest, payload)
    before = sandbox.state()
    assert before["gpu"]["power"] == "Running"
    assert before["gpu"]["attached"][0]["options"] == {"no-strict-reset": "True"}
    getattr(sandbox, end)()
    assert Path(f"{sandbox.state_path}.journal").exists() == (end == "kill")
    sandbox.start()
    assert sandbox.state() == before
    assert "personal" not in sandbox.ok("admin.vm.List")


def test_a_line_that_was_cut_off_does_not_count(sandbox: Any) -> None:
    sandbox.ok("admin.vm.property.Set+memory", "work", "500")
    sandbox.kill()
    with open(f"{sandbox.state_path}.journal", "a", encoding="utf-8") as file:
        file.write('{"work":{"klass":"App')
    sandbox.start()
    assert sandbox.state()["work"]["props"]["memory"] == 500
    sandbox.ok("admin.vm.property.Set+memory", "work", "600")
    sandbox.kill()
    sandbox.start()
    assert sandbox.state()["work"]["props"]["memory"] == 600


def test_a_broken_state_file_is_an_error(sandbox: Any) -> None:
    from saltext.qvm_gpu.sandbox.harness import SandboxError

    sandbox.stop()
    sandbox.state_path.write_text("[]nonsense")
    with pytest.raises(SandboxError):
        sandbox.start()
    assert sandbox.state_path.read_text() == "[]nonsense"


def test_the_journal_is_folded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from saltext.qvm_gpu.sandbox import journal

    monkeypatch.setattr(journal, "COMPACT_AT", 100)
    file = journal.Journal(tmp_path / "state.json")
    assert file.load() is None
    assert not file.append({"a": {"x": 1}})
    assert file.append({"b": {"x": "y" * 100}})
    assert file.load() == {"a": {"x": 1}, "b": {"x": "y" * 100}}
    file.save({"a": {"x": 2}})
    assert file.load() == {"a": {"x": 2}}
    assert not file.append({"a": None})
    assert file.load() == {"a": None}


def test_snapshot_and_reset(sandbox: Any) -> None:
    start = sandbox.state()
    for method, dest, payload in CHANGES:
        sandbox.ok(method, dest, payload)
    changed = sandbox.state()
    sandbox.snapshot()
    sandbox.ok("admin.vm.Kill", "gpu")
    sandbox.ok("admin.vm.Remove", "gpu")
    sandbox.ok("admin.vm.Create.AppVM", payload="name=other label=red")
    sandbox.reset()
    assert sandbox.state() == changed
    sandbox.reset()
    assert sandbox.state() == changed
    assert sandbox.log() == []
    sandbox.kill()
    sandbox.start()
    assert sandbox.state() == changed != start


def test_control_calls_are_not_logged_and_wrong_ones_are_told(sandbox: Any) -> None:
    sandbox.snapshot()
    sandbox.state()
    assert sandbox.call("sandbox.Faults", payload="{").startswith(b"2\0SandboxError\0\0")
    assert sandbox.call("sandbox.Faults", payload='[{"kind": "x"}]').startswith(b"2\0SandboxError")
    assert sandbox.call("sandbox.Nosuch").startswith(b"2\0SandboxError\0\0no such method")
    assert sandbox.log() == []


def test_delays(start_sandbox: Callable[..., Any]) -> None:
    sandbox = start_sandbox({"start_delay": 0.2, "shutdown_delay": 0.3})
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(sandbox.socket)
        sock.sendall(b"admin.vm.Start+ dom0 name work\0")
        sock.shutdown(socket.SHUT_WR)
        time.sleep(0.05)
        assert "power_state=Transient" in sandbox.ok("admin.vm.CurrentState", "work")
        assert sock.recv(10) == b"0\0"
    # sys-net, sys-firewall and work, one after the other
    assert time.monotonic() - began >= 0.6
    sandbox.ok("admin.vm.Shutdown", "work")
    assert "power_state=Running" in sandbox.ok("admin.vm.CurrentState", "work")
    began = time.monotonic()
    sandbox.ok("admin.vm.Shutdown+force+wait", "sys-net")
    assert 0.25 < time.monotonic() - began < 2
    assert "power_state=Halted" in sandbox.ok("admin.vm.CurrentState", "work")


def test_shutdown_that_takes_too_long(start_sandbox: Callable[..., Any]) -> None:
    sandbox = start_sandbox({"shutdown_delay": 5})
    sandbox.ok("admin.vm.Start", "sys-net")
    sandbox.ok("admin.vm.property.Set+shutdown_timeout", "sys-net", "1")
    assert sandbox.call("admin.vm.Shutdown+wait", "sys-net") == (
        b"2\0QubesVMShutdownTimeoutError\0\0Domain shutdown timed out: 'sys-net'\0"
    )
    sandbox.ok("admin.vm.Kill", "sys-net")


def test_harness_runs_without_a_folder_or_state() -> None:
    from saltext.qvm_gpu.sandbox import Sandbox

    with Sandbox({"qubes": {"work": None}}, state=False) as sandbox:
        folder = sandbox.folder
        assert b"QubesVMNotFoundError" in sandbox.call("admin.vm.List", "work")
    assert not folder.exists()


def test_the_end_during_a_slow_start(start_sandbox: Callable[..., Any]) -> None:
    sandbox = start_sandbox({"start_delay": 30})
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(sandbox.socket)
        sock.sendall(b"admin.vm.Start+ dom0 name work\0")
        sock.shutdown(socket.SHUT_WR)
        time.sleep(0.1)
        assert sandbox.stop() == 0
    sandbox.start()
    assert "power_state=Halted" in sandbox.ok("admin.vm.CurrentState", "work")


def test_what_nobody_expected_ends_in_zero_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    from saltext.qvm_gpu.sandbox.errors import Refused
    from saltext.qvm_gpu.sandbox.server import failure

    assert failure(Refused("as the daemon does")) == b""
    assert capsys.readouterr().err == ""
    assert failure(ZeroDivisionError("a mistake")) == b""
    assert "ZeroDivisionError: a mistake" in capsys.readouterr().err
