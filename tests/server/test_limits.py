"""Every limit has been reached by a test: which one, and the tests of those that have no better place."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import trio
import trio.testing

from parkeeper.options import Limits, Options
from parkeeper.server.keeper import Keeper
from parkeeper.server.transport import AnyStream
from parkeeper.store.memory import MemoryStore
from tests.server.stage import Client, create, get_data, request, set_data, stage

HERE = Path(__file__).parent

REACHED = {
    "frame": "test_connection.py::test_the_largest_frame_is_served",
    "slice": "test_limits.py::test_a_reader_takes_a_slice_at_a_time",
    "parked": "test_connection.py::test_too_much_parked_stops_the_reader_until_the_store_answers",
    "parked_bytes": "test_dispatch.py::test_large_answers_behind_a_write_do_not_cut_a_client_off",
    "outbox_high": "test_connection.py::test_a_reader_that_does_not_read_is_not_read_from",
    "outbox": "test_connection.py::test_a_watcher_that_does_not_read_is_cut_off",
    "handshake": "test_handshake.py::test_a_client_that_asks_for_nothing_is_closed_in_time",
    "close": "test_connection.py::test_a_connection_that_ends_takes_at_most_its_time_to_flush",
    "batch": "test_limits.py::test_a_commit_takes_so_many_writes_at_most",
    "batch_parked": "test_limits.py::test_a_commit_ends_before_too_many_reads_wait_between_its_writes",
    "spare_descriptors": "test_listener.py::test_descriptors_are_spared",
    "in_flight": "test_limits.py::test_readers_pause_while_too_much_is_in_flight",
    "connections": "test_limits.py::test_connections_are_limited_by_number",
}
"""Limit -> a test that goes to it and beyond, beside this file."""


def test_every_limit_is_reached():
    """A new limit comes with a test; one that is named here is there, and sets that limit."""
    assert REACHED.keys() == {each.name for each in fields(Limits)}
    for limit, place in REACHED.items():
        file, _, name = place.partition("::")
        found = re.search(rf"def {name}\(.*?(?=\n(?:async )?def |\Z)", (HERE / file).read_text(), re.DOTALL)
        assert found, place
        assert f"{limit}=" in found[0], place


class Asked(AnyStream):
    """A transport that remembers how much was asked of it."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        super().__init__(stream, "10.0.0.1", 1)
        self.limits: list[int] = []

    async def receive(self, limit: int) -> bytes:
        """See `Transport.receive`."""
        self.limits.append(limit)
        return await super().receive(limit)


async def test_a_reader_takes_a_slice_at_a_time():
    """However much a client sends at once, only a frame that is larger is asked for whole."""
    async with stage(Limits(slice=64)) as there:
        ours, theirs = trio.testing.memory_stream_pair()
        transport = Asked(ours)
        there.keeper.connect(transport)
        client = Client(theirs)
        there.clients.append(client)
        await client.connect()
        transport.limits.clear()
        await client.send(create(0, "/a"), *(get_data(xid, "/a") for xid in range(1, 100)))
        assert [each.xid for each in await client.answers(100)] == list(range(100))
        assert len(transport.limits) > 20
        assert set(transport.limits) == {64}
        await client.send(set_data(100, "/a", bytes(10_000)))
        assert (await client.answer()).err == 0
        assert max(transport.limits) > 9_000


async def test_a_commit_takes_so_many_writes_at_most():
    """What waited together goes in as many commits as the limit asks for."""
    async with stage(Limits(batch=4)) as there:
        client = await there.client()
        there.store.close_gate()
        await client.send(create(0, "/a"))
        await trio.testing.wait_all_tasks_blocked()
        before = there.commits
        await client.send(*(set_data(xid, "/a", b"") for xid in range(1, 13)))
        await trio.testing.wait_all_tasks_blocked()
        there.store.open_gate()
        assert {each.err for each in await client.answers(13)} == {0}
        await trio.testing.wait_all_tasks_blocked()
        assert there.commits - before == 1 + 3


async def test_a_commit_ends_before_too_many_reads_wait_between_its_writes():
    """So that answering what was parked behind one commit stays one slice; others' writes join it all the same."""
    async with stage(Limits(batch_parked=10)) as there:
        client, other = await there.client(), await there.client()
        there.store.close_gate()
        await client.send(create(0, "/a"))
        await trio.testing.wait_all_tasks_blocked()
        before = there.commits
        reads = [get_data(1, "/a")] * 20
        await client.send(
            set_data(2, "/a", b"1"), *reads, set_data(3, "/a", b"2"), *reads, set_data(4, "/a", b"3")
        )
        await other.send(create(0, "/b"))
        await trio.testing.wait_all_tasks_blocked()
        there.store.open_gate()
        answers = await client.answers(44)
        assert [each.data for each in answers[2:-1] if each.xid == 1] == [b"1"] * 20 + [b"2"] * 20
        assert (await other.answer()).err == 0
        assert there.commits - before == 1 + 3


async def test_readers_pause_while_too_much_is_in_flight():
    """In the whole keeper: above the limit no writer is read from, readers are, and none of it is lost."""
    async with stage(Limits(in_flight=5)) as there:
        clients = [await there.client() for _ in range(3)]
        reader = await there.client()
        there.store.close_gate()
        for xid in range(20):
            for number, client in enumerate(clients):
                await client.send(create(xid, f"/n{number}-{xid}"))
                await trio.testing.wait_all_tasks_blocked()
        # One is being committed; of each client one more than fits may have been read when it became too much.
        assert 5 < there.stats.outstanding <= 1 + 5 + len(clients)
        await reader.send(get_data(1, "/"), request(-2, 11))
        assert [each.err for each in await reader.answers(2)] == [0, 0]
        there.store.open_gate()
        for client in clients:
            assert [each.xid for each in await client.answers(20)] == list(range(20))


async def test_connections_are_limited_by_number():
    """Of all addresses together: one too many is closed at once, and counted; one that leaves makes room."""
    keeper = Keeper(MemoryStore(), Options(limits=Limits(connections=1)))
    async with trio.open_nursery() as nursery:
        [(host, port)] = await nursery.start(keeper.run, [("127.0.0.1", 0)])
        one = Client(await trio.open_tcp_stream(host, port))
        await one.connect()
        two = Client(await trio.open_tcp_stream(host, port))
        assert await two.ended()
        await two.stream.aclose()
        assert keeper.stats.rejected == 1
        await one.send(request(1, -11))
        assert (await one.answer()).err == 0
        assert await one.ended()
        await one.stream.aclose()
        await trio.testing.wait_all_tasks_blocked(0.01)
        three = Client(await trio.open_tcp_stream(host, port))
        await three.connect()
        assert three.session
        await three.stream.aclose()
        keeper.stop()
