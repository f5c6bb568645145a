"""Who is alone in committing: when the change stream rests, what ends a rest, and that nothing is lost by it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Self

import httpx
import pytest
import trio
from trio.testing import MockClock

from parkeeper.errors import GuardFailed
from parkeeper.store.etcd import alone, watch
from parkeeper.store.etcd.alone import RUN, Alone
from parkeeper.store.etcd.store import EtcdStore
from parkeeper.store.etcd.watch import Follower, Position
from parkeeper.store.facade import Commit, Head, Receipt
from parkeeper.store.urls import StoreOptions
from tests.servers import Etcd
from tests.store.etcd.clusters import opened
from tests.store.writers import Listener, Writer, listening, make_namespace, writers

pytestmark = pytest.mark.usefixtures("patient")


class Rests:
    """Counts rests as they begin and end."""

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.over = trio.Event()


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> Rests:
    """However slow the machine, commits are brisk enough; a rest ends only when something ends it."""
    rests = Rests()
    real = Alone.rest

    async def rest(self: Alone, told: int) -> int:
        rests.begun += 1
        told = await real(self, told)
        rests.ended += 1
        rests.over.set()
        return told

    monkeypatch.setattr(Alone, "rest", rest)
    monkeypatch.setattr(alone, "BRISK", 60.0)
    monkeypatch.setattr(alone, "IDLE", 60.0)
    return rests


async def sole(store: EtcdStore) -> Writer:
    """The only keeper of a new namespace."""
    await make_namespace(store)
    one = Writer(store, 1)
    await one.register()
    return one


async def commit_until(writer: Writer, done: Callable[[], bool]) -> list[int]:
    revisions = list[int]()
    with trio.fail_after(20):
        while not done():
            revisions.append((await writer.commit_alone({"stat/a": b"%d" % len(revisions)})).revision)
    return revisions


@asynccontextmanager
async def resting(store: EtcdStore, one: Writer, rests: Rests) -> AsyncIterator[Listener]:
    """A listener whose stream has begun to rest; `listener.events` is what it was told before."""
    async with listening(store, one.revision) as listener:
        await commit_until(one, lambda: bool(rests.begun))
        yield listener


# --- when it rests --------------------------------------------------------------------------------------------


async def test_stream_rests_now_and_then(any_etcd: Etcd, rests: Rests) -> None:
    """What is not told then are our own commits, which were applied from their answers; all others come in order."""
    any_etcd.wipe()
    async with opened(any_etcd) as store:
        one = await sole(store)
        beats, known = list[int](), set[int]()
        async with listening(store, one.revision) as listener:
            for number in range(1, 4):
                known |= set(await commit_until(one, lambda number=number: rests.begun == number))
                known |= {(await one.commit_alone({"stat/a": b""})).revision for _ in range(3)}
                beats.append(await one.send_beat(b"%d" % number))
                await listener.reaches(beats[-1])
            last = (await one.commit_alone({"stat/a": b"last"})).revision
            await listener.reaches(last)
        told = [event.revision for event in listener.events]
        assert told == sorted(set(told))
        assert [change.revision for change in listener.changes] == beats
        assert {commit.revision for commit in listener.commits} < known | {last}
        assert len(known) - len(listener.commits) >= 5


async def test_stream_is_closed_while_it_rests(any_etcd: Etcd, rests: Rests) -> None:
    """That spares etcd the work, not only us."""
    any_etcd.wipe()
    async with opened(any_etcd) as store:
        one = await sole(store)
        async with resting(store, one, rests) as listener:
            told = len(listener.events)
            for _ in range(3):
                await one.commit_alone({"stat/a": b""})
            assert rests.ended == 0
            assert len(listener.events) == told
            assert "0 busy" in repr(store._calls.clients.stream._transport)


NOT_ALONE = {
    "another keeper is registered": StoreOptions(),
    "two watches": StoreOptions(data_prefix="/services/"),
    "a short TTL": StoreOptions(keeper_ttl=5.0),
}


@pytest.mark.parametrize("why", NOT_ALONE)
async def test_stream_does_not_rest(any_etcd: Etcd, rests: Rests, why: str) -> None:
    """Where another keeper's commits, data keys' history or beats would come too late."""
    any_etcd.wipe()
    async with opened(any_etcd, NOT_ALONE[why]) as store:
        one = await sole(store)
        async with listening(store, one.revision) as listener:
            for number in range(3 * RUN):
                said = why != "another keeper is registered"
                await listener.reaches((await one.commit_alone({"stat/a": b"%d" % number}, said)).revision)
        assert rests.begun == 0


async def test_stream_does_not_rest_when_commits_come_slowly(
    any_etcd: Etcd, rests: Rests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch costs as much as some commits."""
    monkeypatch.setattr(alone, "BRISK", 0.0)
    any_etcd.wipe()
    async with opened(any_etcd) as store:
        one = await sole(store)
        async with listening(store, one.revision) as listener:
            for number in range(3 * RUN):
                await listener.reaches((await one.commit_alone({"stat/a": b"%d" % number})).revision)
        assert rests.begun == 0


# --- what ends a rest -----------------------------------------------------------------------------------------


