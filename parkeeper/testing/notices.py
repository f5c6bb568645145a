"""One bell for everything that may change what a test looks at; whoever waits for a condition looks again when it rings.

Two kinds of waiting: a Trio task on an event, a thread on a condition variable. Neither polls.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import trio

T = TypeVar("T")


class Bell:
    """Rung by the Trio loop whenever something happened; heard by tasks and by threads."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self._condition = threading.Condition()
        self._listeners = 0
        self._rung = 0

    def ring(self) -> None:
        """Something happened. Called in the Trio thread only; never waits."""
        self._rung += 1
        self._event.set()
        self._event = trio.Event()
        if self._listeners:
            with self._condition:
                self._condition.notify_all()

    async def until(self, condition: Callable[[], T], seconds: float) -> T:
        """In a Trio task: wait until a condition holds; returns what it returned.

        Raises:
            trio.TooSlowError: it did not, in so many seconds of Trio's clock.
        """
        with trio.fail_after(seconds):
            while True:
                # A condition that lets others run must not miss what rings meanwhile.
                event = self._event
                if found := condition():
                    return found
                await event.wait()

    def until_in_thread(self, condition: Callable[[], T], seconds: float, clock: Callable[[], float]) -> T:
        """In any other thread: the same; the condition is asked in that thread.

        Raises:
            TimeoutError: it did not hold in so many seconds.
        """
        deadline = clock() + seconds
        self._listeners += 1
        try:
            while True:
                rung = self._rung
                if found := condition():
                    return found
                with self._condition:
                    left = deadline - clock()
                    if left <= 0:
                        raise TimeoutError(f"did not become true within {seconds} s: {condition!r}")
                    if rung == self._rung:
                        self._condition.wait(left)
        finally:
            self._listeners -= 1
