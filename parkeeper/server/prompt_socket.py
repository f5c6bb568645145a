"""What a client's socket does at once: receive what is there, and send what goes out.

Nothing here waits, so a whole slice of requests, or of replies, costs one system call and no task switch; whoever has to
wait does so by the transport (`parkeeper.server.transport`). A module of its own because it can be compiled, which a
class that Trio's abstract ones are the base of can't.
"""

from __future__ import annotations

import errno
import socket

import trio


class PromptSocket:
    """A connected socket that does not block.

    Attributes:
        descriptor: what the kernel knows it by.
    """

    __slots__ = ("_recv", "_send", "descriptor")

    def __init__(self, sock: socket.socket) -> None:
        self.descriptor = sock.fileno()
        self._recv = sock.recv
        self._send = sock.send

    def receive(self, limit: int) -> bytes | None:
        """What is there, at most `limit` bytes; None: nothing yet; empty: there will be no more.

        Raises:
            trio.BrokenResourceError, trio.ClosedResourceError: the connection is no more.
        """
        try:
            return self._recv(limit)
        except BlockingIOError:
            return None
        except OSError as fault:
            raise gone(fault) from fault

    def send(self, data: bytes | memoryview) -> int:
        """Send what goes out; returns how many bytes did.

        Raises:
            trio.BrokenResourceError, trio.ClosedResourceError: the connection is no more.
        """
        try:
            return self._send(data)
        except BlockingIOError:
            return 0
        except OSError as fault:
            raise gone(fault) from fault


def gone(fault: OSError) -> trio.BrokenResourceError | trio.ClosedResourceError:
    """The Trio error for what the kernel said: that the peer went away, or that the socket is closed."""
    if fault.errno == errno.EBADF:
        return trio.ClosedResourceError("closed by us")
    return trio.BrokenResourceError(str(fault))
