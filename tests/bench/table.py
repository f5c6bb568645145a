"""The table: `python -m tests.bench.table`, or `make bench`."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from tests.bench import contestants, growth, light, size
from tests.bench.asking import Cell, Figure, ask, zkload
from tests.bench.contestants import Server
from tests.bench.size import busy

ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = float(os.environ.get("SECONDS_EACH", "2"))
WARM = 3.0  # seconds; the JVM compiles what it runs often

GET = [Cell("get", 1), Cell("get", 8), Cell("get", 64), Cell("get", 8, 32)]
SET = [Cell("set", 1), Cell("set", 8), Cell("set", 64), Cell("set", 8, 32)]


class Row(NamedTuple):
    """One line of the table: whose figure is divided by whose, and what the ratio is to reach (0: nothing set)."""

    cell: Cell
    ours: str
    theirs: str
    reach: float


def rounds(
    servers: Mapping[str, Server], cells: Mapping[Cell, Iterable[str]]
) -> dict[tuple[str, Cell], list[Figure]]:
    """Ask each server in turn, round after round."""
    figures: dict[tuple[str, Cell], list[Figure]] = {}
    for cell, names in cells.items():
        for _ in range(ROUNDS):
            for name in names:
                if name in servers:
                    figures.setdefault((name, cell), []).append(measured(servers[name], cell))
    return figures


def measured(server: Server, cell: Cell) -> Figure:
    """Ask, and look at what it cost the server: on a busy machine the steadier figure."""
    before = sum(map(busy, server.pids))
    figure = ask(server.address, cell, SECONDS)
    spent = sum(map(busy, server.pids)) - before
    return figure._replace(cpu=spent / (figure.rate * SECONDS) * 1e6)


def show(rows: Iterable[Row], figures: Mapping[tuple[str, Cell], list[Figure]]) -> None:
    """Print them, with ratios of medians. (`cpu`: of the server, for one request.)"""
    for row in rows:
        ours, theirs = figures.get((row.ours, row.cell)), figures.get((row.theirs, row.cell))
        if ours is None:
            continue
        line = f"{row.cell!s:24} {row.ours:14} {summary(ours)}"
        if theirs is not None:
            ratio = median(ours) / median(theirs)
            verdict = (
                "" if not row.reach else f" (reach {row.reach:g}: {'yes' if ratio >= row.reach else 'NO'})"
            )
            line += f"   {row.theirs:10} {summary(theirs)}   ratio {ratio:5.2f}{verdict}"
        print(line, flush=True)


def median(figures: Iterable[Figure]) -> float:
    return statistics.median(each.rate for each in figures)


def summary(figures: list[Figure]) -> str:
    rates = [each.rate for each in figures]
    p99, cpu = (statistics.median(values) for values in ([f.p99 for f in figures], [f.cpu for f in figures]))
    return f"{median(figures):8.0f}/s [{min(rates):.0f}..{max(rates):.0f}] p99 {p99:.2f} ms cpu {cpu:.0f} us"


@contextlib.contextmanager
def started(starts: Mapping[str, contestants.Start]) -> Iterator[dict[str, Server]]:
    """Those that can be had, warmed."""
    with ExitStack() as stack:
        servers: dict[str, Server] = {}
        for name, start in starts.items():
            try:
                servers[name] = stack.enter_context(start())
            except pytest.skip.Exception as reason:
                print(f"({name}: {reason})")
                continue
            warm = WARM if name == "zookeeper" else 0.5
            # (The first makes the znodes: by the time of the second every worker of a keeper has them.)
            for cell in (
                Cell("set", 1),
                Cell("get", 8, 32),
                Cell("set", 8, 32),
                Cell("get", 8),
                Cell("set", 8),
            ):
                ask(servers[name].address, cell, warm)
        yield servers


def embedded() -> None:
    """Memory and SQLite beside ZooKeeper."""
    starts = {"zookeeper": contestants.zookeeper, "memory": contestants.memory, "sqlite": contestants.sqlite}
    durable = {SET[0], SET[2]}
    cells = dict.fromkeys(GET, ("zookeeper", "memory"))
    cells |= dict.fromkeys(SET, ("zookeeper", "memory", "sqlite"))
    others = [Cell("create", 8, 32), Cell("ephemeral-sequential", 8), Cell("connect", 8)]
    cells |= dict.fromkeys(others, ("zookeeper", "memory"))
    with started(starts) as servers:
        figures = rounds(servers, cells)
    rows = [
        Row(cell, "memory", "zookeeper", reach) for cell, reach in zip(GET, (1.5, 1.1, 0.9, 4), strict=True)
    ]
    rows += [
        Row(cell, "memory", "zookeeper", reach) for cell, reach in zip(SET, (2, 1.2, 0.8, 1), strict=True)
    ]
    rows += [
        Row(cell, "sqlite", "zookeeper", (0.9 if cell is SET[0] else 0.8) if cell in durable else 0)
        for cell in SET
    ]
    rows += [Row(cell, "memory", "zookeeper", 0) for cell in others]
    show(rows, figures)


def workers() -> None:
    """Two processes over etcd beside ZooKeeper."""
    with contestants.etcd() as etcd:
        starts = {
            "zookeeper": contestants.zookeeper,
            "etcd, 2 workers": lambda: contestants.keeper(etcd.url, "--workers", "2"),
        }
        with started(starts) as servers:
            figures = rounds(servers, {GET[2]: starts})
    show([Row(GET[2], "etcd, 2 workers", "zookeeper", 1.1)], figures)


def etcd() -> None:
    """A keeper on etcd beside zetcd on the same etcd."""
    cells = [*GET, *SET]
    with contestants.etcd() as server:
        starts: dict[str, contestants.Start] = {"etcd": lambda: contestants.keeper(server.url)}
        if contestants.has_zetcd():
            starts["zetcd"] = lambda: contestants.zetcd(server)
        with started(starts) as servers:
            figures = rounds(servers, dict.fromkeys(cells, tuple(starts)))
    reach = dict(zip(cells, (4, 4, 4, 4, 1, 2, 4, 0), strict=True))
    show([Row(cell, "etcd", "zetcd", reach[cell]) for cell in cells], figures)


def consul() -> None:
    """A keeper on Consul; nothing is set for it."""
    with (
        contestants.consul() as server,
        started({"consul": lambda: contestants.keeper(server.url)}) as servers,
    ):
        figures = rounds(servers, dict.fromkeys((GET[1], *SET), ("consul",)))
    show([Row(cell, "consul", "", 0) for cell in (GET[1], *SET)], figures)


STAGES = {
    "embedded": embedded,
    "workers": workers,
    "etcd": etcd,
    "consul": consul,
    "light": light.run,
    "fanout": light.fan_out,
    "size": size.run,
    "growth": growth.run,
}


def main() -> None:
    only = os.environ.get("ONLY", "").replace(",", " ").split() or STAGES
    asked_by = "zkload" if zkload() else "parkeeper bench"
    print(
        f"asked by {asked_by}; median of {ROUNDS} rounds of {SECONDS:g} s [least..most]; load {os.getloadavg()}"
    )
    for name in only:
        began = time.perf_counter()
        print(f"\n{name}: {(STAGES[name].__doc__ or '').splitlines()[0]}", flush=True)
        STAGES[name]()
        print(f"({name} took {time.perf_counter() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
