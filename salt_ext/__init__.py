# SPDX-License-Identifier: GPL-3.0-or-later
"""Salt for GPU qubes: execution modules, states and grains over a C core."""

from pathlib import Path

PACKAGE_ROOT = Path(__file__).resolve().parent
__version__ = "0.1.0"
