"""`parkeeper bench` as users run it, against a keeper and against what is none."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.cli.process import COMMAND, ENVIRONMENT, KeeperProcess
from tests.processes import free_port
from tests.raw.client import RawClient
from tests.servers import ZooKeeper

WORKS = ("get", "exists", "children", "set", "create", "ephemeral-sequential", "mixed", "connect")


@pytest.fixture(scope="module")
def keeper() -> Iterator[KeeperProcess]:
    with KeeperProcess("memory://") as process:
        yield process


def bench(address: str, *line: str) -> subprocess.CompletedProcess[str]:
    """Run it for three tenths of a second."""
    command = [*COMMAND, "bench", address, "--seconds", "0.3", "--nodes", "8", *line]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=40, check=False)


@pytest.mark.parametrize("work", WORKS)
def test_every_op_is_answered_and_counted_when_asked_by_several_connections(
    keeper: KeeperProcess, work: str
) -> None:
    """Each op runs without an error; the figures fit each other."""
    depth = "1" if work == "connect" else "3"
    done = bench(keeper.hosts, "--op", work, "--connections", "3", "--depth", depth, "--json")
    figures = json.loads(done.stdout)
    assert (figures["op"], figures["connections"], figures["errors"]) == (work, 3, 0), done.stderr
    assert figures["done"] > 3
    assert figures["seconds"] >= 0.3
    assert figures["own_rate"] == pytest.approx(figures["done"] / figures["seconds"], rel=0.01)
    if figures["rate"] is not None:
        assert 0 < figures["p50"] <= figures["p99"] <= figures["p999"]
    assert done.returncode == (0 if figures["rate"] is not None else 1)


def test_one_request_at_a_time_is_measured_when_there_is_one_connection(keeper: KeeperProcess) -> None:
    """The short way, without a selector, counts like the other; the line for people has all figures."""
    done = bench(keeper.hosts, "--connections", "1")
    assert done.returncode == 0, done.stderr
    for word in ("get connections=1 depth=1", "ops/s=", "p50ms=", "p99ms=", "p999ms=", "own-cpu="):
        assert word in done.stdout


def test_load_is_shared_when_there_are_several_processes(keeper: KeeperProcess) -> None:
    """Two processes with two connections each ask as four connections do; no progress goes to a pipe."""
    done = bench(keeper.hosts, "--connections", "4", "--processes", "2", "--json")
    assert json.loads(done.stdout)["processes"] == 2
    assert done.stderr == ""


def test_nothing_is_left_behind_when_it_has_ended(keeper: KeeperProcess) -> None:
    """The znodes it made are gone."""
    assert bench(keeper.hosts, "--op", "create").returncode == 0
    with RawClient.connected(keeper.address) as client:
        names = client.call(12, b"\0\0\0\x01/\0").body[:17]  # getChildren2
    assert names == b"\0\0\0\x01\0\0\0\x09zookeeper"


def test_it_fails_with_a_reason_when_nobody_listens() -> None:
    """Exit code 1, one line on stderr, no figures."""
    done = bench(f"127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "cannot be talked to" in done.stderr
    assert done.stdout == ""


def test_it_measures_zookeeper_too() -> None:
    """It speaks to Apache ZooKeeper, removing included."""
    with ZooKeeper() as server:
        done = bench(server.hosts, "--op", "mixed", "--depth", "4", "--json")
    assert json.loads(done.stdout)["errors"] == 0, done.stderr
