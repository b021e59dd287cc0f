# SPDX-License-Identifier: GPL-3.0-or-later
"""Every function of the core through the binding: without memory, and again and again.

binding.py does it in a process of its own, where failing.c sees each block that the core and its
libraries allocate. A bounded part here; all allocations, and 100,000 rounds, in `make soak`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cases
import pytest
from soak import MINUTES, SOAK, count

MOST = 0 if SOAK else 60  # allocations of one call
ROUNDS = int(os.environ.get("QVM_GPU_ROUNDS") or (100_000 if SOAK else 150))
KIB = 1024 if SOAK else 512  # by which the process may grow; Python's arenas come in 256


def run(failing, mode, folder, number):
    """What binding.py prints, a mapping a case. Files, so that hours can be looked at, and because
    a sandbox that outlives it would keep a pipe open."""
    told, problems = folder.with_suffix(".jsonl"), folder.with_suffix(".log")
    with told.open("w") as out, problems.open("w") as errors:
        done = subprocess.run(
            [sys.executable, Path(__file__).with_name("binding.py"), mode, folder, str(number),
             str(MINUTES)],
            env={**os.environ, "LD_PRELOAD": str(failing), "PYTHONFAULTHANDLER": "1"},
            stdout=out, stderr=errors, check=False,
        )  # fmt: skip
    assert done.returncode == 0, problems.read_text("utf-8")[-3000:]
    return [json.loads(line) for line in told.read_text("utf-8").splitlines()]


def test_every_function_has_a_case():
    have = set(cases.CALLS) | set(cases.attributes(lambda: None))
    assert have == cases.names_of_module()


@pytest.mark.timeout(0)
def test_every_allocation_fails(failing, tmp_path):
    """MemoryError or the whole answer: nothing is lost, nothing is left, the next call works."""
    results = run(failing, "memory", tmp_path / "world", MOST)
    for one in results:
        for kind, number in one["cases"].items():
            count("memory", kind, number)
    assert SOAK or {one["case"] for one in results} >= set(cases.CALLS)
    assert all(one["cases"].get("MemoryError") for one in results)
    wrong = {one["case"]: one["wrong"] for one in results if one["wrong"]}
    assert not wrong, json.dumps(wrong, indent=1)


def test_every_allocation_of_pythons_fails(failing, tmp_path):
    """The same for the objects that arguments and answers are made of."""
    pytest.importorskip("_testcapi", reason="this Python has no failing allocator")
    results = run(failing, "python", tmp_path / "world", 0)
    for one in results:
        for kind, number in one["cases"].items():
            count("memory", f"Python's {kind}", number)
    wrong = {one["case"]: one["wrong"] for one in results if one["wrong"]}
    assert not wrong, json.dumps(wrong, indent=1)


@pytest.mark.timeout(0)
def test_nothing_leaks(failing, tmp_path):
    results = run(failing, "leaks", tmp_path / "world", ROUNDS)
    for one in results:
        count("leak", "rounds", one["rounds"])
        count("leak", "functions, attributes and writing states")
    assert SOAK or {one["case"] for one in results} >= cases.names_of_module()
    leaks = [
        one
        for one in results
        if one["grown"]["blocks"]
        or one["grown"]["descriptors"]
        or one["grown"]["objects"] > max(one["rounds"] // 2, 50)
        or one["grown"]["kib"] > KIB
    ]
    assert not leaks, json.dumps(leaks, indent=1)
