"""A durable store for one process: a SQLite file (`parkeeper.store.sqlite_file`), and the recent past in memory.

**Inline or on a thread.** A hop to a thread costs a tenth of a millisecond and more, an fsync on a good disk no more
than that: so a commit that goes to the log of the file (`parkeeper.store.sqlite_file`) is made right in the event loop
while recent ones had to wait for the disk for less than a millisecond. All others, and every checkpoint of the
write-ahead log, go to a thread. (At one connection a hop to the thread for every commit halved the writes a second;
checkpoints inline cost a p99 of 14 ms; settling a few hundred keys inline would stall the loop for 1.5 ms, 15 ms in a
large file on a slow disk.)

**Settling.** What is in the log is moved into the table of items by a commit that finds it full, or a second after it
came, for other programs that read the table.

**Doubt.** Any error from COMMIT, or from bringing it to the disk, leaves open whether the transaction holds; one was
seen to come back after a kill. The store is then broken: writes stay in doubt, all else is unavailable, streams are
cut, until it is closed and opened again, when the file tells what is true.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

import trio

from parkeeper.errors import GuardFailed, InDoubt, StoreError, Unavailable
from parkeeper.store.bounds import Bounds
from parkeeper.store.facade import (
    Changed,
    Commit,
    Committed,
    Event,
    Head,
    Item,
    Receipt,
    Snapshot,
    StoreLimits,
    Survey,
)
from parkeeper.store.heads import unpack_head
from parkeeper.store.history import HISTORY_BYTES, TOLD, History
from parkeeper.store.keys import Layout
from parkeeper.store.sqlite_file import PAGE, Database
from parkeeper.store.sqlite_log import Change, change_of
from parkeeper.store.urls import StoreOptions

INLINE_SECONDS = 0.001
INLINE_WRITES = 64
INLINE_ROWS = 3 * INLINE_WRITES  # what so many write; if it is more the log may be full, and the task commits
SETTLE_SECONDS = 1.0
CHECKPOINT_BYTES = 16 << 20  # of write-ahead log; SQLite would at 4 MiB, one commit can be 8 MiB of values

_log = logging.getLogger(__name__)


class SqliteStore:
    """The keeper's access to its file. See `parkeeper.store.facade.Store`.

    Args:
        path: of the file.
        options: namespace, data prefix, history and bounds.

    Attributes:
        path: of the file, as given.
        history: the recent past, since `open`.
    """

    def __init__(self, path: Path, options: StoreOptions | None = None) -> None:
        self._options = options or StoreOptions()
        self.path = path
        self.layout = Layout(self._options.namespace, self._options.data_prefix)
        self.history: History[tuple[Event, ...]] = History(0, 0, 0)
        self._bounds = Bounds.of(self._options)
        ttl = self._options.keeper_ttl or 6.0
        self._limits = StoreLimits(self._bounds.value, shared=False, keeper_ttl=ttl, inline=True)
        self._database: Database | None = None
        self._doubt: str | None = None
        self._heads: dict[int, tuple[Head, int]] = {}
        self._newest = 0  # revision under `head/`
        self._lock = trio.Lock()
        self._writing_thread = trio.CapacityLimiter(1)
        self._checkpointing_thread = trio.CapacityLimiter(1)
        self._checkpoint_done: trio.Event | None = None
        self._settling: Database | None = None
        self._seconds = 0.0  # running mean of what commits to the log waited for the disk

    def __repr__(self) -> str:
        state = (
            "in doubt" if self._doubt else f"at revision {self.history.last}" if self._database else "closed"
        )
        return f"<SqliteStore {str(self.path)!r} {state}>"

    @property
    def limits(self) -> StoreLimits:
        """Not `shared`: the lock proves that every other keeper in the file is dead."""
        return self._limits

    def fits(self, guards: int, puts: int, deletes: int, size: int) -> bool:  # noqa: ARG002, the facade asks
        """Guards cost little here."""
        return self._bounds.fits(puts, deletes, size)

    async def open(self) -> None:
        """Open the file, making it if need be; what is in it now is the truth. See `Database` for the errors."""
        if self._database is not None:
            raise ValueError("already open")
        limiter = self._writing_thread
        database = await trio.to_thread.run_sync(Database, self.path, limiter=limiter)
        with contextlib.ExitStack() as undo:
            undo.callback(database.close)
            rows = database.rows(self.layout.key("head/"))
            self._heads = {self._id(key): (unpack_head(value)[0], revision) for key, revision, value in rows}
            undo.pop_all()
        self._newest = max((revision for _, revision in self._heads.values()), default=0)
        self.history = History(database.newest, self._options.history, HISTORY_BYTES)
        self._doubt = None
        self._database = database
        self._settle_before_long(database)

    async def aclose(self) -> None:
        """Close the file, after a commit or a checkpoint under way; streams are cut."""
        with trio.CancelScope(shield=True):  # the threads can't be stopped, and hold what is to be closed
            async with self._lock:
                database, self._database = self._database, None
            self.history.break_off("the store was closed")
            if self._checkpoint_done is not None:
                await self._checkpoint_done.wait()
            if database is not None:
                await trio.to_thread.run_sync(_settle_and_close, database, limiter=self._writing_thread)

    async def load(self) -> Snapshot:
        """Everything, read on a thread; no commit meanwhile."""
        async with self._lock:
            database = self._usable()
            prefixes = (
                {self.layout.namespace, self.layout.data}
                if self.layout.data_apart
                else {self.layout.namespace}
            )
            items: list[Item] = []
            for prefix in prefixes:
                items += await trio.to_thread.run_sync(
                    self._read_items, database, prefix, limiter=self._writing_thread
                )
            return Snapshot(self._newest, self.history.last, items, dict(self._heads))

    async def commit(self, commit: Commit) -> Receipt:
        """In one transaction of the file; see `StoreLimits.inline`."""
        self._bounds.check(commit)
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self._lock.acquire_nowait()  # (acquire() passes the scheduler even where nobody holds it)
        except trio.WouldBlock:
            await self._lock.acquire()
        try:
            return await self._commit(commit)
        finally:
            self._lock.release()

    def ready(self) -> int:
        """Not while somebody is at the file, nor where a commit belongs on a thread."""
        if not self._free():
            return 0
        database = self._database  # (None: `commit_now` says so)
        return INLINE_WRITES if database is None or database.has_room(INLINE_ROWS) else 0

    def commit_now(self, commit: Commit) -> Receipt | None:
        """The same, where it would be made inline (`parkeeper.store.facade.PromptStore`)."""
        self._bounds.check(commit)
        if not self._free():
            return None
        database = self._writable()
        change = change_of(commit, self.layout, self.history.last + 1)
        if not database.is_logged(change):
            return None
        try:
            happened = database.begin(change, self.history.last + 1)
        except InDoubt as error:
            self._break(error)
            raise
        return self._made(commit, happened)

    def durable(self) -> None:
        """Wait for the disk."""
        database = self._writable()
        try:
            database.finish()
        except InDoubt as error:
            self._break(error)
            raise
        self._over(database, learn=True)

    def _free(self) -> bool:
        """Whether nobody is at the file, and a commit that goes to the log would be made inline."""
        return not self._lock.locked() and self._quick()

    def head_now(self) -> int:
        """From memory: nobody else writes."""
        self._usable()
        return self._newest

    async def _commit(self, commit: Commit) -> Receipt:
        """The same, holding the lock."""
        change = change_of(commit, self.layout, self.history.last + 1)
        return self._made(commit, await self._transact(change))

    def _made(self, commit: Commit, happened: bool) -> Receipt:
        """A commit's transaction came to its end: tell of it."""
        if not happened:
            raise self._guard_failed(commit.keeper)
        revision, previous = self.history.last + 1, self._newest
        puts = dict(commit.puts)
        if commit.head is None:
            self._tell_changes(puts)
            return Receipt(revision, previous)
        for name in commit.deletes:
            if name.startswith("head/"):
                self._heads.pop(int(name[5:]), None)
        self._heads[commit.keeper] = commit.head, revision
        self._newest = revision
        told = Committed(
            revision,
            commit.keeper,
            commit.head,
            commit.journal,
            MappingProxyType(puts),
            tuple(commit.deletes),
        )
        size = len(told.journal) + sum(map(len, puts.values()))
        self.history.append((told,), size, self)
        return Receipt(revision, previous)

    async def put(self, name: str, value: bytes | None) -> None:
        """Durable like a commit; deleting what is not there changes nothing."""
        async with self._lock:
            key = self.layout.key(name)
            if value is not None:
                await self._transact(Change({}, [(key, self.history.last + 1, bytes(value))], ()))
            elif self._usable().row(key) is None:
                return
            else:
                await self._transact(Change({}, (), [key]))
            self._tell_changes({name: value})

    async def read(self, name: str) -> Item | None:
        """As the newest commit left it."""
        async with self._lock:
            row = self._usable().row(self.layout.key(name))
            return None if row is None else Item(name, row[2], row[1])

    async def head(self) -> int:
        """From memory: nobody else writes."""
        await trio.lowlevel.checkpoint()
        return self.head_now()

    async def survey(self) -> Survey:
        """Heads from memory, keepers as the newest commit left them."""
        async with self._lock:
            rows = self._usable().rows(self.layout.key("keeper/"))
            return Survey(
                dict(self._heads), {self._id(key): (value, revision) for key, revision, value in rows}
            )

    async def beat(self, keeper: int, guard: int, value: bytes) -> int:
        """A transaction as any; it waits for a commit under way, at most."""
        name = f"keeper/{keeper}"
        async with self._lock:
            key, revision = self.layout.key(name), self.history.last + 1
            if not await self._transact(Change({key: guard}, [(key, revision, bytes(value))], ())):
                raise self._guard_failed(keeper)
            self._tell_changes({name: value})
            return revision

    async def follow(self, after: int, deliver: Callable[[Event], None]) -> NoReturn:
        """From the past since `open`."""

        def tell(events: tuple[Event, ...]) -> None:
            for event in events:
                deliver(event)

        await self.history.follow(after, tell, self)

    async def compact(self, revision: int) -> None:  # noqa: ARG002, the facade asks
        """The file keeps no history, and that in memory is bounded."""
        await trio.lowlevel.checkpoint()

    async def _transact(self, change: Change) -> bool:
        """One transaction at the next revision, inline or on a thread; the lock is held."""
        database = self._writable()
        logged = database.is_logged(change)
        transact = functools.partial(database.transact, change, self.history.last + 1)
        try:
            if logged and self._quick():
                happened = transact()
            else:
                happened = await trio.to_thread.run_sync(transact, limiter=self._writing_thread)
        except InDoubt as error:
            self._break(error)
            raise
        self._over(database, learn=happened and logged)
        return happened

    def _quick(self) -> bool:
        """Whether transactions that go to the log are made inline."""
        return self._seconds < INLINE_SECONDS and self._checkpoint_done is None

    def _over(self, database: Database, learn: bool) -> None:
        """A transaction is over: have the write-ahead log moved when it is long, and what is pending before long.

        Args:
            learn: it went to the log and waited for the disk, which counts.
        """
        if learn:
            self._seconds += (database.seconds - self._seconds) / 8
        if database.wal_pages * PAGE > CHECKPOINT_BYTES and self._checkpoint_done is None:
            self._checkpoint_done = trio.Event()
            trio.lowlevel.spawn_system_task(self._checkpoint, database, self._checkpoint_done)
        self._settle_before_long(database)

    def _settle_before_long(self, database: Database) -> None:
        """See to it that what is pending, if anything is, gets into the table of items."""
        if self._settling is not database and not database.is_settled:
            self._settling = database
            trio.lowlevel.spawn_system_task(self._settle, database)

    def _break(self, error: InDoubt) -> None:
        """A transaction's fate is not known: nothing goes on with this file as it is open now."""
        self._doubt = f"{error}; the store must be opened anew"
        self.history.break_off(self._doubt)

    def _writable(self) -> Database:
        if self._doubt is not None:
            raise InDoubt(self._doubt)
        return self._usable()

    async def _settle(self, database: Database) -> None:
        """Every second until nothing is pending. A system task, as a store has no nursery."""
        told = False
        try:
            while self._is_open(database) and not database.is_settled:
                await trio.sleep(SETTLE_SECONDS)
                try:
                    await self._settle_once(database)
                except StoreError as error:
                    if not told:
                        _log.warning("%s; until it succeeds other programs see old items", error)
                    told = True
        finally:
            if self._settling is database:
                self._settling = None

    async def _settle_once(self, database: Database) -> None:
        """On a thread, no commit meanwhile. Raises: as `Database.settle`, but for `InDoubt`."""
        async with self._lock:
            if not self._is_open(database):
                return
            try:
                await trio.to_thread.run_sync(database.settle, limiter=self._writing_thread)
            except InDoubt as error:
                self._break(error)

    def _is_open(self, database: Database) -> bool:
        return self._database is database and self._doubt is None

    async def _checkpoint(self, database: Database, done: trio.Event) -> None:
        """Most of the write-ahead log beside the commits; then, no commit running, what came meanwhile: so it starts anew.

        A system task, as a store has no nursery, and this must outlive the commit that sets it off.
        """
        try:
            await trio.to_thread.run_sync(database.checkpoint, limiter=self._checkpointing_thread)
            async with self._lock:
                if self._database is database:
                    await trio.to_thread.run_sync(database.checkpoint, limiter=self._checkpointing_thread)
        except Unavailable as error:
            _log.warning("%s; commits go on, and it grows", error)
        finally:
            self._checkpoint_done = None
            done.set()

    def _usable(self) -> Database:
        if self._doubt is not None:
            raise Unavailable(self._doubt)
        if self._database is None:
            raise Unavailable(f"{self.path} is not open")
        return self._database

    def _read_items(self, database: Database, prefix: str) -> list[Item]:
        """In a thread."""
        named = ((self.layout.name(key), value, revision) for key, revision, value in database.rows(prefix))
        return [
            Item(n, value, revision)
            for n, value, revision in named
            if n is not None and not n.startswith("head/")
        ]

    def _tell_changes(self, changes: Mapping[str, bytes | None]) -> None:
        """Append the next revision, of a change outside commits."""
        revision = self.history.last + 1
        told = tuple(
            Changed(revision, name, value) for name, value in changes.items() if name.startswith(TOLD)
        )
        self.history.append(told, sum(len(value) for value in changes.values() if value is not None))

    def _guard_failed(self, keeper: int) -> GuardFailed:
        identity, revision = self._heads.get(keeper, (None, 0))
        return GuardFailed(self._newest, revision, identity)

    def _id(self, key: str) -> int:
        return int(key[key.rindex("/") + 1 :])


def _settle_and_close(database: Database) -> None:
    """In a thread."""
    try:
        with contextlib.suppress(StoreError):  # what is pending is in the log
            database.settle()
    finally:
        database.close()
