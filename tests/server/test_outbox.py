"""The outbox: order, bounds, and peers that do not read."""

from __future__ import annotations

import socket

import pytest
import trio
import trio.testing

from parkeeper.server.outbox import Outbox
from parkeeper.server.stats import ConnectionStats, ServerStats
from parkeeper.server.transport import AnyStream, KernelSocket, Transport


class Box:
    """An outbox and what it said to its connection."""

    def __init__(self, transport: Transport, high: int = 100, limit: int = 1000) -> None:
        self.cuts: list[str] = []
        self.eased = 0
        self.stats = ConnectionStats(ServerStats(lambda: 0), "10.0.0.1", 1, [], self.cuts.append)
        self.box = Outbox(transport, high, limit, self.stats, self.cuts.append, self._eased)

    def _eased(self) -> None:
        self.eased += 1


@pytest.fixture
async def kernel():
    """A transport on a small real socket, and its peer."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    transport = KernelSocket(ours, "10.0.0.1", 1)
    theirs.setblocking(False)
    yield transport, theirs
    theirs.close()
    await trio.aclose_forcefully(transport)


async def test_what_is_discarded_is_not_sent(kernel):
    """Nor is what comes later; what the writer task has taken already goes on."""
    transport, peer = kernel
    held = Box(transport, limit=1 << 20)
    held.box.put(bytes(100_000))
    held.box.flush_now()
    assert held.box.blocked
    rest = held.box.size
    held.box.put(b"untrue")
    held.box.discard()
    assert held.box.size == rest
    held.box.put(b"late")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(held.box.drain)
        got = bytearray()
        while len(got) < 100_000:
            await trio.lowlevel.wait_readable(peer)
            got += peer.recv(1 << 16)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert got == bytes(100_000)
    assert (held.box.size, held.cuts) == (0, [])
    with pytest.raises(BlockingIOError):
        peer.recv(1)


async def test_flush_now_sends_everything_in_one_piece(kernel):
    """Packets put one after the other are one segment, as a client reading once expects."""
    transport, peer = kernel
    held = Box(transport)
    held.box.put(b"one")
    held.box.put(b"two")
    assert held.box.size == 6
    held.box.flush_now()
    assert peer.recv(100) == b"onetwo"
    assert held.box.size == 0
    assert (held.stats.sent, held.stats.server.bytes_sent) == (2, 6)


async def test_the_writer_finishes_what_the_kernel_did_not_take(kernel):
    """Beyond the socket's buffer the order stays, and later packets wait behind."""
    transport, peer = kernel
    held = Box(transport, limit=1 << 30)
    big = bytes(range(256)) * 4096
    held.box.put(big)
    held.box.flush_now()
    assert held.box.blocked
    held.box.put(b"after")
    held.box.flush_now()
    got = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(held.box.drain)
        while len(got) < len(big) + 5:
            await trio.lowlevel.wait_readable(peer)
            got += peer.recv(1 << 16)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert got == big + b"after"
    assert held.box.size == 0
    assert not held.box.blocked
    assert held.eased > 0


async def test_full_is_above_the_high_mark_until_the_peer_reads():
    """The reader is to stop above the mark, and may go on as soon as the writer got rid of enough."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    held = Box(AnyStream(ours, "10.0.0.1"))
    held.box.put(bytes(100))
    assert not held.box.full
    held.box.put(b"x")
    assert held.box.full
    held.box.flush_now()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(held.box.drain)
        await trio.testing.wait_all_tasks_blocked()
        assert held.box.full
        assert held.eased == 0
        got = 0
        while got < 101:
            got += len(await theirs.receive_some(1000))
        await trio.testing.wait_all_tasks_blocked()
        assert not held.box.full
        assert held.eased == 1
        nursery.cancel_scope.cancel()


async def test_a_peer_that_does_not_read_is_cut_off_at_the_limit():
    """Once, with a reason, and nothing is kept for it from then on."""
    ours, _ = trio.testing.lockstep_stream_pair()
    held = Box(AnyStream(ours, "10.0.0.1"))
    held.box.put(bytes(1000))
    assert held.cuts == []
    held.box.put(b"x")
    held.box.put(b"y")
    assert held.cuts == ["it does not read: 1001 bytes wait for it, the limit is 1000"]
    assert held.box.size == 1001
    assert held.stats.server.cut_off == 1


async def test_a_peer_that_is_gone_ends_the_connection_not_the_sender(kernel):
    """Neither the flusher nor the reader meets an exception from a dead peer."""
    transport, peer = kernel
    peer.close()
    held = Box(transport)
    held.box.put(b"x")
    held.box.flush_now()
    held.box.put(b"y")
    held.box.flush_now()
    assert held.cuts == ["the peer is gone"]


async def test_the_writer_ends_when_the_peer_is_gone():
    """The writer task returns, having said so."""
    ours, theirs = trio.testing.memory_stream_pair()
    held = Box(AnyStream(ours, "10.0.0.1"))
    await theirs.aclose()
    held.box.put(b"x")
    held.box.flush_now()
    await held.box.drain()
    assert held.cuts == ["the peer is gone"]


async def test_flushed_waits_for_the_last_byte():
    """A connection that ends knows when its last reply has left."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    held = Box(AnyStream(ours, "10.0.0.1"))
    held.box.put(b"last")
    held.box.sealed = True
    held.box.put(b"too late")
    done = trio.Event()

    async def flush() -> None:
        await held.box.flushed()
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(held.box.drain)
        nursery.start_soon(flush)
        await trio.testing.wait_all_tasks_blocked()
        assert not done.is_set()
        assert await theirs.receive_some(100) == b"last"
        await done.wait()
        nursery.cancel_scope.cancel()
