# SPDX-License-Identifier: GPL-3.0-or-later
"""What binutils say of a shared object, and what ours must be."""

import re
import subprocess

OLDEST_GLIBC = (2, 34)
EXPORTS = {"PyInit__core", "PyInit__qvm_gpu_core"}


def tool(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def needed(path):
    return re.findall(r"\(NEEDED\).*\[(.*)\]", tool("readelf", "-dW", path))


def exports(path):
    return {line.split()[-1] for line in tool("nm", "-D", "--defined-only", path).splitlines()}


def glibc_versions(path):
    found = re.findall(r"GLIBC_(\d+)\.(\d+)", tool("objdump", "-T", path))
    return {tuple(map(int, version)) for version in found}


def python_symbols(path):
    return re.findall(r" U (_?Py\w+)", tool("nm", "-D", path))


def assert_hardened(path):
    dynamic = tool("readelf", "-dW", path)
    segments = tool("readelf", "-lW", path)
    assert "GNU_RELRO" in segments
    assert re.search(r"FLAGS_1.*\bNOW\b", dynamic)
    assert "TEXTREL" not in dynamic
    assert "RPATH" not in dynamic and "RUNPATH" not in dynamic
    assert "GNU_STACK" in segments, "an executable stack is asked for where nothing is said"
    assert "RWE" not in segments, "a part of the file is writable and executable"
    symbols = tool("nm", "-D", path)
    assert "__stack_chk_fail" in symbols
    assert "_chk@" in symbols, "built without _FORTIFY_SOURCE"


def assert_self_contained(path):
    assert set(needed(path)) <= {"libc.so.6", "ld-linux-x86-64.so.2"}
    assert max(glibc_versions(path)) <= OLDEST_GLIBC
    assert exports(path) == EXPORTS
    assert_hardened(path)
    assert ".symtab" not in tool("readelf", "-SW", path)
