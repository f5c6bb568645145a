"""Three keepers over a real etcd or Consul: one ensemble, whatever is killed, frozen or cut."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from kazoo.client import KazooClient

from tests.e2e.load import check, ephemerals_go, load, prepare
from tests.keepers import Keepers
from tests.processes import wait_for
from tests.proxy import TcpProxy
from tests.servers import Consul, Etcd

TICK = 500
TTL = 4.0

Store = Etcd | Consul


@pytest.fixture(params=["etcd-3.4", "etcd-3.5.16", "consul"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store of the test's own: it will be ill-treated."""
    name, _, version = request.param.partition("-")
    with Etcd(version=version) if name == "etcd" else Consul() as made:
        yield made


@pytest.fixture
def keepers(store: Store) -> Iterator[Keepers]:
    with Keepers(url=store.url, tick_time=TICK, members=3, flags=("--keeper-ttl", str(TTL))) as made:
        yield made


@pytest.fixture
def connect(keepers: Keepers) -> Iterator[Callable[..., KazooClient]]:
    clients: list[KazooClient] = []

    def make(*numbers: int, timeout: float = 6.0) -> KazooClient:
        chosen = [keepers.addresses[number] for number in numbers or range(len(keepers.addresses))]
        client = KazooClient(hosts=",".join(f"{host}:{port}" for host, port in chosen), timeout=timeout)
        client.start(timeout=30)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.stop()
        client.close()


Connect = Callable[..., KazooClient]


def test_writes_are_seen_everywhere_in_order(keepers: Keepers, connect: Connect) -> None:
    """A watcher at each keeper sees every state of a znode that it asks for, in the order of the writes."""
    writer, readers = connect(0), [connect(1), connect(2)]
    writer.create("/seen", b"0")
    seen: list[list[int]] = [[], []]
    done = [threading.Event(), threading.Event()]
    for number, reader in enumerate(readers):
        reader.sync("/seen")

        def look(value: bytes | None, _stat: object, number: int = number) -> None:
            seen[number].append(int(value or b"-1"))
            if seen[number][-1] == 200:
                done[number].set()

        reader.DataWatch("/seen", func=look)
    for value in range(1, 201):
        writer.set("/seen", b"%d" % value)
    for number in range(2):
        assert done[number].wait(20)
        assert seen[number] == sorted(seen[number])
        assert len(set(seen[number])) == len(seen[number])


def test_sequences_through_three_keepers_are_dense(keepers: Keepers, connect: Connect) -> None:
    """All create under one parent at once."""
    clients = [connect(number) for number in range(3)]
    clients[0].create("/dense")
    for client in clients[1:]:
        client.sync("/dense")
    made = [client.create_async("/dense/n-", sequence=True) for _ in range(50) for client in clients]
    assert sorted(each.get(60) for each in made) == [f"/dense/n-{number:010d}" for number in range(150)]


@pytest.mark.timeout(120)
def test_a_killed_keepers_clients_go_on_elsewhere(keepers: Keepers, connect: Connect) -> None:
    """With sessions and ephemerals; what does not come back is closed no earlier than its timeout after the
    declaration, and no later than keeper TTL + timeout + two ticks after the kill (and a beat's period)."""
    watcher = connect(1)
    stays = connect(0, 1, timeout=10.0)
    while stays._connection._socket.getpeername()[1] != keepers.ports[0]:  # kazoo shuffles its hosts
        stays.stop()
        stays.close()
        stays = connect(0, 1, timeout=10.0)
    leaves = connect(0, timeout=3.0)
    session = stays.client_id[0]
    stays.create("/stays", ephemeral=True)
    leaves.create("/leaves", ephemeral=True)
    watcher.sync("/")
    gone = threading.Event()
    assert watcher.exists("/leaves", watch=lambda _: gone.set())
    keepers.members[0].kill()
    killed = time.perf_counter()
    assert gone.wait(60)
    took = time.perf_counter() - killed
    assert took >= 3.0
    assert took <= TTL + 3.0 + 2 * TICK / 1000 + TTL / 3 + 1.5
    assert stays.get("/stays")[1].ephemeralOwner == session
    assert stays.client_id[0] == session
    watcher.sync("/")
    assert watcher.exists("/stays")
    keepers.members[0].start()
    again = connect(0)
    again.sync("/")
    assert again.exists("/stays")


@pytest.mark.timeout(150)
def test_a_killed_store_loses_nothing(store: Store, keepers: Keepers, connect: Connect) -> None:
    """kill -9 and restart of the only member, under load."""
    client = connect()
    prepare(client)
    with load(keepers.addresses) as made:
        for _ in range(2):
            before = made.acknowledged
            wait_for(lambda before=before: made.acknowledged > before + 30, "writers write")
            store.kill()
            store.start()
        before = made.acknowledged
        wait_for(lambda before=before: made.acknowledged > before + 30, "writers write again", timeout=60)
    last = connect()
    check(last, made)
    ephemerals_go(last, 30)


@pytest.mark.timeout(150)
def test_a_frozen_store_loses_nothing(store: Store, keepers: Keepers, connect: Connect) -> None:
    """kill -STOP for longer than the keeper TTL: clients are dropped, sessions are not, service comes back."""
    client = connect(timeout=20.0)
    prepare(client)
    client.create("/mine", ephemeral=True)
    session = client.client_id[0]
    with load(keepers.addresses) as made:
        wait_for(lambda: made.acknowledged > 30, "writers write")
        store.pause()
        threading.Event().wait(TTL * 2)
        store.resume()
        before = made.acknowledged
        wait_for(lambda: made.acknowledged > before + 30, "writers write again", timeout=60)
    last = connect()
    check(last, made)
    client.sync("/")
    assert client.client_id[0] == session
    assert client.exists("/mine")
    ephemerals_go(last, 30)


@pytest.mark.timeout(150)
def test_a_connection_cut_in_the_middle_of_commits_loses_nothing(store: Store) -> None:
    """Keepers behind a proxy that is cut again and again: commits in doubt are settled, not guessed."""
    host, port = store.endpoints[0].removeprefix("http://").split(":")
    scheme = "etcd" if isinstance(store, Etcd) else "consul"
    with TcpProxy(host, int(port)) as proxy:
        url = f"{scheme}://127.0.0.1:{proxy.port}"
        with Keepers(url=url, tick_time=TICK, members=2, flags=("--keeper-ttl", str(TTL))) as keepers:
            client = KazooClient(hosts=keepers.hosts, timeout=10)
            client.start(timeout=30)
            prepare(client)
            with load(keepers.addresses) as made:
                for _ in range(10):
                    before = made.acknowledged
                    wait_for(
                        lambda before=before: made.acknowledged > before + 10, "writers write", timeout=60
                    )
                    proxy.cut()
                before = made.acknowledged
                wait_for(lambda before=before: made.acknowledged > before + 30, "writers go on", timeout=60)
            check(client, made)
            ephemerals_go(client, 30)
            client.stop()
            client.close()


def test_a_clean_stop_hands_sessions_over(keepers: Keepers, connect: Connect) -> None:
    """SIGTERM: exit code 0, and the clients go on elsewhere at once."""
    client = connect()
    client.create("/handed", ephemeral=True)
    session = client.client_id[0]
    port = client._connection._socket.getpeername()[1]
    number = keepers.ports.index(port)
    keepers.members[number].signal(signal.SIGTERM)
    assert keepers.members[number].wait(20) == 0
    assert client.retry(client.get, "/handed")[1].ephemeralOwner == session
    assert client.client_id[0] == session
