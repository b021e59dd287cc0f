# SPDX-License-Identifier: GPL-3.0-or-later
"""
States of qubes with a GPU
==========================

One state for the qube that upstream needs a formula for.
"""

__virtualname__ = "qvm_gpu"


def __virtual__():
    if "qvm_gpu.apply_state" in __salt__:
        return __virtualname__
    reasons = getattr(__salt__, "missing_modules", {})
    return False, reasons.get("qvm_gpu") or "the execution module qvm_gpu is not there"


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


def absent(name):
    """
    The qube is gone; a running one is shut down first.

    .. code-block:: yaml

        gpu:
          qvm_gpu.absent
    """
    return _apply("absent", name, {})


def attached(name, **kwargs):
    """
    The qube has the card with all its functions, and no other qube has it: it is taken from those
    that are halted. A running one gives it only with ``force: true``, which shuts it down.

    devices: ``auto``, or a vendor, model, address, port or identity. force: also take dom0's
    display.

    .. code-block:: yaml

        gpu:
          qvm_gpu.attached:
            - devices: nvidia
    """
    return _apply("attached", name, kwargs)


def ready(name, **kwargs):
    """
    The machine is ready to give the card to a qube; else what is missing, in order, each with the
    command or state that cures it. Changes nothing.

    devices, force: the card, as for ``attached``. qube: who is to have it; default the name.
    template, label, memory, root_size: of the qube to be made.

    .. code-block:: yaml

        gpu:
          qvm_gpu.ready:
            - template: fedora-41-xfce
    """
    return _apply("ready", name, kwargs)


def hidden(name, **kwargs):
    """
    dom0 leaves the card alone from its first moment on: all its functions are in
    ``rd.qubes.hide_pci`` of GRUB's settings and menus. Says when dom0 has to be rebooted for it.

    devices: the card, as for ``attached``. force: hide dom0's display too, whose screen then stays
    dark.

    .. code-block:: yaml

        gpu-hidden:
          qvm_gpu.hidden:
            - devices: nvidia
    """
    return _apply("hidden", name, kwargs)


def shown(name, **kwargs):
    """
    The opposite of ``hidden``: dom0 uses the card again after its next boot.

    .. code-block:: yaml

        gpu-shown:
          qvm_gpu.shown:
            - devices: nvidia
    """
    return _apply("shown", name, kwargs)
