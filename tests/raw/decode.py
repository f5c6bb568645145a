"""Reply bytes of the ZooKeeper protocol taken apart by hand, for tests: nothing here comes from parkeeper.

Every function reads one record and moves on; `Cursor.done` says that not a byte was left. A reply that does not
fit its record raises `ValueError`: to a client of ours that is a fault of the server.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from tests.raw import encode as op

T = TypeVar("T")
Fields = dict[str, object]


class Cursor:
    """Bytes and how far they were read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.data):
            raise ValueError(f"{count} bytes wanted at {self.at} of {len(self.data)}: {self.data.hex()}")
        self.at += count
        return self.data[self.at - count : self.at]

    def i32(self) -> int:
        value: int = struct.unpack(">i", self.take(4))[0]
        return value

    def i64(self) -> int:
        value: int = struct.unpack(">q", self.take(8))[0]
        return value

    def boolean(self) -> bool:
        return self.take(1) != b"\x00"

    def buffer(self) -> bytes | None:
        length = self.i32()
        return None if length == -1 else self.take(length)

    def string(self) -> str | None:
        value = self.buffer()
        return None if value is None else value.decode(errors="surrogateescape")

    def strings(self) -> list[str | None] | None:
        return self.vector(Cursor.string)

    def vector(self, item: Callable[[Cursor], T]) -> list[T] | None:
        count = self.i32()
        return None if count == -1 else [item(self) for _ in range(count)]

    @property
    def done(self) -> bool:
        return self.at == len(self.data)


class Stat(NamedTuple):
    """zookeeper.jute Stat."""

    czxid: int
    mzxid: int
    ctime: int
    mtime: int
    version: int
    cversion: int
    aversion: int
    owner: int
    data_length: int
    num_children: int
    pzxid: int


def stat(cursor: Cursor) -> Stat:
    return Stat(*struct.unpack(">qqqqiiiqiiq", cursor.take(68)))


class ConnectResponse(NamedTuple):
    """zookeeper.jute ConnectResponse; `read_only` None when the byte is absent."""

    protocol: int
    timeout: int
    session: int
    password: bytes | None
    read_only: bool | None


def connect_response(payload: bytes) -> ConnectResponse:
    cursor = Cursor(payload)
    first = cursor.i32(), cursor.i32(), cursor.i64(), cursor.buffer()
    answer = ConnectResponse(*first, None if cursor.done else cursor.boolean())
    if not cursor.done:
        raise ValueError(f"a handshake answer with too many bytes: {payload.hex()}")
    return answer


class Reply(NamedTuple):
    """ReplyHeader and what follows it."""

    xid: int
    zxid: int
    err: int
    body: bytes

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.body)


def reply(payload: bytes) -> Reply:
    cursor = Cursor(payload)
    return Reply(cursor.i32(), cursor.i64(), cursor.i32(), payload[16:])


class Event(NamedTuple):
    """WatcherEvent, with the zxid of the header before it."""

    zxid: int
    type: int
    state: int
    path: str | None


def event(notification: Reply) -> Event:
    cursor = notification.cursor
    answer = Event(notification.zxid, cursor.i32(), cursor.i32(), cursor.string())
    if not cursor.done:
        raise ValueError(f"an event with too many bytes: {notification.body.hex()}")
    return answer


def _acl(cursor: Cursor) -> Fields:
    return {"perms": cursor.i32(), "scheme": cursor.string(), "id": cursor.string()}


def _stat(cursor: Cursor) -> Fields:
    return stat(cursor)._asdict()


def _data(cursor: Cursor) -> str | None:
    value = cursor.buffer()
    return None if value is None else value.hex()


def _created(cursor: Cursor) -> Fields:
    return {"path": cursor.string(), "stat": _stat(cursor)}


def _multi(cursor: Cursor) -> Fields:
    results: list[Fields] = []
    while True:
        kind, done, err = cursor.i32(), cursor.boolean(), cursor.i32()
        result: Fields = {"type": kind, "done": done, "err": err}
        results.append(result)
        if done or cursor.done:  # a multiRead that failed midway ends without a terminator
            return {"results": results}
        if kind == -1:
            result["code"] = cursor.i32()
        elif kind not in {op.DELETE, op.CHECK}:
            result.update(BODIES[kind](cursor))


def _client(cursor: Cursor) -> Fields:
    return {"scheme": cursor.string(), "user": cursor.string()}


def _nothing(cursor: Cursor) -> Fields:
    return {}


BODIES: dict[int, Callable[[Cursor], Fields]] = {
    op.CREATE: lambda c: {"path": c.string()},
    op.CREATE2: _created,
    op.CREATE_CONTAINER: _created,
    op.CREATE_TTL: _created,
    op.EXISTS: lambda c: {"stat": _stat(c)},
    op.SET_DATA: lambda c: {"stat": _stat(c)},
    op.SET_ACL: lambda c: {"stat": _stat(c)},
    op.GET_DATA: lambda c: {"data": _data(c), "stat": _stat(c)},
    op.GET_ACL: lambda c: {"acl": c.vector(_acl), "stat": _stat(c)},
    op.GET_CHILDREN: lambda c: {"children": c.strings()},
    op.GET_CHILDREN2: lambda c: {"children": c.strings(), "stat": _stat(c)},
    op.GET_EPHEMERALS: lambda c: {"children": c.strings()},
    op.GET_ALL_CHILDREN_NUMBER: lambda c: {"number": c.i32()},
    op.SYNC: lambda c: {"path": c.string()},
    op.ADD_WATCH: lambda c: {"error": c.i32()},
    op.WHO_AM_I: lambda c: {"clients": c.vector(_client)},
    op.SASL: lambda c: {"token": _data(c)},
    op.MULTI: _multi,
    op.MULTI_READ: _multi,
}
"""Opcode -> reader of its reply's body; any other opcode has none."""

WITH_BODY_ON_ERROR = {op.SASL, op.MULTI_READ}


def body(opcode: int, answer: Reply) -> Fields:
    """The body of an answer to a request with this opcode as named fields; `extra` holds what nobody expected."""
    cursor = answer.cursor
    fields: Fields = {}
    if answer.err == 0 or (answer.body and opcode in WITH_BODY_ON_ERROR):
        fields = BODIES.get(opcode, _nothing)(cursor)
    if not cursor.done:
        fields["extra"] = cursor.data[cursor.at :].hex()
    return fields
