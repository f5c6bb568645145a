"""What the sqlite store has in its log moves on into the table of items, by itself; and files that had no log."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import trio

from parkeeper.errors import Incompatible, InDoubt, NotApplied, StoreError, Unavailable
from parkeeper.store import sqlite
from parkeeper.store.sqlite import SqliteStore
from parkeeper.store.sqlite_file import Database
from tests.store.sqlite.aids import expect_cut, killed, look
from tests.store.writers import writers


class Settlings:
    """How it went each time the store settled by itself, soon after a commit or when it was closed."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[StoreError | None](1000)

    def over(self, error: StoreError | None) -> None:
        """On a thread of the event loop."""
        trio.from_thread.run_sync(self._send.send_nowait, error)

    def none(self) -> bool:
        """Whether there was no further one."""
        return self._receive.statistics().current_buffer_used == 0

    async def next(self) -> StoreError | None:
        with trio.fail_after(10):
            return await self._receive.receive()


@pytest.fixture
def settlings(monkeypatch: pytest.MonkeyPatch) -> Settlings:
    made = Settlings()
    settle = Database.settle

    def watched(self: Database) -> None:
        try:
            settle(self)
        except StoreError as error:
            made.over(error)
            raise
        made.over(None)

    monkeypatch.setattr(Database, "settle", watched)
    monkeypatch.setattr(sqlite, "SETTLE_SECONDS", 0.05)
    return made


async def until(happened: Callable[[], bool]) -> None:
    """Pass the scheduler until it happened."""
    with trio.fail_after(10):
        while not happened():
            await trio.lowlevel.checkpoint()


def seen(path: Path) -> list[tuple]:
    return look(path, "SELECT revision, value FROM item WHERE key = 'parkeeper/data/a'")


async def test_other_programs_see_it_soon(store: SqliteStore, path: Path, settlings: Settlings) -> None:
    """Without another commit, and again after the next one."""
    one, _ = await writers(store)
    for value in (b"1", b"2"):
        receipt = await one.commit({"data/a": value})
        while store._database is not None and not store._database.is_settled:
            assert await settlings.next() is None
        assert seen(path) == [(receipt.revision, value)]


def test_soon_is_what_the_readme_says() -> None:
    """A second."""
    assert sqlite.SETTLE_SECONDS <= 1.0


async def test_other_programs_see_it_soon_when_the_store_is_opened_anew(
    store: SqliteStore, path: Path, settlings: Settlings
) -> None:
    """While the settling of before still sleeps; and what a kill has left, without any commit."""
    one, _ = await writers(store)
    await one.commit({"data/a": b"1"})
    await store.aclose()
    assert await settlings.next() is None  # that of `aclose`
    await store.open()
    await one.commit({"data/a": b"2"})
    after = SqliteStore(killed(path, "killed.db"))
    assert await settlings.next() is None
    assert [value for _, value in seen(path)] == [b"2"]
    assert [value for _, value in seen(after.path)] == [b"1"]
    await after.open()
    assert await after.head() == await store.head()
    assert await settlings.next() is None
    assert [value for _, value in seen(after.path)] == [b"2"]
    await after.aclose()


async def test_settling_waits_for_a_commit_under_way(store: SqliteStore, settlings: Settlings) -> None:
    """Two threads at one connection would be one too many; and a store that is closed meanwhile settles no more."""
    one, _ = await writers(store)
    await until(lambda: store._settling is None)
    while not settlings.none():
        await settlings.next()
    await one.commit({"data/a": b"1"})
    async with store._lock:
        await until(lambda: store._lock.statistics().tasks_waiting == 1)
        assert settlings.none()
    assert await settlings.next() is None
    await until(lambda: store._settling is None)
    await one.commit({"data/a": b"2"})
    await store.aclose()
    assert await settlings.next() is None  # that of `aclose`
    await until(lambda: store._settling is None)
    assert settlings.none()


async def test_settling_when_another_program_writes(
    store: SqliteStore, path: Path, settlings: Settlings, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody is told, nothing is lost, and it is tried again."""
    one, _ = await writers(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as intruder:
        receipt = await one.commit({"data/a": b"1"})
        intruder.execute("BEGIN IMMEDIATE")
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                assert isinstance(await settlings.next(), NotApplied)
        assert caplog.text.count("other programs see old items") == 1
        with pytest.raises(NotApplied):
            await one.commit({"data/a": b"2"})
        intruder.execute("ROLLBACK")
    item = await store.read("data/a")
    assert item is not None
    assert (item.value, item.revision) == (b"1", receipt.revision)
    while await settlings.next() is not None:
        pass
    assert store._database is not None
    assert store._database.is_settled


async def test_settling_when_in_doubt(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """As any COMMIT that fails: nothing goes on until the file is opened anew."""

    def doubt(self: Database) -> None:
        raise InDoubt("COMMIT failed")

    monkeypatch.setattr(sqlite, "SETTLE_SECONDS", 0.05)
    one, _ = await writers(store)
    plan = await one.plan({"data/a": b"2"})
    with monkeypatch.context() as patch, trio.fail_after(10):
        patch.setattr(Database, "settle", doubt)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_cut, store)
            await trio.testing.wait_all_tasks_blocked()
            await one.commit({"data/a": b"1"})
    with pytest.raises(InDoubt):
        await store.commit(plan)
    with pytest.raises(Unavailable):
        await store.read("data/a")
    await store.aclose()
    await store.open()
    item = await store.read("data/a")
    assert item is not None
    assert item.value == b"1"


# --- files of before ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", [3, 8])
async def test_file_of_format_1(path: Path, gone: int) -> None:
    """One without a log gets one, and goes on where it stood; a version of before refuses it then."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"""
            CREATE TABLE item (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
            CREATE TABLE gone (revision INTEGER NOT NULL);
            INSERT INTO gone VALUES ({gone});
            INSERT INTO item VALUES ('parkeeper/data/a', 5, x'31');
            PRAGMA application_id = 1885434475;
            PRAGMA user_version = 1;
        """)
    store = SqliteStore(path)
    await store.open()
    try:
        item = await store.read("data/a")
        assert item is not None
        assert (item.value, item.revision, store.history.last) == (b"1", 5, max(5, gone))
        one, _ = await writers(store)
        assert (await one.commit({"data/a": b"2"}, {"data/a": 5})).revision > max(5, gone)
    finally:
        await store.aclose()
    assert look(path, "PRAGMA user_version") == [(2,)]
    assert [value for _, value in seen(path)] == [b"2"]


def test_file_that_says_no_format(path: Path) -> None:
    """Ours by its mark, and nothing is known of it: refused, and left as it was."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE item (key TEXT); PRAGMA application_id = 1885434475;")
    before = path.read_bytes()
    with pytest.raises(Incompatible, match="format 0"):
        Database(path)
    assert path.read_bytes() == before
