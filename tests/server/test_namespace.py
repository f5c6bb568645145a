"""Making, checking and loading a namespace."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from parkeeper.errors import Incompatible
from parkeeper.server.namespace import open_namespace
from parkeeper.store.memory import MemoryServer, MemoryStore
from parkeeper.testing.faults import LoseAnswer
from parkeeper.testing.faulty import FaultyStore


async def test_it_is_made_once_whoever_comes_first(autojump_clock: MockClock) -> None:
    """Guarded by the absence of `meta`: all find one secret, one cluster id."""
    server = MemoryServer()
    metas: list[bytes] = []

    async def come() -> None:
        _, meta, _, _ = await open_namespace(MemoryStore(server), "")
        metas.append(meta.cluster + meta.secret)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(come)
    assert len(set(metas)) == 1


async def test_making_it_in_doubt_is_settled_by_looking(autojump_clock: MockClock) -> None:
    """It happened; it is not made again."""
    store = FaultyStore(MemoryStore(MemoryServer()))
    store.commits.fail_next(LoseAnswer())
    replica, _, _, _ = await open_namespace(store, "")
    assert sorted(replica.nodes) == ["/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"]
    assert store.commits.entered == 1


async def test_another_data_prefix_than_it_was_made_with_is_refused(autojump_clock: MockClock) -> None:
    """The message says which one it was."""
    server = MemoryServer()
    await open_namespace(MemoryStore(server), "services/")
    with pytest.raises(Incompatible, match="services/"):
        await open_namespace(MemoryStore(server), "")


async def test_an_unknown_format_is_refused(autojump_clock: MockClock) -> None:
    """A later version's namespace is not served by guess."""
    server = MemoryServer()
    await open_namespace(MemoryStore(server), "")
    value, _ = server.items[b"parkeeper/meta"]
    server.stranger_put(b"parkeeper/meta", b"\x02" + value[1:])
    with pytest.raises(Incompatible, match="format 2"):
        await open_namespace(MemoryStore(server), "")
