# SPDX-License-Identifier: GPL-3.0-or-later
"""qvm.firewall: one list of rules, compared by what they mean."""

from __future__ import annotations

import pytest

RULES = [
    "action=accept dstports=443 proto=tcp comment=the web, encrypted",
    "action=accept dsthost=10.0.0.1",
    "action=drop",
]
PRINTED = [
    "action=accept proto=tcp dstports=443-443 comment=the web, encrypted",
    "action=accept dst4=10.0.0.1/32",
    "action=drop",
]


def rules(sandbox):
    return sandbox.ok("admin.vm.firewall.Get", "work").splitlines()


def test_dry_first_second(sandbox, minion):
    body = {"set": RULES}
    dry = minion.one("qvm.firewall", "work", body, test=True)
    assert dry["result"] is None and not sandbox.writing_calls()
    first = minion.one("qvm.firewall", "work", body)
    assert first["result"] is True, first["comment"]
    assert first["changes"] == dry["changes"] == {
        "qvm.firewall": {"old": "action=accept", "new": "\n".join(PRINTED)}
    }  # fmt: skip
    assert rules(sandbox) == PRINTED
    assert [call.method for call in sandbox.writing_calls()] == ["admin.vm.firewall.Set"]
    sandbox.clear_log()
    for same in (RULES, PRINTED, "\n".join(RULES)):
        second = minion.one("qvm.firewall", "work", {"set": same})
        assert second["result"] is True and second["changes"] == {}
        assert second["comment"].startswith("[SKIP] action=accept proto=tcp")
    assert not sandbox.writing_calls()


@pytest.mark.parametrize("body", [{"set": []}, {"set": None}, {"set": ""}, {"set": [None, ""]}])
def test_nothing_to_set_changes_nothing(sandbox, minion, body):
    state = minion.one("qvm.firewall", "work", body)
    assert state["result"] is True and state["changes"] == {}
    assert not sandbox.writing_calls()


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("action=maybe", ["action=maybe", "accept or drop"]),
        ("proto=tcp", ["no action"]),
        ("action=accept dstports=80", ["proto=tcp or proto=udp"]),
        ("action=accept dstport=80 proto=tcp", ["did you mean dstports"]),
        (17, ["a list of rules is expected"]),
        ({"action": "accept"}, ["a list of rules is expected"]),
    ],
)
def test_a_bad_rule_is_named_before_any_write(sandbox, minion, rule, words):
    for test in (True, False):
        body = {"set": ["action=drop", rule]}
        state = minion.one("qvm.firewall", "work", body, test=test)
        assert state["result"] is False
        for word in words:
            assert word in state["comment"], state["comment"]
    assert not sandbox.writing_calls()


def test_list_shows_every_rule(sandbox, minion):
    minion.one("qvm.firewall", "work", {"set": RULES})
    for body in ({}, {"list": []}):
        state = minion.one("qvm.firewall", "work", body)
        assert state["comment"].splitlines() == PRINTED and state["changes"] == {}
    out = minion.call("qvm.firewall", "work", "list")
    assert out["stdout"].splitlines() == PRINTED


def test_rules_that_ran_out(sandbox, minion):
    state = minion.one("qvm.firewall", "work", {"set": ["action=accept expire=1", "action=drop"]})
    assert state["result"] is True and "has expired" in state["comment"]
    assert rules(sandbox) == ["action=drop"]
    body = {"set": ["action=accept expire=1", "action=drop"]}
    assert minion.one("qvm.firewall", "work", body)["changes"] == {}


def test_words_and_unknown_keys(sandbox, minion):
    out = minion.call("qvm.firewall", "work", "set=[action=drop]")
    assert out["retcode"] == 0, out
    assert rules(sandbox) == ["action=drop"]
    state = minion.one("qvm.firewall", "work", {"sett": ["action=accept"]})
    assert "Unknown key ignored: firewall: sett (did you mean set?)" in state["comment"]
    assert rules(sandbox) == ["action=drop"]


def test_what_cannot_have_a_firewall(sandbox, minion):
    missing = minion.one("qvm.firewall", "nosuch", {"set": RULES})
    assert missing["result"] is False and "does not exist" in missing["comment"]
    dom0 = minion.one("qvm.firewall", "dom0", {"set": RULES})
    assert dom0["result"] is False and "admin.vm.firewall.Get on dom0" in dom0["comment"]
