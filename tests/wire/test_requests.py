"""Request decoders: bytes by hand, bytes by kazoo, bytes cut off, bytes at random."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kazoo.protocol import serialization as kz
from kazoo.security import OPEN_ACL_UNSAFE, make_digest_acl

from parkeeper.errors import Malformed
from parkeeper.wire import requests as r
from parkeeper.wire.opcodes import OPERATIONS, Kind, Op
from parkeeper.wire.records import Acl
from parkeeper.wire.requests import HEADER

ACL_HEX = "00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65"
OPEN = (Acl(31, "world", "anyone"),)
CREATE_HEX = "00000002 2f61 00000002 6869" + ACL_HEX + "00000003"

# name: (opcode, body in hex, record)
REQUESTS = {
    "create": (1, CREATE_HEX, r.Create("/a", b"hi", OPEN, 3)),
    "create2": (15, CREATE_HEX, r.Create("/a", b"hi", OPEN, 3)),
    "createContainer": (19, CREATE_HEX, r.Create("/a", b"hi", OPEN, 3)),
    "create of nulls": (1, "00000000 ffffffff ffffffff 00000000", r.Create("", None, None, 0)),
    "create of a bad flag": (1, "00000000 00000000 00000000 ffffffff", r.Create("", b"", (), -1)),
    "createTTL": (21, CREATE_HEX + "0000000000000064", r.CreateTtl("/a", b"hi", OPEN, 3, 100)),
    "delete": (2, "00000002 2f61 ffffffff", r.Delete("/a", -1)),
    "exists": (3, "00000002 2f61 01", r.Exists("/a", True)),
    "getData": (4, "00000002 2f61 00", r.GetData("/a", False)),
    "getData with another true": (4, "00000004 2fe282ac 02", r.GetData("/\u20ac", True)),
    "getChildren": (8, "00000001 2f 01", r.GetChildren("/", True)),
    "getChildren2": (12, "00000001 2f 00", r.GetChildren2("/", False)),
    "setData": (5, "00000002 2f61 00000002 6869 00000007", r.SetData("/a", b"hi", 7)),
    "create of nothing": (1, "ffffffff ffffffff ffffffff 00000000", r.Create(None, None, None, 0)),
    "setData of nulls": (5, "ffffffff ffffffff ffffffff", r.SetData(None, None, -1)),
    "getACL": (6, "00000002 2f61", r.GetAcl("/a")),
    "setACL": (7, "00000002 2f61" + ACL_HEX + "00000002", r.SetAcl("/a", OPEN, 2)),
    "setACL of nulls": (7, "ffffffff ffffffff 00000000", r.SetAcl(None, None, 0)),
    "sync": (9, "00000002 2f61", r.Sync("/a")),
    "sync of null": (9, "ffffffff", r.Sync(None)),
    "ping": (11, "", r.Ping()),
    "reconfig": (
        16,
        "00000001 61 ffffffff 00000001 62 ffffffffffffffff",
        r.Reconfig("a", None, "b", -1),
    ),
    "checkWatches": (17, "00000002 2f61 00000001", r.CheckWatches("/a", 1)),
    "removeWatches": (18, "00000002 2f61 00000005", r.RemoveWatches("/a", 5)),
    "auth": (100, "00000000 00000006 646967657374 00000003 753a70", r.Auth(0, "digest", b"u:p")),
    "auth of nulls": (100, "00000000 ffffffff ffffffff", r.Auth(0, None, None)),
    "setWatches": (
        101,
        "0000000000000009 00000001 00000001 2f 00000000 00000002 00000002 2f61 00000002 2f62",
        r.SetWatches(9, ("/",), (), ("/a", "/b"), (), ()),
    ),
    "setWatches2": (
        105,
        "0000000000000009 00000000 00000001 00000001 2f 00000000 00000001 00000002 2f61 00000001 00000002 2f62",
        r.SetWatches(9, (), ("/",), (), ("/a",), ("/b",)),
    ),
    "sasl": (102, "00000002 0102", r.Sasl(b"\x01\x02")),
    "sasl of null": (102, "ffffffff", r.Sasl(None)),
    "getEphemerals": (103, "00000001 2f", r.GetEphemerals("/")),
    "getEphemerals of null": (103, "ffffffff", r.GetEphemerals(None)),
    "getAllChildrenNumber": (104, "00000001 2f", r.GetAllChildrenNumber("/")),
    "addWatch": (106, "00000002 2f61 00000001", r.AddWatch("/a", 1)),
    "whoAmI": (107, "", r.WhoAmI()),
    "closeSession": (-11, "", r.CloseSession()),
}


def frame(number, body):
    """A whole frame: the request header, written by hand, and a body."""
    return b"\x00\x00\x00\x07" + number.to_bytes(4, "big", signed=True) + body


@pytest.mark.parametrize("name", REQUESTS)
def test_decode_of(name):
    """Every field in its place and of its type; bytes behind the record are ignored."""
    number, body, record = REQUESTS[name]
    payload = frame(number, bytes.fromhex(body))
    assert HEADER.unpack_from(payload) == (7, number)
    decoded = OPERATIONS[number].decode(payload, 8)
    assert decoded == record
    assert type(decoded) is type(record)
    assert OPERATIONS[number].decode(payload + b"\xff\xff", 8) == record


@pytest.mark.parametrize("name", REQUESTS)
def test_decode_when_cut_off_anywhere(name):
    """No byte of a record can be missing: a record that is cut is malformed, never half a record."""
    number, body, _record = REQUESTS[name]
    payload = frame(number, bytes.fromhex(body))
    for size in range(8, len(payload)):
        with pytest.raises(Malformed):
            OPERATIONS[number].decode(payload[:size], 8)


@pytest.mark.parametrize("number", [2, 3, 4, 6, 8, 12, 17, 18, 104, 106])
def test_decode_when_the_path_is_null(number):
    """Where ZooKeeper answers -5 to a null path, the record is malformed."""
    rest = "00000001" if number in (17, 18) else "00000000 00000000 00000001 0000000000000001"
    with pytest.raises(Malformed):
        OPERATIONS[number].decode(frame(number, bytes.fromhex("ffffffff" + rest)), 8)
    empty = OPERATIONS[number].decode(frame(number, bytes.fromhex("00000000" + rest)), 8)
    assert empty[0] == ""


@pytest.mark.parametrize("number", [3, 4, 8, 12])
@pytest.mark.parametrize("length", ["fffffffe", "80000000", "7fffffff", "00000003"])
def test_decode_of_a_path_and_a_watch_when_the_length_is_impossible(number, length):
    """The fast decoder knows the same limits; 3 of 3 bytes would leave none for the watch."""
    with pytest.raises(Malformed):
        OPERATIONS[number].decode(frame(number, bytes.fromhex(length + "2f6161")), 8)


@pytest.mark.parametrize(
    ("number", "value"), [(17, 0), (17, 6), (17, -1), (18, 0), (18, 6), (106, 2), (106, -1)]
)
def test_decode_when_a_watcher_type_or_mode_is_out_of_range(number, value):
    """Answered -5, so malformed."""
    body = bytes.fromhex("00000002 2f61") + value.to_bytes(4, "big", signed=True)
    with pytest.raises(Malformed):
        OPERATIONS[number].decode(frame(number, body), 8)


@pytest.mark.parametrize("size", [0, 1, 64])
def test_decode_of_an_acl_count_that_is_a_lie(size):
    """A huge count ends where the frame ends."""
    body = bytes.fromhex("00000002 2f61 ffffffff 7fffffff") + bytes(size)
    with pytest.raises(Malformed):
        OPERATIONS[1].decode(frame(1, body), 8)


DIGEST = make_digest_acl("u", "p", read=True)
KAZOO = [
    (kz.Create("/k", b"v", OPEN_ACL_UNSAFE, 1), r.Create("/k", b"v", OPEN, 1)),
    (kz.Create2("/k", None, [DIGEST], 2), r.Create("/k", None, (Acl(1, "digest", DIGEST.id.id),), 2)),
    (kz.Delete("/k", 4), r.Delete("/k", 4)),
    (kz.Exists("/k", print), r.Exists("/k", True)),
    (kz.Exists("/k", None), r.Exists("/k", False)),
    (kz.GetData("/\u20ac", print), r.GetData("/\u20ac", True)),
    (kz.SetData("/k", b"", -1), r.SetData("/k", b"", -1)),
    (kz.GetACL("/k"), r.GetAcl("/k")),
    (kz.SetACL("/k", OPEN_ACL_UNSAFE, 3), r.SetAcl("/k", OPEN, 3)),
    (kz.GetChildren("/k", None), r.GetChildren("/k", False)),
    (kz.GetChildren2("/k", print), r.GetChildren2("/k", True)),
    (kz.Sync("/k"), r.Sync("/k")),
    (kz.Reconfig("", "1", None, 5), r.Reconfig(None, "1", None, 5)),
    (kz.Auth(0, "digest", "u:p"), r.Auth(0, "digest", b"u:p")),
    (kz.SASL(b"\x00\x01"), r.Sasl(b"\x00\x01")),
    (kz.PingInstance, r.Ping()),
    (kz.CloseInstance, r.CloseSession()),
]


@pytest.mark.parametrize("case", range(len(KAZOO)))
def test_decode_of_what_kazoo_encodes(case):
    """An independent encoder, and its own idea of the operation's number."""
    request, record = KAZOO[case]
    assert OPERATIONS[request.type].decode(frame(request.type, bytes(request.serialize())), 8) == record


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
datas = st.none() | st.binary(max_size=40)
int32 = st.integers(-(1 << 31), (1 << 31) - 1)


