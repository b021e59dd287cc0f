# SPDX-License-Identifier: GPL-3.0-or-later
"""qvm_gpu.present and qvm_gpu.map: one state for the qube, defaults rendered by the core."""

from __future__ import annotations

import json

import pytest
from rig import STATES

DEFAULTS = {
    "prefs": {
        "standalone_name": "fedora-40-nvidia",
        "standalone_label": "yellow",
        "standalone_memory": 4000,
        "standalone_cpus": 4,
        "template_name": "fedora-40-xfce",
    },
    "devices": ["01:00.0", "01:00.1"],
    "paths": {
        "nvidia_conf": "/usr/share/X11/xorg.conf.d/nvidia.conf",
        "grub_conf": "/etc/default/grub",
        "grub_out": "/boot/grub2/grub.cfg",
    },
}


def values(sandbox, qube):
    lines = sandbox.ok("admin.vm.property.GetAll", qube).splitlines()
    return {line.split(" ")[0]: line.split(" ", 3)[3] for line in lines}


def test_map_is_the_guides(minion_for):
    minion = minion_for(id="a-qube")
    assert minion.call("qvm_gpu.map") == DEFAULTS


def test_map_layers(minion):
    pillar = {
        "nvidia-driver": {
            "prefs": {"standalone_memory": 8000},
            "devices": ["02:00.0"],
            "flavor": "open",
        }
    }
    folder = minion.folder / "pillar"
    folder.mkdir()
    (folder / "top.sls").write_text("base:\n  '*':\n    - gpu\n", "utf-8")
    (folder / "gpu.sls").write_text(json.dumps(pillar), "utf-8")
    got = minion.call("qvm_gpu.map", 'prefs={"standalone_cpus": 2}', "other=1")
    assert got["prefs"] == {**DEFAULTS["prefs"], "standalone_memory": 8000, "standalone_cpus": 2}
    assert got["devices"] == ["02:00.0"]
    assert got["paths"] == DEFAULTS["paths"]
    assert minion.call("qvm_gpu.map", "devices=auto")["devices"] == "auto"


@pytest.mark.parametrize(
    ("word", "part"), [("prefs=5", "prefs"), ("devices={}", "devices"), ("devices=[60.0]", "quote")]
)
def test_map_refuses_other_shapes(minion, word, part):
    done = minion.run("qvm_gpu.map", word)
    assert done.returncode != 0
    assert part in done.stdout + done.stderr and "Traceback" not in done.stderr


def test_map_takes_null_for_nothing_said(minion):
    over = {"prefs": {"template_name": None, "mine": None}, "paths": None, "devices": None}
    words = [f"{key}={json.dumps(value)}" for key, value in over.items()]
    assert minion.call("qvm_gpu.map", *words) == {
        **DEFAULTS,
        "prefs": {**DEFAULTS["prefs"], "mine": None},
    }


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (
            'prefs={"standalone_name": 42}',
            "nvidia-driver:prefs:standalone_name: a text is expected",
        ),
        ('prefs={"standalone_label": true}', "standalone_label: a text is expected, not a bool"),
        ('paths={"grub_out": []}', "nvidia-driver:paths:grub_out: a text is expected"),
        ("device=auto", "nvidia-driver:device: there is no such key, is devices meant?"),
        ("path={}", "nvidia-driver:path: there is no such key, is paths meant?"),
    ],
)
def test_map_refuses_slips(minion, word, said):
    done = minion.run("qvm_gpu.map", word)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr and "Traceback" not in done.stderr


def test_our_map_and_the_users_are_interchangeable(minion):
    text = (STATES / "nvidia-driver" / "map.jinja").read_text("utf-8")
    minion.write("nvidia-driver/map.jinja", text)
    minion.write(
        "show.sls",
        "{% from 'nvidia-driver/map.jinja' import prefs, devices, paths %}\n"
        "show:\n  test.configurable_test_state:\n    - changes: False\n    - result: True\n"
        "    - comment: {{ [prefs, devices, paths] | tojson | tojson }}\n",
    )
    (state,) = minion.apply(
        "show", 'pillar={"nvidia-driver": {"prefs": {"template_name": "debian-12-xfce"}}}'
    )
    prefs, devices, paths = json.loads(state["comment"])
    assert prefs == {**DEFAULTS["prefs"], "template_name": "debian-12-xfce"}
    assert [devices, paths] == [DEFAULTS["devices"], DEFAULTS["paths"]]


def test_present_from_nothing_to_nothing_to_do(sandbox, minion):
    body = {
        "template": "fedora-41-xfce",
        "mem": 6000,
        "devices": ["01:00.0"],
        "menu_items": "a.desktop",
    }
    dry = minion.one("qvm_gpu.present", "gpu", body, test=True)
    assert dry["result"] is None and not sandbox.writing_calls()
    first = minion.one("qvm_gpu.present", "gpu", body)
    assert first["result"] is True, first["comment"]
    assert first["changes"] == dry["changes"]
    got = values(sandbox, "gpu")
    wanted = {
        "klass": "StandaloneVM", "label": "yellow", "memory": "6000", "maxmem": "0", "vcpus": "4",
        "virt_mode": "hvm", "kernel": "",
    }  # fmt: skip
    assert {name: got[name] for name in wanted} == wanted
    sandbox.clear_log()
    second = minion.one("qvm_gpu.present", "gpu", body)
    assert second["result"] is True and second["changes"] == {}
    assert not sandbox.writing_calls() and len(sandbox.log()) <= 4


