"""The ends of an incarnation that test_faults.py does not bring about."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from parkeeper.errors import GuardFailed
from parkeeper.testing.faults import Raise
from tests.server.ensemble import Gone
from tests.server.test_faults import Group


async def test_replica_and_store_that_disagree_are_loaded_anew(autojump_clock: MockClock) -> None:
    """A guard failed and nothing is newer than what was planned on: loudly, and nothing is acknowledged."""
    async with Group(1) as (group, stores):
        client = await group.client(0)
        incarnation = group.keepers[0].incarnation
        assert incarnation is not None
        head, revision = incarnation.committer.head, incarnation.committer.head_rev
        stores[0].commits.fail_next(Raise(lambda: GuardFailed(revision, revision, tuple(head))))
        with pytest.raises(Gone):
            await client.create("/a")
        await group.serving(0)
        assert "disagree" in group.keepers[0].reasons[0]
        assert await group.move(client, 0)
        assert await client.create("/a") == "/a"


async def test_a_head_that_is_not_ours_ends_it(autojump_clock: MockClock) -> None:
    """Somebody else commits under our id: two may never serve as one."""
    async with Group(1) as (group, stores):
        client = await group.client(0)
        stores[0].commits.fail_next(Raise(lambda: GuardFailed(99, 99, (1, 2, 3))))
        with pytest.raises(Gone):
            await client.create("/a")
        await group.serving(0)
        assert "the head of this keeper names" in group.keepers[0].reasons[0]
