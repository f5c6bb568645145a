"""Znodes, what children move, stored owners, and the Stat."""

import pytest

from parkeeper.tree.acl import OPEN, READ_ONLY
from parkeeper.tree.node import (
    CONTAINER,
    MAX_TTL,
    UNWRITTEN,
    Kids,
    Znode,
    child_created,
    child_deleted,
    is_session,
    next_version,
    pack_stat,
    ttl_of,
    ttl_owner,
)

SESSION = 0x1_0000_0001

OWNERS = [
    # stored owner, TTL, whether it is a session
    (0, 0, False),
    (SESSION, 0, True),
    (0x7FFF_FFFF_FFFF_FFFF, 0, True),
    (-0x8000_0000_0000_0000, 0, False),
    (-0x7FFF_FFFF_FFFF_FFFF, 0, True),
    (-(1 << 56) + 1, 1, False),
    (-(1 << 56) + 0xFF_FFFF_FFFF, 0xFF_FFFF_FFFF, False),
]


@pytest.mark.parametrize(("owner", "ttl", "session"), OWNERS)
def test_owners(owner, ttl, session):
    """0, sessions, the container's number, and 0xff in the top byte with the TTL in the low five (EphemeralType)."""
    assert (ttl_of(owner), is_session(owner)) == (ttl, session)
    assert ttl_owner(ttl) == owner or not ttl
    assert (owner == CONTAINER) == (owner == -(1 << 63))


def test_ttl_owner_is_what_zookeeper_stores():
    """0xff00 0000 0000 00 00 and the ms, as a signed number."""
    assert ttl_owner(60_000).to_bytes(8, signed=True) == bytes.fromhex("ff 0000 000000ea60")
    assert ttl_owner(MAX_TTL).to_bytes(8, signed=True) == bytes.fromhex("ff 0000 ffffffffff")


@pytest.mark.parametrize(
    ("version", "following"), [(0, 1), (-2, 0), (2**31 - 1, -(2**31)), (-(2**31), -(2**31) + 1), (-1, 0)]
)
def test_next_version(version, following):
    """Wraps, and is never -1."""
    assert next_version(version) == following


def znode(**fields) -> Znode:
    values = {
        **dict.fromkeys(("czxid", "mzxid", "ctime", "mtime", "version", "aversion", "owner"), 0),
        "acl": OPEN, "data": b"", "node_rev": 3, "stat_rev": 0,
    }  # fmt: skip
    return Znode(**{**values, **fields})


def test_with_data_replaces_what_set_data_moves():
    """The old one stays as it is; node_rev is kept, stat_rev is open."""
    before = znode(czxid=1, mzxid=1, ctime=10, mtime=10, version=4, aversion=2)
    before.reply = b"cached"
    after = before.with_data(b"new", -1, 20)
    assert (after.czxid, after.mzxid, after.ctime, after.mtime) == (1, -1, 10, 20)
    assert (after.version, after.aversion, after.data) == (5, 2, b"new")
    assert (after.node_rev, after.stat_rev, after.reply) == (3, UNWRITTEN, None)
    assert (before.version, before.data, before.mzxid) == (4, b"", 1)


def test_with_acl_replaces_what_set_acl_moves():
    """node_rev is open, stat_rev is kept."""
    after = znode(mzxid=9, mtime=7, version=4, aversion=2, stat_rev=5).with_acl(READ_ONLY)
    assert (after.acl, after.aversion, after.version, after.mzxid, after.mtime) == (READ_ONLY, 3, 4, 9, 7)
    assert (after.node_rev, after.stat_rev) == (UNWRITTEN, 5)


def test_with_acl_of_takes_nothing_else():
    """Data and version of another keeper's setData stay."""
    current = znode(mzxid=9, version=4, data=b"theirs", stat_rev=8)
    planned = znode(mzxid=2, version=3, data=b"old", stat_rev=2, acl=READ_ONLY, aversion=1, node_rev=9)
    after = current.with_acl_of(planned)
    assert (after.acl, after.aversion, after.node_rev) == (READ_ONLY, 1, 9)
    assert (after.mzxid, after.version, after.data, after.stat_rev) == (9, 4, b"theirs", 8)


def test_settle_resolves_what_is_pending():
    """And only that."""
    node = znode(czxid=-1, mzxid=-3, node_rev=UNWRITTEN, stat_rev=UNWRITTEN)
    node.settle(100, 2)
    assert (node.czxid, node.mzxid, node.node_rev, node.stat_rev) == (100 + 8192, 100 + 8194, 2, 2)
    node.settle(100, 9)
    assert (node.czxid, node.mzxid, node.node_rev, node.stat_rev) == (100 + 8192, 100 + 8194, 2, 2)
    kids = Kids(1, 1, -1, UNWRITTEN)
    kids.settle(100, 2)
    kids.settle(100, 9)
    assert (kids.pzxid, kids.rev) == (100 + 8192, 2)


def test_child_created_and_deleted():
    """Creations only go up, the count follows, pzxid is the write's."""
    first = child_created(None, -1)
    assert (first.creates, first.count, first.pzxid, first.rev) == (1, 1, -1, UNWRITTEN)
    second = child_created(first, -2)
    assert (second.creates, second.count, second.pzxid) == (2, 2, -2)
    third = child_deleted(second, -3)
    assert (third.creates, third.count, third.pzxid) == (2, 1, -3)
    assert (second.creates, second.count, second.pzxid) == (2, 2, -2)


def test_child_created_when_creations_are_used_up():
    """Neither creations nor pzxid move any more; a deletion moves pzxid still."""
    full = Kids(2**31 - 1, 5, 77, 3)
    more = child_created(full, -1)
    assert (more.creates, more.count, more.pzxid, more.rev) == (2**31 - 1, 6, 77, UNWRITTEN)
    assert child_deleted(more, -2).pzxid == -2
    assert child_created(Kids(2**31 - 2, 5, 77, 3), -1).pzxid == -1


STATS = [
    (
        znode(czxid=1, mzxid=2, ctime=3, mtime=4, version=5, aversion=6, data=b"1234567"),
        None,
        "0000000000000001 0000000000000002 0000000000000003 0000000000000004",
        "00000005 00000000 00000006 0000000000000000 00000007 00000000 0000000000000001",
    ),
    (
        znode(czxid=1, owner=SESSION, data=None),
        Kids(3, 1, 9, 1),
        "0000000000000001 0000000000000000 0000000000000000 0000000000000000",
        "00000000 00000005 00000000 0000000100000001 00000000 00000001 0000000000000009",
    ),
    (
        znode(owner=CONTAINER),
        Kids(0, 2, 0, 1),
        "0000000000000000 0000000000000000 0000000000000000 0000000000000000",
        "00000000 fffffffe 00000000 0000000000000000 00000000 00000002 0000000000000000",
    ),
    (
        znode(owner=ttl_owner(5), version=-1, aversion=-1),
        Kids(2**31 - 1, 1, 2**62, 1),
        "0000000000000000 0000000000000000 0000000000000000 0000000000000000",
        "ffffffff fffffffd ffffffff 0000000000000000 00000000 00000001 4000000000000000",
    ),
]


@pytest.mark.parametrize(("node", "kids", "first", "second"), STATS)
def test_pack_stat(node, kids, first, second):
    """68 bytes; cversion = 2 x creations - children, wrapped; owners of sessions only; pzxid falls back to czxid."""
    assert pack_stat(node, kids) == bytes.fromhex(first + second)
    assert len(pack_stat(node, kids)) == 68
