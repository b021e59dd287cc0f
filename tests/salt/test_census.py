# SPDX-License-Identifier: GPL-3.0-or-later
"""Formulas in the shapes that are in use, every key of them at least once, each run three times.

Dry, first, second: the dry run writes nothing and predicts, the first does it, the second finds
nothing to do; none starts a process.
"""

from __future__ import annotations

import json
import os
import re

import pytest
import yaml
from rig import REPOSITORY, three_runs

FORMULAS = REPOSITORY / "tests" / "data" / "formulas"
NAMES = sorted(path.stem for path in FORMULAS.glob("*.sls"))

CENSUS = yaml.safe_load((REPOSITORY / "tests/data/census.yaml").read_text("utf-8"))
TEXT = CENSUS.pop("text")

# What other files of a collection have: a state to be required, and the macro.
OTHER = """
nothing:
  cmd.wait:
    - name: "true"
"""

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
    "classes": {f"present: {key}" for key in ("netvm", "virt_mode", "kernel", "kernelopts")},
}


def values(sandbox, qube):
    lines = sandbox.ok("admin.vm.property.GetAll", qube).splitlines()
    return {line.split(" ")[0]: line.split(" ", 3)[3] for line in lines}


def feature(sandbox, qube, name):
    return sandbox.ok(f"admin.vm.feature.Get+{name}", qube)


@pytest.fixture
def collection(quick, tmp_path, monkeypatch):
    """What is around a formula, and dom0's program that templates ask."""
    quick.write("other.sls", OTHER)
    quick.write("qvm/template.jinja", (FORMULAS / "qvm/template.jinja").read_text("utf-8"))
    program = tmp_path / "qubes-prefs"
    program.write_text("#!/bin/sh\necho fedora-41-xfce\n", "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return quick


def formula(name):
    return (FORMULAS / f"{name}.sls").read_text("utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_three_runs(collection, sandbox, name):
    for call in BEFORE.get(name, ()):
        sandbox.ok(*call)
    text = formula(name)
    states = three_runs(collection, sandbox, text, templates_may="cmd.shell" in text)
    assert any(state["changes"] for state in states)
    warned = re.findall(r"Unknown key ignored: (\S+: \S+)", "\n".join(s["comment"] for s in states))
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


def right_macro(sandbox):
    usb = values(sandbox, "sys-usb")
    assert (usb["netvm"], usb["provides_network"], usb["maxmem"]) == ("", "True", "0")
    assert usb["template"] == "fedora-41-xfce"  # as qubes-prefs said
    assert values(sandbox, "work")["memory"] == "700"
    assert feature(sandbox, "sys-whonix", "whonix-gw") == "1"


def right_classes(sandbox):
    classes = {name: values(sandbox, name)["klass"] for name in
               ("tpl-own", "whole", "sys-audio", "own-dvm", "own-disp")}  # fmt: skip
    assert classes == {
        "tpl-own": "TemplateVM", "whole": "StandaloneVM", "sys-audio": "AppVM",
        "own-dvm": "AppVM", "own-disp": "DispVM",
    }  # fmt: skip
    assert values(sandbox, "whole")["virt_mode"] == "pv"
    assert values(sandbox, "own-disp")["template"] == "own-dvm"


RIGHT = {
    "macro": right_macro,
    "classes": right_classes,
    "template": right_template,
    "network": right_network,
    "gui": right_gui,
    "states": right_states,
    "leave": right_leave,
    "start": right_start,
}


def canonical(value):
    """A value that can be looked for: `400` and `"400"` are two."""
    return json.dumps(value)


def note(found, function, body):
    """Each key of a body with its values, and the items and names in them."""
    for item in body if isinstance(body, list) else [body]:
        for key, value in item.items() if isinstance(item, dict) else ():
            values = found.setdefault(function, {}).setdefault(key, set())
            values.add(canonical(value))
            for each in value if isinstance(value, list) else ():
                names = each if isinstance(each, dict) else [each]
                values.update(canonical(name) for name in names)


def test_every_key_of_the_census_is_in_a_formula(collection):
    """As Salt renders them: what a macro or a loop makes counts, what a comment says does not."""
    found = {}
    with collection.surroundings():
        for name in NAMES:
            collection.write("t.sls", formula(name))
            high, errors = collection.highstate(True).render_highstate({"base": ["t"]})
            assert not errors, errors
            for states in high.values():
                body = states.get("qvm") if isinstance(states, dict) else None
                if not body:
                    continue
                (function,) = [item for item in body if isinstance(item, str)]
                items = [item for item in body if not isinstance(item, str)]
                found.setdefault(function, {})
                note(found, function, items)
                for item in items if function == "vm" else ():
                    for action, inner in item.items():
                        note(found, action, inner)
    missing = [
        f"{function}: {key}: {value}"
        for function, keys in CENSUS.items()
        for key, values in keys.items()
        for value in [canonical(one) for one in values] or [None]
        if function not in found
        or key not in found[function]
        or (value and value not in found[function][key])
    ]
    assert not missing, "\n".join(missing)
    assert set(CENSUS) <= set(found)
    texts = "".join(formula(name) for name in NAMES)
    texts += (FORMULAS / "qvm/template.jinja").read_text("utf-8")
    assert [word for word in TEXT if word not in texts] == []
