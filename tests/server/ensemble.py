"""Keepers over one store in one process, clients on memory streams: no sockets, so a mock clock may drive them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio
import trio.testing

from parkeeper.options import Options
from parkeeper.server.keeper import Keeper
from parkeeper.server.serving import State
from parkeeper.server.transport import AnyStream
from parkeeper.store.facade import Store
from parkeeper.store.memory import MemoryServer, MemoryStore
from tests.raw import encode as raw
from tests.raw.decode import Cursor

Event = tuple[int, int, str]
"""zxid of the header, type, path."""


class Gone(Exception):
    """The server closed the connection."""


@dataclass
class Reply:
    xid: int
    zxid: int
    err: int
    body: bytes

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.body)


@dataclass
class Client:
    """A ZooKeeper client of few words: what it sends is built by hand, what it gets is kept in order."""

    stream: trio.abc.Stream
    session: int = 0
    password: bytes = bytes(16)
    timeout: int = 0
    last_zxid: int = 0
    xid: int = 0
    events: list[Event] = field(default_factory=list)
    history: list[Reply | Event] = field(default_factory=list)
    _buffer: bytearray = field(default_factory=bytearray)

    async def frame(self) -> bytes:
        while True:
            if len(self._buffer) >= 4:
                length = int.from_bytes(self._buffer[:4], "big")
                if len(self._buffer) >= 4 + length:
                    payload = bytes(self._buffer[4 : 4 + length])
                    del self._buffer[: 4 + length]
                    return payload
            try:
                chunk = await self.stream.receive_some(65536)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise Gone from error
            if not chunk:
                raise Gone
            self._buffer += chunk

    async def connect(self, timeout: int = 10_000) -> bool:
        """Open or re-attach; False if the session is expired."""
        await self.send_raw(
            raw.connect(
                timeout=timeout, session=self.session, password=self.password, last_zxid=self.last_zxid
            )
        )
        cursor = Cursor(await self.frame())
        cursor.i32()
        self.timeout, self.session, self.password = cursor.i32(), cursor.i64(), cursor.buffer() or b""
        return self.session != 0

    async def send_raw(self, data: bytes) -> None:
        try:
            await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise Gone from error

    async def send(self, op: int, body: bytes = b"", xid: int | None = None) -> int:
        if xid is None:
            self.xid += 1
            xid = self.xid
        await self.send_raw(raw.request(xid, op, body))
        return xid

    async def receive(self) -> Reply:
        """The next reply; events before it are kept."""
        while True:
            cursor = Cursor(await self.frame())
            xid, zxid, err = cursor.i32(), cursor.i64(), cursor.i32()
            if xid == -1:
                kind, _, path = cursor.i32(), cursor.i32(), cursor.string() or ""
                event = (zxid, kind, path)
                self.events.append(event)
                self.history.append(event)
                continue
            if zxid > 0:
                self.last_zxid = max(self.last_zxid, zxid)
            reply = Reply(xid, zxid, err, cursor.data[cursor.at :])
            self.history.append(reply)
            return reply

    async def call(self, op: int, body: bytes = b"") -> Reply:
        xid = await self.send(op, body)
        while True:
            reply = await self.receive()
            if reply.xid == xid:
                return reply
            if reply.xid != -2:
                raise AssertionError(f"reply to {reply.xid}, expected {xid}")

    async def ping(self) -> None:
        await self.send(11, b"", -2)
        await self.receive()

    async def create(self, path: str, data: bytes | None = b"", flags: int = 0) -> str | int:
        reply = await self.call(1, raw.create(path, data, flags=flags))
        return reply.err or reply.cursor.string() or ""

    async def delete(self, path: str, version: int = -1) -> int:
        return (await self.call(2, raw.path_version(path, version))).err

    async def set(self, path: str, data: bytes | None, version: int = -1) -> int:
        return (await self.call(5, raw.set_data(path, data, version))).err

    async def get(self, path: str, watch: bool = False) -> bytes | int | None:
        reply = await self.call(4, raw.path_watch(path, watch))
        return reply.err or reply.cursor.buffer()

    async def exists(self, path: str, watch: bool = False) -> bool:
        return (await self.call(3, raw.path_watch(path, watch))).err == 0

    async def children(self, path: str, watch: bool = False) -> list[str]:
        reply = await self.call(8, raw.path_watch(path, watch))
        assert reply.err == 0
        return sorted(str(each) for each in reply.cursor.strings() or [])

    async def sync(self) -> None:
        assert (await self.call(9, raw.only_path("/"))).err == 0

    async def close(self) -> None:
        assert (await self.call(-11)).err == 0
        await self.stream.aclose()

    async def vanish(self) -> None:
        """The connection breaks; the session stays."""
        await self.stream.aclose()


class Ensemble:
    """Keepers by number, from 0.

    Args:
        nursery: where they live.
        options: of all of them.
        store: makes the store of the next keeper.
    """

    def __init__(self, nursery: trio.Nursery, options: Options, store: Callable[[], Store]) -> None:
        self.keepers: list[Keeper] = []
        self.stores: list[Store] = []
        self._scopes: list[trio.CancelScope] = []
        self._ended: list[trio.Event] = []
        self._nursery = nursery
        self._options = options
        self._store = store
        self._ports = 0

    async def start(self) -> Keeper:
        store = self._store()
        keeper = Keeper(store, self._options, now_ms=lambda: int(trio.current_time() * 1000))
        scope, ended = trio.CancelScope(), trio.Event()

        async def live(*, task_status: trio.TaskStatus[object]) -> None:
            with scope:
                await keeper.run(task_status=task_status)
            ended.set()

        await self._nursery.start(live)
        self.keepers.append(keeper)
        self.stores.append(store)
        self._scopes.append(scope)
        self._ended.append(ended)
        return keeper

    async def stop(self, number: int) -> None:
        """A clean stop."""
        self.keepers[number].stop()
        await self._ended[number].wait()

    def kill(self, number: int) -> None:
        """No goodbye."""
        self._scopes[number].cancel()

    async def serving(self, number: int) -> None:
        await self.keepers[number].serving.until(State.SERVING)

    def stream(self, number: int) -> trio.abc.Stream:
        if self._ended[number].is_set() or self._scopes[number].cancel_called:
            raise Gone
        ours, theirs = trio.testing.memory_stream_pair()
        self._ports += 1
        self.keepers[number].connect(AnyStream(theirs, "127.0.0.1", self._ports))
        return ours

    async def client(self, number: int = 0, timeout: int = 10_000) -> Client:
        client = Client(self.stream(number))
        assert await client.connect(timeout)
        return client

    async def move(self, client: Client, number: int) -> bool:
        """Come back with the same session at another keeper (or the same)."""
        client.stream = self.stream(number)
        client._buffer.clear()
        return await client.connect(client.timeout)


async def until(true: Callable[[], bool]) -> None:
    """Let a mock clock go on, in small steps, until something is so."""
    with trio.fail_after(100):
        while True:
            if true():
                return
            await trio.sleep(0.01)


@asynccontextmanager
async def ensemble(
    keepers: int = 1,
    options: Options | None = None,
    delay: float = 0.0,
    store: Callable[[], Store] | None = None,
) -> AsyncIterator[Ensemble]:
    server = MemoryServer()
    server.delay = delay
    async with trio.open_nursery() as nursery:
        made = Ensemble(nursery, options or Options(tick_time=500), store or (lambda: MemoryStore(server)))
        for _ in range(keepers):
            await made.start()
        yield made
        nursery.cancel_scope.cancel()
