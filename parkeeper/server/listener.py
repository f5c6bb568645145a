"""Where clients come in: a `trio.abc.Listener` of transports, for `trio.serve_listeners`.

A connection that is too much is closed at once, before anything is read, and counted: above the limit of its address
(`maxClientCnxns`), or when it would use up the descriptors that the store and the admin port need. So running out of
descriptors in `accept` itself stays the rare case, which `serve_listeners` waits out.
"""

from __future__ import annotations

import errno
import logging
import os
import resource
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

import trio

from parkeeper.errors import ConfigError
from parkeeper.options import Options
from parkeeper.server.transport import AnyStream, KernelSocket, Transport
from parkeeper.server.trouble import Seldom

log = logging.getLogger(__name__)

BACKLOG: Final = 4096
"""Connections the kernel queues for us; it cuts the number down to what it allows."""

_ALREADY_GONE: Final = frozenset(
    (errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.ENETDOWN, errno.ENOPROTOOPT, errno.EHOSTDOWN,
     errno.EHOSTUNREACH, errno.EOPNOTSUPP, errno.ENETUNREACH)
)  # fmt: skip
"""What accept(2) says of a connection that ended before it was accepted (Linux: treat like EAGAIN)."""

_NO_SUCH_FAMILY: Final = frozenset((errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL))


def descriptors_left() -> int:
    """File descriptors this process may still open."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        limit = 1 << 20
    with suppress(OSError):
        return limit - len(os.listdir("/dev/fd"))
    return limit


class Admission:
    """Counts connections, over all listeners of a keeper, and says who is too much.

    Args:
        most: connections in all.
        per_address: connections of one address, 0: no limit.
        rejected: called for each one refused.
    """

    def __init__(self, most: int, per_address: int, rejected: Callable[[], None]) -> None:
        self._most = most
        self._per_address = per_address
        self._rejected = rejected
        self._addresses: dict[str, int] = {}
        self._told = Seldom()
        self.count = 0

    @classmethod
    def by(cls, options: Options, rejected: Callable[[], None]) -> Admission:
        """As the options say; without a number there, as many as descriptors allow.

        Raises:
            ConfigError: the process may not even open the descriptors that are to be spared.
        """
        limits = options.limits
        free = descriptors_left() - limits.spare_descriptors
        if free <= 0:
            raise ConfigError(
                f"{free + limits.spare_descriptors} file descriptors are left and {limits.spare_descriptors} are to"
                " be spared: raise the limit (ulimit -n)"
            )
        return cls(min(limits.connections or free, free), options.max_connections_per_address, rejected)

    def enter(self, host: str) -> bool:
        """Count a connection in; False if it is one too much, and is not counted."""
        same = self._addresses.get(host, 0)
        if self.count >= self._most:
            self._refuse(host, f"there are {self.count} connections, no more fit")
        elif self._per_address and same >= self._per_address:
            self._refuse(host, f"its address has {same} connections, the limit")
        else:
            self._addresses[host] = same + 1
            self.count += 1
            return True
        return False

    def leave(self, host: str) -> None:
        """Count one out."""
        self.count -= 1
        same = self._addresses[host] - 1
        if same:
            self._addresses[host] = same
        else:
            del self._addresses[host]

    def _refuse(self, host: str, why: str) -> None:
        """Count a refusal, and log it unless one was logged just now: refusals must not fill a disk."""
        self._rejected()
        if count := self._told.count():
            log.warning("closed a connection from %s: %s (%d refused since last told)", host, why, count)


class ClientListener(trio.abc.Listener[Transport]):
    """Accepts clients on one listening socket.

    Args:
        sock: listening, or bound until `listen`; becomes non-blocking, and is ours to close.
        admission: who may come in.
        tls: None: plain TCP.
    """

    def __init__(self, sock: socket.socket, admission: Admission, tls: ssl.SSLContext | None = None) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._admission = admission
        self._tls = tls
        self._closed = False
        self.host, self.port = _host_and_port(sock.getsockname())

    def listen(self) -> None:
        """Listen, if the socket does not yet. Raises: `OSError`."""
        self._sock.listen(BACKLOG)

    async def accept(self) -> Transport:
        """Wait for a client that may come in.

        Raises:
            OSError: the system is short of something; `serve_listeners` knows what to do.
            trio.ClosedResourceError: this listener was closed.
        """
        while True:
            if self._closed:
                raise trio.ClosedResourceError
            await trio.lowlevel.wait_readable(self._sock)
            try:
                client, address = self._sock.accept()
            except BlockingIOError:
                continue
            except OSError as fault:
                if fault.errno in _ALREADY_GONE:
                    continue
                raise
            host, port = _host_and_port(address)
            if not self._admission.enter(host):
                client.close()
                continue
            return self._transport(client, host, port)

    async def aclose(self) -> None:
        """Stop listening; an `accept` that waits gets `trio.ClosedResourceError`."""
        if not self._closed:
            self._closed = True
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()
        await trio.lowlevel.checkpoint()

    def _transport(self, client: socket.socket, host: str, port: int) -> Transport:
        left = partial(self._admission.leave, host)
        if self._tls is None:
            return KernelSocket(client, host, port, left)
        client.setblocking(False)
        plain = trio.SocketStream(trio.socket.from_stdlib_socket(client))
        secure = trio.SSLStream(plain, self._tls, server_side=True, https_compatible=True)
        return AnyStream(secure, host, port, left)


def _host_and_port(address: tuple[object, ...]) -> tuple[str, int]:
    """Of an address as the socket module gives it; a zone is dropped."""
    host, port = address[:2]
    if not isinstance(host, str) or not isinstance(port, int):
        raise TypeError(f"not an internet address: {address!r}")
    return host.partition("%")[0], port


async def listen(
    port: int, host: str | None = None, *, reuse_port: bool = False, backlog: int | None = BACKLOG
) -> list[socket.socket]:
    """Listening sockets for one port.

    Args:
        port: 0: one the kernel picks, the same for all families.
        host: name or address; None: every address, IPv4 and IPv6.
        reuse_port: let several processes listen on the port; the kernel shares the clients among them.
        backlog: connections the kernel may queue; None: don't listen, only hold the port.

    Raises:
        OSError: the port is taken, or is not ours to use.
        ConfigError: the host has no address.
    """
    try:
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as fault:
        raise ConfigError(f"cannot listen on {host}: {fault}") from fault
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in found:
            where, _ = _host_and_port(address)
            bound = sockets[0].getsockname()[1] if sockets else port
            try:
                sockets.append(_bind(family, where, bound, reuse_port=reuse_port, backlog=backlog))
            except OSError as fault:
                if host is None and fault.errno in _NO_SUCH_FAMILY:
                    continue
                raise
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    if not sockets:
        raise ConfigError("this machine has neither IPv4 nor IPv6")
    return sockets


def _bind(
    family: socket.AddressFamily, host: str, port: int, *, reuse_port: bool, backlog: int | None
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        if backlog is not None:
            sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock
