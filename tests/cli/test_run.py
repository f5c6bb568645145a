"""`parkeeper serve` as a process: where it listens, how it stops, with which code it ends."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cli.process import COMMAND, ENVIRONMENT, KeeperProcess
from tests.processes import wait_for
from tests.proxy import TcpProxy
from tests.servers import Etcd

pytestmark = pytest.mark.slow


@pytest.fixture
def keeper():
    """A keeper on a memory store, serving."""
    with KeeperProcess("memory://") as keeper:
        yield keeper


def ended(*line: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *line],
        env={**ENVIRONMENT, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_ready_file_names_the_bound_port_while_it_serves(keeper):
    """Port 0 becomes a real one in the file, which is there when clients are served, and whole."""
    assert re.fullmatch(r"127\.0\.0\.1:[1-9]\d*\n", keeper.ready_file.read_text())
    assert "Mode: standalone\n" in keeper.word("srvr")
    assert f"addresses={keeper.hosts}" in keeper.tail()


def test_several_addresses_are_served_when_asked():
    """Each has its line in the ready file, in order."""
    with KeeperProcess("memory://", "--bind-addr", "127.0.0.1:0", "--bind-addr", "[::1]:0") as keeper:
        first, second = keeper.ready_file.read_text().splitlines()
        assert first.startswith("127.0.0.1:")
        host, _, port = second.rpartition(":")
        assert host == "[::1]"
        with socket.create_connection(("::1", int(port)), 5) as peer:
            peer.sendall(b"ruok")
            assert peer.recv(10) == b"imok"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_it_cleanly(keeper, number):
    """Exit code 0, the end in the log, and no ready file left behind."""
    keeper.signal(number)
    assert keeper.wait() == 0
    assert "parkeeper.cli stopped" in keeper.tail()
    assert not keeper.ready_file.exists()


def test_signal_stops_it_cleanly_while_it_waits_for_the_store():
    """A stop is no failure, whatever the store does."""
    keeper = KeeperProcess("etcd://127.0.0.1:1", "--store-wait", "30")
    try:
        keeper.launch()
        wait_for(lambda: "waiting for the store" in keeper.tail(), "it waits")
        keeper.signal(signal.SIGTERM)
        assert keeper.wait() == 0
    finally:
        keeper.close()


def test_second_signal_ends_it_at_once_when_the_first_cannot(etcd: Etcd):
    """Who cannot wait for a store that says nothing gets 128 and the signal's number."""
    with (
        TcpProxy("127.0.0.1", etcd.ports[0]) as proxy,
        KeeperProcess(f"etcd://127.0.0.1:{proxy.port}", "--namespace", "second-signal/") as keeper,
    ):
        proxy.hold("down")
        keeper.signal(signal.SIGTERM)
        wait_for(lambda: "stopping; a second signal" in keeper.tail(), "it stops")
        keeper.signal(signal.SIGTERM)
        assert keeper.wait() == 128 + signal.SIGTERM


def test_stale_ready_file_goes_before_anything_is_served(tmp_path: Path):
    """Nobody takes the file of an earlier run for this one's."""
    file = tmp_path / "ready"
    file.write_text("127.0.0.1:1\n")
    result = ended(
        "serve", "--backend-url", "etcd://127.0.0.1:1", "--store-wait", "0", "--ready-file", str(file)
    )
    assert result.returncode == 1
    assert not file.exists()


def test_default_store_is_printed_and_keeps_what_was_written(tmp_path: Path):
    """Without --backend-url: a SQLite file, its place in the log and in `conf`."""
    with KeeperProcess("", environment={"XDG_STATE_HOME": str(tmp_path)}) as keeper:
        assert f"store=sqlite://{tmp_path}/parkeeper/parkeeper.db" in keeper.tail()
        assert f"dataDir={tmp_path}/parkeeper\n" in keeper.word("conf")
        size = int(keeper.word("dirs").splitlines()[0].partition(": ")[2])
    assert size >= 4096
    assert (tmp_path / "parkeeper/parkeeper.db").exists()


