"""`--workers`: several keepers behind one port, as an operator meets them."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from tests.cli.process import KeeperProcess
from tests.cli.test_run import ended
from tests.processes import wait_for
from tests.servers import Etcd

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared() -> Iterator[Etcd]:
    """An etcd for these tests."""
    with Etcd() as etcd:
        yield etcd


@pytest.fixture
def crew(shared: Etcd, request: pytest.FixtureRequest) -> Iterator[KeeperProcess]:
    """Two workers on a namespace of their own."""
    namespace = f"{request.node.name}/"
    with KeeperProcess(shared.url, "--workers", "2", "--namespace", namespace) as crew:
        yield crew
        crew.stop()


def workers(crew: KeeperProcess) -> set[str]:
    """Which workers answer, asked a few dozen times: the kernel picks one for each connection."""
    found = (re.search(r"parkeeper\.worker=(\S+)", crew.word("conf")) for _ in range(40))
    return {match.group(1) for match in found if match}


def processes(crew: KeeperProcess) -> list[int]:
    """Process ids of the workers that live, whichever thread of their parent started them."""
    threads = Path(f"/proc/{crew.pid}/task").glob("*/children")
    return [int(each) for children in threads for each in children.read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_every_worker_answers_on_the_one_port(crew):
    """Port 0 becomes one port for all; words say which worker answered, and its keeper."""
    assert len(crew.ready_file.read_text().splitlines()) == 1
    assert workers(crew) == {"1/2", "2/2"}
    assert re.search(r"^zk_parkeeper_worker\t[12]$", crew.word("mntr"), re.MULTILINE)
    assert re.search(r"^parkeeper\.worker=[12]/2$", crew.word("envi"), re.MULTILINE)

    def modes() -> set[str]:
        return {re.search(r"Mode: (\w+)", crew.word("srvr"))[1] for _ in range(40)}

    # (Until the first has heard of the second it is the only one.)
    wait_for(lambda: modes() == {"leader", "follower"}, "a leader and a follower")


def test_clients_of_different_workers_see_one_tree(crew):
    """What one creates, the others read, and a watch fires, whichever worker each got."""
    clients = [KazooClient(crew.hosts) for _ in range(6)]
    for client in clients:
        client.start()
    try:
        clients[0].create("/shared", b"1")
        for client in clients:
            client.sync("/shared")
            assert client.get("/shared")[0] == b"1"
    finally:
        for client in clients:
            client.stop()
            client.close()


def test_stop_reaches_every_worker(crew):
    """SIGTERM to the parent: all stop cleanly, it ends with 0, and nobody listens any more."""
    pids = processes(crew)
    address = crew.address
    assert len(pids) == 2
    crew.signal(signal.SIGTERM)
    assert crew.wait() == 0
    assert not any(map(alive, pids))
    assert crew.tail().count("parkeeper.cli stopped") == 3
    assert "cleanly" not in crew.tail()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, 5)


def test_crashed_worker_is_started_again(crew):
    """The port stays, the other goes on, and after a pause both answer."""
    victim, survivor = processes(crew)
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: "a worker ended; starting it again" in crew.tail(), "it is noticed")
    wait_for(lambda: workers(crew) == {"1/2", "2/2"}, "both answer")
    assert survivor in processes(crew)
    assert victim not in processes(crew)


def test_workers_stop_when_their_parent_is_killed(crew):
    """No orphan keeps the port: each sees the end of its line to the parent."""
    pids = processes(crew)
    crew.kill()
    wait_for(lambda: not any(map(alive, pids)), "the workers stop", timeout=20)


def test_second_signal_kills_the_workers_too(crew):
    """At once means all of them."""
    pids = processes(crew)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    crew.signal(signal.SIGTERM)
    wait_for(lambda: "stopping; a second signal" in crew.tail(), "it stops")
    crew.signal(signal.SIGINT)
    assert crew.wait() == 128 + signal.SIGINT
    wait_for(lambda: not any(map(alive, pids)), "the workers are gone")


@pytest.mark.parametrize("url", ["memory://", "sqlite:///nowhere/tree.db"])
def test_workers_are_refused_when_the_store_cannot_be_shared(url):
    """A store of one process cannot make an ensemble; the message says what can."""
    result = ended("serve", "--backend-url", url, "--workers", "2", "--bind-addr", "127.0.0.1:0")
    assert result.returncode == 2
    assert "needs a store that processes can share" in result.stderr


def test_code_is_the_workers_when_it_cannot_serve():
    """A store that stays away ends them all with the code one worker alone would have."""
    line = ["--backend-url", "etcd://127.0.0.1:1", "--store-wait", "0", "--bind-addr", "127.0.0.1:0"]
    result = ended("serve", *line, "--workers", "2")
    assert result.returncode == 1
    assert "a worker cannot serve" in result.stderr


def test_code_is_5_when_the_address_is_taken_by_somebody_who_does_not_share():
    """The parent finds out before any worker is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = ended(
            "serve", "--backend-url", "etcd://127.0.0.1:1", "--workers", "2", "--bind-addr", address
        )
    assert result.returncode == 5
    assert address in result.stderr
