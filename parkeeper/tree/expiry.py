"""Deadlines in buckets of one tick: touching is a few dict operations, whatever the number of sessions.

A deadline is rounded up to the next whole tick, so something expires between its deadline and one tick later, never
earlier. Source: ExpiryQueue.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final


class ExpiryQueue:
    """What expires when. There is no clock in here: times are whatever the caller measures, in seconds.

    Args:
        tick: seconds of one bucket, above 0.
    """

    def __init__(self, tick: float) -> None:
        self._tick: Final = tick
        self._shift = 0.0
        self._buckets: dict[int, dict[int, None]] = {}
        self._where: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, id: int) -> bool:
        return id in self._where

    def touch(self, id: int, deadline: float) -> None:
        """Add an id, or move its deadline."""
        bucket = int((deadline - self._shift) // self._tick) + 1
        before = self._where.get(id)
        if before == bucket:
            return
        if before is not None:
            self._leave(id, before)
        self._where[id] = bucket
        self._buckets.setdefault(bucket, {})[id] = None

    def remove(self, id: int) -> None:
        """Forget an id; one that is not there is no error."""
        bucket = self._where.pop(id, None)
        if bucket is not None:
            self._leave(id, bucket)

    def _leave(self, id: int, bucket: int) -> None:
        ids = self._buckets[bucket]
        del ids[id]
        if not ids:
            del self._buckets[bucket]

    @property
    def next(self) -> float | None:
        """When the next bucket is due, None if nothing is waited for."""
        return self._due(min(self._buckets)) if self._buckets else None

    def _due(self, bucket: int) -> float:
        return bucket * self._tick + self._shift

    def deadlines(self) -> Iterator[tuple[int, float]]:
        """Every id with the time its bucket is due; for operators."""
        return ((id, self._due(bucket)) for id, bucket in self._where.items())

    def expired(self, now: float) -> list[int]:
        """Take out everything that is due, earliest first."""
        due = sorted(bucket for bucket in self._buckets if self._due(bucket) <= now)
        ids = [id for bucket in due for id in self._buckets.pop(bucket)]
        for id in ids:
            del self._where[id]
        return ids

    def shift(self, by: float) -> None:
        """Move every deadline by that many seconds: time in which nobody could have touched anything."""
        self._shift += by

    def stood_still(self, late: float) -> None:
        """A wake-up came so many seconds late: time in which nobody could have touched anything.

        And a tick more: who was not connected has still to be accepted, to ask for the session, and to get it.
        """
        self.shift(late + self._tick)
