# SPDX-License-Identifier: GPL-3.0-or-later
"""
States of qubes
===============

Drop-in states for upstream's ``qvm``: the same functions, keys and comments, but a dry run writes
nothing, a second run changes nothing, and every change is reported. See the execution module
:py:mod:`qvm <saltext.qvm_gpu.modules.dom0_qvm>` for the keys of each function.
"""

__virtualname__ = "qvm"


def __virtual__():
    _ = "qvm.exists" in __salt__  # has Salt load the one execution module that answers for qvm
    reasons = getattr(__salt__, "missing_modules", {})
    if "dom0_qvm" not in reasons and "qvm.apply_state" in __salt__:
        return __virtualname__
    if "qvm" in reasons:  # nobody else answers: who asks for one of these states is to read why
        getattr(__states__, "missing_modules", {}).setdefault("qvm", reasons["qvm"])
    return False, reasons.get("dom0_qvm") or "saltext.qvm-gpu's execution module is not there"


def _apply(function, name, body):
    return __salt__["qvm.apply_state"](function, name, body, test=__opts__["test"])


def exists(name, **kwargs):
    """
    Pass where the qube exists (with ``flags: [template]``: where it is a TemplateVM).

    .. code-block:: yaml

        work--exists:
          qvm.exists:
            - name: work
    """
    return _apply("exists", name, kwargs)


def missing(name, **kwargs):
    """
    Pass where there is no such qube.

    .. code-block:: yaml

        work--missing:
          qvm.missing:
            - name: work
    """
    return _apply("missing", name, kwargs)


def running(name, **kwargs):
    """
    Pass where the qube is running.

    .. code-block:: yaml

        work--running:
          qvm.running:
            - name: work
    """
    return _apply("running", name, kwargs)


def halted(name, **kwargs):
    """
    Pass where the qube is halted or missing.

    .. code-block:: yaml

        work--halted:
          qvm.halted:
            - name: work
    """
    return _apply("halted", name, kwargs)


def start(name, **kwargs):
    """
    Start the qube, or unpause it.

    .. code-block:: yaml

        work--start:
          qvm.start:
            - name: work
    """
    return _apply("start", name, kwargs)


def shutdown(name, **kwargs):
    """
    Shut the qube down and wait until it is off.

    flags: ``force`` (also where others need it, killed after the timeout), ``kill`` (at once).
    timeout: seconds to wait, 60.

    .. code-block:: yaml

        work--shutdown:
          qvm.shutdown:
            - name: work
    """
    return _apply("shutdown", name, kwargs)


def kill(name, **kwargs):
    """
    Kill the qube.

    .. code-block:: yaml

        work--kill:
          qvm.kill:
            - name: work
    """
    return _apply("kill", name, kwargs)


def pause(name, **kwargs):
    """
    Pause the qube if it is running.

    .. code-block:: yaml

        work--pause:
          qvm.pause:
            - name: work
    """
    return _apply("pause", name, kwargs)


def unpause(name, **kwargs):
    """
    Unpause the qube if it is paused.

    .. code-block:: yaml

        work--unpause:
          qvm.unpause:
            - name: work
    """
    return _apply("unpause", name, kwargs)


def present(name, **kwargs):
    """
    Create the qube if it is missing. One that is there is never changed; the comment says what
    differs.

    template, label, class (AppVM, StandaloneVM, TemplateVM, DispVM), mem (MiB), vcpus, flags
    (``proxy``, ``net``, ``hvm``, ``hvm-template``, ``standalone``). A StandaloneVM with a
    template is a clone of it.

    .. code-block:: yaml

        mail--present:
          qvm.present:
            - name: mail
    """
    return _apply("present", name, kwargs)


def absent(name, **kwargs):
    """
    Remove the qube, shutting it down first.

    .. code-block:: yaml

        mail--absent:
          qvm.absent:
            - name: mail
    """
    return _apply("absent", name, kwargs)


def clone(name, **kwargs):
    """
    Clone a qube: settings, features, tags, notes, firewall and volumes.

    source: the qube to clone. devices: also its assignments. shutdown: shut the source down first.

    .. code-block:: yaml

        mail2--clone:
          qvm.clone:
            - name: mail2
    """
    return _apply("clone", name, kwargs)


def run(name, **kwargs):
    """
    Run a command in the qube with dom0's qvm-run.

    .. code-block:: yaml

        mail--run:
          qvm.run:
            - name: mail
    """
    return _apply("run", name, kwargs)


def prefs(name, **kwargs):
    """
    Set properties, or answer them.

    Any property that qubesd lists, ``-`` and ``_`` alike; ``*default*`` resets, null is none.
    ``mem`` is memory. ``pcidevs`` (list of BDFs, ports, ``port:identity``) adds assignments;
    ``exact: true`` also takes others away;
    ``pci_strictreset: false`` assigns with no-strict-reset.

    .. code-block:: yaml

        work--prefs:
          qvm.prefs:
            - name: work
    """
    return _apply("prefs", name, kwargs)


def devices(name, **kwargs):
    """
    Attach or detach devices: ``attach``/``detach`` lists of ``class:backend:port`` with options.

    .. code-block:: yaml

        work--devices:
          qvm.devices:
            - name: work
    """
    return _apply("devices", name, kwargs)


def service(name, **kwargs):
    """
    Enable, disable or default services (features that begin with ``service.``).

    .. code-block:: yaml

        work--service:
          qvm.service:
            - name: work
    """
    return _apply("service", name, kwargs)


def features(name, **kwargs):
    """
    Enable, disable, default or set features.

    .. code-block:: yaml

        work--features:
          qvm.features:
            - name: work
    """
    return _apply("features", name, kwargs)


def tags(name, **kwargs):
    """
    Add (``add``, ``present``) or delete (``del``, ``absent``) tags.

    .. code-block:: yaml

        work--tags:
          qvm.tags:
            - name: work
    """
    return _apply("tags", name, kwargs)


def firewall(name, **kwargs):
    """
    Set the firewall's rules, all at once.

    .. code-block:: yaml

        work--firewall:
          qvm.firewall:
            - name: work
    """
    return _apply("firewall", name, kwargs)


def vm(name, **kwargs):
    """
    Several actions on one qube: each key is an action with its body, ``actions`` gives order and choice.

    .. code-block:: yaml

        work--vm:
          qvm.vm:
            - name: work
    """
    return _apply("vm", name, kwargs)
