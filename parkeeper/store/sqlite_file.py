"""The file of the sqlite store: one table, transactions that survive a power cut, and a lock. Synchronous.

Two connections. One reads and commits: write-ahead log, `synchronous=FULL`, so every COMMIT ends in an fsync of
the log; it never checkpoints (that would make some commits take 15 ms and more). The other does nothing but
checkpoint, from a thread. A lock file beside the database keeps a second process out; the kernel drops it with
the process, however that ends. Other programs may read the file at any time.

`item` holds key (see `parkeeper.store.keys`), value and the revision that wrote it. A change that leaves no item
behind to show its revision (a ticket is deleted) puts it into `gone`, so that revisions always grow.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Final, NamedTuple

from parkeeper.errors import (
    AccessDenied,
    Incompatible,
    InDoubt,
    NotApplied,
    Rejected,
    StoreError,
    Unavailable,
)
from parkeeper.store.facade import Commit
from parkeeper.store.heads import pack_head
from parkeeper.store.keys import Layout

APPLICATION = 0x7061726B  # "park"
FORMAT = 1
MODE = 0o600  # `meta` holds the secret that session passwords are made with
PAGE = 4096
LOG_SIZE_LIMIT = 64 << 20
FEW: Final = 8  # guards that are quicker looked up one by one
TOGETHER: Final = 32  # guards looked up, or rows written, by one statement; SQLite may take 999 parameters

_PRAGMAS: Final = (
    ("journal_mode", "wal"),
    ("synchronous", 2),
    ("wal_autocheckpoint", 0),
    ("fullfsync", 1),
    ("checkpoint_fullfsync", 1),
    ("journal_size_limit", LOG_SIZE_LIMIT),
    ("trusted_schema", 0),
)
_SCHEMA = (
    "CREATE TABLE item (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE gone (revision INTEGER NOT NULL)",
    "INSERT INTO gone VALUES (0)",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {FORMAT}",
)

_REVISIONS: Final = f"SELECT key, revision FROM item WHERE key IN ({', '.join('?' * TOGETHER)})"

_PUT: Final = "INSERT OR REPLACE INTO item VALUES (?, ?, ?)"
_PUTS: Final = _PUT + ", (?, ?, ?)" * (TOGETHER - 1)

Row = tuple[str, int, bytes]
"""Key, revision, value: the value last, so that SQLite finds a revision without reading a large value's pages."""


class Change(NamedTuple):
    """What one transaction does.

    Args:
        guards: key -> the revision it must have, 0: is absent.
        puts: rows to write.
        deletes: keys to remove.
    """

    guards: Mapping[str, int]
    puts: Sequence[Row]
    deletes: Sequence[str]

    @classmethod
    def of(cls, commit: Commit, layout: Layout, revision: int) -> Change:
        """What a commit does at a revision, in the keys of a layout; the head's row is the last of `puts`."""
        rows: list[Row] = []
        data_puts = 0
        for name, value in commit.puts.items():
            rows.append((layout.key(name), revision, value))
            data_puts += name.startswith("data/")
        if commit.head is not None:
            head = pack_head(commit.head, data_puts, commit.journal)
            rows.append((layout.key(f"head/{commit.keeper}"), revision, head))
        guards = {layout.key(name): guarded for name, guarded in commit.guards.items()}
        return cls(guards, rows, [layout.key(name) for name in commit.deletes])

    @property
    def rows(self) -> int:
        """How many it writes and removes."""
        return len(self.puts) + len(self.deletes)

    @property
    def size(self) -> int:
        """Bytes of the values it writes."""
        return sum([len(value) for _, _, value in self.puts])


_PASSING: Final = frozenset(
    (
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EAGAIN,
        errno.EINTR,
        errno.EIO,
        errno.ENOSPC,
        errno.EDQUOT,
    )
)
"""What may be otherwise in a while: a file that is opened anew while descriptors or room lack is not the wrong one."""


