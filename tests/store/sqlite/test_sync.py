"""A file is brought to the disk in the background, and whoever waits for that hears when it is not."""

import os
import sys
from pathlib import Path
from time import perf_counter

import pytest
import trio

from parkeeper.errors import InDoubt, Unavailable
from parkeeper.store import sqlite_sync
from parkeeper.store.sqlite import SqliteStore
from parkeeper.store.sqlite_file import Database
from parkeeper.store.sqlite_log import Change
from parkeeper.store.sqlite_sync import FileSync
from tests.store.sqlite.aids import killed, unsyncable
from tests.store.writers import writers

pytestmark = pytest.mark.skipif(
    not sqlite_sync.available(), reason="another C library than glibc on 64 bits: SQLite syncs by itself"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    return path


@pytest.mark.skipif(
    sys.platform != "linux" or "64" not in os.uname().machine, reason="not where it is tested"
)
def test_it_is_available_here() -> None:
    """Else all of this is skipped, and nobody would know."""
    assert sqlite_sync.available()


@pytest.mark.parametrize("patience", [0.0, 10.0], ids=["going to sleep", "looking"])
def test_it_ends(file: Path, monkeypatch: pytest.MonkeyPatch, patience: float) -> None:
    """Again and again; to finish what is finished, or was never begun, is nothing."""
    monkeypatch.setattr(sqlite_sync, "PATIENCE", patience)
    sync = FileSync(file)
    sync.finish()
    for number in range(50):
        file.write_bytes(b"%d" % number * 5000)
        sync.begin()
        assert sync._under_way
        sync.finish()
        assert not sync._under_way
        sync.finish()
    sync.close()


@pytest.mark.parametrize("patience", [0.0, 10.0], ids=["going to sleep", "looking"])
def test_what_fails_in_the_background_is_told(
    file: Path, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    """Once; the next time it may be well."""
    monkeypatch.setattr(sqlite_sync, "PATIENCE", patience)
    sync = FileSync(file)
    with unsyncable(sync):
        sync.begin()
        assert sync._under_way
        with pytest.raises(OSError, match="Invalid argument"):
            sync.finish()
        sync.finish()
    sync.begin()
    sync.finish()
    sync.close()


def test_what_can_not_be_begun_is_done_at_the_end(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the library refuses (here: an operation that there is not) whoever waits does it."""
    sync = FileSync(file)
    monkeypatch.setattr(os, "O_DSYNC", 0)
    sync.begin()
    assert not sync._under_way
    sync.finish()
    with unsyncable(sync):
        sync.begin()
        with pytest.raises(OSError, match="Invalid argument"):
            sync.finish()
        sync.finish()
    sync.close()


def test_it_is_done_at_the_end_for_whoever_has_nothing_else_to_do(file: Path) -> None:
    """Without a thread."""
    sync = FileSync(file)
    with unsyncable(sync):
        sync.begin(in_background=False)
        assert not sync._under_way
        with pytest.raises(OSError, match="Invalid argument"):
            sync.finish()
        sync.finish()
    sync.close()


def test_what_interrupts_it_leaves_it_to_be_done(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody takes it for durable who asks again."""
    sync = FileSync(file)
    with unsyncable(sync):
        sync.begin()
        with monkeypatch.context() as patch:

            def interrupted(_: FileSync) -> int:
                raise KeyboardInterrupt

            patch.setattr(FileSync, "_code_in_the_end", interrupted)
            with pytest.raises(KeyboardInterrupt):
                sync.finish()
        with pytest.raises(OSError, match="Invalid argument"):
            sync.finish()
    sync.close()


def test_closing_waits_for_what_is_under_way(file: Path) -> None:
    """The library writes into its control block until then."""
    sync = FileSync(file)
    with unsyncable(sync):
        sync.begin()
        sync.close()
    assert not sync._under_way


# --- the file of the store ------------------------------------------------------------------------------------


def put(key: str, revision: int, value: bytes = b"x") -> Change:
    return Change({}, [(key, revision, value)])


def test_a_commit_that_was_not_synced_is_in_doubt(tmp_path: Path) -> None:
    """It is true until whoever waits hears of it; then nothing goes on with this file before it is opened anew."""
    path = tmp_path / "store.db"
    database = Database(path)
    assert database._sync is not None
    with unsyncable(database._sync):
        assert database.begin(put("a", 1), 1)
        assert database.newest == 1
        with pytest.raises(InDoubt, match=r"store\.db could not be brought to the disk: .*Invalid argument"):
            database.finish()
    calls = (
        lambda: database.begin(put("b", 2), 2),
        lambda: database.transact(put("b", 2), 2),
        database.settle,
    )
    for again in calls:
        with pytest.raises(InDoubt):
            again()
    database.close()
    database = Database(path)
    assert database.rows("a") == [("a", 1, b"x")]
    assert database.transact(put("b", 2), 2)
    database.close()


@pytest.mark.parametrize("logged", [True, False])
def test_a_commit_whose_sync_nobody_waited_for_holds_up_the_next(tmp_path: Path, logged: bool) -> None:
    """It may have failed, and behind it everything would be lost."""
    database = Database(tmp_path / "store.db")
    assert database._sync is not None
    with unsyncable(database._sync):
        assert database.begin(put("a", 1, b"x" if logged else bytes(1 << 20)), 1)
        assert database.is_settled != logged
        with pytest.raises(InDoubt):
            database.begin(put("b", 2), 2)
    database.close()


@pytest.mark.parametrize("settling", [True, False])
def test_what_is_done_on_a_thread_is_synced_as_well(tmp_path: Path, settling: bool) -> None:
    """`transact` and `settle` return when it is durable."""
    database = Database(tmp_path / "store.db")
    assert database._sync is not None
    assert database.transact(put("a", 1), 1)
    with unsyncable(database._sync), pytest.raises(InDoubt):
        if settling:
            database.settle()
        else:
            database.transact(put("b", 2), 2)
    database.close()


def test_opening_moves_what_is_in_the_write_ahead_log(tmp_path: Path) -> None:
    """What was written there and never synced could be lost with all that is written behind it."""
    path = tmp_path / "store.db"
    database = Database(path)
    assert database.transact(put("a", 1, bytes(1 << 20)), 1)
    left = killed(path, "left.db")
    database.close()
    assert left.stat().st_size < 1 << 20
    database = Database(left)
    assert left.stat().st_size > 1 << 20
    database.close()


# --- the store ------------------------------------------------------------------------------------------------


async def test_the_store_is_in_doubt(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a plain call and otherwise; opened anew, the file tells what is true."""
    one, _ = await writers(store)
    plan, next_plan = await one.plan({"node/a": b"1"}), await one.plan({"node/b": b"1"})
    assert store._database is not None
    sync = store._database._sync
    assert sync is not None
    with unsyncable(sync):
        receipt = store.commit_now(plan)
        assert receipt is not None
        with pytest.raises(InDoubt):
            store.durable()
    for call in (store.durable, lambda: store.commit_now(next_plan)):
        with pytest.raises(InDoubt):
            call()
    with pytest.raises(InDoubt), trio.fail_after(5):
        await store.commit(next_plan)
    with pytest.raises(Unavailable):
        store.head_now()
    await store.aclose()
    await store.open()
    assert store.head_now() == receipt.revision


async def test_what_a_commit_waited_for_the_disk_is_learnt(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a slow disk gets a thread."""
    one, _ = await writers(store)
    assert store._database is not None
    finish = FileSync.finish

    def slow(sync: FileSync) -> None:
        deadline = perf_counter() + 0.05
        while perf_counter() < deadline:
            pass
        finish(sync)

    monkeypatch.setattr(FileSync, "finish", slow)
    assert store.commit_now(await one.plan({"node/a": b"1"})) is not None
    store.durable()
    assert store._database.seconds > 0.05
    assert (store.ready(), store.commit_now(await one.plan({"node/b": b"1"}))) == (0, None)
