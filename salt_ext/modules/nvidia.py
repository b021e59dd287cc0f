# SPDX-License-Identifier: GPL-3.0-or-later
"""
The NVIDIA driver in this qube
==============================

What the states of ``nvidia`` stand on, and questions whose answers are plain data: for Jinja, the
command line and salt-ssh. Loads everywhere; nothing here needs qubesd.
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

__virtualname__ = "nvidia"


def __virtual__():
    reason = _shim.why_not()
    return (False, reason) if reason else __virtualname__


def _data(function, args=None):
    run = _shim.new_run(__opts__, __pillar__)
    return _shim.data_answer(run, f"nvidia.{function}", args or {})


def apply_state(function, name, body=None, test=False):
    """
    Apply one state function of ``nvidia`` as the state modules do; returns Salt's state dict.

    function: its name without ``nvidia.``. name: the state's name. body: its arguments, a mapping.
    test: dry run.

    CLI Example:

    .. code-block:: bash

        salt-call --local nvidia.apply_state driver_installed driver '{flavor: open}' test=True
    """
    own = (__opts__, __pillar__, __context__)
    args = {**_shim.public(body or {}), "name": name}
    return _shim.state_answer(own, f"nvidia.{function}", name, args, test)


def status():
    """
    What there is of the driver in this qube, and whether it works.

    A mapping: ``working`` (null: loaded, and nothing here could show it at work); ``state`` (works,
    loaded, missing, restart, no card, nouveau, unbound, outdated, mismatch, no nodes, no devices,
    hangs) and ``text`` in words; ``loaded_version``; ``module``
    (``path``, ``name`` and ``version`` of the file for the kernel that boots next); ``nvml`` (what
    NVIDIA's library says of its cards); ``cards``; ``distribution``, ``family``, ``release``,
    ``package_manager``, ``kernel``, ``booted_kernel``, ``next_kernel``, ``kernels``, ``grub_cfg``.

    CLI Example:

    .. code-block:: bash

        salt-call --local nvidia.status
    """
    return _data("status")


def version():
    """
    The driver's versions: ``loaded``, ``installed`` (the module file) and ``library`` (NVML's),
    null for what is not there.

    CLI Example:

    .. code-block:: bash

        salt-call --local nvidia.version
    """
    return _data("version")


def cards():
    """
    The NVIDIA cards that are attached to this qube: a list of mappings with ``address``,
    ``vendor``, ``device``, ``class`` and ``driver``.

    CLI Example:

    .. code-block:: bash

        salt-call --local nvidia.cards
    """
    return _data("cards")


def plan(**kwargs):
    """
    What ``nvidia.driver_installed`` with the same arguments would do here: ``steps``, a list of
    mappings with ``step``, ``text`` and ``changes``, and ``warnings``.

    CLI Example:

    .. code-block:: bash

        salt-call --local nvidia.plan flavor=open
    """
    return _data("plan", _shim.public(kwargs))
