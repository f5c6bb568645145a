"""A lean HTTP/1.1 transport for httpx, on Trio streams.

httpx's own transport costs 0.5 ms of CPU a POST, most of it in locks, events and tracing that a store's one-origin
traffic has no use for; it was the ceiling of every store measurement. This one does what etcd and Consul need and
no more: HTTP/1.1 with keep-alive, bodies by Content-Length, chunked or until the end, TLS, a bounded pool.

What an error says about the request (`parkeeper.store.http` turns it into ours):

- `ConnectError`, `ConnectTimeout`, `PoolTimeout`: not a byte of the request was sent.
- `WriteError`, `ReadError`, `ReadTimeout`, `RemoteProtocolError`: it may have been received.

A request is never sent twice. An idle connection is looked at before it is used, and dropped if the server has
closed it or has sent anything unasked: so a server's restart costs no doubtful request but in the instant between
that look and the send. A request that is cancelled, or whose answer is not read to its end, closes its connection.

Of a request's `extensions`, `WITHIN` is heeded: seconds for the whole exchange (connecting included), and the body
is read with the head. Without it the answer streams: its body waits in `response.extensions[BODY]`, a `Body`, to
be read piece by piece with `read()` (httpx's own iteration leaves async generators to the garbage collector when
it is left in the middle).
"""

from __future__ import annotations

import os
import select
import socket
import ssl
from typing import cast

import httpx
import trio

WITHIN = "parkeeper.within"
BODY = "parkeeper.body"

MAX_HEAD = 64 << 10
"""Bytes of a status line with all headers; Go's servers and clients stop at 1 MiB, ours have 20 lines."""

MAX_BODY = 1 << 30
"""Bytes of a body that is read whole: Consul's load of a whole tree is one answer (300 MB was seen)."""

RECEIVE = 256 << 10
IDLE = 30.0
"""Seconds after which an idle connection is not used again: middleboxes forget connections without a word."""

_KEEPALIVE = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 3), ("TCP_KEEPCNT", 3))


Origin = tuple[str, str, int]
"""Scheme, host and port."""

CUT_SHORT = "the server closed the connection in its answer"


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
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

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


class Connection:
    """One connection and the bytes received on it that nobody has taken yet."""

    def __init__(self, transport: LeanTransport, origin: Origin, stream: Plain | Secured) -> None:
        self._transport = transport
        self._stream = stream
        self.origin = origin
        self.buffer = bytearray()
        self.idle_since = 0.0

    async def send(self, data: bytes) -> None:
        """Send everything.

        Raises:
            httpx.WriteError: the connection broke; some of it may have arrived.
        """
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpx.WriteError(f"the connection broke: {reason(error)}") from error

    async def fill(self) -> None:
        """Receive some more.

        Raises:
            httpx.ReadError: the connection broke.
            EOFError: the server closed it.
        """
        try:
            chunk = await self._stream.receive_some(RECEIVE)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpx.ReadError(f"the connection broke: {reason(error)}") from error
        if not chunk:
            raise EOFError
        self.buffer += chunk

    async def until(self, mark: bytes, limit: int) -> bytes:
        """Take everything up to a mark, which is taken too but not returned.

        Raises:
            httpx.RemoteProtocolError: `limit` bytes or the end came before the mark.
        """
        start = 0
        while (at := self.buffer.find(mark, start)) < 0:
            start = max(0, len(self.buffer) - len(mark) + 1)
            if start > limit:
                raise httpx.RemoteProtocolError(f"no end of line within {limit} bytes")
            try:
                await self.fill()
            except EOFError:
                raise httpx.RemoteProtocolError(CUT_SHORT) from None
        taken = bytes(self.buffer[:at])
        del self.buffer[: at + len(mark)]
        return taken

    def take(self, limit: int) -> bytes:
        """Take what was received, at most `limit` bytes."""
        if len(self.buffer) <= limit:
            taken = bytes(self.buffer)
            self.buffer.clear()
        else:
            taken = bytes(self.buffer[:limit])
            del self.buffer[:limit]
        return taken

    def usable(self, now: float) -> bool:
        """Whether an idle connection is still open, and silent as it must be."""
        return not self.buffer and now - self.idle_since < IDLE and not self._stream.is_readable()

    def release(self, keep: bool) -> None:
        """The exchange is over: keep the connection for the next one, or close it. Twice is harmless."""
        self._transport.release(self, keep)

    def close(self) -> None:
        """Close at once, without a word; never waits, so that it may be called while being cancelled."""
        self._stream.close()


