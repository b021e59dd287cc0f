# SPDX-License-Identifier: GPL-3.0-or-later
"""Each way in which the driver does not work has words of its own; NVML is a stand-in."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from nvidia_beds import RECORD, fedora41  # noqa: F401

from tests.beds.beds import Card

SOURCE = Path(__file__).with_name("nvml.c")
CARD = ("0000:01:00.0", 0x10DE, 0x2504, 0x030000)


LIBRARIES = Path("usr/lib/x86_64-linux-gnu")


@pytest.fixture
def inside(fedora41):
    """A qube in which the extension can be loaded."""
    for name in ("libjansson.so.4", "libyaml-0.so.2"):  # the extension's own
        shutil.copy(Path("/", LIBRARIES, name), fedora41.root / LIBRARIES / name)
    return fedora41


@pytest.fixture
def installed(inside):
    """A qube with the driver installed and a library that answers as it is told."""
    inside.install()
    library = inside.root / LIBRARIES / "libnvidia-ml.so.1"
    command = ["cc", "-shared", "-fPIC", "-Wl,-soname,libnvidia-ml.so.1", "-o", library, SOURCE]
    subprocess.run(command, check=True, timeout=60)
    return inside


def status(qube, mode):
    """What nvidia.status says inside the qube, where the library is asked."""
    (qube.root / "etc/bed/nvml").write_text(mode)
    return qube.salt_call("nvidia.status")


def test_the_library_has_its_say(installed):
    version, nodes = installed.facts["driver"], installed.root / "dev/nvidiactl"
    installed.bed.set_loaded(version)
    answer = status(installed, "17")
    assert (answer["state"], answer["working"]) == ("no nodes", False)
    assert "there are no /dev/nvidia* nodes" in answer["text"]
    nodes.touch()
    answer = status(installed, "17")
    assert answer["state"] == "no devices"
    assert "GPU access blocked by the operating system (17)" in answer["text"]
    assert status(installed, "18")["state"] == "mismatch"
    assert "NVML sees 0 of 1 cards" in status(installed, "blind")["text"]
    answer = status(installed, "works")
    assert (answer["state"], answer["working"]) == ("works", True)
    assert answer["text"].endswith("works: NVIDIA Stand-in, 12288 MiB.")
    assert answer["nvml"]["driver"] == version
    *three, own = installed.read("etc/bed/open").splitlines()
    assert three == ["/dev/null"] * 3  # nothing of the caller's: who hangs holds up nobody
    assert own.startswith("pipe:")
    answer = status(installed, "crashes")
    assert answer["state"] == "no devices"
    assert "NVML fails: the library ended without an answer" in answer["text"]


def test_a_card_that_hangs_hangs_nobody_else(installed):
    """The state's time is short and the library endless; the qube was restarted since."""
    installed.bed.set_loaded(installed.facts["driver"])
    (installed.root / "etc/bed/nvml").write_text("hangs")
    record = json.loads(installed.read(RECORD))
    record["boot"] = "00000000-0000-0000-0000-000000000000"
    (installed.root / RECORD).write_text(json.dumps(record))
    words = ["driver_installed", "driver", "{timeout: 2}"]
    answer = installed.salt_call("nvidia.apply_state", *words)
    assert answer["result"] is False
    assert "the card does not answer" in answer["comment"]


def test_who_holds_the_card(installed):
    def comment():
        return installed.install()["comment"]

    assert "not loaded yet: restart the qube" in comment()
    installed.bed.set_cards([Card(*CARD, driver="nouveau")])
    assert "but nouveau holds the card 0000:01:00.0: restart the qube" in comment()
    installed.bed.set_cards([])
    assert "no NVIDIA card is attached to this qube" in comment()
    installed.bed.set_loaded(installed.facts["driver"])
    assert "there are no /dev/nvidia* nodes" in comment()
    installed.bed.set_cards([Card(*CARD, driver="nouveau")])
    assert "nouveau was first and holds the card" in comment()
    installed.bed.set_cards([Card(*CARD, driver="NovaCore")])
    assert "NovaCore was first and holds the card" in comment()
    installed.bed.set_cards([Card(*CARD)])
    assert "is not bound to it (it has no driver)" in comment()
    installed.bed.set_loaded("1.2.3")
    assert "but 1.2.3 is loaded: restart the qube" in comment()
    record = json.loads(installed.read(RECORD))
    record["boot"] = "00000000-0000-0000-0000-000000000000"
    (installed.root / RECORD).write_text(json.dumps(record))
    answer = installed.apply()
    assert answer["result"] is False
    assert "but 1.2.3 is loaded" in answer["comment"]


def test_what_swaps_now_is_looked_at(inside):
    """The file proves the next start only; the running kernel is asked and set each time."""

    def apply(*words):
        return inside.salt_call("nvidia.apply_state", "swap_minimized", "swap", *words)

    def shows():
        return inside.read("proc/sys/vm/swappiness").split()

    inside.bed.set_swappiness(0)
    assert list(apply()["changes"]) == ["files"]
    assert apply()["changes"] == {}
    inside.bed.set_swappiness(60)
    sysctl = {"sysctl": {"vm.swappiness": {"old": "60", "new": "0"}}}
    dry = apply("test=true")
    assert (dry["result"], dry["changes"], shows()) == (None, sysctl, ["60"])
    done = apply()
    assert (done["result"], done["changes"], shows()) == (True, sysctl, ["60", "0"])
