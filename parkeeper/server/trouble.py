"""Log lines that would come too often.

What is tried ten times a second while the store is in trouble is told once, and once more when it is over (`Trouble`).
What peers can cause as often as they like must not fill a disk (`Seldom`).
"""

from __future__ import annotations

import logging
from typing import Final

import trio

EVERY: Final = 10.0
"""Seconds between lines about what peers cause."""


class Trouble:
    """One thing that may fail again and again.

    Args:
        log: of the module it belongs to.
        begins: the line for its first failure; further ones are logged for debugging only.
        ends: the line for its first success after that.
    """

    def __init__(self, log: logging.Logger, begins: str, ends: str) -> None:
        self._log: Final = log
        self._begins: Final = begins
        self._ends: Final = ends
        self._failures = 0

    def failed(self, error: Exception) -> None:
        """It failed; it will be tried again."""
        level = logging.DEBUG if self._failures else logging.INFO
        self._failures += 1
        self._log.log(level, self._begins, extra={"reason": str(error)})

    def over(self) -> None:
        """It succeeded."""
        if self._failures:
            self._log.info(self._ends, extra={"failures": self._failures})
            self._failures = 0


class Seldom:
    """Counts what happens, and tells when a line about it may be written."""

    def __init__(self) -> None:
        self._untold = 0
        self._next = 0.0

    def count(self) -> int:
        """It happened again: how often since the last line, if it is time for one; else 0."""
        self._untold += 1
        now = trio.current_time()
        if now < self._next:
            return 0
        untold, self._untold, self._next = self._untold, 0, now + EVERY
        return untold
