"""The recent past of an embedded store, and those who follow it.

Memory and sqlite have no server that keeps a change stream; their commits append to a `History`, one entry a
revision without gaps, so an entry is found by counting. It is bounded in entries and bytes; whoever asks for
what fell out gets `Compacted`.

An entry wakes the tasks that follow, with one event each. A follower whose own store made the entry is woken
up to `LAZY` seconds late: it has the answer of its commit already, and hears of it only to be sure. That spares
the busiest case, one keeper alone, a task switch per commit.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Generic, NoReturn, TypeVar

import trio

from parkeeper.errors import Compacted, Cut, WentBack

T = TypeVar("T")

TOLD = ("keeper/", "turn/", "meta", "data/")
"""Items whose change outside a commit is told (`facade.Changed`)."""

HISTORY_BYTES = 32 << 20

LAZY = 0.02  # (5 ms cost a lone write 6 %; beats and other keepers' commits don't wait for it)
_SLICE_SECONDS = 0.001
_SLICE_ENTRIES = 64  # under a mocked clock a slice would never end by time


class History(Generic[T]):
    """Entries in order of revision.

    Args:
        start: the revision before the first entry; nothing at or below it can be followed.
        entries: how many are kept.
        size: bytes of entries that are kept (of the newest one, however large).

    Attributes:
        first: `follow(after)` needs `after` to be at least this.
        last: revision of the newest entry.
    """

    def __init__(self, start: int, entries: int, size: int) -> None:
        self.first = start
        self.last = start
        self._entry_limit = entries
        self._size_limit = size
        self._size = 0
        self._entries: deque[tuple[float, int, T]] = deque()
        self._followers: list[_Follower] = []
        self._delay = 0.0
        self._broken: str | None = None

    @property
    def delay(self) -> float:
        """Seconds of Trio's clock between an entry and its delivery, for tests of slow streams."""
        return self._delay

    @delay.setter
    def delay(self, seconds: float) -> None:
        self._delay = seconds
        self._wake_all()

    def append(self, entry: T, size: int, by: object = None) -> None:
        """Add the entry of revision `last + 1`.

        Args:
            entry: what followers are told.
            size: its bytes, for the bound.
            by: the store that made it; followers of the same may be told later.
        """
        now = trio.current_time()
        self.last += 1
        self._entries.append((now, size, entry))
        self._size += size
        while len(self._entries) > self._entry_limit or (
            self._size > self._size_limit and len(self._entries) > 1
        ):
            self._forget_first()
        for follower in self._followers:
            if follower.by is not by or by is None:
                follower.wake.set()
            elif not follower.late:
                follower.late = True
                follower.scope.deadline = now + LAZY

    def compact(self, revision: int) -> None:
        """Forget all entries up to a revision."""
        while self._entries and self.first < revision:
            self._forget_first()

    def break_off(self, reason: str) -> None:
        """End every `follow`, now and later, with `Cut`."""
        self._broken = reason
        self._wake_all()

    async def follow(self, after: int, deliver: Callable[[T], None], by: object = None) -> NoReturn:
        """Deliver every entry after a revision, in order.

        Raises:
            Compacted: the next entry is no longer kept.
            WentBack: `after` is a revision that this history has never reached.
            Cut: the history was broken off.
        """
        follower = _Follower(by)
        self._followers.append(follower)
        try:
            await trio.lowlevel.checkpoint()
            if after > self.last:
                raise WentBack(f"asked for what follows revision {after}, but the newest is {self.last}")
            position = after
            while True:
                position, due = self._deliver_slice(position, deliver)
                if due <= 0:
                    await trio.lowlevel.checkpoint()
                    continue
                follower.wake = trio.Event()
                follower.late = due < math.inf
                with trio.CancelScope(deadline=due) as follower.scope:
                    await follower.wake.wait()
        finally:
            self._followers.remove(follower)

    def _deliver_slice(self, position: int, deliver: Callable[[T], None]) -> tuple[int, float]:
        """Deliver what is due, for a slice. Returns the position reached, and when to go on (0: at once)."""
        slice_end = position + _SLICE_ENTRIES
        now = trio.current_time()
        time_out = now + _SLICE_SECONDS
        while True:
            if self._broken is not None:
                raise Cut(self._broken)
            if position < self.first:
                raise Compacted(f"revision {position + 1} is wanted, the oldest kept is {self.first + 1}")
            if position == self.last:
                return position, math.inf
            if position == slice_end or trio.current_time() > time_out:
                return position, 0.0
            when, _, entry = self._entries[position - self.first]
            if self._delay and when + self._delay > now:
                return position, when + self._delay
            deliver(entry)
            position += 1

    def _forget_first(self) -> None:
        _, size, _ = self._entries.popleft()
        self._size -= size
        self.first += 1

    def _wake_all(self) -> None:
        for follower in self._followers:
            follower.wake.set()


class _Follower:
    """A task in `follow`: how to wake it, and whose own entries may wait; `late`: whether it is to be woken anyway."""

    __slots__ = ("by", "late", "scope", "wake")

    def __init__(self, by: object) -> None:
        self.by = by
        self.late = False
        self.wake = trio.Event()
        self.scope = trio.CancelScope()
