"""The change stream over real servers: cut, resumed, fragmented, compacted, in one watch and in two."""

from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from parkeeper.errors import Compacted, Cut, InDoubt, StoreError
from parkeeper.store.etcd.calls import WATCH, Endpoint
from parkeeper.store.etcd.store import EtcdStore
from parkeeper.store.etcd.watch import Lines, checked, parsed
from parkeeper.store.facade import Changed, Committed, Event
from parkeeper.store.urls import StoreOptions
from tests.proxy import TcpProxy
from tests.servers import ETCDS, Etcd
from tests.store.etcd.clusters import opened
from tests.store.writers import Listener, Writer, listening, writers

pytestmark = pytest.mark.usefixtures("patient")


@pytest.fixture
def proxy(any_etcd: Etcd) -> Iterator[TcpProxy]:
    """Before an empty etcd of each version."""
    any_etcd.wipe()
    with TcpProxy("127.0.0.1", any_etcd.ports[0]) as proxy:
        yield proxy


# --- lines ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_lines_however_they_are_cut(size: int) -> None:
    """Lines come whole; what has no end is there at the end of the stream."""
    stream = b"one\ntwo\n\nthree\nrest"
    lines = Lines()
    found = [line for at in range(0, len(stream), size) for line in lines.feed(stream[at : at + size])]
    assert found == [b"one", b"two", b"", b"three"]
    assert lines.rest() == [b"rest"]


@pytest.mark.parametrize(
    ("line", "kind", "text"),
    [
        (
            b'{"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader"}}',
            Cut,
            "no leader",
        ),
        (b'{"error":{"code":14, "message":"error reading from server: EOF"}}', Cut, "EOF"),
        (
            b'{"result":{"header":{"cluster_id":"1"},"canceled":true,"compact_revision":"47"}}',
            Compacted,
            "47",
        ),
        (
            b'{"result":{"header":{},"watch_id":"-1","created":true,"canceled":true,"cancel_reason":"x"}}',
            Cut,
            "x",
        ),
        (b'{"result":{"header":{},"canceled":true}}', Cut, "without a reason"),
        (b"<html>", Cut, "not a line of a watch"),
    ],
)
def test_line_that_ends_a_watch(line: bytes, kind: type[StoreError], text: str) -> None:
    """As both gateways write them."""
    with pytest.raises(kind, match=text):
        checked(parsed(line))


# --- one watch ------------------------------------------------------------------------------------------------


class Resuming:
    """Follows a store as a keeper does: after a cut, from the last revision told."""

    def __init__(self, store: EtcdStore, after: int) -> None:
        self.store = store
        self.listener = Listener()
        self.last = after
        self.cuts = 0

    def deliver(self, event: Event) -> None:
        self.last = max(self.last, event.revision)
        self.listener.deliver(event)

    async def run(self) -> None:
        while True:
            try:
                await self.store.follow(self.last, self.deliver)
            except Cut:
                self.cuts += 1
                await trio.sleep(0.01)


@asynccontextmanager
async def resuming(store: EtcdStore, after: int) -> AsyncIterator[Resuming]:
    follower = Resuming(store, after)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.run)
        yield follower
        nursery.cancel_scope.cancel("heard enough")


async def test_follow_when_the_stream_breaks(proxy: TcpProxy, any_etcd: Etcd) -> None:
    """Said at once; what happened meanwhile is told next time, nothing twice."""
    async with opened(any_etcd) as direct, opened([proxy.endpoint]) as store:
        one, _ = await writers(direct)
        first = await one.commit({"node/a": b"1"})
        async with resuming(store, first.revision) as follower:
            revisions = list[int]()
            for number in range(5):
                revisions.append((await one.commit({"node/a": b"%d" % number})).revision)
                await follower.listener.reaches(revisions[-1])
                proxy.refuse()
                proxy.cut()
                revisions.append((await one.commit({"node/b": b"%d" % number})).revision)
                proxy.accept()
            await follower.listener.reaches(revisions[-1])
            assert [event.revision for event in follower.listener.commits] == revisions
            assert follower.cuts >= 5


