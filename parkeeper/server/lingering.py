"""Whether to look for a moment whether those who were just answered ask again, before going to sleep.

A client that waits for each answer has its next request here 30 to 100 us after it got one. To sleep through that is
dear: two passes of the scheduler, and a processor that went idle wakes up late and with cold caches. To look again and
again costs less, if somebody comes. So it is tried as long as it brings somebody: a moment in vain is followed by a
number of rounds without one, twice as many after each further one, half as many after one that brought somebody.
(What a hypervisor does when a virtual processor halts: KVM, `halt_poll_ns`.) An idle server loses `WINDOW` once in
`MOST_ROUNDS` rounds.

What comes on sockets that are not parked, answers of threads and deadlines wait meanwhile. So it is done only where the
committer says that nothing is under way, over stores that need no network, and never for long.

(In turn with the version before, two cores: getData at 1 / 8 connections 1.6 / 1.2 times as many; setData at one
connection on memory 1.4, with less CPU for each. With LONGEST 1 ms no more than that. On one core, shared with the
clients, with 1 ms: getData 1.2 / 0.8 to 0.9. Beside 10 to 20 clients that ask 500 to 4,000 times a second in all the CPU
is the same. A task that waits for a socket of its own, beside one busy client, has its turn after 0.07 ms without, after
0.3 ms with LONGEST 0.2 ms, after 1.0 ms with 1 ms, in the median. All this when LONGEST ended it. Now a checkpoint
does for the others, and it goes on: sets on memory at 1 / 8 connections 1.2 / 1.1 times as many.)

Over a network there is one moment in which nothing is under way, too: a commit came back and was answered. Whoever made
it looks then (`Readiness.glance`), and its next commit goes out at once. (Sets on etcd at 1 / 8 / 64 connections: 1.10,
1.07 and 1.15 times as many.)
"""

from __future__ import annotations

from typing import Final

WINDOW = 0.0001
"""Seconds that one moment takes at most."""

GLANCE = 0.0002
"""Seconds for a glance: there are fewer of them, each worth more."""

LONGEST = 0.00025
"""Seconds that rounds may follow each other so, before other tasks' sockets and deadlines are looked at."""

FEWEST_ROUNDS: Final = 8
MOST_ROUNDS: Final = 1024
"""Rounds without a moment after one in vain."""

MOST_GLANCES: Final = 32
"""The same between glances, since a round is a commit then."""


class Lingering:
    """The decision; `Readiness` does it.

    Args:
        most: rounds without a moment at most.
    """

    __slots__ = ("_most", "_pause", "_rounds")

    def __init__(self, most: int = MOST_ROUNDS) -> None:
        self._most = most
        self._rounds = 0  # still to come without
        self._pause = FEWEST_ROUNDS

    def after_round(self) -> bool:
        """A round is over: whether to linger now."""
        if self._rounds == 0:
            return True
        self._rounds -= 1
        return False

    def brought(self, somebody: bool) -> None:
        """Say how it went."""
        if somebody:
            self._pause = max(self._pause // 2, FEWEST_ROUNDS)
        else:
            self._rounds = self._pause
            self._pause = min(self._pause * 2, self._most)
