"""The world in which stores fail on command."""

from collections.abc import AsyncIterator

import pytest

from parkeeper.store.memory import MemoryServer, MemoryStore
from parkeeper.testing.faulty import FaultyStore
from tests.store.writers import writers
from tests.testing.worlds import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    server = MemoryServer()
    store = FaultyStore(MemoryStore(server))
    await store.open()
    one, two = await writers(store, MemoryStore(server))
    yield World(server, store, one, two)
    await store.aclose()
