"""Items: their bytes by hand, there and back, and what is refused."""

from contextlib import suppress
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parkeeper.errors import Incompatible
from parkeeper.tree import encoding
from parkeeper.tree.acl import OPEN, intern
from parkeeper.tree.encoding import KeeperItem, Meta, NodePart, StatPart, Turn
from parkeeper.tree.node import Kids, Znode
from parkeeper.tree.sessions import Session
from parkeeper.wire.records import Acl

OPEN_BYTES = "00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65"
TWO_BYTES = "00000002 0000001f 00000006 646967657374 00000003 753a68 ffffffff ffffffff ffffffff"
TWO = intern([Acl(31, "digest", "u:h"), Acl(-1, None, None)])

GOLDEN = {
    # format, null, czxid (pending: position 2), ctime, aversion, owner, length and CRC-32 of "hello", ACL
    "node": (
        encoding.encode_node(Znode(-3, -3, 0x123456789A, 0, 0, 1, 0x1_0000_0001, OPEN, b"hello", -1, 0)),
        "01 00 fffffffffffffffd 000000123456789a 00000001 0000000100000001 00000005 3610a686" + OPEN_BYTES,
    ),
    "node with null data": (
        encoding.encode_node(Znode(7, 7, 0, 0, 0, -1, -(1 << 63), intern(()), None, 3, 0)),
        "01 01 0000000000000007 0000000000000000 ffffffff 8000000000000000 00000000 00000000 00000000",
    ),
    "node of others": (
        encoding.encode_node(Znode(0, 0, 0, 0, 0, 0, 0, TWO, b"", 3, 0)),
        "01 00 0000000000000000 0000000000000000 00000000 0000000000000000 00000000 00000000" + TWO_BYTES,
    ),
    # format, null, version, mzxid (pending: position 0), mtime, length, CRC-32
    "stat": (
        encoding.encode_stat(Znode(7, -1, 0, 0x123456789A, -2, 0, 0, OPEN, b"hello", 3, -1)),
        "01 00 fffffffe ffffffffffffffff 000000123456789a 00000005 3610a686",
    ),
    "stat with null data": (
        encoding.encode_stat(Znode(7, 9, 0, 0, 1, 0, 0, OPEN, None, 3, -1)),
        "01 01 00000001 0000000000000009 0000000000000000 00000000 00000000",
    ),
    # format, creations, children, pzxid
    "kids": (encoding.encode_kids(Kids(5, 2, -4, -1)), "01 00000005 00000002 fffffffffffffffc"),
    # format, timeout, owner, created, closing, claims
    "session": (
        encoding.encode_session(Session(30_000, 3, 0x123456789A, True, 2, -1)),
        "01 00007530 00000003 000000123456789a 01 00000002",
    ),
    # format, incarnation, beats, TTL, wall clock, applied, addresses
    "keeper": (
        encoding.encode_keeper(KeeperItem(2**64 - 1, 5, 6_000, 0x123456789A, 77, ("a:1", "[::1]:2"))),
        "01 ffffffffffffffff 0000000000000005 00001770 000000123456789a 000000000000004d 613a31 0a 5b3a3a315d3a32",
    ),
    # format, taker, incarnation, counter, attempt
    "fence": (encoding.encode_fence(3, 2**63 - 1, 5, 6), "01 00000003 7fffffffffffffff 0000000000000005 0000000000000006"),
    # format, incarnation, number, names
    "turn": (
        encoding.encode_turn(Turn(9, 2, frozenset({"stat/é", "kids/"}))),
        "01 0000000000000009 0000000000000002 6b6964732f 00 737461742f c3a9",
    ),
    "ids": (encoding.encode_ids(2**31 - 1), "01 7fffffff"),
    # format, cluster, secret, base, data prefix
    "meta": (
        encoding.encode_meta(Meta(bytes(range(16)), bytes(range(32)), 4096, "/")),
        "01" + bytes(range(16)).hex() + bytes(range(32)).hex() + "0000000000001000 2f",
    ),
}  # fmt: skip


@pytest.mark.parametrize("item", GOLDEN)
def test_encode_is_as_documented(item):
    """Byte by byte: whoever changes one of these makes another format."""
    encoded, hex = GOLDEN[item]
    assert encoded == bytes.fromhex(hex)


def golden(item: str) -> bytes:
    return bytes.fromhex(GOLDEN[item][1])


def test_decode_is_as_documented():
    """The same bytes back; zxids stay pending for whoever knows the revision."""
    crc = crc32(b"hello")
    assert encoding.decode_node(golden("node")) == NodePart(
        False, -3, 0x123456789A, 1, 0x1_0000_0001, 5, crc, OPEN
    )
    assert encoding.decode_node(golden("node of others")).acl is TWO
    assert encoding.decode_stat(golden("stat")) == StatPart(False, -2, -1, 0x123456789A, 5, crc)
    kids = encoding.decode_kids(golden("kids"), 8)
    assert (kids.creates, kids.count, kids.pzxid, kids.rev) == (5, 2, -4, 8)
    session = encoding.decode_session(golden("session"), 8)
    assert (session.timeout, session.owner, session.created) == (30_000, 3, 0x123456789A)
    assert (session.closing, session.claims, session.rev) == (True, 2, 8)
    keeper = KeeperItem(2**64 - 1, 5, 6_000, 0x123456789A, 77, ("a:1", "[::1]:2"))
    assert encoding.decode_keeper(golden("keeper")) == keeper
    assert encoding.decode_turn(golden("turn")) == Turn(9, 2, frozenset({"stat/é", "kids/"}))
    assert encoding.decode_ids(golden("ids")) == 2**31 - 1
    assert encoding.decode_meta(golden("meta")) == Meta(bytes(range(16)), bytes(range(32)), 4096, "/")


