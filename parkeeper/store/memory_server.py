"""The cluster behind the stores in memory: keys, values, one revision for every change, and the recent past."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from parkeeper.store.facade import Commit, Committed
from parkeeper.store.heads import pack_head
from parkeeper.store.history import HISTORY_BYTES, History
from parkeeper.store.keys import Layout


class Entry(NamedTuple):
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
        self.history: History[Entry] = History(0, history, HISTORY_BYTES)
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
        self.history.append(Entry(revision, None, None, changes), size)
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

    def holds(self, guards: Mapping[str, int], layout: Layout) -> bool:
        """Whether every guarded item was last written at the revision named, 0 for absent."""
        return all(self.revision_of(layout.encode(name)) == guarded for name, guarded in guards.items())

    def commit(self, commit: Commit, layout: Layout, by: object) -> int:
        """Apply a commit whose guards hold, at one revision. Returns it.

        Args:
            commit: names no key twice.
            layout: what its names are called.
            by: the store that makes it.
        """
        head = commit.head
        if head is None:
            return self.change(tuple([(layout.encode(k), v) for k, v in commit.puts.items()]))
        revision, size, data_puts = self.revision + 1, len(commit.journal), 0
        for name in commit.deletes:
            self.write(layout.encode(name), None, revision)
        puts = dict(commit.puts)
        for name, value in puts.items():
            self.write(layout.encode(name), value, revision)
            size += len(value)
            data_puts += name.startswith("data/")
        key = layout.encode(f"head/{commit.keeper}")
        self.write(key, pack_head(head, data_puts, commit.journal), revision)
        told = Committed(
            revision, commit.keeper, head, commit.journal, MappingProxyType(puts), tuple(commit.deletes)
        )
        self.history.append(Entry(revision, layout, told, ()), size, by)
        return revision


def newest_of(index: dict[bytes, tuple[bytes, int]]) -> int:
    """The newest revision in an index, 0 if it is empty."""
    newest = 0
    for _, revision in index.values():
        newest = max(newest, revision)
    return newest
