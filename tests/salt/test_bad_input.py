# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is wrong, a state says what and what would be right: no traceback, no hang, no write."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from salt.exceptions import CommandExecutionError


def assert_refused(state, *words):
    assert state["result"] is False, state
    assert "Traceback" not in state["comment"]
    for word in words:
        assert word in state["comment"], state["comment"]


class Peer:
    """A daemon that is none: does to each connection what the test says."""

    def __init__(self, path, behave):
        self.path = path
        self.behave = behave
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(str(path))
        self.server.listen(64)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=[connection], daemon=True).start()

    def serve(self, connection):
        try:
            self.behave(connection)
        except OSError:
            pass
        finally:
            connection.close()

    def close(self):
        self.server.close()


def read_all(connection):
    while connection.recv(65536):
        pass


def answer(data):
    def behave(connection):
        read_all(connection)
        connection.sendall(data)

    return behave


def oversized(connection):
    read_all(connection)
    connection.sendall(b"0\0" + b"x" * (17 * 1024 * 1024))


def never(connection):
    time.sleep(30)


PEERS = {
    "closes": (lambda connection: None, "without an answer"),
    "empty": (answer(b""), "without an answer"),
    "garbage": (answer(b"\xff\xfe hello"), "not an answer of the Admin API"),
    "half an error": (answer(b"2\0QubesException\0"), "cut off"),
    "half a line": (answer(b"0\0work class=AppVM sta"), "cut off"),
    "an event": (answer(b"1\0\0connection-established\0\0"), "an event where an answer"),
    "not UTF-8": (answer(b"0\0work default=True type=str \xff\n"), "not UTF-8"),
    "over the cap": (oversized, "more than 16777216 bytes"),
    "never": (never, "in time"),
}


@pytest.mark.parametrize("what", PEERS)
def test_a_daemon_that_is_broken(tmp_path, minion_for, what):
    behave, words = PEERS[what]
    peer = Peer(tmp_path / "peer.sock", behave)
    minion = minion_for(socket=str(tmp_path / "peer.sock"), options={"qvm_gpu": {"timeout": 2}})
    begun = time.monotonic()
    state = minion.one("qvm.prefs", "work", {"memory": 500})
    peer.close()
    assert_refused(state, words, "admin.vm.property.GetAll on work")
    assert state["changes"] == {}
    assert time.monotonic() - begun < 15


def test_no_daemon_at_all(tmp_path, minion_for):
    minion = minion_for(socket=str(tmp_path / "nobody.sock"))
    state = minion.one("qvm.prefs", "work", {"memory": 500})
    assert_refused(state, "nobody.sock", "No such file or directory", "QUBESD_SOCKET")
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "dead.sock"))
    dead.close()
    minion = minion_for(socket=str(tmp_path / "dead.sock"))
    assert_refused(minion.one("qvm.prefs", "work", {"memory": 500}), "Connection refused")
    long_path = "/tmp/" + "x" * 200
    assert_refused(minion_for(socket=long_path).one("qvm.prefs", "work", {}), "qubesd_socket")


@pytest.mark.parametrize(
    "name", ["", "1abc", "bad name", "bad/../name", "x" * 32, "none", "default", "Domain-0", "a\tb"]
)
def test_names_that_qubesd_would_refuse(minion, sandbox, name):
    assert_refused(minion.one("qvm.present", name, {"label": "red"}), "name")
    assert not sandbox.log()


