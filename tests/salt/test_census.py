# SPDX-License-Identifier: GPL-3.0-or-later
"""Formulas in the shapes that are in use, every key of them at least once, each run three times.

Dry, first, second: the dry run writes nothing and predicts, the first does it, the second finds
nothing to do; none starts a process.
"""

from __future__ import annotations

import re

import pytest
import yaml
from rig import REPOSITORY, three_runs

FORMULAS = REPOSITORY / "tests" / "data" / "formulas"
NAMES = sorted(path.stem for path in FORMULAS.glob("*.sls"))

# What formulas in public collections give each function, as they were counted.
CENSUS = {
    "present": "label template class mem vcpus flags maxmem",
    "prefs": (
        "audiovm label memory maxmem vcpus template include_in_backups autostart netvm "
        "template_for_dispvms default_dispvm provides_network management_dispvm virt_mode pcidevs "
        "pci_strictreset kernel guivm kernelopts dispvm_allowed debug"
    ),
    "features": "enable disable set ipv6",
    "service": "enable disable",
    "tags": "add del present",
    "clone": "name source",
    "template_installed": "name fromrepo",
    "shutdown": "name flags",
    "start": "name",
    "absent": "name names",
    "devices": "attach detach",
    "firewall": "set",
    "vm": "names actions require exists present prefs features service tags",
}

# What is only there, or only running, because somebody else made it so.
BEFORE = {
    "leave": [
        *[("admin.vm.Create.AppVM", "dom0", f"name={n} label=red") for n in
          ("dvm-one", "dvm-two", "old-qube")],
        *[("admin.vm.Start", n, "") for n in ("personal", "work", "default-dvm", "old-qube")],
    ],
}  # fmt: skip

# Warnings that a reader wants to see, by the formula; there are no others.
WARNINGS = {
    "network": {"present: maxmem"},
    "gui": {"present: maxmem"},
    "states": {"features: ipv6"},
}


def values(sandbox, qube):
    lines = sandbox.ok("admin.vm.property.GetAll", qube).splitlines()
    return {line.split(" ")[0]: line.split(" ", 3)[3] for line in lines}


def feature(sandbox, qube, name):
    return sandbox.ok(f"admin.vm.feature.Get+{name}", qube)


@pytest.mark.parametrize("name", NAMES)
def test_three_runs(quick, sandbox, name):
    for call in BEFORE.get(name, ()):
        sandbox.ok(*call)
    text = (FORMULAS / f"{name}.sls").read_text("utf-8")
    states = three_runs(quick, sandbox, text)
    assert any(state["changes"] for state in states)
    warned = re.findall(r"Unknown key ignored: (\S+: \S+)", str([s["comment"] for s in states]))
    assert {re.sub(r"\W+$", "", one) for one in warned} == WARNINGS.get(name, set())
    RIGHT[name](sandbox)


def right_template(sandbox):
    got = values(sandbox, "disp-browser")
    assert (got["klass"], got["template"], got["default_dispvm"]) == ("DispVM", "dvm-browser", "")
    dvm = values(sandbox, "dvm-browser")
    assert (dvm["template"], dvm["template_for_dispvms"]) == ("tpl-browser", "True")
    assert feature(sandbox, "dvm-browser", "appmenus-dispvm") == "1"
    assert "audiovm-dom0-client" in sandbox.ok("admin.vm.tag.List", "tpl-browser").split()


def right_network(sandbox):
    got = values(sandbox, "disp-net")
    assert (got["virt_mode"], got["maxmem"], got["netvm"]) == ("hvm", "0", "")
    ports = re.findall(
        r"^dom0\+([^:]+)", sandbox.ok("admin.vm.device.pci.Assigned", "disp-net"), re.M
    )
    assert sorted(ports) == ["00_14.0", "00_1f.6"]
    assert values(sandbox, "sys-vpn")["netvm"] == "sys-mirage"
    assert values(sandbox, "sys-mirage")["kernel"] == "pvgrub2-pvh"


def right_gui(sandbox):
    assert feature(sandbox, "dom0", "preload-dispvm-threshold") == "1000"
    assert "admin-of-all" in sandbox.ok("admin.vm.tag.List", "dom0").split()
    assert values(sandbox, "work")["guivm"] == "sys-gui"
    assert values(sandbox, "sys-gui")["template_for_dispvms"] == "True"


def right_states(sandbox):
    gpu = values(sandbox, "gpu")
    assert (gpu["klass"], gpu["memory"], gpu["kernel"], gpu["debug"]) == (
        "StandaloneVM", "4000", "", "True",
    )  # fmt: skip
    assert values(sandbox, "usb")["maxmem"] == "0"
    assert "action=drop" in sandbox.ok("admin.vm.firewall.Get", "mail")


def right_leave(sandbox):
    store = sandbox.state()
    assert not {"dvm-one", "dvm-two", "old-qube"} & set(store)
    assert {store[name]["power"] for name in ("work", "personal", "default-dvm")} == {"Halted"}


def right_start(sandbox):
    assert sandbox.state()["work"]["power"] == "Running"


RIGHT = {
    "template": right_template,
    "network": right_network,
    "gui": right_gui,
    "states": right_states,
    "leave": right_leave,
    "start": right_start,
}


def keys_of(body):
    """The keys of a body, `-` as `_`."""
    items = body if isinstance(body, list) else [body]
    return {key.replace("-", "_") for item in items if isinstance(item, dict) for key in item}


def test_every_key_is_in_a_formula():
    used = {}
    for name in NAMES:
        text = re.sub(r"{%.*?%}", "", (FORMULAS / f"{name}.sls").read_text("utf-8"))
        for states in yaml.safe_load(re.sub(r"{{.*?}}", "x", text)).values():
            ((function, body),) = states.items()
            used.setdefault(function.removeprefix("qvm."), set()).update(keys_of(body))
            for item in body if function == "qvm.vm" else ():
                for action, inner in item.items():
                    used.setdefault(action, set()).update(keys_of(inner))
    missing = {
        function: set(keys.split()) - used.get(function, set()) for function, keys in CENSUS.items()
    }
    assert not {function: keys for function, keys in missing.items() if keys}