class Database:
    """The open file. Not for two threads at once, `checkpoint` excepted.

    Args:
        path: of the file; made, readable by its owner only, if it is not there.

    Attributes:
        log_pages: pages written to the log since the last checkpoint began; an estimate from above.
        seconds: that the last COMMIT took, which is mostly the disk's.

    Raises:
        AccessDenied: the file system's permissions don't let us.
        Incompatible: another process has it, it is no store of ours, or its file system can't do what we need.
        Unavailable: an error of the disk, or it is full.
    """

    def __init__(self, path: Path) -> None:
        path = path.resolve()  # else a symbolic link would evade the lock
        self.path = path
        self.log_pages = 0
        self.seconds = 0.0
        with contextlib.ExitStack() as stack:
            try:
                stack.callback(os.close, _lock(path))
                _create(path)
                self._reading = stack.enter_context(contextlib.closing(_connect(path)))
                is_new = _check_owner(self._reading, path)  # before anything is changed in it
                _set_pragmas(self._reading, path)
                if is_new:
                    _make_schema(self._reading)
                self._checkpointing = stack.enter_context(contextlib.closing(_connect(path)))
                _set_pragmas(self._checkpointing, path)
                _sync_directory(path)
            except PermissionError as error:
                raise AccessDenied(f"{error.filename}: {error.strerror}") from error
            except OSError as error:
                if error.errno in _PASSING:
                    raise Unavailable(f"cannot use {path} just now: {error.strerror}") from error
                raise Incompatible(f"cannot use {path}: {error.strerror}") from error
            except sqlite3.Error as error:
                raise _not_opened(path, error) from error
            self._open = stack.pop_all()

    def close(self) -> None:
        """Close; the last connection moves the log into the database."""
        self._open.close()

    def newest_revision(self) -> int:
        """The highest revision ever given, as far as anything shows it."""
        query = (
            "SELECT '', max(coalesce((SELECT max(revision) FROM item), 0), (SELECT revision FROM gone)), x''"
        )
        return self._query(query, ())[0][1]

    def rows(self, prefix: str) -> list[Row]:
        """Items whose keys begin with a prefix, in order of keys."""
        query = "SELECT key, revision, value FROM item WHERE key >= ? AND key < ? ORDER BY key"
        return self._query(query, (prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)))

    def row(self, key: str) -> Row | None:
        """One item."""
        rows = self._query("SELECT key, revision, value FROM item WHERE key = ?", (key,))
        return rows[0] if rows else None

    def _query(self, query: str, parameters: tuple[str, ...]) -> list[Row]:
        try:
            return self._reading.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise Unavailable(f"{self.path} cannot be read: {error}") from error

    def transact(self, change: Change, revision: int) -> bool:
        """Write in one transaction if every guarded key has its revision.

        Returns: False if a guard failed; nothing is changed then.

        Raises:
            NotApplied: another program holds a lock on the file.
            Rejected: the disk or the file is full.
            Unavailable: an error of the disk, before anything was committed.
            InDoubt: COMMIT failed: the transaction may be in the log. The connection must not be used again.
        """
        guards, puts, deletes = change
        execute, committing = self._reading.execute, False
        try:
            execute("BEGIN IMMEDIATE")
            if not self._hold(guards):
                return False
            if deletes:
                self._reading.executemany("DELETE FROM item WHERE key = ?", ((key,) for key in deletes))
            self._write(puts)
            if not puts:
                execute("UPDATE gone SET revision = ?", (revision,))
            committing, started = True, perf_counter()
            execute("COMMIT")
            self.seconds = perf_counter() - started
        except sqlite3.Error as error:
            if committing:
                raise InDoubt(f"COMMIT on {self.path} failed, and may yet hold: {error}") from error
            raise _not_applied(self.path, error) from error
        finally:
            if not committing:
                self._roll_back()
        self.log_pages += len(deletes) + sum(1 + len(value) // PAGE for _, _, value in puts)
        return True

    def _hold(self, guards: Mapping[str, int]) -> bool:
        """Whether every key has its revision; within a transaction. Raises: `sqlite3.Error`.

        Many are looked up by few statements. (128 of them take 60-80 us so, 310-480 us one by one.)
        """
        execute = self._reading.execute
        if len(guards) <= FEW:
            for key, guarded in guards.items():
                row = execute("SELECT revision FROM item WHERE key = ?", (key,)).fetchone()
                if (0 if row is None else row[0]) != guarded:
                    return False
            return True
        keys = list(guards)
        keys += keys[:1] * (-len(keys) % TOGETHER)  # one text of the statement, whatever is left over
        found: dict[str, int] = {}
        for at in range(0, len(keys), TOGETHER):
            found.update(execute(_REVISIONS, keys[at : at + TOGETHER]).fetchall())
        return all(found.get(key, 0) == guarded for key, guarded in guards.items())

    def _write(self, rows: Sequence[Row]) -> None:
        """Put rows; within a transaction. Raises: `sqlite3.Error`.

        Many in the order of their keys, by few statements (77 rows: a tenth to a fifth less time).
        """
        if len(rows) >= TOGETHER:
            rows = sorted(rows)
            whole = len(rows) - len(rows) % TOGETHER
            for at in range(0, whole, TOGETHER):
                self._reading.execute(_PUTS, [part for row in rows[at : at + TOGETHER] for part in row])
            rows = rows[whole:]
        self._reading.executemany(_PUT, rows)

    def checkpoint(self) -> None:
        """Move what is in the log into the database, as far as no commit has to wait. From any thread.

        When all of the log is moved, the next commit begins it anew.

        Raises:
            Unavailable: an error of the disk, or it is full. The log keeps what it holds.
        """
        self.log_pages = 0
        try:
            self._checkpointing.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            raise Unavailable(
                f"the write-ahead log of {self.path} could not be checkpointed: {error}"
            ) from error

    def _roll_back(self) -> None:
        if not self._reading.in_transaction:
            return
        try:
            self._reading.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise InDoubt(f"ROLLBACK on {self.path} failed: {error}") from error


def _lock(path: Path) -> int:
    """Take the lock file; returns its descriptor, which holds it."""
    name = f"{path}-lock"
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise Incompatible(
            f"{path} is in use: another process holds {name}. One process serves a sqlite store; "
            "for several keepers use etcd or Consul"
        ) from error
    return descriptor


def _create(path: Path) -> None:
    """Make the file before SQLite does, which would let everybody read it. (Its `-wal` and `-shm` take after it.)"""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
    os.close(descriptor)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)


