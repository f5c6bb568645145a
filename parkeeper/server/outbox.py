"""Bytes on their way to one peer.

Whoever has a packet puts it here and goes on; nothing waits. What was put is sent by one of two:

* `flush_now`, without waiting, by the reader at the end of its slice and by the flusher: the usual way.
* `drain`, the writer task, the only one that ever waits for a peer: it gets what the kernel did not take. While it
  has something (`blocked`), `flush_now` does nothing, so the order of `put` is the order on the wire.

Bounded: above `high` the connection stops reading, at `limit` the peer is cut off. Watch events are not requests and
cannot be held back by not reading, hence the second bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from parkeeper.server.stats import ConnectionStats
from parkeeper.server.transport import GONE, Transport

PIECE: Final = 1 << 18
"""Bytes handed to one awaited send: small enough that `size` follows a slow peer's progress."""


class Outbox:
    """What one peer is still to be sent.

    Args:
        transport: where it goes.
        high: bytes above which the connection should read no more requests.
        limit: bytes at which the peer is cut off.
        stats: where sent packets are counted.
        cut: ends the connection at once, nothing more is sent; takes the reason.
        eased: called whenever the writer task got rid of something.

    Attributes:
        high: as given.
        size: bytes not yet taken by the transport.
        blocked: whether the writer task is sending, so that nobody else may.
        sealed: whether packets put from now on are dropped.
    """

    __slots__ = (
        "_cut", "_eased", "_flushed", "_limit", "_packets", "_prompt", "_rest", "_stats", "_transport", "_wake",
        "blocked", "high", "sealed", "size",
    )  # fmt: skip

    def __init__(
        self,
        transport: Transport,
        high: int,
        limit: int,
        stats: ConnectionStats,
        cut: Callable[[str], None],
        eased: Callable[[], None],
    ) -> None:
        self.size = 0
        self.blocked = False
        self.sealed = False
        self._transport = transport
        self._prompt = transport.prompt
        self.high = high
        self._limit = limit
        self._stats = stats
        self._cut = cut
        self._eased = eased
        self._packets: list[bytes] = []
        self._rest = memoryview(b"")
        self._wake = trio.Event()
        self._flushed: trio.Event | None = None

    @property
    def full(self) -> bool:
        """Whether the peer should be read from no more until it took some of this."""
        return self.size > self.high

    def put(self, packet: bytes) -> None:
        """Add one whole packet. Never waits, never raises."""
        if self.sealed:
            return
        self._packets.append(packet)
        self.size += len(packet)
        if self.size > self._limit:
            self.sealed = True
            self._stats.server.cut_off += 1
            self._cut(f"it does not read: {self.size} bytes wait for it, the limit is {self._limit}")

    def flush_now(self) -> None:
        """Send what goes out without waiting; the writer task gets the rest. Never raises for a peer that is gone."""
        if self.blocked or not self._packets:
            return
        data, sent = self._take(), 0
        if self._prompt is not None:
            try:
                sent = self._prompt.send(data)
            except GONE:
                self._lost()
                return
        self.size -= sent
        if sent < len(data):
            self._rest = memoryview(data)[sent:]
            self.blocked = True
            self._wake.set()

    def discard(self) -> None:
        """Send nothing more of what was put."""
        self.sealed = True
        self.size -= sum(map(len, self._packets))
        self._packets.clear()

    async def drain(self) -> None:
        """The writer task: sends what `flush_now` could not, until it is cancelled or the peer is gone."""
        while True:
            await self._wake.wait()
            while self._rest:
                piece = self._rest[:PIECE]
                try:
                    await self._transport.send_all(piece)
                except GONE:
                    self._lost()
                    return
                self.size -= len(piece)
                self._rest = self._rest[len(piece) :] or memoryview(self._take())
                self._eased()
            self._wake = trio.Event()
            self.blocked = False
            if self._flushed is not None:
                self._flushed.set()

    async def flushed(self) -> None:
        """Send all there is, and wait until the transport has it. The caller sets a deadline, and seals first."""
        self.flush_now()
        while self.size:
            self._flushed = trio.Event()
            await self._flushed.wait()

    def _take(self) -> bytes:
        """All packets as one piece; they count as sent, as in ZooKeeper's `Sent`."""
        packets = self._packets
        data = packets[0] if len(packets) == 1 else b"".join(packets)
        if packets:
            self._stats.sent_packets(len(packets), len(data))
            packets.clear()
        return data

    def _lost(self) -> None:
        """The transport is no more: nothing is owed to anybody."""
        self.sealed = True
        self._packets.clear()
        self._cut("the peer is gone")

    def __repr__(self) -> str:
        return f"<Outbox {self.size} bytes{' blocked' if self.blocked else ''}{' sealed' if self.sealed else ''}>"
