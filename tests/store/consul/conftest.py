"""Consul stores for tests: over the shared server in a namespace of their own, or over one to break."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from typing import Any

import pytest

from parkeeper.store.consul.store import ConsulStore
from parkeeper.store.urls import StoreOptions
from tests.servers import Consul
from tests.store.writers import Writer, make_namespace

OpenStore = Callable[..., AbstractAsyncContextManager[ConsulStore]]

_namespaces = count(1)


@asynccontextmanager
async def opened(
    ports: list[int], options: StoreOptions | None = None, tls: bool = False, **more: Any
) -> AsyncIterator[ConsulStore]:
    """An open store over agents on these ports of 127.0.0.1."""
    endpoints = [("127.0.0.1", port) for port in ports]
    store = ConsulStore(endpoints, tls, options or StoreOptions(), **more)
    try:
        await store.open()
        yield store
    finally:
        await store.aclose()


@pytest.fixture
def namespace() -> str:
    """One that no other test uses."""
    return f"test-{next(_namespaces)}/"


@pytest.fixture
def open_store(consul: Consul, namespace: str) -> OpenStore:
    """Opens stores over the shared server, all in the namespace of this test."""

    def call(**more: Any) -> AbstractAsyncContextManager[ConsulStore]:
        return opened(consul.ports, StoreOptions(namespace=namespace), **more)

    return call


async def registered(store: ConsulStore) -> Writer:
    """Keeper 1, in a namespace that is made for it."""
    await make_namespace(store)
    writer = Writer(store, 1)
    await writer.register()
    return writer
