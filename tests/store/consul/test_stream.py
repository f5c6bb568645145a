"""The stream over real Consul: exact with several writers, over wraps and overruns, and when servers fail."""

import json
from contextlib import AsyncExitStack
from random import Random

import pytest
import trio

from parkeeper.errors import Compacted, Cut, GuardFailed, InDoubt, StoreError, Unavailable, WentBack
from parkeeper.store.consul import stream as stream_module
from parkeeper.store.consul.store import ConsulStore
from parkeeper.store.facade import Changed
from parkeeper.store.urls import StoreOptions
from tests.proxy import TcpProxy
from tests.servers import Consul
from tests.store.consul.conftest import OpenStore, opened
from tests.store.writers import Listener, Writer, listening, make_namespace, writers

run = trio.to_thread.run_sync


async def registered(*stores: ConsulStore) -> list[Writer]:
    """One writer for each store, ids from 1, in a namespace that is made for them."""
    await make_namespace(stores[0])
    them = [Writer(store, number) for number, store in enumerate(stores, 1)]
    for writer in them:
        await writer.register()
    return them


@pytest.mark.slow
async def test_follow_when_three_write(open_store: OpenStore) -> None:
    """Four followers, one of which starts late, hear every commit of three keepers once, with its own values."""
    made: dict[int, tuple[int, bytes]] = {}

    async def write(writer: Writer, seed: int) -> None:
        random = Random(seed)
        for number in range(150):
            value = b"%d by %d " % (number, writer.keeper) * random.randrange(1, 200)
            receipt = await writer.commit(
                {"node/shared": value, f"data/{writer.keeper}": value}, journal=value
            )
            made[receipt.revision] = writer.keeper, value
            if number % 10 == 0:
                await writer.send_beat(b"beat %d" % number)

    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(open_store()) for _ in range(4)]
        them = await registered(*stores[:3])
        start = await stores[0].head()
        listeners = [Listener() for _ in stores]
        async with trio.open_nursery() as followers:
            for store, listener in zip(stores[:3], listeners, strict=False):
                followers.start_soon(store.follow, start, listener.deliver)
            async with trio.open_nursery() as nursery:
                for number, writer in enumerate(them):
                    nursery.start_soon(write, writer, number)
                await listeners[0].until(lambda told: len(told.commits) > 200)
                followers.start_soon(stores[3].follow, start, listeners[3].deliver)
            for listener in listeners:
                await listener.reaches(max(made))
            followers.cancel_scope.cancel("all heard")
    assert len(made) == 450
    for listener in listeners:
        assert {commit.revision: (commit.keeper, commit.journal) for commit in listener.commits} == made
        revisions = [event.revision for event in listener.events]
        assert revisions == sorted(set(revisions))
        for commit in listener.commits:
            assert commit.puts == {"node/shared": commit.journal, f"data/{commit.keeper}": commit.journal}
    beats = [change for change in listeners[3].changes if change.name == "keeper/2"]
    assert beats[-1].value == b"beat 140"


async def test_follow_tells_a_beat_after_all_commits_before_it(open_store: OpenStore) -> None:
    """Whoever has seen a beat has seen every commit with a lower revision: a serve deadline rests on it."""
    async with open_store() as first, open_store() as second:
        one, two = await registered(first, second)
        made: list[int] = []
        beats: list[int] = []

        async def write() -> None:
            made.extend([(await one.commit({"node/a": b"%d" % n})).revision for n in range(100)])

        async def beat() -> None:
            beats.extend([await two.send_beat(b"%d" % n) for n in range(100)])

        async with listening(second, await second.head()) as listener:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                nursery.start_soon(beat)
            await listener.reaches(max(made[-1], beats[-1]))
        assert [commit.revision for commit in listener.commits] == made
        for position, event in enumerate(listener.events):
            if isinstance(event, Changed):
                assert event.revision in beats
                before = [other.revision for other in listener.events[:position]]
                assert {revision for revision in made if revision < event.revision} <= set(before)


async def test_follow_tells_own_commits_as_the_ring_has_them(open_store: OpenStore) -> None:
    """A keeper's stream takes its own commits from memory; to the others they come from the ring, and are equal."""
    async with open_store() as first, open_store() as second:
        (one,) = await registered(first)
        async with listening(first, one.revision) as own, listening(second, one.revision) as other:
            for number in range(100):
                await one.commit({"data/a": b"%d" % number, "stat/a": b"S"}, {}, ["node/b", "data/b"])
            await own.reaches(one.revision)
            await other.reaches(one.revision)
        assert own.events == other.events
        assert len(own.events) == 100


async def test_follow_when_the_ring_wraps(open_store: OpenStore) -> None:
    """A follower that keeps up hears everything, however often the ring goes round."""
    async with open_store(slots=16) as first, open_store(slots=16) as second:
        (one,) = await registered(first)
        async with listening(second, await second.head()) as listener:
            made: list[int] = []
            for number in range(100):
                made.append((await one.commit({"node/a": b"%d" % number})).revision)
                if number % 5 == 0:
                    await listener.reaches(made[-1])
            await listener.reaches(made[-1])
        assert [commit.revision for commit in listener.commits] == made
        assert [commit.puts["node/a"] for commit in listener.commits] == [b"%d" % n for n in range(100)]


