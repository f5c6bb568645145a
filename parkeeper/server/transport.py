"""The bytes of one peer, behind one small seam.

Two kinds. `KernelSocket` is what the client port uses: there is a `prompt` way to receive and to send, one that never
waits (`parkeeper.server.prompt_socket`). `AnyStream` is any other Trio stream (memory streams in tests, TLS), where both
are awaited, so everything that is sent goes through the writer task.

A peer that went away shows as `trio.BrokenResourceError`, our own closing as `trio.ClosedResourceError`; both are
`GONE`. No bare OSError leaves this module.
"""

from __future__ import annotations

import socket
from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import trio

from parkeeper.server.prompt_socket import PromptSocket

GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError)
"""What a send or a receive raises when the connection is no more."""


def _nothing() -> None:
    """Nobody wants to know that it was closed."""


class Transport(trio.abc.AsyncResource):
    """One peer's bytes, both ways.

    At most one task may receive, and one send, at a time.

    Attributes:
        host: the peer's numeric address, without zone; the identity of scheme `ip`.
        port: the peer's port, 0 where there is none.
        prompt: receives and sends without waiting; None where bytes can only be awaited.
    """

    host: str
    port: int
    prompt: PromptSocket | None = None

    @abstractmethod
    async def receive(self, limit: int) -> bytes:
        """Wait for bytes, at most `limit`; empty: the peer will send no more.

        Raises:
            trio.BrokenResourceError, trio.ClosedResourceError: see `GONE`.
        """

    @abstractmethod
    async def send_all(self, data: memoryview) -> None:
        """Send all of it, waiting as long as it takes. After a cancelled one nothing may be sent any more.

        Raises:
            trio.BrokenResourceError, trio.ClosedResourceError: see `GONE`.
        """

    @abstractmethod
    async def send_eof(self) -> bool:
        """Say that nothing more will be sent; False where the kind of stream cannot say so."""


class KernelSocket(Transport):
    """A connected TCP socket.

    Args:
        sock: connected; becomes non-blocking, and is ours to close.
        host, port: the peer.
        closed: called once, when it is closed.
    """

    def __init__(
        self, sock: socket.socket, host: str, port: int, closed: Callable[[], None] = _nothing
    ) -> None:
        sock.setblocking(False)
        with suppress(OSError):  # a peer that is gone already; a socket that is not TCP (tests)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.host = host
        self.port = port
        self.prompt = self._prompt = PromptSocket(sock)
        self._sock = sock
        self._on_closed = closed
        self._closed = False

    async def receive(self, limit: int) -> bytes:
        """See `Transport.receive`. Yields exactly once when data is there."""
        while True:
            if self._closed:
                raise trio.ClosedResourceError
            await trio.lowlevel.wait_readable(self._sock)
            chunk = self._prompt.receive(limit)
            if chunk is not None:
                return chunk

    async def send_all(self, data: memoryview) -> None:
        """See `Transport.send_all`."""
        await trio.lowlevel.checkpoint()
        while data:
            data = data[self._prompt.send(data) :]
            if data:
                await trio.lowlevel.wait_writable(self._sock)

    async def send_eof(self) -> bool:
        """See `Transport.send_eof`."""
        await trio.lowlevel.checkpoint()
        with suppress(OSError):  # the peer is gone: whoever reads next will see it
            self._sock.shutdown(socket.SHUT_WR)
        return True

    async def aclose(self) -> None:
        """Close it; a receive or send that waits gets `trio.ClosedResourceError`."""
        if not self._closed:
            self._closed = True
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()
            self._on_closed()
        await trio.lowlevel.checkpoint()


class AnyStream(Transport):
    """Any Trio stream, where sending always goes through the writer task.

    Args:
        stream: ours to close.
        host, port: the peer.
        closed: called once, when it is closed.
    """

    def __init__(
        self, stream: trio.abc.Stream, host: str, port: int = 0, closed: Callable[[], None] = _nothing
    ) -> None:
        self.host = host
        self.port = port
        self._stream = stream
        self._on_closed = closed
        self._closed = False

    async def receive(self, limit: int) -> bytes:
        """See `Transport.receive`; the first one makes the TLS handshake."""
        return bytes(await self._stream.receive_some(limit))

    async def send_all(self, data: memoryview) -> None:
        """See `Transport.send_all`."""
        await self._stream.send_all(data)

    async def send_eof(self) -> bool:
        """See `Transport.send_eof`; TLS cannot."""
        if not isinstance(self._stream, trio.abc.HalfCloseableStream):
            await trio.lowlevel.checkpoint()
            return False
        await self._stream.send_eof()
        return True

    async def aclose(self) -> None:
        """Close it; on TLS this says goodbye to the peer first, and may wait."""
        try:
            await self._stream.aclose()
        finally:
            if not self._closed:
                self._closed = True
                self._on_closed()
