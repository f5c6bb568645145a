"""multi and multiRead: what a list of operations means, and how it is answered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kazoo.exceptions import NoNodeError, RolledBackError, RuntimeInconsistency
from kazoo.protocol import serialization as kz
from kazoo.security import OPEN_ACL_UNSAFE

from parkeeper.errors import Malformed
from parkeeper.wire.codes import Code
from parkeeper.wire.multi import (
    END,
    Multi,
    MultiRead,
    failure,
    multi,
    multi_body,
    multi_read,
    result,
    rolled_back,
)
from parkeeper.wire.op import Op
from parkeeper.wire.records import Acl, pack_stat
from parkeeper.wire.replies import create2_body, data_body, path_body
from parkeeper.wire.requests import Check, Create, CreateTtl, Delete, GetChildren, GetData, SetData

END_HEX = "ffffffff 01 ffffffff"
ACL_HEX = "00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65"
OPEN = (Acl(31, "world", "anyone"),)


def op(number, body):
    """One operation: its header and its record, in hex."""
    return number.to_bytes(4, "big", signed=True).hex() + "00 ffffffff" + body


def create(number, flags, acl=ACL_HEX, ttl=""):
    """A create of /a with data "x"."""
    return op(number, "00000002 2f61 00000001 78" + acl + flags.to_bytes(4, "big", signed=True).hex() + ttl)


def request(*ops):
    """A whole body."""
    return bytes.fromhex("".join(ops) + END_HEX)


def test_multi_of_every_kind_of_operation():
    """Each record under its kind, in order."""
    body = request(
        create(1, 1),
        op(2, "00000002 2f61 00000003"),
        op(5, "00000002 2f61 ffffffff 00000004"),
        op(13, "00000002 2f61 ffffffff"),
    )
    assert multi(bytes(8) + body, 8) == Multi(
        (
            (1, Create("/a", b"x", OPEN, 1)),
            (2, Delete("/a", 3)),
            (5, SetData("/a", None, 4)),
            (13, Check("/a", -1)),
        )
    )


def test_multi_when_empty():
    """An empty multi is a multi; only `done` ends it, whatever the terminator's other fields say."""
    assert multi(bytes.fromhex(END_HEX), 0) == Multi(())
    assert multi(bytes.fromhex("00000001 02 00000000"), 0) == Multi(())


@pytest.mark.parametrize("number", [1, 15, 19])
@pytest.mark.parametrize("flags", [0, 1, 2, 3])
def test_create_when_the_flag_is_an_ordinary_one_keeps_its_number(number, flags):
    """create, create2 and createContainer stay what they were sent as."""
    assert multi(request(create(number, flags)), 0).ops == ((number, Create("/a", b"x", OPEN, flags)),)


@pytest.mark.parametrize("number", [1, 15, 19])
def test_create_when_the_flag_is_container(number):
    """In a multi flag 4 makes a container under any number."""
    assert multi(request(create(number, 4)), 0).ops == ((19, Create("/a", b"x", OPEN, 4)),)


@pytest.mark.parametrize("number", [1, 15, 19])
@pytest.mark.parametrize("flags", [5, 6, 7, -1])
def test_create_when_the_flag_is_ttl_or_unknown_without_a_ttl(number, flags):
    """The whole request is malformed."""
    with pytest.raises(Malformed):
        multi(request(create(number, flags)), 0)


@pytest.mark.parametrize("number", [1, 15, 19])
def test_create_when_the_acl_is_null(number):
    """The whole request is malformed; an empty list is for the planner to refuse."""
    with pytest.raises(Malformed):
        multi(request(create(number, 0, acl="ffffffff")), 0)
    assert multi(request(create(number, 0, acl="00000000")), 0).ops[0][1] == Create("/a", b"x", (), 0)


TTL = "00000000000003e8"


@pytest.mark.parametrize("flags", [5, 6])
def test_create_ttl_when_the_flag_says_so(flags):
    """createTTL with its own flags."""
    body = request(create(21, flags, ttl=TTL))
    assert multi(body, 0).ops == ((21, CreateTtl("/a", b"x", OPEN, flags, 1000)),)


@pytest.mark.parametrize(("flags", "kind"), [(0, 1), (1, 1), (3, 1), (4, 19), (7, 1), (-1, 1)])
def test_create_ttl_when_the_flag_says_otherwise(flags, kind):
    """The flag decides and the ttl is dropped; a bad flag is kept for the planner to refuse."""
    body = request(create(21, flags, ttl=TTL))
    assert multi(body, 0).ops == ((kind, Create("/a", b"x", OPEN, flags)),)


@pytest.mark.parametrize("number", [3, 4, 6, 7, 8, 9, 11, 12, 14, 16, 20, 22, 100, 0, -1, -10, -11, 9999])
def test_multi_when_an_operation_does_not_belong(number):
    """Only writes and checks; reads and everything else make the whole request malformed."""
    with pytest.raises(Malformed):
        multi(request(op(number, "00000002 2f61 00000000" + "00" * 40)), 0)


