# SPDX-License-Identifier: GPL-3.0-or-later
"""
States of qubes with a GPU
==========================

One state for the qube that upstream needs a formula for.
"""

__virtualname__ = "qvm_gpu"


def __virtual__():
    if "qvm_gpu.apply_state" not in __salt__:
        return False, "the execution module qvm_gpu is not loaded"
    return __virtualname__


def _apply(function, name, body):
    return __salt__["qvm_gpu.apply_state"](function, name, body, test=__opts__["test"])


def present(name, **kwargs):
    """
    A qube of its own kernel with the card: created from a template if it is missing, and made to
    be as the arguments say. What is not given has the defaults of ``qvm_gpu.map``.

    template: the template that a new qube is cloned from. label: its colour. mem: memory in MiB.
    vcpus: number of CPUs. devices: list of BDFs or ports, or ``auto``. exact: take other devices
    away. menu_items: text for the feature menu-items. features: mapping of features. services:
    list of services to enable. tags: list of tags to add. netvm, autostart: as the properties.
    prefs: mapping of any other property.

    Class and template of a qube that is there cannot change: another one is an error before
    anything is written.

    .. code-block:: yaml

        gpu:
          qvm_gpu.present:
            - template: fedora-41-xfce
            - mem: 8000
            - devices: ['01:00.0', '01:00.1']
    """
    return _apply("present", name, kwargs)
