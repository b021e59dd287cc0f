# SPDX-License-Identifier: GPL-3.0-or-later
"""An embedded qubesd: the Admin API over a store of qubes, for machines without Qubes."""

from __future__ import annotations

from .harness import Logged, Sandbox, is_writing

__all__ = ["Logged", "Sandbox", "is_writing"]
