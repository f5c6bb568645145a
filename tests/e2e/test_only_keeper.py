"""The only keeper on an etcd, while it is kept busy: its change stream rests, and nobody notices."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kazoo.client import KazooClient

from tests.keepers import Keepers
from tests.processes import http, wait_for
from tests.servers import Etcd


class Writer:
    """Sets one znode again and again, each when the last was acknowledged.

    Attributes:
        versions: as they were acknowledged.
    """

    def __init__(self, client: KazooClient) -> None:
        self.versions: list[int] = []
        self._client = client
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.versions.append(self._client.set("/busy", b"x" * 100).version)

    def beyond(self, count: int) -> None:
        """Wait for so many more."""
        target = len(self.versions) + count
        wait_for(lambda: len(self.versions) >= target, f"{count} more sets")

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()


def watchers(etcd: Etcd) -> int:
    """Watches that etcd knows of."""
    said = http("GET", f"http://{etcd.endpoints[0]}/metrics")[1].decode()
    found = re.search(r"^etcd_debugging_mvcc_watcher_total (\d+)", said, re.MULTILINE)
    assert found is not None
    return int(found[1])


@contextmanager
def connected(hosts: str) -> Iterator[KazooClient]:
    client = KazooClient(hosts=hosts, timeout=10)
    client.start(timeout=20)
    try:
        yield client
    finally:
        client.stop()
        client.close()


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.4", "3.5.16"])
def test_the_only_keeper_is_busy(version: str) -> None:
    """What strangers write is served, compaction disturbs nobody, and a keeper that joins is heard at once."""
    with (
        Etcd(version=version) as etcd,
        Keepers(url=etcd.url, tick_time=500) as keeper,
        connected(keeper.hosts) as busy,
        connected(keeper.hosts) as other,
    ):
        states = list[object]()
        busy.add_listener(states.append)
        busy.create("/busy", b"")
        busy.create("/native", b"ours")
        busy.create("/watched", b"")
        writer = Writer(busy)
        with writer.running():
            writer.beyond(50)
            wait_for(lambda: watchers(etcd) == 0, "the stream rests")
            for number in range(5):
                revision = etcd.put("parkeeper/data/native", b"theirs %d" % number)
                wait_for(lambda n=number: other.get("/native")[0] == b"theirs %d" % n, "a stranger's bytes")
                writer.beyond(50)
                etcd.call("kv/compaction", {"revision": revision, "physical": True})
                writer.beyond(50)
            with (
                Keepers(url=etcd.url, tick_time=500) as second,
                connected(second.hosts) as far,
            ):
                seen = threading.Event()
                other.get_children("/watched", watch=lambda _: seen.set())
                far.create("/watched/far", b"")
                assert seen.wait(10)
                writer.beyond(50)
                assert watchers(etcd) == 2
                far.sync("/busy")
                version_there = far.get("/busy")[1].version
                assert version_there >= len(writer.versions) - 50
            writer.beyond(100)
        assert writer.versions == list(range(1, len(writer.versions) + 1))
        assert other.get("/busy")[1].version == writer.versions[-1]
        assert states == []
        assert "change stream" not in keeper.members[0].tail(limit=100_000)
