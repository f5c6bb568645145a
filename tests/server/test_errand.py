"""Commits that a keeper makes for itself: when they are made, tried again, and given up."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from parkeeper.server.errand import Errand
from tests.server.test_committer import incarnation_of
from tests.server.test_faults import Group


async def test_an_errand_that_fails_over_our_own_fence_is_tried_again(autojump_clock: MockClock) -> None:
    """That a session was taken from us says nothing of what the errand rests on."""
    async with Group(2) as (group, stores):
        client = await group.client(0)
        done: list[bool] = []
        with stores[0].commits.holding() as held:
            incarnation_of(group, 0).committer.errand(Errand(guards={}, done=done.append, deletes=["turn/1"]))
            await stores[0].commits.wait_entered(1)
            assert await group.move(client, 1)
            held.set()
        await trio.testing.wait_all_tasks_blocked()
        assert done == [True]


async def test_an_errand_that_fails_over_its_own_guard_is_not(autojump_clock: MockClock) -> None:
    """Whoever made it is told."""
    async with Group(1) as (group, _):
        done: list[bool] = []
        incarnation_of(group, 0).committer.errand(Errand(guards={"keeper/1": 0}, done=done.append))
        await trio.testing.wait_all_tasks_blocked()
        assert done == [False]
