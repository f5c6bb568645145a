"""The flusher: every dirty connection, in order, and none that can end the task that serves them all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

import trio
import trio.testing

from parkeeper.server.flusher import Flusher


class Peer:
    """A connection that notes when it is flushed; `rounds` says how often it has more to do."""

    def __init__(self, name: str, log: list[str], rounds: int = 0, fault: Exception | None = None) -> None:
        self.dirty = False
        self.name = name
        self.log = log
        self.rounds = rounds
        self.fault = fault

    def flush(self) -> bool:
        self.log.append(self.name)
        if self.fault is not None:
            raise self.fault
        self.rounds -= 1
        return self.rounds >= 0

    def crashed(self, fault: Exception) -> None:
        self.log.append(f"{self.name}: {fault}")

    def forsworn(self) -> None:
        self.log.append(f"{self.name} forsworn")


async def test_connections_are_flushed_once_each_in_order():
    """Marking twice before the flusher comes is marking once; a new mark is a new flush."""
    log: list[str] = []
    flusher = Flusher()
    one, two = Peer("one", log), Peer("two", log)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flusher.run)
        flusher.mark(one)
        flusher.mark(two)
        flusher.mark(one)
        await trio.testing.wait_all_tasks_blocked()
        assert log == ["one", "two"]
        flusher.mark(one)
        await trio.testing.wait_all_tasks_blocked()
        assert log == ["one", "two", "one"]
        nursery.cancel_scope.cancel()


async def test_a_connection_with_more_to_do_goes_behind_the_others():
    """One that answers thousands of parked reads does not keep its neighbours waiting."""
    log: list[str] = []
    flusher = Flusher()
    flusher.mark(Peer("much", log, rounds=2))
    flusher.mark(Peer("little", log))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flusher.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert log == ["much", "little", "much", "much"]


async def test_a_connection_that_raises_ends_alone():
    """An error in one connection is told to it, and the next one is served."""
    log: list[str] = []
    flusher = Flusher()
    flusher.mark(Peer("bad", log, fault=RuntimeError("no")))
    flusher.mark(Peer("good", log))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flusher.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert log == ["bad", "bad: no", "good"]


async def test_others_run_between_slices():
    """A long row of dirty connections is worked off in slices, with other tasks in between."""
    flusher = Flusher()
    log: list[str] = []

    class Slow(Peer):
        def flush(self) -> bool:
            end = perf_counter() + 0.0015
            while perf_counter() < end:
                pass
            return super().flush()

    for number in range(5):
        flusher.mark(Slow(str(number), log))
    seen: list[int] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flusher.run)
        while len(flusher):
            await trio.lowlevel.checkpoint()
            seen.append(len(flusher))
        nursery.cancel_scope.cancel()
    assert len(set(seen)) > 2
    assert log == ["0", "1", "2", "3", "4"]


@asynccontextmanager
async def running() -> AsyncIterator[Flusher]:
    """A flusher at work, held by whom it is given to."""
    flusher = Flusher()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flusher.run)
        await trio.testing.wait_all_tasks_blocked()
        flusher.hold()
        yield flusher
        nursery.cancel_scope.cancel()


async def test_who_is_marked_while_held_is_flushed_by_whom_lets_go_at_once():
    """The committer sends what its commit answered by itself; the flusher is not even woken for it."""
    log: list[str] = []
    one = Peer("one", log)
    async with running() as flusher:
        flusher.mark(one)
        flusher.let_go(at_once=True)
        assert log == ["one"]
        assert len(flusher) == 0
        flusher.mark(one)  # and it works as before
        await trio.testing.wait_all_tasks_blocked()
        assert log == ["one", "one"]


async def test_who_is_marked_while_held_is_left_to_the_flusher_otherwise():
    """The next commit goes out first."""
    log: list[str] = []
    async with running() as flusher:
        flusher.mark(Peer("one", log))
        flusher.let_go(at_once=False)
        assert log == []
        await trio.testing.wait_all_tasks_blocked()
        assert log == ["one"]


async def test_a_fault_in_who_is_flushed_at_once_is_its_own():
    """The committer goes on, and so do the others; who has more to do comes after them."""
    log: list[str] = []
    async with running() as flusher:
        flusher.mark(Peer("one", log, rounds=1))
        flusher.mark(Peer("bad", log, fault=ValueError("no")))
        flusher.let_go(at_once=True)
        await trio.testing.wait_all_tasks_blocked()
        assert log == ["one", "bad", "bad: no", "one"]


async def test_what_is_forsworn_is_never_flushed():
    """Whoever was marked is told so, once, and whoever is marked later at once."""
    log: list[str] = []
    flusher = Flusher()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flusher.run)
        flusher.mark(Peer("before", log))
        flusher.hold()
        flusher.mark(Peer("since", log))
        flusher.forswear()
        await trio.testing.wait_all_tasks_blocked()
        assert log == ["before forsworn", "since forsworn"]
        flusher.mark(Peer("after", log))
        assert log[2:] == ["after forsworn"]
        await trio.testing.wait_all_tasks_blocked()
        assert len(log) == 3
        nursery.cancel_scope.cancel()
