"""The control port: every command over a real socket, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from parkeeper.errors import ConfigError
from parkeeper.testing import AsyncEnsemble
from parkeeper.testing.control import Control
from tests.server.ensemble import Client, Gone


class Port:
    """Asks like curl does."""

    def __init__(self, address: tuple[str, int], ensemble: AsyncEnsemble) -> None:
        self.address = address
        self.ensemble = ensemble

    async def raw(self, data: bytes) -> tuple[int, Any]:
        async with await trio.open_tcp_stream(*self.address) as stream:
            await stream.send_all(data)
            answer = b"".join([chunk async for chunk in stream])
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)

    async def post(self, command: str, **arguments: Any) -> tuple[int, Any]:
        body = json.dumps(arguments).encode()
        head = f"POST /{command} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
        return await self.raw(head.encode() + body)

    async def do(self, command: str, **arguments: Any) -> Any:
        status, said = await self.post(command, **arguments)
        assert status == 200, said
        return said["result"]

    async def client(self, keeper: int = 0) -> Client:
        client = Client(self.ensemble.stream(keeper))
        assert await client.connect()
        return client


@asynccontextmanager
async def port(keepers: int = 1) -> AsyncIterator[Port]:
    async with AsyncEnsemble(keepers) as ensemble, trio.open_nursery() as nursery:
        address: tuple[str, int] = await nursery.start(Control(ensemble).serve)
        yield Port(address, ensemble)
        nursery.cancel_scope.cancel()


async def test_a_tree_is_loaded_and_told() -> None:
    """Text as text, other bytes as base64, null as null."""
    tree = {"/a": "é", "/a/bytes": {"base64": "/w=="}, "/a/null": None}
    async with port() as control:
        await control.do("load", tree=tree)
        assert await control.do("tree") == tree
        assert control.ensemble.tree() == {"/a": "é".encode(), "/a/bytes": b"\xff", "/a/null": None}
        node = await control.do("node", path="/a")
        assert (node["data"], node["version"], node["owner"]) == ("é", 0, None)
        assert node["acl"] == [{"perms": 31, "scheme": "world", "id": "anyone"}]
        status, said = await control.raw(b"GET /tree HTTP/1.1\r\nHost: localhost:1\r\n\r\n")
        assert (status, said) == (200, {"result": tree})
        await control.do("clear")
        assert await control.do("tree") == {}


async def test_sessions_are_seen_and_ended_by_their_names() -> None:
    """Ids are hexadecimal strings: they don't fit the numbers of JavaScript."""
    async with port(2) as control:
        client, other = await control.client(0), await control.client(1)
        await client.create("/e", flags=1)
        await client.exists("/later", watch=True)
        sessions = await control.do("sessions")
        assert sessions[hex(client.session)] == {
            "timeout": 10_000,
            "keeper": 0,
            "connected": True,
            "ephemerals": ["/e"],
        }
        assert await control.do("watches") == {"/later": [{"kind": "data", "session": hex(client.session)}]}
        asked = (await control.do("requests"))[hex(client.session)]
        assert [each.get("op") or each.get("turn") for each in asked] == ["connected", "create", "exists"]
        await control.do("expire", session="/e")
        with pytest.raises(Gone):
            await client.receive()
        await control.do("wait", gone=hex(client.session), absent="/e", seconds=5)
        await control.do("drop", session=hex(other.session))
        with pytest.raises(Gone):
            await other.receive()
        assert set(await control.do("sessions")) == {hex(other.session)}


async def test_faults_are_asked_for_and_waited_for() -> None:
    """A lost reply from any language."""
    async with port() as control:
        client = await control.client()
        fault = (await control.do("lose", op="create", path="/b*"))["fault"]
        assert await client.create("/a") == "/a"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: control.do("wait", hits=fault, exists="/b", seconds=5))
            with pytest.raises(Gone):
                await client.create("/b")
        assert await control.do("faults") == [
            {"fault": fault, "hits": 1, "left": 0, "what": "its reply was lost"}
        ]
        other = await control.client()
        await control.do("fail", times=2, error="NODE_EXISTS")
        assert await other.create("/c") == -110
        await control.do("clear_faults")
        assert await other.create("/c") == "/c"