NULL_PATHS = {
    1: "ffffffff ffffffff" + ACL_HEX + "00000000",
    2: "ffffffff 00000000",
    5: "ffffffff ffffffff 00000000",
    13: "ffffffff 00000000",
    15: "ffffffff ffffffff" + ACL_HEX + "00000000",
    19: "ffffffff ffffffff" + ACL_HEX + "00000000",
    21: "ffffffff ffffffff" + ACL_HEX + "00000005" + TTL,
}


@pytest.mark.parametrize("number", NULL_PATHS)
def test_multi_when_a_path_is_null(number):
    """In a multi this is malformed even for setData, which alone answers -8."""
    good = op(2, "00000002 2f61 00000003")
    with pytest.raises(Malformed):
        multi(request(good, op(number, NULL_PATHS[number])), 0)
    assert (
        len(multi(request(good, op(number, NULL_PATHS[number].replace("ffffffff", "00000000", 1))), 0).ops)
        == 2
    )


WHOLE = request(create(15, 2), create(21, 5, ttl=TTL), op(5, "00000002 2f61 00000001 78 00000000"))


@pytest.mark.parametrize("size", range(len(WHOLE)))
def test_multi_when_cut_off_anywhere(size):
    """Without its end a multi is malformed, also between two operations."""
    with pytest.raises(Malformed):
        multi(WHOLE[:size], 0)


def test_multi_of_what_kazoo_encodes():
    """An independent encoder."""
    body = bytes(
        kz.Transaction(
            [
                kz.Create("/k", b"v", OPEN_ACL_UNSAFE, 2),
                kz.SetData("/k", b"w", 0),
                kz.CheckVersion("/k", 1),
                kz.Delete("/k", -1),
            ]
        ).serialize()
    )
    assert multi(body, 0).ops == (
        (1, Create("/k", b"v", OPEN, 2)),
        (5, SetData("/k", b"w", 0)),
        (13, Check("/k", 1)),
        (2, Delete("/k", -1)),
    )


GET_A = op(4, "00000002 2f61 01")
CHILDREN_B = op(8, "00000002 2f62 00")
DELETE_A = op(2, "00000002 2f61 00000000")


def test_multi_read_forgets_the_watch_flags():
    """Reads in a multiRead never register a watch."""
    assert multi_read(bytes(8) + request(GET_A, CHILDREN_B), 8) == MultiRead(
        ((4, GetData("/a", False)), (8, GetChildren("/b", False))), False
    )
    assert multi_read(request(), 0) == MultiRead((), False)


def test_multi_read_when_a_path_is_null_breaks_off_there():
    """The reads before it are answered, those after it are not."""
    null = op(4, "ffffffff 00")
    assert multi_read(request(GET_A, null, CHILDREN_B), 0) == MultiRead(((4, GetData("/a", False)),), True)


def test_multi_read_when_it_holds_only_writes_breaks_off_at_once():
    """It can be parsed, so its answer has a body: no results and the end."""
    assert multi_read(request(DELETE_A, create(1, 0)), 0) == MultiRead((), True)


@pytest.mark.parametrize(
    "ops",
    [(GET_A, DELETE_A), (DELETE_A, GET_A), (op(3, "00000002 2f61 00"),), (op(9999, ""),)],
    ids=["read, write", "write, read", "exists", "unknown"],
)
def test_multi_read_when_it_cannot_be_parsed(ops):
    """Mixed kinds and other operations are malformed as a whole."""
    with pytest.raises(Malformed):
        multi_read(request(*ops), 0)


@pytest.mark.parametrize("size", range(len(request(GET_A, CHILDREN_B))))
def test_multi_read_when_cut_off_anywhere(size):
    """Without its end a multiRead is malformed."""
    with pytest.raises(Malformed):
        multi_read(request(GET_A, CHILDREN_B)[:size], 0)


@given(
    numbers=st.lists(st.sampled_from([1, 2, 4, 5, 8, 13, 15, 19, 21, 3, -1]), max_size=4),
    noise=st.binary(max_size=60),
    cut=st.integers(0, 200),
)
def test_lists_of_noise_give_a_record_or_malformed(numbers, noise, cut):
    """Whatever is in the list, both decoders either understand it or say so."""
    body = bytes.fromhex("".join(op(number, noise.hex()) for number in numbers) + END_HEX)[: cut or None]
    for decode in (multi, multi_read):
        try:
            record = decode(body, 0)
        except Malformed:
            continue
        assert isinstance(record, Multi | MultiRead)


STAT = pack_stat(1, 1, 3, 3, 0, 0, 0, 0, 1, 0, 1)


