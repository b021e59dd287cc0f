# SPDX-License-Identifier: GPL-3.0-or-later
"""Text that others set never steers a terminal, a log or a page: every source, every way out.

Each source is planted with the same text, each way out is looked at with the same eyes: comments,
changes, data, every log line of Salt's process, the report as text and as HTML; at last what a real
salt-call prints and writes into its log file.
"""

from __future__ import annotations

import logging
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rig import QuickMinion, install_programs
from saltext.qvm_gpu.sandbox import defaults

ESCAPES = "\x1b[31m\x1b]0;owned\x07\x08\x7f\x9b2J\x85"
DIRECTIONS = "\u202eevil\u2066\u061c\u200b\u2028\ufeff\U000e0041"
MARKUP = "<script>owned()</script><img src=x onerror=owned()>&quot;\"'"
FORMATS = "%s%n%1000000d{0}{pillar}$(owned)`owned`"
HOSTILE = ESCAPES + DIRECTIONS + MARKUP + FORMATS
FORGED = HOSTILE + "\nFORGED: line\r\nFORGED: too"
LONG = HOSTILE * 60

ERROR = {"kind": "error", "type": "QubesValueError" + ESCAPES, "text": FORGED, "times": 0}


def is_safe(character: str) -> bool:
    """False for what moves a cursor, turns text round or is not seen."""
    return character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Zl", "Zp")


def unsafe(text: str) -> set[str]:
    return {character for character in text if not is_safe(character)}


