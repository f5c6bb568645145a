"""Replies, byte for byte; then as kazoo reads them."""

import pytest
from kazoo.protocol import serialization as kz
from kazoo.security import ACL, Id

from parkeeper.wire import replies
from parkeeper.wire.codes import Code
from parkeeper.wire.records import Acl, ClientInfo, pack_stat

STAT = pack_stat(1, 2, 3, 4, 5, 6, 7, 8, 2, 9, 10)
STAT_HEX = (
    "0000000000000001 0000000000000002 0000000000000003 0000000000000004"
    "00000005 00000006 00000007 0000000000000008 00000002 00000009 000000000000000a"
)


def test_reply_is_length_xid_zxid_err_body():
    """Twenty bytes and the body, signed numbers big-endian."""
    assert replies.reply(1, 2) == bytes.fromhex("00000010 00000001 0000000000000002 00000000")
    assert replies.reply(-8, -1, -5, b"xy") == bytes.fromhex(
        "00000012 fffffff8 ffffffffffffffff fffffffb 7879"
    )


def test_error_is_the_header_alone():
    """No body; a Code may be given as it is."""
    assert replies.error(3, 0x10, Code.NO_NODE) == bytes.fromhex(
        "00000010 00000003 0000000000000010 ffffff9b"
    )


BODIES = {
    "path": (replies.path_body("/a"), "00000002 2f61"),
    "null path": (replies.path_body(None), "ffffffff"),
    "create2": (replies.create2_body("/a", STAT), "00000002 2f61" + STAT_HEX),
    "data": (replies.data_body(b"hi", STAT), "00000002 6869" + STAT_HEX),
    "empty data": (replies.data_body(b"", STAT), "00000000" + STAT_HEX),
    "null data": (replies.data_body(None, STAT), "ffffffff" + STAT_HEX),
    "children": (replies.children_body(["b", "\u20ac"]), "00000002 00000001 62 00000003 e282ac"),
    "no children": (replies.children_body([]), "00000000"),
    "children2": (replies.children2_body(("b",), STAT), "00000001 00000001 62" + STAT_HEX),
    "acl": (
        replies.acl_body([Acl(1, "ip", "::1")], STAT),
        "00000001 00000001 00000002 6970 00000003 3a3a31" + STAT_HEX,
    ),
    "number": (replies.int_body(3), "00000003"),
    "no token": (replies.sasl_body(None), "ffffffff"),
    "token": (replies.sasl_body(b"\x01"), "00000001 01"),
    "who": (replies.who_am_i_body([ClientInfo("ip", "::1")]), "00000001 00000002 6970 00000003 3a3a31"),
    "nobody": (replies.who_am_i_body([]), "00000000"),
}


@pytest.mark.parametrize("name", BODIES)
def test_body_of(name):
    """Each body as zookeeper.jute lays it out."""
    body, expected = BODIES[name]
    assert body == bytes.fromhex(expected)


@pytest.mark.parametrize(
    ("data", "length"), [(b"hi", "00000002 6869"), (b"", "00000000"), (None, "ffffffff")]
)
def test_data_reply_is_the_same_packet_in_one_go(data, length):
    """The fast form writes what the slow form writes."""
    size = 16 + len(bytes.fromhex(length)) + 68
    expected = size.to_bytes(4, "big") + bytes.fromhex(
        "00000009 0000000000000007 00000000" + length + STAT_HEX
    )
    assert replies.data_reply(9, 7, data, STAT) == expected


def test_kazoo_reads_what_we_write():
    """An independent decoder finds the same values."""
    stat = kz.GetData.deserialize(replies.data_reply(9, 7, b"hi", STAT), 20)
    assert stat[0] == b"hi"
    assert tuple(stat[1]) == (1, 2, 3, 4, 5, 6, 7, 8, 2, 9, 10)
    assert kz.ReplyHeader.deserialize(replies.reply(4, 5, -6), 4) == ((4, 5, -6), 20)
    assert kz.GetChildren.deserialize(replies.children_body(["a", "b"]), 0) == ["a", "b"]
    acls, _stat = kz.GetACL.deserialize(replies.acl_body([Acl(31, "world", "anyone")], STAT), 0)
    assert acls == [ACL(31, Id("world", "anyone"))]
    path, stat2 = kz.Create2.deserialize(replies.create2_body("/a", STAT), 0)
    assert (path, stat2.pzxid) == ("/a", 10)
