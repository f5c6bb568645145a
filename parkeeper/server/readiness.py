"""Which client sockets can be read: asked of the kernel once for all of them, by one task.

A reader that waits for its own socket costs a registration with the kernel, a task switch and a pass of the scheduler
for every slice of requests, more than dealing with the requests in it. So a reader whose slices need no waiting sleeps
through them: it parks its socket here with a function, its `turn`, that reads a slice and deals with it. One task waits
for an epoll of all parked sockets (an epoll can itself be waited for), and calls the turns of those that are readable.
As soon as a turn says that something has to be waited for, or raises, the reader wakes up and goes on by itself.

The sockets are watched level-triggered and only while they are parked: nothing is lost between two turns, and a peer
that hung up while its reader is busy does not make this task spin.

After a round it may linger (`parkeeper.server.lingering`): as long as nothing is under way, no task was woken and
somebody is always there soon, rounds follow each other, with a pass of the scheduler now and then for whatever else
there is. Or it may doze (`parkeeper.server.dozing`): sleep for all that the scheduler would sleep for, until that has
something to do.

(getData against readers that each wait for themselves, A B A B on two cores, 1 / 8 / 64 connections / 8 x 32
pipelined: 1.0, 1.5, 1.5, 1.3 times as many a second.)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import perf_counter
from typing import Final

import trio

from parkeeper.server import dozing, lingering
from parkeeper.server.dozing import EPOLL, READABLE, NestedEpoll, nest
from parkeeper.server.lingering import Lingering

MOST: Final = 64
"""Turns in one round, before other tasks go on. Whoever is ready beyond that comes first in the next one."""

MANY: Final = 4
"""Sockets ready at once that make it worth while to look, at the end of a round, who came while it ran.

