"""Readers that sleep through slices: whose turn is called, and when they wake up."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager

import pytest
import trio
import trio.testing

from parkeeper.server import lingering
from parkeeper.server import readiness as readiness_module
from parkeeper.server.readiness import MANY, MOST, Readiness

pytestmark = pytest.mark.skipif(not Readiness.available, reason="this system has no epoll")

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pairs() -> Iterator[Callable[[], Pair]]:
    """Makes connected sockets: ours and the peer's."""
    with ExitStack() as stack:

        def make() -> Pair:
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            stack.enter_context(ours)
            stack.enter_context(theirs)
            return ours, theirs

        yield make


@asynccontextmanager
async def running(readiness: Readiness | None = None) -> AsyncIterator[tuple[Readiness, trio.Nursery]]:
    """One that runs, and a nursery for readers."""
    readiness = Readiness() if readiness is None else readiness
    async with trio.open_nursery() as nursery:
        nursery.start_soon(readiness.run)
        yield readiness, nursery
        nursery.cancel_scope.cancel()


async def test_a_reader_sleeps_until_its_turn_says_otherwise(pairs):
    """Each arrival is a turn, and the one that returns False wakes the reader."""
    ours, theirs = pairs()
    got: list[bytes] = []

    def turn() -> bool:
        got.append(ours.recv(10))
        return got[-1] != b"end"

    woken = False

    async def reader(readiness: Readiness) -> None:
        nonlocal woken
        await readiness.park(ours.fileno(), turn)
        woken = True

    async with running() as (readiness, nursery):
        nursery.start_soon(reader, readiness)
        for word in (b"one", b"two"):
            theirs.sendall(word)
            await trio.testing.wait_all_tasks_blocked()
            assert (got[-1], woken, len(readiness)) == (word, False, 1)
        theirs.sendall(b"end")
        await trio.testing.wait_all_tasks_blocked()
        assert (woken, len(readiness)) == (True, 0)
        theirs.sendall(b"unread")
        await trio.testing.wait_all_tasks_blocked()
        assert got == [b"one", b"two", b"end"]
        await readiness.park(ours.fileno(), lambda: not ours.recv(10))
        assert len(readiness) == 0


async def test_a_turn_that_leaves_bytes_has_another(pairs):
    """Nothing that came is forgotten because a turn took less than there was."""
    ours, theirs = pairs()
    got: list[bytes] = []

    def turn() -> bool:
        got.append(ours.recv(2))
        return len(got) < 3

    async with running() as (readiness, _):
        theirs.sendall(b"aabbcc")
        await readiness.park(ours.fileno(), turn)
        assert got == [b"aa", b"bb", b"cc"]


async def test_what_a_turn_raises_is_raised_where_it_was_parked(pairs):
    """A bug met in one reader's turn is that reader's, and no other's."""
    (bad, bad_peer), (good, good_peer) = pairs(), pairs()

    def broken() -> bool:
        raise ZeroDivisionError

    async with running() as (readiness, nursery):
        nursery.start_soon(readiness.park, good.fileno(), lambda: bool(good.recv(10)))
        bad_peer.sendall(b"x")
        with pytest.raises(ZeroDivisionError):
            await readiness.park(bad.fileno(), broken)
        good_peer.sendall(b"x")
        await trio.testing.wait_all_tasks_blocked()
        assert len(readiness) == 1


async def test_a_cancelled_reader_has_no_turn_any_more(pairs):
    """Also when it is cancelled by a turn of the same round, or by its own."""
    (one, one_peer), (two, two_peer) = pairs(), pairs()
    turns: list[str] = []
    scopes = {"one": trio.CancelScope(), "two": trio.CancelScope()}

    async def reader(readiness: Readiness, name: str, sock: socket.socket) -> None:
        def turn() -> bool:
            turns.append(name)
            sock.recv(10)
            for scope in scopes.values():
                scope.cancel()
            return True

        with scopes[name]:
            await readiness.park(sock.fileno(), turn)

    async with running() as (readiness, nursery):
        nursery.start_soon(reader, readiness, "one", one)
        nursery.start_soon(reader, readiness, "two", two)
        await trio.testing.wait_all_tasks_blocked()
        one_peer.sendall(b"x")
        two_peer.sendall(b"x")
        await trio.testing.wait_all_tasks_blocked()
        assert len(turns) == 1
        assert len(readiness) == 0


