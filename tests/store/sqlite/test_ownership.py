"""A sqlite store's file: one process has it, nobody else reads it, and no other program's file is taken for it."""

import errno
import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from parkeeper.errors import (
    AccessDenied,
    Incompatible,
    Unavailable,
)
from parkeeper.store.sqlite import SqliteStore
from parkeeper.store.sqlite_file import Database
from tests.store.sqlite.aids import expect_cut, run_child
from tests.store.writers import make_namespace


async def test_open_when_another_process_has_it(store: SqliteStore, path: Path) -> None:
    """The second process is refused with what to do instead; the first one goes on."""
    answer = await trio.to_thread.run_sync(run_child, "open", path)
    assert answer.startswith("Incompatible ")
    assert "another process holds" in answer
    assert "use etcd or Consul" in answer
    await make_namespace(store)


async def test_open_when_another_name_of_the_file_is_open(store: SqliteStore, path: Path) -> None:
    """A symbolic link does not evade the lock."""
    path.with_name("link.db").symlink_to(path)
    with pytest.raises(Incompatible, match="in use"):
        await SqliteStore(path.with_name("link.db")).open()


async def test_open_when_the_other_process_is_gone(path: Path) -> None:
    """The lock goes with its process, or with `aclose`; the file it leaves behind means nothing."""
    first = SqliteStore(path)
    await first.open()
    await first.aclose()
    assert path.with_name("store.db-lock").exists()
    assert await trio.to_thread.run_sync(run_child, "open", path) == "opened\n"


async def test_files_are_readable_by_their_owner_only(path: Path) -> None:
    """`meta` holds a secret, and the log holds `meta`; whatever the umask says."""
    before = os.umask(0)
    try:
        store = SqliteStore(path)
        await store.open()
        await make_namespace(store)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        await store.aclose()
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(["store.db", "store.db-wal", "store.db-shm", "store.db-lock"], 0o600)


def contents(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def make_garbage(path: Path) -> None:
    path.write_bytes(b"not a database, but a text\n" * 100)


def make_foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE item (x)")
    connection.close()


def make_later_format(path: Path) -> None:
    Database(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 3")
    connection.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_foreign, "another program's SQLite database"),
        (make_later_format, "has format 3, this version reads formats up to 2"),
        (make_garbage, "no SQLite database"),
        (lambda path: path.mkdir(), "Is a directory"),
    ],
)
async def test_open_when_the_file_is_not_ours(path: Path, make: Callable[[Path], None], message: str) -> None:
    """What is not ours is refused and left as it was; so is what a later version wrote."""
    make(path)
    before = contents(path)
    with pytest.raises(Incompatible, match=message):
        await SqliteStore(path).open()
    assert contents(path) == before


async def test_open_when_the_directory_is_missing(tmp_path: Path) -> None:
    """We don't make directories; the error names the file."""
    with pytest.raises(Incompatible, match=r"cannot use .*missing/store\.db"):
        await SqliteStore(tmp_path / "missing" / "store.db").open()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_open_when_the_directory_is_not_ours(tmp_path: Path) -> None:
    """A permission that is missing is named."""
    os.chmod(tmp_path, 0o500)
    with pytest.raises(AccessDenied, match=r"store\.db"):
        await SqliteStore(tmp_path / "store.db").open()


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOSPC, errno.EIO])
async def test_open_when_the_system_is_short_of_something(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Worth waiting for, unlike a file that is the wrong one: a keeper opens its file again now and then."""
    store = SqliteStore(path)

    def short(name: object, *_: object) -> int:
        raise OSError(code, os.strerror(code), str(name))

    with monkeypatch.context() as broken:
        broken.setattr(os, "open", short)
        with pytest.raises(Unavailable, match=r"store\.db just now"):
            await store.open()
    await store.open()
    await store.aclose()


async def test_open_when_it_failed_before(path: Path) -> None:
    """A failed open holds no lock: once the cause is gone, the next one succeeds."""
    make_garbage(path)
    store = SqliteStore(path)
    with pytest.raises(Incompatible):
        await store.open()
    os.unlink(path)
    await store.open()
    await store.aclose()


async def test_calls_when_closed(store: SqliteStore, path: Path) -> None:
    """Unavailable before open and after close; open streams are cut."""
    never_opened = SqliteStore(path.with_name("never.db"))
    with pytest.raises(Unavailable, match="not open"):
        await never_opened.head()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_cut, store)
        await trio.testing.wait_all_tasks_blocked()
        await store.aclose()
    with pytest.raises(Unavailable, match="not open"):
        await make_namespace(store)
