"""Adding up, percentiles, and saying so when the generator measured itself."""

from __future__ import annotations

import pytest

from parkeeper.cli.bench.figures import Tally, result, share_within
from parkeeper.cli.bench.load import Load, Work

LOAD = Load("127.0.0.1", 1, Work.GET, "/b", 7, 0, 1, 0, 1.0, 4)


def test_percentiles_are_exact_when_latencies_are_known() -> None:
    """Of 1 to 1000 us: half within 500, 99 % within 990."""
    laps = dict.fromkeys(range(1, 1001), 1)
    assert [share_within(laps, share) for share in (0.5, 0.99, 0.999, 1.0)] == [500, 990, 999, 1000]
    assert share_within({}, 0.5) == 0


def test_laps_keep_their_microsecond_below_ten_ms_and_a_tenth_of_a_ms_above() -> None:
    """So that hours of measuring need little memory."""
    tally = Tally()
    tally.note((0.000_123_4, 0.000_123_9, 0.012_345, 1.5))
    assert tally.laps == {123: 2, 12_300: 1, 1_500_000: 1}


def test_processes_add_up_when_several_asked() -> None:
    """Rates and counts are summed, the longest time and the busiest process are named."""
    one = Tally(done=100, errors=1, elapsed=1.0, busy=0.2, laps={100: 100})
    two = Tally(done=300, errors=0, elapsed=2.0, busy=0.8, laps={200: 300})
    outcome = result([one, two])
    assert (outcome.done, outcome.errors, outcome.seconds, outcome.rate) == (400, 1, 2.0, 250.0)
    assert (outcome.p50, outcome.busiest) == (0.2, 0.4)


def test_no_figure_is_given_when_a_process_took_more_than_nine_tenths_of_a_processor() -> None:
    """Then it says why, in the text and in JSON."""
    outcome = result(
        [Tally(done=100, elapsed=1.0, busy=0.95, laps={10: 100}), Tally(done=1, elapsed=1.0, busy=0.1)]
    )
    assert (outcome.rate, outcome.p50, outcome.own_rate) == (None, None, 101.0)
    assert "the load generator itself was the bottleneck (95% of a processor" in outcome.text(LOAD)
    assert "ops/s" not in outcome.text(LOAD)
    assert outcome.to_fields(LOAD, 2)["rate"] is None


@pytest.mark.parametrize(
    ("processes", "expected"), [(1, [(7, 0)]), (3, [(3, 0), (2, 3), (2, 5)]), (9, [(1, i) for i in range(7)])]
)
def test_connections_are_shared_out_when_there_are_several_processes(
    processes: int, expected: list[tuple[int, int]]
) -> None:
    """As equally as can be, each connection once, no process without one."""
    assert [(part.connections, part.first) for part in LOAD.split(processes)] == expected
