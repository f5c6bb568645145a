"""Words as real clients read them: kazoo, and ZooKeeper's own FourLetterWordMain, which `zkServer.sh status` runs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient

from tests.cli.process import KeeperProcess
from tests.processes import unavailable
from tests.servers import java_classpath, java_options

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def keeper() -> Iterator[KeeperProcess]:
    """A keeper that answers every word."""
    with KeeperProcess("memory://", "--4lw-whitelist", "*") as keeper:
        yield keeper


@pytest.fixture
def kazoo(keeper: KeeperProcess) -> Iterator[KazooClient]:
    """A session of kazoo's."""
    client = KazooClient(keeper.hosts)
    client.start()
    yield client
    client.stop()
    client.close()


def test_kazoo_reads_the_server_version(kazoo):
    """Out of envi, which it reads with one recv."""
    assert kazoo.server_version() == (3, 9, 3)


@pytest.mark.parametrize(
    ("word", "said"),
    [("ruok", "imok"), ("isro", "rw"), ("srvr", "Mode: standalone"), ("stat", "Clients:"), ("cons", "lop=")],
)
def test_kazoo_gets_whole_answers(kazoo, word, said):
    """One recv has the whole text, up to the last line."""
    answer = kazoo.command(word.encode())
    assert said in answer
    assert answer.endswith("\n") is (word not in {"ruok", "isro"})


def test_mntr_comes_in_one_piece(kazoo):
    """Also the longest answer of a quiet server."""
    answer = kazoo.command(b"mntr")
    assert answer.startswith("zk_version\t3.9.3-")
    assert answer.rpartition("\n")[0].rpartition("\n")[2].startswith("zk_p999_updatelatency\t")


def test_zookeepers_own_tool_reads_srvr(keeper):
    """What `zkServer.sh status` runs prints our answer, and would find our Mode."""
    if not shutil.which("java"):
        unavailable("there is no java here")
    host, port = keeper.address
    command = [
        *("java", *java_options(), "-cp", java_classpath()),
        *("org.apache.zookeeper.client.FourLetterWordMain", host, str(port), "srvr"),
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=40, check=True)
    assert "Mode: standalone" in result.stdout.splitlines()
    assert result.stdout.startswith("Zookeeper version: 3.9.3-parkeeper-")
