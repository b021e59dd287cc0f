# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens, and what they are told.

A stream opens with ``connection-established``; then every event of its subject is a frame of its
own. Statistics are a stream of a second kind, with a round of figures every ``stats_interval``
seconds.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from .frame import event_frame
from .methods import Stream
from .methods.streams import CONNECTED, stats_frames
from .store import Store


class Listener(Protocol):
    """A connection that stays open."""

    def feed(self, data: bytes) -> bool:
        """Send more; says whether anybody is still there."""


class Hub:
    """All open streams."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.listeners: list[tuple[str | None, Listener]] = []
        store.fire = self.publish

    def open(self, stream: Stream, listener: Listener) -> bytes:
        """Enter a listener; returns what its stream begins with."""
        if stream.kind == "events":
            self.listeners.append((stream.subject, listener))
            return CONNECTED
        self._schedule_stats(stream, listener)
        return CONNECTED + stats_frames(self.store, stream.subject)

    def publish(self, subject: str, event: str, **details: object) -> None:
        """Tell everybody who listens to the subject."""
        if not self.listeners:
            return
        texts: dict[str, object] = {key: "" if value is None else value
                                    for key, value in details.items()}  # fmt: skip
        frame = event_frame(subject, event, texts)
        self.listeners = [
            (wanted, listener) for wanted, listener in self.listeners
            if wanted not in (None, subject) or listener.feed(frame)
        ]  # fmt: skip

    def _schedule_stats(self, stream: Stream, listener: Listener) -> None:
        def tick() -> None:
            if listener.feed(stats_frames(self.store, stream.subject)):
                self._schedule_stats(stream, listener)

        asyncio.get_running_loop().call_later(self.store.get("stats_interval"), tick)
