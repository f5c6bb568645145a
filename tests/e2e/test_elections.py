"""Three members of a store lose their leader: no keeper loses its clients (DESIGN section 6, PROTOCOL section 6)."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient

from tests.e2e.load import check, load, prepare
from tests.keepers import Keepers
from tests.processes import wait_for
from tests.servers import Consul, Etcd

Store = Etcd | Consul


@pytest.fixture(params=["etcd-3.5.16", "consul"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Store]:
    name, _, version = request.param.partition("-")
    with Etcd(version=version, members=3) if name == "etcd" else Consul(members=3) as made:
        yield made


@pytest.mark.timeout(240)
@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_a_lost_leader_costs_no_client_its_connection(cluster: Store, how: str) -> None:
    """With the default keeper TTL; writes wait for the election, reads go on, nothing acknowledged is lost."""
    with Keepers(url=cluster.url, tick_time=1000, members=2) as keepers:
        clients, states = [], []
        for host, port in keepers.addresses:
            client = KazooClient(hosts=f"{host}:{port}", timeout=10)
            client.add_listener(states.append)
            client.start(timeout=30)
            clients.append(client)
        prepare(clients[0])
        states.clear()
        with load(keepers.addresses, writers=2) as made:
            wait_for(lambda: made.acknowledged > 30, "writers write")
            leader = cluster.members[cluster.leader()]
            if how == "killed":
                leader.kill()
            else:
                leader.pause()
            before = made.acknowledged
            for client in clients:
                assert client.get("/zookeeper")[0] == b""
            wait_for(lambda: made.acknowledged > before + 30, "writers write under a new leader", timeout=60)
            if how == "killed":
                leader.start()
            else:
                leader.resume()
            threading.Event().wait(3)
            before = made.acknowledged
            wait_for(
                lambda before=before: made.acknowledged > before + 30,
                "writers write with all members",
                timeout=60,
            )
        check(clients[0], made)
        assert states == []
        for client in clients:
            client.stop()
            client.close()
