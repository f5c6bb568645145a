"""Real keepers over every store, and real kazoo clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from kazoo.client import KazooClient

from tests.keepers import Keepers
from tests.servers import Consul, Etcd

BACKENDS = ["memory", "sqlite", "etcd-3.4", "etcd-3.5.16", "consul"]


@pytest.fixture(scope="session", params=BACKENDS)
def keepers(request: pytest.FixtureRequest) -> Iterator[Keepers]:
    """One keeper on the embedded stores, two over the shared ones."""
    name, _, version = request.param.partition("-")
    if name == "etcd":
        with Etcd(version=version) as store, Keepers(url=store.url, tick_time=500, members=2) as made:
            yield made
    elif name == "consul":
        with Consul() as store, Keepers(url=store.url, tick_time=500, members=2) as made:
            yield made
    else:
        with Keepers(url="memory://" if name == "memory" else "sqlite", tick_time=500) as made:
            yield made


Connect = Callable[..., KazooClient]


@pytest.fixture
def connect(keepers: Keepers) -> Iterator[Connect]:
    """Makes started clients below a chroot of this test's own; the n-th asks the n-th keeper."""
    chroot = f"/t{uuid4().hex}"
    clients: list[KazooClient] = []

    def make(**options: object) -> KazooClient:
        host, port = keepers.addresses[len(clients) % len(keepers.addresses)]
        client = KazooClient(hosts=f"{host}:{port}", timeout=10, **options)
        clients.append(client)
        client.start(timeout=20)
        client.sync("/")
        client.ensure_path(chroot)
        client.chroot = chroot
        return client

    yield make
    for client in clients:
        client.stop()
        client.close()
