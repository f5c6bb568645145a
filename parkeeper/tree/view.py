"""The view: the replica with the batch's own changes laid over it, through which every plan looks.

Every look notes its guard by itself (PROTOCOL section 3): what a rule has looked at is what its decision rests on, and
the commit happens only if all of it is still so. What the batch wrote itself keeps the guard it had outside.

`node`, `stat`, `kids` and `guarded_session` note a guard; `peek` and `session` do not, for what another guard covers
already (a child's existence is covered by `kids/` of its parent, a session of this keeper by its fence).

A request is planned between `begin` and either `changes` being taken or `undo`: a refused request takes back its
changes and keeps its guards.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from parkeeper.tree import zxid
from parkeeper.tree.changes import CREATE, DELETE, END_SESSION, SET_ACL, SET_DATA, SET_SESSION, After, Change
from parkeeper.tree.node import Kids, Znode, child_created, child_deleted
from parkeeper.tree.paths import parent_of, possible
from parkeeper.tree.quotas import Planned
from parkeeper.tree.replica import Replica
from parkeeper.tree.sessions import Session

K = TypeVar("K")
V = TypeVar("V")


class Overlay(Generic[K, V]):
    """What a batch wrote, laid over a table of the replica. None: it is gone."""

    __slots__ = ("_log", "table")

    def __init__(self) -> None:
        self.table: dict[K, V | None] = {}
        self._log: list[tuple[K, V | None, bool]] = []

    def begin(self) -> None:
        """What is put from here on can be taken back."""
        if self._log:
            self._log = []

    def put(self, key: K, value: V | None) -> None:
        """Write an entry."""
        self._log.append((key, self.table.get(key), key in self.table))
        self.table[key] = value

    def undo(self) -> None:
        """Take back all since `begin`."""
        while self._log:
            key, value, present = self._log.pop()
            if present:
                self.table[key] = value
            else:
                del self.table[key]


class View:
    """One batch's look at the replica.

    Attributes:
        replica: what lies below; it doesn't move while a batch is planned.
        now: wall clock ms for ctime and mtime.
        keeper: id of the planning keeper.
        looked: guards of the request being planned: item name -> revision, 0 for absent.
        changes: of the request being planned.
        taken: keepers that the request being planned takes a session from.
        usage: what the batch adds to limited subtrees.
        childless: paths that the request being planned made, and that may have no children within it.
    """

    def __init__(self, replica: Replica, now: int, keeper: int) -> None:
        self.replica = replica
        self.now = now
        self.keeper = keeper
        self.position = 0
        self.looked: dict[str, int] = {}
        self.changes: list[Change] = []
        self.taken: set[int] = set()
        self.usage = Planned(replica.quotas)
        self.childless = set[str]()
        self._nodes = Overlay[str, Znode]()
        self._kids = Overlay[str, Kids]()
        self._sessions = Overlay[int, Session]()
        self._mark = 0

    def begin(self) -> None:
        """A request is planned from here on."""
        self.looked = {}
        self.changes = []
        self.taken = set()
        self._nodes.begin()
        self._kids.begin()
        self._sessions.begin()
        self._mark = self.usage.mark()
        if self.childless:
            self.childless = set[str]()

    def undo(self) -> None:
        """Take back the changes of the request being planned; what it looked at stays looked at."""
        self._nodes.undo()
        self._kids.undo()
        self._sessions.undo()
        self.usage.rollback(self._mark)
        self.changes = []
        self.taken = set()

    @property
    def zxid(self) -> int:
        """The pending zxid of the write being planned."""
        return zxid.pending(self.position)

    # Looking.

    def peek(self, path: str) -> Znode | None:
        """A znode, without a guard."""
        table = self._nodes.table
        return table[path] if path in table else self.replica.nodes.get(path)

    def node(self, path: str) -> Znode | None:
        """A znode, guarding who it is: existence, ACL, owner, aversion.

        A path that no znode can have needs no guard, and its name could be that of another item.
        """
        base = self.replica.nodes.get(path)
        if base is not None:
            self.looked["node/" + path[1:]] = base.node_rev
        elif possible(path):
            self.looked["node/" + path[1:]] = 0
        else:
            return None
        table = self._nodes.table
        return table.get(path, base)

    def stat(self, path: str) -> None:
        """Guard what setData moves: version, mzxid, mtime, data."""
        base = self.replica.nodes.get(path)
        self.looked["stat/" + path[1:]] = base.stat_rev if base is not None else 0

    def kids(self, path: str) -> Kids | None:
        """What its children moved, guarding all of them: which exist, how many, the next sequence number."""
        base = self.replica.kids.get(path)
        self.looked["kids/" + path[1:]] = base.rev if base is not None else 0
        table = self._kids.table
        return table.get(path, base)

    def session(self, session: int) -> Session | None:
        """A session, without a guard: the fence guards that those of this keeper are alive and its own."""
        table = self._sessions.table
        return table[session] if session in table else self.replica.sessions.get(session)

    def head(self, keeper: int) -> None:
        """Guard that a keeper committed nothing that this replica has not seen."""
        self.looked[f"head/{keeper}"] = self.replica.registry.heads.get(keeper, 0)

    def guarded_session(self, session: int) -> Session | None:
        """A session, guarding its record."""
        base = self.replica.sessions.get(session)
        self.looked[f"session/{session}"] = base.rev if base is not None else 0
        return self.session(session)

    def ephemerals(self, session: int) -> Iterator[str]:
        """The paths a session owns now: those the replica knows in the order of their creation, then the batch's."""
        known = dict.fromkeys(self.replica.ephemerals.of(session))
        for path in (*known, *(path for path in self._nodes.table if path not in known)):
            node = self.peek(path)
            if node is not None and node.owner == session:
                yield path

    # Writing.

    def create(self, path: str, node: Znode, parent: str, kids: Kids | None) -> After:
        """A znode comes to be; `kids` of the parent as looked at. Returns where its Stat will stand."""
        after, moved = After(), child_created(kids, self.zxid)
        self._nodes.put(path, node)
        self._kids.put(path, None)
        self._kids.put(parent, moved)
        self.usage.note(path, 1, len(node.data or b""))
        self.changes.append(Change(CREATE, path, node, parent, moved, after=after))
        return after

    def delete(self, path: str) -> None:
        """A znode goes; guards the parent's `kids/`."""
        parent = parent_of(path)
        kids = self.kids(parent)
        if kids is None:
            raise AssertionError(f"{path} has a parent without children")
        moved = child_deleted(kids, self.zxid)
        node = self.peek(path)
        self.usage.note(path, -1, -len(node.data or b"") if node is not None else 0)
        self._nodes.put(path, None)
        self._kids.put(path, None)
        self._kids.put(parent, moved)
        self.changes.append(Change(DELETE, path, None, parent, moved))

    def set_data(self, path: str, before: Znode, node: Znode) -> After:
        """Its data changed; `node` is the state after. Returns where its Stat will stand."""
        after = After()
        self.usage.note(path, 0, len(node.data or b"") - len(before.data or b""))
        self._nodes.put(path, node)
        self.changes.append(Change(SET_DATA, path, node, after=after))
        return after

    def set_acl(self, path: str, node: Znode) -> After:
        """Its ACL changed; `node` is the state after. Returns where its Stat will stand."""
        after = After()
        self._nodes.put(path, node)
        self.changes.append(Change(SET_ACL, path, node, after=after))
        return after

    def set_session(self, session: int, record: Session) -> None:
        """A session was opened, claimed or marked."""
        self._sessions.put(session, record)
        self.changes.append(Change(SET_SESSION, "", session=session, record=record))

    def end_session(self, session: int) -> None:
        """A session is no more."""
        self._sessions.put(session, None)
        self.changes.append(Change(END_SESSION, "", session=session))


def revision_of(replica: Replica, name: str) -> int:
    """The revision a replica knows of an item that plans guard; 0 for absent."""
    kind, _, rest = name.partition("/")
    if kind == "kids":
        kids = replica.kids.get("/" + rest)
        return kids.rev if kids is not None else 0
    if kind == "session":
        session = replica.sessions.get(int(rest))
        return session.rev if session is not None else 0
    if kind == "head":
        return replica.registry.heads.get(int(rest), 0)
    node = replica.nodes.get("/" + rest)
    if node is None:
        return 0
    return node.node_rev if kind == "node" else node.stat_rev
