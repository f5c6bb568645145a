"""TTL nodes and containers whose time has come: an index of the replica for the janitor.

A TTL node may go when it has no children and nobody set its data for longer than its TTL. A container may go when
its children are gone, or when it never had one for a while. Children of any kind keep both alive.
Source: ContainerManager.getCandidates.

Looking must not cost a walk over all such nodes. TTL nodes wait in a heap under a time not later than their real
one: setData only moves that away, so it is looked at again when the old one comes. Containers are looked at while
they may be empty: from their creation until they are seen with a child, and again once a child was deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop, heappush
from typing import Final

from parkeeper.tree.node import CONTAINER, Kids, Znode, ttl_of
from parkeeper.tree.paths import parent_of

_SPARE: Final = 1024
"""Dead entries the heap may hold besides one per TTL node, so that it is not rebuilt all the time."""


def _due(node: Znode) -> int:
    """The last wall clock ms at which a TTL node is not expired yet."""
    return node.mtime + ttl_of(node.owner)


class Reaping:
    """TTL nodes and containers. The replica tells it of every znode that comes, goes or changes.

    Attributes:
        ttl_count: TTL nodes there are.
        container_count: containers there are.
    """

    __slots__ = ("_containers", "_heap", "_maybe_empty", "_ttl")

    def __init__(self) -> None:
        self._ttl: dict[str, Znode] = {}
        self._heap: list[tuple[int, str]] = []
        self._containers: dict[str, Znode] = {}
        self._maybe_empty: dict[str, None] = {}

    @property
    def ttl_count(self) -> int:
        return len(self._ttl)

    @property
    def container_count(self) -> int:
        return len(self._containers)

    def created(self, path: str, node: Znode) -> None:
        """A znode was created (or loaded)."""
        if node.owner == CONTAINER:
            self._containers[path] = node
            self._maybe_empty[path] = None
        elif ttl_of(node.owner):
            self._ttl[path] = node
            self._wait(path, node)

    def deleted(self, path: str, node: Znode) -> None:
        """A znode was deleted: perhaps the last child of a container."""
        if node.owner == CONTAINER:
            del self._containers[path]
            self._maybe_empty.pop(path, None)
        elif ttl_of(node.owner):
            del self._ttl[path]  # its entry in the heap is recognised as dead when its time comes
        if self._containers:
            parent = parent_of(path)
            if parent in self._containers:
                self._maybe_empty[parent] = None

    def changed(self, path: str, old: Znode, new: Znode) -> None:
        """Data or ACL of a znode changed."""
        if new.owner == CONTAINER:
            self._containers[path] = new
        elif ttl_of(new.owner):
            self._ttl[path] = new
            if new.mtime < old.mtime:  # another keeper's clock is behind: the entry in the heap is too late
                self._wait(path, new)

    def _wait(self, path: str, node: Znode) -> None:
        heappush(self._heap, (_due(node), path))
        if len(self._heap) > 2 * len(self._ttl) + _SPARE:
            self._heap = [(_due(node), path) for path, node in self._ttl.items()]
            heapify(self._heap)

    def candidates(self, now_ms: int, kids: Mapping[str, Kids], container_unused_ms: int) -> list[str]:
        """Paths that may be deleted now; each comes again at every call until it is deleted or no longer due.

        Args:
            now_ms: wall clock.
            kids: of the replica.
            container_unused_ms: how long a container that never had a child is kept after its mtime, 0: for ever.
        """
        return [*self._expired(now_ms, kids), *self._empty(now_ms, kids, container_unused_ms)]

    def _expired(self, now_ms: int, kids: Mapping[str, Kids]) -> list[str]:
        overdue: dict[str, int] = {}
        while self._heap and self._heap[0][0] < now_ms:
            path = heappop(self._heap)[1]
            node = self._ttl.get(path)
            if node is not None:
                overdue[path] = _due(node)
        for path, due in overdue.items():
            heappush(self._heap, (due, path))
        return [path for path, due in overdue.items() if due < now_ms and _childless(kids.get(path))]

    def _empty(self, now_ms: int, kids: Mapping[str, Kids], unused_ms: int) -> list[str]:
        found: list[str] = []
        for path in list(self._maybe_empty):
            below = kids.get(path)
            if not _childless(below):
                del self._maybe_empty[path]
            elif below is not None or (unused_ms and now_ms - self._containers[path].mtime > unused_ms):
                found.append(path)
        return found


def _childless(kids: Kids | None) -> bool:
    return kids is None or kids.count == 0