What those write goes into the same commit. (setData at 8 connections, and at 64 on SQLite: 8 % and 6 % more. Where fewer
are busy it is a call for nothing.)
"""

LATEST = 0.001
"""Seconds after a round's begin at which nobody else gets into it: other tasks' turns come between rounds."""

Turn = Callable[[], bool]
"""Reads and deals with one slice; False: the reader must wake up."""


def _nothing() -> None:
    """Nobody has to know."""


def _never() -> bool:
    """Nobody has to know, and nobody says that another round may follow."""
    return False


class _Parked:
    """A reader that sleeps, and what its turn raised."""

    __slots__ = ("fault", "reader", "turn")

    def __init__(self, turn: Turn, reader: trio.lowlevel.Task) -> None:
        self.turn = turn
        self.reader = reader
        self.fault: Exception | None = None


class Wakings(trio.abc.Instrument):
    """How often a task was put into the run queue, and whose turn it is in this pass of the scheduler.

    Attributes:
        count: so often.
        alone: what `count` is in a pass that has a single task, until that wakes another one; -1 where the queue was not
            empty when Trio looked for what can be read, or it is not known.
        due: when the next deadline comes, as Trio saw it then (`perf_counter`).

    (`current_statistics` tells whether a task is there, and asks for whatever else it tells: 2 us, and 30 more for every
    thousand sockets that tasks wait for. This takes 0.8 us whenever a task is woken, so it begins to count only when
    somebody wants to know.)
    """

    def __init__(self) -> None:
        self.count = 0
        self.alone = -1
        self.due = 0.0
        self._counts = False

    def begin(self) -> None:
        """Count from now on, if not yet."""
        if not self._counts:
            self._counts = True
            trio.lowlevel.add_instrument(self)

    def end(self) -> None:
        """Count no more."""
        if self._counts:
            self._counts = False
            trio.lowlevel.remove_instrument(self)

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002 - Trio's signature
        """One more."""
        self.count += 1

    def before_io_wait(self, timeout: float) -> None:
        """Trio waits: then its queue is empty, and whoever has a turn next is woken by what comes. Or it only looks."""
        self.alone = self.count + 1 if timeout > 0 else -1
        self.due = perf_counter() + timeout


class Readiness:
    """The parked sockets, and the task that waits for them.

    Args:
        begins, ends: called around every round of turns. `ends` returns whether nothing is under way for which other
            tasks should have their turn before the next round; what it raises ends whoever ran the round.
        dozes: whether it may sleep in the scheduler's stead: nobody else has anything in this thread.
    """

    available: Final = EPOLL is not None
    """Whether this system has epoll."""

    def __init__(
        self,
        begins: Callable[[], None] = _nothing,
        ends: Callable[[], bool] = _never,
        dozes: bool = False,
    ) -> None:
        self._begins = begins
        self._ends = ends
        self._epoll = EPOLL()
        self._parked: dict[int, _Parked] = {}
        self._lingering, self._glancing = Lingering(), Lingering(most=lingering.MOST_GLANCES)
        self._wakings = Wakings()
        self._dozes, self._dozing = dozes, Lingering(most=dozing.MOST_ROUNDS)
        self._nested: NestedEpoll | None = None

    def __len__(self) -> int:
        return len(self._parked)

    async def run(self) -> None:
        """Wait, and call turns, for ever. Whoever is parked when it is cancelled has to be cancelled as well."""
        wakings = self._wakings
        try:
            with self._epoll:
                if self._dozes:
                    await self._nest()
                while True:
                    await trio.lowlevel.wait_readable(self._epoll.fileno())
                    if self._round(self._epoll.poll(0, MOST)) and self._lingering.after_round():
                        wakings.begin()  # (what was not counted the first time lets `_linger` end at once)
                        alone = wakings.alone
                        while self._linger(alone):
                            alone = wakings.count + 1  # (nobody was woken, so only this task)
                            await trio.lowlevel.checkpoint()  # (costs half of what waiting does)
                    elif self._nested is not None and wakings.count == wakings.alone:
                        self._doze(self._nested)
        finally:
            wakings.end()
            if self._nested is not None:
                self._nested.close()

    async def park(self, descriptor: int, turn: Turn) -> None:
        """Have `turn` called whenever the socket is readable, until it returns False.

        A cancelled one calls no turn any more.

        Args:
            descriptor: of the socket; stays open until this returns.
            turn: never waits.

        Raises:
            Exception: what `turn` raised.
        """
        if self._epoll.closed:
            await trio.sleep_forever()
        self._epoll.register(descriptor, READABLE)
        entry = self._parked[descriptor] = _Parked(turn, trio.lowlevel.current_task())

        def abort(_: object) -> trio.lowlevel.Abort:
            self._leave(descriptor)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
        fault, entry.fault = entry.fault, None
        del entry
        if fault is not None:
            try:
                raise fault
            finally:
                del fault  # its traceback knows this frame: a circle, with all that the reader holds

    def look(self) -> None:
        """Give everybody who can be read now a turn, however many they are: their bytes came before this call."""
        if self._parked and not self._epoll.closed:
            self._round(self._epoll.poll(0, len(self._parked)))

    def glance(self) -> bool:
        """A round for those who can be read within a moment; whether there was anybody.

        For a task that would go to sleep now, after it answered somebody: see `parkeeper.server.lingering`.
        """
        if not self._parked or self._epoll.closed or not self._glancing.after_round():
            return False
        ready = self._soon(lingering.GLANCE)
        self._glancing.brought(bool(ready))
        if ready:
            self._round(ready)
        return bool(ready)

    def _linger(self, alone: int) -> bool:
        """Further rounds, while they come soon and wake nobody.

        Args:
            alone: how often a task has been woken, if no other one waits for its turn: those come first.

        Returns: whether it ended only because others may have waited long enough, none of them woken by these rounds.
        """
        until = perf_counter() + lingering.LONGEST
        while self._wakings.count == alone:
            ready = self._soon(lingering.WINDOW)
            self._lingering.brought(bool(ready))
            if not ready or not self._round(ready):
                return False
            if perf_counter() > until:
                break
        return self._wakings.count == alone

    async def _nest(self) -> None:
        """Find out what to wait for. (Before anybody comes: it takes 20 us for each descriptor there is.)"""
        with trio.move_on_after(0):
            await trio.lowlevel.wait_readable(self._epoll.fileno())
        self._nested = nest(self._epoll.fileno())
        if self._nested is not None:
            self._wakings.begin()

    def _doze(self, nested: NestedEpoll) -> None:
        """Sleep, and call turns, until there is something for the scheduler. Nobody else waits for a turn."""
        if not self._dozing.after_round():
            return
        wakings, rounds = self._wakings, 0
        alone, now = wakings.count, perf_counter()
        until = min(wakings.due, now + dozing.LONGEST)
        while now < until and wakings.count == alone:
            readable, scheduler_too = nested.wait(until - now)
            if scheduler_too or not readable:
                break
            rounds += 1
            if self._round(self._epoll.poll(0, MOST)) and self._lingering.after_round():
                break
            now = perf_counter()
        self._dozing.brought(rounds > 0)

    def _soon(self, window: float) -> list[tuple[int, int]]:
        """Who can be read, if that is somebody within some seconds. Others get the processor between two looks."""
        until = perf_counter() + window
        while True:
            ready: list[tuple[int, int]] = self._epoll.poll(0, MOST)
            if ready or perf_counter() > until:
                return ready
            os.sched_yield()

    def _round(self, ready: list[tuple[int, int]]) -> bool:
        """Whether another round may follow at once."""
        until = perf_counter() + LATEST
        self._begins()
        try:
            self._turns(ready)
            left = MOST - len(ready)
            while len(ready) >= MANY and left > 0 and perf_counter() < until:
                late: list[tuple[int, int]] = self._epoll.poll(0, left)
                if not late:
                    break
                self._turns(late)
                left -= len(late)
        finally:
            nothing_under_way = self._ends()
        return nothing_under_way

    def _turns(self, ready: list[tuple[int, int]]) -> None:
        parked = self._parked
        for descriptor, _ in ready:
            entry = parked.get(descriptor)
            if entry is None:
                continue  # an earlier turn of this round ended its connection
            try:
                if entry.turn():
                    continue
            except Exception as fault:  # noqa: BLE001 - raised again, where the socket was parked
                entry.fault = fault
            if parked.get(descriptor) is entry:  # else it was cancelled by its own turn
                self._leave(descriptor)
                trio.lowlevel.reschedule(entry.reader)

    def _leave(self, descriptor: int) -> None:
        del self._parked[descriptor]
        if not self._epoll.closed:
            self._epoll.unregister(descriptor)

    def __repr__(self) -> str:
        return f"<Readiness {len(self._parked)} parked>"