def texts_of(value):
    """Every text and key inside a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts_of(key)
            yield from texts_of(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts_of(item)
    elif hasattr(value, "comment"):  # the status object of dom0's execution functions
        yield from texts_of([value.comment, value.changes, value.data, value.stdout, value.stderr])


def assert_safe(value) -> None:
    for text in texts_of(value):
        assert not unsafe(text), ascii(text)


def assert_no_forged_line(comment: str) -> None:
    assert not [line for line in comment.splitlines() if line.startswith("FORGED")], ascii(comment)


class Markup(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.handlers: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on") or name == "href"]


def reply(data: str, method: str) -> dict:
    """A fault that has the daemon answer such a request with this, as long as it is armed."""
    return {"kind": "garbage", "match": method, "data": "0\0" + as_bytes(data), "times": 0}


def as_bytes(text: str) -> str:
    """UTF-8, as the fault plan takes it: a character a byte."""
    return text.encode().decode("latin-1")


def machine_file() -> dict:
    devices = defaults.devices("bridge")
    for device in devices:
        device["product"] = device["vendor"] = HOSTILE.replace("'", "")
    card = {
        "class": "StandaloneVM",
        "label": "red",
        "devices": ["01:00.0", "01:00.1"],
        "running": True,
        "properties": {"virt_mode": "hvm", "kernel": FORGED, "maxmem": 0, "default_user": FORGED},
    }
    work = {
        "features": {"menu-items": FORGED, "service.cups": FORGED},
        "tags": [HOSTILE],
        "notes": FORGED,
        "properties": {"default_user": FORGED, "kernelopts": LONG},
    }
    return {"devices": devices, "qubes": {"gamer": card, "work": work}}


# What is asked for, dry and for real: (function, name, body).
STATES = {
    "properties": ("qvm.prefs", "work", {"default_user": "me", "kernelopts": "quiet"}),
    "features": ("qvm.features", "work", {"set": [{"menu-items": "a"}]}),
    "services": ("qvm.service", "work", {"disable": ["cups"]}),
    "tags": ("qvm.tags", "work", {"add": ["mine"]}),
    # qubesd takes back ASCII only, and there is no program qvm-run: both fail when done
    "bad clone": ("qvm.clone", "copy", {"source": "work"}),
    "devices": ("qvm.devices", "gamer", {"detach": ["pci:dom0:01_00.1"]}),
    "moved card": ("qvm_gpu.attached", "work", {"devices": "01:00.0", "force": True}),
    "unknown key": ("qvm.prefs", "work", {HOSTILE: 1, "default_user": "me"}),
    "unknown flag": ("qvm.absent", "work", {"flags": [FORGED]}),
    "bad value": ("qvm.prefs", "work", {"memory": FORGED}),
    "bad name": ("qvm.prefs", FORGED, {"memory": 400}),
    "bad label": ("qvm.present", "new", {"label": FORGED}),
    "bad device": ("qvm.prefs", "work", {"pcidevs": [FORGED]}),
    "bad rule": ("qvm.firewall", "work", {"set": [FORGED]}),
    "bad argument": ("qvm_gpu.present", "new", {"label": FORGED, FORGED: 1}),
    "bad command": ("qvm.run", "work", {"cmd": FORGED}),
}

# What is asked of the execution functions: (function, words).
QUESTIONS = {
    "properties": ("qvm.prefs", ["work"]),
    "features": ("qvm.features", ["work"]),
    "services": ("qvm.service", ["work"]),
    "tags": ("qvm.tags", ["work"]),
    "devices": ("qvm.devices", ["gamer"]),
    "state": ("qvm.state", ["gamer"]),
    "cards": ("qvm_gpu.cards", []),
    "checks": ("qvm_gpu.preflight", []),
    "text": ("qvm_gpu.report", []),
    "page": ("qvm_gpu.report", ["html"]),
    "status": ("nvidia.status", []),
    "plan": ("nvidia.plan", []),
    "settings": ("qvm_gpu.map", [{FORGED: FORGED}]),
}

# What the daemon says instead: the state that hears it, and the fault.
LIES = {
    "error on reading": ("properties", ERROR | {"match": "admin.vm.property.GetAll"}),
    "error on writing": ("properties", ERROR | {"match": "admin.vm.property.Set"}),
    "error without a message": ("properties", reply("", "admin.vm.property.GetAll")
                                | {"data": "2\0" + as_bytes(HOSTILE) + "\0\0%s %d\0"}),
    "no frame": ("properties", reply("", "admin.vm.property.GetAll") | {"data": as_bytes(FORGED)}),
    "a property that cannot be read": ("properties", reply(FORGED + "\n", "admin.vm.property.GetAll")),
    "a NUL": ("tags", reply("a\0b\n", "admin.vm.tag.List")),
    "tags": ("tags", reply(HOSTILE + "\n", "admin.vm.tag.List")),
    "a feature": ("features", reply(LONG, "admin.vm.feature.Get")),
    "no UTF-8": ("features", reply("", "admin.vm.feature.Get") | {"data": "0\0\xff\x9b31m"}),
    "rules": ("rules", reply(f"action=drop comment={HOSTILE}\n", "admin.vm.firewall.Get")),
    "the names of qubes": ("moved card", reply(
        f"dom0 class=AdminVM state=Running\n{HOSTILE.replace(' ', '')} class={ESCAPES} state=Halted\n",
        "admin.vm.List+ dom0 name dom0")),
    "devices": ("moved card", reply(
        f"01_00.0:x{ESCAPES}::p030000 device_id='x{ESCAPES}::p030000' port_id='01_00.0{ESCAPES}' "
        f"vendor='{DIRECTIONS}' _sbdf='{ESCAPES}'\n", "admin.vm.device.pci.Available")),
    "assignments": ("devices", reply(
        f"dom0+01_00.1:* device_id='{HOSTILE[:24]}' port_id='01_00.1' devclass='pci' "
        f"backend_domain='{ESCAPES}' mode='{ESCAPES}' _{ESCAPES}='{ESCAPES}'\n",
        "admin.vm.device.pci.Assigned")),
    "a token": ("clone", reply(HOSTILE, "admin.vm.volume.CloneFrom")),
    "an error while undoing": ("bad clone", ERROR | {"match": "admin.vm.Remove"}),
}  # fmt: skip
MORE_STATES = {
    "rules": ("qvm.firewall", "work", {"set": ["action=accept"]}),
    "clone": ("qvm.clone", "copy", {"source": "personal"}),
}


def write_distribution(root: Path) -> None:
    """Files that root of a qube wrote, for the states of the driver."""
    for path, text in {
        "etc/dnf/dnf.conf": f"[main]\nexclude={HOSTILE}\n",
        "etc/yum.repos.d/x.repo": f"[x{ESCAPES}]\nname={HOSTILE}\nenabled=0\n",
        "boot/grub2/grub.cfg": f"linux /vmlinuz {ESCAPES}\n",
        "etc/default/grub": f'GRUB_CMDLINE_LINUX="quiet x={DIRECTIONS}"\n#{ESCAPES}\n',
        f"boot/loader/entries/{ESCAPES}.conf": f"title {HOSTILE}\noptions root=/dev/x {ESCAPES}\n",
        f"etc/modprobe.d/{DIRECTIONS}.conf": f"blacklist {HOSTILE}\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, "utf-8")
    (root / "etc/yum.repos.d" / "old\udcff.repo").write_bytes(b"[updates]\nname=\xff\x9b\n")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """One machine of hostile texts and dom0's minion, for all tests of this file."""
    from saltext.qvm_gpu.sandbox import Sandbox

    folder = tmp_path_factory.mktemp("hostile")
    with Sandbox(machine_file(), folder=folder / "sandbox", root=True) as sandbox:
        root = Path(sandbox.root)
        (root / "etc").mkdir(exist_ok=True)
        (root / "etc/os-release").write_text(
            f'ID=fedora\nVERSION_ID=41\nPRETTY_NAME="Fedora {HOSTILE}"\n', "utf-8"
        )
        (root / "lib/modules" / ("6.1" + ESCAPES)).mkdir(parents=True)
        (root / "proc").mkdir(exist_ok=True)
        (root / "proc/version").write_text(f"Linux version {ESCAPES} (x)\n", "utf-8")
        (root / "sys/module/nvidia").mkdir(parents=True)
        (root / "sys/module/nvidia/version").write_text(HOSTILE, "utf-8")
        write_distribution(root)
        sandbox.snapshot()
        yield sandbox, QuickMinion(folder / "minion", socket=sandbox.socket, root=sandbox.root)


