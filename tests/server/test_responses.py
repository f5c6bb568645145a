"""The response queue by itself: who is answered when, by whom, and what stands in between."""

from __future__ import annotations

import struct
from collections import deque

import trio
import trio.testing

from parkeeper.options import Limits
from parkeeper.server.outbox import Outbox
from parkeeper.server.responses import MOST_AT_ONCE, Entry, Fixed, Held, Parked, Responses
from parkeeper.server.stats import ConnectionStats, ServerStats
from parkeeper.server.transport import AnyStream
from parkeeper.tree.replica import Replica
from parkeeper.tree.schemes import NOBODY


class Desk:
    """A response queue, and the connection it thinks it has."""

    def __init__(self, limits: Limits | None = None, high: int = 1 << 20) -> None:
        self.ours, self.theirs = trio.testing.memory_stream_pair()
        self.replica = Replica(0)
        self.eases = 0
        self.given_up = 0
        self.faults: list[Exception] = []
        self.broken: Exception | None = None
        queue: deque[Entry] = deque()
        self.stats = ConnectionStats(ServerStats(lambda: 0), "10.0.0.1", 1, queue, lambda reason: None)
        transport = AnyStream(self.ours, "10.0.0.1")
        self.outbox = Outbox(transport, high, 1 << 30, self.stats, lambda reason: None, lambda: None)
        self.queue = Responses(self, queue, self.replica, self.outbox, limits or Limits(), self.stats)

    def answer(self, parked: Parked) -> tuple[int, bytes]:
        """A read whose answer is what was asked."""
        if self.broken is not None:
            raise self.broken
        assert isinstance(parked.record, bytes)
        return 0, parked.record

    def eased(self) -> None:
        self.eases += 1

    def abandoned(self) -> None:
        self.given_up += 1

    def crashed(self, fault: Exception) -> None:
        self.faults.append(fault)
        self.queue.close()

    def hold(self, xid: int, commit: bool = True, body: bytes = b"") -> Held:
        place = Held(self.queue, xid, commit, body, 10, trio.current_time())
        self.queue.enter(place)
        return place

    def park(self, xid: int, answer: bytes = b"") -> None:
        self.queue.enter(Parked(xid, 4, answer, NOBODY, 10, trio.current_time()))

    @property
    def said(self) -> list[tuple[int, int, int, bytes]]:
        """What is in the outbox, taken apart: xid, zxid, error, body."""
        data = b"".join(self.outbox._packets)
        told = []
        while data:
            length, xid, zxid, err = struct.unpack_from(">iiqi", data)
            told.append((xid, zxid, err, data[20 : 4 + length]))
            data = data[4 + length :]
        return told


async def test_a_write_is_answered_when_it_is_fulfilled_and_reads_behind_it_are_not():
    """Reads behind the last write wait for the flusher, which answers them from the replica as it stands then."""
    desk = Desk()
    place = desk.hold(1)
    desk.park(2, b"two")
    desk.replica.zxid = 100
    place.before()
    assert desk.said == []
    place.fulfil(100, 0, b"one")
    assert desk.said == [(1, 100, 0, b"one")]
    assert desk.eases > 0
    desk.replica.zxid = 4195
    desk.queue.advance()
    assert desk.said[1:] == [(2, 4195, 0, b"two")]
    assert not desk.queue.queue


async def test_what_was_asked_before_a_write_is_answered_before_it_is_applied():
    """`before` answers reads, fixed replies and a `sync` from the replica that does not have the write yet."""
    desk = Desk()
    one = desk.hold(1)
    desk.park(2, b"two")
    desk.queue.enter(Fixed(3, None, -5, b"", 10, 0.0))
    desk.queue.enter(Fixed(4, 0, 0, b"auth", 10, 0.0))
    sync = desk.hold(5, commit=False, body=b"path")
    two = desk.hold(6)
    one.fulfil(100, 0, b"")
    desk.replica.zxid = 100
    two.before()
    desk.replica.zxid = 101
    assert desk.said[1:] == [(2, 100, 0, b"two"), (3, 100, -5, b""), (4, 0, 0, b"auth"), (5, 100, 0, b"path")]
    two.fulfil(101, -101, b"")
    assert desk.said[5:] == [(6, 101, -101, b"")]
    sync.reached()
    desk.queue.advance()
    assert len(desk.said) == 6


async def test_an_event_stands_between_replies_of_before_and_after():
    """What is put into the outbox while a write is applied is behind all that was encoded, before all that was not."""
    desk = Desk()
    desk.hold(1).fulfil(1, 0, b"")
    place = desk.hold(2)
    desk.park(3)
    place.before()
    desk.outbox.put(struct.pack(">iiqi", 16, -1, 2, 0))
    place.fulfil(2, 0, b"")
    desk.queue.advance()
    assert [xid for xid, *_ in desk.said] == [1, -1, 2, 3]


