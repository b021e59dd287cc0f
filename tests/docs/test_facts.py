# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation names is there, and what it counts is so."""

from __future__ import annotations

import importlib.util
import re

import pytest
import yaml
from examples import DOCS, OURS, REPOSITORY, commands, fences, functions, pages, table

KNOWN = {each.full for kind in ("modules", "states") for each in functions(kind)}
SUFFIXES = {"py", "conf", "ko", "md", "html", "log", "run", "state"}
OPTIONS = {"qvm_gpu.conf"}


def test_every_function_is_in_the_reference():
    text = "".join(path.read_text("utf-8") for path in (DOCS / "reference").glob("*.md"))
    for kind in ("modules", "states", "grains"):
        for path in (REPOSITORY / "salt_ext" / kind).glob("[!_]*.py"):
            assert f".. automodule:: saltext.qvm_gpu.{kind}.{path.stem}\n" in text, path


@pytest.mark.parametrize("page", pages())
def test_functions_that_are_named_exist(page):
    names = rf"(?<![\w./-])({'|'.join(OURS.values())})\.([a-z_]+)(?![\w/-])"
    for module, name in re.findall(names, pages()[page]):
        full = f"{module}.{name}"
        assert full in KNOWN or name in SUFFIXES, full


@pytest.mark.parametrize("page", pages())
def test_make_targets_that_are_named_exist(page):
    targets = set(re.findall(r"^([a-z]+)(?:\s\w+)*:", (REPOSITORY / "Makefile").read_text(), re.M))
    named = re.findall(r"(?:`|\$ )make ([a-z]+)", pages()[page])
    assert set(named) <= targets


def test_salt_functions_that_are_called_exist(dom0):
    loaded = None
    for page, line, _, language, text in fences():
        for command in commands(text) if language == "console" else []:
            match = re.match(
                r"(?:sudo qubesctl|salt-call)(?: -\S+| -c \S+)* ([a-z_]+\.[a-z_]+)", command
            )
            if not match or match[1] in KNOWN:
                continue
            if loaded is None:
                loaded = set(dom0.call("sys.list_functions"))
            assert match[1] in loaded | {"top.enable"}, f"{page}:{line}: {match[1]}"


# Headings of troubleshooting that are others' words: Linux', NVIDIA's, apt's, dnf's, qubesd's.
OTHERS = {"VFS: Unable to mount root fs", "No devices were found", "held broken packages",
          "pci device", "not available", "is filtered out by exclude filtering"}  # fmt: skip


def test_messages_that_are_quoted_are_said():
    """The headings by which a user finds a message; ``...`` stands for what differs."""
    sources = [*(REPOSITORY / "csrc").glob("*/*.c"), *(REPOSITORY / "salt_ext").glob("*/*.py")]
    said = "".join(path.read_text("utf-8") for path in sources)
    said = re.sub(r"%[.*]*\w+", "...", re.sub(r'"\n\s*"', "", said))
    headings = re.findall(r"^#+ (.*)", pages()["troubleshooting.md"], re.M)
    quoted = [text for heading in headings for text in re.findall(r'"([^"]+)"', heading)]
    pieces = [piece.strip() for text in quoted for piece in text.split("...") if piece.strip()]
    assert len(pieces) > 10
    assert [piece for piece in pieces if piece not in said and piece not in OTHERS] == []


def test_files_of_the_repository_that_are_named_exist():
    for page, text in pages().items():
        for name in re.findall(r"`((?:csrc|salt_ext|tools|tests|packaging|bench)/[\w/.-]*)`", text):
            assert (REPOSITORY / name).exists(), f"{page}: {name}"


def test_defaults_are_those_of_the_formula():
    defaults = yaml.safe_load((REPOSITORY / "salt_ext" / "defaults.yaml").read_text("utf-8"))
    rows = dict(re.findall(r"^\| `([\w:]+)` \| `([^`]+)` \|", pages()["formula.md"], re.M))
    expected = {"devices": str(defaults["devices"])}
    for part in ("prefs", "paths"):
        expected |= {f"{part}:{key}": str(value) for key, value in defaults[part].items()}
    assert rows == expected


