"""Opening the file of the sqlite store: whose it is, the lock that keeps others out, what makes it durable, its tables.

What tells a file of another program, or of a later version, from ours is looked at before anything in it is changed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from parkeeper.errors import AccessDenied, Incompatible, StoreError, Unavailable
from parkeeper.store import sqlite_sync
from parkeeper.store.sqlite_sync import FileSync

APPLICATION = 0x7061726B  # "park"
FORMAT = 2  # 1 had no log
MODE = 0o600  # `meta` holds the secret that session passwords are made with
WAL_SIZE_LIMIT = 64 << 20

NORMAL: Final = 1  # a COMMIT is written; checkpoints sync what they move, and what it is moved to
FULL: Final = 2  # every COMMIT ends in an fsync as well
_PRAGMAS: Final = (
    ("journal_mode", "wal"),
    ("wal_autocheckpoint", 0),
    ("fullfsync", 1),
    ("checkpoint_fullfsync", 1),
    ("journal_size_limit", WAL_SIZE_LIMIT),
    ("trusted_schema", 0),
)
_MAKE_LOG = "CREATE TABLE log (slot INTEGER PRIMARY KEY, revision INTEGER NOT NULL, change BLOB NOT NULL)"
# `gone` has one row: the revision up to which `item` tells all. (Without it the revision of a change that left nothing
# behind would be given twice.)
_SCHEMA = (
    "CREATE TABLE item (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE gone (revision INTEGER NOT NULL)",
    "INSERT INTO gone VALUES (0)",
    _MAKE_LOG,
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {FORMAT}",
)
_FROM_1 = (
    "UPDATE gone SET revision = max(revision, coalesce((SELECT max(revision) FROM item), 0))",
    _MAKE_LOG,
    f"PRAGMA user_version = {FORMAT}",
)

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


class Opened(NamedTuple):
    """What is open.

    Args:
        committing: the connection that reads and commits.
        checkpointing: the one that does nothing but checkpoint; closed last.
        sync: what makes commits durable, if they don't by themselves.
    """

    committing: sqlite3.Connection
    checkpointing: sqlite3.Connection
    sync: FileSync | None


def open_file(path: Path, stack: contextlib.ExitStack) -> Opened:
    """Open it, making it if need be; `stack` closes all of it. See `Database` for the errors.

    What a kill or a disk that failed left in the write-ahead log is made durable before anybody is told of it.
    """
    try:
        stack.callback(os.close, _lock(path))
        _create(path)
        checkpointing = stack.enter_context(contextlib.closing(_connect(path)))
        found = _check_owner(checkpointing, path)  # before anything is changed in it
        _set_pragmas(checkpointing, path, FULL)
        if found != FORMAT:
            _make_tables(checkpointing, _FROM_1 if found else _SCHEMA)
        committing = stack.enter_context(contextlib.closing(_connect(path)))
        in_background = sqlite_sync.available()
        _set_pragmas(committing, path, NORMAL if in_background else FULL)
        sync = _sync_log(path, committing, stack) if in_background else None
        _sync_directory(path)
    except PermissionError as error:
        raise AccessDenied(f"{error.filename}: {error.strerror}") from error
    except OSError as error:
        if error.errno in _PASSING:
            raise Unavailable(f"cannot use {path} just now: {error.strerror}") from error
        raise Incompatible(f"cannot use {path}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise not_opened(path, error) from error
    return Opened(committing, checkpointing, sync)


def _sync_log(path: Path, committing: sqlite3.Connection, stack: contextlib.ExitStack) -> FileSync:
    """What syncs the write-ahead log, which is there as long as a connection is open.

    It is written anew first: if a sync of an earlier life failed it has a hole on the disk, and behind a hole everything
    is lost. (Closing and opening begin another log only if no other program reads in this one.)
    """
    sync = FileSync(path.with_name(f"{path.name}-wal"))
    stack.callback(sync.close)
    committing.execute("BEGIN IMMEDIATE")  # no other program writes to it meanwhile
    try:
        sync.rewrite()
    finally:
        committing.execute("ROLLBACK")
    return sync


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


def _set_pragmas(connection: sqlite3.Connection, path: Path, synchronous: int) -> None:
    for name, wanted in (*_PRAGMAS, ("synchronous", synchronous)):
        connection.execute(f"PRAGMA {name} = {wanted}")
        found = connection.execute(f"PRAGMA {name}").fetchone()[0]
        if found != wanted:
            raise Incompatible(f"SQLite keeps {name} = {found} on {path}, {wanted} is needed to lose nothing")


def _check_owner(connection: sqlite3.Connection, path: Path) -> int:
    """The format of a file that is a store of ours; 0 if it is empty, and ours to use."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application == APPLICATION:
        if not 1 <= version <= FORMAT:
            raise Incompatible(f"{path} has format {version}, this version reads formats up to {FORMAT}")
        return int(version)
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise Incompatible(f"{path} is another program's SQLite database")
    return 0


def _make_tables(connection: sqlite3.Connection, statements: Sequence[str]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in statements:
        connection.execute(statement)
    connection.execute("COMMIT")


def _sync_directory(path: Path) -> None:
    """Make the names of the new files survive a power cut as their contents do."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def not_opened(path: Path, error: sqlite3.Error) -> StoreError:
    """What an error is called while the file is opened, when whatever is wrong with it was wrong before."""
    match primary_code(error):
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return Incompatible(f"{path} is no SQLite database, or a damaged one: {error}")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return AccessDenied(f"{path} cannot be opened for writing: {error}")
        case _:
            return Unavailable(f"{path} cannot be opened: {error}")


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code without what the high bytes specify further; 0 for errors of the Python module's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