async def test_keepers_come_and_go_and_time_moves() -> None:
    """The rest of the abilities."""
    async with port(2) as control:
        await control.do("load", tree={"/kept": ""})
        await control.do("stop", keeper=1)
        assert not control.ensemble.is_up(1)
        await control.do("start")
        await control.do("wait", serving=1)
        for command in ("kill", "restart", "pause", "resume", "partition", "heal"):
            await control.do(command, keeper=0)
        await control.do("store_down")
        await control.do("store_up")
        await control.do("delay", seconds=0.01)
        await control.do("advance", seconds=3600)
        assert await control.do("tree") == {"/kept": ""}
        assert (await control.do("hosts")).count(":") == 2
        await control.do("reset")
        assert await control.do("tree") == {}


@pytest.mark.parametrize(
    ("command", "arguments", "status", "word"),
    [
        ("fly", {}, 404, "there is no command"),
        ("__init__", {}, 404, "there is no command"),
        ("advance", {}, 400, "seconds"),
        ("advance", {"seconds": "soon"}, 400, "advance"),
        ("advance", {"seconds": -1}, 400, "back"),
        ("stop", {"keeper": 7}, 400, "no keeper 7"),
        ("expire", {"session": "0x99"}, 400, "no session 0x99"),
        ("expire", {"session": "them"}, 400, "names no session"),
        ("load", {"tree": {"/a": 1}}, 400, "is no data"),
        ("load", {"tree": {"a": ""}}, 400, "is no path"),
        ("fail", {"op": "fly"}, 400, "no operation"),
        ("wait", {}, 400, "wait for something"),
        ("wait", {"exists": "/never", "seconds": 0.01}, 504, "in time"),
    ],
)
async def test_a_command_is_refused_when_it_cannot_be_obeyed(
    command: str, arguments: dict[str, Any], status: int, word: str
) -> None:
    """With a status and a sentence; the port goes on serving."""
    async with port() as control:
        answered, said = await control.post(command, **arguments)
        assert answered == status
        assert word in said["error"]
        assert await control.do("tree") == {}


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /tree HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://example.com\r\n\r\n", 403),
        (b"POST /reset HTTP/1.1\r\nHost: rebound.example:80\r\n\r\n", 403),
        (b"GET /reset HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405),
        (b"POST /tree HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 1\r\n\r\n[", 400),
        (b"POST /tree HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]", 400),
        (b"POST /tree HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /tree HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 400),
        (b"POST /tree HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST /tree HTTP/1.1\r\nA: 1\r\na: 2\r\n\r\n", 400),
        (b"POST /tree HTTP/1.1\r\nA : 1\r\n\r\n", 400),
        (b"POST /tree HTTP/2\r\n\r\n", 400),
        (b"ruok\r\n\r\n", 400),
        (b"\xff\r\n\r\n", 400),
        (b"GET /" + b"a" * 40_000, 400),
    ],
)
async def test_what_is_no_request_of_ours_is_refused(data: bytes, status: int) -> None:
    """Browsers, other protocols, what is too big."""
    async with port() as control:
        answered, said = await control.raw(data)
        assert answered == status
        assert said["error"]


async def test_it_listens_on_loopback_unless_told_otherwise() -> None:
    """Whoever reaches it may do anything."""
    async with AsyncEnsemble() as ensemble, trio.open_nursery() as nursery:
        control = Control(ensemble)
        with pytest.raises(ConfigError, match="loopback"):
            await control.serve("0.0.0.0")
        with pytest.raises(ConfigError, match="loopback"):
            await control.serve("example.com")
        nursery.start_soon(lambda: control.serve("0.0.0.0", open_to_all=True))
        nursery.cancel_scope.cancel()