def test_the_layers_are_those_that_are_checked():
    path = REPOSITORY / "tools" / "check_layers.py"
    spec = importlib.util.spec_from_file_location("check_layers", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found, order = {}, []
    for folder, _, looks_at in table("layers"):
        folder = folder.strip("`")
        named = re.findall(r"`(\w+)`", looks_at)
        if looks_at == "all of these":
            named = list(order)
        elif looks_at.startswith("those of"):
            named = [*found[named[0]], *named[1:]]
        found[folder] = named
        order.append(folder)
    assert {k: set(v) - {k, "py"} for k, v in found.items()} == {
        k: set(v) - {k, "py"} for k, v in module.BELOW.items()
    }


def test_every_known_fault_of_upstream_has_a_row():
    """tests/salt/test_upstream_table.py holds the table above it to the truth."""
    faults = re.findall(r"^\| (B\d+) \|", pages()["upstream.md"], re.M)
    assert faults == [f"B{n}" for n in range(1, 25)]


# -- the calls and counts of calls.md


def test_every_reading_call_is_in_the_table():
    """Those that the core's sources name, and those that it makes of a class and an operation."""
    from saltext.qvm_gpu.sandbox.harness import is_writing

    named = {
        re.sub(r"device\.\w+\.", "device.CLASS.", call)
        for _, calls, _ in table("calls")
        for call in re.findall(r"`(admin\.[\w.]+)`", calls)
    }
    asked = set()
    for path in (REPOSITORY / "csrc").glob("*/*.c"):
        text = path.read_text("utf-8")
        methods = set(re.findall(r'"(admin\.\w+(?:\.\w+)*)"', text))
        asked |= {re.sub(r"device\.\w+\.", "device.CLASS.", one) for one in methods}
        operations = re.findall(r'qg_batch_add_device\([^;]*?"(\w+)"', text)
        asked |= {f"admin.vm.device.CLASS.{one}" for one in operations}
    assert {one for one in asked if not is_writing(one)} == named


COUNTED = {
    "`qvm.exists`, `missing`, `running`, `halted`": ("qvm.halted", "work", None),
    "`qvm.start`": ("qvm.start", "work", None),
    "`qvm.shutdown`": ("qvm.shutdown", "work", None),
    "`qvm.present`, an AppVM": ("qvm.present", "m", {"template": "fedora-41-xfce", "label": "red"}),
    "`qvm.prefs`, two properties": ("qvm.prefs", "m", {"memory": 500, "vcpus": 2}),
    "`qvm.features`, two features": ("qvm.features", "m", {"set": [{"a": 1}, {"b": 2}]}),
    "`qvm.service`, one service": ("qvm.service", "m", {"enable": ["clocksync"]}),
    "`qvm.tags`, two tags": ("qvm.tags", "m", {"add": ["x", "y"]}),
    "`qvm.firewall`": ("qvm.firewall", "m", {"set": ["action=drop"]}),
    "`qvm.absent`": ("qvm.absent", "m", None),
    "the guide's `qvm.vm`": (
        "qvm.vm",
        "guide",
        {
            "present": [{"template": "fedora-40-xfce"}, {"class": "StandaloneVM"}],
            "prefs": [
                {"label": "yellow"}, {"mem": 4000}, {"vcpus": 4}, {"virt_mode": "hvm"},
                {"pcidevs": ["01:00.0", "01:00.1"]}, {"kernel": None}, {"maxmem": 0},
                {"class": "StandaloneVM"},
            ],
            "features": [{"set": [{"menu-items": "qubes-run-terminal.desktop"}]}],
        },
    ),
}  # fmt: skip
ELSEWHERE = {"fifty of the guide's `qvm.vm`": "tests/salt/test_counts.py"}


def test_counts(tmp_path):
    """In the table's order, since a later row works on what an earlier one made."""
    from rig import Minion
    from saltext.qvm_gpu.sandbox import Sandbox

    counted = {}
    with Sandbox(folder=tmp_path / "sandbox", root=True) as sandbox:
        minion = Minion(tmp_path / "minion", socket=sandbox.socket, root=sandbox.root)
        for row, (function, name, body) in COUNTED.items():
            log = []
            for _ in range(2):
                sandbox.clear_log()
                state = minion.one(function, name, body)
                assert state["result"] is True, state["comment"]
                log.append((len(sandbox.log()), len(sandbox.writing_calls())))
            (first, writing), (unchanged, nothing) = log
            assert nothing == 0
            counted[row] = [str(unchanged), str(first), str(writing)]
    documented = {row: cells for row, *cells in table("counts")}
    assert set(documented) == set(COUNTED) | set(ELSEWHERE)
    assert {row: documented[row] for row in COUNTED} == counted
