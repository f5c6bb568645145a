"""How often an idle moment is spent looking for the next request."""

from __future__ import annotations

from parkeeper.server.lingering import FEWEST_ROUNDS, MOST_ROUNDS, Lingering


def rounds_without(lingering: Lingering) -> int:
    """Until it is due again."""
    count = 0
    while not lingering.after_round():
        count += 1
    return count


def test_in_vain_is_followed_by_rounds_without() -> None:
    """Twice as many each time, up to a bound: an idle server spends next to nothing."""
    lingering = Lingering()
    seen: list[int] = []
    for _ in range(12):
        assert lingering.after_round()
        lingering.brought(False)
        seen.append(rounds_without(lingering))
    assert seen[:4] == [8, 16, 32, 64]
    assert seen[-2:] == [MOST_ROUNDS] * 2 == [1024, 1024]


def test_success_brings_it_back() -> None:
    """It goes on, and after a while one in vain counts as little as the first."""
    lingering = Lingering()
    for _ in range(12):
        lingering.brought(False)
        rounds_without(lingering)
    for _ in range(3):
        lingering.brought(True)
        assert lingering.after_round()
    lingering.brought(False)
    assert rounds_without(lingering) == MOST_ROUNDS // 8
    for _ in range(20):
        lingering.brought(True)
    lingering.brought(False)
    assert rounds_without(lingering) == FEWEST_ROUNDS
