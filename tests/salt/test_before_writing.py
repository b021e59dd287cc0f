# SPDX-License-Identifier: GPL-3.0-or-later
"""What qubesd would refuse is said by a dry run, and by a real run before it writes anything."""

from __future__ import annotations

import json

import pytest
import yaml
from rig import three_runs


def sls(*states):
    """States as (function, name, body) in this order."""
    return yaml.safe_dump(
        {
            f"t{number}": {function: [{"name": name}, *({key: body[key]} for key in body)]}
            for number, (function, name, body) in enumerate(states)
        },
        sort_keys=False,
    )


def refused(quick, sandbox, function, name, body, *words):
    """Dry and real: False, with these words, and nothing is written."""
    for test in (True, False):
        state = quick.one(function, name, body, test=test)
        assert state["result"] is False and state["changes"] == {}, (test, state)
        for word in words:
            assert word in state["comment"], (test, state["comment"])
    assert not sandbox.writing_calls()


def asked(sandbox, method):
    """The calls of one method."""
    return [call for call in sandbox.log() if call.method == method]


# -- what a qube is made from


@pytest.mark.parametrize(
    ("function", "body", "words"),
    [
        (
            "qvm.present",
            {"template": "work"},
            ["template: work is of class AppVM", "needs a TemplateVM"],
        ),
        (
            "qvm.present",
            {"template": "work", "class": "DispVM"},
            ["template: work is of class AppVM", "template_for_dispvms"],
        ),
        (
            "qvm.present",
            {"template": "fedora-41-xfce", "class": "DispVM"},
            ["template: fedora-41-xfce is of class TemplateVM", "template_for_dispvms"],
        ),
        (
            "qvm.present",
            {"template": "work", "class": "StandaloneVM"},
            ["template: work is of class AppVM", "a TemplateVM or StandaloneVM"],
        ),
        ("qvm.present", {"template": "dom0"}, ["template: dom0 is of class AdminVM"]),
        (
            "qvm.present",
            {"template": "work", "flags": ["hvm-template"]},
            ["work is of class AppVM"],
        ),
        (
            "qvm_gpu.present",
            {"template": "work"},
            ["template: work is of class AppVM, and class StandaloneVM"],
        ),
    ],
)
def test_a_template_of_another_class(quick, sandbox, function, body, words):
    refused(quick, sandbox, function, "new", {"label": "red", **body}, *words)


def test_what_qubesd_makes_is_not_refused(quick, sandbox):
    """Each class from each that it can be made from, also from those that a dry run would make."""
    red = {"label": "red"}
    three_runs(
        quick,
        sandbox,
        sls(
            ("qvm.present", "own", {**red, "class": "StandaloneVM", "template": "debian-12-xfce"}),
            ("qvm.present", "own2", {**red, "class": "StandaloneVM", "template": "own"}),
            ("qvm.present", "tpl", {**red, "class": "TemplateVM", "template": "own2"}),
            ("qvm.present", "bare", {**red, "class": "StandaloneVM"}),
            ("qvm.present", "dvm", {**red, "template": "tpl"}),
            ("qvm.prefs", "dvm", {"template-for-dispvms": "yes"}),
            ("qvm.present", "disp", {**red, "class": "DispVM", "template": "dvm"}),
            ("qvm.clone", "work2", {"source": "work"}),
            ("qvm.clone", "dvm2", {"source": "dvm"}),
            ("qvm.present", "disp2", {**red, "class": "DispVM", "template": "dvm2"}),
        ),
    )


def test_a_dry_run_knows_what_it_would_have_made(quick, sandbox):
    states = quick.high(
        sls(
            ("qvm.present", "app", {"label": "red"}),
            ("qvm.present", "disp", {"label": "red", "class": "DispVM", "template": "app"}),
            ("qvm.present", "app2", {"label": "red", "template": "app"}),
        ),
        test=True,
    )
    assert [state["result"] for state in states] == [None, False, False]
    assert all("template: app is of class AppVM" in state["comment"] for state in states[1:])


# -- labels


