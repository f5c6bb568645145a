"""The stores that the contract suite runs over, by name.

To add one: an async context manager that takes `StoreOptions` and an empty directory, opens a `Pair`, closes it,
and is decorated with `@backend("its name")`. Each call must give a store (or a namespace of it) with nothing in
it. Where the server it needs is missing it calls `tests.servers`' rule for that (fail in CI, else skip).
"""

import atexit
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from unittest.mock import patch

from parkeeper.store.consul.store import ConsulStore
from parkeeper.store.etcd.store import EtcdStore
from parkeeper.store.facade import Store
from parkeeper.store.memory import MemoryServer, MemoryStore
from parkeeper.store.sqlite import SqliteStore
from parkeeper.store.urls import StoreOptions
from parkeeper.testing.faulty import FaultyStore
from tests.servers import ETCDS, Consul, Etcd


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two facades over one store, both open, and the ways around them.

    Args:
        a: one keeper's access.
        b: another's; `a` itself where one process holds the store.
        raw: reads a native key without parkeeper.
        stranger_put: writes a native key without parkeeper; None where nobody else can write.
        strangers_told: whether `follow` tells of a stranger's write to `data/` (Consul's is noticed at load only).
        forget: makes the store forget its history up to a revision; None where there is no such thing.
    """

    a: Store
    b: Store
    raw: Callable[[str], Awaitable[bytes | None]]
    stranger_put: Callable[[str, bytes], Awaitable[None]] | None
    strangers_told: bool
    forget: Callable[[int], Awaitable[None]] | None

    @property
    def shared(self) -> bool:
        """Whether the two are two."""
        return self.a is not self.b


Opener = Callable[[StoreOptions, Path], AbstractAsyncContextManager[Pair]]
BACKENDS: dict[str, Opener] = {}


def backend(name: str) -> Callable[[Opener], Opener]:
    """Put an opener among the backends."""

    def register(opener: Opener) -> Opener:
        BACKENDS[name] = opener
        return opener

    return register


@backend("memory")
@asynccontextmanager
async def memory(options: StoreOptions, directory: Path) -> AsyncIterator[Pair]:
    """Two keepers of one process."""
    server = MemoryServer()
    a, b = MemoryStore(server, options), MemoryStore(server, options)

    async def raw(key: str) -> bytes | None:
        held = server.items.get(key.encode())
        return None if held is None else held[0]

    async def stranger_put(key: str, value: bytes) -> None:
        server.stranger_put(key.encode(), value)

    async def forget(revision: int) -> None:
        server.compact(revision)

    await a.open()
    await b.open()
    yield Pair(a=a, b=b, raw=raw, stranger_put=stranger_put, strangers_told=True, forget=forget)
    await b.aclose()
    await a.aclose()


@backend("faulty")
@asynccontextmanager
async def faulty(options: StoreOptions, directory: Path) -> AsyncIterator[Pair]:
    """Stores that fail on command, and were given none: nobody may notice."""
    async with memory(options, directory) as pair:
        yield replace(pair, a=FaultyStore(pair.a), b=FaultyStore(pair.b))


@backend("sqlite")
@asynccontextmanager
async def sqlite(options: StoreOptions, directory: Path) -> AsyncIterator[Pair]:
    """One process, one keeper, one file."""
    import sqlite3

    store = SqliteStore(directory / "store.db", options)

    async def raw(key: str) -> bytes | None:
        if store._database is not None:
            store._database.settle()  # as it does once a second
        connection = sqlite3.connect(store.path)
        try:
            row = connection.execute("SELECT value FROM item WHERE key = ?", (key,)).fetchone()
        finally:
            connection.close()
        return None if row is None else row[0]

    async def forget(revision: int) -> None:
        store.history.compact(revision)

    await store.open()
    try:
        yield Pair(a=store, b=store, raw=raw, stranger_put=None, strangers_told=False, forget=forget)
    finally:
        await store.aclose()


@cache
def etcd_server(version: str) -> Etcd:
    """One member of each version for all tests of this process; it ends with it."""
    server = Etcd(version=version)
    atexit.register(server.close)
    return server


def etcd(version: str) -> Opener:
    """Two connections to one member, whose keys are deleted before."""

    @asynccontextmanager
    async def opened(options: StoreOptions, directory: Path) -> AsyncIterator[Pair]:
        server = etcd_server(version)
        server.wipe()
        endpoints = [("127.0.0.1", server.ports[0])]

        async def raw(key: str) -> bytes | None:
            found = server.call("kv/range", {"key": b64encode(key.encode()).decode()}).get("kvs")
            return b64decode(found[0].get("value", "")) if found else None

        async def stranger_put(key: str, value: bytes) -> None:
            body = {"key": b64encode(key.encode()).decode(), "value": b64encode(value).decode()}
            server.call("kv/put", body)

        async def forget(revision: int) -> None:
            server.call("kv/compaction", {"revision": str(revision)})

        with patch(
            "parkeeper.store.etcd.patience.FIRST_TRY", 10.0
        ):  # a busy machine makes no commit doubtful
            a, b = EtcdStore(endpoints, False, options), EtcdStore(endpoints, False, options)
            try:
                await a.open()
                await b.open()
                yield Pair(a=a, b=b, raw=raw, stranger_put=stranger_put, strangers_told=True, forget=forget)
            finally:
                await b.aclose()
                await a.aclose()

    return opened


for _version in ETCDS:
    backend(f"etcd-{_version}")(etcd(_version))


@cache
def consul_server() -> Consul:
    """One Consul for all tests of this process; it ends with it."""
    server = Consul()
    atexit.register(server.close)
    return server


@backend("consul")
@asynccontextmanager
async def consul(options: StoreOptions, directory: Path) -> AsyncIterator[Pair]:
    """Two connections to one server, whose keys are deleted before."""
    server = consul_server()
    server.wipe()
    endpoints = [("127.0.0.1", server.ports[0])]

    def call(method: str, path: str, body: bytes | None = None) -> bytes | None:
        status, said = server.call(method, path, body)
        assert status in (200, 404), said
        return said if status == 200 else None

    async def raw(key: str) -> bytes | None:
        return call("GET", f"kv/{key}?raw")

    async def stranger_put(key: str, value: bytes) -> None:
        call("PUT", f"kv/{key}", value)

    async def forget(revision: int) -> None:
        for pair in json.loads(call("GET", f"kv/{options.namespace}feed/?recurse") or b"[]"):
            if pair["ModifyIndex"] <= revision:
                call("DELETE", f"kv/{pair['Key']}")

    a, b = ConsulStore(endpoints, False, options), ConsulStore(endpoints, False, options)
    try:
        await a.open()
        await b.open()
        yield Pair(a=a, b=b, raw=raw, stranger_put=stranger_put, strangers_told=False, forget=forget)
    finally:
        await b.aclose()
        await a.aclose()
