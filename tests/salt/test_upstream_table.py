# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of docs/upstream.md is whole, and what it says of each key is what happens."""

from __future__ import annotations

import re
import sys

import pytest
import yaml
from rig import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "tests" / "docs"))

from examples import functions, table

DATA = yaml.safe_load((REPOSITORY / "tests/data/upstream-qvm.yaml").read_text("utf-8"))
EVERYWHERE = DATA.pop("everywhere")["keys"]
PUBLISHED = {kind: {e.name for e in functions(kind) if e.module == "qvm"} for kind in
             ("modules", "states")}  # fmt: skip
VERDICT = re.compile(
    r"(?P<word>same|better|not)(?:, (?P<how>an error|without effect))?(?P<rest>[:;,] .+)?"
)


def rows():
    """(function, key or flag or word, its kind) > (verdict, how, the reason)."""
    found, names = {}, []
    for first, second, _, ours in table("upstream"):
        names = re.findall(r"\w+", first) or names
        match = VERDICT.fullmatch(ours)
        assert match, f"{first or names} {second}: the verdict is same, better or not: {ours}"
        for part in second.split(";"):
            kind = part.split("`")[0].strip().rstrip("s") or "key"
            for name in names:
                found.setdefault((name, "", ""), []).append(match)
                for key in re.findall(r"`([^`]+)`", part) if kind in ("key", "flag") else ():
                    found.setdefault((name, key, kind), []).append(match)
    return found


ROWS = rows()


def told(name, key, kind):
    """What the table says of a key."""
    match = ROWS.get((name, key, kind))
    assert match, f"{name}: no row has the {kind} {key}"
    assert len(match) == 1, f"{name}: {len(match)} rows have the {kind} {key}"
    return match[0]["word"], match[0]["how"]


def test_every_function_is_a_row():
    there = {name for name, key, _ in ROWS if not key}
    assert there == set(DATA) | {"everywhere"}
    assert (PUBLISHED["states"] | PUBLISHED["modules"]) - {"apply_state"} <= there
    assert set(DATA) <= PUBLISHED["states"] | PUBLISHED["modules"], "one of upstream's is missing"


def test_what_is_not_there_has_a_reason():
    for (name, key, _), matches in ROWS.items():
        for match in matches:
            if match["word"] == "not":
                assert match["how"], f"{name} {key}: an error, or without effect?"
            if match["word"] != "same":
                assert len(match["rest"] or "") > 10, f"{name} {key}: how, or why?"


CASES = [
    (name, kind, key)
    for name, each in DATA.items()
    for kind, keys in (("key", each.get("keys", {})), ("flag", each.get("flags", [])))
    for key in keys
]  # fmt: skip


def ask(quick, name, body, words=()):
    """A dry run of the execution function: result, comment and changes."""
    each = DATA[name]
    status = quick.ask(f"qvm.{name}", each.get("qube", "work"), *words, **body, test=True)
    return status.result, status.comment, status.changes


@pytest.mark.parametrize("name", DATA)
def test_a_key_does_what_the_table_says(quick, sandbox, name):
    each = DATA[name]
    for _, kind, key in [case for case in CASES if case[0] == name]:
        body = dict(each.get("with", {}))
        before = None if name in ("check", "state") else ask(quick, name, body)
        value = [key] if kind == "flag" else each["keys"][key]
        if isinstance(value, dict) and "with" in value:
            body, value = {**body, **value["with"]}, value["value"]
        if isinstance(value, dict) and "actions" in value:
            body, value = {**body, **value}, []
        result, comment, changes = ask(
            quick, name, {**body, "flags" if kind == "flag" else key: value}
        )
        _, how = told(name, key, kind)
        what = f"{name}: the {kind} {key}: {result}: {comment}"
        if how == "an error":
            assert result is False and key.replace("-", "_") in comment.replace("-", "_"), what
            continue
        assert result is not False, what
        if how == "without effect":
            assert changes == before[2], what
        else:
            assert not re.search(rf"ignored: \w+: {key}\b", comment), what
    if "words" in each:
        result, comment, _ = ask(quick, name, {}, each["words"])
        assert result is not False, comment
    assert not sandbox.writing_calls()


@pytest.mark.parametrize("name", sorted(set(DATA) - {"template_info", "check", "state"}))
def test_what_is_taken_everywhere(quick, sandbox, name):
    each = DATA[name]
    plain = ask(quick, name, dict(each.get("with", {})))
    assert ask(quick, name, {**each.get("with", {}), **EVERYWHERE}) == plain
    for key in EVERYWHERE:
        assert told("everywhere", key, "key") == ("not", "without effect")


def test_keys_of_ours_are_rows_too():
    """What the core looks for and would name as the nearest known key."""
    source = {path.stem: path.read_text("utf-8") for path in (REPOSITORY / "csrc/qvm").glob("*.c")}
    for name, stem, array in (
        ("present", "present", "keys"), ("absent", "remove", "absent_keys"),
        ("clone", "remove", "clone_keys"), ("run", "run", "keys"), ("tags", "tags", "keys"),
        ("prefs", "prefs", "keys"), ("features", "features", "keys"),
        ("devices", "devices", "keys"), ("firewall", "firewall", "keys"),
        ("template_installed", "template", "keys"), ("start", "power", "start_keys"),
        ("shutdown", "power", "stop_keys"), ("pause", "power", "pause_keys"),
    ):  # fmt: skip
        found = re.search(rf"\b{array}\[\] = {{(.*?)}};", source[stem], re.S)
        keys = set(re.findall(r'"([\w-]+)"', found[1])) - {"flags"}
        assert keys, name
        known = {key.replace("-", "_") for each, key, kind in ROWS if each == name and key}
        assert {key.replace("-", "_") for key in keys} <= known, name
