# SPDX-License-Identifier: GPL-3.0-or-later
"""How each bed's base is made.  The pitfalls handled here were all met on real runs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from . import rpms
from .mounts import (
    BedUnavailable,
    furnish,
    kill_inside,
    mount,
    private_mounts,
    remove_tree,
    unmount,
)

HERE = Path(__file__).parent
SERVER_PACKAGES = ["openssh-server", "python3", "ca-certificates"]
BOOT_PACKAGES = ["grub-common", "grub2-common", "grub-pc-bin", "kmod", "xz-utils"]
# What a Python built elsewhere and mounted into the bed may be linked to.
PYTHON_LIBRARIES = ["libffi8", "libsqlite3-0", "zlib1g", "libbz2-1.0", "liblzma5", "libuuid1"]
MACHINE_ID = "5f0c7f2f6f0a4f5c9a3d2e1b0c9d8e7f"
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "DEBIAN_FRONTEND": "noninteractive",
}
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True)
class Host:
    """The computer's own way to packages, read at build time and kept out of the repository."""

    archive: str
    security: str
    settings: str
    proxies: dict[str, str]

    def digest(self) -> bytes:
        """What of it makes a cached bed stale when it changes."""
        return "\n".join([self.archive, self.security, self.settings]).encode()


def _entry_uris(text: str, *, deb822: bool) -> list[str]:
    """Return the URIs of the `deb` entries of one sources file."""
    uris: list[str] = []
    if deb822:
        for stanza in re.split(r"\n\s*\n", text):
            if re.search(r"(?mi)^Enabled:\s*no", stanza):
                continue
            for line in re.findall(r"(?mi)^URIs:(.*)$", stanza):
                uris += line.split()
        return uris
    for line in text.splitlines():
        found = re.match(r"\s*deb\s+(?:\[[^]]*\]\s*)?(\S+)", line)
        if found:
            uris.append(found[1])
    return uris


