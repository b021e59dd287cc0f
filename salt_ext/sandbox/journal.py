# SPDX-License-Identifier: GPL-3.0-or-later
"""The state file: a snapshot, and beside it a journal of what changed since.

Each writing call appends the records that it touched as one line, so its cost does not grow with
the number of qubes, and a daemon that is killed between two calls has lost nothing. A line that
was cut off does not count. Lines hold whole records: reading a line twice does no harm, so the
journal may be emptied at any time after its snapshot was written.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

Records = dict[str, dict[str, Any] | None]

COMPACT_AT = 16 * 1024 * 1024
"""The journal is folded into the snapshot when it has grown to this many bytes."""


class StateError(ValueError):
    """The state file is no state file."""


class Journal:
    """The state file of one daemon."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = path.with_name(path.name + ".journal")
        self._descriptor = os.open(
            self.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        self._size = os.fstat(self._descriptor).st_size

    def load(self) -> Records | None:
        """What was saved; none where nothing was."""
        records: Records = {}
        found = False
        try:
            if self.path.exists():
                records = json.loads(self.path.read_text("utf-8"))
                found = True
            for line in self.journal.read_bytes().split(b"\n")[:-1]:
                records.update(json.loads(line))
                found = True
        except (ValueError, TypeError) as error:
            raise StateError(f"{self.path}: {error}") from None
        return records if found else None

    def append(self, records: Records) -> bool:
        """Put changed records on file; says whether the journal wants to be folded."""
        line = json.dumps(records, separators=(",", ":")).encode() + b"\n"
        os.write(self._descriptor, line)
        self._size += len(line)
        return self._size > COMPACT_AT

    def save(self, records: Records) -> None:
        """Write everything and empty the journal."""
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(records, file, separators=(",", ":"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)
        os.ftruncate(self._descriptor, 0)
        self._size = 0

    def close(self) -> None:
        """Leave one file behind: the journal is empty after :meth:`save`."""
        os.close(self._descriptor)
        self.journal.unlink(missing_ok=True)
