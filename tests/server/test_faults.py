"""Each fault of the store, one at a time (PROTOCOL sections 3 to 6); the machine in test_chaos.py mixes them."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from parkeeper.errors import AccessDenied, Incompatible, NotApplied, Rejected, Unavailable, WentBack
from parkeeper.options import Options
from parkeeper.server.serving import State
from parkeeper.store.memory import MemoryServer, MemoryStore
from parkeeper.testing.faults import LoseAnswer, LoseRequest, Refuse, Slow, Straggle
from parkeeper.testing.faulty import FaultyStore
from tests.raw import encode as raw
from tests.server.ensemble import Ensemble, Gone, ensemble

OPTIONS = Options(tick_time=500)


def faulty(server: MemoryServer, made: list[FaultyStore]):
    def make() -> FaultyStore:
        made.append(FaultyStore(MemoryStore(server)))
        return made[-1]

    return make


class Group:
    """An ensemble on faulty stores."""

    def __init__(self, keepers: int = 1, options: Options = OPTIONS) -> None:
        self.server = MemoryServer()
        self.stores: list[FaultyStore] = []
        self._manager = ensemble(keepers, options, store=faulty(self.server, self.stores))

    async def __aenter__(self) -> tuple[Ensemble, list[FaultyStore]]:
        return await self._manager.__aenter__(), self.stores

    async def __aexit__(self, *error: object) -> None:
        await self._manager.__aexit__(*error)  # noqa: ASYNC102  # type: ignore[arg-type]


async def test_a_lost_answer_is_settled_and_the_write_happened_once(autojump_clock: MockClock) -> None:
    """The same commit is sent again; the store says it had happened."""
    async with Group() as (group, stores):
        client = await group.client()
        assert await client.create("/a", b"0") == "/a"
        stores[0].commits.fail_next(LoseAnswer())
        assert await client.set("/a", b"1", 0) == 0
        assert await client.set("/a", b"2", 1) == 0
        commits = group.keepers[0].commits
        assert (commits.in_doubt, commits.found, commits.superseded) == (1, 1, 0)


async def test_a_lost_request_is_sent_again(autojump_clock: MockClock) -> None:
    """Nothing had happened: the second copy does."""
    async with Group() as (group, stores):
        client = await group.client()
        stores[0].commits.fail_next(LoseRequest())
        assert await client.create("/a", b"0") == "/a"
        assert group.keepers[0].commits.in_doubt == 1
        assert group.keepers[0].commits.commits == 2  # the session and the znode


async def test_a_late_copy_cannot_undo_what_came_after(autojump_clock: MockClock) -> None:
    """In doubt, refused meanwhile by another keeper's commit: an empty commit makes sure, and the copy is refused."""
    async with Group(2) as (group, stores):
        one, two = await group.client(0), await group.client(1)
        assert await one.create("/a", b"0") == "/a"
        await two.sync()
        copy = Straggle()
        stores[0].commits.fail_next(copy)
        async with trio.open_nursery() as nursery:
            stores[0].commits.fail_next(LoseRequest(0.5))

            async def write() -> None:
                assert await one.set("/a", b"one") == 0

            nursery.start_soon(write)
            await stores[0].commits.wait_entered(1)
            assert await two.set("/a", b"two") == 0
        assert group.keepers[0].commits.superseded == 1
        await copy.arrive()
        assert await one.get("/a") == b"one"
        await two.sync()
        reply = await two.call(4, b"\0\0\0\2/a\0")
        assert reply.cursor.buffer() == b"one"
        assert await two.set("/a", b"three", 2) == 0  # version 2: each write happened exactly once


@pytest.mark.parametrize("error", [NotApplied, Unavailable])
async def test_what_the_store_did_not_take_is_tried_again(
    autojump_clock: MockClock, error: type[NotApplied]
) -> None:
    """The client only waits."""
    async with Group() as (group, stores):
        client = await group.client()
        stores[0].commits.fail_next(Refuse(error), times=3)
        assert await client.create("/a") == "/a"
        assert group.keepers[0].commits.not_applied == 3


async def test_what_the_store_rejects_alone_is_refused(autojump_clock: MockClock) -> None:
    """BadArguments for the one it rejects by itself; its neighbours in the batch go through."""
    async with Group() as (group, stores):
        client, other = await group.client(), await group.client()
        with stores[0].commits.holding() as held:
            await client.send(1, raw.create("/first"))
            await stores[0].commits.wait_entered(1)
            await client.send(1, raw.create("/bad"))
            await other.send(1, raw.create("/good"))
            stores[0].commits.fail_next(Refuse(Rejected), times=2)
            held.set()
            replies = [await client.receive(), await client.receive(), await other.receive()]
        assert [reply.err for reply in replies] == [0, -8, 0]


