"""Everything at once, for a long time: nothing is refused that should not be, and memory stays what it was."""

from __future__ import annotations

import logging
import os
import random
import re
import resource
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import (
    BadVersionError,
    ConnectionLoss,
    NodeExistsError,
    NoNodeError,
    SessionExpiredError,
)
from kazoo.handlers.threading import KazooTimeoutError

from tests.keepers import Keepers
from tests.processes import wait_for
from tests.proxy import TcpProxy
from tests.servers import Etcd, four_letter_word

log = logging.getLogger(__name__)

SECONDS = float(os.environ.get("SOAK_SECONDS", "1800"))
CLIENTS = 6
TIMEOUT = 8
"""Seconds of a client's session."""

CONNECT = 30
"""Seconds a client may take to connect."""

ROOM = 50
"""Znodes a client keeps at most: the tree stays as large as it was."""

WARM = 12_000
"""Revisions after which a keeper has all the memory that it should ever need: a store's history of events is full."""

COMPACTS = ("--auto-compaction-mode=revision", "--auto-compaction-retention=1000")
"""How etcd is told to keep the last revisions only."""

EXPECTED = (BadVersionError, NodeExistsError, NoNodeError, ConnectionLoss, SessionExpiredError)
"""What may come of clients that get in each other's way, on a network that breaks."""


class Client:
    """Does one thing after another, by chance."""

    def __init__(self, number: int, hosts: str) -> None:
        self.number = number
        self.hosts = hosts
        self.choose = random.Random(number)
        self.done: Counter[str] = Counter()
        self.told = 0
        self.home = f"/soak/{number}"
        self.zk = self._connect()
        self.failure: Exception | None = None

    def _connect(self) -> KazooClient:
        zk = KazooClient(hosts=self.hosts, timeout=TIMEOUT)
        began = time.perf_counter()
        try:
            zk.start(timeout=CONNECT)
        except KazooTimeoutError:
            # Kazoo looks whether it is connected after it was told so: a cut in between is a time-out to it, at once.
            if time.perf_counter() - began >= CONNECT:
                raise
            return self._connect()
        zk.ensure_path(self.home)
        return zk

    def run(self, stop: threading.Event) -> None:
        steps: list[Callable[[], object]] = [
            self.create, self.create, self.delete, self.set, self.set, self.read, self.read, self.watch, self.multi,
            self.ephemeral, self.race, self.list, self.anew,
        ]  # fmt: skip
        try:
            while not stop.is_set():
                step = self.choose.choice(steps)
                try:
                    step()
                    self.done[step.__name__] += 1
                except EXPECTED as error:
                    self.done[type(error).__name__] += 1
        except Exception as error:  # noqa: BLE001, told to the test's own thread
            self.failure = error
        self.close()

    def close(self) -> None:
        self.zk.stop()
        self.zk.close()

    def path(self) -> str:
        return f"{self.home}/{self.choose.randrange(ROOM)}"

    def create(self) -> None:
        self.zk.create(self.path(), os.urandom(self.choose.randrange(2000)))

    def delete(self) -> None:
        self.zk.delete(self.path(), recursive=True)

    def set(self) -> None:
        self.zk.set(self.path(), os.urandom(self.choose.randrange(2000)))

    def read(self) -> None:
        data, stat = self.zk.get(f"/soak/{self.choose.randrange(CLIENTS)}/{self.choose.randrange(ROOM)}")
        assert len(data) == stat.dataLength

    def watch(self) -> None:
        other = f"/soak/{self.choose.randrange(CLIENTS)}"
        self.zk.get_children(other, watch=self.tell)
        self.zk.exists(f"{other}/{self.choose.randrange(ROOM)}", watch=self.tell)

    def tell(self, event: object) -> None:
        self.told += 1

    def multi(self) -> None:
        path = f"{self.home}/multi"
        transaction = self.zk.transaction()
        transaction.create(path, b"x" * 100)
        transaction.set_data(path, b"y")
        transaction.create(f"{path}/s-", sequence=True, ephemeral=True)
        transaction.delete(f"{path}/s-0000000000")
        transaction.delete(path)
        for result in transaction.commit():
            if isinstance(result, Exception):
                raise result

    def ephemeral(self) -> None:
        path = self.zk.create(f"{self.home}/e-", ephemeral=True, sequence=True)
        owner = self.zk.get(path)[1].ephemeralOwner
        assert owner in (self.zk.client_id or (owner,))  # None while it is not connected
        self.zk.delete(path)

    def race(self) -> None:
        data, stat = self.zk.get("/soak/count")
        self.zk.set("/soak/count", b"%d" % (int(data) + 1), version=stat.version)

    def list(self) -> None:
        self.zk.get_children(f"/soak/{self.choose.randrange(CLIENTS)}", include_data=True)

    def anew(self) -> None:
        """Now and then the session ends in order, and a new one begins."""
        if self.choose.random() < 0.1:
            self.close()
            self.zk = self._connect()


