"""`parkeeper status`, the health check: against keepers, ZooKeeper, and what is neither."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from parkeeper.cli.app import app
from tests.cli.process import COMMAND, ENVIRONMENT, KeeperProcess
from tests.servers import ZooKeeper


def status(*line: str, **environment: str):
    """Run the command here; standard output and standard error are one."""
    return CliRunner().invoke(app, ["status", *line], env=environment, catch_exceptions=False)


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """Something that takes a connection for each answer, reads four bytes, and says it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                peer, _ = listener.accept()
                with peer:
                    peer.recv(4, socket.MSG_WAITALL)
                    peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


@pytest.mark.slow
def test_status_is_0_and_prints_when_a_keeper_serves():
    """The state is printed, as srvr tells it."""
    with KeeperProcess("memory://") as keeper:
        result = subprocess.run(
            [*COMMAND, "status", keeper.hosts], env=ENVIRONMENT, capture_output=True, text=True, check=False
        )
    assert result.returncode == 0
    assert "Mode: standalone\nNode count: 5\n" in result.stdout


@pytest.mark.slow
def test_status_finds_the_keeper_of_its_own_environment():
    """In a container both read PARKEEPER_BIND_ADDR; one that listens everywhere is asked here."""
    with KeeperProcess("memory://") as keeper:
        host_and_port = keeper.hosts.replace("127.0.0.1", "0.0.0.0")
        assert status(PARKEEPER_BIND_ADDR=f"{host_and_port} 10.9.9.9:1").exit_code == 0


@pytest.mark.slow
def test_status_is_0_when_srvr_is_not_in_the_whitelist_and_it_lives():
    """ruok has to do, and it is said that no more is known."""
    with KeeperProcess("memory://", "--4lw-whitelist", "ruok") as keeper:
        result = status(keeper.hosts)
    assert result.exit_code == 0
    assert "alive; it may say no more" in result.output


@pytest.mark.slow
def test_status_is_1_when_nothing_is_in_the_whitelist():
    """What says nothing is not known to serve."""
    with KeeperProcess("memory://", "--4lw-whitelist", "") as keeper:
        result = status(keeper.hosts)
    assert result.exit_code == 1
    assert "ruok is not executed" in result.output


@pytest.mark.slow
def test_status_understands_zookeeper(zookeeper: ZooKeeper):
    """It asks nothing that a ZooKeeper server would not answer."""
    result = status(zookeeper.hosts)
    assert result.exit_code == 0
    assert "Mode: standalone" in result.output


def test_status_is_1_when_nobody_is_served():
    """A keeper that is cut from its store is alive and not well."""
    with answering(b"This ZooKeeper instance is not currently serving requests\n") as address:
        result = status(address)
    assert result.exit_code == 1
    assert "not currently serving" in result.output


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff\xfe"])
def test_status_is_1_when_it_is_no_zookeeper(said):
    """Anything that is no srvr answer is a failure, whatever listens there."""
    with answering(said) as address:
        assert status(address).exit_code == 1


def test_status_is_1_when_nobody_listens():
    """The error is the system's, without a traceback."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        result = status(f"127.0.0.1:{unheard.getsockname()[1]}")
    assert result.exit_code == 1
    assert "no answer: " in result.output


def test_status_is_1_when_no_answer_comes_in_time():
    """What accepts and says nothing is not waited for longer than --timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = status(f"127.0.0.1:{silent.getsockname()[1]}", "--timeout", "0.05")
    assert result.exit_code == 1
    assert "timed out" in result.output
