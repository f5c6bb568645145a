"""A store in memory: the reference for the contract suite, and an ensemble for tests.

`MemoryServer` is what a cluster is elsewhere: keys, values, one revision for every change, a history. It may be
shared by the keepers of one process. `MemoryStore` is one keeper's access to it; keepers have nothing else in
common. Nothing survives the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import NamedTuple, NoReturn

import trio

from parkeeper.errors import GuardFailed
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
from parkeeper.store.heads import pack_head, unpack_head
from parkeeper.store.history import HISTORY_BYTES, TOLD, History
from parkeeper.store.keys import Layout
from parkeeper.store.urls import StoreOptions

BATCH = 32
"""Writes in a commit: there is no round trip to be shared. (Beside eight connections that pipeline 1,000 sets, a light
client's p99 is 6 ms so, 13 ms with 64; the sets are 4 % slower.)"""

_servers: dict[str, MemoryServer] = {}


def named_server(name: str) -> MemoryServer:
    """The server of `memory://NAME`, made when first asked for; lives as long as the process."""
    return _servers.setdefault(name, MemoryServer())


class _Entry(NamedTuple):
    """What happened at one revision: a commit (in the names of `layout`), or changes of single keys."""

    revision: int
    layout: Layout | None
    commit: Committed | None
    changes: tuple[tuple[bytes, bytes | None], ...]

    def changed_keys(self) -> Iterator[tuple[bytes, bytes | None]]:
        """All keys written and deleted; those of a commit are of interest to other namespaces only."""
        yield from self.changes
        if self.commit is not None and self.layout is not None:
            for name, value in self.commit.puts.items():
                yield self.layout.encode(name), value
            for name in self.commit.deletes:
                yield self.layout.encode(name), None


class MemoryServer:
    """Keys and values, a revision for every change, and what happened lately.

    Args:
        history: how many revisions are kept for followers.

    Attributes:
        items: key -> (value, revision). To look at; written by stores and `stranger_put` only.
        history: the recent past.
    """

    def __init__(self, history: int = 10_000) -> None:
        self.items: dict[bytes, tuple[bytes, int]] = {}
        self.history: History[_Entry] = History(0, history, HISTORY_BYTES)
        self._indexes: dict[bytes, dict[bytes, tuple[bytes, int]]] = {}
        self._prefixes: tuple[bytes, ...] = ()

    @property
    def revision(self) -> int:
        """That of the last change."""
        return self.history.last

    @property
    def delay(self) -> float:
        """Seconds of Trio's clock between a change and its delivery to followers."""
        return self.history.delay

    @delay.setter
    def delay(self, seconds: float) -> None:
        self.history.delay = seconds

    def compact(self, revision: int) -> None:
        """Forget the history up to a revision; who follows from before it gets `Compacted`."""
        self.history.compact(revision)

    def stranger_put(self, key: bytes, value: bytes | None) -> int:
        """Write (None: delete) a key as a program that is no keeper. Returns the revision."""
        return self.change(((key, value),))

    def change(self, changes: tuple[tuple[bytes, bytes | None], ...]) -> int:
        """Write (None: delete) keys outside commits, all at one revision. Returns it."""
        revision = self.history.last + 1
        for key, value in changes:
            self.write(key, value, revision)
        size = sum(len(value) for _, value in changes if value is not None)
        self.history.append(_Entry(revision, None, None, changes), size)
        return revision

    def write(self, key: bytes, value: bytes | None, revision: int) -> None:
        """Write (None: delete) one key of the change at `revision`, which whoever calls appends to the history."""
        if value is None:
            self.items.pop(key, None)
        else:
            self.items[key] = value, revision
        if key.startswith(self._prefixes):
            for prefix, index in self._indexes.items():
                if not key.startswith(prefix):
                    continue
                if value is None:
                    index.pop(key, None)
                else:
                    index[key] = value, revision

    def revision_of(self, key: bytes) -> int:
        """Revision of the last change of a key, 0 if it is absent."""
        held = self.items.get(key)
        return 0 if held is None else held[1]

    def index(self, prefix: bytes) -> dict[bytes, tuple[bytes, int]]:
        """The items whose keys have a prefix, as a dict that is kept up to date. For the few that are often asked."""
        if prefix not in self._indexes:
            self._indexes[prefix] = {key: held for key, held in self.items.items() if key.startswith(prefix)}
            self._prefixes = tuple(self._indexes)
        return self._indexes[prefix]


class MemoryStore:
    """One keeper's access to a `MemoryServer`. See `parkeeper.store.facade.Store`."""

    def __init__(self, server: MemoryServer | None = None, options: StoreOptions | None = None) -> None:
        options = options or StoreOptions()
        self.server = server or MemoryServer(options.history)
        self.layout = Layout(options.namespace, options.data_prefix)
        self._heads = self.server.index(self.layout.encode("head/"))
        self._keepers = self.server.index(self.layout.encode("keeper/"))
        self._compacts = options.compact
        self._bounds = Bounds.of(options)
        ttl = options.keeper_ttl or 6.0
        self._limits = StoreLimits(self._bounds.value, shared=True, keeper_ttl=ttl, inline=True, batch=BATCH)

    def __repr__(self) -> str:
        return f"<MemoryStore {self.layout.namespace!r} at revision {self.server.revision}>"

    @property
    def limits(self) -> StoreLimits:
        """Others may live in the same process, so `shared`."""
        return self._limits

    def fits(self, guards: int, puts: int, deletes: int, size: int) -> bool:  # noqa: ARG002, the facade asks
        """Guards cost nothing here."""
        return self._bounds.fits(puts, deletes, size)

    async def open(self) -> None:
        """Nothing to connect to."""
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Nothing to let go of."""
        await trio.lowlevel.checkpoint()

    async def load(self) -> Snapshot:
        """Everything at the revision of the call; the copy is taken at once, decoded in slices."""
        await trio.lowlevel.checkpoint()
        position = self.server.revision
        copy = list(self.server.items.items())
        items: list[Item] = []
        heads: dict[int, tuple[Head, int]] = {}
        for number, (key, (value, revision)) in enumerate(copy):
            if number % 1000 == 999:
                await trio.lowlevel.checkpoint()
            name = self.layout.decode(key)
            if name is None:
                continue
            if name.startswith("head/"):
                heads[self._id(key)] = unpack_head(value)[0], revision
            else:
                items.append(Item(name, value, revision))
        newest = max((revision for _, revision in heads.values()), default=0)
        return Snapshot(newest, position, items, heads)

    async def commit(self, commit: Commit) -> Receipt:
        """All of it at once: whoever is cancelled has changed nothing. No other task runs (`StoreLimits.inline`)."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._bounds.check(commit)
        server, encode = self.server, self.layout.encode
        for name, guarded in commit.guards.items():
            if server.revision_of(encode(name)) != guarded:
                raise self._guard_failed(commit.keeper)
        if commit.head is None:
            return Receipt(
                server.change(tuple((encode(k), bytes(v)) for k, v in commit.puts.items())), self._newest()
            )
        previous = self._newest()
        revision = server.revision + 1
        told = Committed(
            revision,
            commit.keeper,
            commit.head,
            bytes(commit.journal),
            MappingProxyType({name: bytes(value) for name, value in commit.puts.items()}),
            tuple(commit.deletes),
        )
        size = len(told.journal)
        data_puts = 0
        for name in told.deletes:
            server.write(encode(name), None, revision)
        for name, value in told.puts.items():
            server.write(encode(name), value, revision)
            size += len(value)
            data_puts += name.startswith("data/")
        head = pack_head(told.head, data_puts, told.journal)
        server.write(encode(f"head/{told.keeper}"), head, revision)
        server.history.append(_Entry(revision, self.layout, told, ()), size, self)
        return Receipt(revision, previous)

    async def put(self, name: str, value: bytes | None) -> None:
        """Deleting what is not there changes nothing, and takes no revision."""
        await trio.lowlevel.checkpoint()
        key = self.layout.encode(name)
        if value is not None:
            self.server.change(((key, bytes(value)),))
        elif key in self.server.items:
            self.server.change(((key, None),))

    async def read(self, name: str) -> Item | None:
        """As it is now."""
        await trio.lowlevel.checkpoint()
        held = self.server.items.get(self.layout.encode(name))
        return None if held is None else Item(name, *held)

    async def head(self) -> int:
        """As it is now."""
        await trio.lowlevel.checkpoint()
        return self._newest()

    async def survey(self) -> Survey:
        """As it is now."""
        await trio.lowlevel.checkpoint()
        heads = {
            self._id(key): (unpack_head(value)[0], revision) for key, (value, revision) in self._heads.items()
        }
        return Survey(heads, {self._id(key): held for key, held in self._keepers.items()})

    async def beat(self, keeper: int, guard: int, value: bytes) -> int:
        """Takes a revision, as a commit does."""
        await trio.lowlevel.checkpoint()
        key = self.layout.encode(f"keeper/{keeper}")
        if self.server.revision_of(key) != guard:
            raise self._guard_failed(keeper)
        return self.server.change(((key, bytes(value)),))

    async def follow(self, after: int, deliver: Callable[[Event], None]) -> NoReturn:
        """The server's history from a revision on, `server.delay` late."""

        def tell(entry: _Entry) -> None:
            for event in self._told(entry):
                deliver(event)

        await self.server.history.follow(after, tell, self)

    async def compact(self, revision: int) -> None:
        """Only with `StoreOptions.compact`; the history is bounded anyway."""
        await trio.lowlevel.checkpoint()
        if self._compacts:
            self.server.compact(revision)

    def _told(self, entry: _Entry) -> Iterator[Event]:
        """What one revision is to a follower in this layout."""
        if entry.commit is not None and entry.layout == self.layout:
            yield entry.commit
            return
        for key, value in entry.changed_keys():
            name = self.layout.decode(key)
            if name is not None and name.startswith(TOLD):
                yield Changed(entry.revision, name, value)

    def _newest(self) -> int:
        return max((revision for _, revision in self._heads.values()), default=0)

    def _guard_failed(self, keeper: int) -> GuardFailed:
        held = self._heads.get(self.layout.encode(f"head/{keeper}"))
        if held is None:
            return GuardFailed(self._newest(), 0, None)
        return GuardFailed(self._newest(), held[1], unpack_head(held[0])[0])

    def _id(self, key: bytes) -> int:
        return int(key[key.rindex(b"/") + 1 :])
