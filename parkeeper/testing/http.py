"""HTTP/1.1 as far as a control port needs it: one request with a JSON body, one answer, then the end.

Strict: what is not understood is refused. Bounded: 16 KiB of head, 16 MiB of body, 10 s for all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import trio

_HEAD: Final = 16 << 10
_BODY: Final = 16 << 20
_PATIENCE: Final = 10.0
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    504: "Gateway Timeout",
}


class HttpRequest(NamedTuple):
    """A request; names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class BadRequest(Exception):
    """It is no request, or one that is too big or too late."""


async def read_request(stream: trio.abc.ReceiveStream) -> HttpRequest | None:
    """Read one; None if the peer left without asking anything.

    Raises:
        BadRequest: what came is none.
    """
    with trio.move_on_after(_PATIENCE) as patience:
        return await _read(stream)
    assert patience.cancelled_caught
    raise BadRequest("the request took too long")


async def _read(stream: trio.abc.ReceiveStream) -> HttpRequest | None:
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        if len(data) > _HEAD:
            raise BadRequest("the head of the request is too long")
        chunk = await stream.receive_some(_HEAD)
        if not chunk:
            if data:
                raise BadRequest("the request ends in its head")
            return None
        data += chunk
    method, path, headers = _head(data[:end])
    if "transfer-encoding" in headers:
        raise BadRequest("say Content-Length, not Transfer-Encoding")
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length) > _BODY:
        raise BadRequest(f"no such Content-Length: {length}")
    body = data[end + 4 :]
    while len(body) < int(length):
        chunk = await stream.receive_some(_HEAD)
        if not chunk:
            raise BadRequest("the request ends in its body")
        body += chunk
    if len(body) > int(length):
        raise BadRequest("one request for each connection")
    return HttpRequest(method, path, headers, body)


def _head(head: bytes) -> tuple[str, str, dict[str, str]]:
    try:
        first, *lines = head.decode("ascii").split("\r\n")
        method, path, version = first.split(" ")
    except ValueError as error:
        raise BadRequest("this is no HTTP") from error
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadRequest(f"{version} is not spoken here")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip() or not name:
            raise BadRequest(f"no header: {line!r}")
        if name.lower() in headers:
            raise BadRequest(f"twice the same header: {name}")
        headers[name.lower()] = value.strip()
    return method, path, headers


def answer(status: int, body: bytes) -> bytes:
    """A whole answer with a JSON body."""
    head = (
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
