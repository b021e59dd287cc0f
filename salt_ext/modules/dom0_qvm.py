# SPDX-License-Identifier: GPL-3.0-or-later
"""
Manage qubes from dom0 over the Admin API
=========================================

The whole grammar of upstream's ``qvm`` module, with a dry run that writes nothing and a second run
that changes nothing. Every function talks to qubesd itself; no ``qvm-*`` program is started but
where a docstring says so.

In dom0 the functions return a status object with ``.passed()``; called from a command line, a dict
of ``retcode``, ``stdout`` and ``stderr``. ``test=True`` is honoured by all of them.

:configuration: ``qvm_gpu:qubesd_socket`` (minion configuration or pillar) or ``QUBESD_SOCKET`` in the
    environment name qubesd's socket; ``qvm_gpu:transport: qrexec`` reaches it from a management
    qube; ``qvm_gpu:replace_qvm: false`` leaves ``qvm`` to another module.
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

__virtualname__ = "qvm"


def __virtual__():
    reason = (
        _shim.why_given_back(__opts__, __pillar__)
        or _shim.why_no_qubesd(__opts__, __pillar__)
        or _shim.why_not()
    )
    if reason:
        return _shim.refuse(__salt__, __virtualname__, reason, ("dom0_qvm", "qvm_gpu"))
    return __virtualname__


def _call(function, name, words, kwargs):
    test = kwargs.pop("test", None)
    return _shim.status_answer(
        _shim.new_run(__opts__, __pillar__),
        f"qvm.{function}",
        {"name": name, "body": [*words, _shim.public(kwargs)]},
        __opts__.get("test") if test is None else test,
        "__pub_fun" in kwargs,
    )


def apply_state(function, name, body=None, test=False):
    """
    Apply one state function of ``qvm`` as the state modules do; returns Salt's state dict.

    function: its name without ``qvm.``. name: the qube. body: what stands under it. test: dry run.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.apply_state prefs work '{memory: 500}' test=True
    """
    own = (__opts__, __pillar__, __context__)
    args = {"name": name, "body": body}
    return _shim.state_answer(own, f"qvm.{function}", name, args, test)


def exists(vmname, *varargs, **kwargs):
    """
    Pass where the qube exists (with ``flags: [template]``: where it is a TemplateVM).

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.exists work
    """
    return _call("exists", vmname, varargs, kwargs)


def missing(vmname, *varargs, **kwargs):
    """
    Pass where there is no such qube.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.missing old-work
    """
    return _call("missing", vmname, varargs, kwargs)


def running(vmname, *varargs, **kwargs):
    """
    Pass where the qube is running.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.running personal
    """
    return _call("running", vmname, varargs, kwargs)


def halted(vmname, *varargs, **kwargs):
    """
    Pass where the qube is halted or missing.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.halted work
    """
    return _call("halted", vmname, varargs, kwargs)


def start(vmname, *varargs, **kwargs):
    """
    Start the qube, or unpause it. timeout: seconds until it counts as failed.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.start work
    """
    return _call("start", vmname, varargs, kwargs)


def shutdown(vmname, *varargs, **kwargs):
    """
    Shut the qube down and wait until it is off.

    flags: ``force`` (also where others need it, killed after the timeout), ``kill`` (at once).
    timeout: seconds to wait, 60.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.shutdown personal flags='[force]' timeout=120
    """
    return _call("shutdown", vmname, varargs, kwargs)


def kill(vmname, *varargs, **kwargs):
    """
    Kill the qube.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.kill personal
    """
    return _call("kill", vmname, varargs, kwargs)


def pause(vmname, *varargs, **kwargs):
    """
    Pause the qube if it is running. One that is starting is waited for: timeout, seconds, 120.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.pause personal
    """
    return _call("pause", vmname, varargs, kwargs)


def unpause(vmname, *varargs, **kwargs):
    """
    Unpause the qube if it is paused. One that is starting is waited for: timeout, seconds, 120.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.unpause work
    """
    return _call("unpause", vmname, varargs, kwargs)


def present(vmname, *varargs, **kwargs):
    """
    Create the qube if it is missing. One that is there is never changed; the comment says what
    differs.

    template, label, class (AppVM, StandaloneVM, TemplateVM, DispVM), mem (MiB), vcpus, flags
    (``proxy``, ``net``, ``hvm``, ``hvm-template``, ``standalone``). A StandaloneVM with a
    template is a clone of it.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.present mail template=fedora-41-xfce label=yellow
    """
    return _call("present", vmname, varargs, kwargs)


def absent(vmname, *varargs, **kwargs):
    """
    Remove the qube, shutting it down first. timeout: seconds until it is killed, 60.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.absent mail
    """
    return _call("absent", vmname, varargs, kwargs)


def clone(vmname, *varargs, **kwargs):
    """
    Clone a qube: settings, features, tags, notes, firewall and volumes.

    source: the qube to clone. devices: also its assignments. shutdown: shut the source down first;
    timeout: seconds that it may take, 60. Of two words the first is the source, as upstream has it.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.clone mail mail2
        salt-call --local qvm.clone mail2 source=mail
    """
    if varargs and "source" not in kwargs:
        vmname, varargs = varargs[0], (vmname, *varargs[1:])
    return _call("clone", vmname, varargs, kwargs)


def run(vmname, *varargs, **kwargs):
    """
    Run a command in the qube with dom0's qvm-run.

    cmd (text, or its words), user, flags (``auto``: start the qube first, ``pass-io``, ``nogui``,
    ``quiet``), timeout: seconds to wait, 3600.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.run mail cmd='[ls, -l]' flags='[auto]'
    """
    return _call("run", vmname, varargs, kwargs)


def prefs(vmname, *varargs, **kwargs):
    """
    Set properties, or answer them.

    Any property that qubesd lists, ``-`` and ``_`` alike; ``*default*`` resets, null is none.
    ``mem`` is memory. ``pcidevs`` (list of BDFs, ports, ``port:identity``) adds assignments;
    ``exact: true`` also takes others away;
    ``pci_strictreset: false`` assigns with no-strict-reset. The order of writes is by need, whatever
    the order of the keys; PCI devices with ``virt_mode: pvh`` are an error before any write.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.prefs work memory=500 netvm=none
    """
    return _call("prefs", vmname, varargs, kwargs)


def devices(vmname, *varargs, **kwargs):
    """
    Attach or detach devices: ``attach``/``detach`` lists of ``class:backend:port`` with options.

    The port of a PCI device is an address (``01:00.0``), a port (``01_00.0``, ``00_01.0-00_00.0``),
    either with ``:IDENTITY`` behind it, or ``*:IDENTITY``. The option ``mode`` is ``required``,
    ``auto-attach`` or ``ask-to-attach``; any other is handed on. ``list``: what is assigned.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.devices work attach='["pci:dom0:01:00.0"]'
    """
    return _call("devices", vmname, varargs, kwargs)


def service(vmname, *varargs, **kwargs):
    """
    Enable, disable or default services (features that begin with ``service.``).

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.service work enable='[clocksync]'
    """
    return _call("service", vmname, varargs, kwargs)


def features(vmname, *varargs, **kwargs):
    """
    Enable, disable, default or set features.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.features work set='[{menu-items: firefox.desktop}]'
    """
    return _call("features", vmname, varargs, kwargs)


def tags(vmname, *varargs, **kwargs):
    """
    Add (``add``, ``present``) or delete (``del``, ``absent``) tags.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.tags work add='[mail]'
    """
    return _call("tags", vmname, varargs, kwargs)


def firewall(vmname, *varargs, **kwargs):
    """
    Set the firewall's rules, all at once.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.firewall work set='[action=drop]'
    """
    return _call("firewall", vmname, varargs, kwargs)


def vm(vmname, *varargs, **kwargs):
    """
    Several actions on one qube: each key is an action with its body, ``actions`` gives order and choice.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.vm work prefs='[{memory: 500}]' features='[{enable: [internal]}]'
    """
    return _call("vm", vmname, varargs, kwargs)


def check(vmname, *varargs, **kwargs):
    """
    Pass where the qube exists, or (``missing``) where it does not.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.check old-work missing
    """
    return _call("check", vmname, varargs, kwargs)


def state(vmname, *varargs, **kwargs):
    """
    Pass where the qube's power state is one of the words; ``data`` is the state.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.state personal running paused
    """
    return _call("state", vmname, varargs, kwargs)


def create(vmname, *varargs, **kwargs):
    """
    Create a qube, see :py:func:`present`.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.create mail template=fedora-41-xfce label=yellow
    """
    return _call("create", vmname, varargs, kwargs)


def remove(vmname, *varargs, **kwargs):
    """
    Remove a qube, see :py:func:`absent`.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.remove mail
    """
    return _call("remove", vmname, varargs, kwargs)


def template_installed(name, *varargs, **kwargs):
    """
    Install a template with dom0's qvm-template unless it is there.

    fromrepo: the repository. pool: where its volumes go. version. timeout: seconds, 7200.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.template_installed fedora-43-xfce fromrepo=qubes-templates-itl
    """
    return _call("template_installed", name, varargs, kwargs)


def template_install(name, *varargs, **kwargs):
    """
    Install a template with dom0's qvm-template, see :py:func:`template_installed`.

    Words: version, fromrepo, pool.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.template_install fedora-43-xfce 4.3.0
    """
    return _call("template_install", name, varargs, kwargs)


def template_info(name):
    """
    What dom0's qvm-template knows of an installed template; empty where there is none.

    CLI Example:

    .. code-block:: bash

        salt-call --local qvm.template_info fedora-41-xfce
    """
    run = _shim.new_run(__opts__, __pillar__)
    return _shim.data_answer(run, "qvm.template_info", {"name": name})
