"""Deadlines in buckets."""

from hypothesis import given, settings
from hypothesis import strategies as st

from parkeeper.tree.expiry import ExpiryQueue


def test_expired_when_the_deadline_lies_between_ticks():
    """Never before the deadline, and at the next whole tick."""
    queue = ExpiryQueue(2.0)
    queue.touch(1, 10.5)
    assert queue.next == 12.0
    assert queue.expired(11.9) == []
    assert queue.expired(12.0) == [1]
    assert queue.expired(100.0) == []
    assert queue.next is None


def test_expired_when_the_deadline_is_a_whole_tick():
    """A whole tick more, as ExpiryQueue.roundToNextInterval."""
    queue = ExpiryQueue(2.0)
    queue.touch(1, 10.0)
    assert queue.expired(11.9) == []
    assert queue.expired(12.0) == [1]


def test_touch_when_the_deadline_moves():
    """Only the last one counts, later or earlier."""
    queue = ExpiryQueue(1.0)
    queue.touch(1, 10.0)
    queue.touch(1, 20.0)
    queue.touch(2, 20.0)
    queue.touch(2, 10.0)
    assert queue.expired(15.0) == [2]
    assert queue.expired(25.0) == [1]


def test_remove_when_it_is_there_or_not():
    """A removed id does not expire; an unknown one is no error."""
    queue = ExpiryQueue(1.0)
    queue.touch(1, 10.0)
    queue.remove(1)
    queue.remove(1)
    assert 1 not in queue
    assert len(queue) == 0
    assert queue.next is None
    assert queue.expired(100.0) == []


def test_shift_when_nobody_could_touch():
    """Every deadline moves, those touched afterwards are measured from then."""
    queue = ExpiryQueue(1.0)
    queue.touch(1, 10.0)
    queue.shift(5.0)
    queue.touch(2, 10.0)
    assert queue.next == 11.0
    assert queue.expired(11.0) == [2]
    assert queue.expired(15.9) == []
    assert queue.expired(16.0) == [1]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([0.25, 1.0, 3.0]),
    st.lists(st.tuples(st.sampled_from("trse"), st.integers(0, 4), st.integers(0, 240)), max_size=50),
)
def test_queue_when_compared_with_a_dict_of_deadlines(tick, steps):
    """After any steps: nothing before its deadline, everything one tick after it, and `next` never too late."""
    queue, deadlines, now = ExpiryQueue(tick), dict[int, float](), 0.0
    for step, id, amount in steps:
        if step == "t":
            deadlines[id] = now + amount / 8
            queue.touch(id, deadlines[id])
        elif step == "r":
            deadlines.pop(id, None)
            queue.remove(id)
        elif step == "s":
            now += amount / 16
            queue.shift(amount / 16)
            deadlines = {each: deadline + amount / 16 for each, deadline in deadlines.items()}
        else:
            now += amount / 16
            gone = queue.expired(now)
            assert all(deadlines[each] <= now for each in gone)
            for each in gone:
                del deadlines[each]
            assert all(deadline + tick > now for deadline in deadlines.values())
        assert len(queue) == len(deadlines)
        assert (queue.next is None) == (not deadlines)
        if queue.next is not None:
            assert queue.next <= min(deadlines.values()) + tick
