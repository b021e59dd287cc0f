# SPDX-License-Identifier: GPL-3.0-or-later
"""The RPM repositories of the Fedora beds: small packages of our own with true dependency data.

No Fedora mirror is needed.  What matters is copied from the real specs: who requires, obsoletes and
conflicts with whom around grubby-dummy, what the scriptlets start, and which files appear.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from . import ko

FILES = Path(__file__).parent / "files"

REPOSITORIES = (
    "fedora",
    "updates",
    "updates-testing",
    "qubes-vm-r4.2-current",
    "rpmfusion-free",
    "rpmfusion-free-updates",
    "rpmfusion-nonfree",
    "rpmfusion-nonfree-debuginfo",
    "rpmfusion-nonfree-updates",
    "rpmfusion-nonfree-updates-debuginfo",
)
RPMFUSION = (
    "rpmfusion-free",
    "rpmfusion-free-updates",
    "rpmfusion-nonfree",
    "rpmfusion-nonfree-updates",
)


@dataclass(frozen=True)
class Release:
    """What differs between the Fedora beds."""

    number: str
    kernel: str
    newer_kernel: str
    driver: str
    older_driver: str

    @property
    def kernels(self) -> tuple[str, str]:
        """Kernel releases (`uname -r`) that packages exist for, the installed one first."""
        return (self.kernel, self.newer_kernel)


RELEASES = {
    "40": Release("40", "6.8.5-301.fc40.x86_64", "6.14.5-100.fc40.x86_64", "550.90.07", "550.67"),
    "41": Release("41", "6.11.4-301.fc41.x86_64", "6.17.10-100.fc41.x86_64", "565.77", "565.57.01"),
}


@dataclass
class Rpm:
    """One binary package: its spec is written from these fields."""

    name: str
    version: str
    release: str = "1"
    epoch: int = 0
    tags: list[str] = field(default_factory=list)
    files: dict[str, str | bytes] = field(default_factory=dict)
    executables: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)
    noarch: bool = True

    @property
    def arch(self) -> str:
        """The architecture folder rpmbuild puts the package into."""
        return "noarch" if self.noarch else "x86_64"

    def spec(self, tree: Path) -> str:
        """Return the spec; `tree` holds the files to package."""
        lines = [
            f"Name: {self.name}",
            f"Version: {self.version}",
            f"Release: {self.release}",
            f"Summary: Test bed stand-in for {self.name}",
            "License: GPL-3.0-or-later",
            "AutoReqProv: no",
        ]
        if self.epoch:
            lines.append(f"Epoch: {self.epoch}")
        if self.noarch:
            lines.append("BuildArch: noarch")
        lines += self.tags
        lines += ["%description", "A stand-in of the test beds.", "%install"]
        lines.append(f"mkdir -p %{{buildroot}} && cp -a {tree}/. %{{buildroot}}/")
        for script, body in self.scripts.items():
            lines += [f"%{script}", body]
        lines.append("%files")
        for path in [*self.files, *self.links]:
            lines.append(f'"{path}"')
        return "\n".join(lines) + "\n"


def _build(package: Rpm, work: Path) -> Path:
    """Build one package below `work` and return its file."""
    top = work / f"{package.name}-{package.version}-{package.release}"
    tree = top / "tree"
    tree.mkdir(parents=True)
    for path, content in package.files.items():
        target = tree / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        target.chmod(0o755 if path in package.executables else 0o644)
    for path, aim in package.links.items():
        link = tree / path.lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(aim)
    spec = top / "package.spec"
    spec.write_text(package.spec(tree))
    defines = {
        "_topdir": str(top),
        "_rpmdir": str(top / "out"),
        "_dbpath": str(work / "db"),
        "__os_install_post": "%{nil}",
        "_build_id_links": "none",
        "_binary_payload": "w1.gzdio",
        "_build_name_fmt": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
    }
    command = ["rpmbuild", "-bb", "--quiet", "--target", package.arch]
    for name, value in defines.items():
        command += ["--define", f"{name} {value}"]
    done = subprocess.run([*command, str(spec)], capture_output=True, text=True, check=False)
    built = list((top / "out").rglob("*.rpm"))
    if done.returncode or len(built) != 1:
        raise RuntimeError(f"rpmbuild {package.name}: {done.stderr[-2000:]}")
    return built[0]


def _kernel_packages(kernel: str) -> list[Rpm]:
    """kernel, kernel-core, kernel-devel and kernel-devel-matched of one kernel release."""
    version, _, rest = kernel.partition("-")
    release = rest.removesuffix(".x86_64")
    exact = f"{version}-{release}"
    # kernel-install: the boot loader entry, the image in /boot, and akmods' plugin.
    added = f"""