async def loses(one: Writer, two: Writer) -> int:
    theirs = await two.commit({"node/b": b""})
    with pytest.raises(GuardFailed) as caught:
        await one.commit_alone({"stat/a": b""})
    assert caught.value.newest == theirs.revision
    return theirs.revision


async def asks(one: Writer, two: Writer) -> int:
    theirs = await two.commit({"node/b": b""})
    assert await one.store.head() == theirs.revision
    return theirs.revision


async def finds(one: Writer, two: Writer) -> int:
    """Its commit is an errand's, whose guards stand; the receipt names one that it doesn't know."""
    theirs = await two.commit({"node/b": b""})
    ours = await one.commit({"node/c": b""}, journal=b"", seen=one.revision, newest=1)
    assert ours.previous == theirs.revision
    return ours.revision


async def beats(one: Writer, two: Writer) -> int:
    await two.commit({"node/b": b""})
    return await one.send_beat(b"1")


async def gives_up(one: Writer, two: Writer) -> int:
    theirs = await two.commit({"node/b": b""})
    with trio.CancelScope() as scope:
        scope.cancel()
        await one.commit_alone({"stat/a": b""})
    return theirs.revision


@pytest.mark.parametrize("what", [loses, asks, finds, beats, gives_up])
async def test_rest_ends_when_the_keeper(
    any_etcd: Etcd, rests: Rests, what: Callable[[Writer, Writer], Awaitable[int]]
) -> None:
    """What is needed then is told at once."""
    any_etcd.wipe()
    async with opened(any_etcd) as store, opened(any_etcd) as other:
        one, two = await writers(store, other)
        async with resting(store, one, rests) as listener:
            revision = await what(one, two)
            await listener.reaches(revision)
        assert rests.ended == 1


