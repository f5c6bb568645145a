"""Time and memory against the number of znodes, watches, sessions and keepers.

The servers of one table run side by side and are asked in turn: a machine is slower in one minute than in the next, and
asked one after the other the last would look worse for it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.bench import contestants
from tests.bench.asking import Cell, ask
from tests.bench.contestants import Server
from tests.bench.light import many, wider
from tests.bench.size import fill, first_answer, resident
from tests.keepers import Keepers
from tests.raw import encode
from tests.raw.client import RawClient

EACH = 0.7  # seconds of asking; a whole table takes less than the 40 s that sessions live without a ping
ROUNDS = 5


@dataclass
class Grown:
    """A keeper that has something in number, and what else there is to say of it."""

    count: int
    keepers: Keepers
    also: str = ""

    @property
    def address(self) -> str:
        """Where it is asked."""
        host, port = self.keepers.address
        return f"{host}:{port}"


def run() -> None:
    """Rates and memory while one number grows; at most linear, and a request costs the same."""
    for name, also, make, counts in (
        ("znodes", "bytes each, start in", znodes, (1_000, 10_000, 100_000)),
        ("watches", "bytes each", watches, (1_000, 10_000, 100_000)),
        ("sessions", "bytes each, opened in", sessions, (100, 1_000, 10_000)),
        ("keepers", "over an etcd of their own", keepers, (1, 2, 4)),
    ):
        print(f"{name:10s} {'get 8 x 32 a second':>34s} {'set 8 x 32 a second':>34s}   {also}")
        with wider(), ExitStack() as stack:
            report([stack.enter_context(make(count)) for count in counts])


def report(all_grown: list[Grown]) -> None:
    """Ask them in turn; medians with the spread."""
    columns: list[list[str]] = [[] for _ in all_grown]
    for work in ("get", "set"):
        rates: list[list[float]] = [[] for _ in all_grown]
        for _ in range(ROUNDS):
            for grown, its in zip(all_grown, rates, strict=True):
                its.append(ask(grown.address, Cell(work, 8, 32), EACH).rate)
        for column, its in zip(columns, rates, strict=True):
            column.append(f"{statistics.median(its):.0f} [{min(its):.0f}..{max(its):.0f}]")
    for grown, column in zip(all_grown, columns, strict=True):
        print(f"{grown.count:<10d} {column[0]:>34s} {column[1]:>34s}   {grown.also}", flush=True)


@contextmanager
def znodes(count: int) -> Iterator[Grown]:
    """Of a keeper on sqlite, started anew."""
    with Keepers(url="sqlite", flags=contestants.QUIET) as server:
        member, address = server.members[0], server.addresses[0]
        empty = resident(member.pid)
        fill(address, count)
        weight = (resident(member.pid) - empty) / count
        member.stop()
        member.launch()
        yield Grown(count, server, f"{weight:.0f}, {first_answer(address):.2f} s")


@contextmanager
def watches(count: int) -> Iterator[Grown]:
    """Of one connection, each on a znode of its own."""
    with Keepers(flags=contestants.QUIET) as server:
        grown, pid = Grown(count, server), server.members[0].pid
        # The recent past is full before the first look: it would be counted with the watches.
        ask(grown.address, Cell("set", 8, 32), 2 * EACH)
        with RawClient.connected(server.addresses[0], timeout=40_000) as client:
            empty = resident(pid)
            for start in range(0, count, 500):
                for number in range(start, start + 500):
                    client.send(encode.EXISTS, encode.string(f"/watched/{number}") + b"\x01")
                for _ in range(500):
                    client.receive_reply()
            grown.also = f"{(resident(pid) - empty) / count:.0f}"
            yield grown


@contextmanager
def sessions(count: int) -> Iterator[Grown]:
    """Idle ones, while others ask."""
    with Keepers(flags=contestants.QUIET) as server:
        grown, pid = Grown(count, server), server.members[0].pid
        empty, began = resident(pid), time.perf_counter()
        with many(Server(grown.address, [pid]), count):
            took = time.perf_counter() - began
            grown.also = f"{(resident(pid) - empty) / count:.0f}, {took:.1f} s"
            yield grown


@contextmanager
def keepers(count: int) -> Iterator[Grown]:
    """Over an etcd of theirs; all the load goes to the first, the others follow."""
    with contestants.etcd() as etcd, Keepers(url=etcd.url, members=count, flags=contestants.QUIET) as server:
        yield Grown(count, server)
