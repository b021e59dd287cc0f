# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation's site: `make docs`. Reference pages come from the docstrings."""

import importlib
import re
import sys
from pathlib import Path

from saltext.qvm_gpu import __version__
from sphinx import addnodes
from sphinx.errors import SphinxError

project = "Salt for GPU qubes"
author = "the authors of saltext.qvm-gpu"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["reference/_*"]

html_theme = "furo"
html_title = f"Salt for GPU qubes {release}"
html_show_copyright = False
html_copy_source = False

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True

PACKAGE = "saltext.qvm_gpu."


def salt_name(full):
    """What Salt calls a function (``saltext.qvm_gpu.modules.dom0_qvm.prefs``: ``qvm.prefs``)."""
    module, _, function = full.rpartition(".")
    module = sys.modules.get(module) or importlib.import_module(module)
    alias = getattr(module, "__func_alias__", {}).get(function, function)
    return getattr(module, "__virtualname__", None), alias


def name_as_salt_does(app, tree):
    """Headings and the contents list show the names that formulas use."""
    for signature in tree.findall(addnodes.desc_signature):
        full = signature.get("fullname") and f"{signature.get('module')}.{signature['fullname']}"
        if not full or not full.startswith(PACKAGE):
            continue
        virtual, function = salt_name(full)
        for part in signature.findall(addnodes.desc_addname):
            part.replace_self(addnodes.desc_addname("", f"{virtual}." if virtual else ""))
        for part in signature.findall(addnodes.desc_name):
            part.replace_self(addnodes.desc_name("", function))
        signature["_toc_name"] = f"{virtual}.{function}" if virtual else function


def without_heading(app, what, name, obj, options, lines):
    """A module's docstring begins with a title of its own; the page has one already."""
    if what == "module" and len(lines) > 2 and set(lines[1]) == {"="}:
        del lines[:2]


def needs_no_network(app, problem):
    """A page loads nothing from elsewhere: it is read in qubes that have no network."""
    loads = re.compile(
        r"<(?:script|img|link|iframe|source)\b[^>]*\b(?:src|href)=\"(?:https?:)?//[^>]*>"
    )
    for page in [] if problem else Path(app.outdir).rglob("*.html"):
        found = loads.search(page.read_text("utf-8"))
        if found:
            raise SphinxError(f"{page.name} loads from elsewhere: {found[0]}")


def setup(app):
    app.connect("doctree-read", name_as_salt_does, priority=100)  # before the contents are read
    app.connect("autodoc-process-docstring", without_heading)
    app.connect("build-finished", needs_no_network)
