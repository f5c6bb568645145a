"""Several keepers on one store behave as one ensemble (PROTOCOL sections 4 to 6)."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from parkeeper.options import Options
from tests.raw import encode as raw
from tests.server.ensemble import Client, Gone, ensemble

TICK = 0.5
TTL = 6.0


async def until_gone(client: Client, pinging: Client | None = None) -> None:
    """Read until the server hangs up."""
    with pytest.raises(Gone):
        while True:
            await client.receive()


async def test_a_write_is_seen_through_another_keeper_after_sync(autojump_clock: MockClock) -> None:
    """sync makes the next read see all that was committed anywhere before it."""
    async with ensemble(3, delay=0.2) as group:
        clients = [await group.client(number) for number in range(3)]
        assert await clients[0].create("/a", b"1") == "/a"
        assert await clients[1].get("/a") == -101  # the stream is late: a read may be stale
        await clients[1].sync()
        assert await clients[1].get("/a") == b"1"
        assert await clients[2].set("/a", b"2") == 0
        await clients[0].sync()
        assert await clients[0].get("/a") == b"2"


async def test_a_refusal_is_linearizable_when_the_stream_is_late(autojump_clock: MockClock) -> None:
    """A write that looks impossible on a stale replica is planned again on a newer one."""
    async with ensemble(2, delay=0.3) as group:
        one, two = await group.client(0), await group.client(1)
        assert await one.create("/a") == "/a"
        assert await two.set("/a", b"x", 0) == 0
        assert await one.delete("/a", 0) == -103
        assert await one.delete("/a", 1) == 0
        assert await two.create("/a") == "/a"


async def test_sequences_from_three_keepers_are_dense_and_unique(autojump_clock: MockClock) -> None:
    """The number counts every creation under the parent, whoever made it."""
    async with ensemble(3, delay=0.01) as group:
        clients = [await group.client(number) for number in range(3)]
        assert await clients[0].create("/q") == "/q"
        made: list[str | int] = []

        async def work(client: Client) -> None:
            made.extend([await client.create("/q/n-", flags=2) for _ in range(20)])

        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(work, client)
        assert sorted(str(each) for each in made) == [f"/q/n-{number:010d}" for number in range(60)]


async def test_watches_fire_on_every_keeper(autojump_clock: MockClock) -> None:
    """An event carries the zxid of its write, the same on every keeper, and comes before the new data."""
    async with ensemble(2, delay=0.05) as group:
        one, two = await group.client(0), await group.client(1)
        assert await one.create("/w", b"1") == "/w"
        await two.sync()
        assert await two.get("/w", watch=True) == b"1"
        assert await one.get("/w", watch=True) == b"1"
        assert await one.set("/w", b"2") == 0
        await two.sync()
        assert await two.get("/w") == b"2"
        assert [event[1:] for event in two.events] == [(3, "/w")]
        assert one.events == two.events


async def test_a_session_moves_with_its_ephemerals(autojump_clock: MockClock) -> None:
    """A re-attach elsewhere keeps the session; the old connection ends."""
    async with ensemble(2, delay=0.05) as group:
        client = await group.client(0)
        assert await client.create("/e", flags=1) == "/e"
        old = Client(client.stream)
        session = client.session
        assert await group.move(client, 1)
        assert client.session == session
        await client.sync()
        assert await client.exists("/e")
        await until_gone(old)
        assert await client.create("/f", flags=1) == "/f"
        await client.close()
        other = await group.client(0)
        await other.sync()
        assert await other.children("/") == ["zookeeper"]


async def test_a_stopped_keepers_sessions_are_adopted(autojump_clock: MockClock) -> None:
    """After a clean stop clients go on elsewhere; who doesn't come back expires after a full timeout."""
    async with ensemble(2, delay=0.01) as group:
        stays, leaves = await group.client(0), await group.client(0)
        assert await stays.create("/stays", flags=1) == "/stays"
        assert await leaves.create("/leaves", flags=1) == "/leaves"
        stopped = trio.current_time()
        await group.stop(0)
        await until_gone(stays)
        assert await group.move(stays, 1)
        assert await stays.exists("/leaves", watch=True)
        while not stays.events:
            await trio.sleep(0.25)
            await stays.ping()
        took = trio.current_time() - stopped
        assert stays.events[0][1:] == (2, "/leaves")
        assert 10.0 <= took <= 10.0 + 2 * TICK + 0.5
        assert await stays.exists("/stays")


async def test_a_crashed_keepers_sessions_are_closed_after_its_declaration(autojump_clock: MockClock) -> None:
    """No earlier than their timeout after the declaration, no later than TTL + timeout + two ticks after the crash
    (and the time a beat takes to come round)."""
    async with ensemble(2, delay=0.01) as group:
        watcher, victim = await group.client(1), await group.client(0, timeout=5_000)
        assert await victim.create("/victim", flags=1) == "/victim"
        await watcher.sync()
        assert await watcher.exists("/victim", watch=True)
        crashed = trio.current_time()
        group.kill(0)
        declared = 0.0
        while not watcher.events:
            await trio.sleep(0.1)
            await watcher.ping()
            incarnation = group.keepers[1].incarnation
            assert incarnation is not None
            if not declared and len(incarnation.replica.registry.keepers) == 1:
                declared = trio.current_time()
        closed = trio.current_time()
        assert TTL - 2.5 <= declared - crashed <= TTL + 2.5
        assert closed - declared >= 5.0 - 0.1
        assert closed - crashed <= TTL + 5.0 + 2 * TICK + 2.5


