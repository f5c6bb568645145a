"""The ensemble inside Trio: memory streams, a mock clock, and time put forward on command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from parkeeper.testing import AsyncEnsemble, Ensemble
from parkeeper.testing.records import Turn
from tests.raw import encode as raw
from tests.server.ensemble import Client, Gone


@asynccontextmanager
async def inside(keepers: int = 1) -> AsyncIterator[AsyncEnsemble]:
    """No sockets."""
    async with Ensemble(keepers, sockets=False) as ensemble:
        yield ensemble


async def connect(ensemble: AsyncEnsemble, keeper: int = 0, timeout: int = 10_000) -> Client:
    client = Client(ensemble.stream(keeper))
    assert await client.connect(timeout)
    return client


async def keep_pinging(client: Client) -> None:
    while True:
        await trio.sleep(client.timeout / 3000)
        await client.ping()


async def test_a_mock_clock_moves_everything(autojump_clock: MockClock) -> None:
    """Who pings lives, who does not expires, and a TTL of two minutes is over after two minutes that take no time."""
    async with inside() as ensemble, trio.open_nursery() as nursery:
        watcher, silent = await connect(ensemble), await connect(ensemble, timeout=4_000)
        nursery.start_soon(keep_pinging, watcher)
        assert await silent.create("/silent", flags=1) == "/silent"
        body = raw.create_ttl("/ttl", b"", flags=5, ttl=120_000)
        assert (await silent.call(21, body)).err == 0
        begun = trio.current_time()
        await ensemble.wait_until(lambda: "/silent" not in ensemble.tree())
        assert 4.0 <= trio.current_time() - begun <= 4.0 + 0.5
        assert set(ensemble.tree()) == {"/ttl"}
        await ensemble.wait_until(lambda: ensemble.tree() == {}, seconds=200)
        assert 120 <= trio.current_time() - begun <= 122.5
        assert set(ensemble.sessions()) == {watcher.session}
        nursery.cancel_scope.cancel()


async def test_advance_expires_who_is_gone_and_nobody_who_is_there() -> None:
    """A living connection counts as having pinged, whatever the jump."""
    async with inside(2) as ensemble:
        stays, leaves = await connect(ensemble, 0), await connect(ensemble, 1, timeout=5_000)
        assert await stays.create("/stays", flags=1) == "/stays"
        assert await leaves.create("/leaves", flags=1) == "/leaves"
        await leaves.vanish()
        await ensemble.wait_until(lambda: not ensemble.sessions()[leaves.session].connected)
        await ensemble.advance(4)
        assert set(ensemble.tree()) == {"/stays", "/leaves"}
        await ensemble.advance(2)
        assert set(ensemble.tree()) == {"/stays"}
        await ensemble.advance(1_000_000)
        assert set(ensemble.sessions()) == {stays.session}
        await stays.sync()
        assert await stays.exists("/stays")


async def test_advance_reaps_ttl_nodes_and_containers() -> None:
    """Also parents that are due only once their children are; what is younger stays."""
    async with inside() as ensemble:
        client = await connect(ensemble)
        for path, ttl in (("/old", 60_000), ("/old/child", 50_000), ("/young", 3_600_000)):
            reply = await client.call(21, raw.create_ttl(path, b"", flags=5, ttl=ttl))
            assert reply.err == 0, path
        assert (await client.call(19, raw.create("/box", b"", flags=4))).err == 0
        assert await client.create("/box/only") == "/box/only"
        assert await client.delete("/box/only") == 0
        await ensemble.advance(59)
        assert "/old" in ensemble.tree()
        assert "/young" in ensemble.tree()
        await ensemble.advance(2)
        assert set(ensemble.tree()) == {"/young"}
        reply = await client.call(4, raw.path_watch("/young", False))
        assert reply.err == 0


async def test_advance_moves_the_wall_clock() -> None:
    """ctime of what is created afterwards."""
    async with inside() as ensemble:
        client = await connect(ensemble)
        await client.create("/before")
        await ensemble.advance(86_400)
        await client.create("/after")
        before, after = ensemble.node("/before"), ensemble.node("/after")
        assert before is not None
        assert after is not None
        assert 86_400_000 <= after.ctime - before.ctime < 86_410_000
        with pytest.raises(ValueError, match="back"):
            await ensemble.advance(-1)


async def test_advance_ends_the_sessions_of_a_keeper_that_is_gone() -> None:
    """Orphans have their full timeout, in the time that is put forward."""
    async with inside(2) as ensemble:
        client = await connect(ensemble, 1, timeout=5_000)
        assert await client.create("/e", flags=1) == "/e"
        await client.vanish()  # a stop would wait for it to take the last of its replies
        await ensemble.stop(1)
        await ensemble.advance(4)
        assert set(ensemble.tree()) == {"/e"}
        await ensemble.advance(2)
        assert ensemble.tree() == {}


async def test_advance_has_a_killed_keeper_declared_dead() -> None:
    """Its sessions have their full timeout from then on; less than its TTL changes nothing for them."""
    async with inside(2) as ensemble:
        client = await connect(ensemble, 1, timeout=5_000)
        assert await client.create("/e", flags=1) == "/e"
        await ensemble.kill(1)
        await ensemble.advance(5.5)
        assert set(ensemble.tree()) == {"/e"}
        await ensemble.advance(6 + 4)
        assert set(ensemble.tree()) == {"/e"}
        await ensemble.advance(2)
        assert ensemble.tree() == {}


async def test_a_pause_stops_the_clocks_of_sessions(autojump_clock: MockClock) -> None:
    """A session of two seconds survives a pause of four, and expires two seconds after it."""
    async with inside() as ensemble:
        client = await connect(ensemble, timeout=2_000)
        await ensemble.pause()
        await trio.sleep(4)
        await ensemble.resume()
        begun = trio.current_time()
        assert set(ensemble.sessions()) == {client.session}
        await ensemble.wait_until(lambda: ensemble.sessions() == {})
        assert 1.5 <= trio.current_time() - begun <= 2.5


async def test_a_killed_keepers_clients_see_the_end_and_a_stream_to_it_is_refused() -> None:
    """As a connection reset would."""
    async with inside() as ensemble:
        client = await connect(ensemble)
        await ensemble.kill(0)
        with pytest.raises(Gone):
            await client.receive()
        assert not ensemble.is_up()
        with pytest.raises(trio.BrokenResourceError):
            ensemble.stream()


async def test_what_is_pipelined_behind_a_failed_request_is_answered_in_order() -> None:
    """ZooKeeper answers in the order it was asked, and so do faults."""
    async with inside() as ensemble:
        client = await connect(ensemble)
        await ensemble.fail(2, op="setData", error="BAD_VERSION")
        requests = [
            (5, raw.set_data("/a", b"1", -1)),
            (1, raw.create("/a", b"0")),
            (5, raw.set_data("/a", b"2", -1)),
            (4, raw.path_watch("/a", False)),
            (5, raw.set_data("/a", b"3", -1)),
        ]
        await client.send_raw(b"".join(raw.request(xid, op, body) for xid, (op, body) in enumerate(requests)))
        replies = [await client.receive() for _ in requests]
        assert [(each.xid, each.err) for each in replies] == [(0, -103), (1, 0), (2, -103), (3, 0), (4, 0)]
        assert ensemble.tree() == {"/a": b"3"}


async def test_a_lost_reply_takes_what_is_behind_it_along() -> None:
    """The replies before it arrive, none after."""
    async with inside() as ensemble:
        client = await connect(ensemble)
        await ensemble.lose(op="create", path="/b")
        packets = [
            raw.request(xid, 1, raw.create(path, b"")) for xid, path in enumerate(("/a", "/b", "/c"), 1)
        ]
        await client.send_raw(b"".join(packets))
        assert (await client.receive()).xid == 1
        with pytest.raises(Gone):
            await client.receive()
        await ensemble.wait_until(lambda: "/b" in ensemble.tree())


async def test_a_refused_session_and_its_turns_are_in_the_record() -> None:
    """Connected, disconnected; requests cut in the middle are put together."""
    async with inside() as ensemble:
        client = await connect(ensemble)
        packet = raw.request(1, 1, raw.create("/a", b"x"))
        for byte in packet:
            await client.send_raw(bytes((byte,)))
        assert (await client.receive()).err == 0
        session = client.session
        await ensemble.drop(session)
        turns = [each.what for each in ensemble.requests()[session] if isinstance(each, Turn)]
        assert turns == ["connected", "disconnected"]
        await ensemble.expire(session)
        client.stream = ensemble.stream()
        assert not await client.connect()


async def test_an_error_of_the_body_is_not_wrapped() -> None:
    """Not even by the nursery in which the keepers live."""
    with pytest.raises(ZeroDivisionError):
        async with inside():
            raise ZeroDivisionError


async def test_numbers_of_keepers_are_checked() -> None:
    """By name."""
    async with inside() as ensemble:
        with pytest.raises(LookupError, match="no keeper 1"):
            await ensemble.stop(1)
        with pytest.raises(RuntimeError, match="no sockets"):
            _ = ensemble.hosts
