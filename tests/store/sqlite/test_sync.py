"""A file is brought to the disk in the background, and whoever waits for that hears when it is not."""

import errno
import os
import sqlite3
from contextlib import closing
from itertools import accumulate
from pathlib import Path
from time import perf_counter

import pytest
import trio

from parkeeper.errors import InDoubt, Unavailable
from parkeeper.store import sqlite, sqlite_sync
from parkeeper.store.sqlite import SqliteStore
from parkeeper.store.sqlite_file import Database
from parkeeper.store.sqlite_log import Change
from parkeeper.store.sqlite_sync import FileSync
from tests.store.sqlite.aids import unsyncable
from tests.store.writers import writers

pytestmark = pytest.mark.skipif(
    not sqlite_sync.available(), reason="another C library than glibc on 64 bits: SQLite syncs by itself"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    return path


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


def test_what_is_synced_is_the_write_ahead_log(tmp_path: Path) -> None:
    """And as long as the file is open it is that one; closing lets go of it."""
    path = tmp_path / "store.db"
    database = Database(path)
    assert database._sync is not None
    descriptor = database._sync._descriptor
    for revision in (1, 2, 3):
        assert database.transact(put("a", revision, bytes(100_000)), revision)
        database.checkpoint()
        log = path.with_name("store.db-wal").stat()
        assert (os.fstat(descriptor).st_ino, os.fstat(descriptor).st_dev) == (log.st_ino, log.st_dev)
    database.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_opening_writes_the_write_ahead_log_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync of an earlier life may have failed, and the next one would succeed with a hole left behind.

    Also while another program reads, so that closing can't begin another log; and nobody writes to it meanwhile.
    """
    path = tmp_path / "store.db"
    database = Database(path)
    assert database.transact(put("a", 1, bytes(3 << 20)), 1)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM item").fetchone() == (1,)
    database.close()
    log = path.with_name("store.db-wal")
    before = log.read_bytes()
    assert len(before) > 3 << 20
    written: list[tuple[int, int]] = []
    pwrite = os.pwrite

    def watched(descriptor: int, data: bytes, at: int) -> int:
        assert os.fstat(descriptor).st_ino == log.stat().st_ino
        with (
            closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as writer,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            writer.execute("BEGIN IMMEDIATE")
        half = data[: len(data) // 2 + 1]  # (it may write less than it was given)
        written.append((at, len(half)))
        return pwrite(descriptor, half, at)

    monkeypatch.setattr(os, "pwrite", watched)
    database = Database(path)
    assert [*(at for at, _ in written), len(before)] == [0, *accumulate(size for _, size in written)]
    assert log.read_bytes() == before
    assert database.rows("a") == [("a", 1, bytes(3 << 20))]
    reader.close()
    database.close()


def test_opening_when_the_log_can_not_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is told of what may be lost, not even what was told before; and it can be tried again."""
    path = tmp_path / "store.db"
    Database(path).close()

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(Unavailable, match="Input/output error"):
            Database(path)
    Database(path).close()


# --- the store ------------------------------------------------------------------------------------------------


async def test_the_store_is_in_doubt(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a plain call and otherwise; opened anew, the file tells what is true."""
    monkeypatch.setattr(sqlite, "INLINE_SECONDS", 1.0)
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
    store._seconds = 0.0
    assert store.commit_now(await one.plan({"node/a": b"1"})) is not None
    store.durable()
    assert store._database.seconds > 0.05
    assert (store.ready(), store.commit_now(await one.plan({"node/b": b"1"}))) == (0, None)
