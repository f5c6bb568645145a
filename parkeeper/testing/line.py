"""What all connections of one keeper have in common, as far as a test can change it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from parkeeper.testing.notices import Bell
from parkeeper.testing.records import Recorder
from parkeeper.testing.rules import Rules


class Tapped(Protocol):
    """A connection, as the line knows it."""

    session: int

    async def cut(self) -> None:
        """Break it."""
        ...


class Line:
    """The way between clients and one keeper.

    Args:
        keeper: its number.
        rules, recorder, bell, moves: of the whole ensemble.
        now: seconds since the ensemble started.

    Attributes:
        taps: the connections there are.
        delay: seconds every piece of replies comes late.
        moves: session -> number of the only keeper that lets it in.
    """

    def __init__(
        self,
        keeper: int,
        rules: Rules,
        recorder: Recorder,
        bell: Bell,
        moves: dict[int, int],
        now: Callable[[], float],
    ) -> None:
        self.keeper = keeper
        self.rules = rules
        self.recorder = recorder
        self.bell = bell
        self.now = now
        self.moves = moves
        self.taps: set[Tapped] = set()
        self.delay = 0.0
        self._opened: trio.Event | None = None

    @property
    def shut(self) -> bool:
        """Whether nothing passes."""
        return self._opened is not None

    def close(self) -> None:
        """Nothing passes from now on, either way; connections stay."""
        if self._opened is None:
            self._opened = trio.Event()

    def open(self) -> None:
        """What waits passes, in order."""
        if self._opened is not None:
            self._opened.set()
            self._opened = None

    async def passable(self) -> None:
        """Wait until bytes may pass."""
        while self._opened is not None:
            await self._opened.wait()

    def admits(self, session: int) -> bool:
        """Whether a client may come back here with its session: not while it is to move elsewhere."""
        return not session or self.moves.get(session, self.keeper) == self.keeper
