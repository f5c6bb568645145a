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

Of a request's `extensions`, `WITHIN` (`parkeeper.store.lean_request`) is heeded: seconds for the whole exchange
(connecting included), and the body is read with the head. Without it the answer streams: its body waits in
`response.extensions[BODY]`, a `Body`, to be read piece by piece with `read()` (httpx's own iteration leaves async
generators to the garbage collector when it is left in the middle).
"""

from __future__ import annotations

import ssl

import httpx
import trio

from parkeeper.store.lean_http import Connection, body_of, read_head
from parkeeper.store.lean_request import WITHIN, Origin, Whole, content_of, origin_of, request_head, target_of
from parkeeper.store.lean_streams import Plain, Secured, keep_alive, reason

BODY = "parkeeper.body"


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
        if trio.current_effective_deadline() <= trio.current_time() + within:
            # A scope that can't be the first to end costs 25 us, of some 150 that a small commit is on its way here.
            return await self._exchange(await self._acquire(request), request, whole=True)
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
        target = target_of(request)
        origin = origin_of(request.url) if target is None else target.origin
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
            keep_alive(tcp.socket)
            if scheme != "https":
                return Connection(self.release, origin, Plain(tcp))
            secured = Secured(tcp, self._context or ssl.create_default_context(), host)
            try:
                await secured.do_handshake()
            except (trio.BrokenResourceError, OSError) as error:
                secured.close()
                raise httpx.ConnectError(reason(error)) from error
            except BaseException:  # a cancel
                secured.close()
                raise
            return Connection(self.release, origin, secured)
        raise httpx.ConnectTimeout(f"no connection within {self._connect_time:g} s")

    async def _exchange(self, connection: Connection, request: httpx.Request, whole: bool) -> httpx.Response:
        try:
            await connection.send(_encoded(request))
            head = await read_head(connection)
            body = body_of(connection, request.method, head)
            if not whole:
                return httpx.Response(head.status, headers=head.headers, stream=body, extensions={BODY: body})
            data = await body.read_all()
            if head.coded:  # httpx can decode it
                return httpx.Response(head.status, headers=head.headers, content=data)
            return httpx.Response(head.status, headers=head.headers, stream=Whole(data))
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

    def cut(self) -> bool:
        """Close the connections that are busy; who waits on one gets `httpx.ReadError`. Whether there was any."""
        busy = list(self._busy)
        for connection in busy:
            connection.close()
        return bool(busy)

    async def aclose(self) -> None:
        """Close all connections, the busy ones too; who waits on one gets `httpx.ReadError`."""
        for connection in [*self._busy, *(one for idle in self._idle.values() for one in idle)]:
            self.release(connection, keep=False)
            connection.close()
        self._idle.clear()


def _encoded(request: httpx.Request) -> bytes:
    target, content = target_of(request), content_of(request)
    if target is None or content is None:
        return request_head(request.method, request.url, request.headers) + b"\r\n" + request.content
    return target.encoded(content)
