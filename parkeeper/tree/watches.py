"""Watches: who is to be told what, and telling them.

Watches belong to connections. There are four tables, each path to watchers and back: one-shot data watches (getData,
exists), one-shot child watches (getChildren), persistent and persistent recursive ones (addWatch). Which event looks
into which is `parkeeper.tree.matrix`.

Costs: registering and removing are a few dict operations; an event that nobody waits for is four look-ups, since
ancestors are walked only while a recursive watch exists anywhere; its packet is encoded once for all who get it.
Sources: WatchManager, DataTree (addWatch, removeWatch, containsWatcher), ZooKeeperServer.checkACL for the filter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, Protocol

from parkeeper.tree.acl import READ, AccessList
from parkeeper.tree.matrix import CHANGED, CHILDREN, CREATED, DELETED, Row
from parkeeper.tree.paths import ROOT, parent_of
from parkeeper.tree.schemes import Identities
from parkeeper.wire.events import event

PERSISTENT: Final = 0
RECURSIVE: Final = 1
"""Modes of addWatch (AddWatchMode)."""

OF_CHILDREN: Final = 1
OF_DATA: Final = 2
OF_ANY: Final = 3
OF_PERSISTENT: Final = 4
OF_RECURSIVE: Final = 5
"""Types of checkWatches and removeWatches (Watcher.WatcherType)."""


class Watcher(Protocol):
    """A connection, as far as watches know it. Hashed and compared by identity."""

    @property
    def identities(self) -> Identities:
        """What it has proved to be by now: events it may not read are not sent."""
        ...

    @property
    def session(self) -> int:
        """The session it holds."""
        ...

    def notify(self, packet: bytes) -> None:
        """Send a whole event packet, some time, in this order. Must not block, nor raise."""
        ...


Crowd = dict[Watcher, None]
"""Watchers of one path, in the order they came."""

_NOBODY: Final[Mapping[Watcher, None]] = {}


class _Table:
    """One kind of watch: path to watchers, watcher to paths. `total` counts the pairs."""

    __slots__ = ("crowds", "paths", "total")

    def __init__(self) -> None:
        self.crowds: dict[str, Crowd] = {}
        self.paths: dict[Watcher, set[str]] = {}
        self.total = 0

    def add(self, path: str, watcher: Watcher) -> None:
        crowd = self.crowds.get(path)
        if crowd is None:
            self.crowds[path] = {watcher: None}
        elif watcher in crowd:
            return
        else:
            crowd[watcher] = None
        self.total += 1
        paths = self.paths.get(watcher)
        if paths is None:
            self.paths[watcher] = {path}
        else:
            paths.add(path)

    def has(self, path: str, watcher: Watcher) -> bool:
        return watcher in self.crowds.get(path, _NOBODY)

    def remove(self, path: str, watcher: Watcher) -> bool:
        if not self.has(path, watcher):
            return False
        self._leave(path, watcher)
        self._forget(path, watcher)
        return True

    def drop(self, watcher: Watcher) -> None:
        for path in self.paths.pop(watcher, ()):
            self._leave(path, watcher)

    def take(self, path: str) -> Mapping[Watcher, None]:
        """End all watches of a path and say whose they were."""
        crowd = self.crowds.pop(path, None)
        if crowd is None:
            return _NOBODY
        self.total -= len(crowd)
        for watcher in crowd:
            self._forget(path, watcher)
        return crowd

    def _leave(self, path: str, watcher: Watcher) -> None:
        crowd = self.crowds[path]
        del crowd[watcher]
        if not crowd:
            del self.crowds[path]
        self.total -= 1

    def _forget(self, path: str, watcher: Watcher) -> None:
        paths = self.paths[watcher]
        paths.remove(path)
        if not paths:
            del self.paths[watcher]


class Summary(NamedTuple):
    """What `wchs` counts: watching connections, watched paths, and pairs of both."""

    connections: int
    paths: int
    watches: int


class WatchTable:
    """All watches of one keeper."""

    def __init__(self) -> None:
        self._data: Final = _Table()
        self._child: Final = _Table()
        self._persistent: Final = _Table()
        self._recursive: Final = _Table()

    def watch_data(self, path: str, watcher: Watcher) -> None:
        """One-shot: tell of the creation, change or deletion of a path (getData, exists)."""
        self._data.add(path, watcher)

    def watch_child(self, path: str, watcher: Watcher) -> None:
        """One-shot: tell when children of a path come or go, or it goes (getChildren)."""
        self._child.add(path, watcher)

    def watch(self, path: str, watcher: Watcher, mode: int) -> None:
        """Until removed: tell all of a path (`PERSISTENT`), or of it and everything below (`RECURSIVE`)."""
        (self._recursive if mode == RECURSIVE else self._persistent).add(path, watcher)

    def created(self, path: str, acl: AccessList, parent: str, parent_acl: AccessList, zxid: int) -> None:
        """A znode was created: tell its watchers, then those of its parent.

        Args:
            path, parent: whole paths.
            acl, parent_acl: who may not READ there by it is not told (a one-shot watch is used up all the same).
            zxid: of the write, for the header of the events.
        """
        self._fire(CREATED, path, acl, zxid)
        self._fire(CHILDREN, parent, parent_acl, zxid)

    def changed(self, path: str, acl: AccessList, zxid: int) -> None:
        """A setData happened; arguments as for `created`."""
        self._fire(CHANGED, path, acl, zxid)

    def deleted(self, path: str, acl: AccessList, parent: str, parent_acl: AccessList, zxid: int) -> None:
        """A znode was deleted; arguments as for `created`, `acl` is the one it had."""
        self._fire(DELETED, path, acl, zxid)
        self._fire(CHILDREN, parent, parent_acl, zxid)

    def contains(self, path: str, watcher: Watcher, type: int) -> bool:
        """Whether there is a watch of a type (`OF_...`) at a path."""
        return any(table.has(path, watcher) for table in self._tables(type))

    def remove(self, path: str, watcher: Watcher, type: int) -> bool:
        """End the watches of a type (`OF_...`) at a path; False if there were none."""
        removed = [table.remove(path, watcher) for table in self._tables(type)]
        return any(removed)

    def drop(self, watcher: Watcher) -> None:
        """End all watches of a connection: it ended."""
        for table in self._tables(OF_ANY):
            table.drop(watcher)

    @property
    def count(self) -> int:
        """`watch_count` of mntr: a persistent watch stands in both tables of ZooKeeper, and counts twice."""
        return self._data.total + self._child.total + 2 * self._persistent.total + self._recursive.total

    def summary(self) -> Summary:
        """For `wchs`, which leaves child watches out, as all of `wch?` do (DataTree.dumpWatchesSummary)."""
        by_watcher = self._by_watcher()
        paths = {path for watched in by_watcher.values() for path in watched}
        return Summary(len(by_watcher), len(paths), sum(map(len, by_watcher.values())))

    def by_session(self) -> list[tuple[int, list[str]]]:
        """For `wchc`: the session of every watching connection, with the paths it watches."""
        return [(watcher.session, list(paths)) for watcher, paths in self._by_watcher().items()]

    def by_path(self) -> dict[str, list[int]]:
        """For `wchp`: every watched path with the sessions of the connections that watch it."""
        sessions: dict[str, list[int]] = {}
        for watcher, paths in self._by_watcher().items():
            for path in paths:
                sessions.setdefault(path, []).append(watcher.session)
        return sessions

    def every(self) -> Iterator[tuple[str, str, int]]:
        """All watches, one by one: kind (`data`, `child`, `persistent`, `recursive`), path, session."""
        tables = (("data", self._data), ("child", self._child))
        for kind, table in (*tables, ("persistent", self._persistent), ("recursive", self._recursive)):
            for path, crowd in table.crowds.items():
                for watcher in crowd:
                    yield kind, path, watcher.session

    def _by_watcher(self) -> dict[Watcher, set[str]]:
        """Watchers and paths of what is one data table in ZooKeeper."""
        found: dict[Watcher, set[str]] = {}
        for table in (self._data, self._persistent, self._recursive):
            for watcher, paths in table.paths.items():
                found.setdefault(watcher, set()).update(paths)
        return found

    def _tables(self, type: int) -> tuple[_Table, ...]:
        """The tables a type of checkWatches and removeWatches is about."""
        if type == OF_CHILDREN:
            return (self._child,)
        if type == OF_DATA:
            return (self._data,)
        if type == OF_PERSISTENT:
            return (self._persistent,)
        if type == OF_RECURSIVE:
            return (self._recursive,)
        return (self._data, self._child, self._persistent, self._recursive)

    def _fire(self, row: Row, path: str, acl: AccessList, zxid: int) -> None:
        """One event: use up the one-shot watches it looks at, and tell each connection once."""
        told: Crowd = {}
        if row.data:
            told.update(self._data.take(path))
        if row.child:
            told.update(self._child.take(path))
        if path in self._persistent.crowds:
            told.update(self._persistent.crowds[path])
        if row.recursive and self._recursive.crowds:
            for above in _upwards(path):
                told.update(self._recursive.crowds.get(above, _NOBODY))
        if told:
            _tell(told, event(zxid, row.type, path), acl)


def _upwards(path: str) -> Iterator[str]:
    """A path and all above it, the root last."""
    yield path
    while path != ROOT:
        path = parent_of(path)
        yield path


def _tell(watchers: Iterable[Watcher], packet: bytes, acl: AccessList) -> None:
    if acl.world & READ:
        for watcher in watchers:
            watcher.notify(packet)
    else:
        for watcher in watchers:
            if acl.allows(READ, watcher.identities):
                watcher.notify(packet)
