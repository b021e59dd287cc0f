# SPDX-License-Identifier: GPL-3.0-or-later
"""One wheel, the same file on every Python; the sdist that it is made from; how Salt finds it."""

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import elf
import pytest

PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
FUNCTIONS = {"qvm_gpu.map", "qvm_gpu.present"}

USE = """
import json, sys
import saltext.qvm_gpu as package
from saltext.qvm_gpu import _core
assert package.__version__ and _core.__file__.startswith(sys.argv[1]), _core.__file__
run = _core.Run(socket=None, qrexec=False, root=None, record_dir=None, timeout=0, log=None)
answer = run.call("qvm_gpu.map", {"over": {"prefs": {"standalone_name": "here"}}}, False)
assert answer["data"]["prefs"]["standalone_name"] == "here", answer
try:
    run.call("qvm.exists", {"name": 5, "nonsense": object()}, False)
except TypeError:
    pass
else:
    raise AssertionError("an object is no argument")
print(json.dumps(sorted(_core.functions())))
"""

# What salt-call would be asked, four times in one process.
ASK = """
import json, sys, salt.client
call = salt.client.Caller(sys.argv[1] + "/minion").cmd
print(json.dumps([
    call("sys.list_functions", "qvm_gpu"), call("sys.list_state_functions", "qvm_gpu"),
    call("grains.get", "pci_gpu_devs", "absent"), call("qvm_gpu.map"),
]))
"""


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def python_of(version):
    """A Python of this version: on PATH, or one of pyenv's. None where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(pyenv.glob(f"{version}.*/bin/python{version}"), key=str)
    for candidate in [*found, f"/usr/bin/python{version}", f"python{version}"]:
        try:
            subprocess.run([candidate, "-c", ""], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return str(candidate)
    return None


@pytest.mark.parametrize("version", PYTHONS)
def test_the_same_file_on_every_python(unpacked, version):
    python = python_of(version)
    if not python:
        pytest.skip(f"there is no Python {version} here")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(unpacked)}
    output = subprocess.check_output(
        [python, "-s", "-W", "error", "-c", USE, unpacked], text=True, env=environment
    )
    assert set(json.loads(output)) >= FUNCTIONS


def test_the_wheel_says_what_it_is(wheel, root):
    version = re.search(r'__version__ = "(.*)"', (root / "salt_ext/__init__.py").read_text())[1]
    name = rf"saltext[._]qvm_gpu-{re.escape(version)}-cp310-abi3-manylinux_2_(\d+)_x86_64.whl"
    oldest = re.fullmatch(name, wheel.name)
    assert oldest and int(oldest[1]) <= elf.OLDEST_GLIBC[1]
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
        names = archive.namelist()
    assert "\nRequires-Python: >=3.10\n" in text
    assert f"\nVersion: {version}\n" in text
    assert "saltext/__init__.py" not in names, "saltext is shared by all extensions of Salt"
    assert [n for n in names if n.endswith(".so")] == ["saltext/qvm_gpu/_core.abi3.so"]
    assert any(n.endswith("third-party.txt") for n in names)


def test_its_extension_needs_nothing_but_libc(unpacked):
    elf.assert_self_contained(unpacked / "saltext" / "qvm_gpu" / "_core.abi3.so")


def test_the_sdist_holds_what_a_build_needs(root, wheel):
    (sdist,) = (root / "dist").glob("saltext*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.check_output(["git", "ls-files", "csrc"], cwd=root, text=True).split()
    assert set(tracked) <= names
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


@pytest.mark.parametrize("salt", ["3006", "3008"])
@pytest.mark.parametrize("how", ["editable", "wheel"])
def test_salt_finds_modules_states_and_grains(root, unpacked, tmp_path, salt, how):
    venv = Path(sys.executable).parent if salt == "3006" else root / ".venv-3008" / "bin"
    config = {
        "file_client": "local", "root_dir": str(tmp_path), "cachedir": str(tmp_path / "cache"),
        "pki_dir": str(tmp_path / "pki"), "log_file": str(tmp_path / "log"), "id": "test",
        "enable_gpu_grains": False,
    }  # fmt: skip
    (tmp_path / "minion").write_text(json.dumps(config))
    environment = {k: v for k, v in os.environ.items() if k != "QUBESD_SOCKET"}
    if how == "wheel":
        # Found before the editable installation, as `pip install .` alone would be.
        environment["PYTHONPATH"] = str(unpacked)
        where = subprocess.check_output(
            [venv / "python", "-c", "import saltext.qvm_gpu as p; print(p.PACKAGE_ROOT)"],
            env=environment, text=True, cwd=tmp_path,
        )  # fmt: skip
        assert where.startswith(str(unpacked))

    output = subprocess.check_output([venv / "python", "-c", ASK, tmp_path], env=environment)
    functions, states, grain, defaults = json.loads(output)
    assert "qvm_gpu.map" in functions
    assert "qvm_gpu.present" in states
    assert isinstance(grain, list)
    assert defaults["prefs"]["standalone_label"] == "yellow"
