"""multi and multiRead: their requests, and the pieces of their answers (reference 4.1).

Each operation is held as `(kind, record)`. In a multi the **flag** decides what a create makes, so the number it came
under is settled here and forgotten (MultiOperationRecord.deserialize, Op.create): `kind` is

    sent as                          flags           kind
    1 create, 15 create2             0..3            as sent
    1 create, 15, 19 createContainer 4 container     19
    19 createContainer               0..3            19
    21 createTTL                     5, 6            21, a CreateTtl
    21 createTTL                     4               19, a Create: the ttl is dropped
    21 createTTL                     anything else   1, a Create: a bad flag is for the planner to refuse (-8)
    2 delete, 5 setData, 13 check    -               as sent

and it alone tells the planner what to do and `result` which header type to answer with: kind 1 answers with the path
(type 1); 15, 19 and 21 with path and Stat (type 15). Kinds 19 and 21 make a container and a TTL node, whatever else
the flags say; under 1 and 15 flags 0..3 say what is made.

What is malformed answers the whole request with -5: another number, reads in a multi, reads and writes together, a
null path, and under 1, 15 and 19 a null access list, a flag outside 0..6, or a TTL flag. Under 21 a null list is
kept, for the planner to refuse (-114). All of this was also seen from ZooKeeper 3.9.3. A multiRead that holds
nothing but writes, or a read of a null path, can be parsed and breaks off there: its header says -5 and its body has
the results so far (FinalRequestProcessor), which `MultiRead.broken` asks for.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from parkeeper.errors import Malformed
from parkeeper.wire.codes import Code
from parkeeper.wire.jute import decoder, read_bool, read_string
from parkeeper.wire.op import Op
from parkeeper.wire.requests import (
    Check,
    Create,
    CreateTtl,
    Delete,
    GetChildren,
    GetData,
    SetData,
    read_check,
    read_create,
    read_create_ttl,
    read_delete,
    read_set_data,
)

WriteOp = tuple[int, Create | CreateTtl | Delete | SetData | Check]
ReadOp = tuple[int, GetData | GetChildren]

_HEADER: Final = struct.Struct(">iBi")
_FAILURE: Final = struct.Struct(">iBii")

END = _HEADER.pack(-1, 1, -1)
"""What ends every request and answer; ClickHouse checks all three values."""

_ROLLED_BACK = _FAILURE.pack(Op.ERROR, 0, Code.OK, Code.OK)
_NOT_TRIED = _FAILURE.pack(Op.ERROR, 0, Code.RUNTIME_INCONSISTENCY, Code.RUNTIME_INCONSISTENCY)

_CONTAINER = 4
_TTL = (5, 6)


class Multi(NamedTuple):
    """multi: all or nothing; may be empty."""

    ops: tuple[WriteOp, ...]


class MultiRead(NamedTuple):
    """multiRead: each on its own. The records' `watch` is always False, for it is ignored (Op.GetData).

    Attributes:
        broken: the operation after these cannot be done; answer these, with -5 in the header.
    """

    ops: tuple[ReadOp, ...]
    broken: bool = False


def _read_plain_create(number: int, payload: bytes, at: int) -> tuple[WriteOp, int]:
    """An operation under 1, 15 or 19."""
    record, at = read_create(payload, at)
    if record.path is None or record.acl is None or not 0 <= record.flags <= 6 or record.flags in _TTL:
        raise Malformed("a create with no path, no access list, or a flag that a multi cannot hold")
    return (Op.CREATE_CONTAINER if record.flags == _CONTAINER else number, record), at


def _read_ttl_create(_number: int, payload: bytes, at: int) -> tuple[WriteOp, int]:
    """An operation under 21."""
    record, at = read_create_ttl(payload, at)
    if record.path is None:
        raise Malformed("a null path in a multi")
    if record.flags in _TTL:
        return (Op.CREATE_TTL, record), at
    kind = Op.CREATE_CONTAINER if record.flags == _CONTAINER else Op.CREATE
    return (kind, Create(record.path, record.data, record.acl, record.flags)), at


def _read_delete(number: int, payload: bytes, at: int) -> tuple[WriteOp, int]:
    record, at = read_delete(payload, at)
    return (number, record), at


def _read_check(number: int, payload: bytes, at: int) -> tuple[WriteOp, int]:
    record, at = read_check(payload, at)
    return (number, record), at


def _read_set_data(number: int, payload: bytes, at: int) -> tuple[WriteOp, int]:
    record, at = read_set_data(payload, at)
    if record.path is None:
        raise Malformed("a null path")
    return (number, record), at


_WRITES: dict[int, Callable[[int, bytes, int], tuple[WriteOp, int]]] = {
    Op.CREATE: _read_plain_create,
    Op.CREATE2: _read_plain_create,
    Op.CREATE_CONTAINER: _read_plain_create,
    Op.CREATE_TTL: _read_ttl_create,
    Op.DELETE: _read_delete,
    Op.SET_DATA: _read_set_data,
    Op.CHECK: _read_check,
}


@decoder
def multi(payload: bytes, at: int) -> Multi:
    """MultiOperationRecord of writes."""
    ops: list[WriteOp] = []
    while True:
        number, done, _err = _HEADER.unpack_from(payload, at)
        at += 9
        if done:
            return Multi(tuple(ops))
        read = _WRITES.get(number)
        if read is None:
            raise Malformed(f"operation {number} in a multi")
        op, at = read(number, payload, at)
        ops.append(op)


@decoder
def multi_read(payload: bytes, at: int) -> MultiRead:
    """MultiOperationRecord of reads; parsed to its end before anything in it counts."""
    ops: list[ReadOp] = []
    reads = writes = broken = False
    while True:
        number, done, _err = _HEADER.unpack_from(payload, at)
        at += 9
        if done:
            return MultiRead(tuple(ops), broken or writes)
        if number in (Op.GET_DATA, Op.GET_CHILDREN):
            reads = True
            path, at = read_string(payload, at)
            _watch, at = read_bool(payload, at)
            broken = broken or path is None
            if path is not None and not broken:
                record = GetData(path, False) if number == Op.GET_DATA else GetChildren(path, False)
                ops.append((number, record))
        elif number in _WRITES:
            writes = True
            _op, at = _WRITES[number](number, payload, at)
        else:
            raise Malformed(f"operation {number} in a multiRead")
        if reads and writes:
            raise Malformed("reads and writes in one multiRead")


_RESULT_HEADERS = {
    kind: _HEADER.pack(answered_as, 0, Code.OK)
    for kind, answered_as in {
        Op.CREATE: Op.CREATE,
        Op.CREATE2: Op.CREATE2,
        Op.CREATE_CONTAINER: Op.CREATE2,
        Op.CREATE_TTL: Op.CREATE2,
        Op.DELETE: Op.DELETE,
        Op.SET_DATA: Op.SET_DATA,
        Op.CHECK: Op.CHECK,
        Op.GET_DATA: Op.GET_DATA,
        Op.GET_CHILDREN: Op.GET_CHILDREN,
    }.items()
}


def result(kind: int, body: bytes = b"") -> bytes:
    """One success in an answer.

    Args:
        kind: the operation's, as decoded.
        body: `path_body` for kind 1, `create2_body` for 15, 19 and 21, the Stat for 5, `data_body` for 4,
            `children_body` for 8, nothing for 2 and 13.
    """
    return _RESULT_HEADERS[kind] + body


def failure(code: int) -> bytes:
    """One failure in an answer: the code stands in its header and again in its body."""
    return _FAILURE.pack(Op.ERROR, 0, code, code)


def multi_body(results: Iterable[bytes]) -> bytes:
    """MultiResponse: what `result` and `failure` made, and the end."""
    return b"".join((*results, END))


def rolled_back(count: int, failed: int, code: int) -> bytes:
    """MultiResponse of a multi that changed nothing: 0 before the failing one, -2 after it; the header says 0.

    Args:
        count: operations in the request.
        failed: index of the one that failed.
        code: why.
    """
    return b"".join((_ROLLED_BACK * failed, failure(code), _NOT_TRIED * (count - failed - 1), END))
