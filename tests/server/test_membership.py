"""Beats: what they prove of ourselves and of others, and whose clock differs (PROTOCOL section 6)."""

from __future__ import annotations

import logging

import pytest
import trio
from trio.testing import MockClock

from parkeeper.errors import NotApplied
from parkeeper.options import Options
from parkeeper.server.doubt import Ended
from parkeeper.server.errand import Errand
from parkeeper.server.membership import Membership
from parkeeper.store.memory import MemoryServer, MemoryStore
from parkeeper.testing.faults import LoseAnswer, Refuse
from parkeeper.testing.faulty import FaultyStore
from parkeeper.tree.encoding import KeeperItem, encode_keeper
from parkeeper.tree.replica import Replica
from tests.server.ensemble import ensemble, until
from tests.server.test_faults import Group

TTL = 6.0


class Member:
    """Keeper 1's membership on a store of its own; keeper 2 beats when a test says so."""

    def __init__(self) -> None:
        self.server = MemoryServer()
        self.store = FaultyStore(MemoryStore(self.server))
        self.replica = Replica(0)
        self.wall = 1_000_000
        self.membership = Membership(self.store, self.replica, TTL, ("a:1",), lambda: self.wall)
        self.errands: list[Errand] = []
        self.membership.errand = self.errands.append
        self.server.change(((b"parkeeper/keeper/1", self.membership.item()),))
        self.membership.registered(1, self.server.revision, trio.current_time())

    def other_beats(self, wall: int | None = None) -> None:
        item = KeeperItem(5, 1, int(TTL * 1000), self.wall if wall is None else wall, 0, ())
        self.replica.registry.item("keeper/2", encode_keeper(item), self.replica.revision + 1)
        self.replica.revision += 1
        self.membership.seen(2, self.replica.revision)

    async def beat(self, reached: bool = True) -> int:
        revision = await self.membership.beat()
        if reached:
            self.membership.seen(1, revision)
        return revision


async def test_the_deadline_moves_when_a_beat_is_reached(autojump_clock: MockClock) -> None:
    """Not by the answer; and it counts from the start of the beat."""
    member = Member()
    await trio.sleep(2)
    started = trio.current_time()
    member.store.beats.fail_next(LoseAnswer(0.5))
    revision = await member.beat(reached=False)
    assert member.membership.deadline == pytest.approx(started - 2 + TTL)
    member.membership.seen(1, revision)
    assert member.membership.deadline == pytest.approx(started + TTL)


async def test_the_deadline_moves_no_more_after_the_end(autojump_clock: MockClock) -> None:
    """Nobody is served from then on, whatever beat comes back."""
    member = Member()
    revision = await member.beat(reached=False)
    member.membership.end()
    assert member.membership.deadline < trio.current_time()
    member.membership.seen(1, revision)
    assert member.membership.deadline < trio.current_time()


@pytest.mark.parametrize("fault", [LoseAnswer(), Refuse(NotApplied)])
async def test_a_beat_is_tried_until_its_fate_is_known(autojump_clock: MockClock, fault) -> None:
    """An answer that was lost is found in the store."""
    member = Member()
    member.store.beats.fail_next(fault, times=3)
    revision = await member.beat()
    assert revision == member.server.revision == member.membership.acknowledged
    assert await member.beat() > revision


async def test_a_beat_that_was_given_up_is_not_taken_for_another_keepers(autojump_clock: MockClock) -> None:
    """A client that asked for it went away: it happened all the same, and the next one finds it."""
    member = Member()
    begun = trio.current_time()
    with member.store.beats.holding_answers(), trio.move_on_after(0.1):
        await member.membership.beat()
    await trio.sleep(1)
    revision = await member.beat()
    assert revision == member.server.revision
    assert member.membership.deadline == pytest.approx(begun + TTL)
    await member.beat()
    assert member.membership.deadline > begun + TTL


