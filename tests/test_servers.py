"""The servers that tests start are real, and obey: start, kill, freeze, come back with their data."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.processes import http, wait_for
from tests.proxy import TcpProxy
from tests.servers import Consul, Etcd, ZooKeeper


def put(etcd: Etcd, key: str, value: str) -> None:
    etcd.call(
        "kv/put",
        {"key": base64.b64encode(key.encode()).decode(), "value": base64.b64encode(value.encode()).decode()},
    )


def get(etcd: Etcd, key: str, member: int = 0) -> str:
    said = etcd.call("kv/range", {"key": base64.b64encode(key.encode()).decode()}, member)
    return base64.b64decode(said["kvs"][0]["value"]).decode()


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.4", "3.5.1", "3.5.16"])
def test_etcd_keeps_its_data_over_a_kill(version: str) -> None:
    """Each version starts, answers on its gateway, and has what it acknowledged after a kill."""
    with Etcd(version=version) as etcd:
        put(etcd, "a", "1")
        etcd.kill()
        etcd.start()
        assert get(etcd, "a") == "1"


@pytest.mark.slow
def test_etcd_of_three_goes_on_without_its_leader() -> None:
    """A killed leader is replaced, and comes back into the cluster on its old port."""
    with Etcd(members=3) as etcd:
        put(etcd, "a", "1")
        killed = etcd.leader()
        etcd.members[killed].kill()
        survivor = (killed + 1) % 3
        url = f"http://{etcd.endpoints[survivor]}/v3/kv/range"
        wait_for(lambda: http("POST", url, b'{"key":"YQ=="}')[0] == 200, "a new leader")
        assert get(etcd, "a", survivor) == "1"
        etcd.start()
        assert get(etcd, "a", killed) == "1"


@pytest.mark.slow
@pytest.mark.parametrize("members", [1, 3])
def test_consul_keeps_its_data_over_a_restart(members: int) -> None:
    """Consul serves consistent reads when its constructor returns, and has its data after a restart."""
    with Consul(members=members) as consul:
        assert consul.call("PUT", "kv/a", b"1") == (200, b"true")
        consul.restart()
        assert consul.call("GET", "kv/a?raw&consistent", member=members - 1) == (200, b"1")
        assert 0 <= consul.leader() < members


@pytest.mark.slow
@pytest.mark.parametrize(("version", "says"), [("3.9", "3.9.3"), ("3.8", "3.8.0")])
def test_zookeeper_answers_words(version: str, says: str) -> None:
    """The version asked for is the version that runs."""
    with ZooKeeper(version=version, tick_time=200) as zookeeper:
        assert zookeeper.word("srvr").startswith(f"Zookeeper version: {says}")
        assert "tickTime=200\n" in zookeeper.word("conf")


def test_a_frozen_server_answers_nothing_until_resumed(etcd: Etcd) -> None:
    """pause() is seen as silence, not as a broken connection."""
    url = f"http://{etcd.endpoints[0]}/version"
    etcd.pause()
    try:
        assert http("GET", url, timeout=0.2) == (0, b"")
    finally:
        etcd.resume()
    assert http("GET", url)[0] == 200


@pytest.fixture
def echo() -> Iterator[socket.socket]:
    """A listener that answers one connection at a time with what it receives."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer = listener.accept()[0]
            except OSError:
                return
            with peer:
                try:
                    while piece := peer.recv(1000):
                        peer.sendall(piece)
                except OSError:
                    continue

    threading.Thread(target=serve, daemon=True).start()
    yield listener
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_proxy_holds_one_direction_and_loses_it_when_cut(echo: socket.socket) -> None:
    """An answer held back arrives after release, and never after a cut."""
    with TcpProxy(*echo.getsockname()) as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as peer:
        peer.settimeout(5)
        proxy.hold("down")
        peer.sendall(b"one")
        proxy.await_held("down")
        proxy.release()
        assert peer.recv(10) == b"one"
        proxy.hold("down")
        peer.sendall(b"two")
        proxy.await_held("down")
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            peer.recv(10)


def test_proxy_refuses_new_connections_until_told_to_accept(echo: socket.socket) -> None:
    """refuse() leaves standing connections alone; accept() listens on the same port again."""
    with TcpProxy(*echo.getsockname()) as proxy:
        address = ("127.0.0.1", proxy.port)
        with socket.create_connection(address) as peer:
            peer.settimeout(5)
            peer.sendall(b"x")
            assert peer.recv(10) == b"x"
            proxy.refuse()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address)
            peer.sendall(b"y")
            assert peer.recv(10) == b"y"
        proxy.accept()
        with socket.create_connection(address) as peer:
            peer.settimeout(5)
            peer.sendall(b"z")
            assert peer.recv(10) == b"z"
