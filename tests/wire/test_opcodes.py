"""The table: which number is what."""

import pytest

from parkeeper.errors import Malformed
from parkeeper.wire.opcodes import OPERATIONS, Kind, Op

READS = {3, 4, 6, 8, 12, 17, 18, 22, 101, 103, 104, 105, 106, 107}
WRITES = {1, 2, 5, 7, 14, 15, 16, 19, 21}
SESSION = {9, 11, 100, 102, -11}
REFUSED = {13, 20, -10, 0, -1}


def numbers(kind):
    """The operation numbers of one kind."""
    return {number for number, operation in OPERATIONS.items() if operation.kind is kind}


def test_every_number_of_zookeeper_has_its_kind():
    """All of ZooDefs.OpCode, and nothing else."""
    assert numbers(Kind.READ) == READS
    assert numbers(Kind.WRITE) == WRITES
    assert numbers(Kind.SESSION) == SESSION
    assert numbers(Kind.REFUSED) == REFUSED


def test_constants_are_the_numbers_of_the_table():
    """No constant without a row and no row without a constant."""
    constants = [value for name, value in vars(Op).items() if name.isupper()]
    assert sorted(constants) == sorted(OPERATIONS)
    assert (Op.SYNC, Op.PING, Op.CHECK, Op.MULTI, Op.MULTI_READ) == (9, 11, 13, 14, 22)
    assert (Op.AUTH, Op.SET_WATCHES, Op.SASL, Op.CLOSE_SESSION) == (100, 101, 102, -11)


NAMES = {
    1: "create",
    2: "delete",
    3: "exists",
    4: "getData",
    5: "setData",
    6: "getACL",
    7: "setACL",
    8: "getChildren",
    9: "sync",
    11: "ping",
    12: "getChildren2",
    13: "check",
    14: "multi",
    15: "create2",
    16: "reconfig",
    17: "checkWatches",
    18: "removeWatches",
    19: "createContainer",
    20: "deleteContainer",
    21: "createTTL",
    22: "multiRead",
    100: "auth",
    101: "setWatches",
    102: "sasl",
    103: "getEphemerals",
    104: "getAllChildrenNumber",
    105: "setWatches2",
    106: "addWatch",
    107: "whoAmI",
    -10: "createSession",
    -11: "closeSession",
    0: "notification",
    -1: "error",
}


def test_names_are_those_of_zookeeper():
    """What the log and the metrics call an operation is what ZooKeeper calls it."""
    assert {number: operation.name for number, operation in OPERATIONS.items()} == NAMES


def test_last_operations_are_those_cons_may_show():
    """The four to six letters of FinalRequestProcessor, and no others."""
    allowed = {
        "SESS",
        "PING",
        "CREA",
        "DELE",
        "EXIS",
        "GETD",
        "SETD",
        "GETA",
        "SETA",
        "GETC",
        "SYNC",
        "MULT",
        "MLTR",
        "SETW",
        "STW2",
        "ADDW",
        "CHKW",
        "REMW",
        "GETE",
        "GETACN",
        "HOMI",
        "CLOS",
        "RECO",
    }
    assert {operation.last for operation in OPERATIONS.values() if operation.last} == allowed


def test_counters_are_the_keys_of_mntr():
    """op_count_<counter>: the whole list, so that a dashboard made for ZooKeeper finds every key."""
    allowed = {
        "add_watch",
        "check",
        "check_watches",
        "close_session",
        "create",
        "create_session",
        "delete",
        "exists",
        "get_acl",
        "get_all_children_number",
        "get_children",
        "get_data",
        "get_ephemerals",
        "multi",
        "multi_read",
        "ping",
        "reconfig",
        "remove_watches",
        "set_acl",
        "set_data",
        "set_watches",
        "sync",
        "who_am_i",
    }
    assert {operation.counter for operation in OPERATIONS.values() if operation.counter} == allowed


@pytest.mark.parametrize("number", sorted(REFUSED))
def test_decode_of_what_is_refused(number):
    """Nobody should decode it; whoever does gets no record."""
    with pytest.raises(Malformed):
        OPERATIONS[number].decode(bytes(100), 8)
