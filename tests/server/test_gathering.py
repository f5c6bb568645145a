"""What a committer waits for after a commit, and for how long."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from parkeeper.server.gathering import LEAST, LONGEST, PART, SHORTEST, Gathering

TOOK = 0.004
"""Seconds of a commit; `PART` of it is between the shortest and the longest wait."""


class Queue:
    """Requests that wait, and a gathering that counts them."""

    def __init__(self, waiting: int = 0, enough: int = 100) -> None:
        self.waiting = waiting
        self.gathering = Gathering(lambda: self.waiting, enough)

    async def come(self, count: int, after: float) -> None:
        """So many requests come, one by one, after so many seconds."""
        await trio.sleep(after)
        for _ in range(count):
            self.waiting += 1
            self.gathering.came()

    async def waited(self, answered: int, took: float = TOOK, come: int = 0, after: float = 0.0) -> float:
        """Seconds waited after a commit, while so many come."""
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.come, come, after)
            await self.gathering.wait(answered, took)
            end = trio.current_time()
        return end - begun


async def test_it_goes_on_when_all_are_back(autojump_clock: MockClock) -> None:
    """As many as were answered, besides those who waited already."""
    assert await Queue(3).waited(5, come=5, after=0.001) == pytest.approx(0.001)
    assert await Queue(3).waited(5, come=4, after=0.001) == pytest.approx(PART * TOOK)


async def test_it_waits_for_no_more_than_a_commit_holds(autojump_clock: MockClock) -> None:
    assert await Queue(97).waited(50, come=3, after=0.001) == pytest.approx(0.001)
    assert await Queue(100).waited(50) == 0


async def test_a_single_client_needs_no_gathering(autojump_clock: MockClock) -> None:
    """Whatever comes first is the next batch."""
    assert await Queue(0).waited(1) == 0
    assert await Queue(1).waited(1) > 0


async def test_short_commits_are_not_waited_after(autojump_clock: MockClock) -> None:
    assert await Queue().waited(5, took=SHORTEST / PART * 0.99) == 0
    assert await Queue().waited(5, took=SHORTEST / PART * 1.01) > 0


async def test_long_commits_are_no_reason_to_wait_long(autojump_clock: MockClock) -> None:
    """A store that stood still for a minute."""
    assert await Queue().waited(5, took=60) == pytest.approx(LONGEST)


async def test_waiting_in_vain_makes_it_impatient(autojump_clock: MockClock) -> None:
    """While somebody is put off for it; who comes back makes it patient again."""
    queue = Queue(1)
    waits = [await queue.waited(16) for _ in range(4)]
    assert waits == pytest.approx([PART * TOOK, PART / 2 * TOOK, LEAST * TOOK, LEAST * TOOK])
    assert await queue.waited(16, come=2) == pytest.approx(LEAST * TOOK)
    assert await queue.waited(16) == pytest.approx(2 * LEAST * TOOK)


async def test_nobody_is_put_off_by_waiting_alone(autojump_clock: MockClock) -> None:
    queue = Queue()
    assert [await queue.waited(16) for _ in range(3)] == pytest.approx([PART * TOOK] * 3)


async def test_something_else_to_do_ends_it(autojump_clock: MockClock) -> None:
    queue = Queue(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.gathering.wait, 16, TOOK)
        await trio.testing.wait_all_tasks_blocked()
        queue.gathering.stop()
    assert trio.current_time() == 0


class Looking(Queue):
    """A gathering that looks for itself: how many requests each look brings."""

    def __init__(self, *brings: int, waiting: int = 0) -> None:
        super().__init__(waiting)
        self.brings = list(brings)
        self.gathering.glance = self.glance

    def glance(self) -> bool:
        if not self.brings:
            return False
        self.waiting += self.brings.pop(0)
        return True


async def test_it_looks_before_it_waits(autojump_clock: MockClock) -> None:
    """As long as looks bring somebody and not all are there; what is missing then is waited for."""
    queue = Looking(2, 0, 2, 7)
    assert await queue.waited(4) == 0
    assert (queue.waiting, queue.brings) == (4, [7])
    queue = Looking(2)
    assert await queue.waited(4, come=2, after=0.001) == pytest.approx(0.001)


async def test_it_looks_for_a_single_client_too(autojump_clock: MockClock) -> None:
    """And waits for it no longer, by itself: the committer does."""
    assert await Looking(1).waited(1) == 0
    queue = Looking(0)
    assert await queue.waited(1) == 0
    assert queue.brings == []


async def test_it_looks_for_a_while_only(autojump_clock: MockClock) -> None:
    """Those who ask for something else have no end, and tasks have to have their turn."""
    queue = Looking()
    looks = 0

    def glance() -> bool:
        nonlocal looks
        looks += 1
        return True

    queue.gathering.glance = glance
    with trio.fail_after(1):
        await queue.waited(4)
    assert looks > 1


async def test_looks_that_bring_all_make_it_patient_again(autojump_clock: MockClock) -> None:
    queue = Queue(1)
    for _ in range(4):
        await queue.waited(16)
    assert await queue.waited(16) == pytest.approx(LEAST * TOOK)
    queue.gathering.glance = lambda: setattr(queue, "waiting", 17) is None
    assert await queue.waited(16) == 0
    queue.waiting, queue.gathering.glance = 1, None
    assert await queue.waited(16) == pytest.approx(2 * LEAST * TOOK)
