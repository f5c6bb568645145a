"""One's own commit is applied from its answer if its turn has come, else when the stream gets there; never twice."""

from __future__ import annotations

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.server.test_faults import Group


async def test_an_own_commit_is_applied_from_its_answer(autojump_clock: MockClock) -> None:
    """The stream is silent, and the client is answered; the stream's copy changes nothing afterwards."""
    async with Group(1) as (group, stores):
        client = await group.client(0)
        assert await client.create("/a", b"0") == "/a"
        stores[0].stream.hold()
        assert await client.set("/a", b"1", 0) == 0
        assert await client.set("/a", b"2", 1) == 0
        stores[0].stream.release()
        await client.sync()
        assert await client.get("/a") == b"2"
        assert await client.set("/a", b"3", 2) == 0


async def test_an_own_commit_waits_for_those_before_it(autojump_clock: MockClock) -> None:
    """Another keeper's commit came between, unseen: ours is answered when the stream has brought that."""
    async with Group(2) as (group, stores):
        one, two = await group.client(0), await group.client(1)
        assert await one.create("/mine") == "/mine"
        assert await two.create("/theirs") == "/theirs"
        await one.sync()
        stores[0].stream.hold()
        assert await two.set("/theirs", b"x") == 0
        answered = trio.Event()

        async def write() -> None:
            assert await one.set("/mine", b"y") == 0
            answered.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            await stores[0].commits.wait_answered(1)
            await wait_all_tasks_blocked()
            assert not answered.is_set()
            stores[0].stream.release()
        assert await one.get("/theirs") == b"x"
