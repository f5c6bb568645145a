"""Stores over real etcd servers, for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from parkeeper.store.etcd.store import EtcdStore
from parkeeper.store.urls import StoreOptions
from tests.servers import Etcd


def addresses(*endpoints: str) -> list[tuple[str, int]]:
    """`host:port` as a store takes it."""
    return [(host, int(port)) for host, _, port in (one.rpartition(":") for one in endpoints)]


@asynccontextmanager
async def opened(
    cluster: Etcd | list[str], options: StoreOptions | None = None, tls: bool = False
) -> AsyncIterator[EtcdStore]:
    """A store over all members of a cluster, or over the endpoints given; not wiped before."""
    endpoints = cluster if isinstance(cluster, list) else cluster.endpoints
    store = EtcdStore(addresses(*endpoints), tls, options or StoreOptions())
    try:
        await store.open()
        yield store
    finally:
        await store.aclose()


@asynccontextmanager
async def http_server(status: str, body: bytes) -> AsyncIterator[str]:
    """Gives the same answer to everything; yields its address."""

    async def serve(stream: trio.SocketStream) -> None:
        with stream.socket:
            while await stream.receive_some():
                await stream.send_all(
                    b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status.encode(), len(body)) + body
                )

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        yield f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel("done")
