"""The sqlite store's commits in the event loop or on a thread, its log, and its bounds."""

import logging
import threading
from pathlib import Path

import pytest
import trio

from parkeeper.errors import (
    Compacted,
    NotApplied,
    Rejected,
    StoreError,
    Unavailable,
)
from parkeeper.store import sqlite, sqlite_file
from parkeeper.store.sqlite import SqliteStore
from parkeeper.store.sqlite_file import Database
from parkeeper.store.urls import StoreOptions
from tests.store.writers import Writer, listening, writers


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each transaction: whether it was made in the event loop."""
    inline: list[bool] = []
    transact = Database.transact

    def watched(self: Database, *arguments) -> bool:
        inline.append(threading.current_thread() is threading.main_thread())
        return transact(self, *arguments)

    monkeypatch.setattr(Database, "transact", watched)
    return inline


async def test_small_commits_are_made_inline(store: SqliteStore, threads: list[bool], monkeypatch) -> None:
    """While the disk is fast; when it has become slow they go to a thread, until it is fast again."""
    monkeypatch.setattr(sqlite, "INLINE_SECONDS", 1.0)
    one, _ = await writers(store)
    assert threads == [True] * 3
    threads.clear()
    store._seconds = 1.5
    while not any(threads):
        await one.commit({"node/a": b"1"})
    assert threads == [False] * (len(threads) - 1) + [True]
    assert 2 <= len(threads) <= 8


@pytest.mark.parametrize(
    "puts",
    [
        {f"node/{i}": b"" for i in range(sqlite_file.PENDING_ROWS)},
        {"data/a": bytes(sqlite_file.LOGGED_BYTES)},
        {"data/" + "a" * sqlite_file.LOGGED_BYTES: b""},
    ],
    ids=["many rows", "many bytes", "a long key"],
)
async def test_large_commits_are_made_on_a_thread(store: SqliteStore, threads: list[bool], puts) -> None:
    """However fast the disk: they would hold up everybody else's reads."""
    one, _ = await writers(store)
    threads.clear()
    await one.commit(puts)
    assert threads == [False]


async def test_commits_when_many_at_once(store: SqliteStore) -> None:
    """Commits, beats, tickets and reads of several tasks, inline and on threads, come one after the other."""
    one, two = await writers(store)

    async def commit(writer: Writer, size: int) -> None:
        for number in range(30):
            await writer.commit({f"data/{writer.keeper}": bytes(size), "node/n": b"%d" % number})

    async def beat() -> None:
        for _ in range(30):
            await one.send_beat(b"tick")
            await store.put("turn/1", b"x")
            await store.survey()
            await store.read("node/n")

    start = store.history.last
    async with listening(store, start) as listener:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(commit, one, 10)
            nursery.start_soon(commit, two, 100_000)
            nursery.start_soon(beat)
        await listener.reaches(store.history.last)
    assert [event.revision for event in listener.events] == list(range(start + 1, start + 121))


@pytest.mark.parametrize(
    ("name", "size", "count"),
    [("data/{}", 5000, 1000), ("data/{}", 100_000, 60), ("data/{}" + "n" * 100_000, 1, 60)],
    ids=["small", "large", "long keys"],
)
async def test_write_ahead_log_starts_anew_beside_commits(
    store: SqliteStore, path: Path, monkeypatch, name: str, size: int, count: int
) -> None:
    """Again and again, under commits without a pause, instead of growing for ever."""
    monkeypatch.setattr(sqlite, "CHECKPOINT_BYTES", 256 << 10)
    one, _ = await writers(store)
    for number in range(count):
        await one.commit({name.format(number % 20): bytes(size)}, seen=0)
    assert path.with_name("store.db-wal").stat().st_size < count * (size + len(name)) / 2


async def test_checkpoint_when_it_fails(
    store: SqliteStore, monkeypatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Commits go on, somebody is told, and it is tried again."""
    failed: list[int] = []

    def fail(self: Database) -> None:
        failed.append(self.wal_pages)
        self.wal_pages = 0
        raise Unavailable("the write-ahead log of x could not be checkpointed: disk I/O error")

    monkeypatch.setattr(sqlite, "CHECKPOINT_BYTES", 20_000)
    monkeypatch.setattr(Database, "checkpoint", fail)
    one, _ = await writers(store)
    with caplog.at_level(logging.WARNING), trio.fail_after(10):
        while len(failed) < 2:
            await one.commit({"data/a": bytes(10_000)})
    assert "could not be checkpointed" in caplog.text


async def test_aclose_during_a_checkpoint(path: Path, monkeypatch) -> None:
    """It waits for the checkpoint, does not wait for itself, and the next open finds everything."""
    monkeypatch.setattr(sqlite, "CHECKPOINT_BYTES", 4096)
    store = SqliteStore(path)
    await store.open()
    one, _ = await writers(store)
    await one.commit({"data/a": bytes(1 << 20)})
    with trio.fail_after(10):
        await store.aclose()
        await store.open()
    assert await store.head() == one.revision
    await store.aclose()


async def test_history_is_bounded_by_the_option(path: Path) -> None:
    """Who comes too late loads anew."""
    store = SqliteStore(path, StoreOptions(history=3))
    await store.open()
    one, _ = await writers(store)
    for number in range(4):
        await one.commit({"node/a": b"%d" % number})
    with pytest.raises(Compacted):
        await store.follow(3, lambda event: None)
    async with listening(store, 4) as listener:
        await listener.reaches(7)
    assert [event.revision for event in listener.events] == [5, 6, 7]
    await store.aclose()


@pytest.mark.parametrize("error", [NotApplied, Rejected, Unavailable])
async def test_commit_when_refused_moves_nothing(
    store: SqliteStore, monkeypatch, error: type[StoreError]
) -> None:
    """After a definite refusal head, revision and stream stand where they were."""
    one, _ = await writers(store)
    before = (store.history.last, await store.head(), (await store.survey()).heads)

    def refuse(*_: object) -> bool:
        raise error("no")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "transact", refuse)
        with pytest.raises(error):
            await one.commit({"node/a": b"1"})
    assert (store.history.last, await store.head(), (await store.survey()).heads) == before
    await one.commit({"node/a": b"1"})
