"""How long a commit may take, and who ends one that takes longer.

The plain way is a cancel scope around each commit. It costs 40 us of the 450 that a small commit takes us in all (8 us
when caches are warm, which they are not between two commits). So while `watch` runs, it ends them: it looks when the
commit under way is due, and closes its connection. What comes of that is what comes of any connection that breaks. One
that has no connection yet (a member that can't be reached, a handshake, a token to be renewed: each has a limit of its
own) is looked at again a second later.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NoReturn

import trio

FIRST_TRY = 1.0
"""Seconds for a commit; twice as many after each that timed out. A write caught in a leader change hangs 7 s."""


class Patience:
    """Of one store, with one commit at a time.

    Args:
        cut: closes the connection that the commit waits on; whether there was one.
        longest: seconds at most.

    Attributes:
        seconds: how long the next commit may take.
        ended: whether `watch` ended the last one.
    """

    def __init__(self, cut: Callable[[], bool], longest: float) -> None:
        self._cut = cut
        self._longest = longest
        self._due = math.inf
        self._watched = False
        self.seconds = FIRST_TRY
        self.ended = False

    def begin(self) -> float:
        """A commit begins. Returns the seconds within which it has to end by itself."""
        self.ended = False
        if not self._watched:
            return self.seconds
        self._due = trio.current_time() + self.seconds
        return math.inf

    def end(self) -> None:
        """It ended, however."""
        self._due = math.inf

    def answered(self) -> None:
        """Somebody answers: the next one is given as long as the first."""
        self.seconds = FIRST_TRY

    def exhausted(self) -> None:
        """It timed out: the next one may take longer."""
        self.seconds = min(2 * self.seconds, self._longest)

    async def watch(self) -> NoReturn:
        """End, for ever, what takes too long."""
        self._watched = True
        try:
            while True:
                # A commit that begins meanwhile is not due before this is over.
                await trio.sleep_until(min(self._due, trio.current_time() + FIRST_TRY))
                if self._due <= trio.current_time():
                    self._due = trio.current_time() + FIRST_TRY
                    if self._cut():
                        self.ended = True
        finally:
            self._watched = False
