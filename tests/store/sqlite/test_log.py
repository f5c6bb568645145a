"""The sqlite store's log: what is committed there is there after a kill, and moves on into the table of items."""

from __future__ import annotations

import logging
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio

from parkeeper.errors import Incompatible, InDoubt, NotApplied, StoreError, Unavailable
from parkeeper.store import sqlite, sqlite_file
from parkeeper.store.sqlite import SqliteStore
from parkeeper.store.sqlite_file import Database
from parkeeper.store.sqlite_log import Change, Row, pack_change, unpack_change
from tests.store.sqlite.aids import expect_cut
from tests.store.writers import writers


def look(path: Path, query: str) -> list[tuple]:
    """What another program finds in the file."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def killed(path: Path, name: str) -> Path:
    """The file as a kill at this moment would leave it, under another name."""
    copy = path.with_name(name)
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    return copy


# --- its form -------------------------------------------------------------------------------------------------

PUTS: list[Row] = [("p/node/a", 7, b"\x00\xff"), ("p/data/ä", 7, b"")]
PACKED = (
    b"\x02\0\0\0" b"\x01\0\0\0" b"\x1b\0\0\0" b"\x02\0\0\0" b"\0\0\0\0"
    b"p/node/a\0p/data/\xc3\xa4\0p/kids/b" b"\x00\xff"
)  # fmt: skip


def test_form_of_a_change() -> None:
    """Written out by hand: a file outlives the version that wrote it."""
    assert pack_change(PUTS, ["p/kids/b"]) == PACKED
    assert unpack_change(PACKED, 7) == (PUTS, ["p/kids/b"])
    assert unpack_change(pack_change([], []), 1) == ([], [])


@pytest.mark.parametrize("damaged", [*(PACKED[:size] for size in range(len(PACKED))), PACKED + b"x"])
def test_form_when_damaged(damaged: bytes) -> None:
    """Never read as something else."""
    with pytest.raises(Incompatible, match="revision 7 of the log can't be read"):
        unpack_change(damaged, 7)


def test_form_when_a_key_can_not_be_told() -> None:
    """NUL stands between keys, and is in none."""
    with pytest.raises(ValueError, match="NUL"):
        pack_change([("p/node/a\0b", 1, b"")], [])


# --- what it holds --------------------------------------------------------------------------------------------


class Model:
    """What a file ought to hold, kept as simply as can be."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.revision = 0

    def apply(self, change: Change, revision: int) -> None:
        self.revision = revision
        for key in change.deletes:
            self.rows.pop(key, None)
        for row in change.puts:
            self.rows[row[0]] = row

    def guard(self, key: str) -> int:
        return self.rows[key][1] if key in self.rows else 0


def random_change(model: Model, rng: random.Random, revision: int) -> Change:
    keys = [f"p/{rng.choice('ab')}/{rng.randrange(12)}" for _ in range(rng.randrange(1, 9))]
    keys = list(dict.fromkeys(keys))
    cut = rng.randrange(len(keys) + 1)
    size = 200 if rng.random() < 0.1 else 5  # of the larger ones, some go by the log
    puts = [(key, revision, rng.randbytes(rng.randrange(size))) for key in keys[:cut]]
    return Change({key: model.guard(key) for key in keys}, puts, keys[cut:])


