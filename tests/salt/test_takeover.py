# SPDX-License-Identifier: GPL-3.0-or-later
"""Who answers for qvm beside a module of the same name: ours, or, where it is told so, the other.

The other is a stand-in that is called as upstream's files are and wants the same virtual name.
Salt's loader decides by file names and by what it has loaded before, so each answer is asked for
again after functions that load everything.
"""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from rig import DEADLINE, REPOSITORY

MODULE = """
__virtualname__ = "qvm"

def __virtual__():
    return __virtualname__

def check(vmname, *varargs, **kwargs):
    "The stand-in's."
    return "stand-in"

def prefs(vmname, *varargs, **kwargs):
    "The stand-in's."
    return "stand-in"

def only_there(vmname):
    "What ours has not."
    return "stand-in"
"""

STATE = """
__virtualname__ = "qvm"

def __virtual__():
    return __virtualname__

def exists(name, *varargs, **kwargs):
    "The stand-in's."
    return {"name": name, "result": True, "changes": {}, "comment": "stand-in"}

vm = only_there = exists
"""

SLS = """
{% set words = {"check": "exists", "prefs": "label"} %}
{% for first in LOADING %}
{% set loaded = salt[first[0]](*first[1:]) %}
{% for function in words %}
{{ function }} after {{ first[0] }}:
  test.configurable_test_state:
    - changes: False
    - result: True
    - comment: {{ salt["qvm." ~ function]("work", words[function]) | string | tojson }}
{% endfor %}
{% endfor %}
there:
  test.configurable_test_state:
    - changes: False
    - result: True
    - comment: {{ salt["qvm.only_there"]("work") | tojson }}
map:
  test.configurable_test_state:
    - changes: False
    - result: True
    - comment: {{ salt["qvm_gpu.map"]()["prefs"]["standalone_name"] }}
work:
  qvm.exists: []
nested:
  qvm.vm:
    - name: work
    - exists: []
only:
  qvm.only_there:
    - name: work
"""

AS_IT_COMES = [["test.ping"]]
ALL_LOADED = [
    *AS_IT_COMES,
    ["sys.list_functions"],
    ["sys.doc", "qvm", "sys.doc", "qvm_gpu.map"],
    ["sys.list_state_functions", "qvm"],
]

WITHOUT_THE_PACKAGE = """
import sys
import salt.utils.entrypoints as found
iterate = found.iter_entry_points
found.iter_entry_points = lambda *words, **more: [
    each for each in iterate(*words, **more) if each.name != "saltext.qvm_gpu"]
from salt.scripts import salt_call
sys.exit(salt_call())
"""


def copy_ours(folder):
    """Our modules as they travel: `_modules` with the extension beside them, `_states`, `_grains`."""
    for kind in ("modules", "states", "grains"):
        (folder / f"_{kind}").mkdir(parents=True, exist_ok=True)
        for path in (REPOSITORY / "salt_ext" / kind).glob("*.py"):
            shutil.copy(path, folder / f"_{kind}" / path.name)
    extension = REPOSITORY / "salt_ext" / "_core.abi3.so"
    shutil.copy(extension, folder / "_modules" / "_qvm_gpu_core.abi3.so")


def plain(text):
    """A Status object, as a template prints it, by its comment."""
    return text.partition("comment=")[2].strip("')\"") if text.startswith("Status(") else text


class Place:
    """A minion with the stand-in and ours, and a salt-call that sees our package or does not."""

    def __init__(self, minion, package):
        self.minion = minion
        self.command = [str(minion.program)]
        if not package:
            script = minion.folder / "salt-call"
            script.write_text(WITHOUT_THE_PACKAGE, "utf-8")
            self.command = [str(minion.program.with_name("python3")), str(script)]

    def call(self, *words):
        done = subprocess.run(
            [*self.command, "--local", "-c", str(self.minion.folder / "conf"), "--out", "json",
             "--out-indent=-1", "-l", "quiet", *words],
            capture_output=True, text=True, timeout=DEADLINE, check=False,
            env=self.minion.environment,
        )  # fmt: skip
        try:
            return json.loads(done.stdout)["local"]
        except (ValueError, KeyError):
            raise AssertionError(f"{words}: {done.stdout}{done.stderr}") from None

    def answers(self, loading):
        """Who answers, by what was asked: Jinja's calls, the states."""
        self.minion.write("t.sls", SLS.replace("LOADING", json.dumps(loading)))
        states = self.call("state.apply", "t")
        assert isinstance(states, dict), states
        return {
            state["__id__"]: "other" if state["comment"] == "stand-in" else plain(state["comment"])
            for state in states.values()
        }


def expected(loading, ours):
    """What :meth:`Place.answers` is where ours answers, and where the other one does."""
    asked = {
        "check": "Qube work exists",
        "prefs": "label              : blue",
        "work": "Qube work exists",
        "nested": "====== ['exists'] ======\nQube work exists",
    }
    states = {
        f"{function} after {first}": asked[function]
        for function in ("check", "prefs")
        for first, *_ in loading
    }
    states |= {name: asked[name] for name in ("work", "nested")}
    if not ours:
        states = dict.fromkeys(states, "other")
    # what only one of them has is always its own
    return {**states, "there": "other", "only": "other", "map": "fedora-40-nvidia"}


@pytest.fixture(params=["extmods", "RPM", "package"])
def place(request, sandbox, minion_for, salt_version):
    minion = minion_for(sandbox, version=salt_version)
    extmods = minion.cache / "extmods"
    minion.config["extension_modules"] = str(extmods)
    one = Place(minion, package=request.param == "package")
    if request.param == "extmods":
        copy_ours(minion.srv)
        minion.write("_modules/ext_module_qvm.py", MODULE)
        minion.write("_states/ext_state_qvm.py", STATE)
        minion.write_config()
        one.call("saltutil.sync_all", "saltenv=base")
        assert (extmods / "modules" / "dom0_qvm.py").exists()
        assert (extmods / "modules" / "ext_module_qvm.py").exists()
        return one
    for kind, text in (("modules/ext_module_qvm.py", MODULE), ("states/ext_state_qvm.py", STATE)):
        (extmods / kind).parent.mkdir(parents=True)
        (extmods / kind).write_text(text, "utf-8")
    where = REPOSITORY / "salt_ext"
    if request.param == "RPM":  # packaging/minion.conf
        where = minion.folder / "formula"
        copy_ours(where)
    minion.config["module_dirs"] = [str(where)]
    minion.write_config()
    return one


def test_ours_answers_and_gives_back_at_once(place):
    for loading in (AS_IT_COMES, ALL_LOADED):
        assert place.answers(loading) == expected(loading, ours=True)
    place.minion.config["qvm_gpu"] = {"replace_qvm": False}
    place.minion.write_config()
    assert place.answers(ALL_LOADED) == expected(ALL_LOADED, ours=False)
