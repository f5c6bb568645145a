"""kill -9 of a keeper on sqlite at any moment: nothing acknowledged is lost, nothing is half-done."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from kazoo.client import KazooClient

from tests.e2e.load import frame
from tests.keepers import Keepers
from tests.processes import wait_for
from tests.raw import encode as raw
from tests.raw.client import RawClient

KILLS = 30


@dataclass
class Writer:
    """Writes three things at a time and keeps what was acknowledged; what was not, may be there or not."""

    number: int
    address: tuple[str, int]
    znodes: list[str] = field(default_factory=list)
    pairs: list[str] = field(default_factory=list)
    highest: int = 0
    sent: int = 0

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(0.02):  # a keeper that starts needs the processor more than we do
            with suppress(OSError, EOFError):
                self._life(stop)

    def _life(self, stop: threading.Event) -> None:
        with socket.create_connection(self.address, timeout=5) as peer, peer.makefile("rb") as stream:
            peer.sendall(raw.connect(timeout=30_000))
            frame(stream)
            while not stop.is_set():
                self.sent += 1
                name = f"w{self.number}-{self.sent}"
                pair = raw.multi([(1, raw.create(f"/m/{name}-a")), (1, raw.create(f"/m/{name}-b"))])
                peer.sendall(
                    raw.request(1, 1, raw.create(f"/d/{name}", name.encode()))
                    + raw.request(2, 14, pair)
                    + raw.request(3, 5, raw.set_data(f"/c/{self.number}", b"%d" % self.sent))
                )
                for xid in (1, 2, 3):
                    cursor = frame(stream)
                    assert (cursor.i32(), cursor.i64() > 0, cursor.i32()) == (xid, True, 0)
                    if xid == 1:
                        self.znodes.append(name)
                    elif xid == 2:
                        self.pairs.append(name)
                    else:
                        self.highest = self.sent


@dataclass
class Promises:
    """What was acknowledged when a kill came."""

    znodes: set[str]
    pairs: set[str]
    highest: dict[int, int]

    @classmethod
    def of(cls, writers: list[Writer]) -> Promises:
        return cls(
            {name for writer in writers for name in writer.znodes},
            {f"{name}-{half}" for writer in writers for name in writer.pairs for half in "ab"},
            {writer.number: writer.highest for writer in writers},
        )


def children(client: RawClient, path: str) -> set[str]:
    answer = client.call(raw.GET_CHILDREN, raw.path_watch(path))
    assert answer.err == 0
    cursor = answer.cursor
    return {name for _ in range(cursor.i32()) if (name := cursor.string())}


def value(client: RawClient, path: str) -> bytes:
    answer = client.call(raw.GET_DATA, raw.path_watch(path))
    assert answer.err == 0, path
    return answer.cursor.buffer() or b""


def check(address: tuple[str, int], promised: Promises) -> None:
    """All of it is there, as a client that comes after the kill sees it, and pairs are pairs."""
    with RawClient.connected(address) as client:
        assert promised.znodes <= children(client, "/d")
        pairs = children(client, "/m")
        assert promised.pairs <= pairs
        assert {each[:-2] for each in pairs if each.endswith("a")} == {
            each[:-2] for each in pairs if each.endswith("b")
        }
        for number, highest in promised.highest.items():
            assert int(value(client, f"/c/{number}")) >= highest


def kill_under_load(kills: int, seed: int) -> int:
    """Three writers, a kill now and then, and a look at what was promised after each; returns how much was."""
    choose = random.Random(seed)
    with Keepers(url="sqlite", tick_time=500) as keepers:
        writers = [Writer(number, keepers.address) for number in range(3)]
        with RawClient.connected(keepers.address) as client:
            for path in ("/d", "/m", "/c", *(f"/c/{writer.number}" for writer in writers)):
                assert client.call(raw.CREATE, raw.create(path, b"0")).err == 0
        stop = threading.Event()
        threads = [threading.Thread(target=writer.run, args=(stop,), daemon=True) for writer in writers]
        for thread in threads:
            thread.start()
        for _ in range(kills):
            before = len(writers[0].znodes)
            wait_for(lambda before=before: len(writers[0].znodes) > before + 5, "writers write")
            stop.wait(choose.random() * 0.05)
            promised = Promises.of(writers)
            keepers.kill()
            keepers.start()
            check(keepers.address, promised)
        stop.set()
        for thread in threads:
            thread.join(10)
        promised = Promises.of(writers)
        check(keepers.address, promised)
        with RawClient.connected(keepers.address) as client:
            for name in promised.znodes:
                assert value(client, f"/d/{name}") == name.encode()
    return len(promised.znodes)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_kill_at_any_moment_loses_nothing() -> None:
    """Thirty kills under load; after each, all that was acknowledged before it is there, and pairs are pairs."""
    assert kill_under_load(KILLS, 9) > 5 * KILLS


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_kill_at_any_moment_loses_nothing_at_length() -> None:
    """Three hundred kills, each with all the promises before it."""
    kills = int(os.environ.get("SOAK_KILLS", "300"))
    assert kill_under_load(kills, time.time_ns()) > 5 * kills


def test_sessions_and_ephemerals_outlive_a_restart() -> None:
    """After a clean stop and after a kill: the client comes back with its session, its ephemerals are still there."""
    with Keepers(url="sqlite", tick_time=500) as keepers:
        zk = KazooClient(hosts=keepers.hosts, timeout=10)
        zk.start(timeout=30)
        zk.create("/e", b"mine", ephemeral=True)
        session = zk.client_id[0]
        for end in (keepers.stop, keepers.kill):
            end()
            keepers.start()
            assert zk.get("/e")[1].ephemeralOwner == session
            assert zk.client_id[0] == session
        zk.stop()
        zk.close()
