"""What the sqlite store acknowledged is there after a kill; what failed is undone, or in doubt."""

import os
import platform
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import trio

from parkeeper.errors import (
    Incompatible,
    InDoubt,
    NotApplied,
    Rejected,
)
from parkeeper.store import sqlite_sync
from parkeeper.store.facade import Head
from parkeeper.store.sqlite import SqliteStore
from parkeeper.store.sqlite_file import Database
from parkeeper.store.sqlite_open import FULL, _set_pragmas
from tests.store.sqlite.aids import CHILD, ROOT, expect_cut, run_child
from tests.store.writers import writers

# --- what makes it durable ------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_background", [True, False])
async def test_pragmas_of_the_connections(
    path: Path, monkeypatch: pytest.MonkeyPatch, in_background: bool
) -> None:
    """Every COMMIT is synced, by SQLite (2 is FULL) or by us, into a log that no commit ever checkpoints."""
    if not in_background:
        monkeypatch.setattr(sqlite_sync, "available", lambda: False)
    elif not sqlite_sync.available():
        pytest.skip("another C library than glibc on 64 bits")
    with closing(Database(path)) as database:
        assert (database._sync is not None) == in_background
        for connection, synchronous in (
            (database._committing, 2 - in_background),
            (database._checkpointing, 2),
        ):
            for pragma, value in (
                ("synchronous", synchronous),
                ("journal_mode", "wal"),
                ("wal_autocheckpoint", 0),
                ("fullfsync", 1),
                ("checkpoint_fullfsync", 1),
            ):
                assert connection.execute(f"PRAGMA {pragma}").fetchone() == (value,)


def test_where_commits_are_synced_in_the_background() -> None:
    """Else the tests of that are skipped, and nobody would know."""
    library, version = platform.libc_ver()
    known = library == "glibc" and tuple(map(int, version.split("."))) >= (2, 34) and sys.maxsize > 1 << 32
    assert sqlite_sync.available() == known


def test_another_c_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """glibc had these calls elsewhere before 2.34; others have them and not the structure."""

    class Library:
        gnu_get_libc_version = aio_error = aio_return = aio_suspend = None

    monkeypatch.setattr(sqlite_sync, "_holding", Library)
    assert not sqlite_sync.available()
    Library.aio_fsync = None  # type: ignore[attr-defined]
    assert sqlite_sync.available()
    del Library.gnu_get_libc_version
    assert not sqlite_sync.available()


async def test_open_when_the_file_system_can_not_keep_a_log() -> None:
    """Where SQLite can't do as told, we say so instead of losing writes later."""
    with (
        closing(sqlite3.connect(":memory:")) as connection,
        pytest.raises(Incompatible, match="journal_mode"),
    ):
        _set_pragmas(connection, Path(":memory:"), FULL)


async def test_commits_survive_a_restart(path: Path) -> None:
    """All of it is there again: items, heads, and revisions that go on growing."""
    store = SqliteStore(path)
    await store.open()
    one, two = await writers(store)
    await one.commit({"node/a": b"1", "data/a": b"\x00\xff"})
    await two.send_beat(b"tick")
    before = await store.load()
    await store.aclose()
    await store.open()
    after = await store.load()
    assert sorted(after.items) == sorted(before.items)
    assert (after.revision, after.heads, after.position) == (before.revision, before.heads, before.position)
    assert (await one.commit({"node/b": b"1"})).revision > before.position
    await store.aclose()


async def test_revisions_grow_when_the_newest_item_was_deleted(path: Path) -> None:
    """A revision is not given twice, though nothing in the table shows it any more."""
    store = SqliteStore(path)
    await store.open()
    one, _ = await writers(store)
    await store.put("turn/1", b"ticket")
    await store.put("turn/1", None)
    last = store.history.last
    await store.aclose()
    await store.open()
    assert (await one.commit({"node/a": b"1"})).revision == last + 1
    await store.aclose()


@pytest.mark.slow
def test_kill_loses_nothing_acknowledged(path: Path) -> None:
    """SIGKILL at any moment, during checkpoints too: what was acknowledged is there, and no commit is torn."""
    for acknowledged_at_least in (40, 150, 400):
        child = subprocess.Popen(
            [*CHILD, "commit", str(path)], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        with child:
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(acknowledged_at_least)]
            child.kill()
            lines += child.stdout.readlines()
        acknowledged = max(int(line) for line in lines if line.endswith("\n"))
        head, counter = trio.run(read_counter, path)
        assert counter == head.counter
        assert counter in (acknowledged, acknowledged + 1)


async def read_counter(path: Path) -> tuple[Head, int]:
    store = SqliteStore(path)
    await store.open()
    item = await store.read("node/counter")
    assert item is not None
    head, revision = (await store.load()).heads[1]
    assert revision == item.revision
    await store.aclose()
    return head, int(item.value)


# --- errors before and from COMMIT ----------------------------------------------------------------------------


async def test_commit_when_another_program_writes(store: SqliteStore, path: Path) -> None:
    """A lock on the file means not applied; once it is gone the same commit passes."""
    one, _ = await writers(store)
    intruder = sqlite3.connect(path, isolation_level=None)
    intruder.execute("BEGIN IMMEDIATE")
    commit = await one.plan({"node/a": b"1"})
    with pytest.raises(NotApplied, match="lock"):
        await one.send(commit)
    intruder.execute("ROLLBACK")
    intruder.close()
    await one.send(commit)


async def test_commit_when_the_file_is_full(store: SqliteStore) -> None:
    """No room for the rows: refused, nothing changed, and smaller commits go on."""
    one, _ = await writers(store)
    assert store._database is not None
    pages = store._database._committing.execute("PRAGMA page_count").fetchone()[0]
    store._database._committing.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(Rejected, match=r"no room for .*full"):
        await one.commit({"node/a": b"1", "data/a": bytes(100_000)})
    assert await store.read("node/a") is None
    assert await store.head() == 3
    await one.commit({"node/a": b"1"})


def test_commit_when_the_disk_is_full_at_commit(path: Path) -> None:
    """An error from COMMIT is in doubt, and the store is broken until opened anew; then nothing is lost."""
    lines = dict(line.split(" ", 1) for line in run_child("fill", path, 600_000).splitlines())
    acknowledged = int(lines.pop("acknowledged"))
    assert acknowledged > 3
    found, head = map(int, lines.pop("found").split())
    assert found == head
    assert found in (acknowledged, acknowledged + 1)
    assert lines == {
        "commit": "InDoubt",
        "beat": "InDoubt",
        "put": "InDoubt",
        "head": "Unavailable",
        "read": "Unavailable",
        "survey": "Unavailable",
        "load": "Unavailable",
        "follow": "Cut",
        "committed": "True",
    }


async def test_follower_when_in_doubt(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever follows is cut off: nobody may go on from a past that is in doubt."""
    one, _ = await writers(store)

    def doubt(*_: object) -> bool:
        raise InDoubt("COMMIT failed")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_cut, store)
        await trio.testing.wait_all_tasks_blocked()
        monkeypatch.setattr(Database, "transact", doubt)
        with pytest.raises(InDoubt):
            await one.commit({"node/a": b"1"})
