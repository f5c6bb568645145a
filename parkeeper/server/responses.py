"""The response queue: what a session asked and was not answered yet, in the order it asked.

An entry is a *place* held for a request that waits for something (a write for its commit, a `sync` for the store), or
something that could be answered at once but came behind a place and must not overtake it: a *parked* read, or a fixed
reply. While nothing waits, the queue is empty and the reader answers without it.

Replies are encoded only in turn, by one of three:

* `Place.before`: the applier is about to apply or refuse a write: everything in front of it is answered now, from the
  replica as it stands (a `sync` there counts as satisfied, for the commit of a later write of the session proves that
  the replica has what was committed before).
* `Place.fulfil`: the applier has applied or refused it: it is answered.
* `advance`: the flusher answers what has no waiting place in front of it, a bounded amount at a time.

So what is encoded first goes out first, and an event put into the outbox in between stands exactly where the change
it tells of stands in the session's history (PROTOCOL section 5).
"""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

import trio

from parkeeper.options import Limits
from parkeeper.server.outbox import Outbox
from parkeeper.server.stats import ConnectionStats
from parkeeper.tree.replica import Replica
from parkeeper.tree.schemes import Identities
from parkeeper.wire.replies import reply

MOST_AT_ONCE: Final = 64
"""Parked reads that `advance` answers before it lets other connections have a turn."""


class Parked:
    """A read that waits behind a place, with the identities it was received with."""

    __slots__ = ("identities", "op", "received", "record", "size", "xid")

    def __init__(
        self, xid: int, op: int, record: object, identities: Identities, size: int, received: float
    ) -> None:
        self.xid = xid
        self.op = op
        self.record = record
        self.identities = identities
        self.size = size
        self.received = received


class Fixed:
    """A reply that is known already, but for the zxid in its header.

    Args:
        zxid: None: the replica's when its turn comes.
    """

    __slots__ = ("body", "code", "received", "size", "xid", "zxid")

    def __init__(
        self, xid: int, zxid: int | None, code: int, body: bytes, size: int, received: float
    ) -> None:
        self.xid = xid
        self.zxid = zxid
        self.code = code
        self.body = body
        self.size = size
        self.received = received


class Held:
    """A place (`parkeeper.server.requests.Place`).

    Args:
        responses: the queue it stands in.
        xid: of the request.
        commit: whether it waits for a commit, as opposed to a `sync`, which any later commit satisfies.
        body: of the reply, where it is known already.
        size: bytes of the request.
        received: Trio time.

    Attributes:
        order: how many entries entered the queue before it.
        settled: whether the answer is known.
    """

    __slots__ = (
        "_responses",
        "body",
        "code",
        "commit",
        "order",
        "received",
        "settled",
        "size",
        "xid",
        "zxid",
    )

    def __init__(
        self, responses: Responses, xid: int, commit: bool, body: bytes, size: int, received: float
    ) -> None:
        self._responses = responses
        self.order = responses.entered
        self.xid = xid
        self.commit = commit
        self.body = body
        self.size = size
        self.received = received
        self.settled = False
        self.code = 0
        self.zxid: int | None = None

    def before(self) -> None:
        """Answer everything in front of this place. Never raises: it is the applier that calls."""
        self._responses.answer_before(self)

    def fulfil(self, zxid: int, code: int, body: bytes, now: float | None = None) -> None:
        """Answer it, with everything in front of it; see `parkeeper.server.requests.Place`."""
        self.zxid = zxid
        self.code = code
        self.body = body
        self.settled = True
        self._responses.settle(self, trio.current_time() if now is None else now)

    def reached(self) -> None:
        """The replica has what a `sync` asked for: it is answered when its turn comes."""
        self.settled = True
        self._responses.owner.eased()

    def abandon(self) -> None:
        """No answer will come: the connection ends."""
        self._responses.owner.abandoned()


Entry = Parked | Fixed | Held


class Owner(Protocol):
    """The connection, as far as its response queue knows it."""

    def answer(self, parked: Parked) -> tuple[int, bytes]:
        """Answer a parked read: code and body."""
        ...

    def eased(self) -> None:
        """Entries were answered, or can be. Must not raise."""
        ...

    def abandoned(self) -> None:
        """A place was given up: end."""
        ...

    def crashed(self, fault: Exception) -> None:
        """Answering raised: end, and log it."""
        ...


