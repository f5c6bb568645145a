"""What a change and a load cost, however large the tree."""

from itertools import pairwise

import pytest
import trio

from parkeeper.store.consul.store import ConsulStore
from parkeeper.store.urls import StoreOptions
from tests.servers import Consul
from tests.store.consul.conftest import OpenStore, opened, registered
from tests.store.writers import listening


class Meter:
    """Bytes that pass between a store and Consul."""

    def __init__(self, store: ConsulStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.received = self.sent = 0
        clients = store._calls.clients
        for client in (clients.stream, clients.beats, clients.rest):
            monkeypatch.setattr(client, "send", self.metered(client.send))

    def metered(self, send):
        async def call(request, **more):
            answer = await send(request, **more)
            self.sent += len(await request.aread())
            self.received += len(await answer.aread())
            return answer

        return call

    def take(self) -> tuple[int, int]:
        both, self.sent, self.received = (self.sent, self.received), 0, 0
        return both


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_cost_of_a_change_when_the_tree_is_large(
    consul: Consul, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change costs its committer and a follower the same bytes beside 10, 1,000 and 50,000 items."""
    options = StoreOptions(namespace=namespace)
    costs: list[tuple[int, int, int, int]] = []
    async with opened(consul.ports, options) as store, opened(consul.ports, options) as other:
        one = await registered(store)
        near, far = Meter(store, monkeypatch), Meter(other, monkeypatch)
        stored = 0
        async with listening(other, one.revision) as listener:
            for size in (10, 1_000, 50_000):
                while stored < size:
                    batch = range(stored, min(stored + 55, size))
                    await one.commit({f"node/{number}": bytes(100) for number in batch}, seen=1)
                    stored = batch.stop
                await listener.reaches(one.revision)
                near.take(), far.take()
                receipt = await one.commit({"stat/a": b"S" * 50, "data/a": b"D" * 50}, seen=1)
                await listener.reaches(receipt.revision)
                costs.append((*near.take(), *far.take()))
        snapshot = await other.load()
    assert len(snapshot.items) > 50_000
    for before, after in pairwise(costs):
        # Numbers in JSON grow by digits, and an entry told may be asked for once more.
        assert all(abs(new - old) < 64 for old, new in zip(before, after, strict=True)), costs
    assert sum(costs[-1]) < 4_000, costs


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_load_when_large(open_store: OpenStore) -> None:
    """A large load is decoded beside the event loop: others run meanwhile."""
    async with open_store() as store:
        one = await registered(store)
        for batch in range(60):
            await one.commit({f"data/{batch}/{i}": bytes(2_000) for i in range(50)}, seen=1)
        late: list[float] = []

        async def tick() -> None:
            while True:
                expected = trio.current_time() + 0.002
                await trio.sleep_until(expected)
                late.append(trio.current_time() - expected)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tick)
            snapshot = await store.load()
            nursery.cancel_scope.cancel("loaded")
        assert len([item for item in snapshot.items if item.name.startswith("data/")]) == 3_001
        assert len(late) > 5
