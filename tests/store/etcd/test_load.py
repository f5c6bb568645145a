"""Loading in pages: one revision, pages of about 4 MB."""

from typing import Any

import pytest
import trio

from parkeeper.errors import Unavailable
from parkeeper.store.etcd.load import PAGE
from parkeeper.store.etcd.messages import RANGE_REPLY
from parkeeper.store.etcd.store import EtcdStore
from parkeeper.store.urls import StoreOptions
from tests.servers import Etcd
from tests.store.etcd.clusters import opened
from tests.store.writers import Writer, writers

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("patient")]


class Pages:
    """Sizes of the answers to a store's reads; may do something between two."""

    def __init__(self, store: EtcdStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keys = list[int]()
        self.sizes = list[int]()
        self.between: Any = None
        read = store._calls.read

        async def watched(path: str, body: bytes, within: float = 2.0) -> bytes:
            answer = await read(path, body, within)
            reply = RANGE_REPLY.decode(answer)
            self.keys.append(len(reply.kvs))
            self.sizes.append(sum(len(kv.key) + len(kv.value) for kv in reply.kvs))
            if self.between is not None:
                await self.between()
            return answer

        monkeypatch.setattr(store._calls, "read", watched)


async def fill(writer: Writer) -> dict[str, bytes]:
    """3,000 small items, and 20 values of half a megabyte."""
    puts = {f"node/{number:05}": b"n" * 50 for number in range(3000)}
    await writer.commit(puts, seen=0)
    for number in range(20):
        large = {f"data/{number:05}": b"%d" % number * 250_000}
        puts |= large
        await writer.commit(large, seen=0)
    return puts


@pytest.mark.parametrize("prefix", [None, "/services/"])
async def test_load_in_pages(any_etcd: Etcd, monkeypatch: pytest.MonkeyPatch, prefix: str | None) -> None:
    """Everything is there, at one revision though others write between the pages; no page is huge."""
    any_etcd.wipe()
    options = StoreOptions(data_prefix=prefix)
    async with opened(any_etcd, options) as store, opened(any_etcd, options) as other:
        one, two = await writers(other)
        puts = await fill(one)
        pages = Pages(store, monkeypatch)
        number = 0

        async def between() -> None:
            nonlocal number
            number += 1
            await two.commit({f"node/{number:05}": b"late", f"data/{number:05}": b"late"}, seen=0)

        pages.between = between
        newest = await other.head()
        snapshot = await store.load()
        items = {
            item.name: item.value for item in snapshot.items if item.name.startswith(("node/0", "data/0"))
        }
        assert items == puts
        assert snapshot.revision == newest <= snapshot.position
        assert max(item.revision for item in snapshot.items) <= snapshot.position
        assert {keeper: head for keeper, (head, _) in snapshot.heads.items()}[1] == one.head
        assert snapshot.heads[1][1] == one.revision
        assert max(pages.keys) <= 2000
        assert len(pages.keys) >= 5


async def test_load_pages_follow_the_sizes(any_etcd: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first page the next ones have about 4 MB."""
    any_etcd.wipe()
    async with opened(any_etcd) as store:
        one, _ = await writers(store)
        for number in range(40):
            await one.commit({f"data/{number * 10 + n:05}": b"x" * 100_000 for n in range(10)}, seen=0)
        pages = Pages(store, monkeypatch)
        await store.load()
        full = [size for size in pages.sizes[:-1] if size > 3_000_000]
        assert len(full) >= 8
        assert max(full[1:]) <= PAGE * 1.05


async def test_load_when_the_history_is_compacted_meanwhile(
    any_etcd: Etcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It starts again; if that happens each time, it gives up with a reason."""
    any_etcd.wipe()
    async with opened(any_etcd, StoreOptions(compact=True)) as store, opened(any_etcd) as other:
        one, _ = await writers(other)
        puts = await fill(one)
        pages = Pages(store, monkeypatch)
        compactions = 0

        async def between() -> None:
            nonlocal compactions
            if compactions < allowed:
                compactions += 1
                receipt = await one.commit({"kids/": b"%d" % compactions}, seen=0)
                await store.compact(receipt.revision)

        pages.between = between
        allowed = 1
        snapshot = await store.load()
        assert compactions == 1
        assert {item.name for item in snapshot.items} >= set(puts)
        allowed = 1000
        with trio.fail_after(30), pytest.raises(Unavailable, match="compacted faster"):
            await store.load()
