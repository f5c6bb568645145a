"""A store in memory: the reference for the contract suite, and an ensemble for tests.

`MemoryServer` is what a cluster is elsewhere (`parkeeper.store.memory_server`); it may be shared by the keepers of one
process. `MemoryStore` is one keeper's access to it; keepers have nothing else in common. Nothing survives the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NoReturn

import trio

from parkeeper.errors import GuardFailed
from parkeeper.store.bounds import Bounds
from parkeeper.store.facade import (
    Changed,
    Commit,
    Event,
    Head,
    Item,
    Receipt,
    Snapshot,
    StoreLimits,
    Survey,
)
from parkeeper.store.heads import unpack_head
from parkeeper.store.history import TOLD
from parkeeper.store.keys import Layout
from parkeeper.store.memory_server import Entry, MemoryServer, newest_of
from parkeeper.store.urls import StoreOptions

__all__ = ["BATCH", "MemoryServer", "MemoryStore", "named_server"]

BATCH = 64
"""Writes in a commit: there is no round trip to be shared, and the others wait for it. (Beside eight connections that
pipeline 1,000 sets, a light client's p99 is 4.4 to 5.4 ms so. With 32 the sets of 8 x 32 and of 64 were a tenth fewer.)"""

_servers: dict[str, MemoryServer] = {}


def named_server(name: str) -> MemoryServer:
    """The server of `memory://NAME`, made when first asked for; lives as long as the process."""
    return _servers.setdefault(name, MemoryServer())


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
        return self._commit(commit)

    def ready(self) -> int:
        """Always, for a batch."""
        return BATCH

    def commit_now(self, commit: Commit) -> Receipt | None:
        """Always possible (`parkeeper.store.facade.PromptStore`)."""
        return self._commit(commit)

    def durable(self) -> None:
        """As durable as memory is."""

    def _commit(self, commit: Commit) -> Receipt:
        self._bounds.check(commit)
        if not self.server.holds(commit.guards, self.layout):
            raise self._guard_failed(commit.keeper)
        previous = self._newest()
        return Receipt(self.server.commit(commit, self.layout, self), previous)

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

    def head_now(self) -> int:
        """As it is now."""
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

        def tell(entry: Entry) -> None:
            for event in self._told(entry):
                deliver(event)

        await self.server.history.follow(after, tell, self)

    async def compact(self, revision: int) -> None:
        """Only with `StoreOptions.compact`; the history is bounded anyway."""
        await trio.lowlevel.checkpoint()
        if self._compacts:
            self.server.compact(revision)

    def _told(self, entry: Entry) -> Iterator[Event]:
        """What one revision is to a follower in this layout."""
        if entry.commit is not None and (entry.layout is self.layout or entry.layout == self.layout):
            yield entry.commit
            return
        for key, value in entry.changed_keys():
            name = self.layout.decode(key)
            if name is not None and name.startswith(TOLD):
                yield Changed(entry.revision, name, value)

    def _newest(self) -> int:
        return newest_of(self._heads)

    def _guard_failed(self, keeper: int) -> GuardFailed:
        held = self._heads.get(self.layout.encode(f"head/{keeper}"))
        if held is None:
            return GuardFailed(self._newest(), 0, None)
        return GuardFailed(self._newest(), held[1], unpack_head(held[0])[0])

    def _id(self, key: bytes) -> int:
        return int(key[key.rindex(b"/") + 1 :])