async def test_a_sync_is_answered_in_turn():
    """Reached before the write in front of it is applied, it waits for that; then the reads behind it go too."""
    desk = Desk()
    write = desk.hold(1)
    sync = desk.hold(2, commit=False, body=b"path")
    desk.park(3)
    sync.reached()
    desk.queue.advance()
    assert desk.said == []
    write.fulfil(7, 0, b"")
    desk.replica.zxid = 8
    desk.queue.advance()
    assert desk.said == [(1, 7, 0, b""), (2, 8, 0, b"path"), (3, 8, 0, b"")]


async def test_a_sync_that_is_not_reached_stops_the_flusher():
    """Reads behind a `sync` must not be answered before it."""
    desk = Desk()
    desk.hold(1, commit=False)
    desk.park(2)
    desk.queue.advance()
    assert desk.said == []
    assert not desk.queue.advanceable


async def test_replies_are_in_order_whatever_the_committer_does():
    """A later write that is fulfilled first waits for the earlier one; nothing is lost, nothing overtakes."""
    desk = Desk()
    one, two = desk.hold(1), desk.hold(2)
    two.fulfil(5, 0, b"second")
    assert desk.said == []
    one.fulfil(6, 0, b"first")
    desk.queue.advance()
    assert [(xid, body) for xid, _, _, body in desk.said] == [(1, b"first"), (2, b"second")]


async def test_it_is_full_by_number_and_by_size():
    """Either bound stops the reader, and room is made by answering."""
    desk = Desk(Limits(parked=3, parked_bytes=1000))
    place = desk.hold(1)
    desk.park(2)
    assert not desk.queue.full
    desk.park(3)
    assert desk.queue.full
    place.fulfil(1, 0, b"")
    assert not desk.queue.full
    desk.queue.enter(Fixed(4, 0, 0, b"", 1000, 0.0))
    assert desk.queue.full
    desk.queue.advance()
    assert not desk.queue.full


async def test_the_flusher_answers_a_bounded_number_at_once():
    """Thousands of parked reads are answered in portions, with others served in between."""
    desk = Desk()
    desk.hold(0).fulfil(1, 0, b"")
    place = desk.hold(1)
    for xid in range(2, 2 + 2 * MOST_AT_ONCE):
        desk.park(xid)
    place.fulfil(2, 0, b"")
    desk.queue.advance()
    assert len(desk.said) == 2 + MOST_AT_ONCE
    assert desk.queue.advanceable
    desk.queue.advance()
    assert len(desk.said) == 2 + 2 * MOST_AT_ONCE
    assert not desk.queue.advanceable


async def test_the_flusher_stops_at_a_full_outbox():
    """Large answers wait until the peer has taken those before them."""
    desk = Desk(high=100)
    place = desk.hold(1)
    for xid in range(2, 10):
        desk.park(xid, bytes(90))
    place.fulfil(1, 0, b"")
    desk.queue.advance()
    assert len(desk.said) == 2
    assert len(desk.queue.queue) == 7


async def test_emptied_waits_for_the_last_answer():
    """A connection whose client stopped asking ends when all is answered."""
    desk = Desk()
    place = desk.hold(1)
    desk.park(2)
    done = trio.Event()

    async def wait() -> None:
        await desk.queue.emptied()
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        place.fulfil(1, 0, b"")
        await trio.testing.wait_all_tasks_blocked()
        assert not done.is_set()
        desk.queue.advance()
        await done.wait()
    await desk.queue.emptied()


async def test_nothing_is_answered_after_the_end():
    """A place that is fulfilled when its connection has ended is answered to nobody, and raises nothing."""
    desk = Desk()
    one, two = desk.hold(1), desk.hold(2)
    desk.park(3)
    desk.queue.close()
    two.before()
    one.fulfil(1, 0, b"")
    two.fulfil(2, 0, b"")
    assert desk.said == []
    two.abandon()
    assert desk.given_up == 1


async def test_an_error_in_a_parked_read_does_not_reach_the_applier():
    """Neither `before` nor `fulfil` raises: the connection is told, and ends."""
    desk = Desk()
    one = desk.hold(1)
    desk.park(2)
    two = desk.hold(3)
    one.fulfil(1, 0, b"")
    desk.broken = ZeroDivisionError()
    two.before()
    two.fulfil(2, 0, b"")
    assert desk.faults == [desk.broken]
    assert [xid for xid, *_ in desk.said] == [1]


async def test_latencies_are_those_of_waiting(autojump_clock):
    """A write counts as an update with the time since it was received, a read behind it as a read."""
    desk = Desk()
    place = desk.hold(1)
    desk.park(2)
    await trio.sleep(0.25)
    place.fulfil(1, 0, b"")
    await trio.sleep(0.25)
    desk.queue.advance()
    server = desk.stats.server
    assert (server.updates.count, round(server.updates.most)) == (1, 250)
    assert (server.reads.count, round(server.reads.most)) == (1, 500)


async def test_order_tells_how_much_came_before():
    """The planner ends a batch by how many entries lie between two writes of one session."""
    desk = Desk()
    one = desk.hold(1)
    desk.park(2)
    desk.park(3)
    two = desk.hold(4)
    assert (one.order, two.order) == (0, 3)