def _set_pragmas(connection: sqlite3.Connection, path: Path) -> None:
    for name, wanted in _PRAGMAS:
        connection.execute(f"PRAGMA {name} = {wanted}")
        found = connection.execute(f"PRAGMA {name}").fetchone()[0]
        if found != wanted:
            raise Incompatible(f"SQLite keeps {name} = {found} on {path}, {wanted} is needed to lose nothing")


def _check_owner(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file is empty, and ours to use; False if it is a store of ours already."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application == APPLICATION:
        if version != FORMAT:
            raise Incompatible(f"{path} has format {version}, this version reads and writes format {FORMAT}")
        return False
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise Incompatible(f"{path} is another program's SQLite database")
    return True


def _make_schema(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.execute("COMMIT")


def _sync_directory(path: Path) -> None:
    """Make the names of the new files survive a power cut as their contents do."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _not_opened(path: Path, error: sqlite3.Error) -> StoreError:
    match _primary_code(error):
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return Incompatible(f"{path} is no SQLite database, or a damaged one: {error}")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return AccessDenied(f"{path} cannot be opened for writing: {error}")
        case _:
            return Unavailable(f"{path} cannot be opened: {error}")


def _not_applied(path: Path, error: sqlite3.Error) -> StoreError:
    match _primary_code(error):
        case sqlite3.SQLITE_FULL:
            return Rejected(f"no room for {path}: {error}; free some space on its disk")
        case sqlite3.SQLITE_TOOBIG:
            return Rejected(f"too large for SQLite: {error}")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return NotApplied(f"another program holds a lock on {path}: {error}")
        case _:
            return Unavailable(f"{path} cannot be written: {error}")


def _primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code without what the high bytes specify further; 0 for errors of the Python module's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