class Body(httpx.AsyncByteStream):
    """The body of an answer, read piece by piece. RFC 9112 section 6."""

    def __init__(self, connection: Connection, length: int | None, chunked: bool, keep: bool) -> None:
        self._connection = connection
        self._left = 0 if chunked else length
        self._chunked = chunked
        self._keep = keep and (chunked or length is not None)
        self._done = False
        if self._left == 0 and not chunked:
            self._end()

    async def read(self) -> bytes:
        """The next bytes as they arrive; b"" at the end, and the connection is free then.

        Raises:
            httpx.TransportError: the connection broke, or the server does not keep to the protocol.
        """
        if self._done:
            return b""
        try:
            return await self._read()
        except BaseException:  # a cancel too: what is left of this answer must not be taken for the next one
            await self.aclose()
            raise

    async def _read(self) -> bytes:
        connection = self._connection
        if self._chunked and self._left == 0 and not await self._next_chunk():
            return b""
        if not connection.buffer:
            try:
                await connection.fill()
            except EOFError:
                if self._left is not None:
                    raise httpx.RemoteProtocolError(CUT_SHORT) from None
                self._end()
                return b""
        piece = connection.take(len(connection.buffer) if self._left is None else self._left)
        if self._left is not None:
            self._left -= len(piece)
            if self._left == 0:
                if not self._chunked:
                    self._end()
                elif await connection.until(b"\r\n", 2):
                    raise httpx.RemoteProtocolError("a chunk is longer than it says")
        return piece

    async def _next_chunk(self) -> bool:
        size = (await self._connection.until(b"\r\n", 256)).partition(b";")[0].strip()
        if not size or len(size) > 15 or size.strip(b"0123456789abcdefABCDEF"):
            raise httpx.RemoteProtocolError(f"{size[:20]!r} is not the size of a chunk")
        self._left = int(size, 16)
        if self._left:
            return True
        while await self._connection.until(b"\r\n", MAX_HEAD):
            pass
        self._end()
        return False

    def _end(self) -> None:
        self._done = True
        self._connection.release(self._keep)

    async def read_all(self) -> bytes:
        """The whole body.

        Raises:
            httpx.RemoteProtocolError: above `MAX_BODY`, and as `read`.
        """
        pieces: list[bytes] = []
        size = 0
        while piece := await self.read():
            pieces.append(piece)
            size += len(piece)
            if size > MAX_BODY:
                raise httpx.RemoteProtocolError(f"an answer above {MAX_BODY} bytes")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        if piece := await self.read():
            return piece
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Give the rest up: the connection is closed unless the end was read."""
        self._done = True
        self._connection.release(keep=False)


class LeanTransport(httpx.AsyncBaseTransport):
    """Connections to a few origins, at most `size` of them busy at once.

    Args:
        context: for `https` origins; None where there are none.
        size: exchanges at once; more wait for their turn.
        connect: seconds for a connection to be made, TLS included.
    """

    def __init__(self, context: ssl.SSLContext | None, *, size: int, connect: float) -> None:
        self._context = context
        self._connect_time = connect
        self._slots = trio.Semaphore(size)
        self._idle: dict[Origin, list[Connection]] = {}
        self._busy: set[Connection] = set()

    def __repr__(self) -> str:
        idle = sum(map(len, self._idle.values()))
        return f"<LeanTransport {len(self._busy)} busy, {idle} idle>"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; see the module's docstring for the extensions and the errors."""
        within: float | None = request.extensions.get(WITHIN)
        if within is None:
            return await self._stream(request)
        sent = False
        with trio.move_on_after(within):
            connection = await self._acquire(request)
            sent = True
            return await self._exchange(connection, request, whole=True)
        if sent:
            raise httpx.ReadTimeout(f"no answer within {within:g} s", request=request)
        raise httpx.ConnectTimeout(f"no connection within {within:g} s", request=request)

    async def _stream(self, request: httpx.Request) -> httpx.Response:
        return await self._exchange(await self._acquire(request), request, whole=False)

    async def _acquire(self, request: httpx.Request) -> Connection:
        url = request.url
        origin = (url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80))
        try:
            self._slots.acquire_nowait()
        except trio.WouldBlock:
            await self._slots.acquire()
        connection = self._from_idle(origin)
        if connection is None:
            try:
                connection = await self._connect(origin)
            except BaseException:
                self._slots.release()
                raise
        self._busy.add(connection)
        return connection

    def _from_idle(self, origin: Origin) -> Connection | None:
        idle = self._idle.get(origin)
        now = trio.current_time()
        while idle:
            connection = idle.pop()
            if connection.usable(now):
                return connection
            connection.close()
        return None

    async def _connect(self, origin: Origin) -> Connection:
        scheme, host, port = origin
        with trio.move_on_after(self._connect_time):
            try:
                tcp = await trio.open_tcp_stream(host, port)
            except OSError as error:
                raise httpx.ConnectError(reason(error)) from error
            _keep_alive(tcp.socket)
            if scheme != "https":
                return Connection(self, origin, Plain(tcp))
            secured = Secured(tcp, self._context or ssl.create_default_context(), host)
            try:
                await secured.do_handshake()
            except BaseException as error:  # a cancel too
                secured.close()
                if isinstance(error, (trio.BrokenResourceError, OSError)):
                    raise httpx.ConnectError(reason(error)) from error
                raise
            return Connection(self, origin, secured)
        raise httpx.ConnectTimeout(f"no connection within {self._connect_time:g} s")

    async def _exchange(self, connection: Connection, request: httpx.Request, whole: bool) -> httpx.Response:
        try:
            await connection.send(_head(request) + request.content)
            status, headers = await _read_head(connection)
            body = _body(connection, request.method, status, headers)
            if not whole:
                return httpx.Response(status, headers=headers, stream=body, extensions={BODY: body})
            return httpx.Response(status, headers=headers, content=await body.read_all())
        except BaseException:  # a cancel too: half an exchange can't be continued by the next request
            connection.release(keep=False)
            raise

    def release(self, connection: Connection, keep: bool) -> None:
        """Take a connection back; what was released before is left alone."""
        if connection not in self._busy:
            return
        self._busy.discard(connection)
        self._slots.release()
        if keep and not connection.buffer:
            connection.idle_since = trio.current_time()
            self._idle.setdefault(connection.origin, []).append(connection)
        else:
            connection.close()

    async def aclose(self) -> None:
        """Close all connections, the busy ones too; who waits on one gets `httpx.ReadError`."""
        for connection in [*self._busy, *(one for idle in self._idle.values() for one in idle)]:
            self.release(connection, keep=False)
            connection.close()
        self._idle.clear()


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


