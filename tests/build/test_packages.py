# SPDX-License-Identifier: GPL-3.0-or-later
"""The RPM for dom0 and the Debian package: what is in them, what they do where they are installed."""

import os
import subprocess

import pytest
import yaml

TREE = "/srv/formulas/base/qvm-gpu"
CONF = "/etc/salt/minion.d/qvm-gpu.conf"


def files_below(folder):
    return {f"/{path.relative_to(folder)}" for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def wanted(srv):
    tree = {f"{TREE}{path}" for path in files_below(srv)} - {f"{TREE}/top.sls"}
    return tree | {CONF}


def test_both_are_built_and_listed(packages, wanted):
    listing, _, _ = packages
    assert "== dist/salt-qvm-gpu-0" in listing and "== dist/salt-qvm-gpu_0" in listing
    for path in wanted:
        assert listing.count(path) == 2, path
    assert "top.sls" not in listing, "would be the highstate of whoever has no top file"
    assert listing.count("root") and "pycache" not in listing


@pytest.mark.skipif(os.geteuid() != 0, reason="rpm wants to be root for another root")
def test_the_rpm_installs_and_leaves_nothing(packages, wanted, tmp_path, srv):
    _, rpm, _ = packages
    root = tmp_path / "root"
    root.mkdir()
    base = ["rpm", "--root", root]
    subprocess.run([*base, "--initdb"], check=True)
    database = files_below(root)
    install = [*base, "-i", "--nodeps", "--noscripts", "--nosignature", rpm]
    subprocess.run(install, check=True)
    assert files_below(root) - database >= wanted
    name = "_modules/_qvm_gpu_core.abi3.so"
    assert (root / TREE[1:] / name).read_bytes() == (srv / name).read_bytes()
    subprocess.run([*base, "-V", "--nodeps", "salt-qvm-gpu"], check=True)
    subprocess.run([*base, "-e", "--noscripts", "salt-qvm-gpu"], check=True)
    assert files_below(root) == database
    assert not (root / TREE[1:]).exists()


def test_the_rpm_asks_for_what_it_needs(packages):
    _, rpm, _ = packages
    query = ["rpm", "-qp", "--nosignature"]
    text = subprocess.check_output([*query, "--requires", rpm], text=True)
    assert "salt >= 3006" in text and "python3 >= 3.10" in text
    scripts = subprocess.check_output([*query, "--scripts", rpm], text=True)
    assert scripts.count("saltutil.sync_all saltenv=base") == 2


def test_the_deb_unpacks(packages, wanted, tmp_path):
    _, _, deb = packages
    subprocess.run(["dpkg-deb", "-x", deb, tmp_path / "x"], check=True)
    subprocess.run(["dpkg-deb", "-e", deb, tmp_path / "e"], check=True)
    assert files_below(tmp_path / "x") == wanted | {"/usr/share/doc/salt-qvm-gpu/copyright"}
    assert (tmp_path / "e" / "conffiles").read_text().split() == [CONF]
    assert "saltutil.sync_all saltenv=base" in (tmp_path / "e" / "postinst").read_text()


@pytest.mark.parametrize("salt", ["3006", "3008"])
def test_its_configuration_adds_to_that_of_qubes(root, tmp_path, salt):
    """As dom0 has it: file_roots of other packages in files of their own stay what they are."""
    (tmp_path / "minion").write_text("")
    folder = tmp_path / "minion.d"
    folder.mkdir()
    others = {"file_roots": {"base": ["/srv/salt", "/srv/f/other"], "user": ["/srv/user_salt"]}}
    (folder / "f_defaults.conf").write_text(yaml.safe_dump(others))
    (folder / "qvm-gpu.conf").write_bytes((root / "packaging" / "minion.conf").read_bytes())
    (folder / "z.conf").write_text("file_roots: {base: [/srv/f/last]}\n")
    show = (
        "import json, sys, salt.config; o = salt.config.minion_config(sys.argv[1]);"
        "print(json.dumps([o['file_roots'], o['module_dirs']]))"
    )
    python = root / (".venv" if salt == "3006" else ".venv-3008") / "bin" / "python"
    output = subprocess.check_output([python, "-c", show, tmp_path / "minion"], text=True)
    roots, module_dirs = yaml.safe_load(output)
    assert roots["user"] == ["/srv/user_salt"]
    assert roots["base"] == ["/srv/salt", "/srv/f/other", TREE, "/srv/f/last"]
    assert module_dirs == [TREE]
