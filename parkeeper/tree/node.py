"""A znode as the replica holds it, and the Stat a client sees.

A znode lives in three items of the store (PROTOCOL section 2): `node/` (who it is), `stat/` (what setData moves) and
`kids/` (what its children move), so that unrelated changes don't conflict. Here that is `Znode` (node, stat and data)
and `Kids`. Both are replaced, never changed, by a write; only `settle` touches them in place, once, when the revision
of their commit becomes known.
"""

from __future__ import annotations

from typing import Final

from parkeeper.tree.acl import AccessList
from parkeeper.tree.zxid import POSITIONS
from parkeeper.wire.records import STAT

CONTAINER: Final = -0x8000_0000_0000_0000
"""ephemeralOwner of a container, as ZooKeeper stores it (EphemeralType)."""

TTL_TAG: Final = 0xFF << 56
MAX_TTL: Final = 0xFF_FFFF_FFFF
"""Longest TTL in ms (EphemeralType, 40 bits)."""

UNWRITTEN: Final = -1
"""Revision of an item that the commit being planned writes."""


def ttl_owner(ttl: int) -> int:
    """The stored owner of a TTL node, as a signed 64-bit number (EphemeralType.TTL)."""
    return (TTL_TAG | ttl) - (1 << 64)


def ttl_of(owner: int) -> int:
    """TTL in ms of a stored owner, 0 if it is not one of a TTL node."""
    return owner & MAX_TTL if owner < 0 and (owner >> 56) & 0xFF == 0xFF and owner != CONTAINER else 0


def is_session(owner: int) -> bool:
    """Whether a stored owner is a session, so that the node is an ephemeral."""
    return owner != 0 and owner != CONTAINER and not ttl_of(owner)


def next_version(version: int) -> int:
    """The version after one: 32-bit wrap, skipping -1, which means "any" (PrepRequestProcessor.checkAndIncVersion)."""
    following = version + 1
    if following == -1:
        return 0
    return following if following <= 0x7FFF_FFFF else -0x8000_0000


class Znode:
    """One znode without its children: what `node/`, `stat/` and `data/` hold.

    Attributes:
        czxid, mzxid: zxids, pending (negative) while their commit is being planned.
        ctime, mtime: wall clock ms of the planning keeper.
        version, aversion: as in Stat.
        owner: stored ephemeralOwner: 0, a session, `CONTAINER` or `ttl_owner(ms)`.
        acl: interned.
        data: the bytes; None is null, which a client can tell from empty.
        node_rev: revision of the `node/` item, `UNWRITTEN` while it is being planned.
        stat_rev: revision of the `stat/` item, 0 if there is none.
        reply: cached encoded Stat-and-data reply body, None if not cached.
    """

    __slots__ = (
        "acl", "aversion", "ctime", "czxid", "data", "mtime", "mzxid", "node_rev", "owner", "reply", "stat_rev",
        "version",
    )  # fmt: skip

    def __init__(
        self,
        czxid: int,
        mzxid: int,
        ctime: int,
        mtime: int,
        version: int,
        aversion: int,
        owner: int,
        acl: AccessList,
        data: bytes | None,
        node_rev: int,
        stat_rev: int,
    ) -> None:
        self.czxid = czxid
        self.mzxid = mzxid
        self.ctime = ctime
        self.mtime = mtime
        self.version = version
        self.aversion = aversion
        self.owner = owner
        self.acl = acl
        self.data = data
        self.node_rev = node_rev
        self.stat_rev = stat_rev
        self.reply: bytes | None = None

    def with_data(self, data: bytes | None, zxid: int, now: int) -> Znode:
        """After setData: next version, new mzxid and mtime."""
        return Znode(
            self.czxid, zxid, self.ctime, now, next_version(self.version), self.aversion, self.owner, self.acl,
            data, self.node_rev, UNWRITTEN,
        )  # fmt: skip

    def with_acl(self, acl: AccessList) -> Znode:
        """After setACL: next aversion, nothing else."""
        return Znode(
            self.czxid, self.mzxid, self.ctime, self.mtime, self.version, next_version(self.aversion), self.owner,
            acl, self.data, UNWRITTEN, self.stat_rev,
        )  # fmt: skip

    def with_acl_of(self, other: Znode) -> Znode:
        """With the part of another that a setACL moves, and none of the rest."""
        fresh = self.copy()
        fresh.acl, fresh.aversion, fresh.node_rev = other.acl, other.aversion, other.node_rev
        return fresh

    def with_bytes(self, data: bytes) -> Znode:
        """After a stranger wrote the data key: its bytes, no version moves."""
        fresh = self.copy()
        fresh.data = data
        return fresh

    def copy(self) -> Znode:
        """Another one like it, to be changed before anybody sees it."""
        return Znode(
            self.czxid, self.mzxid, self.ctime, self.mtime, self.version, self.aversion, self.owner, self.acl,
            self.data, self.node_rev, self.stat_rev,
        )  # fmt: skip

    @property
    def ephemeral(self) -> bool:
        """Whether a session owns it."""
        return is_session(self.owner)

    def settle(self, base: int, revision: int) -> None:
        """Its commit happened: pending zxids and revisions become real."""
        if self.czxid < 0:
            self.czxid = base + revision * POSITIONS + ~self.czxid
        if self.mzxid < 0:
            self.mzxid = base + revision * POSITIONS + ~self.mzxid
        if self.node_rev < 0:
            self.node_rev = revision
        if self.stat_rev < 0:
            self.stat_rev = revision

    def __repr__(self) -> str:
        return (
            f"<Znode czxid={self.czxid:#x} mzxid={self.mzxid:#x} version={self.version} aversion={self.aversion}"
            f" owner={self.owner:#x} data={self.data!r:.40} node@{self.node_rev} stat@{self.stat_rev}>"
        )


