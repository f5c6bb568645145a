"""zxids and revisions."""

import pytest

from parkeeper.tree import zxid

BASE = 7 << 40


def test_of_counts_positions_within_a_revision():
    """4096 to a revision, after the base; the last one is what a replica stands at between commits."""
    assert zxid.of(BASE, 5, 0) == BASE + 20_480
    assert zxid.of(BASE, 5, 3) == BASE + 20_483
    assert zxid.last_of(BASE, 5) == BASE + 24_575
    assert zxid.last_of(BASE, 5) + 1 == zxid.of(BASE, 6, 0)


@pytest.mark.parametrize("position", [0, 1, 4095])
def test_resolve_when_pending(position):
    """A pending zxid is negative and becomes the one of its position."""
    pending = zxid.pending(position)
    assert pending == -1 - position
    assert zxid.resolve(pending, BASE, 5) == zxid.of(BASE, 5, position)


@pytest.mark.parametrize("real", [0, 1, BASE + 9])
def test_resolve_when_real(real):
    """It stays, whatever the revision."""
    assert zxid.resolve(real, BASE, 5) == real


@pytest.mark.parametrize(
    ("number", "revision"), [(BASE, 0), (BASE + 20_480, 5), (BASE + 24_575, 5), (BASE - 1, -1)]
)
def test_revision_of(number, revision):
    """What a client saw before the base belongs to no revision of ours."""
    assert zxid.revision_of(number, BASE) == revision
