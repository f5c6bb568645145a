"""Readers that sleep through slices: whose turn is called, and when they wake up."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import pytest
import trio
import trio.testing

from parkeeper.server import lingering
from parkeeper.server import readiness as readiness_module
from parkeeper.server.lingering import GLANCE, MOST_GLANCES
from parkeeper.server.readiness import MANY, MOST, Readiness
from tests.server.parking import Around, running

pytestmark = pytest.mark.skipif(not Readiness.available, reason="this system has no epoll")


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


# --- glances ----------------------------------------------------------------------------------------------------


async def test_a_glance_gives_those_a_turn_who_ask_within_a_moment(pairs, monkeypatch: pytest.MonkeyPatch):
    """Those who have asked, and those who do while it looks; nobody else runs meanwhile."""
    monkeypatch.setattr(lingering, "GLANCE", 20.0)
    ours, theirs = pairs()
    got: list[bytes] = []
    around = Around()
    async with running(around.readiness) as (readiness, nursery):
        nursery.start_soon(readiness.park, ours.fileno(), lambda: bool(got.append(ours.recv(10)) or True))
        await trio.testing.wait_all_tasks_blocked()
        theirs.sendall(b"there")
        assert readiness.glance()
        threading.Timer(0.05, theirs.sendall, (b"soon",)).start()
        assert readiness.glance()
        assert got == [b"there", b"soon"]
        assert around.begun == around.ended == 2


async def test_a_glance_is_short_and_seldom_in_vain(pairs):
    """What it costs a keeper whose clients think for a while between two requests is next to nothing."""
    ours, theirs = pairs()
    async with running() as (readiness, nursery):
        assert not readiness.glance()  # nobody is parked: that is no reason to think that nobody comes
        nursery.start_soon(readiness.park, ours.fileno(), lambda: bool(ours.recv(10)))
        await trio.testing.wait_all_tasks_blocked()
        looks: list[float] = []
        for _ in range(20 * MOST_GLANCES):
            begun = time.perf_counter()
            assert not readiness.glance()
            looks.append(time.perf_counter() - begun)
        looks.sort()
        assert looks[-20] > GLANCE / 2
        assert looks[len(looks) // 2] < GLANCE / 2
        theirs.sendall(b"?")
        assert any(readiness.glance() for _ in range(MOST_GLANCES + 1))


async def test_a_glance_after_the_end_sees_nobody(pairs):
    """The task that waits is gone, and its epoll with it."""
    ours, _ = pairs()
    async with running() as (readiness, nursery):
        nursery.start_soon(readiness.park, ours.fileno(), lambda: True)
        await trio.testing.wait_all_tasks_blocked()
    assert not readiness.glance()