async def test_follow_when_nobody_listens(proxy: TcpProxy) -> None:
    """A stream that can't begin is a stream that broke."""
    async with opened([proxy.endpoint]) as store:
        proxy.refuse()
        proxy.cut()
        with pytest.raises(Cut, match="refused"):
            await store.follow(1, print)


@pytest.mark.slow
async def test_follow_when_the_watch_is_not_created(proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and says nothing is not waited for for ever."""
    monkeypatch.setattr("parkeeper.store.etcd.watch.CREATED_WITHIN", 0.2)
    async with opened([proxy.endpoint]) as store:
        proxy.hold("down")
        with trio.fail_after(5), pytest.raises(Cut):
            await store.follow(1, print)
        proxy.release()


async def test_follow_when_the_server_hangs(proxy: TcpProxy, any_etcd: Etcd) -> None:
    """Silence is no error here (a beat that does not come is, elsewhere); who gives up goes to the next member."""
    async with opened(any_etcd) as direct, opened([proxy.endpoint, *any_etcd.endpoints]) as store:
        one, _ = await writers(direct)
        before = await one.commit({"node/a": b"1"})
        proxy.hold("down")
        with trio.move_on_after(0.3) as given_up:
            await store.follow(before.revision, print)
        assert given_up.cancelled_caught
        async with listening(store, before.revision) as listener:
            after = await one.commit({"node/a": b"2"})
            await listener.reaches(after.revision)


@pytest.mark.parametrize("how", ["stop", "kill"])
@pytest.mark.parametrize("version", ETCDS)
@pytest.mark.slow
async def test_follow_when_the_server_ends(version: str, how: str) -> None:
    """Told as a cut, however the server goes; it goes on when it is back."""
    with Etcd(version) as etcd:
        async with opened(etcd) as store:
            one, _ = await writers(store)
            before = await one.commit({"node/a": b"1"})
            async with resuming(store, before.revision) as follower:
                middle = await one.commit({"node/a": b"2"})
                await follower.listener.reaches(middle.revision)
                await trio.to_thread.run_sync(getattr(etcd, how))
                await trio.to_thread.run_sync(etcd.start)
                after = await committed_at_last(one)
                await follower.listener.reaches(after)
                assert [event.revision for event in follower.listener.commits] == [middle.revision, after]
                assert follower.cuts > 0


async def committed_at_last(writer: Writer) -> int:
    while True:
        try:
            return (await writer.commit({"node/a": b"after"}, seen=0)).revision
        except InDoubt:
            raise
        except StoreError:
            await trio.sleep(0.05)


@pytest.mark.slow
async def test_follow_of_large_commits_from_the_past(any_etcd: Etcd) -> None:
    """A replay comes in fragments cut inside revisions; each commit is told whole."""
    any_etcd.wipe()
    async with opened(any_etcd) as store:
        one, _ = await writers(store)
        start = one.revision
        position = (await store.load()).position
        commits = [{f"data/{n}": b"%d " % round * 3000 for n in range(120)} for round in range(12)]
        revisions = [(await one.commit(puts)).revision for puts in commits]
        async with listening(store, position) as listener:
            await listener.reaches(revisions[-1])
        assert [(event.revision, event.puts) for event in listener.commits] == list(
            zip(revisions, commits, strict=True)
        )
        assert start <= position < revisions[0]


async def test_follow_when_the_history_is_compacted(any_etcd: Etcd) -> None:
    """From the compacted revision on it works, before it does not."""
    any_etcd.wipe()
    async with opened(any_etcd, StoreOptions(compact=True)) as store:
        one, _ = await writers(store)
        revisions = [(await one.commit({"node/a": b"%d" % n})).revision for n in range(5)]
        await store.compact(revisions[2])
        await store.compact(revisions[1])  # compacted already: no error
        await store.compact(revisions[-1] + 1000)  # not there yet: no error
        with trio.fail_after(10), pytest.raises(Compacted, match=str(revisions[2])):
            await store.follow(revisions[0], print)
        async with listening(store, revisions[2]) as listener:
            await listener.reaches(revisions[-1])
        assert [event.revision for event in listener.commits] == revisions[3:]


async def test_compact_is_asked_for(any_etcd: Etcd) -> None:
    """Without the option history is left alone: others may need it."""
    any_etcd.wipe()
    async with opened(any_etcd) as store:
        one, _ = await writers(store)
        revisions = [(await one.commit({"node/a": b"%d" % n})).revision for n in range(5)]
        await store.compact(revisions[-1])
        async with listening(store, revisions[0]) as listener:
            await listener.reaches(revisions[-1])


# --- two watches ----------------------------------------------------------------------------------------------

PREFIXES = ["/", "/services/"]


def told_of(events: list[Event]) -> list[tuple[int, dict[str, bytes]]]:
    return [(event.revision, dict(event.puts)) for event in events if isinstance(event, Committed)]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.slow
async def test_follow_two_watches_under_load(proxy: TcpProxy, any_etcd: Etcd, prefix: str) -> None:
    """Two writers, cuts at any moment, between the watches too: every commit once, whole, in order."""
    options = StoreOptions(data_prefix=prefix)
    async with opened(any_etcd, options) as direct, opened([proxy.endpoint], options) as store:
        one, two = await writers(direct)
        position = (await store.load()).position
        made: dict[int, dict[str, bytes]] = {}

        async def write(writer: Writer) -> None:
            for number in range(150):
                name = f"{writer.keeper}-{number % 7}"
                value = b"%d " % number * (20_000 if number % 10 == 0 else 10)
                puts = {f"node/{name}": b"N", f"data/{name}": value} if number % 3 else {f"node/{name}": b"n"}
                deletes = [f"data/{name}", f"node/{name}"] if number % 11 == 5 else []
                if deletes:
                    puts = {"kids/": b"%d" % number}
                made[(await writer.commit(puts, {}, deletes, seen=0)).revision] = puts  # (guards stay fine)

        async with resuming(store, position) as follower:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write, one)
                nursery.start_soon(write, two)
                for number in range(12):
                    await trio.sleep(0.03)
                    proxy.delay = 0.005 * (number % 3)
                    await trio.to_thread.run_sync(proxy.cut)
            await follower.listener.reaches(max(made))
            assert told_of(follower.listener.events) == sorted(made.items())
            assert follower.cuts >= 3
            assert follower.listener.changes == []


@pytest.mark.parametrize("lagging", ["namespace", "data"])
@pytest.mark.slow
async def test_follow_when_one_watch_lags_and_is_cut(
    any_etcd: Etcd, monkeypatch: pytest.MonkeyPatch, lagging: str
) -> None:
    """What one watch had brought and the other had not is brought again after the cut, once."""
    any_etcd.wipe()
    options = StoreOptions(data_prefix="/services/")
    with TcpProxy("127.0.0.1", any_etcd.ports[0]) as slow, TcpProxy("127.0.0.1", any_etcd.ports[0]) as fast:
        async with opened(any_etcd, options) as direct, opened(any_etcd, options) as store:
            through(store, monkeypatch, slow if lagging == "namespace" else fast, b"parkeeper/")
            through(store, monkeypatch, slow if lagging == "data" else fast, b"/services/")
            one, _ = await writers(direct)
            position = (await store.load()).position
            async with resuming(store, position) as follower:
                first = await one.commit({"node/a": b"A", "data/a": b"1"})
                await follower.listener.reaches(first.revision)
                slow.hold("down")
                made = [first] + [await one.commit({"node/a": b"A", "data/a": b"%d" % n}) for n in range(20)]
                await direct.put("turn/1", b"ticket")
                await trio.to_thread.run_sync(slow.await_held, "down")
                assert follower.listener.events[-1].revision == first.revision
                slow.refuse()
                slow.cut()
                slow.release()
                slow.accept()
                await follower.listener.reaches(made[-1].revision + 1)
                assert [event.revision for event in follower.listener.commits] == [
                    one.revision for one in made
                ]
                assert [event.name for event in follower.listener.changes] == ["turn/1"]
                assert follower.cuts > 0


def through(store: EtcdStore, monkeypatch: pytest.MonkeyPatch, proxy: TcpProxy, prefix: bytes) -> None:
    """Send the watch on a prefix through a proxy."""
    calls = store._calls
    usual = calls.message
    other = Endpoint("127.0.0.1", proxy.port, False)
    mark = b'"key":"%s"' % b64encode(prefix)

    def message(path: str, body: bytes, within: float | None, leader: bool = True) -> object:
        if path == WATCH and mark in body:
            return other.target("POST", WATCH).request(body, within=within)
        return usual(path, body, within, leader)

    monkeypatch.setattr(calls, "message", message)


async def stranger(etcd: Etcd, key: str, value: bytes | None) -> None:
    await trio.to_thread.run_sync(etcd.put, key, value)


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_follow_when_a_stranger_writes_data(any_etcd: Etcd, prefix: str) -> None:
    """Told as a change, with its revision; with the next commit, or the next beat, and after a delete too."""
    any_etcd.wipe()
    async with opened(any_etcd, StoreOptions(data_prefix=prefix)) as store:
        one, _ = await writers(store)
        before = await one.commit({"node/a": b"A", "data/a": b"1"})
        async with listening(store, before.revision) as listener:
            await stranger(any_etcd, prefix + "a", b"strange")
            await stranger(any_etcd, prefix + "b", b"unknown")
            await one.send_beat(b"1")
            await listener.until(lambda listener: len(listener.changes) == 3)
            await stranger(any_etcd, prefix + "a", None)
            after = await one.commit({"node/a": b"A", "data/a": b"2"})
            await listener.reaches(after.revision)
        first, second = before.revision + 1, before.revision + 2
        # The namespace's watch may be ahead of the data's.
        assert sorted(listener.changes[:3]) == [
            Changed(first, "data/a", b"strange"),
            Changed(second, "data/b", b"unknown"),
            Changed(first + 2, "keeper/1", b"1"),
        ]
        assert Changed(first + 3, "data/a", None) in listener.changes


@pytest.mark.slow
async def test_follow_when_a_stranger_writes_much(any_etcd: Etcd) -> None:
    """Above 4 MB held back the store is asked what was committed: it is told though nobody beats or commits."""
    any_etcd.wipe()
    async with opened(any_etcd, StoreOptions(data_prefix="/services/")) as store:
        one, _ = await writers(store)
        before = await one.commit({"node/a": b"A"})
        async with listening(store, before.revision) as listener:
            for _ in range(12):
                await stranger(any_etcd, "/services/a", b"x" * 1_000_000)
            await listener.until(lambda listener: len(listener.changes) >= 5)
            after = await one.commit({"node/a": b"A", "data/a": b"2"})
            await listener.reaches(after.revision)
        assert len(listener.changes) == 12
        assert [event.revision for event in listener.changes] == sorted(e.revision for e in listener.changes)


@pytest.mark.slow
async def test_follow_is_told_in_slices(any_etcd: Etcd) -> None:
    """A replay of thousands of commits lets other tasks run."""
    any_etcd.wipe()
    async with opened(any_etcd) as store:
        one, _ = await writers(store)
        position = (await store.load()).position
        for number in range(300):
            await one.commit({"node/a": b"%d" % number}, seen=0)
        listener = Listener()

        def deliver(event: Event) -> None:
            until = trio.current_time() + 0.0005
            while trio.current_time() < until:
                pass
            listener.deliver(event)

        longest = 0.0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(store.follow, position, deliver))
            while not listener.events or listener.events[-1].revision < one.revision:
                told = len(listener.events)
                await trio.lowlevel.checkpoint()
                longest = max(longest, len(listener.events) - told)
            nursery.cancel_scope.cancel("heard enough")
        assert longest <= 10
