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

    template: the template that a new qube gets its root volume and settings from; or source: a qube
    to be cloned with both its volumes. label, mem (MiB), vcpus, netvm, autostart: properties.
    prefs: mapping of any others. features: mapping. services: list of those to be on, or a mapping
    to true, false or null. tags: list. menu_items: the programs of the menu, a text or a list.
    root_size, private_size: at least so large, in bytes or as ``20GiB``; larger ones stay so.

    devices: ``auto``, which is the one NVIDIA card that can be given away, with all its functions;
    or a vendor, model, address, port or identity; or a list of these, addresses taken as they are.
    exact: take other devices away. permissive, strict_reset: options of the assignments. force: a
    card all the same that is dom0's display or shares its IOMMU group.

    The devices come last. When a step before them fails, a qube that this run made is removed
    again; what fails later is reported, and the next run goes on from there. Class and template of
    a qube that is there cannot change: an error before anything is written.

    .. code-block:: yaml

        gpu:
          qvm_gpu.present:
            - template: fedora-41-xfce
            - mem: 8000
            - devices: auto
            - root_size: 20GiB
            - services: {minimal-netvm: true}
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


def restarted(name, **kwargs):
    """
    A running qube is shut down and started again; a halted one is left alone. For what needs a
    fresh boot, as the driver's installation does: apply it once, it acts at each run.

    timeout: seconds for the shutdown, and for the start; default 60 and what qubesd takes. force:
    kill the qube when it does not shut down in time, and do not mind others that use its network.

    .. code-block:: yaml

        gpu:
          qvm_gpu.restarted:
            - timeout: 120
    """
    return _apply("restarted", name, kwargs)