@pytest.mark.parametrize("known", [True, False], ids=["after a load", "from a position alone"])
async def test_follow_when_the_ring_was_overrun(open_store: OpenStore, known: bool) -> None:
    """Too slow by one entry: told so, and nothing was delivered; fast enough by one: all of it was."""
    async with open_store(slots=16) as first, open_store(slots=16) as second:
        (one,) = await registered(first)
        start = (await second.load()).position if known else await first.head()
        made = [(await one.commit({"node/a": b"%d" % number})).revision for number in range(15)]
        async with listening(second, start) as listener:
            await listener.reaches(made[-1])
        assert [event.revision for event in listener.events] == made

        start = (await second.load()).position if known else await first.head()
        made = [(await one.commit({"node/a": b"%d" % number})).revision for number in range(17)]
        heard: list[object] = []
        with trio.fail_after(10), pytest.raises(Compacted):
            await second.follow(start, heard.append)
        assert heard == []
        async with listening(second, (await second.load()).position) as listener:
            last = await one.commit({"node/a": b"last"})
            await listener.reaches(last.revision)
        assert [event.revision for event in listener.events] == [last.revision]


async def test_follow_when_the_ring_was_above_its_bytes(
    open_store: OpenStore, consul: Consul, namespace: str
) -> None:
    """The ring never holds much more than its bytes, and a follower that keeps up misses nothing."""
    async with open_store(ring_bytes=100_000) as first, open_store() as second:
        (one,) = await registered(first)
        async with listening(second, await second.head()) as listener:
            for number in range(60):
                receipt = await one.commit({"data/a": b"%d" % number * 5000})
                await listener.reaches(receipt.revision)
        assert len(listener.commits) == 60
        stored = json.loads(consul.call("GET", f"kv/{namespace}feed/1/?recurse")[1])
        assert 5 <= len(stored) <= 20
        assert 50_000 < sum(len(each["Value"]) * 3 // 4 for each in stored) < 130_000


async def test_follow_when_a_keeper_registers_while_nobody_looks(open_store: OpenStore) -> None:
    """A keeper unknown to a follower is told from its registration on."""
    async with open_store() as first, open_store() as second:
        (one,) = await registered(first)
        start = (await second.load()).position
        two = Writer(first, 2)
        made = [(await two.register()).revision]
        made += [(await two.commit({"node/a": b"%d" % number})).revision for number in range(40)]
        made.append((await one.commit({"node/b": b"1"})).revision)
        async with listening(second, start) as listener:
            await listener.reaches(made[-1])
        assert [event.revision for event in listener.events] == made
        assert listener.commits[0].puts["keeper/2"] == b"registered"


async def test_follow_when_a_head_is_forgotten(open_store: OpenStore) -> None:
    """The janitor's commit takes a head away: the stream tells it and goes on, and so does a later one."""
    async with open_store() as first, open_store() as second:
        one, two = await registered(first, first)
        start = (await second.load()).position
        async with listening(second, start) as listener:
            gone = await two.commit({}, {"head/1": one.revision}, ["head/1", "fence/1", "keeper/1"])
            await listener.reaches(gone.revision)
            last = await two.commit({"node/a": b"1"})
            await listener.reaches(last.revision)
        assert [event.revision for event in listener.events] == [gone.revision, last.revision]
        async with listening(second, last.revision) as listener:
            await listener.reaches((await two.commit({"node/a": b"2"})).revision)
        assert len(listener.events) == 1


async def test_rings_of_the_gone_are_removed(
    open_store: OpenStore, consul: Consul, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A while after a keeper is gone its ring goes, by the eldest's follower; those of the others stay."""
    monkeypatch.setattr(stream_module, "GONE", 0.5)

    def feeds() -> set[str]:
        keys = json.loads(consul.call("GET", f"kv/{namespace}feed/?keys")[1])
        return {key.split("/")[2] for key in keys}

    async with open_store() as first, open_store() as second:
        await make_namespace(first)
        one, eleven = Writer(first, 1), Writer(second, 11)
        await one.register()
        await eleven.register()
        assert await run(feeds) == {"1", "11"}
        async with listening(second, await second.head()):
            dead = await eleven.commit({"fence/1": b"dead"}, {"keeper/1": one.beat}, ["keeper/1"])
            with trio.fail_after(10):
                while await run(feeds) != {"11"}:
                    await eleven.send_beat(b"%d" % trio.current_time())
                    await trio.sleep(0.1)
        assert dead.revision
        assert set((await first.survey()).heads) == {1, 11}


# --- when servers fail ----------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_follow_when_its_connection_is_cut(consul: Consul, namespace: str) -> None:
    """The stream breaks with Cut; going on from the last event hears the rest, each once."""
    with TcpProxy("127.0.0.1", consul.ports[0]) as proxy:
        options = StoreOptions(namespace=namespace)
        async with opened(consul.ports, options) as first, opened([proxy.port], options) as second:
            (one,) = await registered(first)
            listener = Listener()
            position = await first.head()
            made: list[int] = []

            async def write() -> None:
                made.extend([(await one.commit({"node/a": b"%d" % n})).revision for n in range(400)])

            cuts = 0
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                with trio.fail_after(30):
                    while not (len(made) == 400 and position >= made[-1]):
                        with trio.move_on_after(0.05) as scope:
                            try:
                                await second.follow(position, listener.deliver)
                            except Cut:
                                cuts += 1
                        if scope.cancelled_caught:
                            proxy.cut()
                            await trio.lowlevel.checkpoint()
                        if listener.events:
                            position = listener.events[-1].revision
            assert [event.revision for event in listener.events] == made


@pytest.mark.slow
async def test_follow_when_consul_is_frozen(namespace: str) -> None:
    """A stopped server is silence; the stream gives it up within the keeper TTL, and beats say so sooner."""
    with Consul() as server:
        options = StoreOptions(namespace=namespace, keeper_ttl=3.0)
        async with opened(server.ports, options) as store:
            (one,) = await registered(store)
            server.pause()
            try:
                started = trio.current_time()
                with trio.fail_after(5), pytest.raises(InDoubt):
                    await store.beat(1, one.beat, b"frozen")
                assert trio.current_time() - started < 1.5
                with trio.fail_after(5), pytest.raises(Cut):
                    await store.follow(one.revision, lambda event: None)
                with trio.move_on_after(0.5) as patience:
                    await one.commit({"node/a": b"1"})
                assert patience.cancelled_caught
            finally:
                server.resume()
            with trio.fail_after(10):
                assert (await store.survey()).heads[1][0].incarnation == one.head.incarnation


@pytest.mark.slow
async def test_stream_when_consul_is_killed(namespace: str) -> None:
    """Killed and started again under load: what was acknowledged is told, each commit once, doubts are settled."""
    with Consul() as server:
        options = StoreOptions(namespace=namespace, keeper_ttl=3.0)
        async with opened(server.ports, options) as first, opened(server.ports, options) as second:
            (one,) = await registered(first)
            position = await first.head()
            made: dict[int, bytes] = {}
            listener = Listener()
            enough, done = trio.Event(), trio.Event()
            total = 0

            async def settled(number: int) -> None:
                """One commit, sent until its fate is known."""
                value = b"%d" % number
                commit = await retried(lambda: one.plan({"node/a": value}, journal=value, seen=one.revision))
                while True:
                    try:
                        with trio.fail_after(1):
                            made[(await one.send(commit)).revision] = value
                            return
                    except GuardFailed as error:
                        failed = error
                        break
                    except (Unavailable, InDoubt, trio.TooSlowError):
                        await trio.sleep(0.02)
                assert failed.own_identity == commit.head
                assert commit.head is not None
                one.head, one.revision = commit.head, failed.own
                made[failed.own] = value

            async def write() -> None:
                nonlocal total
                while not enough.is_set():
                    await settled(total)
                    total += 1
                done.set()

            async def retried(call):
                while True:
                    try:
                        return await call()
                    except StoreError:
                        await trio.sleep(0.02)

            async def follow() -> None:
                nonlocal position
                while True:
                    with pytest.raises(Cut):
                        await second.follow(position, listener.deliver)
                    position = listener.events[-1].revision if listener.events else position
                    await retried(second.survey)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(follow)
                nursery.start_soon(write)
                for _ in range(3):
                    heard = len(listener.events)
                    await listener.until(lambda told, heard=heard: len(told.events) > heard + 20)
                    await run(server.kill)
                    await run(server.start)
                enough.set()
                await done.wait()
                await listener.reaches(max(made))
                nursery.cancel_scope.cancel("all heard")
            assert {commit.revision: commit.journal for commit in listener.commits} == made
            assert [commit.journal for commit in listener.commits] == [b"%d" % n for n in range(total)]


@pytest.mark.slow
async def test_follow_when_the_store_was_restored(namespace: str) -> None:
    """A snapshot of an earlier moment put back: the stream finds it out before it tells anything."""
    with Consul() as server:
        options = StoreOptions(namespace=namespace)
        async with opened(server.ports, options) as store, opened(server.ports, options) as other:
            one, two = await writers(store, other)
            saved = (await run(server.call, "GET", "snapshot"))[1]
            for number in range(20):
                await two.commit({"node/a": b"%d" % number})
            await one.send_beat(b"later")
            listener = Listener()
            ends: list[StoreError] = []

            async def follow() -> None:
                position = one.revision
                while not ends or isinstance(ends[-1], Cut):
                    try:
                        await store.follow(position, listener.deliver)
                    except StoreError as error:
                        ends.append(error)
                    position = listener.events[-1].revision
                    await trio.sleep(0.1)

            with trio.fail_after(30):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(follow)
                    await listener.reaches(one.beat)
                    heard = len(listener.events)
                    assert (await run(server.call, "PUT", "snapshot", saved))[0] == 200
            assert isinstance(ends[-1], WentBack)
            assert len(listener.events) == heard