DECODERS = {
    "node": encoding.decode_node,
    "stat": encoding.decode_stat,
    "kids": lambda value: encoding.decode_kids(value, 1),
    "session": lambda value: encoding.decode_session(value, 1),
    "keeper": encoding.decode_keeper,
    "turn": encoding.decode_turn,
    "ids": encoding.decode_ids,
    "meta": encoding.decode_meta,
}
FIXED = {"node": 38, "stat": 30, "kids": 17, "session": 22, "keeper": 37, "turn": 17, "ids": 5, "meta": 57}
"""Bytes of each without its variable part."""


@pytest.mark.parametrize("item", DECODERS)
def test_decode_when_the_format_is_another(item):
    """Incompatible, saying what was found."""
    for format in (0, 2, 255):
        with pytest.raises(Incompatible, match=f"{item} item has format {format}; .* reads format 1"):
            DECODERS[item](bytes([format]) + golden(item)[1:])


@pytest.mark.parametrize("item", DECODERS)
def test_decode_when_it_is_cut_off(item):
    """Incompatible, for every length that cannot be."""
    for size in range(FIXED[item]):
        with pytest.raises(Incompatible, match=f"{item} item is {size} bytes"):
            DECODERS[item](golden(item)[:size])
    if item == "node":
        for size in range(FIXED[item], len(golden(item))):
            with pytest.raises(Incompatible, match="no readable ACL"):
                DECODERS[item](golden(item)[:size])


@given(st.binary(max_size=120))
def test_decode_of_anything(value):
    """A value or Incompatible, nothing else."""
    for decode in DECODERS.values():
        for tried in (value, b"\x01" + value):
            with suppress(Incompatible):
                decode(tried)


longs, ints, uints = (
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(0, 2**32 - 1),
)
datas = st.none() | st.binary(max_size=20)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
acls = st.lists(st.builds(Acl, ints, st.none() | texts, st.none() | texts), max_size=3).map(intern)
FIELDS = (
    "czxid", "mzxid", "ctime", "mtime", "version", "aversion", "owner", "acl", "data", "node_rev", "stat_rev", "reply",
)  # fmt: skip
znodes = st.builds(Znode, longs, longs, longs, longs, ints, ints, longs, acls, datas, st.just(5), st.just(6))


@given(znodes)
def test_node_and_stat_there_and_back(node):
    """A znode from its items is the one they were made of, and its data is no stranger's."""
    part, stat = (
        encoding.decode_node(encoding.encode_node(node)),
        encoding.decode_stat(encoding.encode_stat(node)),
    )
    built = encoding.build(part, stat, node.data or b"", 5, 6)
    for name in FIELDS:
        assert getattr(built, name) == getattr(node, name), name
    assert not encoding.is_strangers(part, node.data)
    assert not encoding.is_strangers(stat, node.data)


@given(ints, ints, longs)
def test_kids_there_and_back(creates, count, pzxid):
    """All three numbers."""
    kids = encoding.decode_kids(encoding.encode_kids(Kids(creates, count, pzxid, -1)), 4)
    assert (kids.creates, kids.count, kids.pzxid, kids.rev) == (creates, count, pzxid, 4)


@given(ints, uints, longs, st.booleans(), uints)
def test_session_there_and_back(timeout, owner, created, closing, claims):
    """All its fields."""
    encoded = encoding.encode_session(Session(timeout, owner, created, closing, claims, -1))
    session = encoding.decode_session(encoded, 4)
    assert (session.timeout, session.owner, session.created) == (timeout, owner, created)
    assert (session.closing, session.claims, session.rev) == (closing, claims, 4)


bigs = st.integers(0, 2**64 - 1)
lines = st.lists(st.text(st.characters(codec="ascii", exclude_characters="\n\0"), min_size=1), max_size=3)


@given(st.builds(KeeperItem, bigs, bigs, uints, longs, longs, lines.map(tuple)))
def test_keeper_there_and_back(item):
    """Without an address, too."""
    assert encoding.decode_keeper(encoding.encode_keeper(item)) == item


@given(st.builds(Turn, bigs, bigs, st.frozensets(texts.filter(lambda name: name and "\0" not in name))))
def test_turn_there_and_back(turn):
    """Names as they are, none as none."""
    assert encoding.decode_turn(encoding.encode_turn(turn)) == turn


@pytest.mark.parametrize(
    ("null", "length", "data", "built"),
    [
        (True, 0, b"", None),
        (True, 0, None, None),
        (True, 0, b"x", b"x"),  # a stranger's
        (False, 0, b"", b""),
        (False, 3, None, b""),  # the key is missing
        (False, 3, b"12345", b"12345"),  # a stranger's
        (False, 3, b"", b""),
    ],
)
def test_build_of_null_and_strangers_data(null, length, data, built):
    """Null by the flag while the key is empty; else the store's bytes."""
    node = NodePart(null, 1, 2, 0, 0, length, 0, OPEN)
    assert encoding.build(node, None, data, 3, 0).data == built
    stat = StatPart(null, 1, 1, 2, length, 0)
    other = NodePart(not null, 1, 2, 0, 0, 9, 0, OPEN)
    assert encoding.build(other, stat, data, 3, 4).data == built


def test_build_without_a_stat():
    """Never set: version 0, mzxid and mtime are those of the creation."""
    node = encoding.build(NodePart(False, 11, 22, 3, 4, 0, 0, OPEN), None, b"", 5, 0)
    assert (node.mzxid, node.mtime, node.version, node.stat_rev) == (11, 22, 0, 0)
    assert (node.czxid, node.ctime, node.aversion, node.owner, node.node_rev) == (11, 22, 3, 4, 5)
