"""A batch: requests planned one after the other on one view, folded into one commit (PROTOCOL sections 3 and 4).

Several changes of one item become its last value; what was created and deleted inside the batch leaves no item. The
journal keeps them all, in order. A batch takes requests as long as one commit of this store can hold them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from parkeeper.tree import encoding, journal
from parkeeper.tree.answers import Answer
from parkeeper.tree.changes import CREATE, DELETE, END_SESSION, SET_ACL, SET_DATA, SET_SESSION, Change
from parkeeper.tree.node import Kids, Znode
from parkeeper.tree.sessions import Session
from parkeeper.tree.view import View

Asked = TypeVar("Asked")

Fits = Callable[[int, int, int, int], bool]
"""guards, puts, deletes, bytes -> whether one commit can hold them (`Store.fits`)."""

_OVERHEAD = 96
"""Bytes of an item's fixed part and of its journal entry, rounded up."""

MOST_ITEMS = 5
"""Items that one change may put or delete, at most: a delete does."""

Item = Znode | Kids | Session | bytes | None
"""What becomes of an item: encoded when the batch is sealed; None: deleted."""


class Planned(Generic[Asked]):
    """One request in a batch.

    Attributes:
        asked: the request.
        code: 0, or the code it was refused with.
        answer: what to reply when it was not.
        position: of its write; -1 if it changes nothing.
        changes: in order.
        looked: its own guards.
    """

    __slots__ = ("answer", "asked", "changes", "code", "looked", "position")

    def __init__(
        self,
        asked: Asked,
        code: int,
        answer: Answer,
        position: int,
        changes: list[Change],
        looked: dict[str, int],
    ) -> None:
        self.asked = asked
        self.code = code
        self.answer = answer
        self.position = position
        self.changes = changes
        self.looked = looked


class Sealed:
    """The writes of a batch, folded: what a commit puts and deletes, and its journal. Fences are not in it yet."""

    __slots__ = ("deletes", "guards", "journal", "puts")

    def __init__(
        self, guards: dict[str, int], puts: dict[str, bytes], deletes: list[str], journal: bytes
    ) -> None:
        self.guards = guards
        self.puts = puts
        self.deletes = deletes
        self.journal = journal


