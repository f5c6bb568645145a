"""What a socket does at once, on real sockets: what is there, what goes out, and how an end shows."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest
import trio

from parkeeper.server.prompt_socket import PromptSocket


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected TCP sockets; ours does not block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def test_receive_takes_what_is_there_and_never_waits(pair):
    """Nothing yet is None; then bytes as they are, no more at once than asked for."""
    ours, theirs = pair
    prompt = PromptSocket(ours)
    assert prompt.descriptor == ours.fileno()
    assert prompt.receive(4) is None
    theirs.sendall(b"abcdef")
    assert [prompt.receive(4), prompt.receive(4), prompt.receive(4)] == [b"abcd", b"ef", None]


def test_receive_is_empty_when_the_peer_stopped_writing(pair):
    """The end of the peer's half is empty bytes; the other half still works."""
    ours, theirs = pair
    prompt = PromptSocket(ours)
    theirs.shutdown(socket.SHUT_WR)
    assert prompt.receive(4) == b""
    assert prompt.send(b"still") == 5
    assert theirs.recv(10) == b"still"


def test_send_takes_what_fits_and_then_nothing(pair):
    """A full socket takes part of the bytes, then none, and never waits."""
    ours, _ = pair
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    prompt = PromptSocket(ours)
    sent = prompt.send(bytes(8 << 20))
    assert 0 < sent < 8 << 20
    while prompt.send(bytes(1 << 20)):
        pass
    assert prompt.send(memoryview(b"x")) == 0


def test_a_peer_that_reset_it_is_gone(pair):
    """Never a bare OSError."""
    ours, theirs = pair
    prompt = PromptSocket(ours)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    with pytest.raises(trio.BrokenResourceError, match="reset by peer"):
        prompt.receive(4)
    with pytest.raises(trio.BrokenResourceError, match=r"[Bb]roken pipe"):
        prompt.send(b"x")


def test_what_we_closed_says_so(pair):
    """It is told from a peer that went away."""
    ours, _ = pair
    prompt = PromptSocket(ours)
    ours.close()
    with pytest.raises(trio.ClosedResourceError):
        prompt.receive(4)
    with pytest.raises(trio.ClosedResourceError):
        prompt.send(b"x")