async def test_a_cut_stream_goes_on_without_a_gap(autojump_clock: MockClock) -> None:
    """What was committed meanwhile is told after the past was proven."""
    async with Group(2) as (group, stores):
        one, two = await group.client(0), await group.client(1)
        assert await two.exists("/a", watch=True) is False
        with stores[1].surveys.holding() as held:
            stores[1].stream.cut()
            await stores[1].surveys.wait_entered(1)
            assert await one.create("/a") == "/a"
            held.set()
        await two.sync()
        assert await two.get("/a") == b""
        assert [event[1:] for event in two.events] == [(1, "/a")]
        assert group.keepers[1].commits.breaks == 1
        assert group.keepers[1].commits.incarnations == 1


async def test_a_compacted_history_costs_the_connections_and_no_session(autojump_clock: MockClock) -> None:
    """Drop the clients, load anew, serve again."""
    async with Group(2) as (group, stores):
        client = await group.client(1)
        assert await client.create("/e", flags=1) == "/e"
        stores[1].stream.compacted()
        with pytest.raises(Gone):
            await client.ping()
        await group.serving(1)
        assert await group.move(client, 1)
        assert await client.exists("/e")
        assert group.keepers[1].commits.incarnations == 2


async def test_a_store_that_went_back_ends_the_incarnation(autojump_clock: MockClock) -> None:
    """What the adapter sees itself ends it just so."""
    async with Group(1) as (group, stores):
        client = await group.client(0)
        stores[0].stream.fail(lambda: WentBack("another history"))
        with pytest.raises(Gone):
            await client.ping()
        await group.serving(0)
        assert group.keepers[0].reasons == ["another history"]


def backup_of(server: MemoryServer) -> MemoryServer:
    """A store with the same keys at the same revisions, and none of what comes later."""
    copy = MemoryServer()
    for revision in range(1, server.revision + 1):
        copy.change(tuple((key, value) for key, (value, at) in server.items.items() if at == revision))
    return copy


async def test_a_restored_store_is_noticed_at_the_next_break(autojump_clock: MockClock) -> None:
    """Applied commits that the store no longer has: drop the clients, load everything, register anew. Whoever has
    seen a zxid that the store never had is told that the session is gone, which is the truth."""
    async with Group(1) as (group, stores):
        early, client = await group.client(0), await group.client(0)
        await trio.sleep(2.5)
        backup = backup_of(group_server := stores[0].inner.server)  # type: ignore[attr-defined]
        assert await client.create("/lost") == "/lost"
        for number in range(20):
            assert await client.set("/lost", b"%d" % number) == 0
        assert group_server.revision > backup.revision + 20
        stores[0].inner = MemoryStore(backup)
        stores[0].stream.cut()
        with pytest.raises(Gone):
            await client.ping()
        await group.serving(0)
        assert "the store's past is not the one we know" in group.keepers[0].reasons[0]
        assert not await group.move(client, 0)
        assert await group.move(early, 0)
        assert await early.get("/lost") == -101


async def test_a_silent_stream_ends_service_at_the_deadline(autojump_clock: MockClock) -> None:
    """Beats come back, but not on the stream: whoever may be out of date must not answer."""
    async with Group(1) as (group, stores):
        client = await group.client(0, timeout=10_000)
        begun = trio.current_time()
        stores[0].stream.hold()
        with pytest.raises(Gone):
            while True:
                await trio.sleep(0.5)
                await client.ping()
        took = trio.current_time() - begun
        assert 4.0 <= took <= 6.5
        stores[0].stream.release()
        await group.serving(0)
        assert await group.move(client, 0)


async def test_a_store_outage_expires_no_session(autojump_clock: MockClock) -> None:
    """While a keeper does not serve, clocks stand; afterwards everybody has the full timeout again."""
    async with Group(1) as (group, stores):
        client = await group.client(0, timeout=4_000)
        assert await client.create("/e", flags=1) == "/e"
        with stores[0].outage():
            with pytest.raises(Gone):
                while True:
                    await trio.sleep(0.5)
                    await client.ping()
            assert group.keepers[0].serving.state is State.APART
            await trio.sleep(60)
        await group.serving(0)
        await trio.sleep(3)
        assert await group.move(client, 0)
        assert await client.exists("/e")


