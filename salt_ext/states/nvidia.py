# SPDX-License-Identifier: GPL-3.0-or-later
"""
States of the NVIDIA driver in a qube
=====================================

They run inside the qube: Fedora 40 to 43, Debian 12 and 13. A dry run writes nothing; a run that
was killed is picked up by the next one. An argument that they do not know is an error.
"""

__virtualname__ = "nvidia"


def __virtual__():
    if "nvidia.apply_state" in __salt__:
        return __virtualname__
    reasons = getattr(__salt__, "missing_modules", {})
    return False, reasons.get("nvidia") or "the execution module nvidia is not there"


def _apply(function, name, **given):
    body = {key: value for key, value in given.items() if value is not None}
    return __salt__["nvidia.apply_state"](function, name, body, test=__opts__["test"])


def _others(kwargs):
    """The arguments that are not the state compiler's own: unknown ones must not go unseen."""
    ours = {
        "__env__", "__id__", "__sls__", "order", "fun", "state", "__pub_user", "__pub_arg",
        "__pub_tgt", "__pub_jid", "__pub_ret", "__pub_tgt_type", "saltenv", "reload_modules",
        "reload_grains", "reload_pillar", "__instance_id__", "__state_file__", "__lowstate__",
    }  # fmt: skip
    return {key: value for key, value in kwargs.items() if key not in ours}


def driver_installed(
    name,
    flavor=None,
    packages=None,
    cuda=None,
    repositories=None,
    timeout=None,
    kernel=None,
    tmp_size=None,
    nouveau=None,
    xorg_conf=None,
    persistence=None,
    paths=None,
    **kwargs,
):
    """
    The driver is installed, its module built for the kernel that boots next, and, once the qube
    was restarted, loaded and at work.

    flavor: ``auto``, ``open`` or ``proprietary``. packages: a list instead of the distribution's
    default. cuda: also what CUDA programs need. repositories: ids to enable on Fedora instead of
    RPM Fusion's four, components on Debian instead of contrib, non-free and non-free-firmware.
    timeout: seconds for all of it (3600). kernel: the release to build for, instead of the one that
    boots next. tmp_size: how large /tmp must be while akmods builds (``2G``; 0 leaves it). nouveau:
    true leaves nouveau alone. xorg_conf: true leaves the driver's xorg.conf.d file. persistence:
    true or false switches nvidia-persistenced. paths: mapping of ``nvidia_conf``, ``grub_conf`` and
    ``grub_out``.

    .. code-block:: yaml

        nvidia-driver:
          nvidia.driver_installed:
            - flavor: open
            - timeout: 1800
    """
    return _apply(
        "driver_installed",
        name,
        flavor=flavor,
        packages=packages,
        cuda=cuda,
        repositories=repositories,
        timeout=timeout,
        kernel=kernel,
        tmp_size=tmp_size,
        nouveau=nouveau,
        xorg_conf=xorg_conf,
        persistence=persistence,
        paths=paths,
        **_others(kwargs),
    )


def driver_removed(name, timeout=None, paths=None, **kwargs):
    """
    What ``driver_installed`` did in this qube is undone, from the record that it keeps in
    /var/lib/qvm-gpu: packages, repositories, files and kernel arguments.

    timeout: seconds for all of it (3600). paths: as for ``driver_installed``.

    .. code-block:: yaml

        nvidia-driver:
          nvidia.driver_removed
    """
    return _apply("driver_removed", name, timeout=timeout, paths=paths, **_others(kwargs))


def nouveau_disabled(name, timeout=None, kernel=None, paths=None, **kwargs):
    """
    Nouveau does not take the card at the next start: kernel arguments in GRUB's configuration and
    the boot loader's entries on Fedora, modprobe.d and the initramfs on Debian.

    timeout: seconds for all of it (3600). kernel: the release that is meant, instead of the one
    that boots next. paths: as for ``driver_installed``.

    .. code-block:: yaml

        no-nouveau:
          nvidia.nouveau_disabled
    """
    return _apply(
        "nouveau_disabled", name, timeout=timeout, kernel=kernel, paths=paths, **_others(kwargs)
    )


def prime_offload(name, path=None, **kwargs):
    """
    There is a helper that runs a program on the card: ``nvrun PROGRAM [ARGUMENT]...``.

    path: where it lies (/usr/local/bin/nvrun).

    .. code-block:: yaml

        nvrun:
          nvidia.prime_offload
    """
    return _apply("prime_offload", name, path=path, **_others(kwargs))


def swap_minimized(name, **kwargs):
    """
    Memory is swapped out only where there is no other way (``vm.swappiness`` is 0), now and after
    the next start.

    .. code-block:: yaml

        swap:
          nvidia.swap_minimized
    """
    return _apply("swap_minimized", name, **_others(kwargs))


def kernel_ready(name, install=None, timeout=None, paths=None, **kwargs):
    """
    The qube can boot a kernel of its own (its ``kernel`` may be empty): kernel, headers, boot
    loader and qubes-kernel-vm-support are there. Fails with the names of the packages that are not.

    install: true installs them and makes the boot loader's configuration. timeout: seconds for all
    of it (3600). paths: as for ``driver_installed``.

    .. code-block:: yaml

        own-kernel:
          nvidia.kernel_ready:
            - install: true
    """
    return _apply(
        "kernel_ready", name, install=install, timeout=timeout, paths=paths, **_others(kwargs)
    )
