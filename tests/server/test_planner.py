"""The planner's queues: order, splitting after a loss, tickets, and what ends a batch (PROTOCOL section 4)."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from parkeeper.options import Limits, Options
from parkeeper.server.planner import HOLD, PATIENCE
from parkeeper.store.memory import BATCH, MemoryStore
from parkeeper.store.urls import StoreOptions
from tests.server.queue import KEEPER, ONE, THREE, TWO, Line, answers, asked


def test_requests_of_all_sessions_are_one_batch() -> None:
    """In the order they came."""
    line = Line("/a", "/b")
    requests = [line.set(ONE, "/a"), line.set(TWO, "/b"), line.set(ONE, "/b")]
    assert asked(line.plan()) == requests
    assert line.planner.next() is None


def test_a_lost_batch_is_split() -> None:
    """What rests on a changed item is contended, with all that its session asked behind it; the rest goes first."""
    line = Line("/own", "/hot")
    first, hot, behind, other = (
        line.set(ONE, "/own"),
        line.set(ONE, "/hot"),
        line.set(ONE, "/own"),
        line.set(TWO, "/own"),
    )
    batch = line.plan()
    line.move("/hot")
    line.planner.lost(batch)
    assert (first.losses, hot.losses, behind.losses, other.losses) == (0, 1, 0, 0)
    assert asked(line.plan()) == [first, other]
    assert asked(line.plan()) == [hot, behind]


def test_fresh_requests_of_a_contended_session_wait() -> None:
    """They may not overtake; other sessions' may, and contended and fresh batches take turns."""
    line = Line("/own", "/hot")
    hot = line.set(ONE, "/hot")
    batch = line.plan()
    line.move("/hot")
    line.planner.lost(batch)
    later, free = line.set(ONE, "/own"), line.set(TWO, "/own")
    contended = line.plan()
    assert asked(contended) == [hot]
    line.move("/hot")
    line.planner.lost(contended)
    assert asked(line.plan()) == [free]
    assert asked(line.plan()) == [hot]
    assert asked(line.plan()) == [later]


def test_a_contended_batch_that_is_put_back_is_first_again() -> None:
    """Also where one commit did not hold all that is contended of its session."""
    line = Line("/a", "/b", "/c", options=Options(limits=Limits(batch=3)))
    requests = [line.set(ONE, path) for path in ("/a", "/b", "/c")]
    batch = line.plan()
    for path in ("/a", "/b", "/c"):
        line.move(path)
    line.planner.lost(batch)
    line.planner._most = 2  # as if the store held less than before
    part = line.plan()
    assert asked(part) == requests[:2]
    line.planner.put_back(part)
    fresh = line.set(TWO, "/a")
    assert asked(line.plan()) == requests[:2]
    taken = [*asked(line.plan()), *asked(line.plan())]
    assert sorted(taken, key=id) == sorted([requests[2], fresh], key=id)


def test_a_store_may_ask_for_small_batches() -> None:
    """Memory does: there is no round trip that many writes could share."""
    line = Line("/a")
    requests = [line.set(ONE, "/a") for _ in range(BATCH + 3)]
    assert asked(line.plan()) == requests[:BATCH]
    assert asked(line.plan()) == requests[BATCH:]


def test_a_request_dies_with_its_attachment() -> None:
    """A claim earlier in the same batch counts, too."""
    line = Line("/a")
    request = line.set(ONE, "/a")
    line.replica.sessions[ONE].rev = 2
    assert line.planner.next() is None
    assert answers(request) == [None]


def test_reads_parked_between_writes_end_a_batch() -> None:
    """So that answering them is a bounded piece of work."""
    line = Line("/a", options=Options(limits=Limits(batch_parked=10)))
    first, near, far = (
        line.set(ONE, "/a", order=0),
        line.set(ONE, "/a", order=10),
        line.set(ONE, "/a", order=11),
    )
    assert asked(line.plan()) == [first, near]
    assert asked(line.plan()) == [far]


def test_the_store_ends_a_batch() -> None:
    """Two creates under one parent are five items; a third does not fit into six."""
    line = Line(store=MemoryStore(options=StoreOptions(max_txn_ops=6)))
    requests = [line.create(ONE, f"/{name}") for name in "abc"]
    assert asked(line.plan()) == requests[:2]
    assert asked(line.plan()) == requests[2:]


class Narrow(MemoryStore):
    """A commit holds four guards."""

    def fits(self, guards: int, puts: int, deletes: int, size: int) -> bool:
        return guards <= 4 and super().fits(guards, puts, deletes, size)


def test_a_batch_ends_where_the_guards_of_a_refusal_do_not_fit() -> None:
    """[with many keepers on Consul such a batch was refused as a whole, and done again one by one]"""
    line = Line("/a", store=Narrow())
    requests = [line.set(ONE, path) for path in ("/a", "/b", "/c", "/d", "/e", "/a")]
    assert asked(line.plan()) == requests[:3]
    assert asked(line.plan()) == requests[3:]


