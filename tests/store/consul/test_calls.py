"""What Consul's refusals say about a request, and which agent is asked next.

The answers were recorded from Consul 1.8.7; a leader change in the right millisecond can't be ordered from a server.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from parkeeper.errors import AccessDenied, InDoubt, Rejected, Unavailable
from parkeeper.store.consul.calls import Calls, GuardRefused, TooManyOperations
from parkeeper.store.consul.messages import Operation, Pair, transaction
from parkeeper.store.urls import StoreOptions

BODY = transaction([Operation("set", "a", value=b"1")])
APPLIED = (
    200,
    b'{"Results":[{"KV":{"LockIndex":0,"Key":"a","Flags":0,"Value":null,"CreateIndex":8,"ModifyIndex":9}}],"Errors":null}',
)


def conflict(*what: bytes) -> tuple[int, bytes]:
    errors = b",".join(b'{"OpIndex":%d,"What":"%s"}' % each for each in enumerate(what))
    return 409, b'{"Results":null,"Errors":[' + errors + b"]}"


class Agent:
    """Answers every request the same way; None: hangs up without a word."""

    def __init__(self, status: int, body: bytes | None) -> None:
        self.answer = status, body
        self.requests: list[bytes] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        status, body = self.answer
        received = b""
        async with stream:
            async for chunk in stream:
                received += chunk
                head, end, rest = received.partition(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
                if not end or len(rest) < length:
                    continue
                self.requests.append(received)
                received = b""
                if body is None:
                    return
                head = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
                await stream.send_all(head + body)


@asynccontextmanager
async def agents(
    *answers: tuple[int, bytes | None], options: StoreOptions | None = None
) -> AsyncIterator[tuple[Calls, list[Agent]]]:
    """Agents that give these answers, and the calls to them."""
    them = [Agent(*answer) for answer in answers]
    async with trio.open_nursery() as nursery:
        ports: list[int] = []
        for agent in them:
            serve = partial(trio.serve_tcp, agent.serve, 0, host="127.0.0.1")
            (listener,) = await nursery.start(serve)
            ports.append(listener.socket.getsockname()[1])
        calls = Calls([("127.0.0.1", port) for port in ports], False, options or StoreOptions())
        yield calls, them
        await calls.aclose()
        nursery.cancel_scope.cancel("done")


@pytest.mark.parametrize(
    "answer",
    [
        (500, b"No cluster leader"),
        (500, b"rpc error making call: No cluster leader"),
        (
            500,
            b"rpc error getting client: failed to get conn: dial tcp 127.0.0.1:0->127.0.0.1:1: connection refused",
        ),
        (429, b"Your IP is issuing too many concurrent connections, please rate limit your calls"),
        (503, b"rate limit exceeded, try again later or against a different server"),
    ],
)
async def test_write_when_certainly_not_applied(answer: tuple[int, bytes]) -> None:
    """The next agent is asked, and from then on; with nobody else, that is the answer."""
    async with agents(answer, APPLIED) as (calls, them):
        for _ in range(2):
            assert await calls.write(BODY) == [Pair("a", 9, 8)]
        assert [len(agent.requests) for agent in them] == [1, 2]
    async with agents(answer, answer) as (calls, them):
        with pytest.raises(Unavailable, match=str(answer[0])):
            await calls.write(BODY)
        assert [len(agent.requests) for agent in them] == [1, 1]


@pytest.mark.parametrize(
    "answer",
    [
        (500, b"rpc error making call: EOF"),
        (500, b"leadership lost while committing log"),
        (500, b"rpc error making call: leadership lost while committing log"),
        (500, b"raft apply failed"),
        (200, b"<html>a proxy</html>"),
        (409, b"<html>a proxy</html>"),
        (200, None),
    ],
)
async def test_write_when_in_doubt(answer: tuple[int, bytes | None]) -> None:
    """Nobody else is sent the same; but the next call goes elsewhere, if the agent failed."""
    async with agents(answer, APPLIED) as (calls, them):
        with pytest.raises(InDoubt):
            await calls.write(BODY)
        assert [len(agent.requests) for agent in them] == [1, 0]
        if answer[0] == 500:
            assert await calls.write(BODY) == [Pair("a", 9, 8)]


async def test_write_when_it_takes_too_long(autojump_clock: trio.testing.MockClock) -> None:
    """In doubt, after the time given."""

    async def silence(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listener: list[trio.SocketListener] = await nursery.start(
            partial(trio.serve_tcp, silence, 0, host="127.0.0.1")
        )
        calls = Calls([("127.0.0.1", listener[0].socket.getsockname()[1])], False, StoreOptions())
        started = trio.current_time()
        with pytest.raises(InDoubt, match="within 2 s"):
            await calls.write(BODY, within=2.0)
        assert 2 <= trio.current_time() - started < 3
        await calls.aclose()
        nursery.cancel_scope.cancel("done")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (conflict(b'failed index check for key \\"a\\", current modify index 31 != 32'), GuardRefused),
        (conflict(b'failed to check index, key \\"a\\" doesn\'t exist'), GuardRefused),
        (conflict(b'failed to set key \\"a\\", index is stale', b'key \\"b\\" exists'), GuardRefused),
        (conflict(b'failed to delete key \\"a\\", index is stale'), GuardRefused),
        (conflict(b'key \\"index is odd\\" doesn\'t exist'), GuardRefused),
        (conflict(b"Permission denied"), AccessDenied),
        (conflict(b'key \\"a\\" exists', b"Permission denied"), AccessDenied),
        (conflict(b'unknown KV verb \\"no-such\\"'), Rejected),
        (conflict(b'key \\"a\\" exists', b"something else"), Rejected),
        (conflict(), Rejected),
        ((403, b"ACL not found"), AccessDenied),
        ((403, b"Permission denied"), AccessDenied),
        ((400, b"Failed to parse body: invalid character"), Rejected),
        ((413, b"Request body(533556 bytes) too large, max size: 524288 bytes"), Rejected),
        ((413, b"Transaction contains too many operations (65 > 64)"), TooManyOperations),
        ((301, b""), Rejected),
    ],
)
async def test_write_when_refused(answer: tuple[int, bytes], error: type[Exception]) -> None:
    """The same would be said by any agent: none is asked; 409 means what its words say."""
    async with agents(answer, APPLIED) as (calls, them):
        for _ in range(2):
            with pytest.raises(error):
                await calls.write(BODY)
        assert [len(agent.requests) for agent in them] == [2, 0]


@pytest.mark.parametrize(
    "answer",
    [(500, b"rpc error making call: EOF"), (500, b"No cluster leader"), (200, None), (200, b"<html>")],
)
async def test_read_when_an_agent_fails(answer: tuple[int, bytes | None]) -> None:
    """A read does no harm twice: every agent is asked, and none may be in doubt."""
    operations = [Operation("get", "a")]
    async with agents(answer, APPLIED) as (calls, _):
        assert await calls.read(operations) == [Pair("a", 9, 8)]
    async with agents(answer, answer) as (calls, _):
        with pytest.raises(Unavailable):
            await calls.read(operations)


async def test_requests_carry_what_was_asked_for() -> None:
    """Token and datacenter with all of them, `?consistent` with every read, and no compression."""
    options = StoreOptions(token="secret-token", datacenter="dc 2")
    async with agents(APPLIED, options=options) as (calls, (agent,)):
        await calls.write(BODY)
        await calls.read([Operation("get", "a")])
        await calls.get("kv/a?consistent", 5.0, stream=True)
    lines = [request.split(b"\r\n")[0] for request in agent.requests]
    assert lines == [
        b"PUT /v1/txn?dc=dc%202 HTTP/1.1",
        b"PUT /v1/txn?consistent&dc=dc%202 HTTP/1.1",
        b"GET /v1/kv/a?consistent&dc=dc%202 HTTP/1.1",
    ]
    for request in agent.requests:
        assert b"\r\nX-Consul-Token: secret-token\r\n" in request
        assert b"\r\nAccept-Encoding: identity\r\n" in request
    assert agent.requests[0].endswith(b'\r\n\r\n[{"KV":{"Verb":"set","Key":"a","Value":"MQ=="}}]')


def test_repr_hides_the_token() -> None:
    """It ends in logs."""
    calls = Calls([("127.0.0.1", 8500)], False, StoreOptions(token="secret-token"))
    assert repr(calls) == "<Calls to http://127.0.0.1:8500>"