@pytest.mark.parametrize("label", ["pink", "Red", 99])
@pytest.mark.parametrize(
    ("function", "name"),
    [("qvm.present", "new"), ("qvm_gpu.present", "new"), ("qvm.prefs", "work")],
)
def test_a_label_that_there_is_not(quick, sandbox, function, name, label):
    if (function, label) == ("qvm.prefs", 99):
        return  # an index, which qubesd alone can tell
    body = {} if function == "qvm.prefs" else {"template": "fedora-41-xfce"}
    words = [f"label: {label}: there is none", "red, orange, yellow", "black"]
    refused(quick, sandbox, function, name, {"label": label, **body}, *words)
    assert len(asked(sandbox, "admin.label.List")) == 2  # once in a run


def test_a_label_of_this_computers_own(quick, sandbox):
    """It is asked about where it is news; one that every Qubes has never is."""
    sandbox.ok("admin.label.Create+pink", "dom0", "0xff8080")
    three_runs(quick, sandbox, sls(("qvm.present", "new", {"label": "pink"})))
    sandbox.clear_log()
    quick.one("qvm.prefs", "new", {"label": "pink"})
    assert quick.one("qvm.clone", "copy", {"source": "new"})["result"] is True
    quick.one("qvm.prefs", "new", {"label": "gray"})
    assert not asked(sandbox, "admin.label.List")
    assert quick.one("qvm.prefs", "new", {"label": "pink"})["result"] is True
    assert len(asked(sandbox, "admin.label.List")) == 1


def test_a_policy_that_keeps_labels_to_itself(quick, sandbox):
    """Then the write tells."""
    sandbox.ok("admin.label.Create+pink", "dom0", "0xff8080")
    sandbox.faults(
        [{"kind": "error", "match": "admin.label.List", "type": "PermissionDenied", "times": 0}]
    )
    assert quick.one("qvm.present", "new", {"label": "pink"})["result"] is True


# -- qubes that a property names

MISSING = [
    "netvm", "template", "default_dispvm", "default-dispvm", "guivm", "audiovm", "management_dispvm",
]  # fmt: skip


@pytest.mark.parametrize("key", MISSING)
def test_a_qube_that_there_is_not(quick, sandbox, key):
    """A dry run cannot know what else makes it: it warns, as for a template."""
    dry = quick.one("qvm.prefs", "work", {"vcpus": 3, key: "nosuch"}, test=True)
    assert dry["result"] is None and dry["changes"], dry
    assert f"{key}: nosuch does not exist, and no state before this one" in dry["comment"]
    state = quick.one("qvm.prefs", "work", {"vcpus": 3, key: "nosuch"})
    assert state["result"] is False and state["changes"] == {}, state
    assert f"{key}: nosuch does not exist" in state["comment"]
    assert not sandbox.writing_calls()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("netvm", "personal", "netvm: personal has no provides_network"),
        ("netvm", "dom0", "netvm: dom0 has no provides_network"),
        (
            "template",
            "personal",
            "template: personal is of class AppVM, and class AppVM needs a TemplateVM",
        ),
    ],
)
def test_a_qube_that_cannot_be_it(quick, sandbox, key, value, words):
    refused(quick, sandbox, "qvm.prefs", "work", {"vcpus": 3, key: value}, words)


def test_no_clone_is_made_for_a_netvm_that_there_is_not(quick, sandbox):
    state = quick.one("qvm_gpu.present", "gpu", {"netvm": "nosuch"})
    assert state["result"] is False and "netvm: nosuch does not exist" in state["comment"], state
    assert not sandbox.writing_calls()


def test_a_dry_run_tells_of_a_qube_without_disposables(quick, sandbox):
    """An older qubesd takes it: the write decides."""
    dry = quick.one("qvm.prefs", "work", {"default_dispvm": "personal"}, test=True)
    assert dry["result"] is None
    assert "default_dispvm: personal has no template_for_dispvms" in dry["comment"]
    state = quick.one("qvm.prefs", "work", {"default_dispvm": "personal"})
    assert state["result"] is False and "template_for_dispvms" in state["comment"]


