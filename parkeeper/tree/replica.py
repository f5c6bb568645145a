"""The replica: this keeper's copy of the tree, moved only by commits in the store's order.

It holds the znodes and sessions, and a tuple of *indexes*, each a fold over the same changes (ephemerals, quotas, TTL
and container candidates). Watches are not in it: they belong to connections.

Beside the tree it knows the *registry*, what keepers write of themselves: their registrations, the heads of their last
commits, fences and tickets; a commit is guarded by some of these revisions.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from parkeeper.errors import Incompatible
from parkeeper.tree import encoding, zxid
from parkeeper.tree.acl import AccessList, intern
from parkeeper.tree.changes import CREATE, DELETE, END_SESSION, SET_ACL, SET_DATA, SET_SESSION, Change, Write
from parkeeper.tree.children import Children
from parkeeper.tree.ephemerals import Ephemerals
from parkeeper.tree.journal import Entry
from parkeeper.tree.journal import decode as decode_journal
from parkeeper.tree.node import Kids, Znode, child_created, child_deleted
from parkeeper.tree.paths import name_of, parent_of
from parkeeper.tree.quotas import Quotas
from parkeeper.tree.reaping import Reaping
from parkeeper.tree.registry import Registry
from parkeeper.tree.sessions import Session

log = logging.getLogger("parkeeper.tree")

LOAD_STEP: Final = 2000
"""Items handled between two yields of `load`: a few ms."""


class Replica:
    """The tree as of one commit.

    Attributes:
        base: zxid_base of the namespace.
        revision: of the last commit applied.
        zxid: what a reply encoded now carries: that of the write just applied, or the last of the commit.
        nodes: path -> znode; the root's path is "/".
        kids: path -> what its children moved; none while it never had a child.
        children: path -> names; none while it has no child.
        sessions: id -> session.
        registry: keepers, heads, fences, tickets.
        data_size: bytes of all paths and data (approximate_data_size).
    """

    def __init__(self, base: int) -> None:
        self.base = base
        self.revision = 0
        self.zxid = base
        self.nodes: dict[str, Znode] = {}
        self.kids: dict[str, Kids] = {}
        self.children: dict[str, Children] = {}
        self.sessions: dict[int, Session] = {}
        self.registry = Registry()
        self.ephemerals = Ephemerals()
        self.quotas = Quotas(self.nodes, self.children)
        self.reaping = Reaping()
        self.data_size = 0
        self._indexes = (self.ephemerals, self.quotas, self.reaping)
        self._strangers: set[str] = set()

    def apply(self, change: Change, revision: int) -> None:
        """One change of the commit at `revision`: settle its zxids and make it so."""
        kind, path, node, kids = change.kind, change.path, change.node, change.kids
        if kind == SET_DATA and node is not None:
            node.settle(self.base, revision)
            old = self.nodes[path]
            self.nodes[path] = node
            self._resized(path, old, node)
        elif kind == CREATE and node is not None and kids is not None:
            node.settle(self.base, revision)
            self.nodes[path] = node
            parent = change.parent
            self._family(parent, kids, revision)
            names = self.children.get(parent)
            if names is None:
                names = self.children[parent] = Children()
            names.add(name_of(path))
            self.data_size += len(path) + len(node.data or b"")
            for index in self._indexes:
                index.created(path, node)
        elif kind == DELETE and kids is not None:
            gone = self.nodes.pop(path)
            self.kids.pop(path, None)
            self.children.pop(path, None)
            self._strangers.discard(path)
            parent = change.parent
            self._family(parent, kids, revision)
            names = self.children[parent]
            names.discard(name_of(path))
            if not names:
                del self.children[parent]
            self.data_size -= len(path) + len(gone.data or b"")
            for index in self._indexes:
                index.deleted(path, gone)
        elif kind == SET_ACL and node is not None:
            node.settle(self.base, revision)
            old = self.nodes[path]
            node = self.nodes[path] = old.with_acl_of(node)
            self._resized(path, old, node)
        elif kind == SET_SESSION and change.record is not None:
            change.record.settle(revision)
            self.sessions[change.session] = change.record
        elif kind == END_SESSION:
            self.sessions.pop(change.session, None)
        after = change.after
        if after is not None:
            after.node, after.kids = node, self.kids.get(path)

    def _family(self, parent: str, kids: Kids, revision: int) -> None:
        kids.settle(self.base, revision)
        self.kids[parent] = kids
        self.nodes[parent].reply = None

    def _resized(self, path: str, old: Znode, new: Znode) -> None:
        self.data_size += len(new.data or b"") - len(old.data or b"")
        for index in self._indexes:
            index.changed(path, old, new)

    def reached(self, revision: int) -> None:
        """A commit is applied as a whole."""
        self.revision = revision
        self.zxid = zxid.last_of(self.base, revision)

    # Following other keepers' commits.

    def writes(self, journal: bytes, puts: Mapping[str, bytes], revision: int) -> Iterator[Write]:
        """A commit as its changes, one a `Write`, with the items' last values.

        Each change is built only when the one before it has been applied, for where the commit kept no item (a
        znode created and deleted in it) what is there now is carried on.

        Raises: `Incompatible` for bytes of another format, and for changes that this replica cannot have.
        """
        for entry in decode_journal(journal):
            yield Write(entry.position, [self._change(entry, puts, revision)])

    def _change(self, entry: Entry, puts: Mapping[str, bytes], revision: int) -> Change:
        position, kind, path, session, acl = entry
        if kind >= SET_SESSION:
            value = puts.get(f"session/{session}")
            if kind == END_SESSION:
                return Change(kind, "", session=session)
            record = self.sessions.get(session) if value is None else encoding.decode_session(value, revision)
            # A session opened and ended in one commit left no item; nothing can refer to it in between.
            return Change(kind, "", session=session, record=record or Session(0, 0, 0, True, 0, revision))
        parent = parent_of(path)
        if (path in self.nodes) == (kind == CREATE) or parent not in self.nodes:
            raise Incompatible(
                f"change {kind} of {path!r} at revision {revision} cannot be: the replica is wrong"
            )
        if kind == SET_DATA:
            return Change(kind, path, self._data_set(path, puts, revision))
        if kind == SET_ACL:
            return Change(kind, path, self._acl_set(path, puts, revision, acl))
        value = puts.get("kids/" + parent[1:])
        if value is not None:
            kids = encoding.decode_kids(value, revision)
        elif kind == CREATE:
            kids = child_created(self.kids.get(parent), zxid.pending(position))
        else:
            kids = child_deleted(self.kids[parent], zxid.pending(position))
        if kind == DELETE:
            return Change(kind, path, None, parent, kids)
        return Change(kind, path, self._created(path, puts, revision, acl, position), parent, kids)

    def _created(
        self, path: str, puts: Mapping[str, bytes], revision: int, acl: AccessList | None, position: int
    ) -> Znode:
        """A znode as the commit left it; a blank one if it was deleted again in the same commit."""
        value, stat_value = puts.get("node/" + path[1:]), puts.get("stat/" + path[1:])
        if value is None:
            at = zxid.pending(position)
            return Znode(at, at, 0, 0, 0, 0, 0, acl or _NO_ACL, b"", revision, 0)
        stat = None if stat_value is None else encoding.decode_stat(stat_value)
        data = puts.get("data/" + path[1:])
        node = encoding.build(
            encoding.decode_node(value), stat, data, revision, 0 if stat is None else revision
        )
        if acl is not None:
            node.acl = acl
        return node

    def _data_set(self, path: str, puts: Mapping[str, bytes], revision: int) -> Znode:
        """After a setData: what `stat/` and `data/` say, if the commit kept them."""
        fresh = self.nodes[path].copy()
        value = puts.get("stat/" + path[1:])
        if value is not None:
            stat = encoding.decode_stat(value)
            data = puts.get("data/" + path[1:])
            fresh.version, fresh.mzxid, fresh.mtime, fresh.stat_rev = (
                stat.version,
                stat.mzxid,
                stat.mtime,
                revision,
            )
            fresh.data = None if stat.null and not data else data or b""
        return fresh

    def _acl_set(self, path: str, puts: Mapping[str, bytes], revision: int, acl: AccessList | None) -> Znode:
        """After a setACL: the ACL and aversion that `node/` says; the journal's ACL where a later one was kept."""
        fresh = self.nodes[path].copy()
        value = puts.get("node/" + path[1:])
        if value is not None:
            part = encoding.decode_node(value)
            fresh.acl, fresh.aversion, fresh.node_rev = part.acl, part.aversion, revision
        if acl is not None:
            fresh.acl = acl
        return fresh

    # Strangers: native programs that write a data key.

    def stranger(self, path: str, value: bytes | None, revision: int) -> bool:
        """A data key was written by a stranger: serve its bytes. No version moves, no watch fires.

        Bytes older than what a client wrote are ignored: a keeper's own commit is applied from the store's answer,
        ahead of the stream that tells of strangers. (A key whose null data a stranger wrote and emptied again is
        empty here and null after a load; nothing in the store tells the two apart.)

        Args:
            value: the bytes, None for a deleted key.
            revision: at which the store took them.

        Returns whether it is the first time for this znode, so that it is logged once.
        """
        node = self.nodes.get(path)
        if node is None or (node.data or b"") == (value or b""):
            return False
        if revision < node.stat_rev or revision < zxid.revision_of(node.czxid, self.base):
            return False
        changed = node.with_bytes(value or b"")
        self.nodes[path] = changed
        self._resized(path, node, changed)
        first = path not in self._strangers
        self._strangers.add(path)
        return first

    # Loading.

    def load(self, items: Sequence[encoding.Stored], revision: int) -> Iterable[None]:
        """Fill an empty replica from a snapshot; yields now and then, so that a big load doesn't hold the loop.

        Raises: `Incompatible` for items of another format.
        """
        parts: dict[str, dict[str, encoding.Stored]] = {"node": {}, "stat": {}, "data": {}, "kids": {}}
        for count, item in enumerate(items):
            kind, _, rest = item[0].partition("/")
            table = parts.get(kind)
            if table is not None:
                table["/" + rest] = item
            elif kind == "session":
                self.sessions[int(rest)] = encoding.decode_session(item[1], item[2])
            else:
                self.registry.item(item[0], item[1], item[2])
            if count % LOAD_STEP == 0:
                yield
        for count, (path, item) in enumerate(parts["node"].items()):
            self._load_node(path, item, parts["stat"].get(path), parts["data"].get(path))
            if count % LOAD_STEP == 0:
                yield
        for path, (_, value, rev) in parts["kids"].items():
            if path in self.nodes:
                kids = encoding.decode_kids(value, rev)
                kids.settle(self.base, rev)
                self.kids[path] = kids
        # Created in the order of their zxids, so that a session's ephemerals have it too.
        for count, (path, node) in enumerate(sorted(self.nodes.items(), key=lambda each: each[1].czxid)):
            if path != "/":
                self.children.setdefault(parent_of(path), Children()).add(name_of(path))
            self.data_size += len(path) + len(node.data or b"")
            for index in self._indexes:
                index.created(path, node)
            if count % LOAD_STEP == 0:
                yield
        self.reached(revision)

    def _load_node(
        self,
        path: str,
        item: encoding.Stored,
        stat_item: encoding.Stored | None,
        data: encoding.Stored | None,
    ) -> None:
        part = encoding.decode_node(item[1])
        stat = None if stat_item is None else encoding.decode_stat(stat_item[1])
        if data is None:
            log.error("the data key of a znode is missing; serving empty data", extra={"path": path})
        value = None if data is None else data[1]
        if data is not None and encoding.is_strangers(stat or part, value):
            self._strangers.add(path)
            log.warning("a data key was written by another program; serving its bytes", extra={"path": path})
        node = encoding.build(part, stat, value, item[2], 0 if stat_item is None else stat_item[2])
        node.czxid = zxid.resolve(node.czxid, self.base, item[2])
        node.mzxid = zxid.resolve(node.mzxid, self.base, item[2] if stat_item is None else stat_item[2])
        self.nodes[path] = node


_NO_ACL: Final = intern(())
