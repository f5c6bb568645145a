"""The recent past of the embedded stores."""

from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from parkeeper.errors import Compacted, Cut, WentBack
from parkeeper.store.history import _SLICE_ENTRIES, LAZY, History


def filled(count: int, *, start: int = 0, entries: int = 1000, size: int = 1 << 20) -> History[int]:
    """A history of entries that are their own revision, 10 bytes each."""
    history: History[int] = History(start, entries, size)
    for number in range(count):
        history.append(start + number + 1, 10)
    return history


async def follow_to(history: History[int], after: int, last: int) -> list[int]:
    """What is delivered until `last`."""
    heard: list[int] = []
    with trio.fail_after(5), trio.CancelScope() as scope:

        def deliver(entry: int) -> None:
            heard.append(entry)
            if entry == last:
                scope.cancel()

        await history.follow(after, deliver)
    return heard


async def test_follow_from_the_middle() -> None:
    """Exactly what comes after the position, though it takes many slices."""
    assert await follow_to(filled(500, start=100), 250, 600) == list(range(251, 601))


@pytest.mark.parametrize(("entries", "size"), [(10, 1 << 20), (1000, 100)])
async def test_history_is_bounded(entries: int, size: int) -> None:
    """In number and in bytes; what fell out is `Compacted`, what is left can be followed."""
    history = filled(50, entries=entries, size=size)
    assert (history.first, history.last) == (40, 50)
    with pytest.raises(Compacted, match=r"revision 40 is wanted, the oldest kept is 41"):
        await history.follow(39, lambda entry: None)
    assert await follow_to(history, 40, 50) == list(range(41, 51))


async def test_history_keeps_the_newest_however_large() -> None:
    """A follower that stands before it can have it."""
    history = filled(3)
    history.append(4, 2 << 20)
    assert await follow_to(history, 3, 4) == [4]


async def test_compact_forgets_up_to_the_revision() -> None:
    """And no more; a revision to come is no reason to forget it beforehand."""
    history = filled(10)
    history.compact(4)
    assert history.first == 4
    history.compact(99)
    assert history.first == history.last == 10


async def test_follow_when_overtaken() -> None:
    """A follower that is asleep (its stream is late) while the bound passes it is told so, nothing is skipped."""
    history = filled(5, entries=5)
    history.delay = 1000.0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_compacted, history, 2)
        await wait_all_tasks_blocked()
        for revision in range(6, 10):
            history.append(revision, 10)


async def expect_compacted(history: History[int], after: int) -> None:
    with pytest.raises(Compacted):
        await history.follow(after, lambda entry: None)


async def test_follow_when_the_position_never_was() -> None:
    """Who knows of a later revision than there is knows another past."""
    with pytest.raises(WentBack, match="follows revision 6, but the newest is 5"):
        await filled(5).follow(6, lambda entry: None)


async def test_break_off_ends_every_follower() -> None:
    """Those that wait, and those that come later."""
    history = filled(3)

    async def expect_cut() -> None:
        with pytest.raises(Cut, match="closed"):
            await history.follow(3, lambda entry: None)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_cut)
        await wait_all_tasks_blocked()
        history.break_off("closed")
    await expect_cut()


def following(nursery: trio.Nursery, history: History[int], by: object) -> list[tuple[int, float]]:
    """What a follower that begins now hears, and how many seconds from now."""
    heard: list[tuple[int, float]] = []
    start = trio.current_time()
    nursery.start_soon(
        history.follow, 0, lambda entry: heard.append((entry, trio.current_time() - start)), by
    )
    return heard


async def test_delay_is_kept_in_trio_seconds(autojump_clock: MockClock) -> None:
    """Each entry comes that late after it was made; a delay taken away is gone at once."""
    history: History[int] = History(0, 100, 100)
    history.delay = 10.0
    async with trio.open_nursery() as nursery:
        heard = following(nursery, history, None)
        history.append(1, 1)
        await trio.sleep(4)
        history.append(2, 1)
        await trio.sleep(7)
        history.delay = 0.0
        await wait_all_tasks_blocked()
        history.append(3, 1)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert heard == [(1, 10.0), (2, 11.0), (3, 11.0)]


async def test_own_entries_are_told_late_and_together(autojump_clock: MockClock) -> None:
    """A store's own entries cost its follower one wake-up for all of `LAZY`; a stranger's wakes it at once."""
    history: History[int] = History(0, 100, 100)
    me, other = object(), object()
    async with trio.open_nursery() as nursery:
        heard = following(nursery, history, me)
        await wait_all_tasks_blocked()
        history.append(1, 1, me)
        history.append(2, 1, me)
        await wait_all_tasks_blocked()
        assert heard == []
        await trio.sleep(LAZY)
        await wait_all_tasks_blocked()
        assert heard == [(1, pytest.approx(LAZY)), (2, pytest.approx(LAZY))]
        history.append(3, 1, me)
        history.append(4, 1, other)
        await wait_all_tasks_blocked()
        assert [entry for entry, _ in heard] == [1, 2, 3, 4]
        history.append(5, 1)
        await wait_all_tasks_blocked()
        assert heard[-1] == (5, pytest.approx(LAZY))
        nursery.cancel_scope.cancel()


async def test_own_entries_are_not_put_off_again_and_again(autojump_clock: MockClock) -> None:
    """The first of them says when: who writes more often than that is told all the same."""
    history: History[int] = History(0, 100, 100)
    me = object()
    async with trio.open_nursery() as nursery:
        heard = following(nursery, history, me)
        await wait_all_tasks_blocked()
        for entry in range(1, 6):
            history.append(entry, 1, me)
            await trio.sleep(0.6 * LAZY)
        nursery.cancel_scope.cancel()
    assert [entry for entry, _ in heard] == [1, 2, 3, 4]
    assert [when for _, when in heard] == [pytest.approx(part * LAZY) for part in (1, 1, 2.2, 2.2)]


async def test_own_entries_come_when_a_delay_ends(autojump_clock: MockClock) -> None:
    """One that is waited for already is not put off by the next one."""
    history: History[int] = History(0, 100, 100)
    me = object()
    history.delay = LAZY / 4
    async with trio.open_nursery() as nursery:
        heard = following(nursery, history, me)
        history.append(1, 1)
        await wait_all_tasks_blocked()
        history.append(2, 1, me)
        await trio.sleep(LAZY / 2)
        nursery.cancel_scope.cancel()
    assert heard == [(1, pytest.approx(LAZY / 4)), (2, pytest.approx(LAZY / 4))]


async def test_follow_yields_between_slices() -> None:
    """A long replay lets other tasks run in between."""
    history = filled(1000)
    heard: list[int] = []
    seen: list[int] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(history.follow, 0, heard.append)
        while len(heard) < 1000:
            seen.append(len(heard))
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    # (A pass of the scheduler runs the two in any order: at most two slices between two looks.)
    assert max(later - sooner for sooner, later in pairwise([*seen, 1000])) <= 2 * _SLICE_ENTRIES