def test_states_that_make_each_other_fit(quick, sandbox):
    """What earlier states and the same state would do counts."""
    first = three_runs(
        quick,
        sandbox,
        sls(
            ("qvm.prefs", "personal", {"provides_network": True}),
            ("qvm.prefs", "work", {"netvm": "personal", "guivm": "dom0", "audiovm": None}),
            ("qvm.vm", "vpn", {"present": [{"label": "red"}, {"flags": ["net"]}]}),
            ("qvm.prefs", "default-dvm", {"netvm": "vpn"}),
            (
                "qvm.vm", "dvm",
                {
                    "present": [{"label": "red"}],
                    "prefs": [{"default_dispvm": "dvm"}, {"template_for_dispvms": True}],
                },
            ),
            ("qvm.prefs", "sys-firewall", {"default_dispvm": "dvm"}),
        ),
    )  # fmt: skip
    assert all("Note" not in state["comment"] for state in first)
    assert not any(word in json.dumps(first) for word in ("does not exist", "has no "))


def test_only_a_change_is_asked_about(quick, sandbox):
    for _ in range(2):
        sandbox.clear_log()
        assert quick.one("qvm.prefs", "work", {"netvm": "sys-net"})["result"] is True
    assert [call.method for call in sandbox.log()] == ["admin.vm.property.GetAll"]
    # what the default is anyway is there
    state = quick.one("qvm.prefs", "sys-net", {"guivm": "dom0"}, test=True)
    assert state["changes"] and len(sandbox.log()) == 2


def test_a_policy_that_shows_only_the_qube_itself(quick, sandbox):
    sandbox.faults(
        [
            {
                "kind": "error", "match": "admin.vm.property.GetAll+ dom0 name sys-net",
                "type": "PermissionDenied", "times": 0,
            }
        ]
    )  # fmt: skip
    assert quick.one("qvm.prefs", "work", {"netvm": "sys-net"})["result"] is True


# -- one key in two spellings


def test_two_spellings_of_one_value(quick, sandbox):
    body = {
        "provides-network": True, "provides_network": "yes", "mem": 500, "memory": "500",
        "netvm": None, "set": [{"default-dispvm": "*default*"}, {"default_dispvm": "*default*"}],
    }  # fmt: skip
    first = three_runs(quick, sandbox, sls(("qvm.prefs", "work", body)))
    assert set(first[0]["changes"]["qvm.prefs"]) == {"provides_network", "memory", "netvm"}


@pytest.mark.parametrize(
    ("function", "name", "body"),
    [
        ("qvm.prefs", "work", {"provides-network": True, "provides_network": False}),
        ("qvm.prefs", "work", {"default-dispvm": "*default*", "default_dispvm": ""}),
        ("qvm_gpu.present", "gpu", {"mem": 4000, "memory": 8000}),
    ],
)
def test_two_spellings_that_differ(quick, sandbox, function, name, body):
    refused(quick, sandbox, function, name, body, *body, "two spellings", "different")


def test_mem_and_memory_of_a_gpu_qube(quick, sandbox):
    body = {"devices": [], "netvm": "none"}
    for more in ({"mem": 5000, "memory": "5000"}, {"memory": 5000, "mem": None}, {"mem": 5000}):
        state = quick.one("qvm_gpu.present", "gpu", {**body, **more}, test=True)
        assert state["changes"]["qvm.prefs"]["memory"]["new"] == 5000, state


# -- what is nobody's to change


@pytest.mark.parametrize("function", ["shutdown", "kill", "pause"])
def test_dom0_keeps_its_power_state(quick, sandbox, function):
    refused(quick, sandbox, f"qvm.{function}", "dom0", {}, "name: dom0 stays Running")


def test_dom0_runs(quick, sandbox):
    for function in ("start", "unpause", "running"):
        assert quick.one(f"qvm.{function}", "dom0")["result"] is True


