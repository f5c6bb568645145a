"""A session's record: after a claim, after a mark, and that no two values are alike."""

from parkeeper.tree.encoding import encode_session
from parkeeper.tree.sessions import Session


def test_claimed_and_marked():
    """A claim moves owner, timeout and count; a mark only says closing. Both await their revision."""
    record = Session(4_000, 1, 77, False, 0, 5)
    claimed = record.claimed(2, 9_000)
    marked = claimed.marked()
    fields = [
        (each.timeout, each.owner, each.created, each.closing, each.claims, each.rev)
        for each in (record, claimed, marked)
    ]
    assert fields == [
        (4_000, 1, 77, False, 0, 5), (9_000, 2, 77, False, 1, -1), (9_000, 2, 77, True, 1, -1),
    ]  # fmt: skip


def test_values_are_never_alike():
    """Claimed again by the same keeper with the same timeout, it is another value: its revision must move."""
    record = Session(4_000, 1, 77, False, 0, 5)
    values = [encode_session(record)]
    for _ in range(3):
        record = record.claimed(1, 4_000)
        values.append(encode_session(record))
    values.append(encode_session(record.marked()))
    assert len(set(values)) == 5


def test_settle():
    """Once."""
    record = Session(4_000, 1, 77, False, 0, -1)
    record.settle(8)
    record.settle(9)
    assert record.rev == 8
