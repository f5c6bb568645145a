"""Start-up, idle memory, and 100,000 znodes: how long they take to load, and what they weigh."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.bench import contestants
from tests.bench.contestants import Server
from tests.keepers import Keepers
from tests.raw import encode
from tests.raw.client import Closed, RawClient
from tests.servers import ZooKeeper

STARTS = 5
ZNODES = 100_000
AT_ONCE = 500


def run() -> None:
    """Time to the first answer, idle memory, 100,000 znodes."""
    for name, start in (("sqlite", contestants.sqlite), ("zookeeper", contestants.zookeeper)):
        with contextlib.suppress(pytest.skip.Exception):
            report_start(name, start)
    with Keepers(url="sqlite", flags=contestants.QUIET) as keepers:
        member = keepers.members[0]
        empty, began = resident(member.pid), time.perf_counter()
        fill(keepers.addresses[0], ZNODES)
        filled = time.perf_counter() - began
        full = resident(member.pid)
        member.stop()
        member.launch()
        again = first_answer(keepers.addresses[0])
        loaded = resident(member.pid)
    print(
        f"{ZNODES} znodes on sqlite: created in {filled:.1f} s, {per_znode(full - empty)}; a start loads them in"
    )
    print(f"{again:.2f} s (first answer after exec), {per_znode(loaded - empty)}")
    with contextlib.suppress(pytest.skip.Exception), ZooKeeper(java=["-Xmx1g"]) as server:
        empty = resident(server.members[0].pid)
        fill(server.address, ZNODES)
        full = resident(server.members[0].pid)
        server.members[0].stop()
        server.members[0].launch()
        print(
            f"{ZNODES} znodes on ZooKeeper: {per_znode(full - empty)}; a start loads them in {first_answer(server.address):.2f} s"
        )


def per_znode(more: int) -> str:
    return f"{more / ZNODES:.0f} bytes of memory a znode"


def report_start(name: str, start: Callable[[], AbstractContextManager[Server]]) -> None:
    """Several starts of an empty server, from exec to the answer to a ConnectRequest."""
    took, memory = list[float](), list[int]()
    for _ in range(STARTS):
        began = time.perf_counter()
        with start() as server:
            host, _, port = server.address.rpartition(":")
            first_answer((host, int(port)))
            took.append(time.perf_counter() - began)
            memory.append(resident(server.pids[0]))
    print(
        f"{name}: first answer after {statistics.median(took):.2f} s [{min(took):.2f}..{max(took):.2f}],"
        f" {statistics.median(memory) / 1e6:.0f} MB resident"
    )


def first_answer(address: tuple[str, int]) -> float:
    """Seconds until a session can be opened; asked every 5 ms."""
    began = time.perf_counter()
    while time.perf_counter() - began < 60:
        with contextlib.suppress(OSError, Closed):
            with RawClient.connected(address) as client:
                client.close_session()
            return time.perf_counter() - began
        time.sleep(0.005)
    raise TimeoutError(f"nobody answers at {address}")


def fill(address: tuple[str, int], znodes: int, parent: str = "/fill", data: bytes = bytes(100)) -> None:
    """Create znodes below one, a thousand to each parent."""
    with RawClient.connected(address, timeout=30_000) as client:
        assert client.call(encode.CREATE, encode.create(parent)).err in (0, -110)
        bodies = []
        for number in range(znodes):
            if number % 1000 == 0:
                bodies.append(encode.create(f"{parent}/{number // 1000:04d}"))
            bodies.append(encode.create(f"{parent}/{number // 1000:04d}/{number:07d}", data))
        for start in range(0, len(bodies), AT_ONCE):
            some = bodies[start : start + AT_ONCE]
            for body in some:
                client.send(encode.CREATE, body)
            assert all(client.receive_reply().err == 0 for _ in some)
        client.close_session()


def resident(pid: int) -> int:
    """Bytes of a process that are in memory."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def busy(pid: int) -> float:
    """Seconds of CPU a process has taken."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
