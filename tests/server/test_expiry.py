"""Closing sessions whose time is up: never early, and never not at all (PROTOCOL section 6)."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from parkeeper.errors import Rejected
from parkeeper.server.expiry import Expiry
from parkeeper.server.readiness import MOST
from parkeeper.server.requests import Attachment, Request
from parkeeper.server.sessions import LocalSessions
from parkeeper.testing.faults import Refuse
from parkeeper.tree.replica import Replica
from parkeeper.tree.sessions import CloseSession, Session
from tests.server.ensemble import Client, until
from tests.server.stage import request, stage
from tests.server.test_faults import Group

KEEPER, TICK = 3, 0.5
ID = KEEPER << 32 | 1


class Clocks:
    """The sessions of keeper 3, and the closes it asks for."""

    def __init__(self) -> None:
        self.replica = Replica(0)
        self.sessions = LocalSessions(self.replica, bytes(32), TICK)
        self.sessions.start(KEEPER)
        self.asked: list[Request] = []
        self.expiry = Expiry(self.sessions, self.replica, self.asked.append, lambda: None)

    def open(self, timeout: int = 4000, session: int = ID, owner: int = KEEPER, rev: int = 1) -> None:
        record = Session(timeout, owner, 0, False, 0, rev)
        self.replica.sessions[session] = record
        self.sessions.changed(session, record, None)

    def attach(self, timeout: int = 4000) -> Attachment:
        attachment = Attachment(ID, timeout, trio.current_time(), lambda reason: None)
        attachment.rev = 1
        self.sessions.attach(attachment)
        return attachment


async def test_a_session_nobody_holds_is_closed_within_a_tick(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """The close names the record it was decided on."""
    clocks = Clocks()
    clocks.open(4000)
    nursery.start_soon(clocks.expiry.run)
    await trio.sleep(3.99)
    assert clocks.asked == []
    await trio.sleep(TICK + 0.02)
    (request,) = clocks.asked
    assert request.record == CloseSession(ID, 1)
    assert request.unless is not None
    assert not request.unless()


async def test_traffic_is_looked_at_when_the_deadline_is_due(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """The reader only notes it."""
    clocks = Clocks()
    clocks.open()
    attachment = clocks.attach()
    nursery.start_soon(clocks.expiry.run)
    await trio.sleep(3)
    attachment.touched = trio.current_time()
    await trio.sleep(3.9)
    assert clocks.asked == []
    await trio.sleep(0.7)
    assert len(clocks.asked) == 1


async def test_a_close_is_dropped_if_the_client_is_heard_of_before_it_is_planned(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Of the same connection or another; and its clock runs again."""
    clocks = Clocks()
    clocks.open()
    attachment = clocks.attach()
    nursery.start_soon(clocks.expiry.run)
    await trio.sleep(5)
    (request,) = clocks.asked
    assert request.unless is not None
    attachment.touched = trio.current_time()
    assert request.unless()
    request.place.abandon()
    await trio.sleep(5)
    assert len(clocks.asked) == 2


@pytest.mark.parametrize("code", [-8, -103])
async def test_a_session_whose_close_is_refused_keeps_a_clock(
    autojump_clock: MockClock, nursery: trio.Nursery, code: int
) -> None:
    """Else its ephemerals would stand for ever."""
    clocks = Clocks()
    clocks.open()
    nursery.start_soon(clocks.expiry.run)
    await trio.sleep(5)
    clocks.asked[0].place.fulfil(0, code, b"")
    await trio.sleep(5)
    assert len(clocks.asked) == 2