async def test_a_short_outage_costs_nobody_anything(autojump_clock: MockClock) -> None:
    """Shorter than the serve deadline: writes wait, reads go on, connections stay."""
    async with Group(1) as (group, stores):
        client = await group.client(0)
        assert await client.create("/a", b"1") == "/a"
        await trio.sleep(2.1)
        async with trio.open_nursery() as nursery:

            async def write() -> None:
                assert await client.set("/a", b"2") == 0

            stores[0].down()
            nursery.start_soon(write)
            await trio.sleep(2)
            stores[0].up()
        assert await client.get("/a") == b"2"
        assert group.keepers[0].commits.incarnations == 1


async def test_a_keeper_declared_dead_comes_back_under_a_new_id(autojump_clock: MockClock) -> None:
    """Its beats fail longer than its TTL while another's go on; its sessions can be claimed elsewhere at once."""
    async with Group(2) as (group, stores):
        client = await group.client(0)
        assert await client.create("/e", flags=1) == "/e"
        stores[0].down()
        with pytest.raises(Gone):
            while True:
                await trio.sleep(0.5)
                await client.ping()
        assert await group.move(client, 1)
        assert await client.exists("/e")
        await trio.sleep(10)
        stores[0].up()
        await group.serving(0)
        incarnation = group.keepers[0].incarnation
        assert incarnation is not None
        assert incarnation.keeper == 3
        assert group.keepers[1].incarnation is not None
        assert group.keepers[1].incarnation.membership.declared == 1


async def test_two_keepers_that_want_one_id_get_two(autojump_clock: MockClock) -> None:
    """A registration in doubt finds out whose it was."""
    server = MemoryServer()
    stores: list[FaultyStore] = []

    def make() -> FaultyStore:
        store = FaultyStore(MemoryStore(server))
        store.commits.fail_next(LoseAnswer())
        stores.append(store)
        return store

    async with ensemble(3, OPTIONS, store=make) as group:
        ids = [keeper.incarnation.keeper for keeper in group.keepers if keeper.incarnation]
        assert sorted(ids) == [1, 2, 3]


async def test_a_hot_parent_starves_nobody(autojump_clock: MockClock) -> None:
    """Two keepers near and one 3 ms away create under one parent: with tickets the far one gets its share."""
    async with Group(3) as (group, stores):
        clients = [await group.client(number) for number in range(3)]
        assert await clients[0].create("/hot") == "/hot"
        for store in stores[:2]:
            store.commits.fail_all(Slow(0.0005, 0.0005))
        stores[2].commits.fail_all(Slow(0.003, 0.003))
        stores[2].stream.delay(0.003)
        counts = [0, 0, 0]
        longest = [0.0, 0.0, 0.0]

        async def work(number: int) -> None:
            client = clients[number]
            while True:
                begun = trio.current_time()
                assert await client.create("/hot/n-", flags=2)
                counts[number] += 1
                longest[number] = max(longest[number], trio.current_time() - begun)

        with trio.move_on_after(5):
            async with trio.open_nursery() as nursery:
                for number in range(3):
                    nursery.start_soon(work, number)
        assert counts[2] >= sum(counts) / 50
        assert longest[2] < 0.2
        assert group.keepers[2].commits.tickets > 0


async def test_rights_that_are_taken_away_are_waited_for(autojump_clock: MockClock) -> None:
    """Only at the start do they end the keeper."""
    async with Group(1) as (group, stores):
        client = await group.client(0)
        stores[0].stream.fail(lambda: AccessDenied("no more"))
        with pytest.raises(Gone):
            await client.ping()
        await group.serving(0)
        assert group.keepers[0].reasons == ["no more"]
        assert await group.move(client, 0)


async def test_a_removed_namespace_ends_the_keeper(autojump_clock: MockClock) -> None:
    """It says so, and does not make a new one unasked."""
    with pytest.RaisesGroup(Incompatible, flatten_subgroups=True, allow_unwrapped=True):
        async with Group(1) as (group, stores):
            client = await group.client(0)
            server = stores[0].inner.server  # type: ignore[attr-defined]
            server.stranger_put(b"parkeeper/meta", None)
            with pytest.raises(Gone):
                await client.ping()
            await trio.sleep(10)