def resident(keepers: Keepers) -> int:
    """Bytes of the keeper."""
    with open(f"/proc/{keepers.members[0].pid}/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def ephemerals(keepers: Keepers) -> int:
    """How many there are."""
    found = re.search(r"^zk_ephemerals_count\t(\d+)", four_letter_word(keepers.address, "mntr"), re.MULTILINE)
    assert found is not None
    return int(found[1])


@pytest.mark.soak
@pytest.mark.timeout(2 * SECONDS + 900)
@pytest.mark.parametrize("url", ["memory://", "sqlite", "etcd"])
def test_a_long_mixed_load(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Six clients, a network that breaks, half an hour on each store; the last third needs no more than the first."""
    caplog.set_level(logging.ERROR, "kazoo")  # it reports each lost connection
    with ExitStack() as stack:
        if url == "etcd":
            url = stack.enter_context(Etcd(flags=COMPACTS)).url
        keepers = stack.enter_context(Keepers(url, tick_time=1000))
        proxy = stack.enter_context(TcpProxy(*keepers.address))
        with_care = KazooClient(hosts=keepers.hosts)
        with_care.start()
        with_care.ensure_path("/soak")
        with_care.create("/soak/count", b"0")
        clients = [Client(number, proxy.endpoint) for number in range(CLIENTS)]
        stop = threading.Event()
        threads = [threading.Thread(target=each.run, args=(stop,), daemon=True) for each in clients]
        for thread in threads:
            thread.start()
        while with_care.get("/soak/count")[1].mzxid >> 12 < WARM and not any(
            each.failure for each in clients
        ):
            time.sleep(1)
        samples: list[int] = []
        began = time.perf_counter()
        while time.perf_counter() - began < SECONDS and not any(each.failure for each in clients):
            time.sleep(SECONDS / 120)
            samples.append(resident(keepers))
            if len(samples) % 10 == 0:
                proxy.cut()
        stop.set()
        for thread in threads:
            thread.join(60)
        assert [each.failure for each in clients] == [None] * CLIENTS
        data, stat = with_care.get("/soak/count")
        assert int(data) == stat.version
        done = sum((each.done for each in clients), Counter[str]())
        third = len(samples) // 3
        first, last = statistics.median(samples[:third]), statistics.median(samples[-third:])
        log.warning("%s: %s; bytes at first %d, in the end %d", url, dict(done), first, last)
        assert last < first * 1.05 + (1 << 20)
        assert sum(done.values()) > SECONDS * 50
        answer = four_letter_word(keepers.address, "mntr")
        for name in ("zk_parkeeper_connections_crashed", "zk_parkeeper_slow_readers_cut_off"):
            assert re.search(rf"^{name}\t0$", answer, re.MULTILINE), name
        # The last cut comes just before the clients stop: who could not say goodbye leaves its session to its timeout.
        wait_for(lambda: ephemerals(keepers) == 0, "no ephemeral is left", 2 * TIMEOUT)
        assert "Traceback" not in keepers.members[0].tail(limit=1 << 22)
        with_care.stop()
        with_care.close()
