# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree for file_roots."""

import json
import subprocess
import sys

import elf
import pytest
import yaml

LOAD = """
import importlib.machinery, importlib.util, sys
name, path = sys.argv[1:]
loader = importlib.machinery.ExtensionFileLoader(name, path)
module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
loader.exec_module(module)
assert "qvm_gpu.map" in list(module.functions()), module.functions()
print(module.__name__)
"""


DEFAULTS = (
    LOAD
    + """
import json
print(json.dumps(module.Run(socket="/nonexistent").call("qvm_gpu.map", {})["data"]))
"""
)


@pytest.fixture
def extension(srv):
    return srv / "_modules" / "_qvm_gpu_core.abi3.so"


def test_the_extension_needs_nothing_but_libc(extension):
    elf.assert_self_contained(extension)


def test_the_extension_is_small(extension):
    assert extension.stat().st_size < 400_000


def test_the_editable_extension_is_hardened_and_exports_no_more(root):
    path = root / "salt_ext" / "_core.abi3.so"
    elf.assert_hardened(path)
    assert elf.exports(path) == elf.EXPORTS


@pytest.mark.parametrize("name", ["_qvm_gpu_core", "_core"])
def test_one_file_answers_to_both_names(extension, name):
    argv = [sys.executable, "-I", "-c", LOAD, name, extension]
    assert subprocess.check_output(argv, text=True).strip() == name


def test_the_defaults_are_those_of_the_file(root, extension):
    """They travel as JSON, and nothing of libyaml with them."""
    argv = [sys.executable, "-I", "-c", DEFAULTS, "_core", extension]
    _, told = subprocess.check_output(argv, text=True).splitlines()
    wanted = yaml.safe_load((root / "salt_ext" / "defaults.yaml").read_text("utf-8"))
    assert json.loads(told) == wanted
    assert b"did not find expected" not in extension.read_bytes()  # what libyaml says of a mistake


@pytest.mark.parametrize("kind", ["modules", "states", "grains"])
def test_no_line_is_in_two_versions(root, srv, kind):
    ours = {path.name: path.read_bytes() for path in (root / "salt_ext" / kind).glob("*.py")}
    ours.pop("__init__.py", None)
    copies = {path.name: path.read_bytes() for path in (srv / f"_{kind}").glob("*.py")}
    assert copies == ours
    assert copies, "nothing to ship"


def test_the_formula_is_there(root, srv):
    wanted = [path.relative_to(root / "states") for path in (root / "states").rglob("*.*")]
    assert wanted
    for path in wanted:
        assert (srv / path).read_bytes() == (root / "states" / path).read_bytes()
    assert "Jansson" in (srv / "nvidia-driver" / "LICENSES.txt").read_text()


def test_nothing_else_is_there(srv):
    kinds = {path.name for path in srv.iterdir()}
    assert kinds == {"_modules", "_states", "_grains", "nvidia-driver", "top.sls", "test.sls"}
    assert not list(srv.rglob("__pycache__"))