def test_present_converges_a_qube_that_is_there(sandbox, minion):
    body = {"devices": ["01:00.0", "01:00.1"], "label": "red", "netvm": "none", "tags": ["gpu"]}
    minion.one("qvm_gpu.present", "gpu", body)
    sandbox.ok("admin.vm.property.Set+memory", "gpu", "777")
    sandbox.ok("admin.vm.property.Set+label", "gpu", "blue")
    state = minion.one("qvm_gpu.present", "gpu", body)
    assert state["changes"] == {
        "qvm.prefs": {"memory": {"old": 777, "new": 4000}, "label": {"old": "blue", "new": "red"}}
    }
    assert values(sandbox, "gpu")["netvm"] == ""
    assert "gpu" in sandbox.ok("admin.vm.tag.List", "gpu").split()


def test_another_class_or_template_is_an_error_before_any_write(sandbox, minion):
    state = minion.one("qvm_gpu.present", "work", {"devices": ["01:00.0"]})
    assert state["result"] is False and "AppVM" in state["comment"] and "class" in state["comment"]
    body = {"class": "AppVM", "template": "fedora-41-xfce", "devices": ["01:00.0"]}
    state = minion.one("qvm_gpu.present", "work", body)
    assert state["result"] is False and "debian-12-xfce" in state["comment"]
    assert not sandbox.writing_calls()


def test_a_wrong_argument_is_named(sandbox, minion):
    state = minion.one("qvm_gpu.present", "gpu", {"memroy": 5})
    assert (
        state["result"] is False and "memroy" in state["comment"] and "memory" in state["comment"]
    )
    assert not sandbox.log()


def test_status_in_dom0_and_dict_on_the_command_line(sandbox, minion):
    minion.write(
        "s.sls",
        "{% set s = salt['qvm.prefs']('work', 'label') %}\n"
        "show:\n  test.configurable_test_state:\n    - changes: False\n    - result: {{ s.passed() }}\n"
        "    - comment: {{ (s.data ~ '|' ~ s.failed() ~ '|' ~ s.retcode) | tojson }}\n",
    )
    (state,) = minion.apply("s")
    assert state["comment"] == "{'label': 'blue'}|False|0"
    answer = minion.call("qvm.prefs", "work", "label")
    assert answer == {"retcode": 0, "stdout": "label              : blue", "stderr": ""}


def test_execution_functions_honour_test(sandbox, minion):
    answer = minion.call("qvm.prefs", "work", "memory=555", "test=True")
    assert answer["retcode"] == 0 and "555" in answer["stdout"]
    assert not sandbox.writing_calls()
    assert minion.call("qvm.prefs", "work", "memory=555")["retcode"] == 0
    assert values(sandbox, "work")["memory"] == "555"


AUTO = ["00_01.0-00_00.0", "00_01.0-00_00.1"]


@pytest.mark.parametrize("devices", [None, "auto", "nvidia", "10de:2504", "01:00.0"])
def test_the_card_is_found(sandbox, minion, devices):
    body = {} if devices is None else {"devices": devices}
    dry = minion.one("qvm_gpu.present", "gpu", body, test=True)
    assert dry["result"] is None, dry["comment"]
    assert dry["changes"]["qvm.prefs"]["pcidevs"]["new"] == AUTO
    assert minion.one("qvm_gpu.present", "gpu", body)["result"] is True
    sandbox.clear_log()
    second = minion.one("qvm_gpu.present", "gpu", body)
    assert second["result"] is True and second["changes"] == {}
    assert len(sandbox.log()) <= 4


def test_two_alike_are_listed_instead_of_guessed(machine, minion_for):
    sandbox = machine("two-alike")
    state = minion_for(sandbox).one("qvm_gpu.present", "gpu", {"devices": "auto"})
    assert state["result"] is False
    assert "0000:01:00.0" in state["comment"] and "0000:02:00.0" in state["comment"]
    assert not sandbox.writing_calls()


def test_a_pillar_of_one_line_is_enough(sandbox, minion_for, salt_version):
    minion = minion_for(sandbox, version=salt_version)
    for path in STATES.rglob("*"):
        if path.is_file():
            minion.write(str(path.relative_to(STATES)), path.read_text("utf-8"))
    words = ["nvidia-driver", 'pillar={"nvidia-driver": {"devices": "auto"}}']
    ready, present = minion.apply(*words)
    assert (ready["result"], ready["changes"]) == (True, {}), ready["comment"]
    assert "[fail]" not in ready["comment"]
    assert present["result"] is True, present["comment"]
    assert present["changes"]["qvm.prefs"]["pcidevs"]["new"] == AUTO
    assert [state["changes"] for state in minion.apply(*words)] == [{}, {}]


def test_reset_can_be_loosened_and_tightened(sandbox, minion):
    for strict, option in ((False, True), (True, False)):
        body = {"strict_reset": strict}
        assert minion.one("qvm_gpu.present", "gpu", body)["result"] is True
        assigned = sandbox.ok("admin.vm.device.pci.Assigned", "gpu")
        assert ("_no-strict-reset='True'" in assigned) is option
        assert minion.one("qvm_gpu.present", "gpu", body)["changes"] == {}
