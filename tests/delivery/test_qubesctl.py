# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of qubesctl: dom0, a disposable that runs salt-ssh, a target with Python and no Salt."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from machines import CORE, plain

# A state of the user's own that asks for the formula's settings, and for the pillar itself.
MINE = """
{% from 'nvidia-driver/map.jinja' import paths %}
mine:
  test.show_notification:
    - text: {{ paths.grub_conf }} {{ pillar.who }} {{ pillar.cards }}
"""
PILLAR = """
nvidia-driver: {paths: {grub_conf: /etc/default/of-the-user}}
who: {{ grains.id }}
cards: {{ grains.pci_gpu_devs | join(' ') }}
"""
ARRIVED = "/etc/default/of-the-user gpu 00:02.0 01:00.0"  # dom0 has both cards, the target one
# What salt-ssh, Python and sshd leave behind, whatever they run.
SALTS_OWN = ("var/tmp", "var/log", "var/cache", "root", "run", "etc/ssh/bed")
MODULES = ["modules._qvm_gpu_core.abi3", "modules._qvm_gpu_shim", "modules.dom0_qvm",
           "modules.nvidia", "modules.qvm_gpu"]  # fmt: skip
LIMIT = 200_000  # bytes by which an archive may grow


@pytest.fixture(scope="module")
def way(version, start, srv, tmp_path_factory):
    """All of it laid out: dom0 has synced, the disposable has what dom0 hands over."""
    with start() as go:
        dom0 = go.dom0(version)
        dom0.copy_tree(srv)
        dom0.write("srv/salt/mine.sls", MINE)
        dom0.write("srv/pillar/top.sls", "base: {gpu: [gpu]}\n")
        dom0.write("srv/pillar/gpu.sls", PILLAR)
        synced = dom0.call("saltutil.sync_all", "saltenv=base")
        folder = dom0.hand_over(tmp_path_factory.mktemp("way") / "folder", ["gpu"])
        disposable, bed = go.disposable(version), go.bed()
        with bed.sshd() as target:
            disposable.receive(go.nothing(), {"gpu": target})
            assert disposable.ask("gpu", "test.ping") is True
            without = size(disposable.sent().get("ext_mods"))
            disposable.receive(folder, {"gpu": target})
            yield SimpleNamespace(
                disposable=disposable, bed=bed, synced=synced, folder=folder, without=without
            )


def size(archive):
    return archive.stat().st_size if archive else 0


def test_dom0_hands_over_what_it_has(way, srv):
    assert {path.name for path in way.folder.iterdir()} == {
        "salt", "user_salt", "_extmods", "master", "pillar",
    }  # fmt: skip
    assert sorted(way.synced["modules"]) == MODULES
    for kind in ("modules", "states", "grains"):
        for path in (srv / f"_{kind}").iterdir():
            for copy in (way.folder / "salt" / f"_{kind}", way.folder / "_extmods" / kind):
                assert (copy / path.name).read_bytes() == path.read_bytes()


def test_the_driver_is_planned_in_the_target(way, srv):
    before = way.bed.hash_tree(SALTS_OWN)
    done = way.disposable.salt_ssh("gpu", "state.apply", "nvidia-driver,mine", "test=True")
    assert done.rc == 0, done.text
    assert "would install linux-headers-amd64 firmware-misc-nonfree nvidia-driver" in done.stdout
    assert "Result: None" in done.stdout and "Failed:    0" in done.stdout
    assert ARRIVED in done.stdout
    assert done.stdout.isascii()
    assert way.bed.hash_tree(SALTS_OWN) == before
    sent = way.disposable.sent()
    assert way.disposable.core_sent("ext_mods") == (srv / "_modules" / CORE).read_bytes()
    assert way.disposable.core_sent("__salt.tmp") == (srv / "_modules" / CORE).read_bytes()
    grown = size(sent["ext_mods"]) - way.without
    print(f"{grown} bytes of modules, {size(sent['__salt.tmp'])} of states with them")
    assert 100_000 < grown < LIMIT
    assert size(sent["__salt.tmp"]) < LIMIT


def test_its_status_is_plain_data(way):
    status = way.disposable.ask("gpu", "nvidia.status")
    assert (status["state"], status["family"], status["working"]) == ("missing", "debian", False)
    assert [card["address"] for card in status["cards"]] == ["0000:01:00.0"]
    assert plain(status)


@pytest.mark.slow_bed
def test_qvm_says_no_in_a_target(way):
    """At once, and with the reason: there is no qubesd."""
    done = way.disposable.salt_ssh("gpu", "qvm.check", "gpu")
    assert done.rc != 0
    assert "qvm works in dom0 only" in done.text
