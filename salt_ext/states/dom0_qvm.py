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

        old-work--missing:
          qvm.missing:
            - name: old-work
    """
    return _apply("missing", name, kwargs)


def running(name, **kwargs):
    """
    Pass where the qube is running.

    .. code-block:: yaml

        personal--running:
          qvm.running:
            - name: personal
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
    Start the qube, or unpause it. timeout: seconds until it counts as failed.

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

        personal--shutdown:
          qvm.shutdown:
            - name: personal
            - flags:
              - force
            - timeout: 120
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
    Pause the qube if it is running. One that is starting is waited for: timeout, seconds, 120.

    .. code-block:: yaml

        work--pause:
          qvm.pause:
            - name: work
    """
    return _apply("pause", name, kwargs)


def unpause(name, **kwargs):
    """
    Unpause the qube if it is paused. One that is starting is waited for: timeout, seconds, 120.

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

        games--present:
          qvm.present:
            - name: games
            - class: AppVM
            - template: fedora-41-xfce
            - label: yellow
    """
    return _apply("present", name, kwargs)


def absent(name, **kwargs):
    """
    Remove the qube, shutting it down first. timeout: seconds until it is killed, 60.

    .. code-block:: yaml

        old--absent:
          qvm.absent:
            - names:
              - mail
              - old-work
    """
    return _apply("absent", name, kwargs)


def clone(name, **kwargs):
    """
    Clone a qube: settings, features, tags, notes, firewall and volumes.

    source: the qube to clone. devices: also its assignments. shutdown: shut the source down first;
    timeout: seconds that it may take, 60.

    .. code-block:: yaml

        mail2--clone:
          qvm.clone:
            - name: mail2
            - source: mail
    """
    return _apply("clone", name, kwargs)


def run(name, **kwargs):
    """
    Run a command in the qube with dom0's qvm-run.

    cmd (text, or its words), user, flags (``auto``: start the qube first, ``pass-io``, ``nogui``,
    ``quiet``), timeout: seconds to wait, 3600.

    .. code-block:: yaml

        personal--run:
          qvm.run:
            - name: personal
            - cmd: touch /home/user/seen
            - user: user
    """
    return _apply("run", name, kwargs)


def prefs(name, **kwargs):
    """
    Set properties, or answer them.

    Any property that qubesd lists, ``-`` and ``_`` alike; ``*default*`` resets, null is none.
    ``mem`` is memory. ``pcidevs`` (list of BDFs, ports, ``port:identity``) adds assignments;
    ``exact: true`` also takes others away;
    ``pci_strictreset: false`` assigns with no-strict-reset. The order of writes is by need, whatever
    the order of the keys; PCI devices with ``virt_mode: pvh`` are an error before any write.

    .. code-block:: yaml

        work--prefs:
          qvm.prefs:
            - name: work
            - memory: 500
            - netvm: none
            - default_dispvm: "*default*"
    """
    return _apply("prefs", name, kwargs)


def devices(name, **kwargs):
    """
    Attach or detach devices: ``attach``/``detach`` lists of ``class:backend:port`` with options.

    The port of a PCI device is an address (``01:00.0``), a port (``01_00.0``, ``00_01.0-00_00.0``),
    either with ``:IDENTITY`` behind it, or ``*:IDENTITY``. The option ``mode`` is ``required``,
    ``auto-attach`` or ``ask-to-attach``; any other is handed on. ``list``: what is assigned.

    .. code-block:: yaml

        work--devices:
          qvm.devices:
            - name: work
            - attach:
              - pci:dom0:01:00.0:
                - no-strict-reset: true
    """
    return _apply("devices", name, kwargs)


def service(name, **kwargs):
    """
    Enable, disable or default services (features that begin with ``service.``).

    .. code-block:: yaml

        work--service:
          qvm.service:
            - name: work
            - enable:
              - clocksync
            - disable:
              - cups
    """
    return _apply("service", name, kwargs)


def features(name, **kwargs):
    """
    Enable, disable, default or set features.

    .. code-block:: yaml

        work--features:
          qvm.features:
            - name: work
            - enable:
              - appmenus-dispvm
            - set:
              - menu-items: firefox.desktop
    """
    return _apply("features", name, kwargs)


def tags(name, **kwargs):
    """
    Add (``add``, ``present``) or delete (``del``, ``absent``) tags.

    .. code-block:: yaml

        work--tags:
          qvm.tags:
            - name: work
            - add:
              - reviewed
    """
    return _apply("tags", name, kwargs)


def firewall(name, **kwargs):
    """
    Set the firewall's rules, all at once.

    .. code-block:: yaml

        work--firewall:
          qvm.firewall:
            - name: work
            - set:
              - action=accept dsthost=www.qubes-os.org proto=tcp dstports=443
              - action=drop
    """
    return _apply("firewall", name, kwargs)


def template_installed(name, **kwargs):
    """
    Install a template with dom0's qvm-template unless it is there.

    fromrepo: the repository. pool: where its volumes go. version. timeout: seconds, 7200.

    .. code-block:: yaml

        fedora-43-xfce--installed:
          qvm.template_installed:
            - name: fedora-43-xfce
            - fromrepo: qubes-templates-itl
    """
    return _apply("template_installed", name, kwargs)


def vm(name, **kwargs):
    """
    Several actions on one qube: each key is an action with its body, ``actions`` gives order and choice.

    .. code-block:: yaml

        work--vm:
          qvm.vm:
            - name: work
            - prefs:
              - memory: 500
            - features:
              - enable:
                - internal
            - actions:
              - prefs
              - features: pass
    """
    return _apply("vm", name, kwargs)
