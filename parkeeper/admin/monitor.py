"""The word mntr: `zk_<key>`, a tab, a value (MonitorCommand). The names are ZooKeeper's, so that what graphs it stays.

What ZooKeeper prints and parkeeper has no such thing of (proposals, snapshots, a commit processor's queues) is left
out, not filled with zeros. What only parkeeper has begins with `zk_parkeeper_`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from parkeeper.admin.status import Monitor, Spread, Status
from parkeeper.wire.opcodes import OPERATIONS

Value = int | float | str


def mntr(status: Status) -> bytes:
    """All figures."""
    return "".join(f"zk_{key}\t{value}\n" for key, value in _values(status)).encode()


def _values(status: Status) -> Iterator[tuple[str, Value]]:
    server, monitor = status.server(), status.monitor()
    yield "version", server.version
    yield "server_state", server.mode
    yield "avg_latency", round(server.latency.average, 4)
    yield "max_latency", int(server.latency.most)
    yield "min_latency", int(server.latency.least)
    yield "packets_received", server.received
    yield "packets_sent", server.sent
    yield from _gauges(monitor)
    yield from monitor.counters.items()
    yield from _operations(monitor)
    for name, spread in monitor.spreads.items():
        yield from _spread(name, spread)


def _gauges(monitor: Monitor) -> Iterator[tuple[str, Value]]:
    for field in fields(monitor.gauges):
        value: int | None = getattr(monitor.gauges, field.name)
        if value is not None:
            yield field.name, value + 1 if field.name == "znode_count" else value


def _operations(monitor: Monitor) -> Iterator[tuple[str, Value]]:
    """Several opcodes may share a name (getChildren and getChildren2)."""
    counts: dict[str, int] = {}
    for op, count in monitor.ops.items():
        operation = OPERATIONS.get(op)
        if operation is not None and operation.counter is not None:
            counts[operation.counter] = counts.get(operation.counter, 0) + count
    yield "op_count_total", sum(counts.values())
    for name in sorted(counts):
        yield f"op_count_{name}", counts[name]


def _spread(name: str, spread: Spread) -> Iterator[tuple[str, Value]]:
    yield f"avg_{name}", round(spread.average, 4)
    yield f"min_{name}", int(spread.least)
    yield f"max_{name}", int(spread.most)
    yield f"cnt_{name}", spread.count
    yield f"sum_{name}", int(spread.total)
    for quantile, value in spread.quantiles:
        yield f"{quantile}_{name}", int(value)
