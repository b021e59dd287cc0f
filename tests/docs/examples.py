# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation says, taken apart: marked examples of the pages and those of docstrings.

A block of a page is marked by a comment before it, which no reader sees: ``<!-- test: sls -->``.
"""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
OURS = {"dom0_qvm": "qvm", "qvm_gpu": "qvm_gpu", "nvidia": "nvidia"}

FENCE = re.compile(
    r"^(?:<!-- (?P<mark>[^>]+) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S
)
TABLE = re.compile(r"^<!-- test: (?P<kind>\w+) -->\n(?P<rows>(?:\|.*\n)+)", re.M)


class Example(NamedTuple):
    """A marked block."""

    where: str
    kind: str
    word: str
    text: str


class Function(NamedTuple):
    """A function that Salt publishes."""

    module: str
    name: str
    doc: str

    @property
    def full(self):
        return f"{self.module}.{self.name}"

    def blocks(self, language):
        """The docstring's code blocks in a language."""
        found = re.findall(
            rf"^\.\. code-block:: {language}\n\n((?: +.*\n|\n)+)", self.doc + "\n", re.M
        )
        return [textwrap.dedent(block).strip("\n") + "\n" for block in found]


def pages():
    """All pages, with their texts."""
    return {
        str(path.relative_to(DOCS)): path.read_text("utf-8") for path in sorted(DOCS.rglob("*.md"))
    }


def fences():
    """All code blocks of the pages: page, line, mark, language, text."""
    for page, text in pages().items():
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield page, line, match["mark"] or "", match["language"], match["text"]


def examples(*kinds):
    """The marked blocks of these kinds."""
    found = []
    for page, line, mark, _, text in fences():
        kind, _, word = mark.removeprefix("test: ").partition(" ")
        if mark.startswith("test: ") and kind in kinds:
            found.append(Example(f"{page}:{line}", kind, word, text))
    return found


def table(kind):
    """The rows of the table with this mark, as lists of cells."""
    rows = [
        m["rows"] for text in pages().values() for m in TABLE.finditer(text) if m["kind"] == kind
    ]
    assert len(rows) == 1, f"one table is marked {kind}"
    lines = [line.strip().strip("|").split("|") for line in rows[0].splitlines()]
    return [[cell.strip() for cell in line] for line in lines[2:]]


def commands(text):
    """The commands of a console block."""
    return [line[2:] for line in text.splitlines() if line.startswith("$ ")]


def functions(kind):
    """The published functions of ``modules`` or ``states``."""
    found = []
    for path in sorted((REPOSITORY / "salt_ext" / kind).glob("[!_]*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        alias = {}
        for node in tree.body:
            if (
                isinstance(node, ast.Assign)
                and getattr(node.targets[0], "id", "") == "__func_alias__"
            ):
                alias = ast.literal_eval(node.value)
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                name = alias.get(node.name, node.name)
                found.append(Function(OURS[path.stem], name, ast.get_docstring(node) or ""))
    return found
