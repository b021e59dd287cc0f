# SPDX-License-Identifier: GPL-3.0-or-later
"""The way qubesctl takes into a qube: salt-ssh, the target's own Python, the one extension."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from nvidia_beds import REPOSITORY, debian12  # noqa: F401

SRV = REPOSITORY / "build" / "srv"
pytestmark = pytest.mark.slow_bed


@pytest.fixture
def ssh(debian12, tmp_path):
    """``ssh("nvidia.status")`` is what the function answers in the qube."""
    subprocess.run(["make", "-s", "srv"], cwd=REPOSITORY, check=True, timeout=600)
    states = tmp_path / "states"
    states.mkdir()
    (states / "t.sls").write_text("driver:\n  nvidia.driver_installed: []\n")
    with debian12.bed.sshd() as target:
        (tmp_path / "roster").write_text(yaml.safe_dump({"d12": target.roster()}))
        config = {
            "root_dir": str(tmp_path),
            "cachedir": str(tmp_path / "cache"),
            "pki_dir": str(tmp_path / "pki"),
            "log_level_logfile": "quiet",
            "file_roots": {"base": [str(SRV), str(states)]},
        }
        (tmp_path / "master").write_text(yaml.safe_dump(config))

        def call(*words):
            command = [Path(sys.executable).parent / "salt-ssh", "-c", tmp_path]
            command += ["--roster-file", tmp_path / "roster", "--out=json", "d12", *words]
            done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
            try:
                return json.loads(done.stdout)["d12"]
            except (ValueError, KeyError):
                raise AssertionError(done.stdout + done.stderr) from None

        yield call


def test_over_salt_ssh(debian12, ssh):
    status = ssh("nvidia.status")
    assert (status["state"], status["family"]) == ("missing", "debian")
    assert status["cards"][0]["address"] == "0000:01:00.0"
    plan = ssh("nvidia.plan", "flavor=proprietary")
    assert [step["step"] for step in plan["steps"]] == ["sources", "packages", "module"]
    before = debian12.read("etc/apt/sources.list")
    (answer,) = ssh("state.apply", "t", "test=True").values()
    assert answer["result"] is None
    assert "nvidia-driver" in answer["changes"]["packages"]
    assert debian12.read("etc/apt/sources.list") == before
    (answer,) = ssh("state.single", "nvidia.prime_offload", "nvrun").values()
    assert answer["result"] is True
    assert debian12.bed.run(["nvrun", "printf", "[%s]", "a b", ""]).stdout == "[a b][]"