def host_packages() -> Host:
    """Read the mirror, the proxy and apt's settings from this computer's own configuration."""
    apt = Path("/etc/apt")
    uris: list[str] = []
    for path in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]:
        if path.suffix in (".list", ".sources") and path.is_file():
            uris += _entry_uris(path.read_text(), deb822=path.suffix == ".sources")
    archive = next((u for u in uris if urlsplit(u).path.rstrip("/").endswith("/debian")), None)
    security = next(
        (u for u in uris if urlsplit(u).path.rstrip("/").endswith("/debian-security")), None
    )
    if archive is None or security is None:
        raise BedUnavailable("this computer's apt sources name no Debian archive and -security")
    dump = subprocess.run(
        ["apt-config", "dump"], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    wanted = r"Acquire::(https?::|Check-|Retries|ForceIPv|Languages|Max-)"
    settings = "\n".join(line for line in dump.splitlines() if re.match(wanted, line)) + "\n"
    proxies = {
        name: os.environ[name]
        for base in _PROXIES
        for name in (base, base.upper())
        if name in os.environ
    }
    return Host(archive.rstrip("/"), security.rstrip("/"), settings, proxies)


def chroot_run(root: Path, *argv: str, timeout: float = 600) -> str:
    """Run a build step in the chroot and return its output; it must succeed."""
    done = subprocess.run(
        ["chroot", root, *argv],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout[-4000:]}")
    return done.stdout


def name_servers(root: Path) -> None:
    """Give the bed this computer's name resolution."""
    for name in ("resolv.conf", "hosts"):
        target = root / "etc" / name
        target.unlink(missing_ok=True)
        shutil.copy(Path("/etc") / name, target)


def _write(root: Path, path: str, text: str, mode: int = 0o644) -> None:
    """Write a file of the bed."""
    target = root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(textwrap.dedent(text).lstrip("\n"))
    target.chmod(mode)


def _bootstrap(root: Path, suite: str, packages: list[str], host: Host) -> None:
    """Make a minimal chroot of a suite; BedUnavailable when the mirror does not give it."""
    conf = root.parent / "apt.conf"
    conf.write_text(host.settings)
    components = "main contrib non-free-firmware"
    sources = [f"deb {host.archive} {suite} {components}"]
    if suite != "forky":
        sources.append(f"deb {host.security} {suite}-security {components}")
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--aptopt={conf}"]
    command += [f"--include={','.join(packages)}", suite, str(root), *sources]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
            env={**os.environ, **host.proxies},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BedUnavailable(f"{suite}: {error}") from error
    if done.returncode:
        raise BedUnavailable(f"{suite} could not be bootstrapped: {done.stderr[-1500:]}")
    # A mount point of its own: rpm's unshare plugin fails in a chroot that is none.
    mount("--bind", root, root)
    furnish(root)
    name_servers(root)
    for leftover in ("etc/apt/apt.conf.d/99mmdebstrap", "etc/apt/sources.list"):
        (root / leftover).unlink(missing_ok=True)
    _write(root, "etc/apt/apt.conf.d/99bed", host.settings)
    _write(root, "usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
    _write(root, "etc/machine-id", MACHINE_ID + "\n")
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    if certificates.exists():
        shutil.copy(certificates, root / "etc/ssl/certs/ca-certificates.crt")


def _grub(root: Path, default: str) -> None:
    """Real grub-mkconfig on an overlay: only what it asks of the disk is answered by stand-ins."""
    _write(root, "etc/default/grub", default)
    for path in ("usr/sbin/grub-probe", "usr/bin/grub-mkrelpath"):
        chroot_run(root, "dpkg-divert", "--local", "--rename", "--add", f"/{path}")
        shutil.copy2(HERE / "files" / Path(path).name, root / path)


def _fedora(root: Path, host: Host, number: str, suite: str, manager: list[str]) -> dict[str, str]:
    """A chroot that says it is Fedora, with the real dnf and our repositories."""
    release = rpms.RELEASES[number]
    packages = [*manager, "rpm", *SERVER_PACKAGES, *BOOT_PACKAGES, *PYTHON_LIBRARIES]
    _bootstrap(root, suite, packages, host)
    shutil.rmtree(root / "var/lib/apt/lists", ignore_errors=True)
    for tree in ("etc/apt/sources.list.d", "etc/apt/apt.conf.d"):
        shutil.rmtree(root / tree, ignore_errors=True)
    _write(
        root,
        "usr/lib/os-release",
        f"""
        NAME="Fedora Linux"
        VERSION="{number} (Container Image)"
        ID=fedora
        VERSION_ID={number}
        VERSION_CODENAME=""
        PLATFORM_ID="platform:f{number}"
        PRETTY_NAME="Fedora Linux {number} (Container Image)"
        ANSI_COLOR="0;38;2;60;110;180"
        LOGO=fedora-logo-icon
        CPE_NAME="cpe:/o:fedoraproject:fedora:{number}"
        HOME_URL="https://fedoraproject.org/"
        VARIANT="Container Image"
        """,
    )
    (root / "etc/os-release").unlink(missing_ok=True)
    (root / "etc/os-release").symlink_to("../usr/lib/os-release")
    for path in ("etc/debian_version", "etc/debian_chroot", "etc/dpkg/origins/default"):
        (root / path).unlink(missing_ok=True)
    _write(root, "etc/fedora-release", f"Fedora release {number} (Container Image)\n")
    (root / "etc/redhat-release").symlink_to("fedora-release")
    _write(root, "etc/dnf/vars/releasever", f"{number}\n")
    _write(
        root,
        "etc/dnf/dnf.conf",
        """
        # see `man dnf.conf` for defaults and possible options

        [main]
        gpgcheck=True
        installonly_limit=3
        clean_requirements_on_remove=True
        best=False
        skip_if_unavailable=True
        """,
    )
    # Both dnf's `local` plugin break every transaction here (facts file, section 2).
    for plugins in ("plugins", "libdnf5-plugins"):
        if (root / "etc/dnf" / plugins).is_dir():
            _write(root, f"etc/dnf/{plugins}/local.conf", "[main]\nenabled = false\n")
    (root / "etc/dnf/repos.override.d").mkdir(exist_ok=True)
    if "dnf5" in manager:
        (root / "usr/bin/dnf").symlink_to("dnf5")
    # Debian's rpm keeps its database in root's home.
    _write(root, "etc/rpm/macros", "%_dbpath /var/lib/rpm\n")
    rpms.build_repositories(number, root / "srv/repo", root.parent / "rpmbuild")
    enabled = {"fedora", "updates", "qubes-vm-r4.2-current"}
    (root / "etc/yum.repos.d").mkdir(exist_ok=True)
    for repository in rpms.REPOSITORIES:
        file = root / f"etc/yum.repos.d/{repository.removesuffix('-debuginfo')}.repo"
        with file.open("a") as out:
            out.write(
                f"[{repository}]\nname={repository} for Fedora $releasever\n"
                f"baseurl=file:///srv/repo/{repository}\nenabled={int(repository in enabled)}\n"
                "gpgcheck=0\nmetadata_expire=0\nskip_if_unavailable=True\n\n"
            )
    _grub(
        root,
        """
        GRUB_TIMEOUT=5
        GRUB_DISTRIBUTOR="$(sed 's, release .*$,,g' /etc/system-release)"
        GRUB_DEFAULT=saved
        GRUB_DISABLE_SUBMENU=true
        GRUB_TERMINAL_OUTPUT="console"
        GRUB_CMDLINE_LINUX="rhgb quiet"
        GRUB_DISABLE_RECOVERY="true"
        GRUB_ENABLE_BLSCFG=true
        """,
    )
    (root / "etc/system-release").symlink_to("fedora-release")
    (root / "usr/sbin/grub2-mkconfig").symlink_to("grub-mkconfig")
    # Debian's tool keeps grubenv in /boot/grub and fails without that folder.
    for folder in ("boot/grub", "boot/grub2"):
        (root / folder).mkdir(exist_ok=True)
    chroot_run(root, "rpm", "--initdb")
    chroot_run(
        root, "dnf", "-y", "install", "bash", "fedora-release-common", "kernel", "kernel-devel",
        "grubby-dummy", "grub2-tools", "grub2-pc", "qubes-kernel-vm-support",
    )  # fmt: skip
    chroot_run(root, "grub2-mkconfig", "-o", "/boot/grub2/grub.cfg")
    return {"kernel": release.kernel, "driver": release.driver, "family": "fedora"}


def _fake_deb(root: Path, name: str, version: str, depends: str = "", files: str = "") -> str:
    """Build a small package below the bed's /srv/bed and return its path inside."""
    tree = root.parent / "deb" / name
    control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nSection: kernel\n"
    control += "Maintainer: Test Beds <beds@localhost>\nDescription: test bed stand-in\n"
    if depends:
        control += f"Depends: {depends}\n"
    _write(tree, "DEBIAN/control", control)
    for path in files.split():
        _write(tree, path, f"{name}\n")
    inside = f"/srv/bed/{name}.deb"
    (root / "srv/bed").mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-b", tree, root / inside.lstrip("/")],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return inside


def _qubes_apt(root: Path, codename: str) -> str:
    """Lay out a small local repository in Qubes' place and return its source lines."""
    vm = root / "srv/qubes/r4.2/vm"
    pool = vm / "dists" / codename / "main/binary-amd64"
    pool.mkdir(parents=True)
    package = _fake_deb(root, "qubes-kernel-vm-support", "4.2.18+deb1")
    shutil.move(root / package.lstrip("/"), vm / "qubes-kernel-vm-support.deb")
    deb = vm / "qubes-kernel-vm-support.deb"
    (pool / "Packages").write_text(
        "Package: qubes-kernel-vm-support\nVersion: 4.2.18+deb1\nArchitecture: amd64\n"
        "Maintainer: Test Beds <beds@localhost>\nDescription: test bed stand-in\n"
        f"Filename: {deb.name}\nSize: {deb.stat().st_size}\n"
        f"SHA256: {hashlib.sha256(deb.read_bytes()).hexdigest()}\n"
    )
    listed = (pool / "Packages").read_bytes()
    (vm / "dists" / codename / "Release").write_text(
        f"Date: Thu, 01 Jan 2026 00:00:00 UTC\n"
        f"Suite: {codename}\nCodename: {codename}\nArchitectures: amd64\nComponents: main\n"
        f"SHA256:\n {hashlib.sha256(listed).hexdigest()} {len(listed)} "
        "main/binary-amd64/Packages\n"
    )
    uri = "file:/srv/qubes/r4.2/vm"
    return (
        "# Main qubes updates repository\n"
        f"deb [arch=amd64 trusted=yes] {uri} {codename} main\n"
        f"#deb-src {uri} {codename} main\n\n"
        "# Qubes updates candidates repository\n"
        f"#deb [arch=amd64 trusted=yes] {uri} {codename}-testing main\n"
    )


def _debian(root: Path, host: Host, codename: str) -> dict[str, str]:
    """A Debian template: Qubes' sources, a kernel of its own, GRUB, sshd; no driver."""
    packages = [*SERVER_PACKAGES, *BOOT_PACKAGES, *PYTHON_LIBRARIES]
    _bootstrap(root, codename, packages, host)
    components = "main contrib non-free-firmware"
    if codename == "bookworm":
        _write(
            root,
            "etc/apt/sources.list",
            f"deb {host.archive} {codename} {components}\n"
            f"#deb-src {host.archive} {codename} {components}\n\n"
            f"deb {host.security} {codename}-security {components}\n"
            f"#deb-src {host.security} {codename}-security {components}\n",
        )
    else:
        signed = "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
        _write(
            root,
            "etc/apt/sources.list.d/debian.sources",
            f"Types: deb\nURIs: {host.archive}\nSuites: {codename} {codename}-updates\n"
            f"Components: {components}\n{signed}\n"
            f"Types: deb\nURIs: {host.security}\nSuites: {codename}-security\n"
            f"Components: {components}\n{signed}",
        )
    _write(root, "etc/apt/sources.list.d/qubes-r4.list", _qubes_apt(root, codename))
    _grub(root, (root / "usr/share/grub/default/grub").read_text())
    (root / "boot/grub").mkdir(exist_ok=True)
    chroot_run(root, "apt-get", "-q", "update")
    # The kernel package is a stand-in (the real one is 400 MB), named and numbered after the index,
    # a little older than it, so that headers of the archive fit what "runs".
    depends = chroot_run(root, "apt-cache", "depends", "linux-headers-amd64")
    found = re.search(r"Depends: linux-headers-(\S+)", depends)
    shown = chroot_run(root, "apt-cache", "show", "--no-all-versions", "linux-headers-amd64")
    version = re.search(r"(?m)^Version: (\S+)", shown)
    if found is None or version is None:
        raise BedUnavailable(f"{codename}: the archive names no kernel headers")
    kernel = found[1]
    older = version[1] + "~bed1"
    image = _fake_deb(
        root,
        f"linux-image-{kernel}",
        older,
        files=f"/boot/vmlinuz-{kernel} /lib/modules/{kernel}/modules.order"
        f" /lib/modules/{kernel}/modules.builtin",
    )
    meta = _fake_deb(root, "linux-image-amd64", older, f"linux-image-{kernel} (= {older})")
    chroot_run(root, "dpkg", "-i", image, meta)
    chroot_run(root, "depmod", kernel)
    chroot_run(root, "update-grub")
    return {"kernel": kernel, "family": "debian", "codename": codename}


Recipe = Callable[[Path, Host], dict[str, str]]

RECIPES: dict[str, Recipe] = {
    "fedora40": lambda root, host: _fedora(
        root, host, "40", "bookworm", ["dnf", "dnf-plugins-core"]
    ),
    "fedora41": lambda root, host: _fedora(root, host, "41", "forky", ["dnf5"]),
    "debian12": lambda root, host: _debian(root, host, "bookworm"),
    "debian13": lambda root, host: _debian(root, host, "trixie"),
}


def stamp(name: str, host: Host) -> str:
    """Return what a cached base must carry to be used: a digest of its recipe and the mirror."""
    digest = hashlib.sha256(name.encode() + host.digest())
    sources = [HERE / f"{module}.py" for module in ("recipes", "rpms", "ko", "mounts")]
    for path in [*sources, *sorted((HERE / "files").iterdir())]:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def make_base(name: str, folder: Path, host: Host) -> None:
    """Make the base of a bed in `folder`: its tree `root/` and what is known of it, `facts.json`."""
    private_mounts()
    root = folder / "root"
    root.mkdir(parents=True)
    try:
        facts = RECIPES[name](root, host)
    finally:
        kill_inside(root)
        unmount(root)
    (folder / "facts.json").write_text(json.dumps(facts, indent=1))
    for scrap in ("rpmbuild", "deb", "apt.conf"):
        remove_tree(folder / scrap)