@pytest.mark.parametrize("body", [{"add": ["created-by-foo"]}, {"del": ["created-by-dom0"]}])
def test_who_made_a_qube_stays(quick, sandbox, body):
    sandbox.ok("admin.vm.Create.AppVM", "dom0", "name=new label=red")
    sandbox.clear_log()
    tag = next(iter(body.values()))[0]
    refused(quick, sandbox, "qvm.tags", "new", body, f"tags: {tag}: created-by-*")


def test_a_tag_of_qubesds_that_is_there(quick, sandbox):
    body = {"add": ["created-by-dom0"], "del": ["created-by-foo"]}
    sandbox.ok("admin.vm.Create.AppVM", "dom0", "name=new label=red")
    assert quick.one("qvm.tags", "new", body)["result"] is True


# -- removing what is in use


@pytest.mark.parametrize(
    ("name", "users"),
    [
        ("sys-net", ["clockvm of dom0", "netvm of sys-firewall"]),
        ("fedora-41-xfce", ["default_template of dom0", "template of default-dvm"]),
        ("default-dvm", ["default_dispvm of dom0"]),
    ],
)
def test_who_uses_a_qube(quick, sandbox, name, users):
    dry = quick.one("qvm.absent", name, test=True)
    assert dry["result"] is None and f"{name} is in use" in dry["comment"], dry
    state = quick.one("qvm.absent", name)
    assert state["result"] is False and "QubesVMInUseError" in state["comment"], state
    for user in users:
        assert user in dry["comment"] and user in state["comment"], (dry, state)
    assert "journalctl" not in state["comment"]


def test_nobody_uses_what_earlier_states_let_go_of(quick, sandbox):
    sandbox.ok("admin.vm.property.Set+netvm", "work", "sys-firewall")
    sandbox.ok("admin.property.Set+default_netvm", "dom0", "")
    sandbox.ok("admin.property.Set+updatevm", "dom0", "")
    states = sls(
        ("qvm.prefs", "work", {"netvm": "none"}),
        ("qvm.absent", "sys-firewall", {}),
        ("qvm.absent", "personal", {}),
    )
    assert not any("in use" in state["comment"] for state in quick.high(states, test=True))
    sandbox.clear_log()
    assert all(state["result"] for state in quick.high(states))
    assert not asked(sandbox, "admin.property.GetAll")  # a real run asks where qubesd refuses
    dry = quick.one("qvm.absent", "fedora-41-xfce", test=True)
    assert "of personal" not in dry["comment"] and "of work" not in dry["comment"]


# -- values and keys


@pytest.mark.parametrize(
    ("function", "body", "words"),
    [
        ("qvm.prefs", "memory: 99999999999999999999", "qvm.prefs: memory: a number beyond"),
        ("qvm.prefs", "memory: .nan", "memory: a number that is not finite"),
        ("qvm.prefs", "kernelopts: !!binary aGFsbG8=", "kernelopts: a value of type bytes"),
        ("qvm.prefs", 'kernelopts: "a\\0b"', "kernelopts: text with a NUL"),
        ("qvm.vm", "prefs: [memory: 99999999999999999999]", "qvm.vm: prefs: memory: a number"),
        ("qvm_gpu.present", "mem: 99999999999999999999", "qvm_gpu.present: mem: a number"),
    ],
)
def test_a_value_that_is_none_is_named_by_its_key(quick, sandbox, function, body, words):
    text = f"t:\n  {function}:\n    - name: work\n    - {body}\n"
    state = quick.high(text)[0]
    assert state["result"] is False and words in state["comment"], state
    assert not sandbox.log()


def test_a_flag_of_prefs_is_named(quick, sandbox):
    state = quick.one("qvm.prefs", "work", {"flags": ["quite"], "vcpus": 2}, test=True)
    assert "Unknown flag ignored: prefs: quite" in state["comment"]
    assert state["result"] is None


@pytest.mark.parametrize("what", ["attach", "detach"])
def test_a_device_class_that_there_is_not(quick, sandbox, what):
    body = {what: ["foo:dom0:00_02.0"]}
    words = ["devices: 'foo' is no device class", "pci, usb, block, mic"]
    refused(quick, sandbox, "qvm.devices", "work", body, *words)