class Kids:
    """What a znode's children moved: the `kids/` item.

    Attributes:
        creates: creations ever, the *stored* cversion; sticks at 2^31-1 (DataTree.createNode updates only upwards).
        count: children now (numChildren).
        pzxid: zxid of the last creation or deletion; pending while being planned. -1 would be pending, so "no child
            ever" has no `Kids` at all and pzxid falls back to the znode's czxid.
        rev: revision of the item, `UNWRITTEN` while being planned.
    """

    __slots__ = ("count", "creates", "pzxid", "rev")

    def __init__(self, creates: int, count: int, pzxid: int, rev: int) -> None:
        self.creates = creates
        self.count = count
        self.pzxid = pzxid
        self.rev = rev

    def settle(self, base: int, revision: int) -> None:
        """Its commit happened: the pending zxid and revision become real."""
        if self.pzxid < 0:
            self.pzxid = base + revision * POSITIONS + ~self.pzxid
        if self.rev < 0:
            self.rev = revision

    def __repr__(self) -> str:
        return f"<Kids creates={self.creates} count={self.count} pzxid={self.pzxid:#x} @{self.rev}>"


MOST_CREATES: Final = 0x7FFF_FFFF


def child_created(kids: Kids | None, zxid: int) -> Kids:
    """The parent's `Kids` after a creation; at 2^31-1 neither cversion nor pzxid moves any more (reference 3.5)."""
    if kids is None:
        return Kids(1, 1, zxid, UNWRITTEN)
    if kids.creates >= MOST_CREATES:
        return Kids(MOST_CREATES, kids.count + 1, kids.pzxid, UNWRITTEN)
    return Kids(kids.creates + 1, kids.count + 1, zxid, UNWRITTEN)


def child_deleted(kids: Kids, zxid: int) -> Kids:
    """The parent's `Kids` after a deletion: pzxid moves, the stored cversion does not (DataTree.deleteNode)."""
    return Kids(kids.creates, kids.count - 1, zxid, UNWRITTEN)


def _signed32(number: int) -> int:
    return (number + 0x8000_0000 & 0xFFFF_FFFF) - 0x8000_0000


def pack_stat(node: Znode, kids: Kids | None) -> bytes:
    """The 68 bytes of a Stat (DataNode.copyStat): reported cversion is 2 x stored - numChildren."""
    data = node.data
    owner = node.owner
    if kids is None:
        cversion, count, pzxid = 0, 0, node.czxid
    else:
        cversion, count, pzxid = _signed32(2 * kids.creates - kids.count), kids.count, kids.pzxid
    return STAT.pack(
        node.czxid, node.mzxid, node.ctime, node.mtime, node.version, cversion, node.aversion,
        owner if owner > 0 or is_session(owner) else 0, len(data) if data else 0, count, pzxid,
    )  # fmt: skip
