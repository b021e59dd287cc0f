# SPDX-License-Identifier: GPL-3.0-or-later
"""Sandboxes for its own tests."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def provide_package() -> None:
    """The sandbox is pure Python: its tests need no built and installed project."""
    try:
        if importlib.util.find_spec("saltext.qvm_gpu") is not None:
            return
    except ModuleNotFoundError:
        pass
    for name, path in (("saltext", ROOT), ("saltext.qvm_gpu", ROOT / "salt_ext")):
        if name not in sys.modules:
            module = types.ModuleType(name)
            module.__path__ = [str(path)]
            sys.modules[name] = module


provide_package()


@pytest.fixture
def start_sandbox(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts sandboxes that end with the test; arguments are those of ``Sandbox``."""
    from saltext.qvm_gpu.sandbox import Sandbox

    running = []

    def start(machine: Any = None, **more: Any) -> Any:
        folder = tmp_path / f"sandbox-{len(running)}"
        sandbox = Sandbox(machine, folder=more.pop("folder", folder), **more)
        running.append(sandbox)
        return sandbox.start()

    yield start
    for sandbox in running:
        sandbox.stop()


@pytest.fixture
def sandbox(start_sandbox: Callable[..., Any]) -> Any:
    """A sandbox with the default machine."""
    return start_sandbox()
