# SPDX-License-Identifier: GPL-3.0-or-later
"""The eyes that look at what is shipped see each thing that can be missing."""

import subprocess

import elf
import pytest

SOURCE = """
#include <stdio.h>
#include <string.h>
void PyInit__core(const char *text);
void PyInit__core(const char *text) {
    char line[64];
    strcpy(line, text);
    puts(line);
}
"""
FLAGS = ["-shared", "-fPIC", "-O2", "-Wno-deprecated", "-fstack-protector-strong",
         "-D_FORTIFY_SOURCE=2", "-Wl,-z,relro,-z,now,-z,noexecstack"]  # fmt: skip


@pytest.fixture
def build(tmp_path):
    def build(*more, source=SOURCE):
        (tmp_path / "a.c").write_text(source, "utf-8")
        argv = ["cc", *FLAGS, *more, "-o", tmp_path / "a.so", tmp_path / "a.c"]
        subprocess.run(argv, check=True, capture_output=True)
        return tmp_path / "a.so"

    return build


def test_a_hardened_file_passes(build):
    elf.assert_hardened(build())


@pytest.mark.parametrize(
    "without",
    [
        "-Wl,-z,norelro",
        "-Wl,-z,lazy",
        "-Wl,-z,execstack",
        "-fno-stack-protector",
        "-U_FORTIFY_SOURCE",
        "-Wl,-rpath,/tmp",
    ],
)
def test_a_file_that_lacks_one_is_seen(build, without):
    file = build(without)
    with pytest.raises(AssertionError):
        elf.assert_hardened(file)


def test_another_export_is_seen(build):
    file = build(source=SOURCE + "int leaked;")
    assert elf.exports(file) == {"PyInit__core", "leaked"}


def test_another_library_is_seen(build):
    file = build("-Wl,--no-as-needed", "-lm")
    assert "libm.so.6" in elf.needed(file)
    with pytest.raises(AssertionError):
        elf.assert_self_contained(file)