mkdir -p /boot/loader/entries
cp /lib/modules/{kernel}/vmlinuz /boot/vmlinuz-{kernel}
. /etc/default/grub
cat >/boot/loader/entries/$(cat /etc/machine-id)-{kernel}.conf <<EOF
title Fedora Linux ({kernel})
version {kernel}
linux /boot/vmlinuz-{kernel}
initrd /boot/initramfs-{kernel}.img
options root=/dev/mapper/dmroot ro $GRUB_CMDLINE_LINUX
grub_users \\$grub_users
grub_arg --unrestricted
grub_class fedora
EOF
[ ! -x /usr/sbin/akmods ] || \\
  nohup /usr/sbin/akmods --from-kernel-posttrans --kernels {kernel} >/dev/null 2>&1 </dev/null &
"""
    gone = f"rm -f /boot/vmlinuz-{kernel} /boot/loader/entries/$(cat /etc/machine-id)-{kernel}.conf"

    def make(name: str, *tags: str, **rest: object) -> Rpm:
        return Rpm(name, version, release, tags=list(tags), noarch=False, **rest)  # type: ignore[arg-type]

    return [
        make("kernel", f"Requires: kernel-core = {exact}"),
        make(
            "kernel-core",
            f"Provides: kernel-core-uname-r = {kernel}",
            "Provides: installonlypkg(kernel)",
            "Requires: /bin/sh",
            files={
                f"/lib/modules/{kernel}/vmlinuz": f"vmlinuz {kernel}\n",
                f"/lib/modules/{kernel}/modules.builtin": "",
                f"/lib/modules/{kernel}/modules.order": "",
            },
            links={f"/lib/modules/{kernel}/build": f"/usr/src/kernels/{kernel}"},
            scripts={"posttrans": added, "preun": gone},
        ),
        make(
            "kernel-devel",
            f"Provides: kernel-devel-uname-r = {kernel}",
            "Provides: installonlypkg(kernel)",
            files={f"/usr/src/kernels/{kernel}/Makefile": f"# {kernel}\n"},
        ),
        make(
            "kernel-devel-matched",
            f"Requires: kernel-devel = {exact}",
            f"Requires: kernel-core = {exact}",
        ),
    ]


def _kmod(release: Release, driver: str, kernel: str, *, open_module: bool) -> Rpm:
    """The package that akmods builds for one kernel."""
    modules = {
        f"/lib/modules/{kernel}/extra/nvidia/{name}.ko.xz": ko.pack(
            ko.build_ko(ko.modinfo_fields(name, driver, kernel, open_module=open_module)), ".xz"
        )
        for name in ("nvidia", "nvidia-modeset", "nvidia-drm", "nvidia-uvm")
    }
    return Rpm(
        f"kmod-nvidia-{kernel}",
        driver,
        f"1.fc{release.number}",
        epoch=3,
        tags=[f"Provides: kmod-nvidia = 3:{driver}", "Requires: /bin/sh"],
        files=dict(modules),
        scripts={
            "post": f"/sbin/depmod -a {kernel} || :",
            "postun": f"/sbin/depmod -a {kernel} || :",
        },
        noarch=False,
    )


def _driver_packages(release: Release, driver: str, work: Path) -> list[Rpm]:
    """The driver as RPM Fusion cuts it, one version of it."""
    rel = f"1.fc{release.number}"
    same = f"= 3:{driver}"
    kmods: dict[str, str | bytes] = {}
    for open_module in (True, False):
        for kernel in release.kernels:
            package = _kmod(release, driver, kernel, open_module=open_module)
            kind = "open" if open_module else "proprietary"
            built = _build(package, work / f"kmods-{kind}")
            kmods[f"/usr/share/bed/kmods/{kind}/kmod-nvidia-{kernel}.rpm"] = built.read_bytes()
    source = f"nvidia-kmod-{driver}-{rel}.src.rpm"

    def make(name: str, *tags: str, **rest: object) -> Rpm:
        return Rpm(name, driver, rel, 3, list(tags), noarch=False, **rest)  # type: ignore[arg-type]

    return [
        make(
            "akmod-nvidia",
            "Requires: akmods",
            f"Requires: nvidia-kmod-common >= 3:{driver}",
            f"Provides: nvidia-kmod {same}",
            "Requires: /bin/sh",
            files={f"/usr/src/akmods/{source}": "", **kmods},
            links={"/usr/src/akmods/nvidia-kmod.latest": source},
            scripts={
                "posttrans": "nohup /usr/sbin/akmods --from-akmod-posttrans --akmod nvidia"
                " >/dev/null 2>&1 </dev/null &"
            },
        ),
        make(
            "xorg-x11-drv-nvidia",
            f"Provides: nvidia-kmod-common {same}",
            f"Requires: nvidia-kmod >= 3:{driver}",
            f"Requires: xorg-x11-drv-nvidia-libs {same}",
            "Requires(post): /usr/sbin/grubby",
            "Requires: /bin/sh",
            files={
                "/usr/share/X11/xorg.conf.d/nvidia.conf": 'Section "OutputClass"\nEndSection\n',
                "/usr/lib/modprobe.d/nvidia.conf": "blacklist nouveau\n",
            },
            scripts={
                "posttrans": "[ ! -x /usr/sbin/grubby ] || /usr/sbin/grubby --update-kernel=ALL"
                " --remove-args=nomodeset"
                " --args='rd.driver.blacklist=nouveau modprobe.blacklist=nouveau'"
                " >/dev/null 2>&1 || :"
            },
        ),
        make(
            "xorg-x11-drv-nvidia-libs",
            files={f"/usr/lib64/libnvidia-ml.so.{driver}": ""},
            links={"/usr/lib64/libnvidia-ml.so.1": f"libnvidia-ml.so.{driver}"},
        ),
        make(
            "xorg-x11-drv-nvidia-cuda",
            f"Requires: xorg-x11-drv-nvidia-cuda-libs {same}",
            f"Requires: nvidia-kmod-common {same}",
            "Requires: nvidia-persistenced",
            files={"/usr/bin/nvidia-smi": "#!/bin/sh\nexit 9\n"},
            executables={"/usr/bin/nvidia-smi"},
        ),
        make("xorg-x11-drv-nvidia-cuda-libs", files={"/usr/lib64/libcuda.so.1": ""}),
        make(
            "nvidia-persistenced",
            files={
                "/usr/lib/systemd/system/nvidia-persistenced.service": "[Unit]\n[Service]\n"
                "ExecStart=/usr/bin/true\n[Install]\nWantedBy=multi-user.target\n"
            },
        ),
    ]


def _base_packages(release: Release) -> dict[str, list[Rpm]]:
    """What is not the driver: the base, grubby and its rivals, akmods, both kernels."""
    script = (FILES / "grubby").read_text()
    akmods = (FILES / "akmods").read_text()
    shells = ["/bin/sh", "/bin/bash", "/usr/bin/sh", "/usr/bin/bash"]
    return {
        "fedora": [
            # A scriptlet needs /bin/sh, or its package is uninstallable.
            Rpm("bash", "5.2.26", tags=[f"Provides: {path}" for path in shells]),
            Rpm("fedora-release-common", release.number),
            *_kernel_packages(release.kernel),
            Rpm(
                "grubby",
                "8.40",
                f"74.fc{release.number}",
                files={"/usr/sbin/grubby": script},
                executables={"/usr/sbin/grubby"},
                noarch=False,
            ),
            Rpm(
                "sdubby",
                "1.0",
                tags=["Conflicts: grubby"],
                links={"/usr/sbin/grubby": "../bin/bootctl"},
            ),
            Rpm(
                "akmods",
                "0.5.8",
                tags=[
                    "Requires: (grubby or sdubby)",
                    "Requires: (kernel-devel-matched if kernel-core)",
                    "Requires: /bin/sh",
                ],
                files={
                    "/usr/sbin/akmods": akmods,
                    "/usr/share/bed/akmods-failure.txt": (FILES / "akmods-failure.txt").read_text(),
                },
                executables={"/usr/sbin/akmods"},
            ),
            Rpm("grub2-tools", "2.06", "121.fc40"),
            Rpm("grub2-pc", "2.06", "121.fc40", tags=["Requires: grub2-tools"]),
        ],
        "updates-testing": _kernel_packages(release.newer_kernel),
        "qubes-vm-r4.2-current": [
            Rpm(
                "grubby-dummy",
                "9.0.0",
                tags=["Obsoletes: grubby < 9.0.0", "Provides: grubby = 1000:9.0.0"],
            ),
            Rpm("qubes-kernel-vm-support", "4.2.18"),
        ],
    }


def build_repositories(number: str, into: Path, work: Path) -> None:
    """Build all repositories of Fedora `number` into `into/<repository id>`."""
    release = RELEASES[number]
    content = _base_packages(release)
    content["rpmfusion-nonfree"] = _driver_packages(release, release.older_driver, work)
    content["rpmfusion-nonfree-updates"] = _driver_packages(release, release.driver, work)
    for repository in REPOSITORIES:
        folder = into / repository
        folder.mkdir(parents=True)
        for package in content.get(repository, []):
            shutil.copy2(_build(package, work / repository), folder)
        subprocess.run(["createrepo_c", "--quiet", str(folder)], check=True, timeout=60)