@pytest.mark.parametrize(
    ("function", "body", "words"),
    [
        ("qvm.prefs", {"memory": "many"}, ["memory", "many", "whole number"]),
        ("qvm.prefs", {"memory": None}, ["memory", "whole number"]),
        ("qvm.prefs", {"memory": [1, 2]}, ["memory", "one value", "list"]),
        ("qvm.prefs", {"autostart": "maybe"}, ["autostart", "maybe", "true or false"]),
        ("qvm.prefs", {"netvm": "no such!"}, ["netvm", "a qube's name or none"]),
        ("qvm.prefs", {"label": ""}, ["label"]),
        ("qvm.prefs", {"class": "TemplateVM"}, ["class", "AppVM", "cannot change"]),
        ("qvm.prefs", {"class": 5}, ["class", "number"]),
        ("qvm.prefs", {"mem": 500, "memory": 600}, ["mem", "memory", "two spellings"]),
        ("qvm.prefs", {"pcidevs": ["09:00.0"]}, ["pcidevs", "09:00.0", "0000:01:00.0"]),
        ("qvm.prefs", {"pcidevs": [60.0]}, ["pcidevs", "60", "quotes"]),
        ("qvm.prefs", {"pcidevs": {"01:00.0": None}}, ["pcidevs", "list"]),
        ("qvm.prefs", {"pcidevs": ["01:00.0:0x10de:0x9999::p030000"]}, ["identity", "0x2504"]),
        ("qvm.prefs", {"pci_strictreset": False}, ["pci_strictreset", "pcidevs"]),
        ("qvm.features", {"enable": {"x": "y"}}, ["enable", "list of names", "mapping"]),
        ("qvm.features", {"enable": [["x"]]}, ["enable", "list of names"]),
        ("qvm.features", {"set": ["novalue"]}, ["set", "name: value"]),
        ("qvm.features", {"set": [{"x": [1]}]}, ["set", "name: value"]),
        ("qvm.features", {"set": [{"bad name": 1}]}, ["bad name"]),
        ("qvm.features", {"set": [{"x": "caf\u00e9"}]}, ["x", "ASCII"]),
        ("qvm.present", {"class": "AppVm"}, []),
        ("qvm.tags", {"add": ["a"], "del": ["a"]}, ["a is to be added and deleted"]),
        ("qvm.tags", {"add": ["no tag!"]}, ["no tag!"]),
        ("qvm.vm", {"prefz": [{"memory": 1}]}, ["prefz", "did you mean prefs"]),
        ("qvm.vm", {"prefs": [["memory"]]}, ["qvm.prefs", "list inside a list"]),
        ("qvm.vm", {"actions": "prefs", "prefs": []}, ["actions", "list"]),
    ],
)
def test_wrong_shapes_and_values(minion, sandbox, function, body, words):
    name = "work" if body != {"class": "AppVm"} else "new"
    assert_refused(minion.one(function, name, body), *words)
    assert not sandbox.writing_calls()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, ["label", "missing"]),
        ({"label": "pink"}, ["label"]),
        ({"label": "red", "class": "AppVm"}, ["class", "did you mean AppVM"]),
        ({"label": "red", "template": "nosuch"}, ["template", "nosuch"]),
        ({"label": "red", "template": "nosuch", "class": "StandaloneVM"}, ["template", "nosuch"]),
        ({"label": "red", "mem": -5}, ["mem", "-5"]),
        ({"label": "red", "vcpus": "two"}, ["vcpus", "two"]),
        ({"label": "red", "root-copy-from": "/x"}, ["root_copy_from"]),
    ],
)
def test_creations_that_cannot_be(minion, sandbox, body, words):
    assert_refused(minion.one("qvm.present", "new", body), *words)
    assert "new" not in sandbox.ok("admin.vm.List").split()


@pytest.mark.parametrize("body", [None, [], {}, ""])
def test_empty_bodies_ask_for_nothing(minion, sandbox, body):
    state = minion.one("qvm.vm", "work", [{"prefs": body}, {"features": body}, {"tags": body}])
    assert state["result"] is True, state["comment"]
    assert state["changes"] == {} and not sandbox.writing_calls()


def test_a_body_is_a_list_or_a_mapping(minion, sandbox):
    for body in ([{"memory": 444}], {"memory": 444}):
        state = minion.one("qvm.vm", "work", [{"prefs": body}])
        assert state["changes"] == {"qvm.prefs": {"memory": {"old": "*default*", "new": 444}}}
        sandbox.reset()


