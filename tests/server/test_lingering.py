"""How often an idle moment is spent looking for the next request."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest
import trio
import trio.testing

from parkeeper.server import lingering
from parkeeper.server.lingering import FEWEST_ROUNDS, MOST_ROUNDS, Lingering
from parkeeper.server.readiness import Readiness
from tests.server.parking import Around, running

needs_epoll = pytest.mark.skipif(not Readiness.available, reason="this system has no epoll")


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


# --- as `Readiness` does it ------------------------------------------------------------------------------------


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Moments as long as can be; for each pass of the scheduler, the descriptor that is waited for, -1 for none."""
    waits: list[int] = []
    wait_readable, checkpoint = trio.lowlevel.wait_readable, trio.lowlevel.checkpoint

    async def watched(descriptor: int) -> None:
        waits.append(descriptor)
        await wait_readable(descriptor)

    async def passed() -> None:
        waits.append(-1)
        await checkpoint()

    monkeypatch.setattr(trio.lowlevel, "checkpoint", passed)
    monkeypatch.setattr(lingering, "WINDOW", 20.0)
    monkeypatch.setattr(lingering, "LONGEST", 20.0)
    monkeypatch.setattr(trio.lowlevel, "wait_readable", watched)
    return waits


def ask(peer: socket.socket, times: int) -> None:
    """A client, on a thread, that waits for each answer."""
    for _ in range(times):
        peer.sendall(b"?")
        peer.recv(1)
    peer.sendall(b".")


@needs_epoll
@pytest.mark.parametrize(
    ("longest", "may_follow", "waits", "passes"),
    [
        (20.0, lambda _: True, range(1, 4), range(3)),
        (0.0, lambda _: True, range(1, 6), range(45, 60)),
        (20.0, lambda _: False, range(50, 60), range(3)),
        (20.0, lambda ended: ended == 1, range(45, 60), range(3)),
    ],
    ids=["follow", "not for long", "something is under way", "something is under way after the second"],
)
async def test_rounds_follow_each_other_while_somebody_comes_soon(
    pairs, patient, monkeypatch, longest: float, may_follow, waits: range, passes: range
) -> None:
    """Without a wait between them; with a pass where others may have waited long, and not where those are needed."""
    monkeypatch.setattr(lingering, "LONGEST", longest)
    ours, theirs = pairs()
    asked: list[bytes] = []
    around = Around(may_follow)

    def turn() -> bool:
        assert around.begun == around.ended + 1
        asked.append(ours.recv(1))
        if asked[-1] == b".":
            return False
        ours.sendall(b"!")
        return True

    client = threading.Thread(target=ask, args=(theirs, 50))
    async with running(around.readiness) as (readiness, _):
        client.start()
        await readiness.park(ours.fileno(), turn)
    client.join()
    assert asked == [b"?"] * 50 + [b"."]
    assert len(patient) - patient.count(-1) in waits
    assert patient.count(-1) in passes
    assert around.ended >= 51


@needs_epoll
async def test_others_have_their_turn_between_rounds_that_go_on(pairs, patient, monkeypatch) -> None:
    """Somebody is there all the time; who waits for a socket of its own is not kept waiting for the end.

    Twenty wait, and when their sockets are ready, lingering is for long: who was woken by the pass of the scheduler that
    is made for them has its turn in it, whichever task is the first there.
    """
    monkeypatch.setattr(lingering, "LONGEST", 0.0)
    ours, theirs = pairs()
    others = [pairs() for _ in range(20)]
    asked: list[bytes] = []
    then: list[int] = []

    def turn() -> bool:
        asked.append(ours.recv(1))
        if len(asked) == 10:
            monkeypatch.setattr(lingering, "LONGEST", 20.0)
            for _, end in others:
                end.send(b".")
        if asked[-1] == b".":
            return False
        ours.sendall(b"!")
        return True

    async def other(over: socket.socket) -> None:
        await trio.lowlevel.wait_readable(over)
        then.append(len(asked))

    client = threading.Thread(target=ask, args=(theirs, 50))
    async with running(Around().readiness) as (readiness, nursery):
        for over, _ in others:
            nursery.start_soon(other, over)
        client.start()
        await readiness.park(ours.fileno(), turn)
    client.join()
    assert len(then) == len(others)
    assert max(then) < 14


