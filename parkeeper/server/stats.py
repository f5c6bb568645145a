"""Counters: one object per server, one per connection; what four-letter words and `/metrics` print is made of these.

Cheap where it counts: a reader adds once per slice, not once per request, and what can be derived (outstanding
requests, connections) is derived by whoever asks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sized
from typing import Final

import trio

_BUCKETS: Final = 64
_FINEST: Final = 16
"""Buckets of times double, from a sixteenth of a ms."""


class Latency:
    """Times from a request's receipt to its answer, in ms.

    Attributes:
        count, total: how many, and their sum.
        least, most, last: 0 while there is none.
    """

    __slots__ = ("count", "last", "least", "most", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.least = 0.0
        self.most = 0.0
        self.last = 0.0

    def add(self, ms: float, count: int = 1) -> None:
        """So many requests took this long."""
        if not self.count or ms < self.least:
            self.least = ms
        if ms > self.most:  # noqa: PLR1730 - a call to max() costs what all the rest of this does
            self.most = ms
        self.count += count
        self.total += ms * count
        self.last = ms

    @property
    def average(self) -> float:
        """Mean, 0 while there is none."""
        return self.total / self.count if self.count else 0.0


class Histogram(Latency):
    """Latencies with their distribution."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        super().__init__()
        self._buckets = [0] * _BUCKETS

    def add(self, ms: float, count: int = 1) -> None:
        """So many requests took this long."""
        self._buckets[int(ms * _FINEST).bit_length()] += count
        Latency.add(self, ms, count)

    def quantile(self, share: float) -> float:
        """A time that this share (0..1) of the requests did not exceed; exact to a factor of two."""
        left = share * self.count
        for index, count in enumerate(self._buckets):
            left -= count
            if count and left <= 0:
                return min(self.most, (1 << index) / _FINEST)
        return self.most


class ServerStats:
    """What a keeper counts, since its start or the last `reset`.

    Args:
        now_ms: wall clock, ms since 1970.

    Attributes:
        connections: the live ones, those without a session too.
        reads, updates: of requests answered from the replica; of those that waited for a commit.
        received, sent: packets, events and handshakes included.
        bytes_received, bytes_sent: of the same.
        events, event_bytes: watch events sent.
        ops: requests per opcode.
        asked: handshakes begun (`connection_request_count`).
        rejected: connections refused for lack of room, or above the limit of their address.
        dropped: connections that did not end by their client's wish (`connection_drop_count`).
        cut_off: of these, peers that did not read.
        late_handshakes: connections that asked for no session in time (`sessionless_connections_expired`).
        large_requests: frames above the limit (`large_requests_rejected`).
        auth_failed: refused `addauth` requests.
        crashed: connections ended by an error of ours.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self.started_ms = now_ms()
        self.connections: set[ConnectionStats] = set()
        self.ops: defaultdict[int, int] = defaultdict(int)
        self.reset()

    def reset(self) -> None:
        """Forget all counts (`srst`)."""
        self.reads = Histogram()
        self.updates = Histogram()
        self.received = 0
        self.sent = 0
        self.bytes_received = 0
        self.bytes_sent = 0
        self.events = 0
        self.event_bytes = 0
        self.ops.clear()
        self.asked = 0
        self.rejected = 0
        self.dropped = 0
        self.cut_off = 0
        self.late_handshakes = 0
        self.large_requests = 0
        self.auth_failed = 0
        self.crashed = 0

    @property
    def latency(self) -> Latency:
        """Of all requests."""
        reads, updates, both = self.reads, self.updates, Latency()
        both.count = reads.count + updates.count
        both.total = reads.total + updates.total
        both.least = min((each.least for each in (reads, updates) if each.count), default=0.0)
        both.most = max(reads.most, updates.most)
        both.last = updates.last or reads.last
        return both

    @property
    def outstanding(self) -> int:
        """Requests received and not answered yet."""
        return sum(len(connection.queue) for connection in self.connections)

    @property
    def uptime_ms(self) -> int:
        """ms since the start."""
        return self.now_ms() - self.started_ms


class ConnectionStats:
    """What is counted of one connection.

    Args:
        server: whose totals grow with it.
        host, port: the peer.
        queue: its requests not answered yet.
        drop: ends the connection gracefully; takes the reason, for the log.
        now: Trio's clock.

    Attributes:
        established: wall clock ms.
        session: its id, 0 before there is one; `timeout` ms, as negotiated.
        received, sent: packets.
        op, xid: of the last request; `op` 0 and `xid` -1 before there is one.
        zxid: in the header of the last reply; 0 before there is one.
        responded_at: Trio time of the last reply, 0 before there is one.
    """

    __slots__ = (
        "_now", "drop", "established", "host", "latency", "op", "port", "queue", "received", "responded_at", "sent",
        "server", "session", "timeout", "xid", "zxid",
    )  # fmt: skip

    def __init__(
        self,
        server: ServerStats,
        host: str,
        port: int,
        queue: Sized,
        drop: Callable[[str], None],
        now: Callable[[], float] = trio.current_time,
    ) -> None:
        self.server = server
        self.host = host
        self.port = port
        self.queue = queue
        self.drop = drop
        self._now = now
        self.established = server.now_ms()
        self.session = 0
        self.timeout = 0
        self.reset()

    def reset(self) -> None:
        """Forget all counts (`crst`)."""
        self.received = 0
        self.sent = 0
        self.op = 0
        self.xid = -1
        self.zxid = 0
        self.responded_at = 0.0
        self.latency = Latency()

    @property
    def responded(self) -> int:
        """Wall clock ms of the last reply, 0 before there is one."""
        if not self.responded_at:
            return 0
        return self.server.now_ms() - int((self._now() - self.responded_at) * 1000)

    def slice_done(self, size: int, requests: int, answered: int, started: float, zxid: int) -> None:
        """A reader handled a slice.

        Args:
            size: bytes received.
            requests: frames in them.
            answered: how many of these were answered from the replica at once.
            started: Trio time at which the slice was received.
            zxid: the replica's.
        """
        server = self.server
        self.received += requests
        server.received += requests
        server.bytes_received += size
        if answered:
            now = self._now()
            ms = (now - started) * 1000
            self.latency.add(ms, answered)
            server.reads.add(ms, answered)
            self.zxid = zxid
            self.responded_at = now

    def waited(self, received: float, now: float, zxid: int, update: bool) -> None:
        """A request that had to wait in the response queue was answered.

        Args:
            received, now: Trio time of its receipt and of its answer.
            zxid: in its reply's header.
            update: whether it waited for its own commit.
        """
        server = self.server
        ms = (now - received) * 1000
        self.latency.add(ms)
        (server.updates if update else server.reads).add(ms)
        self.zxid = zxid
        self.responded_at = now

    def sent_packets(self, count: int, size: int) -> None:
        """Packets were handed to the transport; `size` in bytes."""
        self.sent += count
        self.server.sent += count
        self.server.bytes_sent += size
