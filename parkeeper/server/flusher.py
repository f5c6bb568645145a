"""One task that sends what applying a commit left in many outboxes.

Applying never sends: it encodes and marks connections dirty (so what was applied can still be kept back, should it
turn out not to be durable). This task (or the committer, by `let_go`) answers the reads that waited for the commit and
sends, in slices of a millisecond, so that one write that 10,000 connections watch does not stop the keeper; each
connection stands behind its own barrier, so that none can end the task that serves them all.

(5,000 events of one write took 75 ms this way; waking a writer task each, 308 ms in one pass.)
"""

from __future__ import annotations

import logging
from collections import deque
from time import perf_counter
from typing import Final, Protocol

import trio

log = logging.getLogger(__name__)

SLICE: Final = 0.001
"""Seconds of work before the flusher yields; measured on the real clock, since it is CPU that is shared."""


class Flushable(Protocol):
    """What the flusher knows of a connection. `dirty` belongs to the flusher: in its queue or not."""

    dirty: bool

    def flush(self) -> bool:
        """Answer and send what can go now, a bounded amount; True if there is more to do at once."""
        ...

    def crashed(self, fault: Exception) -> None:
        """`flush` raised: end this connection only."""
        ...

    def forsworn(self) -> None:
        """What it has to say may not be true: end at once, with nothing of that sent."""
        ...


class Flusher:
    """Serves dirty connections in the order they became so."""

    def __init__(self) -> None:
        self._dirty: deque[Flushable] = deque()
        self._wake = trio.Event()
        self._held = False
        self._forsworn = False

    def __len__(self) -> int:
        return len(self._dirty)

    def mark(self, connection: Flushable) -> None:
        """Have a connection flushed soon. Never waits; marking twice is marking once."""
        if self._forsworn:
            connection.forsworn()
        elif not connection.dirty:
            connection.dirty = True
            if not self._dirty and not self._held:
                self._wake.set()
            self._dirty.append(connection)

    def hold(self) -> None:
        """Whoever is marked until `let_go`, without a checkpoint in between, waits for that."""
        self._held = True

    def let_go(self, at_once: bool) -> None:
        """Serve who was marked since `hold`.

        Args:
            at_once: a slice of it now, by the caller, who has nothing better to do: that saves the flusher a pass of
                the scheduler, a tenth of what a write costs on memory with one connection.
        """
        self._held = False
        if at_once:
            self._slice()
        if self._dirty:
            self._wake.set()

    def forswear(self) -> None:
        """Flush nobody any more, neither who was marked nor who will be: what they would tell may not be true."""
        self._forsworn = True
        while self._dirty:
            connection = self._dirty.popleft()
            connection.dirty = False
            connection.forsworn()

    async def run(self) -> None:
        """Flush for ever."""
        while True:
            await self._wake.wait()  # yields once in any case, so between slices too
            self._slice()
            if not self._dirty:
                self._wake = trio.Event()

    def _slice(self) -> None:
        """Flush connections until none is dirty or the slice is over."""
        dirty = self._dirty
        end = perf_counter() + SLICE
        while dirty:
            connection = dirty.popleft()
            connection.dirty = False
            try:
                more = connection.flush()
            except Exception as fault:  # noqa: BLE001 - the barrier: it ends one connection only
                connection.crashed(fault)
            else:
                if more:
                    self.mark(connection)
            if perf_counter() > end:
                return