async def test_a_peer_that_hangs_up_is_a_turn(pairs):
    """The end of the stream is read like anything else; unread, while the reader is busy, it costs nothing."""
    ours, theirs = pairs()
    async with running() as (readiness, _):
        theirs.close()
        await trio.testing.wait_all_tasks_blocked()
        heard: list[bytes] = []

        def turn() -> bool:
            heard.append(ours.recv(10))
            return False

        await readiness.park(ours.fileno(), turn)
        assert heard == [b""]
        await trio.testing.wait_all_tasks_blocked()  # would never come, were it still watched


async def test_nobody_starves(pairs):
    """With more readable sockets than a round takes, all of which stay readable, everyone has as many turns."""
    many = MOST + 20
    sockets = [pairs() for _ in range(many)]
    turns = dict.fromkeys(range(many), 0)
    done = trio.Event()

    def turn_of(place: int) -> Callable[[], bool]:
        def turn() -> bool:
            turns[place] += 1
            if sum(turns.values()) == 10 * many:
                done.set()
            return True

        return turn

    async with running() as (readiness, nursery):
        for place, (ours, theirs) in enumerate(sockets):
            theirs.sendall(b"x")
            nursery.start_soon(readiness.park, ours.fileno(), turn_of(place))
        await done.wait()
    assert max(turns.values()) - min(turns.values()) <= 2


async def test_the_end_of_it_harms_no_reader(pairs):
    """Where it ends before its readers do, those that sleep, and one that comes too late, sleep until they are cancelled."""
    (one, one_peer), (late, late_peer) = pairs(), pairs()
    turns: list[str] = []
    async with trio.open_nursery() as readers:
        async with running() as (readiness, _):
            readers.start_soon(readiness.park, one.fileno(), lambda: bool(turns.append("one")))
            await trio.testing.wait_all_tasks_blocked()
        readers.start_soon(readiness.park, late.fileno(), lambda: bool(turns.append("late")))
        one_peer.sendall(b"x")
        late_peer.sendall(b"x")
        await trio.testing.wait_all_tasks_blocked()
        readers.cancel_scope.cancel()
    assert turns == []
    assert len(readiness) == 0


async def test_a_look_gives_everybody_a_turn(pairs):
    """Whoever closes sessions has to know what lies in their sockets, however many they are."""
    many = MOST + 20
    turns: list[int] = []
    async with trio.open_nursery() as nursery:
        readiness = Readiness()  # that does not run
        for place in range(many):
            ours, theirs = pairs()
            theirs.sendall(b"x")
            nursery.start_soon(readiness.park, ours.fileno(), lambda place=place: not turns.append(place))
        await trio.testing.wait_all_tasks_blocked()
        readiness.look()
        assert sorted(turns) == list(range(many))
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("busy", [MANY - 1, MANY])
async def test_who_comes_during_a_round_of_many_is_in_it(pairs, monkeypatch, busy: int) -> None:
    """What they write goes into the same commit; where few are busy nobody looks."""
    monkeypatch.setattr(readiness_module, "LATEST", 20.0)
    around = Around()
    sockets = [pairs() for _ in range(busy)]
    (late, late_peer), turns = pairs(), list[tuple[str, int]]()
    over = trio.Event()

    def turn_of(ours: socket.socket) -> Callable[[], bool]:
        def turn() -> bool:
            ours.recv(1)
            turns.append(("early", around.begun))
            if len(turns) == busy:
                late_peer.sendall(b"x")
            return True

        return turn

    def late_turn() -> bool:
        late.recv(1)
        turns.append(("late", around.begun))
        over.set()
        return True

    async with running(around.readiness) as (readiness, nursery):
        for ours, _ in sockets:
            nursery.start_soon(readiness.park, ours.fileno(), turn_of(ours))
        nursery.start_soon(readiness.park, late.fileno(), late_turn)
        await trio.testing.wait_all_tasks_blocked()
        for _, theirs in sockets:
            theirs.sendall(b"x")
        await over.wait()
    assert turns == [("early", 1)] * busy + [("late", 1 if busy == MANY else 2)]