async def test_rest_ends_when_no_commits_come(
    any_etcd: Etcd, rests: Rests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger's write is told though nobody asks."""
    monkeypatch.setattr(alone, "IDLE", 0.02)
    any_etcd.wipe()
    async with opened(any_etcd) as store:
        one = await sole(store)
        async with resting(store, one, rests) as listener:
            any_etcd.put("parkeeper/data/x", b"strange")
            await listener.until(lambda listener: "data/x" in [change.name for change in listener.changes])


@pytest.mark.parametrize("key", ["data/x", "not/ours"])
async def test_rest_ends_when_anybody_writes_anything(any_etcd: Etcd, rests: Rests, key: str) -> None:
    """The next commit tells, and it is told itself."""
    any_etcd.wipe()
    async with opened(any_etcd) as store:
        one = await sole(store)
        async with resting(store, one, rests) as listener:
            await one.commit_alone({"stat/a": b""})
            strange = any_etcd.put(f"parkeeper/{key}", b"strange")
            ours = (await one.commit_alone({"stat/a": b""})).revision
            await listener.reaches(ours)
        told = [event.revision for event in listener.events]
        assert told[-2:] == [strange, ours] if key == "data/x" else told[-1] == ours


@asynccontextmanager
async def background(rest: Alone, told: int) -> AsyncIterator[list[int]]:
    """A stream that rests; at the end, when it rests no longer, the revision behind which it begins again."""
    upto = list[int]()

    async def wait() -> None:
        upto.append(await rest.rest(told))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        yield upto


async def test_rest_goes_on_while_commits_come(autojump_clock: MockClock) -> None:
    """A commit within each `IDLE` seconds: it is the last one that counts."""
    rest = Alone(rests=True)
    revision = run(rest, 2 * RUN)
    async with background(rest, revision) as upto:
        for number in range(4):
            await trio.sleep(0.9 * alone.IDLE)
            run(rest, 1, revision + number)
        assert not upto
    assert upto == [revision + 3]  # whether the last one was applied, the next one would say


# --- what is known, and what is not ----------------------------------------------------------------------------


async def test_rest_of_a_stream_that_is_behind() -> None:
    """What it has not told yet was not all ours."""
    rest = Alone(rests=True)
    newest = run(rest, 3 * RUN, 100)
    assert rest.may_rest(100)
    assert not rest.may_rest(99)
    assert await rest.rest(99) == 99
    run(rest, 3 * RUN, newest)
    rest.over()
    assert await rest.rest(100) == 100


@pytest.mark.parametrize("anew", [False, True])
async def test_rest_that_ends_by_a_doubt_knows_what_it_knew_before(
    anew: bool, autojump_clock: MockClock
) -> None:
    """Nothing of the commits that follow the doubt; and nothing at all if everything is loaded anew meanwhile."""
    rest = Alone(rests=True)
    newest = run(rest, 3 * RUN, 100)
    async with background(rest, 100) as upto:
        rest.begins(commit_at(newest))
        rest.over()
        if anew:
            rest.loaded()
        else:
            run(rest, 3 * RUN, newest + 1)
    assert upto == [100 if anew else newest]
    assert not rest.may_rest(newest - 5)


async def test_commit_whose_answer_did_not_reach_us_is_told(autojump_clock: MockClock) -> None:
    """The adapter knows that it happened, we don't: it is sent again, and found. [it was waited for, for ever]"""
    rest = Alone(rests=True)
    newest = run(rest, 3 * RUN, 100)
    async with background(rest, 100) as upto:
        run(rest, 1, newest)  # its answer is lost on the way
        rest.begins(commit_at(newest))
        rest.over()
    assert upto == [newest]


def test_guards_are_fine_after_another_keepers_commit() -> None:
    """One that was between two of ours without a loss."""
    alone_now = Alone(rests=True)
    newest = run(alone_now, 10, 100)
    assert alone_now.begins(commit_at(newest))
    alone_now.happened(commit_at(newest), Receipt(newest + 2, newest + 1))
    assert not alone_now.begins(commit_at(newest + 2))


async def test_load_forgets_who_was_alone(any_etcd: Etcd, rests: Rests) -> None:
    """Else a store that was put back into the past would be told from where it once was."""
    any_etcd.wipe()
    async with opened(any_etcd) as store:
        one = await sole(store)
        async with resting(store, one, rests):
            pass
        behind = one.revision - 1
        await commit_until(one, lambda: store._alone.may_rest(behind))
        await store.load()
        assert not store._alone.may_rest(behind)


async def test_commit_that_is_not_applied_when_it_is_answered_is_told() -> None:
    """A commit before it came from elsewhere: the applier waits for the stream."""
    rest = Alone(rests=True)
    run(rest, 1, 100)  # commit 101
    rest.happened(commit_at(101), Receipt(103, 102))
    run(rest, 3 * RUN, 103)
    assert not rest.may_rest(102)
    assert rest.may_rest(103)


def commit_at(seen: int) -> Commit:
    return Commit(1, Head(1, 1, 1), {}, {}, (), b"journal", seen, 1, sole=True)


def run(rest: Alone, commits: int, revision: int = 0) -> int:
    """Commits of a sole keeper, each answered; returns the last one's revision."""
    for _ in range(commits):
        rest.begins(commit_at(revision))
        rest.happened(commit_at(revision), Receipt(revision + 1, revision))
        revision += 1
    return revision


async def test_compaction_while_the_stream_rests(any_etcd: Etcd, rests: Rests) -> None:
    """It begins again behind what was compacted."""
    any_etcd.wipe()
    async with opened(any_etcd, StoreOptions(compact=True)) as store:
        one = await sole(store)
        async with resting(store, one, rests) as listener:
            for _ in range(5):
                newest = (await one.commit_alone({"stat/a": b""})).revision
            await store.compact(newest)
            beat = await one.send_beat(b"1")
            await listener.reaches(beat)


async def test_position_after_a_rest(any_etcd: Etcd, rests: Rests) -> None:
    """Whoever follows next begins behind it too: what is before may be compacted."""
    any_etcd.wipe()
    async with opened(any_etcd, StoreOptions(compact=True)) as store:
        one = await sole(store)
        async with resting(store, one, rests) as listener:
            for _ in range(5):
                applied, newest = one.revision, (await one.commit_alone({"stat/a": b""})).revision
            store._alone.wake()
            await rests.over.wait()
        await store.compact(applied)
        async with listening(store, max(event.revision for event in listener.events)) as later:
            await later.reaches(newest)
        assert [event.revision for event in later.events] == [newest]


LINES = [
    b'{"result":{"header":{"revision":"100"},"created":true}}\n',
    b'{"result":{"header":{"revision":"101"},"fragment":true,"events":[%s]}}\n',
    b'{"result":{"header":{"revision":"101"},"events":[%s]}}\n',
]
EVENT = b'{"kv":{"key":"cGFya2VlcGVyL3N0YXQvYQ==","mod_revision":"101"}}'


@pytest.mark.parametrize("cut", [len(LINES[1] % EVENT), len(LINES[1] % EVENT) - 20])
async def test_stream_does_not_rest_in_the_middle(
    rests: Rests, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what etcd has to say of one revision, or of a line."""
    said = LINES[1] % EVENT + LINES[2] % EVENT
    alone_now = Alone(rests=True)
    run(alone_now, 3 * RUN, 100)
    send, receive = trio.open_memory_channel[bytes](0)

    class Said:
        """An answer that comes piece by piece."""

        def __init__(self, *_: object) -> None:
            self.response = httpx.Response(200)

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

        async def read(self) -> bytes:
            if rests.begun:
                await trio.sleep_forever()
            return await receive.receive()

    monkeypatch.setattr(watch, "Streaming", Said)
    async with opened_nowhere() as store, trio.open_nursery() as nursery:
        position = Position(99, 99, 99)
        follower = Follower(store._calls, store.layout, position, 0, alone_now, lambda _: None)
        nursery.start_soon(follower.run)
        await send.send(LINES[0])
        await send.send(said[:cut])
        await trio.testing.wait_all_tasks_blocked()
        assert rests.begun == 0
        await send.send(said[cut:])
        await trio.testing.wait_all_tasks_blocked()
        assert rests.begun == 1
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def opened_nowhere() -> AsyncIterator[EtcdStore]:
    """A store that nobody is asked through."""
    store = EtcdStore([("127.0.0.1", 1)], False, StoreOptions())
    yield store
    await store.aclose()
