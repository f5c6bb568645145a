"""The wall clock of an ensemble: it goes with Trio's clock, so that a mock clock moves it too, and can be put forward."""

from __future__ import annotations

from time import time

import trio


class Clock:
    """Starts at the real time of day; made inside Trio."""

    def __init__(self) -> None:
        self._started = trio.current_time()
        self._wall = time()
        self._ahead = 0.0

    def now_ms(self) -> int:
        """ms since 1970."""
        return int((self._wall + self.elapsed() + self._ahead) * 1000)

    def elapsed(self) -> float:
        """Seconds of Trio's clock since the start."""
        return trio.current_time() - self._started

    def advance(self, seconds: float) -> None:
        """Put it forward. It never goes back."""
        self._ahead += seconds
