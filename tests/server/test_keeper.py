"""Who comes while a keeper doesn't serve, and stopping at any time."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from parkeeper.errors import AccessDenied, Unavailable
from parkeeper.options import Options
from parkeeper.server.keeper import Keeper
from parkeeper.server.serving import State
from parkeeper.store.memory import MemoryServer, MemoryStore
from parkeeper.testing.faults import Refuse
from parkeeper.testing.faulty import FaultyStore
from tests.server.ensemble import Client, Gone
from tests.server.test_faults import Group


async def test_a_client_is_turned_away_while_the_store_is_away(autojump_clock: MockClock) -> None:
    """Closed without an answer: it tries another server, or this one again."""
    async with Group(1) as (group, stores):
        client = await group.client(0)
        with stores[0].outage():
            with pytest.raises(Gone):
                while True:
                    await trio.sleep(0.5)
                    await client.ping()
            with pytest.raises(Gone):
                await Client(group.stream(0)).connect()
        await group.serving(0)
        assert await group.move(client, 0)


async def test_a_four_letter_word_is_answered_all_the_same(autojump_clock: MockClock) -> None:
    """In one piece, and then the end."""
    async with Group(1) as (group, stores):
        group.keepers[0].words = lambda word: b"imok" if word == b"ruok" else None
        with stores[0].outage():
            await trio.sleep(10)
            stream = group.stream(0)
            await stream.send_all(b"ruok")
            assert await stream.receive_some(100) == b"imok"
            assert await stream.receive_some(100) == b""


async def test_a_keeper_stops_before_it_ever_served(autojump_clock: MockClock) -> None:
    """Waiting for its store, or for its registration."""
    for switch in ("opens", "commits"):
        store = FaultyStore(MemoryStore(MemoryServer()))
        with getattr(store, switch).holding():
            keeper = Keeper(store, Options(store_wait=1000))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(keeper.run)
                await trio.sleep(5)
                keeper.stop()
                with trio.fail_after(5):
                    await keeper.serving.until(State.STOPPING)
                nursery.cancel_scope.cancel()
        assert not keeper.reasons


async def test_a_file_that_cannot_be_opened_again_is_waited_for(autojump_clock: MockClock) -> None:
    """It was ours; descriptors or rights may be lacking for a while."""
    async with Group(1) as (group, stores):
        client = await group.client(0, timeout=10_000)
        inner = stores[0].inner
        assert isinstance(inner, MemoryStore)
        # As SQLite says: opened anew by every incarnation.
        inner._limits = replace(inner._limits, shared=False)
        stores[0].opens.fail_next(Refuse(AccessDenied), Refuse(Unavailable), times=2)
        incarnation = group.keepers[0].incarnation
        assert incarnation is not None
        incarnation.lost("a stall")
        await trio.testing.wait_all_tasks_blocked()
        await group.serving(0)
        assert (stores[0].opens.failed, stores[0].opens.succeeded) == (4, 2)
        assert await group.move(client, 0)


async def test_a_keeper_that_shares_its_port_listens_when_it_serves() -> None:
    """Sooner it would get clients that another one of the port serves already, only to turn them away."""
    store = FaultyStore(MemoryStore(MemoryServer()))
    with store.opens.holding() as held:
        keeper = Keeper(store, Options())
        async with trio.open_nursery() as nursery:
            bound: list[tuple[str, int]] = []

            async def run() -> None:
                bound.extend(await nursery.start(partial(keeper.run, [("127.0.0.1", 0)], reuse_port=True)))

            async with trio.open_nursery() as starting:
                starting.start_soon(run)
                await trio.testing.wait_all_tasks_blocked()
                (address,) = keeper.bound
                with pytest.raises(OSError, match="all attempts to connect"):
                    await trio.open_tcp_stream(*address)
                held.set()
            assert bound == [address]
            async with await trio.open_tcp_stream(*address) as stream:
                client = Client(stream)
                await client.connect()
            nursery.cancel_scope.cancel()
