"""What was counted, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from parkeeper.cli.bench.load import Load

SATURATED: Final = 0.9
"""Share of one processor above which a process that asks measures itself, not the server."""

_FINE: Final = 10_000
"""Microseconds below which each has its own count; above, each hundred has."""


@dataclass(slots=True)
class Tally:
    """What one process counted.

    Args:
        done: requests answered, refused ones included.
        errors: of those, refused; and connections lost.
        elapsed: seconds from the first request to the last reply.
        busy: seconds of CPU it took itself.
        laps: microseconds -> how many requests took so long (rounded down to 100 us above 10 ms).
    """

    done: int = 0
    errors: int = 0
    elapsed: float = 0.0
    busy: float = 0.0
    laps: dict[int, int] = field(default_factory=dict[int, int])

    def note(self, seconds: Iterable[float]) -> None:
        """Count how long requests took."""
        laps = self.laps
        for each in seconds:
            lap = int(each * 1e6)
            if lap >= _FINE:
                lap -= lap % 100
            laps[lap] = laps.get(lap, 0) + 1


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a benchmark.

    Attributes:
        rate: requests a second; None when one of the asking processes was the bottleneck.
        own_rate: the same, whatever it tells of.
        busiest: share of one processor that the busiest asking process took.
        p50, p99, p999: ms that half, 99 % and 99.9 % of the requests took at most; None with `rate`.
    """

    done: int
    errors: int
    seconds: float
    rate: float | None
    own_rate: float
    busiest: float
    p50: float | None
    p99: float | None
    p999: float | None

    def to_fields(self, load: Load, processes: int) -> dict[str, object]:
        """For JSON: what was asked for, and what came of it."""
        asked: dict[str, object] = {
            "op": str(load.work),
            "connections": load.connections,
            "depth": load.depth,
            "size": load.size,
            "processes": processes,
        }
        return asked | asdict(self)

    def text(self, load: Load) -> str:
        """A line or two for people."""
        asked = f"{load.work} connections={load.connections} depth={load.depth}"
        if self.rate is None:
            return (
                f"{asked}: no figure: the load generator itself was the bottleneck ({self.busiest:.0%} of a processor,"
                f" {self.own_rate:.0f} requests/s). Give it more --processes, or let it ask for less."
            )
        errors = f" errors={self.errors}" if self.errors else ""
        return (
            f"{asked} ops/s={self.rate:.0f} p50ms={self.p50:.3f} p99ms={self.p99:.3f} p999ms={self.p999:.3f}"
            f" done={self.done}{errors} own-cpu={self.busiest:.0%}"
        )


def result(tallies: Sequence[Tally]) -> Result:
    """Of several processes that asked at the same time."""
    laps: dict[int, int] = {}
    for tally in tallies:
        for lap, many in tally.laps.items():
            laps[lap] = laps.get(lap, 0) + many
    done = sum(each.done for each in tallies)
    rate = sum(each.done / each.elapsed for each in tallies if each.elapsed)
    busiest = max((each.busy / each.elapsed for each in tallies if each.elapsed), default=0.0)
    honest = busiest <= SATURATED
    p50, p99, p999 = (share_within(laps, share) / 1000 if honest else None for share in (0.5, 0.99, 0.999))
    return Result(
        done=done,
        errors=sum(each.errors for each in tallies),
        seconds=max((each.elapsed for each in tallies), default=0.0),
        rate=rate if honest else None,
        own_rate=rate,
        busiest=busiest,
        p50=p50,
        p99=p99,
        p999=p999,
    )


def share_within(laps: dict[int, int], share: float) -> int:
    """The least number of microseconds within which this share of the requests were answered; 0 if there were none."""
    left = share * sum(laps.values())
    for lap in sorted(laps):
        left -= laps[lap]
        if left <= 0:
            return lap
    return 0
