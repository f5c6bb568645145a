"""The lean transport against a server that says what the test wrote down."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import trio
import trio.testing

from parkeeper.store.lean import BODY, LeanTransport
from parkeeper.store.lean_http import Body
from parkeeper.store.lean_request import WITHIN

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSE = b""


class Server:
    """The n-th connection follows the n-th script.

    Each step of a script takes one request and answers it; `CLOSE` ends the connection without waiting for
    anything. After the last step it waits for the client to go.

    Attributes:
        requests: what was received, head and body, per request.
        connections: how many were accepted.
        gone: set when a client has closed its connection.
    """

    def __init__(self, scripts: tuple[list[bytes], ...], byte_by_byte: bool) -> None:
        self.scripts = scripts
        self.byte_by_byte = byte_by_byte
        self.requests: list[bytes] = []
        self.connections = 0
        self.received = trio.Event()
        self.gone = trio.Event()
        self.port = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        script = self.scripts[self.connections]
        self.connections += 1
        with stream.socket:
            for answer in script:
                if answer == CLOSE:
                    return
                if not await self._receive(stream):
                    break
                await self._send(stream, answer)
            else:
                await self._receive(stream)
        self.gone.set()

    async def _send(self, stream: trio.SocketStream, answer: bytes) -> None:
        size = 1 if self.byte_by_byte else len(answer)
        try:
            for at in range(0, len(answer), size or 1):
                await stream.send_all(answer[at : at + size])
        except trio.BrokenResourceError:
            pass  # a client that has seen enough

    async def _receive(self, stream: trio.SocketStream) -> bool:
        """One request: its head, and as many bytes as Content-Length says."""
        received = b""
        while True:
            head, end, body = received.partition(b"\r\n\r\n")
            if end:
                lengths = [
                    line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
                ]
                if len(body) >= (int(lengths[0].partition(b":")[2]) if lengths else 0):
                    self.requests.append(received)
                    self.received.set()
                    return True
            try:
                chunk = await stream.receive_some()
            except trio.BrokenResourceError:
                return False
            if not chunk:
                return False
            received += chunk

    def request(
        self, method: str = "POST", content: bytes = b"body", within: float | None = 5.0
    ) -> httpx.Request:
        url = f"http://127.0.0.1:{self.port}/p?q=1"
        extensions = {} if within is None else {WITHIN: within}
        return httpx.Request(method, url, content=content, extensions=extensions)


@asynccontextmanager
async def serving(
    *scripts: list[bytes], byte_by_byte: bool = False, size: int = 4
) -> AsyncIterator[tuple[Server, LeanTransport]]:
    server = Server(scripts, byte_by_byte)
    transport = LeanTransport(None, size=size, connect=2.0)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, server.serve, 0)
        server.port = listeners[0].socket.getsockname()[1]
        yield server, transport
        await transport.aclose()
        nursery.cancel_scope.cancel("done")


async def ask(transport: LeanTransport, request: httpx.Request) -> tuple[int, bytes]:
    with trio.fail_after(10):
        response = await transport.handle_async_request(request)
        return response.status_code, await response.aread()


# --- what is sent, and what is read ---------------------------------------------------------------------------


async def test_request_is_one_piece_of_http() -> None:
    """Method, target, headers and body as RFC 9112 spells them."""
    async with serving([OK]) as (server, transport):
        url = f"http://127.0.0.1:{server.port}/p?q=1"
        request = httpx.Request("POST", url, headers=[("A", "b")], content=b"xy", extensions={WITHIN: 5.0})
        assert await ask(transport, request) == (200, b"ok")
        expected = b"POST /p?q=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nA: b\r\nContent-Length: 2\r\n\r\nxy"
        assert server.requests == [expected % server.port]


BODIES = [
    (b"HTTP/1.1 200 OK\r\ncontent-length:  5 \r\n\r\nhello", 200, b"hello"),
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, b""),
    (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", 200, b"x"),
    (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n",
        200,
        b"hello world",
    ),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
        200,
        b"0123456789",
    ),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
]


@pytest.mark.parametrize("byte_by_byte", [False, True])
@pytest.mark.parametrize(("answer", "status", "body"), BODIES)
async def test_answer_is_read_to_its_end(answer: bytes, status: int, body: bytes, byte_by_byte: bool) -> None:
    """Each way to delimit a body, whole and byte by byte; then the connection serves the next request."""
    async with serving([answer, OK], byte_by_byte=byte_by_byte) as (server, transport):
        assert await ask(transport, server.request()) == (status, body)
        assert await ask(transport, server.request()) == (200, b"ok")
        assert server.connections == 1


async def test_answer_without_a_length() -> None:
    """It ends with its connection, which is not used again."""
    async with serving([b"HTTP/1.1 200 OK\r\n\r\nuntil the end", CLOSE], [OK]) as (server, transport):
        assert await ask(transport, server.request()) == (200, b"until the end")
        assert await ask(transport, server.request()) == (200, b"ok")
        assert server.connections == 2


async def test_answer_to_head() -> None:
    """It has no body, whatever its length says."""
    async with serving([b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", OK]) as (server, transport):
        assert await ask(transport, server.request("HEAD", b"")) == (200, b"")
        assert await ask(transport, server.request()) == (200, b"ok")


async def test_answer_when_streamed() -> None:
    """Pieces come as they arrive, b"" at the end, and then the connection is free."""
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
    async with serving([chunks, OK]) as (server, transport):
        response = await transport.handle_async_request(server.request(within=None))
        body: Body = response.extensions[BODY]
        assert repr(transport) == "<LeanTransport 1 busy, 0 idle>"
        assert [await body.read() for _ in range(4)] == [b"one", b"two", b"", b""]
        assert repr(transport) == "<LeanTransport 0 busy, 1 idle>"


async def test_answer_when_iterated() -> None:
    """httpx's own way to read a stream works too."""
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
    async with serving([chunks]) as (server, transport):
        response = await transport.handle_async_request(server.request(within=None))
        assert await response.aread() == b"onetwo"


