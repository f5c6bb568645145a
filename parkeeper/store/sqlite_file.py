"""The file of the sqlite store: a table of items and a log, transactions that survive a power cut, and a lock. Synchronous.

Two connections. One reads and commits, to a write-ahead log; it never checkpoints (that would make some commits take
15 ms and more). The other does nothing but checkpoint, from a thread. A lock file beside the database keeps a second
process out; the kernel drops it with the process, however that ends. Other programs may read the file at any time.

A commit is two steps: `begin` makes it true and has the log brought to the disk in the background, `finish` waits for
that (`parkeeper.store.sqlite_sync`; where there is none COMMIT waits). In between it may be applied, and nobody may be
told. A log that could not be brought to the disk may have a hole, and what is written behind a hole is lost as well: so
nothing goes on with it before it was opened anew, and with that written anew.

`item` holds key (see `parkeeper.store.keys`), value and the revision that wrote it. A small change does not touch
it: it is committed as one row of `log` (`parkeeper.store.sqlite_log`), and what the log holds is pending, kept in
memory by key, until the next transaction that settles: it moves all that is pending into `item`, together with its
own change, and notes its revision in `gone`. Rows of the log up to that revision mean nothing any more and are
written over, from the first on, so the log never grows beyond its bounds and nothing is ever deleted from it. Whoever
opens the file finds what is pending in the rows after that revision. A key that was written a hundred times between
two settlings is moved once. Nothing can be committed for long when nothing can be settled. (Sets at 1 and 64
connections: a quarter more a second than with rows written to `item` by every commit.)
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Final

from parkeeper.errors import Incompatible, InDoubt, NotApplied, Rejected, StoreError, Unavailable
from parkeeper.store.sqlite_log import Change, Row, pack_change, unpack_change
from parkeeper.store.sqlite_open import not_opened, open_file, primary_code

PAGE: Final = 4096
FEW: Final = 8  # guards that are quicker looked up one by one
TOGETHER: Final = 32  # guards looked up, or rows written, by one statement; SQLite may take 999 parameters

# Bounds of the log (not Final: compiled, tests could not change them). A slot of it keeps the size that it once had, so
# the table may in the end hold LOG_ROWS * LOGGED_BYTES.
LOGGED_BYTES = 64 << 10  # keys and values of a change that goes to the log; a larger one settles
LOG_ROWS = 512  # changes
LOG_BYTES = 4 << 20  # of all of them
PENDING_ROWS = 1024  # keys; full all the time with 512, while 64 connections write behind as many creates
KNOWN = 8192  # keys whose revision in `item` is remembered,
KNOWN_LENGTH = 256  # if they are not longer

_REVISIONS: Final = f"SELECT key, revision FROM item WHERE key IN ({', '.join('?' * TOGETHER)})"

_LOG: Final = "INSERT OR REPLACE INTO log VALUES (?, ?, ?)"
_PUT: Final = "INSERT OR REPLACE INTO item VALUES (?, ?, ?)"
_PUTS: Final = _PUT + ", (?, ?, ?)" * (TOGETHER - 1)

_NOTHING: Final = Change({}, ())


class Database:
    """The open file. Not for two threads at once, `checkpoint` excepted.

    Args:
        path: of the file; made, readable by its owner only, if it is not there.

    Attributes:
        wal_pages: pages written to the write-ahead log since the last checkpoint began; an estimate from above.
        seconds: that the last commit had to wait for the disk.
        newest: the highest revision ever given.

    Raises:
        AccessDenied: the file system's permissions don't let us.
        Incompatible: another process has it, it is no store of ours, or its file system can't do what we need.
        Unavailable: an error of the disk, or it is full.
    """

    def __init__(self, path: Path) -> None:
        path = path.resolve()  # else a symbolic link would evade the lock
        self.path = path
        self.wal_pages = 0
        self.seconds = 0.0
        self.newest = 0
        self._pending: dict[str, Row | None] = {}  # None: to be deleted
        self._known: dict[str, int] = {}  # revisions of keys that are not pending, 0: absent
        self._logged = 0  # changes in the log
        self._logged_bytes = 0
        self._in_doubt = False
        with contextlib.ExitStack() as stack:
            self._committing, self._checkpointing, self._sync = open_file(path, stack)
            try:
                self._read_log()
            except sqlite3.Error as error:
                raise not_opened(path, error) from error
            self._open = stack.pop_all()

    def close(self) -> None:
        """Close; the last connection moves the write-ahead log into the database. What is pending stays in the log."""
        self._open.close()

    def rows(self, prefix: str) -> list[Row]:
        """Items whose keys begin with a prefix, in order of keys."""
        query = "SELECT key, revision, value FROM item WHERE key >= ? AND key < ? ORDER BY key"
        rows = self._query(query, (prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)))
        pending = {key: row for key, row in self._pending.items() if key.startswith(prefix)}
        if not pending:
            return rows
        return sorted(
            [row for row in rows if row[0] not in pending] + [row for row in pending.values() if row]
        )

    def row(self, key: str) -> Row | None:
        """One item."""
        if key in self._pending:
            return self._pending[key]
        rows = self._query("SELECT key, revision, value FROM item WHERE key = ?", (key,))
        return rows[0] if rows else None

    def _query(self, query: str, parameters: tuple[str, ...]) -> list[Row]:
        try:
            return self._committing.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise Unavailable(f"{self.path} cannot be read: {error}") from error

    @property
    def is_settled(self) -> bool:
        """Whether `item` tells all."""
        return not self._logged

    def has_room(self, rows: int) -> bool:
        """Whether the log takes another change of so many rows, if it is not too large."""
        return self._logged < LOG_ROWS and len(self._pending) + rows <= PENDING_ROWS

    def is_logged(self, change: Change) -> bool:
        """Whether a change goes to the log, which takes little time; if not it settles, which takes more."""
        return (
            change.size <= LOGGED_BYTES
            and self._logged_bytes + change.size <= LOG_BYTES
            and self.has_room(change.rows)
        )

    def transact(self, change: Change, revision: int) -> bool:
        """Write in one transaction if every guarded key has its revision; then it is durable.

        Returns: False if a guard failed; nothing is changed then.

        Raises:
            NotApplied: another program holds a lock on the file.
            Rejected: the disk or the file is full.
            Unavailable: an error of the disk, before anything was committed.
            InDoubt: COMMIT or the sync failed, now or earlier: the transaction may hold. Close it, and open the file
                anew.
        """
        return self._commit(change, revision, self.is_logged(change), in_background=False)

    def begin(self, change: Change, revision: int) -> bool:
        """The same, but that nobody may be told before `finish`. Returns and raises: as `transact`."""
        return self._commit(change, revision, self.is_logged(change), in_background=True)

    def finish(self) -> None:
        """Wait until all that was begun is durable. Raises: `InDoubt`."""
        if self._sync is None:
            return
        started = perf_counter()
        try:
            self._sync.finish()
        except OSError as error:
            self._in_doubt = True
            raise InDoubt(f"{self.path} could not be brought to the disk: {error}") from error
        self.seconds += perf_counter() - started

    def settle(self) -> None:
        """Move all that is pending into `item`. Raises: as `transact`."""
        if self._logged:
            self._commit(_NOTHING, self.newest, logged=False, in_background=False)

    def _commit(self, change: Change, revision: int, logged: bool, in_background: bool) -> bool:
        """The transaction of a change, to the log or together with all that is pending; False: a guard failed.

        From COMMIT on it is in doubt until memory tells what the file tells, whatever is raised in between: what is
        pending, settled later, would put old rows over those of a commit that held.
        """
        self.finish()
        if self._in_doubt:
            raise InDoubt(f"a transaction on {self.path} may hold or not")
        execute = self._committing.execute
        rows: dict[str, Row | None] = {}
        try:
            execute("BEGIN IMMEDIATE")
            if not self._guards_hold(change.guards):
                return False
            if logged:
                execute(_LOG, (self._logged, revision, pack_change(change.puts, change.deletes)))
            else:
                rows.update(self._pending)
                _add(rows, change)
                self._move(rows, revision)
            self._in_doubt, started = True, perf_counter()
            execute("COMMIT")
            self.seconds = perf_counter() - started
        except sqlite3.Error as error:
            if self._in_doubt:
                raise InDoubt(f"COMMIT on {self.path} failed, and may yet hold: {error}") from error
            raise _not_applied(self.path, error) from error
        finally:
            if not self._in_doubt:
                self._roll_back()
        if self._sync is not None:
            self._sync.begin(in_background)
        self.newest = revision
        if logged:
            self._logged += 1
            self._logged_bytes += change.size
            _add(self._pending, change)
            self.wal_pages += 2 + change.size // PAGE
        else:
            self._settled(rows)
        self._in_doubt = False
        if not in_background:
            self.finish()
        return True

    def _settled(self, rows: Mapping[str, Row | None]) -> None:
        """They are in `item`, and nothing is pending."""
        self._learn({key: 0 if row is None else row[1] for key, row in rows.items()})
        for key, row in rows.items():
            self.wal_pages += 1 + (len(key) if row is None else len(key) + len(row[2])) // PAGE
        self._pending.clear()
        self._logged = self._logged_bytes = 0

    def _guards_hold(self, guards: Mapping[str, int]) -> bool:
        """Whether every key has its revision; within a transaction. Raises: `sqlite3.Error`.

        What is neither pending nor known is looked up, many by few statements. (128 of them take 60-80 us so,
        310-480 us one by one.)
        """
        pending, known = self._pending, self._known
        unknown: list[str] = []
        for key, guarded in guards.items():
            if key in pending:
                row = pending[key]
                if (0 if row is None else row[1]) != guarded:
                    return False
            elif key not in known:
                unknown.append(key)
            elif known[key] != guarded:
                return False
        if not unknown:
            return True
        found = self._look_up(unknown)
        self._learn(found)
        return all(found[key] == guards[key] for key in unknown)

    def _look_up(self, keys: list[str]) -> dict[str, int]:
        """Revisions in `item`, 0 for what is not there; within a transaction. Raises: `sqlite3.Error`."""
        execute = self._committing.execute
        found = dict.fromkeys(keys, 0)
        if len(keys) <= FEW:
            for key in keys:
                row = execute("SELECT revision FROM item WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    found[key] = row[0]
            return found
        keys += keys[:1] * (-len(keys) % TOGETHER)  # one text of the statement, whatever is left over
        for at in range(0, len(keys), TOGETHER):
            found.update(execute(_REVISIONS, keys[at : at + TOGETHER]).fetchall())
        return found

    def _learn(self, revisions: Mapping[str, int]) -> None:
        """Remember what is in `item`."""
        if len(self._known) > KNOWN:
            self._known.clear()
        self._known.update({key: revision for key, revision in revisions.items() if len(key) <= KNOWN_LENGTH})

    def _move(self, rows: Mapping[str, Row | None], revision: int) -> None:
        """Put rows into `item` (None: delete), after which the log means nothing. Raises: `sqlite3.Error`."""
        deletes = [(key,) for key, row in rows.items() if row is None]
        if deletes:
            self._committing.executemany("DELETE FROM item WHERE key = ?", deletes)
        self._write([row for row in rows.values() if row is not None])
        self._committing.execute("UPDATE gone SET revision = ?", (revision,))

    def _write(self, rows: Sequence[Row]) -> None:
        """Put rows; within a transaction. Raises: `sqlite3.Error`.

        Many in the order of their keys, by few statements (77 rows: a tenth to a fifth less time).
        """
        if len(rows) >= TOGETHER:
            rows = sorted(rows)
            whole = len(rows) - len(rows) % TOGETHER
            for at in range(0, whole, TOGETHER):
                self._committing.execute(_PUTS, [part for row in rows[at : at + TOGETHER] for part in row])
            rows = rows[whole:]
        self._committing.executemany(_PUT, rows)

    def _read_log(self) -> None:
        """What is pending in a file just opened. Raises: `sqlite3.Error`, `Incompatible`."""
        execute = self._committing.execute
        settled = execute("SELECT revision FROM gone").fetchone()
        if settled is None:
            raise Incompatible(f"{self.path} does not tell its revision: its table `gone` is empty")
        self.newest = settled[0]
        query = "SELECT revision, change FROM log WHERE revision > ? ORDER BY revision"
        for revision, data in execute(query, (self.newest,)).fetchall():
            change = Change({}, *unpack_change(data, revision))
            _add(self._pending, change)
            self.newest = revision
            self._logged += 1
            self._logged_bytes += change.size

    def checkpoint(self) -> None:
        """Move what is in the write-ahead log into the database, as far as no commit has to wait. From any thread.

        When all of it is moved, the next commit begins it anew.

        Raises:
            Unavailable: an error of the disk, or it is full. The write-ahead log keeps what it holds.
        """
        self.wal_pages = 0
        try:
            self._checkpointing.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            raise Unavailable(
                f"the write-ahead log of {self.path} could not be checkpointed: {error}"
            ) from error

    def _roll_back(self) -> None:
        if not self._committing.in_transaction:
            return
        try:
            self._committing.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._in_doubt = True
            raise InDoubt(f"ROLLBACK on {self.path} failed: {error}") from error


def _add(rows: dict[str, Row | None], change: Change) -> None:
    """Add what a change writes to what is to be moved (None: deleted) into `item`."""
    for key in change.deletes:
        rows[key] = None
    for row in change.puts:
        rows[row[0]] = row


def _not_applied(path: Path, error: sqlite3.Error) -> StoreError:
    match primary_code(error):
        case sqlite3.SQLITE_FULL:
            return Rejected(f"no room for {path}: {error}; free some space on its disk")
        case sqlite3.SQLITE_TOOBIG:
            return Rejected(f"too large for SQLite: {error}")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return NotApplied(f"another program holds a lock on {path}: {error}")
        case _:
            return Unavailable(f"{path} cannot be written: {error}")
