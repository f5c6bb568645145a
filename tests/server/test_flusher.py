"""The flusher: every dirty connection, in order, and none that can end the task that serves them all."""

from __future__ import annotations

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
