"""Trio with virtual time: hours pass in milliseconds.

    pytest examples/testing/test_virtual_time.py        (with pytest-trio)

Without sockets everything runs on Trio's clock, so `autojump_clock` moves it as soon as nobody has anything to do:
sessions expire, TTL nodes go, timeouts of the program under test pass. With any clock, `advance` does it on command.
"""

from __future__ import annotations

import struct

import pytest
import trio
from trio.testing import MockClock

from parkeeper.testing import AsyncEnsemble, Ensemble

EPHEMERAL, PING = 1, 11


class Client:
    """A ZooKeeper client of few words, over any Trio stream."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def connect(self, timeout_ms: int) -> None:
        await self._send(struct.pack(">iqiqi16s?", 0, 0, timeout_ms, 0, 16, bytes(16), False))

    async def create(self, path: str, flags: int = 0) -> None:
        name = path.encode()
        acl = struct.pack(">iii5si6s", 1, 31, 5, b"world", 6, b"anyone")
        await self._request(
            1, struct.pack(f">i{len(name)}si", len(name), name, 0) + acl + struct.pack(">i", flags)
        )

    async def keep_alive(self, every: float) -> None:
        while True:
            await trio.sleep(every)
            await self._request(PING, b"", xid=-2)

    async def _request(self, op: int, body: bytes, xid: int = 1) -> None:
        reply = await self._send(struct.pack(">ii", xid, op) + body)
        assert reply[12:16] == bytes(4), "an error"

    async def _send(self, payload: bytes) -> bytes:
        await self._stream.send_all(struct.pack(">i", len(payload)) + payload)
        data = b""
        while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big"):
            chunk = await self._stream.receive_some()
            assert chunk, "the connection broke"
            data += chunk
        return data[4:]


async def test_who_pings_stays_and_who_does_not_goes(autojump_clock: MockClock) -> None:  # noqa: ARG001
    """Ten minutes of a living and a dead client, in no time."""
    async with Ensemble(sockets=False) as zookeeper, trio.open_nursery() as nursery:
        alive, dead = Client(zookeeper.stream()), Client(zookeeper.stream())
        await alive.connect(30_000)
        await dead.connect(40_000)
        await alive.create("/alive", EPHEMERAL)
        await dead.create("/dead", EPHEMERAL)
        nursery.start_soon(alive.keep_alive, 10)
        begun = trio.current_time()
        await zookeeper.wait_until(lambda: "/dead" not in zookeeper.tree(), seconds=60)
        assert 40 <= trio.current_time() - begun <= 41
        await trio.sleep(600)
        assert zookeeper.tree() == {"/alive": b""}
        nursery.cancel_scope.cancel()


@pytest.fixture
async def zookeeper() -> AsyncEnsemble:
    async with Ensemble(keepers=3, sockets=False) as ensemble:
        yield ensemble


async def test_a_week_on_command(zookeeper: AsyncEnsemble) -> None:
    """`advance` spares whoever is connected, as a client whose clock moved too would have pinged."""
    client = Client(zookeeper.stream(1))
    await client.connect(10_000)
    await client.create("/mine", EPHEMERAL)
    before = zookeeper.clock.now_ms()
    await zookeeper.advance(7 * 24 * 3600)
    assert zookeeper.clock.now_ms() - before >= 7 * 24 * 3600 * 1000
    assert zookeeper.tree() == {"/mine": b""}
