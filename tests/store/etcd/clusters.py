"""Stores over real etcd servers, for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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