async def test_a_session_expires_in_time_while_its_keeper_lives(autojump_clock: MockClock) -> None:
    """Between timeout and timeout + tick after the last traffic, and the connection ends without a packet."""
    async with ensemble(1) as group:
        watcher, silent = await group.client(0), await group.client(0, timeout=4_000)
        assert await silent.create("/silent", flags=1) == "/silent"
        assert await watcher.exists("/silent", watch=True)
        begun = trio.current_time()
        await until_gone(silent)
        took = trio.current_time() - begun
        assert 4.0 <= took <= 4.0 + TICK + 0.01
        await watcher.ping()
        assert [event[1:] for event in watcher.events] == [(2, "/silent")]
        silent.stream = group.stream(0)
        assert not await silent.connect()
        assert (silent.timeout, silent.session, silent.password) == (0, 0, bytes(16))


async def test_pings_keep_a_session_alive(autojump_clock: MockClock) -> None:
    """Any traffic does."""
    async with ensemble(1) as group:
        client = await group.client(0, timeout=2_000)
        for _ in range(20):
            await trio.sleep(1.5)
            await client.ping()
        assert await client.exists("/zookeeper")


async def test_a_wrong_password_does_not_disturb_the_session(autojump_clock: MockClock) -> None:
    """It is checked before anything else happens to the old connection."""
    async with ensemble(1) as group:
        client = await group.client(0)
        thief = Client(group.stream(0), session=client.session, password=b"x" * 16)
        assert not await thief.connect()
        assert await client.exists("/zookeeper")


async def test_reads_between_pipelined_writes_see_each_state(autojump_clock: MockClock) -> None:
    """set 1, get, set 2, get in one piece: 1 and 2 are read, each after its write."""
    async with ensemble(1) as group:
        client = await group.client(0)
        assert await client.create("/p", b"0") == "/p"
        await client.send_raw(
            raw.request(101, 5, raw.set_data("/p", b"1"))
            + raw.request(102, 4, raw.path_watch("/p", True))
            + raw.request(103, 5, raw.set_data("/p", b"2"))
            + raw.request(104, 4, raw.path_watch("/p"))
            + raw.request(105, 9, raw.only_path("/p"))
        )
        replies = [await client.receive() for _ in range(5)]
        assert [reply.xid for reply in replies] == [101, 102, 103, 104, 105]
        assert [replies[1].cursor.buffer(), replies[3].cursor.buffer()] == [b"1", b"2"]
        kinds = ["event" if isinstance(each, tuple) else each.xid for each in client.history[-6:]]
        assert kinds == [101, 102, "event", 103, 104, 105]


async def test_ttl_nodes_and_containers_are_reaped_by_the_janitor(autojump_clock: MockClock) -> None:
    """A TTL node goes when its time is up, a container when its last child went; with the usual events."""
    options = Options(tick_time=500, reap_interval=2.0)
    async with ensemble(2, options, delay=0.01) as group:
        client = await group.client(1, timeout=10_000)
        reply = await client.call(21, raw.create_ttl("/ttl", b"", flags=5, ttl=3000))
        assert reply.err == 0
        assert (await client.call(19, raw.create("/box", flags=4))).err == 0
        assert await client.create("/box/child") == "/box/child"
        assert await client.exists("/ttl", watch=True)
        assert await client.exists("/box", watch=True)
        assert await client.delete("/box/child") == 0
        while len(client.events) < 2:
            await trio.sleep(0.5)
            await client.ping()
        assert sorted(event[1:] for event in client.events) == [(2, "/box"), (2, "/ttl")]


async def test_a_close_larger_than_a_commit_goes_in_parts(autojump_clock: MockClock) -> None:
    """The record is marked first; nobody is told "expired" while an ephemeral stands."""
    async with ensemble(1) as group:
        for store in group.stores:
            store.fits = lambda guards, puts, deletes, size: guards + puts + deletes <= 40  # type: ignore[method-assign]
        client, watcher = await group.client(0), await group.client(0)
        for number in range(60):
            assert await client.create(f"/e{number}", flags=1) == f"/e{number}"
        await client.close()
        assert await watcher.children("/") == ["zookeeper"]
        client.stream = group.stream(0)
        assert not await client.connect()


async def test_a_request_that_no_commit_can_hold_is_refused(autojump_clock: MockClock) -> None:
    """BadArguments, and nothing changed."""
    async with ensemble(1) as group:
        for store in group.stores:
            store.fits = lambda guards, puts, deletes, size: size <= 2000  # type: ignore[method-assign]
        client = await group.client(0)
        assert await client.create("/big", b"x" * 5000) == -8
        assert await client.create("/small", b"x") == "/small"
        assert await client.children("/") == ["small", "zookeeper"]
