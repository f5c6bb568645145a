"""Three keepers over faulty stores, clients that write through all of them, and everything that can go wrong at once.

What must hold afterwards: every acknowledged write is there exactly once and no other one twice, sequences are dense,
no ephemeral without its session, what a connection is told never goes back in zxid order, and all replicas are equal.
That each path of the protocol has been entered is asserted over all runs together.
"""

from __future__ import annotations

import logging
import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict

import pytest
import trio
from trio.testing import MockClock

from parkeeper.errors import Unavailable
from parkeeper.options import Options
from parkeeper.server.serving import State
from parkeeper.store.memory import MemoryServer, MemoryStore
from parkeeper.testing.faults import LoseAnswer, LoseRequest, Refuse, Slow, Straggle
from parkeeper.testing.faulty import FaultyStore
from tests.raw import encode as raw
from tests.server.ensemble import Client, Ensemble, Gone, ensemble

OPTIONS = Options(tick_time=500)
RUNS = 8
MOST_RUNS = 60

PATHS = (
    "lost", "in_doubt", "found", "superseded", "not_applied", "confirmed", "stale", "tickets", "errands", "breaks",
    "moved", "expired",
)  # fmt: skip
SECONDS = 40.0


class World:
    """One run: what was asked, what was acknowledged."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.server = MemoryServer()
        self.stores: list[FaultyStore] = []
        self.group: Ensemble | None = None
        self.acknowledged: list[tuple[str, bytes]] = []
        self.tokens = 0
        self.counted = 0
        self.doubtful_counts = 0
        self.sessions: dict[int, Client] = {}
        self.expired = 0
        self.moved = 0
        self.watched = 0
        self.ended: Counter[str] = Counter()
        self.late: list[Straggle] = []

    def store(self) -> FaultyStore:
        self.stores.append(FaultyStore(MemoryStore(self.server)))
        return self.stores[-1]

    def token(self) -> bytes:
        self.tokens += 1
        return b"%d" % self.tokens


def in_order(client: Client, fresh: int) -> None:
    """Since a connection began, zxids of events and replies never go back; an event is never behind its write."""
    last = 0
    for each in client.history[fresh:]:
        zxid = each[0] if isinstance(each, tuple) else each.zxid
        if zxid > 0:
            assert zxid >= last, client.history[fresh:]
            last = zxid


async def work(world: World, number: int) -> None:
    """A client that writes for ever, through whatever keeper will have it."""
    group, choose = world.group, world.random
    assert group is not None
    client: Client | None = None
    fresh = 0
    while True:
        try:
            if client is None or client.session == 0:
                client, fresh = Client(group.stream(choose.randrange(len(group.keepers)))), 0
                with trio.fail_after(20):
                    await client.connect(8_000)
            with trio.fail_after(20):
                await step(world, client, number)
            in_order(client, fresh)
        except (Gone, trio.TooSlowError):
            await trio.sleep(choose.random() * 0.3)
            if client is not None and client.session:
                session = client.session
                fresh = len(client.history)
                try:
                    with trio.fail_after(20):
                        if not await group.move(client, choose.randrange(len(group.keepers))):
                            world.expired += 1
                        else:
                            assert client.session == session
                            world.moved += 1
                except (Gone, trio.TooSlowError):
                    client.session = session


async def step(world: World, client: Client, number: int) -> None:
    """One thing a client does."""
    choice = world.random.random()
    token = world.token()
    if choice < 0.3:
        path = await client.create("/q/n-", token, flags=2)
        assert isinstance(path, str), path
        world.acknowledged.append((path, token))
    elif choice < 0.5:
        await count(world, client)
    elif choice < 0.6:
        a, b = f"/m/{number}-{token.decode()}-a", f"/m/{number}-{token.decode()}-b"
        reply = await client.call(14, raw.multi([(1, raw.create(a, token)), (15, raw.create(b, token))]))
        assert reply.err == 0
        world.acknowledged += [(a, token), (b, token)]
    elif choice < 0.7:
        await client.create(f"/e/{client.session:x}-", token, flags=3)
    elif choice < 0.8:
        await client.exists("/counter", watch=True)
        world.watched += 1
    elif choice < 0.85:
        assert await client.create(f"/q/none/{token.decode()}") == -101
    elif choice < 0.9:
        await client.sync()
        await client.children("/e")
    elif choice < 0.93:
        await client.vanish()
        if world.random.random() < 0.1:
            await trio.sleep(10)  # longer than the session's timeout
    elif choice < 0.95 and client.session:
        await client.close()
        client.session = 0
    else:
        await trio.sleep(world.random.random() * 2)
        await client.ping()


async def count(world: World, client: Client) -> None:
    """Add one to a number that everybody adds to: its version says how often that happened."""
    reply = await client.call(4, raw.path_watch("/counter"))
    cursor = reply.cursor
    value = int(cursor.buffer() or b"0")
    cursor.take(32)
    version = cursor.i32()
    assert value == version
    world.doubtful_counts += 1
    code = await client.set("/counter", b"%d" % (version + 1), version)
    world.doubtful_counts -= 1
    assert code in (0, -103)
    world.counted += code == 0


async def trouble(world: World) -> None:
    """Everything that can go wrong, now and then."""
    group, choose = world.group, world.random
    assert group is not None
    while True:
        await trio.sleep(choose.random() * 1.5)
        which = choose.randrange(len(world.stores))
        store = world.stores[which]
        match choose.randrange(15):
            case 0:
                store.commits.fail_next(LoseAnswer(choose.random()))
            case 1:
                store.commits.fail_next(LoseRequest(choose.random()))
            case 2:
                store.commits.fail_next(Straggle(choose.random() * 3), LoseRequest(choose.random()))
            case 3:
                store.commits.fail_next(Refuse(Unavailable), times=choose.randrange(1, 6))
            case 4:
                store.stream.cut()
            case 5:
                store.stream.delay(choose.random() * 0.2)
            case 6:
                store.stream.hold()
                await trio.sleep(choose.random() * 8)
                store.stream.release()
            case 7:
                store.stream.compacted()
            case 8:
                store.beats.fail_next(Straggle(choose.random()), LoseAnswer())
            case 9:
                store.down()
                await trio.sleep(choose.random() * 10)
                store.up()
            case 10:
                store.commits.fail_all(Slow(choose.random() * 0.05, choose.random() * 0.05))
            case 11:
                store.commits.heal()
                store.stream.delay(0)
            case 12 if len(world.stores) < 6:
                group.kill(which)
                await group.start()
            case 13 if len(world.stores) < 6:
                await group.stop(which)
                await group.start()
            case _:
                # The empty commit's own trials: the answer and its successor are lost as well.
                store.commits.fail_next(Straggle(2.0), LoseRequest(0.2), LoseAnswer(0.1), LoseAnswer(0.1))


async def run(seed: int) -> World:
    world = World(seed)
    async with ensemble(3, OPTIONS, store=world.store) as group:
        world.group = group
        client = await group.client(0)
        for path in ("/q", "/m", "/e"):
            assert await client.create(path) == path
        assert await client.create("/counter", b"0") == "/counter"
        await client.close()
        with trio.move_on_after(SECONDS):
            async with trio.open_nursery() as nursery:
                for number in range(6):
                    nursery.start_soon(work, world, number)
                nursery.start_soon(trouble, world)
        for store in world.stores:
            store.up()
            store.commits.heal()
            store.beats.heal()
            store.stream.release()
            store.stream.delay(0)
        await trio.sleep(
            30
        )  # dead keepers are declared dead, sessions of clients that left expire, copies arrive
        await check(world, group)
    return world


async def check(world: World, group: Ensemble) -> None:
    alive = [each for each in group.keepers if each.serving.state is State.SERVING and each.incarnation]
    assert alive
    # A last client through a keeper that lives.
    number = group.keepers.index(alive[-1])
    client = await group.client(number)
    await client.sync()
    names = await client.children("/q")
    found: dict[str, bytes] = {}
    for name in names:
        found[f"/q/{name}"] = await client.get(f"/q/{name}")  # type: ignore[assignment]
    assert names == [f"n-{index:010d}" for index in range(len(names))]
    assert max(Counter(found.values()).values(), default=1) == 1
    pairs = await client.children("/m")
    assert Counter(each[:-2] for each in pairs).keys() == {each[:-2] for each in pairs if each.endswith("-a")}
    assert all(amount == 2 for amount in Counter(each[:-2] for each in pairs).values())
    for name in pairs:
        found[f"/m/{name}"] = await client.get(f"/m/{name}")  # type: ignore[assignment]
    for path, token in world.acknowledged:
        assert found.get(path) == token, path
    assert await client.children("/e") == []
    total = int(await client.get("/counter") or b"0")  # type: ignore[arg-type]
    assert world.counted <= total
    await trio.sleep(1)
    replicas = [each.incarnation.replica for each in alive if each.incarnation]
    for other in replicas[1:]:
        assert other.revision == replicas[0].revision
        for table in ("nodes", "kids", "sessions"):
            ours = {key: repr(value) for key, value in getattr(replicas[0], table).items()}
            theirs = {key: repr(value) for key, value in getattr(other, table).items()}
            assert ours == theirs
        assert {key: sorted(value) for key, value in other.children.items()} == {
            key: sorted(value) for key, value in replicas[0].children.items()
        }
    for replica in replicas:
        owners = {node.owner for node in replica.nodes.values() if node.ephemeral}
        assert owners <= replica.sessions.keys()


@pytest.fixture
def silence() -> Iterator[None]:
    """Tens of thousands of warnings would only cost time."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def paths_of(seeds: Iterable[int]) -> Counter[str]:
    """Run with each seed; how often each path was taken, over all of them."""
    entered: Counter[str] = Counter()
    for seed in seeds:
        world = trio.run(run, seed, clock=MockClock(autojump_threshold=0))
        assert world.group is not None
        for keeper in world.group.keepers:
            entered.update(asdict(keeper.commits))
            for reason in keeper.reasons:
                entered[f"ended: {reason.partition(':')[0][:40]}"] += 1
        entered.update(moved=world.moved, expired=world.expired, acknowledged=len(world.acknowledged))
    return entered


@pytest.mark.slow
@pytest.mark.usefixtures("silence")
@pytest.mark.timeout(180)
def test_nothing_acknowledged_is_lost_whatever_goes_wrong() -> None:
    """Many runs of all of it, and as many more as it takes until every path was entered."""
    entered: Counter[str] = Counter()
    for seed in range(MOST_RUNS):
        entered += paths_of([seed])
        if seed >= RUNS and not missing(entered):
            break
    assert not missing(entered), entered


def missing(entered: Counter[str]) -> list[str]:
    """The paths that no run has entered yet."""
    reasons = ("no beat of ours came back in time", "compacted by a test")
    ended = [each for each in reasons if not any(key.startswith(f"ended: {each}") for key in entered)]
    return ended + [each for each in PATHS if not entered[each]]


@pytest.mark.soak
@pytest.mark.usefixtures("silence")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(1000, 1000 + int(os.environ.get("SOAK_SEEDS", "200")), 10))
def test_nothing_acknowledged_is_lost_at_length(first: int) -> None:
    """Seeds of its own, ten at a time."""
    assert paths_of(range(first, first + 10))["acknowledged"] > 100
