"""Between a client and its connection: hears every request and reply, and spoils those it was told to.

A `Tap` is a `Transport` around another one, so the server does not know that it is there, and pays nothing for it
elsewhere. It cuts both streams into packets. A request that is to fail before it takes effect never reaches the
connection; its reply is made here, and sent in its turn: ZooKeeper answers in the order it was asked, and clients
rely on it. So the tap keeps the xids that are owed an answer, in order.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass
from typing import Final

import trio

from parkeeper.errors import Malformed
from parkeeper.server.transport import Transport
from parkeeper.testing.line import Line
from parkeeper.testing.records import Event, Exchange, Turn, error_name, event_name, paths_of
from parkeeper.testing.rules import Fault, operation_name
from parkeeper.wire.handshake import connect_request
from parkeeper.wire.opcodes import OPERATIONS, Kind, Op
from parkeeper.wire.replies import NOTIFICATION_XID, PING_XID, error

_LENGTH: Final = struct.Struct(">i")
_REQUEST: Final = struct.Struct(">ii")
_REPLY: Final = struct.Struct(">iqi")
_SESSION: Final = struct.Struct(">iiq")
_EVENT: Final = struct.Struct(">iii")
_LONGEST: Final = 1 << 26
"""Bytes above which a length is taken for something that is no packet; the connection will deal with it."""


@dataclass(slots=True)
class _Owed:
    """An answer the client waits for: the server's, spoiled or not, or one made here (`reply`)."""

    exchange: Exchange
    fault: Fault | None
    reply: int | None


