"""A replica to plant znodes in, and a watcher that keeps what it is told."""

from __future__ import annotations

from kazoo.protocol.serialization import ReplyHeader, Watch

from parkeeper.tree.acl import OPEN, AccessList
from parkeeper.tree.changes import CREATE, DELETE, SET_ACL, SET_DATA, Change
from parkeeper.tree.node import Znode, child_created, child_deleted
from parkeeper.tree.paths import parent_of
from parkeeper.tree.replica import Replica
from parkeeper.tree.schemes import NOBODY, Identities


class Listener:
    """A connection that is told of events."""

    def __init__(self, identities: Identities = NOBODY, session: int = 0x1_0000_0001) -> None:
        self.identities = identities
        self.session = session
        self.packets: list[bytes] = []

    def notify(self, packet: bytes) -> None:
        self.packets.append(packet)

    def told(self) -> list[tuple[int, str]]:
        """(type, path) of the events since the last call, as kazoo decodes them."""
        return [(type, path) for _, type, path in self.told_with_zxid()]

    def told_with_zxid(self) -> list[tuple[int, int, str]]:
        """The same with the zxid of the header before it."""
        events: list[tuple[int, int, str]] = []
        for packet in self.packets:
            header, at = ReplyHeader.deserialize(packet, 4)
            (type, state, path), end = Watch.deserialize(packet, at)
            assert header.xid == -1
            assert header.err == 0
            assert state == 3
            assert end == len(packet) == int.from_bytes(packet[:4]) + 4
            events.append((header.zxid, type, path))
        self.packets = []
        return events


class Grove:
    """A replica with a root, changed by one change at a time; zxids are small numbers, counted from 1.

    Times are 1000 ms per zxid, unless given.
    """

    def __init__(self) -> None:
        self.replica = Replica(0)
        self.replica.nodes["/"] = Znode(0, 0, 0, 0, 0, 0, 0, OPEN, b"", 1, 0)
        self.zxid = 0

    def create(
        self,
        path: str,
        data: bytes | None = b"",
        acl: AccessList = OPEN,
        owner: int = 0,
        at: int | None = None,
    ) -> Znode:
        self.zxid += 1
        now = self.zxid * 1000 if at is None else at
        parent = parent_of(path)
        node = Znode(self.zxid, self.zxid, now, now, 0, 0, owner, acl, data, 1, 0)
        kids = child_created(self.replica.kids.get(parent), self.zxid)
        self.replica.apply(Change(CREATE, path, node, parent, kids), 1)
        return node

    def delete(self, path: str) -> None:
        self.zxid += 1
        parent = parent_of(path)
        self.replica.apply(
            Change(DELETE, path, None, parent, child_deleted(self.replica.kids[parent], self.zxid)), 1
        )

    def set(self, path: str, data: bytes | None, at: int | None = None) -> None:
        self.zxid += 1
        now = self.zxid * 1000 if at is None else at
        self.replica.apply(
            Change(SET_DATA, path, self.replica.nodes[path].with_data(data, self.zxid, now)), 1
        )

    def set_acl(self, path: str, acl: AccessList) -> None:
        self.zxid += 1
        self.replica.apply(Change(SET_ACL, path, self.replica.nodes[path].with_acl(acl)), 1)
