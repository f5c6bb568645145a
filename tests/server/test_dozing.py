"""Sleeping in Trio's stead: whose epoll is whose, and what ends it."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest
import trio
import trio.testing

from parkeeper.server import dozing, lingering
from parkeeper.server.dozing import NestedEpoll, holder_of, nest
from parkeeper.server.readiness import Readiness
from parkeeper.store import history
from tests.server.parking import Around, running

pytestmark = [
    pytest.mark.skipif(not Readiness.available, reason="this system has no epoll"),
    pytest.mark.skipif(
        not Path("/proc/self/fdinfo").exists(), reason="this system does not tell who holds what"
    ),
]


# --- the epoll by which the scheduler waits --------------------------------------------------------------------------


async def test_the_schedulers_epoll_is_the_one_that_holds_ours(pairs) -> None:
    """It can be read as soon as there is something for Trio, and only then."""
    (_, parked_peer), (waited, waited_peer) = pairs(), pairs()
    with select.epoll() as ours:
        ours.register(parked_peer.fileno(), select.EPOLLIN)
        assert holder_of(ours.fileno()) is None  # nobody has waited for it
        with trio.move_on_after(0):
            await trio.lowlevel.wait_readable(ours.fileno())
        scheduler = holder_of(ours.fileno())
        assert scheduler not in {None, ours.fileno()}
        nested = NestedEpoll(ours.fileno(), scheduler)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.lowlevel.wait_readable, waited.fileno())
            await trio.testing.wait_all_tasks_blocked()
            assert nested.wait(0) == (False, False)
            waited_peer.sendall(b"x")
            assert nested.wait(20) == (False, True)
        nested.close()


def test_what_nobody_or_more_than_one_holds_is_nobodys(pairs) -> None:
    """No guess."""
    ours, _ = pairs()
    with select.epoll() as one, select.epoll() as other:
        assert holder_of(ours.fileno()) is None
        one.register(ours.fileno(), select.EPOLLIN)
        assert holder_of(ours.fileno()) == one.fileno()
        other.register(ours.fileno(), select.EPOLLIN)
        assert holder_of(ours.fileno()) is None


def test_where_nothing_is_told_nobody_is_found(
    pairs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No /proc; one whose entries vanish while they are read."""
    ours, _ = pairs()
    with select.epoll() as one:
        one.register(ours.fileno(), select.EPOLLIN)
        monkeypatch.setattr(dozing, "PROCESS", tmp_path)
        assert holder_of(ours.fileno()) is None
        (tmp_path / "fdinfo").mkdir()
        (tmp_path / "fdinfo/7").symlink_to(tmp_path / "gone")
        assert holder_of(ours.fileno()) is None


def test_both_can_be_ready_at_once(pairs) -> None:
    """And are told apart."""
    (parked, parked_peer), (scheduler, scheduler_peer) = pairs(), pairs()
    nested = NestedEpoll(parked.fileno(), scheduler.fileno())
    parked_peer.sendall(b"x")
    assert nested.wait(20) == (True, False)
    scheduler_peer.sendall(b"x")
    assert nested.wait(20) == (True, True)
    parked.recv(1)
    assert nested.wait(20) == (False, True)
    scheduler.recv(1)
    assert nested.wait(0) == (False, False)
    nested.close()


def test_where_the_kernel_will_not_have_it_there_is_none() -> None:
    """Epolls can be in each other four deep; and nothing is left open."""
    with ExitStack() as stack:
        chain = [stack.enter_context(select.epoll()) for _ in range(10)]
        depth = 0
        with suppress(OSError):
            for lower, upper in pairwise(chain):
                upper.register(lower.fileno(), select.EPOLLIN)
                depth += 1
        before = len(os.listdir("/proc/self/fd"))
        assert holder_of(chain[depth - 1].fileno()) == chain[depth].fileno()
        assert nest(chain[depth - 1].fileno()) is None
        assert nest(chain[depth].fileno()) is None
        assert len(os.listdir("/proc/self/fd")) == before
        nested = nest(chain[0].fileno())
        assert nested is not None
        nested.close()


