"""The sqlite store's log: its form, and that what is committed there is there after errors, restarts and kills."""

from __future__ import annotations

import contextlib
import functools
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parkeeper.errors import Incompatible, InDoubt, NotApplied, Rejected, Unavailable
from parkeeper.store import sqlite_file, sqlite_open, sqlite_sync
from parkeeper.store.sqlite import SqliteStore
from parkeeper.store.sqlite_file import Database
from parkeeper.store.sqlite_log import Change, Row, pack_change, unpack_change
from tests.store.sqlite.aids import killed, look, unsyncable
from tests.store.writers import writers

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


def random_change(model: Model, rng: random.Random) -> Change:
    keys = [f"p/{rng.choice('ab')}/{rng.randrange(12)}" for _ in range(rng.randrange(1, 9))]
    keys = list(dict.fromkeys(keys))
    cut = rng.randrange(len(keys) + 1)
    size = 200 if rng.random() < 0.1 else 5  # of the larger ones, some go by the log
    puts = [(key, model.revision + 1, rng.randbytes(rng.randrange(size))) for key in keys[:cut]]
    return Change({key: model.guard(key) for key in keys}, puts, keys[cut:])


class Failing(sqlite3.Connection):
    """Fails at a statement, before it or after it; see `arm`."""

    left = -100
    times = 1
    after = False
    code: int | None = sqlite3.SQLITE_IOERR

    @classmethod
    def arm(cls, left: int, after: bool, code: int | None, times: int = 1) -> None:
        """Let so many statements pass; the next ones of any connection fail with that code, None: by an interrupt."""
        cls.left, cls.after, cls.code, cls.times = left, after, code, times

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        return self._fail_or(super().execute, sql, *arguments)

    def executemany(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        return self._fail_or(super().executemany, sql, *arguments)

    def _fail_or(self, call: Callable[..., sqlite3.Cursor], sql: str, *arguments: Any) -> sqlite3.Cursor:
        cls = type(self)
        cls.left -= 1
        if not -1 - cls.times < cls.left < 0:
            return call(sql, *arguments)
        if cls.after:
            call(sql, *arguments)
        if cls.code is None:
            raise KeyboardInterrupt
        error = sqlite3.OperationalError(f"injected at {sql[:20]}")
        error.sqlite_errorcode = cls.code
        raise error


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """All connections can fail."""
    monkeypatch.setattr(sqlite_open.sqlite3, "connect", functools.partial(sqlite3.connect, factory=Failing))
    monkeypatch.setattr(Failing, "left", -100)


CODES = [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM]
BOUNDS = {
    "LOGGED_BYTES": 100,
    "LOG_ROWS": 7,
    "LOG_BYTES": 250,
    "PENDING_ROWS": 15,
    "KNOWN": 9,
    "KNOWN_LENGTH": 5,
}


class World:
    """A file and what it ought to hold, through errors, restarts and kills."""

    def __init__(self, path: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.model = Model()
        self.path = path
        self.database = Database(path)
        self.kills = 0
        self.doubts: list[bool] = []  # for each: whether the change held

    def transact(self) -> None:
        """A change that fits, or one that does not; now and then a statement fails."""
        rng, model, revision = self.rng, self.model, self.model.revision + 1
        change = random_change(model, rng)
        if rng.random() < 0.2:
            key = rng.choice([*change.guards])
            change = Change({**change.guards, key: change.guards[key] + rng.choice([-1, 1])}, change.puts)
            assert not self.database.transact(change, revision)
            return
        sync, commit = contextlib.nullcontext(), rng.choice([self.database.transact, self.database.begin])
        if rng.random() < 0.4:
            Failing.arm(rng.randrange(7), rng.random() < 0.5, rng.choice(CODES))
        elif self.database._sync is not None and rng.random() < 0.1:
            sync = unsyncable(self.database._sync)
        try:
            with sync:
                assert commit(change, revision)
                self.database.finish()
        except InDoubt:
            Failing.left = -100
            self._out_of_doubt(change)
        except (NotApplied, Rejected, Unavailable):
            pass
        else:
            model.apply(change, revision)
        Failing.left = -100

    def _out_of_doubt(self, change: Change) -> None:
        """Nothing goes on with this connection; the file tells what is true, and it is all of the change or nothing."""
        revision = self.model.revision + 1
        with pytest.raises(InDoubt):
            self.database.transact(change, revision)
        if not self.database.is_settled:
            with pytest.raises(InDoubt):
                self.database.settle()
        self.database.close()
        self.database = Database(self.path)
        self.doubts.append(self.database.newest == revision)
        if self.doubts[-1]:
            self.model.apply(change, revision)

    def kill(self) -> None:
        """Go on with what a kill would have left."""
        self.kills += 1
        path = killed(self.path, f"killed{self.kills}")
        counted = self.database._logged, self.database._logged_bytes
        self.database.close()
        self.path, self.database = path, Database(path)
        assert (self.database._logged, self.database._logged_bytes) == counted

    def restart(self) -> None:
        self.database.settle()
        self.database.close()
        assert look(self.path, "SELECT * FROM item ORDER BY key") == sorted(self.model.rows.values())
        self.database = Database(self.path)

    def check(self) -> None:
        rng, model, database = self.rng, self.model, self.database
        assert database.newest == model.revision
        for prefix in ("p/", "p/a/"):
            expected = sorted(row for key, row in model.rows.items() if key.startswith(prefix))
            assert database.rows(prefix) == expected
        key = f"p/a/{rng.randrange(12)}"
        assert database.row(key) == model.rows.get(key)
        assert len(database._pending) <= BOUNDS["PENDING_ROWS"]


@pytest.mark.parametrize("seed", range(6))
def test_file_is_as_if_there_were_no_log(path: Path, failing: None, monkeypatch, seed: int) -> None:
    """Whatever settles when, after every error, restart and kill; and no guard is overlooked.

    Two of the seeds are for systems where SQLite syncs by itself.
    """
    if seed > 3:
        monkeypatch.setattr(sqlite_sync, "available", lambda: False)
    for name, value in BOUNDS.items():
        monkeypatch.setattr(sqlite_file, name, value)
    world = World(path, seed)
    settled: list[bool] = []
    for _ in range(500):
        world.transact()
        settled.append(world.database.is_settled)
        match world.rng.randrange(15):
            case 0:
                world.database.settle()
            case 1:
                world.restart()
            case 2:
                world.kill()
        world.check()
    world.database.close()
    assert 50 < settled.count(True) < 450
    assert set(world.doubts) == {True, False}


def test_nothing_settles_after_a_rollback_that_failed(path: Path, failing: None) -> None:
    """It is not known then what the connection is about."""
    database = Database(path)
    assert database.transact(Change({}, [("p/a", 1, b"")]), 1)
    Failing.arm(1, False, sqlite3.SQLITE_IOERR, times=2)
    with pytest.raises(InDoubt, match="ROLLBACK"):
        database.transact(Change({}, [("p/a", 2, b"")]), 2)
    with pytest.raises(InDoubt):
        database.settle()
    database.close()
    database = Database(path)
    assert database.rows("p/") == [("p/a", 1, b"")]
    database.close()


def test_nothing_settles_after_an_interrupt_behind_commit(path: Path, failing: None, monkeypatch) -> None:
    """Memory does not tell then what the file tells: it must not be written over it."""
    database = Database(path)
    assert database.transact(Change({}, [("p/a", 1, b"old"), ("p/b", 1, b"old")]), 1)
    monkeypatch.setattr(sqlite_file, "LOG_ROWS", 0)  # so that the next one settles
    Failing.arm(3, True, None)  # BEGIN, rows, revision, COMMIT
    with pytest.raises(KeyboardInterrupt):
        database.transact(Change({}, [("p/a", 2, b"new"), ("p/c", 2, b"new")]), 2)
    with pytest.raises(InDoubt):
        database.settle()
    with pytest.raises(InDoubt):
        database.transact(Change({}, []), 3)
    database.close()
    database = Database(path)
    assert database.newest == 2
    assert [row[2] for row in database.rows("p/")] == [b"new", b"old", b"new"]
    database.close()


@pytest.mark.parametrize(
    "damage",
    ["DELETE FROM gone", "UPDATE log SET change = 'text'", "UPDATE log SET change = x'01'"],
)
def test_file_that_can_not_be_read(path: Path, damage: str) -> None:
    """Refused for good, not tried again and again."""
    database = Database(path)
    assert database.transact(Change({}, [("p/a", 1, b"")]), 1)
    database.close()
    with sqlite3.connect(path) as connection:
        connection.execute(damage)
    connection.close()
    with pytest.raises(Incompatible):
        Database(path)


@pytest.mark.parametrize("count", [1, 8, 9, 32, 33, 70])
def test_keys_that_are_too_long_are_not_remembered(path: Path, monkeypatch, count: int) -> None:
    """Whether they are looked up one by one or together; their guards hold nevertheless."""
    monkeypatch.setattr(sqlite_file, "KNOWN_LENGTH", 10)
    database = Database(path)
    puts = [(f"p/{'long' * 5}{number}", 1, b"") for number in range(count)]
    assert database.transact(Change({}, puts), 1)
    database.settle()
    assert database._known == {}
    guards = {key: 1 for key, _, _ in puts}
    assert database.transact(Change(guards, []), 2)
    assert not database.transact(Change(guards | {puts[-1][0]: 2}, []), 3)
    database.close()


def test_keys_that_are_remembered_have_a_bound(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In number; each is looked up again when it was forgotten."""
    monkeypatch.setattr(sqlite_file, "KNOWN", 9)
    database = Database(path)
    for number in range(100):
        assert database.transact(Change({f"p/{number}": 0}, [(f"q/{number}", number + 1, b"")]), number + 1)
        assert len(database._known) <= 10
    database.settle()
    assert database.transact(Change({f"p/{number}": 0 for number in range(100)}, []), 101)
    database.close()


async def test_log_has_a_bound_in_bytes(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of keys and values, of all that is pending."""
    monkeypatch.setattr(sqlite_file, "LOG_BYTES", 100_000)
    one, _ = await writers(store)
    for number in range(200):
        name = "data/a" if number % 2 else "data/" + "b" * 5000
        await one.commit({name: bytes(5000)})
        assert store._database is not None
        assert store._database._logged_bytes <= 100_000
    ((held,),) = look(path, "SELECT sum(length(change)) FROM log")
    assert held < 200_000


async def test_log_is_written_over(store: SqliteStore, path: Path) -> None:
    """It has a bound, however many changes there are of however few keys."""
    one, _ = await writers(store)
    for _ in range(2 * sqlite_file.LOG_ROWS + 100):
        await one.commit({"node/a": b"x"})
    ((rows,),) = look(path, "SELECT count(*) FROM log")
    assert rows == sqlite_file.LOG_ROWS
    assert store._database is not None
    assert not store._database.is_settled
