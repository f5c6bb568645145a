"""Clients that have seen more than the store has: after a restore all of them come at once."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from parkeeper.server.trouble import EVERY
from tests.server.ensemble import Client, Gone
from tests.server.test_faults import Group

LOST = 1 << 40
"""Added to the zxid a client has seen."""


async def test_they_share_a_read_and_a_line_of_the_log(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """[a read each stood before the keeper's own commits, which were in doubt for want of a connection]"""
    async with Group(1) as (group, stores):
        clients = [await group.client() for _ in range(50)]
        moved: list[bool] = []

        async def come_back(client: Client) -> None:
            client.last_zxid += LOST
            moved.append(await group.move(client, 0))

        heads = stores[0].heads
        before = heads.entered
        with heads.holding() as held:
            async with trio.open_nursery() as nursery:
                for client in clients[:-1]:
                    nursery.start_soon(come_back, client)
                await trio.testing.wait_all_tasks_blocked()
                assert heads.entered - before == 1
                held.set()
        assert heads.entered - before <= 2
        await trio.sleep(EVERY)
        await come_back(clients[-1])
        assert moved == [False] * 50
        told = [each for each in caplog.records if "no commit of this store" in each.getMessage()]
        assert [getattr(each, "since_last_told", 0) for each in told] == [1, 49]


async def test_they_are_closed_when_the_store_does_not_say(autojump_clock: MockClock) -> None:
    """In the timeout of their session, when they have given up themselves."""
    async with Group(1) as (group, stores):
        client = await group.client(timeout=10_000)
        client.last_zxid += LOST
        with stores[0].heads.holding():
            begun = trio.current_time()
            with pytest.raises(Gone):
                await group.move(client, 0)
            assert trio.current_time() - begun == pytest.approx(client.timeout / 1000)
        client.last_zxid -= LOST
        assert await group.move(client, 0)
