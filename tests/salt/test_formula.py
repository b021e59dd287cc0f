# SPDX-License-Identifier: GPL-3.0-or-later
"""Our formula with the pillars that people write."""

from __future__ import annotations

import json

import pytest
from rig import STATES


@pytest.fixture
def formula(machine, minion_for):
    """``formula(settings)``: the states of a dry run in dom0 with this pillar `nvidia-driver`."""
    sandbox = machine({"topology": "bridge"})
    minion = minion_for(sandbox, options={"file_roots": {"base": [str(STATES)]}})

    def apply(settings):
        pillar = json.dumps({"nvidia-driver": settings})
        return minion.apply("nvidia-driver", "test=True", f"pillar={pillar}")

    return apply


@pytest.mark.parametrize("settings", [None, {}, {"prefs": None, "devices": None}, {"other": 1}])
def test_nothing_said(formula, settings):
    ready, qube = formula(settings)
    assert ready["result"] is True and qube["result"] is None, (ready["comment"], qube["comment"])
    assert "fedora-40-nvidia" in qube["changes"]["qvm.present"]


@pytest.mark.parametrize(
    "devices", ["01:00.0", "0000:01:00.0", "auto", ["01:00.0", "01:00.1"], "10de:2504"]
)
def test_devices(formula, devices):
    ready, qube = formula({"devices": devices})
    assert ready["result"] is True and qube["result"] is None, (ready["comment"], qube["comment"])
    assert len(qube["changes"]["qvm.prefs"]["pcidevs"]["new"]) == 2


@pytest.mark.parametrize("name", ["standalone_name", "standalone_label", "template_name"])
def test_null_takes_the_default(formula, name):
    ready, qube = formula({"prefs": {name: None}})
    assert ready["result"] is True and qube["result"] is None, (ready["comment"], qube["comment"])
    made = qube["changes"]["qvm.present"]["fedora-40-nvidia"]["new"]
    assert (made["label"], made["source"]) == ("yellow", "fedora-40-xfce")


@pytest.mark.parametrize("word", ["on", "1e3", "null", "no"])
def test_a_name_stays_a_text(formula, word):
    """What YAML would read as something else, had it no quotes."""
    ready, qube = formula({"prefs": {"standalone_name": word}})
    assert qube["name"] == word or word in ready["comment"] + qube["comment"]
    assert "nvidia-driver--" not in json.dumps(qube["changes"])
