"""What is the sqlite store's own: durability, its lock, doubt, threads, and the log."""

import logging
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest
import trio

from parkeeper.errors import (
    AccessDenied,
    Compacted,
    Cut,
    Incompatible,
    InDoubt,
    NotApplied,
    Rejected,
    StoreError,
    Unavailable,
)
from parkeeper.store import sqlite
from parkeeper.store.facade import Head
from parkeeper.store.sqlite import SqliteStore
from parkeeper.store.sqlite_file import Database, _set_pragmas
from parkeeper.store.urls import StoreOptions
from tests.store.writers import Writer, listening, make_namespace, writers

CHILD = [sys.executable, str(Path(__file__).with_name("sqlite_child.py"))]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path)
    await store.open()
    try:
        yield store
    finally:
        await store.aclose()


def run_child(*arguments: object) -> str:
    """Output of a child that ends by itself."""
    return subprocess.run(
        [*CHILD, *map(str, arguments)], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=30, check=True,
    ).stdout  # fmt: skip


# --- what makes it durable ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("synchronous", 2), ("journal_mode", "wal"), ("wal_autocheckpoint", 0), ("fullfsync", 1)],
)
async def test_pragmas_of_the_connection_that_commits(store: SqliteStore, pragma: str, value: object) -> None:
    """Every COMMIT is synced (2 is FULL), into a log that no commit ever checkpoints."""
    assert store._database is not None
    assert store._database._reading.execute(f"PRAGMA {pragma}").fetchone() == (value,)


async def test_open_when_the_file_system_can_not_keep_a_log() -> None:
    """Where SQLite can't do as told, we say so instead of losing writes later."""
    with (
        closing(sqlite3.connect(":memory:")) as connection,
        pytest.raises(Incompatible, match="journal_mode"),
    ):
        _set_pragmas(connection, Path(":memory:"))


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


# --- one process, and whose file it is ------------------------------------------------------------------------


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
        connection.execute("PRAGMA user_version = 2")
    connection.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_foreign, "another program's SQLite database"),
        (make_later_format, "has format 2, this version reads and writes format 1"),
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


async def expect_cut(store: SqliteStore) -> None:
    with pytest.raises(Cut):
        await store.follow(store.history.last, lambda event: None)


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
    pages = store._database._reading.execute("PRAGMA page_count").fetchone()[0]
    store._database._reading.execute(f"PRAGMA max_page_count = {pages + 2}")
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


# --- inline, threads, and the log -----------------------------------------------------------------------------


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
    [{f"node/{i}": b"" for i in range(33)}, {"data/a": bytes(70_000)}],
    ids=["many rows", "many bytes"],
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


async def test_log_is_checkpointed_beside_commits(store: SqliteStore, path: Path, monkeypatch) -> None:
    """Under commits without a pause the log starts anew again and again, instead of growing for ever."""
    monkeypatch.setattr(sqlite, "CHECKPOINT_BYTES", 256 << 10)
    one, _ = await writers(store)
    log = path.with_name("store.db-wal")
    written = 0
    for number in range(1000):
        await one.commit({f"data/{number % 20}": bytes(5000)}, seen=0)
        written += 5000
    assert log.stat().st_size < written / 2


async def test_checkpoint_when_it_fails(
    store: SqliteStore, monkeypatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Commits go on, somebody is told, and it is tried again."""
    failed: list[int] = []

    def fail(self: Database) -> None:
        failed.append(self.log_pages)
        self.log_pages = 0
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
