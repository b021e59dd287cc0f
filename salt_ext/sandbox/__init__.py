# SPDX-License-Identifier: GPL-3.0-or-later
"""An embedded qubesd: the Admin API over a store of qubes, for machines without Qubes.

``python -m`` this package (or ``qubesd-sandbox``) runs the daemon; :class:`Sandbox` runs one for as
long as a test lasts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .harness import Logged, Sandbox, SandboxError, is_writing

__all__ = ["Logged", "Sandbox", "SandboxError", "is_writing"]


def __getattr__(name: str) -> Any:
    """The harness is loaded by those who use it: the daemon starts without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import harness  # noqa: PLC0415

    return getattr(harness, name)
