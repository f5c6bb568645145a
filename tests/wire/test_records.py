"""Records inside records: Stat and access lists."""

import pytest

from parkeeper.errors import Malformed
from parkeeper.wire.jute import decoder
from parkeeper.wire.records import STAT, Acl, pack_stat, read_acl, write_acl


def test_pack_stat_puts_every_field_in_its_place():
    """68 bytes in the order of zookeeper.jute."""
    stat = pack_stat(
        czxid=1,
        mzxid=2,
        ctime=3,
        mtime=4,
        version=5,
        cversion=6,
        aversion=-1,
        owner=-2,
        data_length=9,
        num_children=10,
        pzxid=11,
    )
    assert stat == bytes.fromhex(
        "0000000000000001 0000000000000002 0000000000000003 0000000000000004"
        "00000005 00000006 ffffffff fffffffffffffffe 00000009 0000000a 000000000000000b"
    )
    assert STAT.size == 68


OPEN = b"\x00\x00\x00\x01\x00\x00\x00\x1f\x00\x00\x00\x05world\x00\x00\x00\x06anyone"


def test_acl_both_ways():
    """world:anyone with all five bits, as every client sends it."""
    assert read_acl(OPEN, 0) == ((Acl(31, "world", "anyone"),), len(OPEN))
    assert write_acl([Acl(31, "world", "anyone")]) == OPEN


def test_acl_when_strings_are_null():
    """kazoo writes the empty id of scheme auth as null, and it is kept as such."""
    raw = b"\x00\x00\x00\x01\xff\xff\xff\xff\x00\x00\x00\x04auth\xff\xff\xff\xff"
    assert read_acl(raw, 0) == ((Acl(-1, "auth", None),), len(raw))
    assert write_acl([Acl(-1, "auth", None)]) == raw


@pytest.mark.parametrize(
    ("count", "value"), [(b"\xff\xff\xff\xff", None), (b"\xff\xff\xff\xfe", ()), (b"\x00\x00\x00\x00", ())]
)
def test_acl_when_null_or_empty(count, value):
    """A null list is not an empty one."""
    assert read_acl(count, 0) == (value, 4)


def test_acl_when_the_count_is_a_lie():
    """The list ends where the frame ends, with a fault."""
    with pytest.raises(Malformed):
        decoder(read_acl)(b"\x7f\xff\xff\xff" + OPEN[4:], 0)