def test_log_is_json_when_asked():
    """Every line, from the first on."""
    with KeeperProcess("memory://", "--log-format", "json") as keeper:
        keeper.stop()
        events = [json.loads(line) for line in keeper.tail().splitlines()]
    assert events[0]["message"] == "starting"
    assert events[-1]["message"] == "stopped"
    assert all(event["time"].endswith("Z") for event in events)


def test_code_is_1_when_the_store_stays_away():
    """It says that it waits, for as long as it was told, then ends."""
    result = ended("serve", "--backend-url", "etcd://127.0.0.1:1", "--store-wait", "0.6")
    assert result.returncode == 1
    assert "waiting for the store" in result.stderr
    assert "cannot serve" in result.stderr


def test_code_is_1_when_the_store_has_no_leader():
    """One member of three answers, and can't serve: that is waited for like a store that is away."""
    with Etcd(members=3) as etcd:
        for member in etcd.members[:2]:
            member.kill()
        result = ended(
            "serve", "--backend-url", etcd.url, "--store-wait", "0.5", "--bind-addr", "127.0.0.1:0"
        )
    assert result.returncode == 1
    assert "waiting for the store" in result.stderr


def test_it_serves_when_the_store_comes_in_time():
    """What was waited for is used as soon as it is there."""
    with Etcd() as etcd:
        (member,) = etcd.members
        member.kill()
        keeper = KeeperProcess(etcd.url, "--store-wait", "30")
        try:
            keeper.launch()
            wait_for(lambda: "waiting for the store" in keeper.tail(), "it waits")
            assert not keeper.ready_file.exists()
            member.start()
            keeper.wait_ready()
            assert "Mode: standalone" in keeper.word("srvr")
        finally:
            keeper.close()


def test_code_is_2_when_an_option_cannot_be_obeyed():
    """An unknown store is refused with the list of what there is."""
    result = ended("serve", "--backend-url", "mysql://localhost")
    assert result.returncode == 2
    for scheme in ("memory://", "sqlite:///PATH", "etcd://", "etcds://", "consul://", "consuls://"):
        assert scheme in result.stderr
    assert "Traceback" not in result.stderr


def test_code_is_3_when_the_store_refuses_our_credentials():
    """Nothing is waited for."""
    with Etcd() as etcd:
        etcd.call("auth/user/add", {"name": "root", "password": "right"})
        etcd.call("auth/user/grant", {"user": "root", "role": "root"})
        etcd.call("auth/enable", {})
        result = ended("serve", "--backend-url", etcd.url, "--store-wait", "30")
    assert result.returncode == 3
    assert "kind=AccessDenied" in result.stderr


def test_code_is_4_when_another_process_has_the_file(tmp_path: Path):
    """Two keepers on one SQLite file would each believe the other dead."""
    url = f"sqlite://{tmp_path}/tree.db"
    with KeeperProcess(url):
        result = ended("serve", "--backend-url", url, "--bind-addr", "127.0.0.1:0")
    assert result.returncode == 4
    assert "kind=Incompatible" in result.stderr


def test_code_is_5_when_the_address_is_taken(keeper):
    """The message names the address."""
    result = ended("serve", "--backend-url", "memory://", "--bind-addr", keeper.hosts)
    assert result.returncode == 5
    assert f"cannot listen on {keeper.hosts}" in result.stderr
    assert "Traceback" not in result.stderr


def test_version_says_ours_and_zookeepers():
    """Both, in a line."""
    result = ended("version")
    assert result.returncode == 0
    assert re.fullmatch(
        r"parkeeper \d+\.\d+\.\d+ \((compiled|plain Python)\), behaves as ZooKeeper 3\.9\.3\n", result.stdout
    )


@pytest.mark.parametrize(
    ("imported", "left_out"),
    [
        ("parkeeper.cli.app", ["trio", "httpx", "rich", "parkeeper.server.keeper"]),
        ("parkeeper.cli.run", ["httpx", "rich", "msgspec", "parkeeper.store.etcd", "parkeeper.store.memory"]),
    ],
)
def test_start_pays_only_for_what_it_uses(imported, left_out):
    """A health check imports no server, and a keeper on SQLite no HTTP client: start-up stays below half a second."""
    script = f"import sys, {imported}; print(*sorted(set(sys.modules) & set({left_out})))"
    result = subprocess.run(
        [COMMAND[0], "-c", script], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == ""
