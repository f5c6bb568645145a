"""What must still be in the store after a break of the stream (the breaks themselves: test_faults.py)."""

from __future__ import annotations

import pytest

from parkeeper.server.follower import missing
from parkeeper.store.facade import Head, Survey

HEADS = {1: (Head(7, 3, 5), 40), 2: (Head(9, 1, 1), 30)}


def survey(**changes: tuple[Head, int] | None) -> Survey:
    """All that was known, but for some heads, named h1 and h2."""
    heads = dict(HEADS)
    for name, value in changes.items():
        if value is None:
            del heads[int(name[1:])]
        else:
            heads[int(name[1:])] = value
    return Survey(heads, {1: (b"beat", 41)})


def test_nothing_is_missing_when_all_is_as_known_or_newer() -> None:
    """A later commit of the same incarnation, or of another one under that id, is no going back."""
    assert missing(survey(), HEADS, 1, 41) == ""
    assert missing(survey(h1=(Head(7, 4, 6), 50)), HEADS, 1, 41) == ""
    assert missing(survey(), HEADS, 0, 0) == ""


@pytest.mark.parametrize(
    "changed",
    [None, (Head(7, 2, 4), 39), (Head(7, 3, 5), 39), (Head(7, 3, 6), 40), (Head(7, 3, 9), 45)],
    ids=["gone", "earlier commit", "earlier revision", "another commit there", "same count later"],
)
def test_a_head_that_went_back_is_told(changed: tuple[Head, int] | None) -> None:
    """Same revision and identity, or a higher revision with a higher counter; nothing else."""
    assert "keeper 1" in missing(survey(h1=changed), HEADS, 1, 41)


def test_a_beat_that_is_gone_is_told() -> None:
    """Our own last acknowledged beat proves that we were not declared dead."""
    assert "beat" in missing(survey(), HEADS, 1, 42)
    assert "beat" in missing(survey(), HEADS, 3, 41)