@pytest.mark.parametrize("seed", range(6))
def test_file_is_as_if_there_were_no_log(path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Whatever settles when, at every look, after every restart and every kill; and no guard is overlooked."""
    for name, value in {
        "LOGGED_BYTES": 60,
        "LOG_ROWS": 7,
        "LOG_BYTES": 150,
        "PENDING_ROWS": 15,
        "KNOWN": 9,
    }.items():
        monkeypatch.setattr(sqlite_file, name, value)
    rng, model, database = random.Random(seed), Model(), Database(path)
    settled: list[bool] = []

    def check(file: Database) -> None:
        for prefix in ("p/", "p/a/"):
            expected = sorted(row for key, row in model.rows.items() if key.startswith(prefix))
            assert file.rows(prefix) == expected
        key = f"p/a/{rng.randrange(12)}"
        assert file.row(key) == model.rows.get(key)
        assert file.newest == model.revision

    for step in range(400):
        change = random_change(model, rng, model.revision + 1)
        if rng.random() < 0.2:
            key = rng.choice([*change.guards])
            wrong = Change({**change.guards, key: change.guards[key] + rng.choice([-1, 1])}, change.puts)
            assert not database.transact(wrong, model.revision + 1)
        else:
            assert database.transact(change, model.revision + 1)
            model.apply(change, model.revision + 1)
        settled.append(database.is_settled)
        match rng.randrange(12):
            case 0:
                database.settle()
            case 1:
                database.close()
                assert look(path, "SELECT * FROM item ORDER BY key") == sorted(model.rows.values())
                database = Database(path)
            case 2:
                after = Database(killed(path, f"killed{step}"))
                check(after)
                after.close()
        check(database)
    database.close()
    assert 40 < settled.count(True) < 360


async def test_log_is_written_over(store: SqliteStore, path: Path) -> None:
    """It has a bound, however many changes there are of however few keys."""
    one, _ = await writers(store)
    for _ in range(2 * sqlite_file.LOG_ROWS + 100):
        await one.commit({"node/a": b"x"})
    ((rows,),) = look(path, "SELECT count(*) FROM log")
    assert rows == sqlite_file.LOG_ROWS
    assert store._database is not None
    assert not store._database.is_settled


# --- moving on ------------------------------------------------------------------------------------------------


class Settlings:
    """How often the store has tried to settle by itself, soon after a commit."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[StoreError | None](1000)

    def over(self, error: StoreError | None) -> None:
        """In the event loop, or on a thread of it."""
        if trio.lowlevel.in_trio_run():
            self._send.send_nowait(error)
        else:
            trio.from_thread.run_sync(self._send.send_nowait, error)

    async def next(self) -> StoreError | None:
        with trio.fail_after(10):
            return await self._receive.receive()


@pytest.fixture
def settlings(monkeypatch: pytest.MonkeyPatch) -> Settlings:
    seen = Settlings()
    settle = Database.settle

    def watched(self: Database) -> None:
        try:
            settle(self)
        except StoreError as error:
            seen.over(error)
            raise
        seen.over(None)

    monkeypatch.setattr(Database, "settle", watched)
    monkeypatch.setattr(sqlite, "SETTLE_SECONDS", 0.05)
    return seen


@pytest.mark.parametrize("inline", [True, False])
async def test_other_programs_see_it_soon(
    store: SqliteStore, path: Path, settlings: Settlings, monkeypatch: pytest.MonkeyPatch, inline: bool
) -> None:
    """Without another commit; on a thread where the disk is slow."""
    monkeypatch.setattr(sqlite, "INLINE_SECONDS", 1.0 if inline else 0.0)
    one, _ = await writers(store)
    receipt = await one.commit({"data/a": b"1"})
    assert await settlings.next() is None
    query = "SELECT revision, value FROM item WHERE key = 'parkeeper/data/a'"
    assert look(path, query) == [(receipt.revision, b"1")]


async def test_settling_when_another_program_writes(
    store: SqliteStore, path: Path, settlings: Settlings, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody is told, nothing is lost, and it is tried again."""
    one, _ = await writers(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as intruder:
        receipt = await one.commit({"data/a": b"1"})
        intruder.execute("BEGIN IMMEDIATE")
        with caplog.at_level(logging.WARNING):
            assert isinstance(await settlings.next(), NotApplied)
            assert isinstance(await settlings.next(), NotApplied)
        assert "other programs see old items" in caplog.text
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


async def test_file_of_format_1(path: Path) -> None:
    """One without a log gets one, and goes on where it stood; a version of before refuses it then."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("""
            CREATE TABLE item (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
            CREATE TABLE gone (revision INTEGER NOT NULL);
            INSERT INTO gone VALUES (3);
            INSERT INTO item VALUES ('parkeeper/data/a', 5, x'31');
            PRAGMA application_id = 1885434475;
            PRAGMA user_version = 1;
        """)
    store = SqliteStore(path)
    await store.open()
    try:
        item = await store.read("data/a")
        assert item is not None
        assert (item.value, item.revision, store.history.last) == (b"1", 5, 5)
        one, _ = await writers(store)
        assert (await one.commit({"data/a": b"2"}, {"data/a": 5})).revision > 5
    finally:
        await store.aclose()
    assert look(path, "PRAGMA user_version") == [(2,)]
    assert look(path, "SELECT value FROM item WHERE key = 'parkeeper/data/a'") == [(b"2",)]
