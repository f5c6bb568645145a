"""HTTP/1.1 as a client speaks it, on one connection: an answer's head, the body piece by piece.

RFC 9112. Nothing here knows of pools or time-outs: those are `parkeeper.store.lean`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import httpx
import trio

from parkeeper.store.lean_request import Origin
from parkeeper.store.lean_streams import Plain, Secured, reason

MAX_HEAD = 64 << 10
"""Bytes of a status line with all headers; Go's servers and clients stop at 1 MiB, ours have 20 lines."""

MAX_BODY = 1 << 30
"""Bytes of a body that is read whole: Consul's load of a whole tree is one answer (300 MB was seen)."""

RECEIVE = 256 << 10
IDLE = 30.0
"""Seconds after which an idle connection is not used again: middleboxes forget connections without a word."""

CUT_SHORT = "the server closed the connection in its answer"


class Connection:
    """One connection and the bytes received on it that nobody has taken yet.

    Args:
        release: takes the connection back, to keep it (True) or to close it; may be called twice.
        origin: where it leads to.
        stream: connected; taken over.

    Attributes:
        head, raw_head: of the last answer, and its bytes.
    """

    def __init__(
        self, release: Callable[[Connection, bool], None], origin: Origin, stream: Plain | Secured
    ) -> None:
        self._release = release
        self._stream = stream
        self.origin = origin
        self.buffer = bytearray()
        self.idle_since = 0.0
        self.head: Head | None = None
        self.raw_head = b""

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
        self._release(self, keep)

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
        left = self._left
        if left and not self._chunked and left <= len(self._connection.buffer):  # as nearly always
            piece = self._connection.take(left)
            self._end()
            return piece
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


class Head(NamedTuple):
    """The head of an answer.

    Attributes:
        status: the code.
        headers: names in lower case.
        length: bytes of the body; None: not known beforehand.
        chunked: whether the body comes in chunks.
        keep: whether the connection may be used again.
        coded: whether the body is compressed. We ask for none that is, but a proxy may do as it likes.
    """

    status: int
    headers: httpx.Headers
    length: int | None
    chunked: bool
    keep: bool
    coded: bool


async def read_head(connection: Connection) -> Head:
    """Read the head of an answer; interim answers (1xx) are passed over.

    Raises:
        httpx.RemoteProtocolError: it is none of HTTP/1.1.
    """
    while True:
        raw = await connection.until(b"\r\n\r\n", MAX_HEAD)
        head = connection.head
        if head is None or connection.raw_head != raw:  # (it is mostly the last one's, byte by byte)
            head = connection.head = parsed_head(raw)
            connection.raw_head = raw
        if not 100 <= head.status < 200:
            return head


def parsed_head(raw: bytes) -> Head:
    """What the head says. RFC 9112 sections 4, 5 and 6.3.

    Raises:
        httpx.RemoteProtocolError: as `read_head`.
    """
    first, *lines = raw.split(b"\r\n")
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
    keep, chunked, coded = version == b"HTTP/1.1", False, False
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
        elif name == b"content-encoding":
            coded = True
    length: int | None = None
    if lengths and not chunked:
        said = lengths.pop()
        if lengths or not said.isdigit():
            raise httpx.RemoteProtocolError(f"not a Content-Length: {said[:40]!r}")
        length = int(said)
    return Head(int(code), httpx.Headers(headers), length, chunked, keep, coded)


def body_of(connection: Connection, method: str, head: Head) -> Body:
    """The body that follows. RFC 9112 section 6.3."""
    if method == "HEAD" or head.status in (204, 304):
        return Body(connection, 0, chunked=False, keep=head.keep)
    return Body(connection, head.length, chunked=head.chunked, keep=head.keep)