@pytest.mark.parametrize(
    ("kind", "header"),
    [
        (1, "00000001 00 00000000"),
        (15, "0000000f 00 00000000"),
        (19, "0000000f 00 00000000"),
        (21, "0000000f 00 00000000"),
        (2, "00000002 00 00000000"),
        (5, "00000005 00 00000000"),
        (13, "0000000d 00 00000000"),
        (4, "00000004 00 00000000"),
        (8, "00000008 00 00000000"),
    ],
)
def test_result_is_headed_by_the_type_clients_expect(kind, header):
    """Everything that makes a node and answers with a Stat is type 15; only a plain create is type 1."""
    assert result(kind) == bytes.fromhex(header)
    assert result(kind, b"body") == bytes.fromhex(header) + b"body"


def test_failure_says_its_code_twice():
    """Type -1, the code in the header and in the body."""
    assert failure(Code.NO_NODE) == bytes.fromhex("ffffffff 00 ffffff9b ffffff9b")


def test_body_ends_with_the_terminator():
    """ClickHouse checks -1, done, -1."""
    assert bytes.fromhex(END_HEX) == END
    assert multi_body([]) == bytes.fromhex(END_HEX)
    assert multi_body(iter([failure(-5), result(2)])) == bytes.fromhex(
        "ffffffff 00 fffffffb fffffffb 00000002 00 00000000" + END_HEX
    )


def test_body_when_the_multi_was_rolled_back():
    """0 before the failing operation, its code, -2 after it."""
    ok, failed, untried = (
        "ffffffff 00 00000000 00000000",
        "ffffffff 00 ffffff99 ffffff99",
        "ffffffff 00 fffffffe fffffffe",
    )
    assert rolled_back(4, 1, Code.BAD_VERSION) == bytes.fromhex(ok + failed + untried * 2 + END_HEX)
    assert rolled_back(1, 0, Code.BAD_VERSION) == bytes.fromhex(failed + END_HEX)


def test_kazoo_reads_a_multi_that_worked():
    """An independent decoder finds path, Stat and two successes."""
    body = multi_body(
        [result(Op.CREATE, path_body("/a")), result(Op.SET_DATA, STAT), result(Op.CHECK), result(Op.DELETE)]
    )
    path, stat, check, delete = kz.Transaction.deserialize(body, 0)
    assert (path, stat.pzxid, check, delete) == ("/a", 1, True, True)


def test_kazoo_reads_a_multi_that_failed():
    """It turns 0, -101 and -2 into its three exceptions."""
    results = kz.Transaction.deserialize(rolled_back(3, 1, Code.NO_NODE), 0)
    assert [type(result) for result in results] == [RolledBackError, NoNodeError, RuntimeInconsistency]


def test_results_with_bodies():
    """create2 and a read, whole."""
    assert result(Op.CREATE_TTL, create2_body("/a", STAT))[9:] == b"\x00\x00\x00\x02/a" + STAT
    assert result(Op.GET_DATA, data_body(None, STAT))[9:] == b"\xff\xff\xff\xff" + STAT


RECORDED_STAT = pack_stat(8, 8, 0x1A20FADC775, 0x1A20FADC775, 0, 0, 0, 0, 1, 0, 8)


def test_answers_are_those_recorded_from_zookeeper():
    """ZooKeeper 3.9.3: flag 4 under opcode 1, a null access list under 21, a multiRead broken at its second read."""
    container = bytes.fromhex(
        "0000000f 00 00000000 00000003 2f6334 0000000000000008 0000000000000008 000001a20fadc775 000001a20fadc775"
        "00000000 00000000 00000000 0000000000000000 00000001 00000000 0000000000000008 ffffffff 01 ffffffff"
    )
    assert multi_body([result(Op.CREATE_CONTAINER, create2_body("/c4", RECORDED_STAT))]) == container
    refused = bytes.fromhex("ffffffff 00 ffffff8e ffffff8e ffffffff 01 ffffffff")
    assert rolled_back(1, 0, Code.INVALID_ACL) == refused
    root = pack_stat(0, 0, 0, 0, 0, 5, 0, 0, 0, 7, 10)
    broken = bytes.fromhex(
        "00000004 00 00000000 00000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000"
        "00000000 00000005 00000000 0000000000000000 00000000 00000007 000000000000000a ffffffff 01 ffffffff"
    )
    assert multi_body([result(Op.GET_DATA, data_body(b"", root))]) == broken


@pytest.mark.parametrize("flags", [0, 5])
def test_create_ttl_when_the_acl_is_null(flags):
    """Unlike the other creates it can be parsed: for the planner to refuse with -114, as ZooKeeper 3.9.3 does."""
    ((_kind, record),) = multi(request(create(21, flags, acl="ffffffff", ttl=TTL)), 0).ops
    assert isinstance(record, Create | CreateTtl)
    assert record.acl is None
