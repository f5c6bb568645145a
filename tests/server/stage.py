"""A keeper over a memory store, and clients on memory streams that write the protocol's bytes by hand."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import trio
import trio.testing

from parkeeper.options import Limits, Options
from parkeeper.server.keeper import Keeper
from parkeeper.server.services import Services
from parkeeper.server.transport import AnyStream, KernelSocket
from parkeeper.store.facade import Commit, Receipt
from parkeeper.store.memory import MemoryServer, MemoryStore

Words = Callable[[bytes], bytes | None]

OPEN_ACL = struct.pack(">iii", 1, 31, 5) + b"world" + struct.pack(">i", 6) + b"anyone"


def string(text: str | None) -> bytes:
    """A jute string."""
    return struct.pack(">i", -1) if text is None else struct.pack(">i", len(text.encode())) + text.encode()


def buffer(data: bytes | None) -> bytes:
    """A jute buffer."""
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


def framed(payload: bytes) -> bytes:
    """A packet: its length, and it."""
    return struct.pack(">i", len(payload)) + payload


def request(xid: int, op: int, body: bytes = b"") -> bytes:
    """A whole request packet."""
    return framed(struct.pack(">ii", xid, op) + body)


def create(xid: int, path: str, data: bytes | None = b"", flags: int = 0) -> bytes:
    """create, with the ACL that is open to everybody."""
    return request(xid, 1, string(path) + buffer(data) + OPEN_ACL + struct.pack(">i", flags))


def set_data(xid: int, path: str, data: bytes, version: int = -1) -> bytes:
    """setData."""
    return request(xid, 5, string(path) + buffer(data) + struct.pack(">i", version))


def get_data(xid: int, path: str, watch: bool = False) -> bytes:
    """getData."""
    return request(xid, 4, string(path) + bytes((watch,)))


def connect_request(
    *,
    timeout: int = 10_000,
    session: int = 0,
    password: bytes | None = bytes(16),
    zxid: int = 0,
    read_only: bytes = b"\0",
) -> bytes:
    """A ConnectRequest packet; `read_only` empty: a client of ZooKeeper 3.3."""
    return framed(struct.pack(">iqiq", 0, zxid, timeout, session) + buffer(password) + read_only)


class Answer(NamedTuple):
    """A reply packet, taken apart."""

    xid: int
    zxid: int
    err: int
    body: bytes

    @property
    def data(self) -> bytes:
        """Of a GetDataResponse."""
        (length,) = struct.unpack_from(">i", self.body)
        return self.body[4 : 4 + length]


class Client:
    """A client's end of a connection."""

    def __init__(self, stream: trio.abc.HalfCloseableStream) -> None:
        self.stream = stream
        self.session = 0
        self.password = b""
        self.timeout = 0
        self._got = bytearray()

    async def send(self, *packets: bytes) -> None:
        """Send all in one piece."""
        await self.stream.send_all(b"".join(packets))

    async def bytes(self, count: int) -> bytes:
        """So many bytes; fewer only at the end of the connection."""
        while len(self._got) < count:
            chunk = await self.stream.receive_some(65536)
            if not chunk:
                break
            self._got += chunk
        taken, self._got = self._got[:count], self._got[count:]
        return bytes(taken)

    async def packet(self) -> bytes:
        """The next packet, without its length; empty at the end."""
        head = await self.bytes(4)
        return await self.bytes(struct.unpack(">i", head)[0]) if len(head) == 4 else b""

    async def answer(self) -> Answer:
        """The next reply or event."""
        packet = await self.packet()
        assert packet, "the connection ended"
        return Answer(*struct.unpack_from(">iqi", packet), packet[16:])

    async def answers(self, count: int) -> list[Answer]:
        """So many."""
        return [await self.answer() for _ in range(count)]

    async def ended(self) -> bool:
        """Whether the other side closed, without another byte."""
        return await self.bytes(1) == b""

    async def connect(self, **how: object) -> None:
        """Shake hands; a session that is refused is session 0."""
        await self.send(connect_request(**how))  # type: ignore[arg-type]  # whatever the test gives
        packet = await self.packet()
        _, self.timeout, self.session, length = struct.unpack_from(">iiqi", packet)
        self.password = packet[20 : 20 + length]


class GatedStore(MemoryStore):
    """A memory store whose commits wait while `gate` is closed.

    Attributes:
        waiting: how many wait.
        prompt: how many commits were made by `commit_now`.
    """

    def __init__(self, server: MemoryServer | None = None) -> None:
        super().__init__(server)
        self.gate = trio.Event()
        self.gate.set()
        self.waiting = 0
        self.prompt = 0

    async def commit(self, commit: Commit) -> Receipt:
        """See `MemoryStore.commit`."""
        self.waiting += 1
        await self.gate.wait()
        self.waiting -= 1
        return await super().commit(commit)

    def commit_now(self, commit: Commit) -> Receipt | None:
        """See `MemoryStore.commit_now`."""
        if not self.gate.is_set():
            return None
        receipt = super().commit_now(commit)
        self.prompt += 1
        return receipt

    def close_gate(self) -> None:
        """From now on commits wait."""
        self.gate = trio.Event()

    def open_gate(self) -> None:
        """Let them go."""
        self.gate.set()


class Stage:
    """A serving keeper, its store, and clients.

    Args:
        keeper: serves.
        store: its own.
        sockets: clients come by kernel sockets, and not by memory streams.
    """

    def __init__(self, keeper: Keeper, store: GatedStore, sockets: bool = False) -> None:
        self.keeper = keeper
        self.store = store
        self.sockets = sockets
        self.stats = keeper.stats
        self.clients: list[Client] = []

    @property
    def services(self) -> Services:
        """Of the incarnation that lives."""
        assert self.keeper.services is not None
        return self.keeper.services

    @property
    def commits(self) -> int:
        """How many the incarnation that lives has made for its clients."""
        assert self.keeper.incarnation is not None
        return self.keeper.incarnation.committer.stats.commits

    def call(self, *, lockstep: bool = False, host: str = "10.0.0.1") -> Client:
        """A new connection, no bytes sent. `lockstep`: nothing is buffered between the two."""
        if self.sockets:
            sock, far = socket.socketpair()
            client = Client(trio.SocketStream(trio.socket.from_stdlib_socket(far)))
            self.clients.append(client)
            self.keeper.connect(KernelSocket(sock, host, 1000 + len(self.clients)))
            return client
        pair = trio.testing.lockstep_stream_pair if lockstep else trio.testing.memory_stream_pair
        ours, theirs = pair()
        client = Client(theirs)
        self.clients.append(client)
        self.keeper.connect(AnyStream(ours, host, 1000 + len(self.clients)))
        return client

    async def client(self, **how: object) -> Client:
        """A client with a session."""
        client = self.call()
        await client.connect(**how)
        assert client.session
        return client


@asynccontextmanager
async def stage(
    limits: Limits | None = None,
    words: Words | None = None,
    *,
    sockets: bool = False,
    store: GatedStore | None = None,
    **options: object,
) -> AsyncIterator[Stage]:
    """A keeper that serves, on a store of its own or the one given; stopped without ceremony at the end."""
    store = store or GatedStore()
    keeper = Keeper(store, Options(limits=limits or Limits(), **options))  # type: ignore[arg-type]  # as above
    if words is not None:
        keeper.words = words
    async with trio.open_nursery() as nursery:
        await nursery.start(keeper.run)
        there = Stage(keeper, store, sockets)
        yield there
        for client in there.clients:
            await trio.aclose_forcefully(client.stream)
        nursery.cancel_scope.cancel()
