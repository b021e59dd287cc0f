# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds ``saltext.qvm_gpu._core`` from ``csrc/``; pyproject.toml says what needs no compiler.

Sources, flags and libraries are read from ``csrc/``, as CMakeLists.txt reads them, so that the
shipped build and the tested one cannot drift apart. The environment has three switches:

QVM_GPU_WERROR=1    warnings are errors
QVM_GPU_STATIC=DIR  link DIR/lib/lib{yaml,jansson}.a, not the system's shared ones, and strip
QVM_GPU_TRAVELS=1   compile salt_ext/defaults.yaml in as JSON: no libyaml in the file then (PyYAML makes it)
"""

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, find_namespace_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

MIN_PY = (3, 10)  # the limited API, the wheel's tag and python_requires all follow from this
ROOT = Path(__file__).resolve().parent
CSRC = ROOT / "csrc"


def words(name):
    """The words of a file in csrc/, without its comments."""
    lines = (CSRC / name).read_text(encoding="utf-8").splitlines()
    return [word for line in lines for word in line.split("#", 1)[0].split()]


def pkg_config(*args):
    try:
        done = subprocess.run(
            [os.environ.get("PKG_CONFIG", "pkg-config"), *args],
            check=False,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        sys.exit("pkg-config is missing; it finds libyaml and jansson (Debian: pkg-config)")
    return done.stdout.strip() if done.returncode == 0 else None


def libraries():
    """Compiler and linker words for the libraries that csrc/libs.txt names."""
    static = os.environ.get("QVM_GPU_STATIC")
    if static:
        folder = Path(static).resolve()
        archives = [f"{folder}/lib/lib{name}.a" for name in ("yaml", "jansson")]
        small = words("cflags-static.txt")
        link_words = [*archives, "-Wl,-s", *words("cflags-release.txt"), *small]
        return [f"-isystem{folder}/include", *small], link_words
    compile_words, link_words = [], []
    wanted = words("libs.txt")
    for name, least, package in zip(wanted[::3], wanted[1::3], wanted[2::3], strict=True):
        if pkg_config(f"--atleast-version={least}", name) is None:
            found = pkg_config("--modversion", name)
            sys.exit(
                f"{name} {least} or newer is needed to build saltext.qvm_gpu._core; "
                f"{f'found {found}' if found else 'it is not installed'}.\n"
                f"Debian, Ubuntu: apt-get install {package}-dev; "
                f"Fedora: dnf install {package.removeprefix('lib')}-devel {package}-devel"
            )
        compile_words += shlex.split(pkg_config("--cflags", name))
        link_words += shlex.split(pkg_config("--libs", name))
    return compile_words, link_words


class BuildCore(build_ext):
    """Compiles in parallel and only what changed, by the compiler's own dependency files."""

    def build_extension(self, ext):
        lib_cflags, lib_ldflags = libraries()
        flags = words("cflags.txt") + words("cflags-release.txt") + lib_cflags
        if travels():
            flags.append("-DQG_DEFAULTS_JSON")
        if os.environ.get("QVM_GPU_WERROR") == "1":
            flags.append("-Werror")
        compiler = self.compiler
        command = [*compiler.compiler_so, *flags]
        # -isystem: the full warnings are for our own files, not for Python's headers.
        command += [f"-DPy_LIMITED_API=0x{MIN_PY[0]:02X}{MIN_PY[1]:02X}0000", "-isystem"]
        command.append(sysconfig.get_path("include"))
        # Another compiler or other flags never meet old object files: each set has its folder.
        mark = hashlib.sha256("\0".join(command).encode()).hexdigest()[:12]
        work = ROOT / "build" / "core" / mark
        generated = work / "generated"
        generated.mkdir(parents=True, exist_ok=True)
        defaults = generated / "defaults_yaml.c"
        subprocess.run(
            [sys.executable, CSRC / "embed.py", defaults_file(generated), defaults,
             "qg_defaults_yaml"],
            check=True,
        )  # fmt: skip
        command += [f"-I{CSRC}", f"-I{generated}"]
        jobs = [(source, work / source.relative_to(ROOT).with_suffix(".o")) for source in sources()]
        jobs.append((defaults, work / "defaults_yaml.o"))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            done = list(pool.map(lambda job: compile_one(command, *job), jobs))
        if not all(done):
            raise CompileError("the C core did not compile; the compiler's words are above")
        # Where the interpreter keeps its own libraries (pyenv, conda) is no path for a travelling file.
        compiler.linker_so = [w for w in compiler.linker_so if not w.startswith("-Wl,-rpath")]
        compiler.force = True  # link even where only these words changed
        compiler.link_shared_object(
            [str(target) for _, target in jobs],
            self.get_ext_fullpath(ext.name),
            extra_postargs=lib_ldflags + words("ldflags.txt"),
        )


def travels():
    return os.environ.get("QVM_GPU_TRAVELS") == "1"


def defaults_file(generated):
    """What is compiled in. The file that travels reads JSON anyway, and a parser of YAML for these
    few lines would be a ninth of it."""
    origin = ROOT / "salt_ext" / "defaults.yaml"
    if not travels():
        return origin
    import yaml  # noqa: PLC0415 - needed for that file alone

    made = generated / "defaults.json"
    values = yaml.safe_load(origin.read_text(encoding="utf-8"))
    made.write_text(json.dumps(values, separators=(",", ":")), encoding="utf-8")
    return made


def sources():
    return sorted(CSRC.glob("*/*.c"))


def compile_one(command, source, target):
    """True once target is there and newer than all that it is made from."""
    depfile = target.with_suffix(".d")
    if is_fresh(target, depfile):
        return True
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    made = ["-MMD", "-MF", str(depfile), "-c", str(source), "-o", str(target)]
    return subprocess.run([*command, *made], check=False).returncode == 0


def is_fresh(target, depfile):
    try:
        made = target.stat().st_mtime_ns
        _, _, needed = depfile.read_text(encoding="utf-8").replace("\\\n", " ").partition(":")
        return all(os.stat(path).st_mtime_ns < made for path in shlex.split(needed))
    except OSError:  # nothing made yet, or a header that is gone: let the compiler say so
        return False


def version():
    text = (ROOT / "salt_ext/__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)[1]


if sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit("saltext.qvm_gpu is built for the stable ABI, which free-threaded Pythons lack")

setup(
    version=version(),
    python_requires=">=" + ".".join(map(str, MIN_PY)),
    packages=["saltext.qvm_gpu"]
    + ["saltext.qvm_gpu." + name for name in find_namespace_packages("salt_ext", exclude=["_*"])],
    package_dir={"saltext.qvm_gpu": "salt_ext"},
    package_data={"": ["*.yaml", "*.pyi", "py.typed"]},
    ext_modules=[
        Extension(
            "saltext.qvm_gpu._core",
            [str(path.relative_to(ROOT)) for path in sources()],
            py_limited_api=True,
        )
    ],
    cmdclass={"build_ext": BuildCore},
    options={"bdist_wheel": {"py_limited_api": f"cp{MIN_PY[0]}{MIN_PY[1]}"}},
)
