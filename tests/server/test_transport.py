"""Transports over real sockets and streams: what arrives, what doesn't, and how an end shows."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from parkeeper.server.transport import GONE, AnyStream, KernelSocket


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets; ours and the peer's."""
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


async def test_receive_gives_what_was_sent(pair):
    """Bytes come as they are, and no more at once than asked for."""
    ours, theirs = pair
    transport = KernelSocket(ours, "127.0.0.1", 1)
    theirs.sendall(b"abcdef")
    assert await transport.receive(4) == b"abcd"
    assert await transport.receive(4) == b"ef"
    await transport.aclose()


async def test_receive_is_empty_when_the_peer_stopped_writing(pair):
    """The end of the peer's half is empty bytes, not an error."""
    ours, theirs = pair
    transport = KernelSocket(ours, "127.0.0.1", 1)
    theirs.shutdown(socket.SHUT_WR)
    assert await transport.receive(4) == b""
    await transport.send_all(memoryview(b"still"))
    assert theirs.recv(10) == b"still"
    await transport.aclose()


async def test_send_all_waits_for_the_peer(pair):
    """What does not fit goes out as the peer reads, all of it and in order."""
    ours, theirs = pair
    transport = KernelSocket(ours, "127.0.0.1", 1)
    theirs.setblocking(False)
    data = bytes(range(256)) * 8192
    got = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.send_all, memoryview(data))
        while len(got) < len(data):
            await trio.lowlevel.wait_readable(theirs)
            got += theirs.recv(1 << 16)
    assert got == data
    await transport.aclose()


async def test_receive_raises_when_we_close(pair):
    """A reader that waits learns that its connection was closed by another task."""
    ours, _ = pair
    transport = KernelSocket(ours, "127.0.0.1", 1)

    async def read() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await transport.receive(4)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        await transport.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await transport.receive(4)
    with pytest.raises(trio.ClosedResourceError):
        await transport.send_all(memoryview(b"x"))
    with pytest.raises(trio.ClosedResourceError):
        transport.prompt.send(b"x")
    with pytest.raises(trio.ClosedResourceError):
        transport.prompt.receive(1)


async def test_a_reset_peer_is_gone(pair):
    """Sending to a peer that closed is a Trio error, never a bare OSError."""
    ours, theirs = pair
    transport = KernelSocket(ours, "127.0.0.1", 1)
    theirs.close()
    with pytest.raises(trio.BrokenResourceError):
        await transport.send_all(memoryview(b"x"))
    await transport.send_eof()
    await transport.aclose()


async def test_closing_is_told_once(pair):
    """Whoever counts connections hears of each end exactly once."""
    told = []
    transport = KernelSocket(pair[0], "127.0.0.1", 1, lambda: told.append(1))
    await transport.aclose()
    await transport.aclose()
    assert told == [1]


async def test_any_stream_leaves_sending_to_the_writer():
    """A memory stream takes nothing without waiting, and everything with it."""
    ours, theirs = trio.testing.memory_stream_pair()
    told = []
    transport = AnyStream(ours, "10.0.0.1", 7, lambda: told.append(1))
    assert transport.prompt is None
    await transport.send_all(memoryview(b"hello"))
    assert await theirs.receive_some() == b"hello"
    await theirs.send_all(b"there")
    got = await transport.receive(100)
    assert got == b"there"
    assert type(got) is bytes
    assert await transport.send_eof()
    assert await theirs.receive_some() == b""
    await transport.aclose()
    assert told == [1]
    with pytest.raises(GONE):
        await transport.receive(1)
