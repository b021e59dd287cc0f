# SPDX-License-Identifier: GPL-3.0-or-later
"""The one grain of ours, beside those that formulas read of Qubes' base package."""

from __future__ import annotations

BASE = """
def pci_devs():
    return {"pci_net_devs": ["00:1f.6"], "pci_usb_devs": ["00:14.0"], "pci_audio_devs": []}
"""
SAME_NAME = """
def another():
    return {"pci_gpu_devs": ["somebody else's"]}
"""


def grains(minion):
    names = ["pci_net_devs", "pci_usb_devs", "pci_audio_devs", "pci_gpu_devs"]
    return minion.call("grains.item", *names)


def with_grain(minion, name, text):
    """A grains module, where Salt has put those that it has synced."""
    folder = minion.cache / "extmods" / "grains"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(text, "utf-8")
    minion.config["extension_modules"] = str(minion.cache / "extmods")
    minion.write_config()


def test_others_are_left_alone(sandbox, minion_for, salt_version):
    minion = minion_for(sandbox, version=salt_version)
    ours = ["00:02.0", "01:00.0"]  # in the form of pci_net_devs
    alone = grains(minion)
    assert alone["pci_gpu_devs"] == ours
    assert not any(alone[name] for name in alone if name != "pci_gpu_devs")  # none is made up
    with_grain(minion, "pci_devs", BASE)
    assert grains(minion) == {
        "pci_net_devs": ["00:1f.6"], "pci_usb_devs": ["00:14.0"], "pci_audio_devs": [],
        "pci_gpu_devs": ours,
    }  # fmt: skip
    assert not sandbox.log()


def test_one_of_the_same_name_stays(sandbox, minion):
    for name in ("aaa", "zzz"):  # whatever comes first
        with_grain(minion, name, SAME_NAME)
        assert grains(minion)["pci_gpu_devs"] == ["somebody else's"]
        (minion.cache / "extmods" / "grains" / f"{name}.py").unlink()
    minion.config["grains"] = {"pci_gpu_devs": ["of the configuration"]}
    minion.write_config()
    assert grains(minion)["pci_gpu_devs"] == ["of the configuration"]