async def test_a_session_that_moved_away_has_no_clock_here(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Its new owner has it."""
    clocks = Clocks()
    clocks.open()
    nursery.start_soon(clocks.expiry.run)
    clocks.open(owner=4, rev=2)
    await trio.sleep(20)
    assert clocks.asked == []


async def test_a_late_wake_up_shifts_all_deadlines(mock_clock: MockClock, nursery: trio.Nursery) -> None:
    """Nobody could be heard while this process stood still; who was due meanwhile has a tick to be heard."""
    clocks = Clocks()
    clocks.open(timeout=4000)
    clocks.open(timeout=8000, session=ID + 1)
    attachment = clocks.attach()

    async def read() -> None:
        await trio.sleep(0.001)  # something is received while the process stands still
        attachment.touched = trio.current_time()

    nursery.start_soon(clocks.expiry.run)
    nursery.start_soon(read)
    await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(10)
    await trio.testing.wait_all_tasks_blocked()
    assert clocks.asked == []
    due = dict(clocks.sessions.clocks.deadlines())
    assert due == {ID: pytest.approx(10 + TICK), ID + 1: pytest.approx(14 + TICK)}
    mock_clock.jump(TICK)
    await trio.testing.wait_all_tasks_blocked()
    assert clocks.asked == []
    assert dict(clocks.sessions.clocks.deadlines())[ID] == pytest.approx(14.5, abs=0.5)


async def test_who_comes_back_while_the_process_stands_still_is_heard(autojump_clock: MockClock) -> None:
    """To sessions that nobody holds: one of a keeper that is gone, and one of its own."""
    async with Group(2) as (group, _):
        orphan, own = await group.client(0, timeout=6500), await group.client(1, timeout=3000)
        await group.stop(0)
        await own.ping()
        await own.vanish()
        incarnation = group.keepers[1].incarnation
        assert incarnation is not None
        beats = incarnation.membership.beats
        await until(lambda: incarnation.membership.beats > beats)
        left = [at - trio.current_time() for _, at in incarnation.sessions.orphans.deadlines()]
        assert left == [pytest.approx(3, abs=0.3)]
        moved: list[bool] = []

        async def come_back(client: Client) -> None:
            moved.append(await group.move(client, 1))

        autojump_clock.jump(3.4)  # it stands still, for less than its TTL
        async with trio.open_nursery() as nursery:
            nursery.start_soon(come_back, orphan)
            nursery.start_soon(come_back, own)
        assert moved == [True, True]
        assert group.keepers[1].incarnation is incarnation


async def test_a_session_whose_close_the_store_rejected_expires_later(autojump_clock: MockClock) -> None:
    """Once the store takes it."""
    async with Group(1) as (group, stores):
        client = await group.client(timeout=4000)
        watcher = await group.client(timeout=10_000)
        assert await client.create("/e", flags=1) == "/e"
        await client.vanish()
        await trio.sleep(3.5)
        stores[0].commits.fail_next(Refuse(Rejected))
        for _ in range(6):
            await trio.sleep(1)
            await watcher.ping()
        assert not await watcher.exists("/e")
        assert group.keepers[0].commits.rejected == 1


async def test_pings_that_lie_in_many_sockets_count() -> None:
    """More than one round of readiness takes: whoever's ping came in time lives, though nobody has read it yet."""
    many, timeout = 2 * MOST + 40, 1.0
    async with stage(sockets=True, tick_time=500) as there:
        clients = [there.call() for _ in range(many)]
        for client in clients:
            await client.connect(timeout=int(1000 * timeout))
        for client in clients:
            await client.send(request(-2, 11))
            await client.answer()
        assert there.keeper.incarnation is not None
        sessions, expiry = there.keeper.incarnation.sessions, there.keeper.incarnation.expiry
        await trio.sleep(timeout)  # from now on it is asked of each whether its time is really up
        due = sessions.clocks.next
        assert due is not None
        # (The moment is what is tested, on the real clock: sockets know no other.)
        await trio.sleep_until(due - 0.03)
        for client in clients:
            client.stream.socket._sock.send(request(-2, 11))  # type: ignore[attr-defined]  # no turn for anybody
        while trio.current_time() < due + 0.01:
            pass
        for client in clients:
            await client.answer()
        assert expiry.expired == 0
        assert len(there.stats.connections) == many
