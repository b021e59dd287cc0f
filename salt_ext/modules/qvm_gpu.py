# SPDX-License-Identifier: GPL-3.0-or-later
"""
Qubes with a GPU
================

Plain data for Jinja, the command line and salt-ssh, and what the states of ``qvm_gpu`` stand on.
Loads everywhere; what needs qubesd fails outside dom0 with the reason.
"""

import importlib.util
import os


def _load_shim():
    path = os.path.join(os.path.dirname(__file__), "_qvm_gpu_shim.py")
    spec = importlib.util.spec_from_file_location("_qvm_gpu_shim", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_shim = _load_shim()  # whole: loaders of other threads run this again in one module object

__virtualname__ = "qvm_gpu"
__func_alias__ = {"map_": "map"}


def __virtual__():
    reason = _shim.why_not()
    return (False, reason) if reason else __virtualname__


def apply_state(function, name, body=None, test=False):
    """
    Apply one state function of ``qvm_gpu`` as the state modules do; returns Salt's state dict.

    function: its name without ``qvm_gpu.``. name: the state's name. body: its arguments, a mapping.
    test: dry run.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm_gpu.apply_state present gpu '{devices: ["01:00.0"]}' test=True
    """
    own = (__opts__, __pillar__, __context__)
    args = {**_shim.public(body or {}), "name": name}
    return _shim.state_answer(own, f"qvm_gpu.{function}", name, args, test)


def map_(prefs=None, devices=None, paths=None, **kwargs):
    """
    The settings of the nvidia-driver formula: ``{prefs, devices, paths}``.

    From lowest to highest: the built-in defaults, the pillar ``nvidia-driver``, the arguments;
    mappings are merged, lists replaced, null says nothing. Other arguments are left alone, so that
    a whole pillar can be handed over (a function called from Jinja over salt-ssh sees no pillar of
    its own); one that is nearly ``prefs``, ``devices`` or ``paths`` is an error.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm_gpu.map devices=auto
    """
    given = {"prefs": prefs, "devices": devices, "paths": paths}
    over = {key: value for key, value in given.items() if value is not None}
    over |= dict.fromkeys(key for key in kwargs if not key.startswith("__"))
    pillar = __pillar__.get("nvidia-driver") or {}
    run = _shim.new_run(__opts__, __pillar__)
    return _shim.data_answer(run, "qvm_gpu.map", {"pillar": pillar, "over": over})


def cards():
    """
    The graphics cards of this computer, each with all functions of its slot, as a list of mappings.

    What a card is, where it sits (``bdf``, ``port``), who has it (``assigned``, ``attached``),
    whether it is dom0's ``display`` (null: nothing here tells), which driver holds each function,
    and its IOMMU ``group`` with how sure that is.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm_gpu.cards
    """
    return _shim.data_answer(_new_run(), "qvm_gpu.cards", {})


def preflight(devices=None, qube=None, **kwargs):
    """
    What has to be in order before a qube gets the card: ``{passed, card, checks, steps}``, each
    check with ``status`` (ok, warn, fail), ``reason`` and ``cure``. ``steps`` is what to do for
    those that failed, in this order.

    devices: ``auto``, or a vendor, model, address, port or identity. qube: who is to have it.
    template, label, memory, root_size: of the qube to be made. force: take dom0's display too.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm_gpu.preflight nvidia template=fedora-41-xfce
    """
    return _shim.data_answer(_new_run(), "qvm_gpu.preflight", _given(devices, qube, kwargs))


def plan(state, name, **kwargs):
    """
    What a state of ``qvm_gpu`` would do, as data: ``{result, comment, changes}`` of its dry run.

    state: present, absent, attached, ready, hidden, shown or restarted. The rest: its arguments.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm_gpu.plan present gpu devices=auto
    """
    args = {**_shim.public(kwargs), "state": state, "name": name}
    return _shim.data_answer(_new_run(), "qvm_gpu.plan", args)


def report(format="text", mask=True, **kwargs):
    """
    One page about cards, IOMMU groups, checks and the qubes that have a card.

    format: ``text``, ``html`` (one file that needs nothing else) or ``data``. mask: leave out names
    of other qubes and serial numbers, so that it can be shown to others. The rest as for
    ``preflight``.

    CLI Example:

    .. code-block:: bash

        salt-call --local --out=newline_values_only qvm_gpu.report format=html > report.html
    """
    args = {**_shim.public(kwargs), "format": format, "mask": mask}
    return _shim.data_answer(_new_run(), "qvm_gpu.report", args)


def _new_run():
    return _shim.new_run(__opts__, __pillar__)


def _given(devices, qube, kwargs):
    """The arguments that were given."""
    named = {"devices": devices, "qube": qube}
    return {**_shim.public(kwargs), **{k: v for k, v in named.items() if v is not None}}
