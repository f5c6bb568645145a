"""Sleeping in the scheduler's stead, so that who asks now and then does not cost a pass of it.

Idle sessions ping. Thousands of them keep no processor busy, and so each ping finds it asleep and its caches cold: what
takes 15 us when there is much to do takes 100, and a third of that is Trio's pass: out of its wait, through its queues,
into our task and back. Nothing in it is needed to answer a ping.

So after a round that woke nobody the task that waits for parked sockets may wait for whatever Trio would wait for, and go
on with its own rounds until there is something for Trio:

* a task to run: so it begins only in a pass that has no other one (`Wakings` tells), and ends with a round that wakes
  one;
* a socket, a thread or a signal: all of them show in Trio's epoll, and an epoll can be waited for like a socket;
* a deadline: Trio says when the next one comes, whenever it waits.

Then nobody waits longer than without it. (But for a deadline that a round itself brought forward. Embedded stores do so
for those who follow them, `history.LAZY`; that may be `LONGEST` late, which is no more than it is lazy.)

It is for a process that does nothing but serve (`Options.own_process`): a run in guest mode shares its thread with
another loop, of which nothing is known here.

Trio does not say which epoll is its own. The kernel does (proc_pid_fdinfo(5)): it is the one that holds ours, once a task
has waited for that. Where it can't be found nobody dozes.

(In turn with the version before, compiled, two cores: 5,000 idle sessions that ping 500 times a second took 3.0 % of a
processor instead of 4.6 %, and 2.1 % instead of 3.0 % in a faster quarter of an hour; getData over etcd at 1 and 8
connections 1.24 and 1.11 times as many, one connection with 33 us of CPU for each instead of 52.)
"""

from __future__ import annotations

import logging
import select
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

log = logging.getLogger(__name__)

EPOLL: Final[Any] = getattr(select, "epoll", None)
"""Makes one; None where the system has none. (Typed, it would be missed by type checkers there.)"""

READABLE: Final = 1
"""What an epoll is asked for: EPOLLIN."""

LONGEST = 0.02
"""Seconds that one doze takes at most: see what is said of deadlines above."""

MOST_ROUNDS: Final = 64
"""Rounds without a doze after one in vain (`parkeeper.server.lingering`)."""

PROCESS = Path("/proc/self")
"""What the kernel says of this process."""


def holder_of(descriptor: int) -> int | None:
    """The descriptor of the epoll that holds this one; None where there is none, or not just one, or nobody says it.

    Args:
        descriptor: of something that a task has waited for.
    """
    holders: list[int] = []
    with suppress(OSError):
        for each in (PROCESS / "fdinfo").iterdir():
            with suppress(OSError):  # closed meanwhile, as the listing's own descriptor is
                lines = [line.split() for line in each.read_text().splitlines() if line.startswith("tfd:")]
                if any(int(words[1]) == descriptor for words in lines):
                    holders.append(int(each.name))
    return holders[0] if len(holders) == 1 else None


class NestedEpoll:
    """An epoll over two: the parked sockets', and the scheduler's.

    Args:
        parked, scheduler: their descriptors.

    Raises:
        OSError: the system does not let it have one more.
    """

    __slots__ = ("_both", "_scheduler")

    def __init__(self, parked: int, scheduler: int) -> None:
        self._scheduler = scheduler
        self._both = EPOLL()
        try:
            self._both.register(parked, READABLE)
            self._both.register(scheduler, READABLE)
        except OSError:
            self._both.close()
            raise

    def wait(self, seconds: float) -> tuple[bool, bool]:
        """Whether a parked socket can be read, and whether the scheduler has something to do; neither: it is time."""
        ready = [descriptor for descriptor, _ in self._both.poll(seconds)]
        woken = self._scheduler in ready
        return len(ready) > woken, woken

    def close(self) -> None:
        """Let go of both."""
        self._both.close()


def nest(parked: int) -> NestedEpoll | None:
    """One over this epoll and the scheduler's; None where it is not to be had, which harms nobody.

    Args:
        parked: of an epoll that a task has waited for.
    """
    scheduler = holder_of(parked)
    if scheduler is None:
        return None
    try:
        return NestedEpoll(parked, scheduler)
    except OSError as fault:
        log.info("nobody sleeps in the scheduler's stead: %s", fault)
        return None