async def test_a_beat_of_a_keeper_that_was_declared_dead_ends_it(autojump_clock: MockClock) -> None:
    """Its item is gone, or another's."""
    member = Member()
    member.server.change(((b"parkeeper/keeper/1", None),))
    with pytest.raises(Ended):
        await member.beat()


async def test_silence_is_counted_between_own_beats_that_came_back_in_time(autojump_clock: MockClock) -> None:
    """A TTL of it is death; a keeper that was cut off has counted nothing meanwhile."""
    member = Member()
    member.other_beats()
    await trio.sleep(TTL * 3)  # cut off: no beat came back
    await member.beat()
    member.membership._judge()
    assert member.errands == []
    for _ in range(2):
        await trio.sleep(TTL / 2)
        assert member.errands == []
        await member.beat()
        member.membership._judge()
    (errand,) = member.errands
    assert (dict(errand.guards), list(errand.deletes), list(errand.fences)) == (
        {"keeper/2": 1},
        ["keeper/2", "turn/2"],
        [2],
    )


@pytest.mark.parametrize("offset", [0.1, 0.9, 1.9])
async def test_a_keeper_is_not_declared_dead_while_it_may_serve(
    autojump_clock: MockClock, offset: float
) -> None:
    """Whenever the two beat: after the TTL that its last beat gives it, and no more than moments after.

    [what came before that beat in an interval of the other was counted too: declared up to 1.9 s too early]"""
    async with Group(1) as (group, stores):
        await trio.sleep(offset)
        await group.start()
        one, two = (keeper.incarnation for keeper in group.keepers)
        assert one is not None
        assert two is not None
        await trio.sleep(TTL)
        before = one.membership.deadline
        await until(lambda: one.membership.deadline > before)
        stores[0].down()
        await until(lambda: two.membership.declared > 0)
        assert one.membership.deadline <= trio.current_time() <= one.membership.deadline + 0.05


async def test_a_beat_of_another_ends_its_silence(autojump_clock: MockClock) -> None:
    """Counting begins anew."""
    member = Member()
    for _ in range(6):
        member.other_beats()
        await trio.sleep(TTL / 2)
        await member.beat()
        member.membership._judge()
    assert member.errands == []


async def test_a_keeper_that_turns_out_to_live_may_be_declared_again(autojump_clock: MockClock) -> None:
    """After another TTL of silence."""
    member = Member()
    member.other_beats()
    for number in range(4):
        await trio.sleep(TTL / 2)
        await member.beat()
        member.membership._judge()
        if number == 1:
            member.errands[0].done(False)
    assert len(member.errands) == 2
    assert member.membership.declared == 0


@pytest.mark.parametrize(
    ("ahead", "told"), [(900, False), (1100, True), (-1100, False), (-6900, False), (-7100, True)]
)
async def test_a_wall_clock_that_differs_is_logged_once(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, ahead: int, told: bool
) -> None:
    """More than a second ahead; behind only if it cannot be the beat that was under way for long."""
    member = Member()
    with caplog.at_level(logging.WARNING):
        member.other_beats(member.wall + ahead)
        member.other_beats(member.wall + ahead)
    assert [record.getMessage() for record in caplog.records] == (
        ["another keeper's wall clock differs"] if told else []
    )


async def test_the_ttl_of_the_other_counts(autojump_clock: MockClock) -> None:
    """A keeper with a long TTL of its own is given that long."""
    server = MemoryServer()
    slow = Options(tick_time=500, keeper_ttl=30.0)
    async with (
        ensemble(1, slow, store=lambda: MemoryStore(server)) as patient,
        ensemble(1, Options(tick_time=500), store=lambda: MemoryStore(server)) as group,
    ):
        judge = group.keepers[0].incarnation
        assert judge is not None
        patient.kill(0)
        await trio.sleep(25)
        assert judge.membership.declared == 0
        await trio.sleep(10)
        assert judge.membership.declared == 1