class Responses:
    """The response queue of one connection.

    Args:
        owner: whose it is.
        queue: empty; the counters look into it too.
        replica: whose zxid goes into replies.
        outbox: where replies go.
        limits: how much may wait before the connection should read no more.
        stats: where latencies are counted.

    Attributes:
        queue: the entries, oldest first.
        entered: how many ever entered it.
        closed: whether answers are owed to nobody any more.
    """

    __slots__ = (
        "_bytes", "_emptied", "_most", "_most_bytes", "_outbox", "_replica", "_stats", "closed", "entered", "owner",
        "queue",
    )  # fmt: skip

    def __init__(
        self,
        owner: Owner,
        queue: deque[Entry],
        replica: Replica,
        outbox: Outbox,
        limits: Limits,
        stats: ConnectionStats,
    ) -> None:
        self.owner = owner
        self.queue = queue
        self.entered = 0
        self.closed = False
        self._replica = replica
        self._outbox = outbox
        self._most, self._most_bytes = limits.parked, limits.parked_bytes
        self._stats = stats
        self._bytes = 0
        self._emptied: trio.Event | None = None

    @property
    def full(self) -> bool:
        """Whether the connection should read no more until some of these are answered."""
        return self._bytes > self._most_bytes or len(self.queue) >= self._most

    @property
    def advanceable(self) -> bool:
        """Whether the oldest entry waits for nothing but its turn."""
        queue = self.queue
        return bool(queue) and (not isinstance(queue[0], Held) or queue[0].settled)

    def enter(self, entry: Entry) -> None:
        """Append an entry."""
        self.queue.append(entry)
        self._bytes += entry.size
        self.entered += 1

    def close(self) -> None:
        """The connection ends: whatever is settled from now on is answered to nobody."""
        self.closed = True
        self.queue.clear()
        self._bytes = 0
        self._left()

    def answer_before(self, place: Held) -> None:
        """Answer all in front of a place; a write there that is not settled (out of order) stops it. Never raises."""
        queue = self.queue
        if self.closed or not queue or queue[0] is place:
            return
        now = trio.current_time()
        try:
            while queue and queue[0] is not place:
                entry = queue[0]
                if isinstance(entry, Held) and not entry.settled:
                    if entry.commit:
                        break
                    entry.settled = True
                self._answer_oldest(now)
        except Exception as fault:  # noqa: BLE001 - the barrier: it ends one connection only
            self.owner.crashed(fault)
        self._left()
        self.owner.eased()

    def settle(self, place: Held, now: float) -> None:
        """The answer of a write is known; it goes out now, unless an older write's is not known yet. Never raises.

        Args:
            place: of the write.
            now: Trio time.
        """
        if self.closed:
            return
        queue = self.queue
        if queue and queue[0] is not place:
            self.answer_before(place)
        if queue and queue[0] is place:
            self._answer_oldest(now)
        self._left()
        self.owner.eased()

    def advance(self) -> None:
        """Answer what waits for nothing, at most `MOST_AT_ONCE`, or until the outbox is full."""
        if not self.advanceable:
            return
        now = trio.current_time()
        left = MOST_AT_ONCE
        while left and self.advanceable and not self._outbox.full:
            self._answer_oldest(now)
            left -= 1
        self._left()

    async def emptied(self) -> None:
        """Wait until nothing waits any more."""
        while self.queue:
            self._emptied = trio.Event()
            await self._emptied.wait()

    def _answer_oldest(self, now: float) -> None:
        """Encode the reply of the oldest entry."""
        entry = self.queue.popleft()
        self._bytes -= entry.size
        if isinstance(entry, Parked):
            code, body = self.owner.answer(entry)
            zxid = self._replica.zxid
        else:
            code, body = entry.code, entry.body
            zxid = self._replica.zxid if entry.zxid is None else entry.zxid
        self._outbox.put(reply(entry.xid, zxid, code, body))
        self._stats.waited(entry.received, now, zxid, isinstance(entry, Held) and entry.commit)

    def _left(self) -> None:
        """Entries left the queue: tell who waits for its end."""
        if self._emptied is not None and not self.queue:
            self._emptied.set()

    def __repr__(self) -> str:
        return f"<Responses {len(self.queue)} entries, {self._bytes} bytes{' closed' if self.closed else ''}>"
