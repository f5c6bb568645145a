"""Raw clients for tests: they send any bytes and give back frames as they came, and know no rule of the protocol.

`RawClient` blocks on a socket; `TrioRawClient` speaks over any Trio stream, an in-memory one too. Both have the
same methods:

    client = RawClient.open(("127.0.0.1", 2181))
    client.connect()
    assert client.call(encode.CREATE, encode.create("/a")).err == 0
"""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections import deque
from types import TracebackType
from typing import Self

import trio

from tests.raw import encode
from tests.raw.decode import ConnectResponse, Event, Reply, connect_response, event, reply


class Closed(Exception):
    """The server closed the connection, in order or by a reset."""


class Inbox:
    """Bytes that came in, as frames."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._frames: deque[bytes] = deque()

    def feed(self, piece: bytes) -> None:
        self._bytes += piece
        while len(self._bytes) >= 4:
            end = 4 + int.from_bytes(self._bytes[:4], "big", signed=True)
            if end < 4:
                raise ValueError(f"a frame with a negative length: {bytes(self._bytes[:4]).hex()}")
            if len(self._bytes) < end:
                return
            self._frames.append(bytes(self._bytes[4:end]))
            del self._bytes[:end]

    def next(self) -> bytes | None:
        return self._frames.popleft() if self._frames else None


class RawClient:
    """A connection to a ZooKeeper-like server over a blocking socket.

    Attributes:
        session, password, timeout: as the server granted them.
        events: notifications that `call` met while it waited for its reply.
        xids: where `send` takes xids from when none is given.
    """

    def __init__(self, peer: socket.socket) -> None:
        self.socket = peer
        self.session = 0
        self.password: bytes | None = bytes(16)
        self.timeout = 0
        self.events: list[Event] = []
        self.xids = itertools.count(1)
        self._inbox = Inbox()

    @classmethod
    def open(cls, address: tuple[str, int], patience: float = 10.0) -> Self:
        """Connect by TCP, no handshake yet; `patience` in seconds bounds every receive."""
        peer = socket.create_connection(address, timeout=patience)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(peer)

    @classmethod
    def connected(cls, address: tuple[str, int], timeout: int = 10_000) -> Self:
        """A connection with a new session; `timeout` in milliseconds."""
        client = cls.open(address)
        client.connect(timeout)
        return client

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are. A peer that is gone is met by the next receive."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def send(self, op: int, body: bytes = b"", xid: int | None = None) -> int:
        """Send one request, returns its xid."""
        used = next(self.xids) if xid is None else xid
        self.send_bytes(encode.request(used, op, body))
        return used

    def receive_frame(self) -> bytes:
        """The next frame without its length.

        Raises: `Closed`; `TimeoutError` when nothing came for as long as `open` was told.
        """
        while (payload := self._inbox.next()) is None:
            try:
                piece = self.socket.recv(65536)
            except ConnectionResetError as error:
                raise Closed from error
            if not piece:
                raise Closed
            self._inbox.feed(piece)
        return payload

    def receive(self) -> Reply:
        """The next packet, be it a reply or a notification (xid -1)."""
        return reply(self.receive_frame())

    def receive_event(self) -> Event:
        """The next notification: one that `call` has met, or else the next packet, which must be one."""
        if self.events:
            return self.events.pop(0)
        packet = self.receive()
        assert packet.xid == -1, packet
        return event(packet)

    def receive_reply(self) -> Reply:
        """The next packet that is no notification; those before it go to `events`."""
        while (packet := self.receive()).xid == -1:
            self.events.append(event(packet))
        return packet

    def call(self, op: int, body: bytes = b"", xid: int | None = None) -> Reply:
        """Send one request and receive its reply, which must be the next one."""
        used = self.send(op, body, xid)
        answer = self.receive_reply()
        assert answer.xid == used, f"the reply to xid {answer.xid} came, not to {used}"
        return answer

    def connect(
        self,
        timeout: int = 10_000,
        session: int = 0,
        password: bytes | None = bytes(16),
        last_zxid: int = 0,
        read_only: bool | None = None,
    ) -> ConnectResponse:
        """Send a ConnectRequest and receive its answer; a granted session is remembered."""
        self.send_bytes(encode.connect(timeout, session, password, last_zxid, read_only))
        answer = connect_response(self.receive_frame())
        self.session, self.password, self.timeout = answer.session, answer.password, answer.timeout
        return answer

    def closed(self) -> bool:
        """Wait until the server closes; False when it sends something instead."""
        try:
            self.receive_frame()
        except Closed:
            return True
        return False

    def close_session(self) -> Reply:
        """closeSession, and the end of the connection after it."""
        answer = self.call(encode.CLOSE_SESSION)
        assert self.closed()
        self.close()
        return answer

    def close(self) -> None:
        """Close the socket and nothing else: the session stays until it expires."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class TrioRawClient:
    """The same over a Trio stream, for tests on memory streams; see `RawClient`."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.session = 0
        self.password: bytes | None = bytes(16)
        self.timeout = 0
        self.events: list[Event] = []
        self.xids = itertools.count(1)
        self._inbox = Inbox()

    async def send_bytes(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def send(self, op: int, body: bytes = b"", xid: int | None = None) -> int:
        used = next(self.xids) if xid is None else xid
        await self.send_bytes(encode.request(used, op, body))
        return used

    async def receive_frame(self) -> bytes:
        while (payload := self._inbox.next()) is None:
            try:
                piece = await self.stream.receive_some()
            except trio.BrokenResourceError as error:
                raise Closed from error
            if not piece:
                raise Closed
            self._inbox.feed(bytes(piece))
        return payload

    async def receive(self) -> Reply:
        return reply(await self.receive_frame())

    async def receive_event(self) -> Event:
        if self.events:
            return self.events.pop(0)
        packet = await self.receive()
        assert packet.xid == -1, packet
        return event(packet)

    async def receive_reply(self) -> Reply:
        while (packet := await self.receive()).xid == -1:
            self.events.append(event(packet))
        return packet

    async def call(self, op: int, body: bytes = b"", xid: int | None = None) -> Reply:
        used = await self.send(op, body, xid)
        answer = await self.receive_reply()
        assert answer.xid == used, f"the reply to xid {answer.xid} came, not to {used}"
        return answer

    async def connect(
        self,
        timeout: int = 10_000,
        session: int = 0,
        password: bytes | None = bytes(16),
        last_zxid: int = 0,
        read_only: bool | None = None,
    ) -> ConnectResponse:
        await self.send_bytes(encode.connect(timeout, session, password, last_zxid, read_only))
        answer = connect_response(await self.receive_frame())
        self.session, self.password, self.timeout = answer.session, answer.password, answer.timeout
        return answer

    async def closed(self) -> bool:
        try:
            await self.receive_frame()
        except Closed:
            return True
        return False

    async def close_session(self) -> Reply:
        answer = await self.call(encode.CLOSE_SESSION)
        assert await self.closed()
        await self.stream.aclose()
        return answer