# --- as `Readiness` does it ------------------------------------------------------------------------------------------


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What is waited for by Trio, in order; and dozes that nothing but their reasons end."""
    waits: list[int] = []
    wait_readable = trio.lowlevel.wait_readable

    async def watched(descriptor: int) -> None:
        waits.append(descriptor)
        await wait_readable(descriptor)

    monkeypatch.setattr(trio.lowlevel, "wait_readable", watched)
    monkeypatch.setattr(dozing, "LONGEST", 3600.0)
    return waits


class Client:
    """Asks, on a thread, as soon as it has its answer; `asked` counts, and `turn` is the reader's."""

    def __init__(self, ours: socket.socket, theirs: socket.socket) -> None:
        self.asked = 0
        self._at: tuple[int, Callable[[], object]] = (0, lambda: None)
        self.descriptor = ours.fileno()
        self._ours, self._theirs = ours, theirs
        self._enough = threading.Event()

    def at(self, number: int, call: Callable[[], object]) -> None:
        """Have something called in the turn that deals with its request of this number."""
        self._at = (number, call)

    def turn(self) -> bool:
        if self._ours.recv(1) == b".":
            return False
        self.asked += 1
        if self.asked == self._at[0]:
            self._at[1]()
        self._ours.sendall(b"!")
        return True

    def ask(self, times: int | None = None) -> None:
        """So many times, or until it is enough; then it says that this was all."""
        while not self._enough.is_set() if times is None else times:
            self._theirs.sendall(b"?")
            self._theirs.recv(1)
            times = None if times is None else times - 1
        self._theirs.sendall(b".")

    def enough(self) -> None:
        """What it asks for is there."""
        self._enough.set()


@asynccontextmanager
async def asking(
    client: Client, times: int | None, dozes: bool = True, may_follow: bool = False
) -> AsyncIterator[None]:
    """It asks while the block runs, and to its end. Something is under way all the time (nobody lingers) unless said."""
    async with running(Around(lambda _: may_follow, dozes).readiness) as (readiness, _):
        async with trio.open_nursery() as inner:
            inner.start_soon(readiness.park, client.descriptor, client.turn)
            thread = threading.Thread(target=client.ask, args=(times,))
            thread.start()
            yield
        thread.join()


async def test_rounds_follow_each_other_without_the_scheduler(pairs, passes: list[int]) -> None:
    """But for the first, and the one that ends it."""
    client = Client(*pairs())
    async with asking(client, 200):
        pass
    assert client.asked == 200
    assert len(passes) <= 4


@pytest.mark.parametrize("why", ["by default", "nobody tells who holds what"])
async def test_who_may_not_or_cannot_does_not(
    pairs, passes: list[int], monkeypatch, tmp_path: Path, why: str
) -> None:
    """Everybody is answered all the same, with a pass of the scheduler for each."""
    if why != "by default":
        monkeypatch.setattr(dozing, "PROCESS", tmp_path)
    client = Client(*pairs())
    async with asking(client, 50, dozes=why != "by default"):
        pass
    assert client.asked == 50
    assert len(passes) > 50


async def a_socket_of_its_own(client: Client) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client.at(20, lambda: theirs.sendall(b"x"))
        await trio.lowlevel.wait_readable(ours)


async def a_thread(client: Client) -> None:
    reached = threading.Event()
    client.at(20, reached.set)
    await trio.to_thread.run_sync(reached.wait)


async def a_signal(client: Client) -> None:
    with trio.open_signal_receiver(signal.SIGUSR1) as signals:
        client.at(20, lambda: os.kill(os.getpid(), signal.SIGUSR1))
        async for _ in signals:
            return


async def a_task_that_a_turn_woke(client: Client) -> None:
    wake = trio.Event()
    client.at(20, wake.set)
    await wake.wait()
    # (One more round at most: whose turn is the first in a pass is a matter of chance.)
    assert client.asked <= 21


async def a_deadline(client: Client) -> None:
    await a_task_that_a_turn_woke(client)
    await trio.sleep(0.02)


@pytest.mark.parametrize(
    "reason",
    [
        a_deadline,
        a_socket_of_its_own,
        a_thread,
        a_signal,
        a_task_that_a_turn_woke,
    ],
)
async def test_it_ends_for(pairs, passes: list[int], reason: Callable[[Client], Awaitable[None]]) -> None:
    """A client asks without end, and the doze would last for an hour."""
    client = Client(*pairs())
    async with asking(client, None):
        await reason(client)
        client.enough()
    assert client.asked > len(passes)