def test_unknown_keys_are_named_and_do_not_fail(minion, sandbox):
    body = [{"prefs": [{"memroy": 5}, {"label": "blue"}]}, {"features": [{"ipv6": ""}]}]
    state = minion.one("qvm.vm", "work", body)
    assert state["result"] is True
    assert "prefs: memroy (did you mean memory?)" in state["comment"]
    assert "features: ipv6" in state["comment"]


def test_what_was_changed_before_the_failure_is_reported(minion, sandbox):
    body = {"prefs": [{"vcpus": 3}, {"kernel": "nosuch"}], "tags": [{"add": ["x"]}]}
    state = minion.one("qvm.vm", "work", body)
    assert_refused(
        state, "admin.vm.property.Set+kernel on work", "QubesPropertyValueError", "nosuch"
    )
    assert state["changes"] == {"qvm.prefs": {"vcpus": {"old": "*default*", "new": 3}}}
    assert [call.arg for call in sandbox.writing_calls()] == ["vcpus", "kernel"]


@pytest.mark.parametrize("function", ["pause", "unpause", "start", "shutdown"])
def test_a_qube_that_cannot_be_waited_for(sandbox, quick, function):
    """It is starting, and qubesd gives no events: that is a failure, never "nothing to do"."""
    sandbox.faults(
        [
            {
                "kind": "garbage",
                "match": "admin.vm.List+ dom0 name work",
                "data": "0\0work class=AppVM state=Transient uuid=1\n",
                "times": 0,
            },
            {"kind": "error", "match": "admin.Events+ dom0 name work", "text": "none", "times": 0},
        ]
    )
    state = quick.one(f"qvm.{function}", "work")
    assert_refused(state, "admin.Events on work", "none")
    assert state["changes"] == {}


WRONG = {
    "timeout": [-1, "soon", True, float("nan"), [30], 90000],
    "qubesd_socket": [5, ["/run/qubesd.sock"], "a\0b"],
}


@pytest.mark.parametrize(("option", "value"), [(k, v) for k, vs in WRONG.items() for v in vs])
def test_a_setting_that_is_wrong(tmp_path, minion_for, option, value):
    """Configuration concerns every module; one is asked as a state, one as a function."""
    minion = minion_for(root=tmp_path, options={"qvm_gpu": {option: value}})
    for function in ("nvidia.prime_offload", "qvm_gpu.present"):
        state = minion.one(function, "work", {})
        assert_refused(state, f"qvm_gpu:{option} is ", "expected")
        assert state["changes"] == {}
    with minion.surroundings(), pytest.raises(CommandExecutionError, match=f"qvm_gpu:{option} is "):
        minion.highstate(False).state.functions["nvidia.cards"]()


@pytest.mark.parametrize("test", [True, False])
def test_a_root_that_is_not_there(tmp_path, minion_for, test):
    minion = minion_for(root=tmp_path / "nowhere")
    for function in ("nvidia.driver_installed", "nvidia.driver_removed", "qvm_gpu.present"):
        assert_refused(minion.one(function, "gpu", {}, test), "QVM_GPU_ROOT is '", "/nowhere'")
    assert not (tmp_path / "nowhere").exists()


def test_a_wrong_setting_is_no_wrong_argument(tmp_path, minion_for):
    """On the command line, where Salt answers a wrong argument with the function's docstring."""
    minion = minion_for(root=tmp_path, options={"qvm_gpu": {"timeout": -1}})
    done = minion.run("nvidia.cards")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "qvm_gpu:timeout is -1: seconds from 0 to 86400 are expected" in said
    assert "CLI Example" not in said


def test_a_number_in_quotes_is_one(tmp_path, minion_for):
    """Jinja's answer to a number is text. It counts: what waits longer ends after a second."""
    peer = Peer(tmp_path / "peer.sock", never)
    minion = minion_for(socket=str(tmp_path / "peer.sock"), options={"qvm_gpu": {"timeout": "1"}})
    state = minion.one("qvm.prefs", "work", {"memory": 500})
    peer.close()
    assert_refused(state, "no answer from qubesd in time")
