"""Requests as bytes, made ahead as far as possible: a generator is worth what it does not spend itself.

The client's side of the protocol, so far as a benchmark needs it; layouts: reference 1.2 and 2.3.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Final

from parkeeper.cli.bench.load import Load, Work
from parkeeper.errors import ParkeeperError
from parkeeper.wire.jute import INT, write_buffer, write_string
from parkeeper.wire.op import Op

_HEAD: Final = struct.Struct(">iii")  # length, xid, opcode
_REPLY: Final = struct.Struct(">iqi")  # xid, zxid, error
_CONNECT: Final = struct.Struct(">iiqiqi16s?")
_NO_WATCH: Final = b"\0"
_ANY_VERSION: Final = INT.pack(-1)
_OPEN: Final = INT.pack(1) + INT.pack(31) + write_string("world") + write_string("anyone")
_PERSISTENT: Final = INT.pack(0)
_EPHEMERAL_SEQUENTIAL: Final = INT.pack(3)

CLOSE: Final = _HEAD.pack(8, 1 << 30, Op.CLOSE_SESSION)
"""A request to end the session."""

Next = Callable[[], bytes]
"""The next request of a connection, a whole packet."""


class Failed(ParkeeperError):
    """The server did not do what the benchmark needs, or is not there."""


def connect_request(timeout: int) -> bytes:
    """A packet that asks for a new session; `timeout` in ms."""
    return _CONNECT.pack(_CONNECT.size - 4, 0, 0, timeout, 0, 16, bytes(16), False)


def packet(xid: int, op: int, body: bytes) -> bytes:
    """A whole request."""
    return _HEAD.pack(8 + len(body), xid, op) + body


def create(path: str, data: bytes, flags: bytes = _PERSISTENT) -> bytes:
    """The body of a create, open to everybody."""
    return write_string(path) + write_buffer(data) + _OPEN + flags


def requests(load: Load, connection: int) -> Next:
    """What one connection asks, again and again (of `Work.CONNECT` there are none)."""
    data, random, xids = os.urandom(load.size), Random(connection), count(1)
    nodes = [load.node(number) for number in range(load.nodes)]
    gets = [write_string(node) + _NO_WATCH for node in nodes]
    sets = [write_string(node) + write_buffer(data) + _ANY_VERSION for node in nodes]
    pick, head = random.random, _HEAD.pack
    many, own = len(nodes), load.own(connection)

    def drawn(op: int, bodies: list[bytes]) -> Next:
        def following() -> bytes:
            body = bodies[int(pick() * len(bodies))]
            return head(8 + len(body), next(xids), op) + body

        return following

    def mixed() -> bytes:
        """Nine gets for a set."""
        number = int(pick() * many)
        if pick() < 0.1:
            return packet(next(xids), Op.SET_DATA, sets[number])
        return packet(next(xids), Op.GET_DATA, gets[number])

    def creating() -> bytes:
        xid = next(xids)
        return packet(xid, Op.CREATE, create(f"{own}/k{xid:07d}", data))

    return {
        Work.GET: drawn(Op.GET_DATA, gets),
        Work.EXISTS: drawn(Op.EXISTS, gets),
        Work.CHILDREN: drawn(Op.GET_CHILDREN2, [write_string(load.base) + _NO_WATCH]),
        Work.SET: drawn(Op.SET_DATA, sets),
        Work.MIXED: mixed,
        Work.CREATE: creating,
        Work.EPHEMERAL_SEQUENTIAL: drawn(Op.CREATE, [create(f"{own}/s-", data, _EPHEMERAL_SEQUENTIAL)]),
    }[load.work]


class Line:
    """A session over a blocking socket, for what is asked before and after the measuring.

    Raises: `Failed`, by each method, for a server that is not there or hangs up.
    """

    def __init__(self, host: str, port: int, timeout: int) -> None:
        try:
            self.socket = socket.create_connection((host, port), 10)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.sendall(connect_request(timeout))
            answer = self._frame()
        except OSError as error:
            raise Failed(f"{host}:{port} cannot be talked to: {error}") from None
        if INT.unpack_from(answer, 4)[0] <= 0:
            raise Failed(f"{host}:{port} gives no session")
        self._xids = count(1)

    def ask(self, asked: list[tuple[int, bytes]], forgive: int = 0) -> list[bytes]:
        """Ask for several things, a hundred at a time; the bodies of their replies.

        Args:
            asked: opcodes and bodies.
            forgive: an error code that is as good as none.
        """
        bodies: list[bytes] = []
        for start in range(0, len(asked), 100):
            some = asked[start : start + 100]
            try:
                self.socket.sendall(b"".join(packet(next(self._xids), op, body) for op, body in some))
                frames = [self._frame() for _ in some]
            except OSError as fault:
                raise Failed(f"the server hung up: {fault}") from None
            for (op, _), frame in zip(some, frames, strict=True):
                error = _REPLY.unpack_from(frame)[2]
                if error and error != forgive:
                    raise Failed(f"the server refuses operation {op} with {error}")
                bodies.append(frame[_REPLY.size :])
        return bodies

    def close(self) -> None:
        """End the session and the connection."""
        try:
            self.socket.sendall(CLOSE)
            while self.socket.recv(65536):
                pass
        except OSError:
            pass  # it is the end in any case
        self.socket.close()

    def _frame(self) -> bytes:
        return self._exactly(INT.unpack(self._exactly(4))[0])

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            chunk = self.socket.recv(size - len(data))
            if not chunk:
                raise ConnectionResetError("the connection has ended")
            data += chunk
        return bytes(data)
