"""One linearizable read for all who wait, and never one that began before they came."""

from __future__ import annotations

from collections.abc import Callable

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from parkeeper.server.syncer import Syncer


class Reached:
    """An applier that is told when to call."""

    def __init__(self) -> None:
        self.waiting: list[tuple[int, Callable[[], None]]] = []

    def call_at(self, revision: int, then: Callable[[], None]) -> None:
        self.waiting.append((revision, then))


async def test_who_comes_while_a_read_is_in_flight_waits_for_the_next(autojump_clock: MockClock) -> None:
    """The answer of a read in flight may be older than the call."""
    answers: list[trio.Event] = []

    async def newest() -> int:
        answers.append(trio.Event())
        number = len(answers)
        await answers[-1].wait()
        return number * 10

    applier, done = Reached(), list[str]()
    syncer = Syncer(newest, applier)  # type: ignore[arg-type]  # only call_at is asked for
    async with trio.open_nursery() as nursery:
        nursery.start_soon(syncer.run)
        syncer.join(lambda: done.append("a"))
        syncer.join(lambda: done.append("b"))
        await wait_all_tasks_blocked()
        assert len(answers) == 1
        syncer.join(lambda: done.append("late"))
        answers[0].set()
        await wait_all_tasks_blocked()
        assert [revision for revision, _ in applier.waiting] == [10, 10]
        assert len(answers) == 2
        answers[1].set()
        await wait_all_tasks_blocked()
        assert [revision for revision, _ in applier.waiting] == [10, 10, 20]
        for _, then in applier.waiting:
            then()
        assert done == ["a", "b", "late"]
        nursery.cancel_scope.cancel()