class Idle(trio.abc.Instrument):
    """Calls something whenever the scheduler goes to sleep, so often, then something else. No task is woken for it."""

    def __init__(self, call: Callable[[], object], times: int, then: Callable[[], object]) -> None:
        self._calls = [then] + [call] * times

    def before_io_wait(self, timeout: float) -> None:
        if timeout > 0 and self._calls:
            self._calls.pop()()


@needs_epoll
async def test_moments_in_vain_become_rare(pairs, patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came of them is said to whoever decides, and heeded."""
    monkeypatch.setattr(lingering, "WINDOW", 0.0)
    ours, theirs = pairs()
    over, end = pairs()
    idle = Idle(lambda: theirs.send(b"x"), 2 * lingering.FEWEST_ROUNDS, lambda: end.send(b"."))
    async with running(Around().readiness) as (readiness, nursery):
        nursery.start_soon(readiness.park, ours.fileno(), lambda: bool(ours.recv(1)))
        await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.add_instrument(idle)
        await trio.lowlevel.wait_readable(over)
        trio.lowlevel.remove_instrument(idle)
    # None after the first round (this task was woken before it), after the second one in vain, 8 without, another one in
    # vain, and 5 of 16 without.
    assert (readiness._lingering._pause, readiness._lingering._rounds) == (32, 11)


@needs_epoll
async def test_no_moment_for_a_connection_that_has_left(pairs, patient) -> None:
    """Nobody is there who could come."""
    ours, theirs = pairs()
    async with running(Around().readiness) as (readiness, _):
        theirs.sendall(b"x")
        begun = trio.current_time()
        await readiness.park(ours.fileno(), lambda: not ours.recv(1))
        assert trio.current_time() - begun < lingering.WINDOW / 4


@needs_epoll
async def test_no_moment_while_a_task_waits_for_its_turn(pairs, patient) -> None:
    """What a turn has set going goes on at once."""
    ours, theirs = pairs()
    come = trio.Event()

    def turn() -> bool:
        ours.recv(1)
        come.set()
        return True

    async with running(Around().readiness) as (readiness, nursery):
        nursery.start_soon(readiness.park, ours.fileno(), turn)
        begun = trio.current_time()
        theirs.sendall(b"x")
        await come.wait()
        assert trio.current_time() - begun < lingering.WINDOW / 4


@needs_epoll
async def test_no_moment_where_a_task_was_woken_before(pairs, patient) -> None:
    """By others, in the same pass of the scheduler: it has its turn first."""
    (ours, theirs), (over, end) = pairs(), pairs()
    around = Around()

    def wake() -> None:
        theirs.send(b"x")
        end.send(b".")

    idle = Idle(lambda: None, 0, wake)
    async with running(around.readiness) as (readiness, nursery):
        nursery.start_soon(readiness.park, ours.fileno(), lambda: bool(ours.recv(1)))
        await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.add_instrument(idle)
        begun = trio.current_time()
        await trio.lowlevel.wait_readable(over)
        trio.lowlevel.remove_instrument(idle)
        await trio.testing.wait_all_tasks_blocked()
        assert around.ended == 1
        assert trio.current_time() - begun < lingering.WINDOW / 4


@needs_epoll
@pytest.mark.parametrize("may_follow", [True, False])
async def test_wakings_are_counted_where_rounds_may_follow(pairs, may_follow: bool) -> None:
    """From the first round on that may, until it ends; over a store with a network they cost every task something."""
    ours, theirs = pairs()
    around = Around(lambda _: may_follow)
    wakings = around.readiness._wakings
    async with running(around.readiness) as (readiness, nursery):
        nursery.start_soon(readiness.park, ours.fileno(), lambda: bool(ours.recv(10)))
        await trio.testing.wait_all_tasks_blocked()
        assert wakings.count == 0
        theirs.sendall(b"?")
        while not around.ended:
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        before = wakings.count
        await trio.lowlevel.checkpoint()
        assert (wakings.count > before) is may_follow
    before = wakings.count
    await trio.lowlevel.checkpoint()
    assert wakings.count == before