def _keep_alive(sock: trio.socket.SocketType) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in _KEEPALIVE:
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)


def _head(request: httpx.Request) -> bytes:
    lines = [b"%s %s HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += [b"%s: %s" % pair for pair in request.headers.raw]
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def _read_head(connection: Connection) -> tuple[int, list[tuple[bytes, bytes]]]:
    """Status and headers, names in lower case; interim answers (1xx) are passed over."""
    while True:
        first, *lines = (await connection.until(b"\r\n\r\n", MAX_HEAD)).split(b"\r\n")
        version, _, rest = first.partition(b" ")
        code = rest[:3]
        if version not in (b"HTTP/1.1", b"HTTP/1.0") or not code.isdigit() or rest[3:4] not in (b"", b" "):
            raise httpx.RemoteProtocolError(f"no HTTP/1.1 server: it answers {first[:60]!r}")
        headers: list[tuple[bytes, bytes]] = []
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon or not name or name != name.strip():
                raise httpx.RemoteProtocolError(f"not a header: {line[:60]!r}")
            headers.append((name.lower(), value.strip()))
        if version == b"HTTP/1.0":
            headers.append((b"connection", b"close"))
        if not 100 <= int(code) < 200:
            return int(code), headers


def _body(connection: Connection, method: str, status: int, headers: list[tuple[bytes, bytes]]) -> Body:
    """How the body is delimited: RFC 9112 section 6.3."""
    keep, chunked = True, False
    lengths: set[bytes] = set()
    for name, value in headers:
        if name == b"connection":
            keep = keep and b"close" not in value.lower()
        elif name == b"transfer-encoding":
            chunked = value.lower() == b"chunked"
            if not chunked:
                raise httpx.RemoteProtocolError(f"transfer coding {value[:40]!r} is not known")
        elif name == b"content-length":
            lengths.add(value)
    if method == "HEAD" or status in (204, 304):
        return Body(connection, 0, chunked=False, keep=keep)
    if chunked:
        return Body(connection, None, chunked=True, keep=keep)
    if not lengths:
        return Body(connection, None, chunked=False, keep=False)
    length = lengths.pop()
    if lengths or not length.isdigit():
        raise httpx.RemoteProtocolError(f"not a Content-Length: {length[:40]!r}")
    return Body(connection, int(length), chunked=False, keep=keep)