# --- answers that are not what they should be -----------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2xx OK\r\n\r\n",
        HEAD + b"no colon\r\n\r\n",
        HEAD + b" folded: x\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n",
        HEAD + b"A: " + b"x" * 70_000,
    ],
)
async def test_answer_that_is_not_http(answer: bytes) -> None:
    """It leaves the request in doubt, and its connection is closed."""
    async with serving([answer]) as (server, transport):
        with pytest.raises(httpx.RemoteProtocolError):
            await ask(transport, server.request())
        assert repr(transport) == "<LeanTransport 0 busy, 0 idle>"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Le",
        HEAD + b"Content-Length: 5\r\n\r\nhel",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
    ],
)
async def test_answer_that_ends_early(answer: bytes) -> None:
    """A server that dies in its answer leaves the request in doubt."""
    async with serving([answer, CLOSE]) as (server, transport):
        with pytest.raises(httpx.RemoteProtocolError, match="closed the connection in its answer"):
            await ask(transport, server.request())
        assert repr(transport) == "<LeanTransport 0 busy, 0 idle>"


# --- connections ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [b"HTTP/1.1 200 OK\r\nConnection: close", b"HTTP/1.0 200 OK"])
async def test_connection_when_the_server_is_to_close_it(line: bytes) -> None:
    """`Connection: close` is heeded, and HTTP/1.0 means it."""
    answer = line + b"\r\nContent-Length: 2\r\n\r\nok"
    async with serving([answer], [OK]) as (server, transport):
        assert await ask(transport, server.request()) == (200, b"ok")
        with trio.fail_after(5):
            await server.gone.wait()
        assert await ask(transport, server.request()) == (200, b"ok")
        assert server.connections == 2


async def test_connection_when_the_server_closed_it_while_idle() -> None:
    """The next request goes over a new one, and nobody notices."""
    async with serving([OK, CLOSE], [OK]) as (server, transport):
        assert await ask(transport, server.request()) == (200, b"ok")
        assert "1 idle" in repr(transport)
        await trio.testing.wait_all_tasks_blocked()
        assert await ask(transport, server.request()) == (200, b"ok")
        assert server.connections == 2


async def test_connection_when_the_server_spoke_unasked() -> None:
    """What comes between requests must not be taken for an answer."""
    async with serving([OK + OK], [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2"]) as (server, transport):
        assert await ask(transport, server.request()) == (200, b"ok")
        assert await ask(transport, server.request()) == (200, b"2")


async def test_connection_when_the_request_is_cancelled() -> None:
    """It is closed: the server sees its client go, and the answer can't meet another request."""
    async with serving([b"HTTP/1.1 200 OK\r\nContent-"]) as (server, transport):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(transport.handle_async_request, server.request(within=None))
            await server.received.wait()
            nursery.cancel_scope.cancel("no patience")
        with trio.fail_after(5):
            await server.gone.wait()
        assert repr(transport) == "<LeanTransport 0 busy, 0 idle>"


async def test_connection_when_a_stream_is_left() -> None:
    """Closing a response in the middle closes its connection."""
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
    async with serving([endless]) as (server, transport):
        response = await transport.handle_async_request(server.request(within=None))
        await response.aclose()
        with trio.fail_after(5):
            await server.gone.wait()
        assert repr(transport) == "<LeanTransport 0 busy, 0 idle>"


async def test_connection_when_another_one_closes_the_transport() -> None:
    """Who waits for an answer is told, and does not wait for ever."""
    async with serving([b"HTTP/1.1 200 OK\r\nContent-"]) as (server, transport):
        failures: list[httpx.ReadError] = []

        async def wait() -> None:
            try:
                await transport.handle_async_request(server.request(within=None))
            except httpx.ReadError as error:
                failures.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await server.received.wait()
            await transport.aclose()
        assert len(failures) == 1


async def test_connections_are_bounded() -> None:
    """With room for one exchange, the second waits for the first; what waited too long was not sent."""
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
    async with serving([endless], [OK], size=1) as (server, transport):
        first = await transport.handle_async_request(server.request(within=None))
        with pytest.raises(httpx.ConnectTimeout):
            await ask(transport, server.request(within=0.05))
        assert len(server.requests) == 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, transport, server.request())
            await trio.testing.wait_all_tasks_blocked()
            assert server.connections == 1
            await first.aclose()
        assert server.connections == 2


async def test_request_when_nobody_answers_in_time() -> None:
    """It was sent, so it is in doubt; and its connection is closed."""
    async with serving([b"HTTP/1.1 200 OK\r\n"]) as (server, transport):
        with pytest.raises(httpx.ReadTimeout, match=r"no answer within 0\.05 s"):
            await ask(transport, server.request(within=0.05))
        with trio.fail_after(5):
            await server.gone.wait()


async def test_request_when_nobody_listens() -> None:
    """It was not sent."""
    async with serving() as (server, transport):
        pass
    with pytest.raises(httpx.ConnectError, match="Connection refused"):
        await ask(transport, server.request())


async def test_request_larger_than_the_kernel_takes() -> None:
    """It is sent piece by piece."""
    content = b"x" * (8 << 20)
    async with serving([OK]) as (server, transport):
        assert await ask(transport, server.request(content=content)) == (200, b"ok")
        assert server.requests[0].endswith(content)