@pytest.fixture
def heard(place, caplog):
    """(sandbox, minion) as they began; afterwards every line that was logged is looked at."""
    sandbox, minion = place
    sandbox.faults()
    sandbox.reset()
    caplog.set_level(1)
    logging.getLogger("saltext").setLevel(1)
    yield sandbox, minion
    sandbox.faults()
    for record in caplog.records:
        assert_safe(record.getMessage())


def assert_answers(minion, state, test):
    function, name, body = state
    answer = minion.one(function, name, body, test=test)
    assert "Traceback" not in answer["comment"], answer["comment"]
    assert answer["result"] is not False or answer["comment"]
    assert_safe([answer["comment"], answer["changes"]])
    assert_no_forged_line(answer["comment"])
    return answer


@pytest.mark.parametrize("test", [True, False], ids=["dry", "done"])
@pytest.mark.parametrize("state", STATES)
def test_states(heard, state, test):
    answer = assert_answers(heard[1], STATES[state], test)
    fails = state.startswith("bad") and not (test and state in ("bad clone", "bad command"))
    assert (answer["result"] is False) == fails, answer["comment"]


@pytest.mark.parametrize("lie", LIES)
def test_lies_of_the_daemon(heard, lie):
    sandbox, minion = heard
    state, fault = LIES[lie]
    sandbox.faults([fault])
    assert_answers(minion, {**STATES, **MORE_STATES}[state], False)
    assert [one for one in sandbox.log() if one.fault], "the lie was not told"


@pytest.mark.parametrize("question", QUESTIONS)
def test_answers(heard, question):
    function, words = QUESTIONS[question]
    answer = heard[1].ask(function, *words)
    assert_safe(answer)
    if question == "text":
        assert_no_forged_line(answer)