class Tap(Transport):
    """One client's bytes.

    Args:
        inner: the real transport; becomes the tap's to close.
        line: what all connections of this keeper have in common.

    Attributes:
        session: the session it holds, 0 before there is one.
    """

    def __init__(self, inner: Transport, line: Line) -> None:
        self.host = inner.host
        self.port = inner.port
        self.session = 0
        self._inner = inner
        self._line = line
        self._heard = bytearray()
        self._said = bytearray()
        self._owed: deque[_Owed] = deque()
        self._sending = trio.Lock()
        self._asked = False  # the ConnectRequest has passed
        self._plain = False  # a four-letter word, or nothing we know: passed on as it is
        self._lost = False  # break the connection before anything more passes
        self._zxid = 0
        line.taps.add(self)

    # Client to server.

    async def receive(self, limit: int) -> bytes:
        """See `Transport.receive`; requests that are to fail do not come out here."""
        while True:
            if self._lost:
                await self.cut()
                raise trio.BrokenResourceError("broken by a test")
            chunk = await self._inner.receive(limit)
            await self._line.passable()
            if not chunk or self._plain:
                return chunk
            self._heard += chunk
            passed = bytearray()
            for packet in self._packets(self._heard):
                reply = self._request(packet, passed)
                if reply:
                    await self._send(reply)
                if self._lost:
                    break
            self._line.bell.ring()
            if passed:
                return bytes(passed)

    def _packets(self, buffer: bytearray) -> list[bytes]:
        """Take the whole packets (with their lengths) out of a buffer."""
        found: list[bytes] = []
        while len(buffer) >= _LENGTH.size:
            if not self._asked and buffer[:4].isalpha():
                self._plain = True
            length = _LENGTH.size + _LENGTH.unpack_from(buffer)[0]
            if self._plain or not _LENGTH.size <= length <= _LONGEST:
                self._plain = True
                found.append(bytes(buffer))
                buffer.clear()
            elif len(buffer) < length:
                break
            else:
                found.append(bytes(buffer[:length]))
                del buffer[:length]
        return found

    def _request(self, packet: bytes, passed: bytearray) -> bytes:
        """Deal with one packet of the client: add it to what passes, or not; returns a reply that is due at once."""
        if self._plain:
            passed += packet
        elif not self._asked:
            self._asked = True
            if self._line.admits(_session_of(packet)):
                passed += packet
            else:
                self._lost = True
        elif len(packet) < _LENGTH.size + _REQUEST.size:
            passed += packet
        else:
            return self._exchange(packet, passed)
        return b""

    def _exchange(self, packet: bytes, passed: bytearray) -> bytes:
        xid, op = _REQUEST.unpack_from(packet, _LENGTH.size)
        if op == Op.PING:
            passed += packet
            return b""
        record = _decoded(op, packet)
        path = next(iter(paths_of(record)), "")
        exchange = Exchange(self._line.now(), self._line.keeper, xid, operation_name(op), path, record)
        self._line.recorder.add(self.session, exchange)
        fault = self._line.rules.take(op, record, self.session, self._line.keeper)
        if fault is None or fault.after:
            self._owed.append(_Owed(exchange, fault, None))
            passed += packet
            return b""
        exchange.fault = str(fault)
        if fault.error is None:
            self._lost = True
            return b""
        self._owed.append(_Owed(exchange, fault, fault.error))
        return self._due()

    # Server to client.

    async def send_all(self, data: memoryview) -> None:
        """See `Transport.send_all`; replies that are to be lost end the connection instead."""
        if self._line.delay:
            await trio.sleep(self._line.delay)
        await self._line.passable()
        if self._plain:
            await self._send(bytes(data))
            return
        self._said += data
        out = bytearray()
        for packet in self._packets(self._said):
            if not self._reply(packet, out):
                self._lost = True
                break
        await self._send(bytes(out))
        self._line.bell.ring()
        if self._lost:
            await self.cut()
            raise trio.BrokenResourceError("broken by a test")

    def _reply(self, packet: bytes, out: bytearray) -> bool:
        """Deal with one packet of the server; False if it, and all after it, is lost."""
        if self._plain:
            out += packet
        elif not self.session:
            self.session = _SESSION.unpack_from(packet, _LENGTH.size)[2]
            out += packet
            if self.session:
                self._line.recorder.add(self.session, Turn(self._line.now(), self._line.keeper, "connected"))
        else:
            xid, zxid, code = _REPLY.unpack_from(packet, _LENGTH.size)
            if zxid > 0:
                self._zxid = zxid
            if xid == NOTIFICATION_XID:
                self._event(packet, zxid)
            elif xid != PING_XID and self._owed and self._owed[0].exchange.xid == xid:
                return self._answer(packet, zxid, code, out)
            out += packet
        return True

    def _answer(self, packet: bytes, zxid: int, code: int, out: bytearray) -> bool:
        owed = self._owed.popleft()
        exchange, fault = owed.exchange, owed.fault
        exchange.zxid = zxid
        exchange.error = error_name(code)
        if fault is not None:
            exchange.fault = str(fault)
            if fault.error is None:
                return False
            exchange.fault += f": was {exchange.error}"
            exchange.error = error_name(fault.error)
            packet = error(exchange.xid, zxid, fault.error)
        out += packet
        out += self._due()
        return True

    def _due(self) -> bytes:
        """The replies made here that nothing stands before any more."""
        out = b""
        while self._owed and (code := self._owed[0].reply) is not None:
            exchange = self._owed.popleft().exchange
            exchange.error = error_name(code)
            exchange.zxid = self._zxid
            out += error(exchange.xid, self._zxid, code)
        return out

    def _event(self, packet: bytes, zxid: int) -> None:
        body = _LENGTH.size + _REPLY.size
        type, _, length = _EVENT.unpack_from(packet, body)
        path = packet[body + _EVENT.size :][:length].decode(errors="replace")
        line = self._line
        line.recorder.add(self.session, Event(line.now(), line.keeper, event_name(type), path, zxid))

    # Both.

    async def _send(self, data: bytes) -> None:
        if data:
            async with self._sending:
                await self._inner.send_all(memoryview(data))

    async def send_eof(self) -> bool:
        """See `Transport.send_eof`."""
        await self._line.passable()
        async with self._sending:
            return await self._inner.send_eof()

    async def cut(self) -> None:
        """Break the connection; both sides notice."""
        await self._inner.aclose()

    async def aclose(self) -> None:
        """Close it."""
        line = self._line
        if self in line.taps:
            line.taps.discard(self)
            if line.recorder.knows(self.session):
                line.recorder.add(self.session, Turn(line.now(), line.keeper, "disconnected"))
        try:
            await self._inner.aclose()
        finally:
            line.bell.ring()

    def __repr__(self) -> str:
        return f"<Tap {self.host}:{self.port} session {self.session:#x}>"


def _session_of(packet: bytes) -> int:
    try:
        return connect_request(packet[_LENGTH.size :]).session
    except Malformed:
        return 0


def _decoded(op: int, packet: bytes) -> object:
    operation = OPERATIONS.get(op)
    if operation is None or operation.kind is Kind.REFUSED:
        return None
    try:
        return operation.decode(packet, _LENGTH.size + _REQUEST.size)
    except Malformed:
        return None