@pytest.mark.parametrize(("latest", "turns"), [(20.0, MOST), (0.0, MANY + 1)], ids=["in turns", "in time"])
async def test_a_round_has_an_end(pairs, monkeypatch: pytest.MonkeyPatch, latest: float, turns: int) -> None:
    """However many come while it runs."""
    monkeypatch.setattr(readiness_module, "LATEST", latest)
    around = Around()
    rounds: list[int] = []
    over = trio.Event()

    def turn() -> bool:  # the bytes stay: it is ready again at once
        rounds.append(around.begun)
        if len(rounds) == 3 * MOST:
            over.set()
        return True

    async with running(around.readiness) as (readiness, nursery):
        for _ in range(MANY + 1):
            ours, theirs = pairs()
            theirs.sendall(b"x")
            nursery.start_soon(readiness.park, ours.fileno(), turn)
        await over.wait()
    assert [rounds.count(number) for number in (1, 2)] == [turns, turns]


# --- lingering ------------------------------------------------------------------------------------------------


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Moments as long as can be; for each wait for the kernel, its descriptor."""
    waits: list[int] = []
    wait_readable = trio.lowlevel.wait_readable

    async def watched(descriptor: int) -> None:
        waits.append(descriptor)
        await wait_readable(descriptor)

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


class Around:
    """What is called around rounds: counts them, and says whether another one may follow."""

    def __init__(self, may_follow: Callable[[int], bool] = lambda _: True) -> None:
        self.begun = self.ended = 0
        self._may_follow = may_follow
        self.readiness = Readiness(self._begins, self._ends)

    def _begins(self) -> None:
        assert self.begun == self.ended
        self.begun += 1

    def _ends(self) -> bool:
        self.ended += 1
        assert self.begun == self.ended
        return self._may_follow(self.ended)


@pytest.mark.parametrize(
    ("longest", "may_follow", "waits"),
    [
        (20.0, lambda _: True, range(1, 3)),
        (0.0, lambda _: True, range(20, 30)),
        (20.0, lambda _: False, range(50, 60)),
        (20.0, lambda ended: ended == 1, range(45, 60)),
    ],
    ids=["follow", "not for long", "something is under way", "something is under way after the second"],
)
async def test_rounds_follow_each_other_while_somebody_comes_soon(
    pairs, patient, monkeypatch, longest: float, may_follow, waits: range
) -> None:
    """Without a wait between them; for no longer than is good for the others, and not where those are needed."""
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
    assert len(patient) in waits
    assert around.ended >= 51


class Idle(trio.abc.Instrument):
    """Calls something whenever the scheduler goes to sleep, so often, then something else. No task is woken for it."""

    def __init__(self, call: Callable[[], object], times: int, then: Callable[[], object]) -> None:
        self._calls = [then] + [call] * times

    def before_io_wait(self, timeout: float) -> None:
        if timeout > 0 and self._calls:
            self._calls.pop()()


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


async def test_no_moment_for_a_connection_that_has_left(pairs, patient) -> None:
    """Nobody is there who could come."""
    ours, theirs = pairs()
    async with running(Around().readiness) as (readiness, _):
        theirs.sendall(b"x")
        begun = trio.current_time()
        await readiness.park(ours.fileno(), lambda: not ours.recv(1))
        assert trio.current_time() - begun < lingering.WINDOW / 4


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


async def test_wakings_are_counted_as_long_as_it_runs(pairs) -> None:
    """Then its instrument is gone."""
    readiness = Readiness()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(readiness.run)
        await trio.testing.wait_all_tasks_blocked()
        before = readiness._wakings.count
        await trio.lowlevel.checkpoint()
        assert readiness._wakings.count > before
        nursery.cancel_scope.cancel()
    before = readiness._wakings.count
    await trio.lowlevel.checkpoint()
    assert readiness._wakings.count == before