def test_single_plans_one_by_one_for_a_while() -> None:
    """After a commit of several was rejected."""
    line = Line("/a")
    requests = [line.set(ONE, "/a") for _ in range(4)]
    line.planner.single(2)
    assert [asked(line.plan()) for _ in range(3)] == [requests[:1], requests[1:2], requests[2:]]


# --- refusals that are answered at once -----------------------------------------------------------------------


def test_a_refusal_of_a_lost_batch_is_answered_at_once() -> None:
    """The failed transaction was a linearizable read. What its session asked before it must be decided first."""
    line = Line("/a")
    lone, before, behind = line.set(ONE, "/a", version=0), line.set(TWO, "/a"), line.set(TWO, "/none")
    batch = line.plan()
    line.move("/a")
    line.planner.lost(batch)
    assert asked(line.plan(at_once=True)) == [before, behind]
    assert answers(lone) == [-103]
    assert answers(behind) == []


def test_a_refusal_that_looked_at_an_earlier_write_is_not_answered_at_once() -> None:
    """That write may never happen."""
    line = Line("/a")
    create, again = line.create(ONE, "/a/x"), line.create(TWO, "/a/x")
    line.planner.put_back(line.plan())
    assert asked(line.plan(at_once=True)) == [create, again]
    assert answers(again) == []


def test_a_refusal_of_who_came_later_is_not_answered_at_once() -> None:
    """What it had seen may be newer than that read."""
    line = Line("/a")
    late = line.create(ONE, "/none/x")
    assert asked(line.plan(at_once=True)) == [late]
    assert answers(late) == []


# --- tickets --------------------------------------------------------------------------------------------------


async def test_an_older_ticket_holds_back_who_writes_its_names(autojump_clock: MockClock) -> None:
    """Others go on; what the same session asked behind it waits, too; and 200 ms are enough."""
    line = Line("/hot", "/own")
    line.ticket(1, 1, "stat/hot")
    held, behind, free = line.set(ONE, "/hot"), line.set(ONE, "/own"), line.set(TWO, "/own")
    assert asked(line.plan()) == [free]
    assert line.planner.next() is None
    assert line.planner.held
    await trio.sleep(HOLD + 0.01)
    assert asked(line.plan()) == [held, behind]


async def test_a_held_request_keeps_nobody_else_waiting_when_its_batch_is_planned_again(
    autojump_clock: MockClock,
) -> None:
    """And its session's order is kept."""
    line = Line("/hot", "/own", options=Options(limits=Limits(batch=3)))
    held, free, other, behind = (
        line.set(ONE, "/hot"), line.set(TWO, "/own"), line.set(THREE, "/own"), line.set(ONE, "/own"),
    )  # fmt: skip
    line.planner._most = 4
    line.planner.put_back(line.plan())
    line.ticket(1, 1, "stat/hot")
    line.planner._most = 1
    assert asked(line.plan()) == [free]
    fresh = line.set(TWO, "/own")
    line.planner._most = 64
    assert asked(line.plan()) == [other]
    assert asked(line.plan()) == [fresh]
    await trio.sleep(HOLD + 0.01)
    assert asked(line.plan()) == [held, behind]


async def test_who_has_an_older_ticket_is_not_held_back(autojump_clock: MockClock) -> None:
    """Age is the order of revisions."""
    line = Line("/hot")
    line.ticket(KEEPER, 1, "stat/hot", revision=5)
    line.ticket(1, 1, "stat/hot", revision=6)
    mine = line.set(ONE, "/hot")
    assert asked(line.plan()) == [mine]
    line.ticket(1, 2, "stat/hot", revision=4)
    line.set(ONE, "/hot")
    assert line.planner.next() is None


async def test_a_ticket_that_is_gone_is_forgotten(autojump_clock: MockClock) -> None:
    """When it was first seen is remembered as long as it is there."""
    line = Line("/hot")
    line.ticket(1, 1, "stat/hot")
    line.set(ONE, "/hot")
    assert line.planner.next() is None
    line.replica.registry.turns.clear()
    line.planner.forget_tickets()
    assert line.planner._ticket_seen == {}


def test_impatience_comes_with_the_third_loss() -> None:
    """Counted per request; the names are those that were lost over."""
    line = Line("/hot")
    line.set(ONE, "/hot")
    for loss in range(PATIENCE):
        assert line.planner.impatient == frozenset(), loss
        batch = line.plan()
        line.move("/hot")
        line.planner.lost(batch)
    assert line.planner.impatient == {"stat/hot"}
    line.plan()
    assert line.planner.impatient == frozenset()
