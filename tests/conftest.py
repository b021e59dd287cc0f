# SPDX-License-Identifier: GPL-3.0-or-later
"""The number of cases that were tried, at the end."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from soak import summary


def pytest_terminal_summary(terminalreporter):
    for line in summary():
        terminalreporter.write_line(line)
