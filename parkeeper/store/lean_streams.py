"""The byte streams below the lean transport: TCP on the kernel's socket, TLS over Trio's; and what broke them."""

from __future__ import annotations

import os
import socket
import ssl
from typing import cast

import trio

_KEEPALIVE = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 3), ("TCP_KEEPCNT", 3))


class Plain:
    """A TCP connection on the kernel's socket itself.

    Trio's `SocketStream` passes the scheduler twice for each call; this passes it once for an answer, and not at
    all for a request that the kernel takes at once: 35 us of CPU less an exchange.

    Args:
        tcp: connected; taken over.
    """

    def __init__(self, tcp: trio.SocketStream) -> None:
        self._socket = socket.socket(fileno=tcp.socket.detach())
        self._socket.setblocking(False)

    async def send_all(self, data: bytes) -> None:
        """Send everything; a checkpoint only if the kernel takes but a part."""
        rest = memoryview(data)
        while True:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                pass
            except OSError as error:
                raise trio.BrokenResourceError from error
            if not rest:
                return
            await trio.lowlevel.wait_writable(self._socket)

    async def receive_some(self, limit: int) -> bytes:
        """What there is, at most `limit` bytes; b"" at the end."""
        while True:
            try:
                await trio.lowlevel.wait_readable(self._socket)
                return self._socket.recv(limit)
            except BlockingIOError:
                continue
            except OSError as error:
                raise trio.BrokenResourceError from error

    def is_readable(self) -> bool:
        """Whether there is anything to receive, the end included."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:  # it is broken, as the next call will say
            pass
        return True

    def close(self) -> None:
        """Close at once; who waits on it gets `trio.ClosedResourceError`."""
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()


class Secured:
    """TLS over Trio's streams.

    Args:
        tcp: connected; taken over.
        context: whom to trust, and what to show.
        name: that the server's certificate must be for.
    """

    def __init__(self, tcp: trio.SocketStream, context: ssl.SSLContext, name: str) -> None:
        self._tcp = tcp
        self._tls = trio.SSLStream(tcp, context, server_hostname=name, https_compatible=True)
        self.send_all = self._tls.send_all
        self.do_handshake = self._tls.do_handshake

    async def receive_some(self, limit: int) -> bytes:
        """As `Plain.receive_some`."""
        return bytes(await self._tls.receive_some(limit))

    def is_readable(self) -> bool:
        """Of the socket: between answers not even TLS has anything to say but that it ends."""
        return self._tcp.socket.is_readable()

    def close(self) -> None:
        """Without TLS's farewell, which would have to wait."""
        self._tcp.socket.close()


def reason(error: BaseException) -> str:
    """The text of the error at the bottom: Trio wraps what the socket or TLS said."""
    while (below := _below(error)) is not None:
        error = below
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.errno:
        return os.strerror(error.errno)  # Trio puts the address into it, and so do our callers
    return str(error) or type(error).__name__


def _below(error: BaseException) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error.__cause__


def keep_alive(sock: trio.socket.SocketType) -> None:
    """Let the kernel notice, within 20 s, a peer that is gone without a word."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in _KEEPALIVE:
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)
