"""Requests whose common part is made once: what goes out, and that httpx sees the same."""

import httpx
import pytest
import trio

from parkeeper.store.lean_request import WITHIN, Target, Whole, content_of, origin_of, request_head, target_of


def test_request_asks_for_no_compression() -> None:
    """Nor is anything else said than we want."""
    message = Target("POST", httpx.URL("http://h:1/p?q"), [(b"A", b"b")]).request(b"xyz", within=1.0)
    assert message.headers.raw == [(b"Host", b"h:1"), (b"Accept-Encoding", b"identity"), (b"A", b"b")]


@pytest.mark.parametrize(
    ("method", "content", "end"),
    [
        ("GET", b"", b""),
        ("POST", b"", b"Content-Length: 0\r\n"),
        ("PUT", b"", b"Content-Length: 0\r\n"),
        ("POST", b"abc", b"Content-Length: 3\r\n"),
    ],
)
def test_target_says_how_long_a_body_is(method: str, content: bytes, end: bytes) -> None:
    """A server that expects a body is told that there is none (RFC 9110 section 8.6)."""
    target = Target(method, httpx.URL("http://h:1/p?q"), [(b"A", b"b")])
    head = b"%s /p?q HTTP/1.1\r\nHost: h:1\r\nAccept-Encoding: identity\r\nA: b\r\n" % method.encode()
    assert target.encoded(content) == head + end + b"\r\n" + content


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://h:1/p", ("http", "h", 1)),
        ("http://h/p", ("http", "h", 80)),
        ("https://h/p", ("https", "h", 443)),
        ("https://[::1]:2/p", ("https", "::1", 2)),
    ],
)
def test_origin_of_a_target(url: str, origin: tuple[str, str, int]) -> None:
    """As of the request that is made of it."""
    target = Target("GET", httpx.URL(url))
    assert target.origin == origin == origin_of(target.request(within=1).url)


def test_request_of_a_target_is_one_for_httpx_too() -> None:
    """Whoever does not know of targets sends the same, but for the length, which httpx leaves to its transports."""
    target = Target("PUT", httpx.URL("http://h:1/p"))
    request = target.request(b"body", within=2.0)
    assert (target_of(request), content_of(request), request.extensions[WITHIN]) == (target, b"body", 2.0)
    head = request_head(request.method, request.url, request.headers)
    assert head == b"PUT /p HTTP/1.1\r\nHost: h:1\r\nAccept-Encoding: identity\r\n"
    assert WITHIN not in target.request(within=None).extensions
    assert target_of(httpx.Request("PUT", "http://h:1/p")) is None


async def test_bytes_at_hand_can_be_read_again() -> None:
    """As httpx asks of a stream that it was given."""

    async def read() -> list[bytes]:
        return [piece async for piece in whole]

    whole = Whole(b"body")
    assert await read() == await read() == [b"body"]
    await trio.lowlevel.checkpoint()
