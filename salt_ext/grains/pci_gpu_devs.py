# SPDX-License-Identifier: GPL-3.0-or-later
"""
Graphics cards
==============

``pci_gpu_devs`` lists the machine's graphics devices (PCI class 03: VGA, 3D, display), sorted, in
the form of Qubes' own ``pci_net_devs``: ``01:00.0``. Only a device outside PCI domain 0000 keeps its
domain. Read from sysfs and nothing else; below ``QVM_GPU_ROOT`` where that is set. Grains of others
are left alone, one of this very name, too.

.. code-block:: jinja

    {% for port in grains['pci_gpu_devs'] %}
"""

import os

_DISPLAY = "0x03"
_FIRST_DOMAIN = "0000:"


def pci_gpu_devs(grains=None):
    """The one grain of this module; none where another module has made it already."""
    if "pci_gpu_devs" in (grains or {}):
        return {}
    folder = os.path.join(os.environ.get("QVM_GPU_ROOT") or "/", "sys/bus/pci/devices")
    try:
        addresses = os.listdir(folder)
    except OSError:
        addresses = []
    cards = [each for each in addresses if _class_of(folder, each).startswith(_DISPLAY)]
    return {"pci_gpu_devs": [each.removeprefix(_FIRST_DOMAIN) for each in sorted(cards)]}


def _class_of(folder, address):
    try:
        with open(os.path.join(folder, address, "class"), encoding="ascii") as file:
            return file.read()
    except (OSError, ValueError):  # it went away meanwhile
        return ""
