"""Watch messages to events: which revision is complete, what belongs together, in which order it is told. No I/O.

etcd tells a transaction's puts and deletes one by one, all with its revision. One watch brings them in order, and a
message without the `fragment` flag never ends inside a revision. With a data prefix outside the namespace there are
two watches that know nothing of each other:

    namespace   41 head/1 says "2 data keys"     43 keeper/1     44 head/2 says "0 data keys"
    data        41 two puts        42 a put

Commit 41 is told when both its data keys are there. 42 belongs to no commit: it is a stranger's, which is certain as
soon as the namespace's watch has passed 42. Deletes of data keys are never waited for (the journal tells them): what
comes late of them is dropped.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from parkeeper.errors import Compacted
from parkeeper.store.etcd.messages import WatchEvent, WatchResult
from parkeeper.store.facade import Changed, Committed, Event, Head
from parkeeper.store.heads import unpack_head
from parkeeper.store.keys import Layout


@dataclass(slots=True)
class Group:
    """Everything one watch tells of one revision.

    Attributes:
        size: bytes of its keys and values.
    """

    revision: int
    events: list[WatchEvent] = field(default_factory=list[WatchEvent])
    size: int = 0


class Groups:
    """One watch's messages to complete groups.

    Args:
        after: the revision up to which everything is known.

    Attributes:
        last: the newest revision that is complete: resume after it. Never a message's header revision, which is
            the store's and may be far ahead of the events; but for a progress notification, which has no events.
    """

    def __init__(self, after: int) -> None:
        self.last = after
        self._open: Group | None = None

    def feed(self, result: WatchResult) -> list[Group]:
        """Take a message; returns the groups it completes, in order.

        What was told before is dropped: etcd before 3.4.24 and 3.5.8 may repeat events.
        """
        complete: list[Group] = []
        for event in result.events:
            kv = event.kv
            group = self._open
            if kv.mod_revision <= (self.last if group is None else group.revision - 1):
                continue
            if group is None or group.revision != kv.mod_revision:
                if group is not None:
                    complete.append(group)
                group = self._open = Group(kv.mod_revision)
            group.events.append(event)
            group.size += len(kv.key) + len(kv.value)
        if result.events:
            if self._open is not None and not result.fragment:
                complete.append(self._open)
                self._open = None
        elif self._open is None and not result.created and not result.canceled:
            self.last = max(self.last, result.header.revision)
        if complete:
            self.last = complete[-1].revision
        return complete


@dataclass(slots=True)
class _Revision:
    """What the namespace's watch tells of one revision, sorted."""

    revision: int
    keeper: int = 0
    head: Head | None = None
    data_puts: int = 0
    journal: bytes = b""
    puts: dict[str, bytes] = field(default_factory=dict[str, bytes])
    deletes: list[str] = field(default_factory=list[str])

    def add(self, name: str, event: WatchEvent) -> None:
        if event.type == "DELETE":
            self.deletes.append(name)
        elif name.startswith("head/") and name[5:].isdigit():
            self.keeper = int(name[5:])
            self.head, self.data_puts, self.journal = unpack_head(event.kv.value)
        else:
            self.puts[name] = event.kv.value

    def told(self) -> list[Event]:
        if self.head is not None:
            return [
                Committed(self.revision, self.keeper, self.head, self.journal, self.puts, tuple(self.deletes))
            ]
        changed: list[Event] = [
            Changed(self.revision, name, value) for name, value in self.puts.items() if _is_told(name)
        ]
        changed += [Changed(self.revision, name, None) for name in self.deletes if _is_told(name)]
        return changed


def _is_told(name: str) -> bool:
    """Whether a change of this item outside commits is told; a stranger's to any other is no business of ours."""
    return name.startswith(("data/", "keeper/", "turn/")) or name == "meta"


class Assembly:
    """The groups of one or two watches to events in order.

    Args:
        layout: which keys are ours.
        after: the revision up to which everything of the namespace was told.

    Attributes:
        told: the newest revision of the namespace that was told.
        waiting: bytes of the namespace's groups that wait for a commit's data keys.
        held: bytes of data groups of which it is not known yet whether they belong to a commit.
    """

    def __init__(self, layout: Layout, after: int) -> None:
        self._layout = layout
        self.told = after
        self.waiting = 0
        self.held = 0
        self._decided = after
        self._queue: deque[tuple[_Revision, int]] = deque()
        self._data: deque[Group] = deque()
        self._data_last = 0
        self._late: set[int] = set()
        self._out: deque[Event] = deque()

    @property
    def between(self) -> bool:
        """Whether everything of the last revision that was begun has been told: only then stop for a moment."""
        return not self._out

    def namespace(self, groups: list[Group], last: int) -> None:
        """Take groups of the namespace's watch, which stands at `last` with them."""
        for group in groups:
            sorted_out = _Revision(group.revision)
            for event in group.events:
                name = self._layout.decode(event.kv.key)
                if name is not None:
                    sorted_out.add(name, event)
            self._queue.append((sorted_out, group.size))
            self.waiting += group.size
        self.decide(last)

    def data(self, groups: list[Group], last: int) -> None:
        """Take groups of the data prefix's watch, which stands at `last` with them."""
        for group in groups:
            if group.revision in self._late:
                continue  # deletes of a commit that was told without them
            self._data.append(group)
            self.held += group.size
        self._data_last = last
        self._late = {revision for revision in self._late if revision > last}

    def decide(self, revision: int) -> None:
        """No commit up to `revision` is still to come from the namespace's watch."""
        self._decided = max(self._decided, revision)

    def skip(self, revision: int) -> None:
        """There is nothing to tell up to `revision`. (Only where one watch brings everything, and after it was told.)"""
        self.told = max(self.told, revision)
        self.decide(revision)

    def next(self) -> Event | None:
        """What is to be told next; None: nothing yet.

        Raises:
            Compacted: a commit's data keys are not all there, and will never be.
        """
        while not self._out:
            if not self._advance():
                return None
        return self._out.popleft()

    def _advance(self) -> bool:
        revision = self._queue[0][0].revision if self._queue else self._decided + 1
        if self._data and self._data[0].revision < revision:
            self._out += self._strangers(self._pop_data())
            return True
        if not self._queue:
            return False
        first, size = self._queue[0]
        if self._data and self._data[0].revision == revision:
            self._join(first, self._pop_data())
        elif self._layout.data_apart and first.head is not None:
            if first.data_puts and self._data_last >= revision:
                raise _incomplete(first, 0)
            if first.data_puts:
                return False
            if any(name.startswith("node/") for name in first.deletes):
                self._late.add(revision)
        self._queue.popleft()
        self.waiting -= size
        self.told = revision
        self._out += first.told()
        return True

    def _pop_data(self) -> Group:
        group = self._data.popleft()
        self.held -= group.size
        return group

    def _join(self, first: _Revision, group: Group) -> None:
        put = 0
        for event in group.events:
            name = self._layout.decode(event.kv.key)
            if name is not None:
                first.add(name, event)
                put += event.type != "DELETE"
        if first.head is not None and put < first.data_puts:
            raise _incomplete(first, put)

    def _strangers(self, group: Group) -> list[Event]:
        told: list[Event] = []
        for event in group.events:
            name = self._layout.decode(event.kv.key)
            if name is not None:
                told.append(Changed(group.revision, name, None if event.type == "DELETE" else event.kv.value))
        return told


def _incomplete(first: _Revision, put: int) -> Compacted:
    return Compacted(f"commit {first.revision} put {first.data_puts} data keys, etcd tells of {put}")