@pytest.mark.parametrize(
    "state", ["driver_installed", "driver_removed", "nouveau_disabled", "kernel_ready"]
)
def test_states_of_the_driver(heard, state):
    """A dry run says what would be done, out of files that say whatever they like."""
    answer = assert_answers(heard[1], (f"nvidia.{state}", "driver", None), True)
    if state == "nouveau_disabled":
        assert "evil" in str(answer["changes"]), answer


def test_what_is_harmless_is_shown(heard):
    """Nothing is a format: its directives are there, letter by letter."""
    state = assert_answers(heard[1], STATES["properties"], True)
    assert FORMATS in state["comment"]
    assert FORMATS in state["changes"]["qvm.prefs"]["default_user"]["old"]
    assert "?[31m" in state["changes"]["qvm.prefs"]["default_user"]["old"]


def test_an_error_is_cut(heard):
    sandbox, minion = heard
    sandbox.faults([ERROR | {"match": "admin.vm.property.Set", "text": LONG}])
    state = assert_answers(minion, STATES["properties"], False)
    assert state["result"] is False and len(state["comment"]) < 4000
    assert "..." in state["comment"]


def test_the_page_has_no_markup_but_ours(heard):
    page = heard[1].ask("qvm_gpu.report", "html", mask=False)
    markup = Markup()
    markup.feed(page)
    assert "&lt;script&gt;" in page
    assert not markup.tags & {"script", "img", "a", "iframe", "object", "link"}
    assert not markup.handlers


def test_what_programs_print(heard, programs):
    """A program's lines stay lines, and nothing else comes through."""
    sandbox, minion = heard
    install_programs(programs, Path(sandbox.root), "qvm-run")
    function, name, body = STATES["bad command"]
    state = minion.one(function, name, body)
    assert state["result"] is True, state["comment"]
    assert "work does it\n" in state["comment"] and FORMATS in state["comment"]
    assert_safe([state["comment"], state["changes"]])
    state = minion.one(function, name, {"cmd": "fail"})
    assert state["result"] is False
    assert_safe(state["comment"])


def test_a_record_of_a_creation(heard):
    minion = heard[1]
    folder = minion.cache / "qvm_gpu"
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "creating-new.json"
    for content in (FORGED, r'{"source": "work", "uuid": "\u001b[31m\u202e"}'):
        record.write_text(content, "utf-8")
        assert_answers(minion, ("qvm.clone", "new", {"source": "work"}), True)
    record.unlink()


SLS = """
{% for what in ('prefs', 'features', 'tags') %}
{{ what }}:
  qvm.{{ what }}:
    - name: work
    {{ {'prefs': '- default_user: me', 'features': '- set: [{menu-items: a}]',
        'tags': '- add: [mine]'}[what] }}
{% endfor %}
refused:
  qvm.prefs:
    - name: gamer
    - default_user: me
"""


def test_a_terminal_and_a_log_file(place, minion_for):
    """The same through salt-call: what it prints, and what it writes into its log."""
    sandbox, _ = place
    sandbox.reset()
    sandbox.faults([ERROR | {"match": "admin.vm.property.Set+default_user dom0 name gamer"}])
    minion = minion_for(sandbox)
    minion.config["log_level_logfile"] = "all"
    minion.write_config()
    minion.write("t.sls", SLS)
    shown = [
        minion.run("state.apply", "t", "--out", "highstate", "--no-color"),
        minion.run("qvm_gpu.report", "--out", "nested", "--no-color"),
        minion.run("qvm.features", "work", "--out", "nested", "--no-color"),
        minion.run("qvm_gpu.cards", "--out", "json"),
    ]
    sandbox.faults()
    assert "QubesValueError" in shown[0].stdout and "Succeeded: 3" in shown[0].stdout, shown[0]
    assert "<script>" in shown[0].stdout and "GPU REPORT" in shown[1].stdout
    for done in shown:
        assert not unsafe(done.stdout) and not unsafe(done.stderr), ascii(done.stdout)
    log = Path(minion.config["log_file"]).read_text("utf-8")
    assert "QubesValueError" in log
    assert not unsafe(log), sorted(map(ascii, unsafe(log)))