@given(path=texts, data=datas, version=int32)
def test_set_data_of_anything_kazoo_can_encode(path, data, version):
    """Whatever an independent encoder writes comes back."""
    body = bytes(kz.SetData(path, data, version).serialize())
    assert r.set_data(frame(Op.SET_DATA, body), 8) == r.SetData(path, data, version)


@given(path=texts, data=datas, flags=int32, count=st.integers(0, 5))
def test_create_of_anything_kazoo_can_encode(path, data, flags, count):
    """Likewise, with access lists of any size."""
    body = bytes(kz.Create(path, data, [DIGEST] * count, flags).serialize())
    acl = (Acl(1, "digest", DIGEST.id.id),) * count
    assert r.create(frame(Op.CREATE, body), 8) == r.Create(path, data, acl, flags)


REQUESTABLE = sorted(number for number, operation in OPERATIONS.items() if operation.kind is not Kind.REFUSED)


@given(number=st.sampled_from(REQUESTABLE), body=st.binary(max_size=120))
def test_decode_of_arbitrary_bytes(number, body):
    """A record or Malformed, nothing else, whatever the peer sends."""
    try:
        record = OPERATIONS[number].decode(frame(number, body), 8)
    except Malformed:
        return
    assert isinstance(record, tuple)


@given(name=st.sampled_from(sorted(REQUESTS)), cut=st.integers(0, 80), put=st.binary(min_size=1, max_size=4))
def test_decode_of_a_record_with_some_bytes_replaced(name, cut, put):
    """Near misses find what noise does not: still a record or Malformed."""
    number, body, _record = REQUESTS[name]
    raw = bytes.fromhex(body)
    at = min(cut, len(raw))
    try:
        record = OPERATIONS[number].decode(frame(number, raw[:at] + put + raw[at + len(put) :]), 8)
    except Malformed:
        return
    assert isinstance(record, tuple)