class Batch(Generic[Asked]):
    """Requests planned on one view.

    Args:
        view: fresh.
        fits: the store's limits.
    """

    def __init__(self, view: View, fits: Fits) -> None:
        self.view = view
        self.fits = fits
        self.planned: list[Planned[Asked]] = []
        self.guards: dict[str, int] = {}
        self.taken: set[int] = set()
        self._items: dict[str, Item] = {}
        self._size = 0
        self._room = 0, 0, 0  # guards, puts and bytes that certainly fit

    @property
    def writes(self) -> int:
        """How many of its requests change something."""
        return self.view.position

    @property
    def changes_nothing(self) -> bool:
        """Whether there is no write in it: then there is nothing to commit."""
        return not self.writes

    def wrote(self, name: str) -> bool:
        """Whether an earlier request of the batch writes this item."""
        return name in self._items

    def refused(self, asked: Asked, code: int, answer: Answer) -> bool:
        """Take in a request that changes nothing, with the guards its answer rests on.

        Returns False if the commit can't hold those as well. (Without a write there is no commit.)
        """
        looked = self.view.looked
        if self.writes and not self._holds([], looked, self._size):
            return False
        self.guards.update(looked)
        self.planned.append(Planned(asked, code, answer, -1, [], looked))
        return True

    def take(self, asked: Asked, answer: Answer) -> bool:
        """Take in what the view has just planned, if one commit can hold it as well.

        Returns False, with the view as before the request, if it can't.
        """
        view = self.view
        changes, looked = view.changes, view.looked
        size = self._size + size_of(changes)
        if not self._holds(changes, looked, size):
            view.undo()
            return False
        self._size = size
        for change in changes:
            self._fold(change)
        self.guards.update(looked)
        if view.taken:
            self.taken |= view.taken
        self.planned.append(Planned(asked, 0, answer, view.position, changes, looked))
        view.position += 1
        return True

    def _holds(self, changes: list[Change], looked: Mapping[str, int], size: int) -> bool:
        """Whether one commit can hold these changes and guards as well.

        A bound from above first: far from the limits, which is nearly always, it spares the counting, a tenth of what
        planning a write costs. And it asks for room for twice as much, so that it asks seldom. (Where that fits less
        does, down to one guard. Without any the store is asked something else, but a batch that has some keeps them.)
        """
        guards = len(self.guards) + len(looked)
        writes = len(self._items) + MOST_ITEMS * len(changes) + len(self.taken) + len(self.view.taken) + 1
        most_guards, most_writes, most_size = self._room
        if guards <= most_guards and writes <= most_writes and size <= most_size:
            return True
        if self.fits(2 * guards, 2 * writes, 0, 2 * size):
            self._room = 2 * guards, 2 * writes, 2 * size
            return True
        return self.fits(guards, writes, 0, size) or self._fits_exactly(changes, looked, size)

    def _fits_exactly(self, changes: list[Change], looked: Mapping[str, int], size: int) -> bool:
        """Whether one commit can hold these changes as well.

        Counted as if nothing folded, and deletes as puts: to every store they are the same. A ticket of this keeper
        may have to go with the commit.
        """
        view = self.view
        guards = len(self.guards.keys() | looked.keys())
        writes = len(written(changes).union(self._items)) + len(self.taken | view.taken)
        writes += view.keeper in view.replica.registry.turns
        # Alone in its commit a request may need the store's coarse guards, which `fits` with 0 guards asks for.
        return self.fits(guards, writes, 0, size) or (not self.planned and self.fits(0, writes, 0, size))

    def _fold(self, change: Change) -> None:
        items, kind, path = self._items, change.kind, change.path[1:]
        if kind == SET_DATA and change.node is not None:
            items["stat/" + path] = change.node
            items["data/" + path] = change.node.data or b""
        elif kind == CREATE and change.node is not None:
            items["node/" + path] = change.node
            items["data/" + path] = change.node.data or b""
            items["kids/" + change.parent[1:]] = change.kids
        elif kind == DELETE:
            base = self.view.replica.nodes.get(change.path)
            self._remove("node/" + path, base is not None)
            self._remove("data/" + path, base is not None)
            # It may be there by now, whatever the replica knows: a delete that asks for no version guards no stat/.
            self._remove("stat/" + path, base is not None)
            self._remove("kids/" + path, change.path in self.view.replica.kids)
            items["kids/" + change.parent[1:]] = change.kids
        elif kind == SET_ACL and change.node is not None:
            items["node/" + path] = change.node
        elif kind == SET_SESSION:
            items[f"session/{change.session}"] = change.record
        elif kind == END_SESSION:
            self._remove(f"session/{change.session}", change.session in self.view.replica.sessions)

    def _remove(self, name: str, existed: bool) -> None:
        if existed:
            self._items[name] = None
        else:
            self._items.pop(name, None)

    def seal(self) -> Sealed:
        """Encode everything; the batch takes no more."""
        puts: dict[str, bytes] = {}
        deletes: list[str] = []
        for name, item in self._items.items():
            if item is None:
                deletes.append(name)
            elif isinstance(item, bytes):
                puts[name] = item
            elif isinstance(item, Kids):
                puts[name] = encoding.encode_kids(item)
            elif isinstance(item, Session):
                puts[name] = encoding.encode_session(item)
            elif name.startswith("stat/"):
                puts[name] = encoding.encode_stat(item)
            else:
                puts[name] = encoding.encode_node(item)
        writes = [(each.position, each.changes) for each in self.planned if each.position >= 0]
        return Sealed(self.guards, puts, deletes, journal.encode(writes, self._items))


def _names(change: Change) -> tuple[str, ...]:
    """The items a change may put or delete."""
    kind, path = change.kind, change.path[1:]
    if kind == SET_DATA:
        return "stat/" + path, "data/" + path
    if kind == CREATE:
        return "node/" + path, "data/" + path, "kids/" + change.parent[1:]
    if kind == DELETE:
        return "node/" + path, "data/" + path, "stat/" + path, "kids/" + path, "kids/" + change.parent[1:]
    if kind == SET_ACL:
        return ("node/" + path,)
    return (f"session/{change.session}",)


def _size_of(change: Change) -> int:
    """Bytes of a change's items, their names and its journal entry; an upper bound."""
    path, parent, node = change.path, change.parent, change.node
    size = _OVERHEAD * 3 + 5 * len(path) + len(parent)
    if not path.isascii():
        size = _OVERHEAD * 3 + 5 * len(path.encode()) + len(parent.encode())
    if node is not None:
        size += len(node.data or b"") + 2 * len(node.acl.encoded)
    return size


def size_of(changes: list[Change]) -> int:
    """Bytes that changes need in a commit: items, their names and the journal; an upper bound."""
    size = 0
    for change in changes:
        size += _size_of(change)
    return size


def written(changes: list[Change]) -> set[str]:
    """The names of the items that changes write."""
    return {name for change in changes for name in _names(change)}