async def test_it_ends_after_a_while(pairs, passes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """For a deadline that one of its turns brought forward: embedded stores do so for those who follow them."""
    monkeypatch.setattr(dozing, "LONGEST", 0.005)
    client = Client(*pairs())
    async with asking(client, None):
        with trio.CancelScope() as scope:
            client.at(20, lambda: setattr(scope, "deadline", trio.current_time()))
            await trio.sleep_forever()
        client.enough()
    assert client.asked > len(passes)


def test_a_deadline_is_later_only_where_that_is_no_matter() -> None:
    """What is brought forward is that of followers, who are told late on purpose."""
    assert dozing.LONGEST <= history.LAZY


async def test_who_is_always_there_does_not_keep_it_going(pairs, passes: list[int]) -> None:
    """A socket that can be read after each of its turns: the scheduler's are looked at all the same."""
    (ours, theirs), (other, other_peer) = pairs(), pairs()
    turns = 0

    def turn() -> bool:
        nonlocal turns
        turns += 1
        if turns == 20:
            other_peer.sendall(b"x")
        return True

    theirs.sendall(b"x")
    async with running(Around(lambda _: False, dozes=True).readiness) as (readiness, nursery):
        nursery.start_soon(readiness.park, ours.fileno(), turn)
        await trio.lowlevel.wait_readable(other)
    assert len(passes) < 10


async def test_whoever_was_woken_has_its_turn_first(pairs, passes: list[int]) -> None:
    """By a round, and by whom a round woke, and so on: they come after it in a pass as often as before it."""
    ours, theirs = pairs()
    links = 4
    wake = [trio.Event() for _ in range(links)]
    turns, woken_at, late = 0, 0, list[int]()

    def turn() -> bool:  # its byte stays: it is there again at once
        nonlocal turns, woken_at
        turns += 1
        if turns % 20 == 0 and not wake[0].is_set():
            woken_at = turns
            wake[0].set()
        return True

    async def link(number: int) -> None:
        while True:
            await wake[number].wait()
            wake[number] = trio.Event()
            wake[number + 1].set()

    theirs.sendall(b"x")
    async with running(Around(lambda _: False, dozes=True).readiness) as (readiness, nursery):
        nursery.start_soon(readiness.park, ours.fileno(), turn)
        for number in range(links - 1):
            nursery.start_soon(link, number)
        for _ in range(100):
            await wake[-1].wait()
            wake[-1] = trio.Event()
            late.append(turns - woken_at)
    assert max(late) <= links  # a round in each pass of the chain


async def test_a_task_that_only_gives_others_a_turn_goes_on(pairs, passes: list[int]) -> None:
    """As readers and the flusher do between slices."""
    ours, theirs = pairs()
    turns = 0

    def turn() -> bool:
        nonlocal turns
        turns += 1
        return True

    theirs.sendall(b"x")
    async with running(Around(lambda _: False, dozes=True).readiness) as (readiness, nursery):
        nursery.start_soon(readiness.park, ours.fileno(), turn)
        for _ in range(50):
            await trio.lowlevel.checkpoint()
            before = turns
            await trio.lowlevel.checkpoint()
            assert turns <= before + 2


@pytest.mark.skipif(dozing.__file__.endswith(".so"), reason="compiled, nothing can take a method's place")
async def test_in_vain_it_is_tried_again_later(
    pairs, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 8 rounds, then after 16, then after 32; meanwhile a round costs what it did without."""
    tried: list[int] = []
    client = Client(*pairs())

    def nobody(_: NestedEpoll, __: float) -> tuple[bool, bool]:
        tried.append(client.asked)
        return False, False

    monkeypatch.setattr(NestedEpoll, "wait", nobody)
    async with asking(client, 90):
        pass
    assert [later - sooner for sooner, later in pairwise(tried)] == [9, 17, 33]


async def test_it_gives_way_to_lingering(pairs, passes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is the faster of the two, where it brings somebody: so it is tried as often as it would be without."""
    monkeypatch.setattr(lingering, "WINDOW", 0.0)  # it hardly ever does
    client = Client(*pairs())
    async with asking(client, 1000, may_follow=True):
        pass
    assert client.asked == 1000
    assert len(passes) in range(6, 200)  # it is tried every ninth round at most
