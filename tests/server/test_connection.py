"""Whole connections: a keeper on a memory store, clients on memory streams, bytes by hand."""

from __future__ import annotations

import contextlib
import gc
import logging
import socket
import struct
import weakref
from itertools import pairwise

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from parkeeper.options import Limits
from parkeeper.server import dispatch
from parkeeper.server.connection import REQUESTS_AT_ONCE, Connection
from parkeeper.server.transport import KernelSocket
from parkeeper.wire.opcodes import OPERATIONS
from tests.server.stage import create, get_data, request, set_data, stage, string

_REQUESTS = st.builds(
    request,
    st.integers(-3, 3),
    st.sampled_from([*OPERATIONS, 999]),
    st.one_of(
        st.binary(max_size=40), st.just(string("/a") + b"\0"), st.just(string("/zookeeper") + bytes(8))
    ),
)
"""Requests with a header that can be read, and a record that mostly can't."""


either_way = pytest.mark.parametrize("sockets", [False, True], ids=["streams", "sockets"])
"""Over streams the reader waits by itself, over sockets it sleeps while `parkeeper.server.readiness` calls its turns."""


async def test_what_it_has_to_say_is_forsworn():
    """Nothing of it is sent, by whoever; it ends, and so does one that has something to say later."""
    async with stage() as there:
        ours, far = socket.socketpair()
        far.setblocking(False)
        transport = KernelSocket(ours, "10.0.0.1", 1)
        connection, flusher = Connection(transport, there.services), there.services.flusher
        for _ in range(2):
            connection.notify(b"untrue")
            flusher.forswear()
            connection.flush()
            connection._outbox.flush_now()
            with pytest.raises(BlockingIOError):
                far.recv(1)
            assert (connection.dirty, len(flusher), connection._all.cancel_called) == (False, 0, True)
        connection.leave()
        connection.take_apart()
        connection.forsworn()  # (the flusher may know it still)
        far.close()
        await trio.aclose_forcefully(transport)


@either_way
async def test_bytes_may_come_one_at_a_time(sockets):
    """How TCP cuts the bytes into pieces changes nothing."""
    async with stage(sockets=sockets) as there:
        client = await there.client()
        for byte in create(1, "/a", b"one") + get_data(2, "/a"):
            await client.send(bytes((byte,)))
            await trio.testing.wait_all_tasks_blocked()
        made, got = await client.answers(2)
        assert (made.err, got.data) == (0, b"one")


@either_way
async def test_others_have_a_turn_between_many_small_requests(sockets):
    """However many of them one slice of bytes holds."""
    many = 4 * REQUESTS_AT_ONCE + 4
    async with stage(sockets=sockets) as there:
        client, stats = await there.client(), there.services.stats
        counts = [stats.received]
        await client.send(*(get_data(xid, "/") for xid in range(1, many + 1)))
        while counts[-1] < counts[0] + many:
            await trio.lowlevel.checkpoint()
            counts.append(stats.received)
        # (Trio shuffles who runs in a pass: the reader may be last in one and first in the next.)
        assert max(after - before for before, after in pairwise(counts)) <= 2 * REQUESTS_AT_ONCE
        assert [each.xid for each in await client.answers(many)] == list(range(1, many + 1))


@pytest.mark.parametrize("together", [False, True], ids=["two-commits", "one-commit"])
async def test_pipelined_sets_and_gets_see_each_other_in_order(together):
    """set 1, get, set 2, get: the first get sees 1, whether the second set is in the same commit or in the next."""
    async with stage() as there:
        client = await there.client()
        await client.send(create(0, "/a"))
        await client.answer()
        before = there.commits
        there.store.close_gate()
        packets = [set_data(1, "/a", b"1"), get_data(2, "/a"), set_data(3, "/a", b"2"), get_data(4, "/a")]
        if not together:
            await client.send(packets.pop(0))
            await trio.testing.wait_all_tasks_blocked()
        await client.send(*packets)
        await trio.testing.wait_all_tasks_blocked()
        there.store.open_gate()
        one, first, two, second = await client.answers(4)
        assert [each.xid for each in (one, first, two, second)] == [1, 2, 3, 4]
        assert (first.data, second.data) == (b"1", b"2")
        versions = [struct.unpack_from(">i", each.body, 32)[0] for each in (one, two)]
        assert versions == [1, 2]
        assert one.zxid <= first.zxid < two.zxid <= second.zxid
        assert there.commits == before + (1 if together else 2)


@either_way
async def test_a_read_behind_ones_own_write_waits_for_it(sockets):
    """While a session's write is being committed its later reads wait; those of others do not."""
    async with stage(sockets=sockets) as there:
        client, other = await there.client(), await there.client()
        there.store.close_gate()
        await client.send(create(1, "/a"), get_data(2, "/a"))
        await other.send(get_data(1, "/a"))
        assert (await other.answer()).err == -101
        assert there.stats.outstanding == 2
        there.store.open_gate()
        made, got = await client.answers(2)
        assert (made.err, got.err) == (0, 0)
        assert there.stats.outstanding == 0


@either_way
async def test_the_event_comes_before_the_reply_to_ones_own_write(sockets):
    """Event, then the reply with the same zxid, then what was read behind it."""
    async with stage(sockets=sockets) as there:
        client = await there.client()
        await client.send(
            create(1, "/a"), get_data(2, "/a", watch=True), set_data(3, "/a", b"x"), get_data(4, "/a")
        )
        made, got, event, done, after = await client.answers(5)
        assert [made.xid, got.xid, event.xid, done.xid, after.xid] == [1, 2, -1, 3, 4]
        assert event.body == struct.pack(">ii", 3, 3) + string("/a")
        assert event.zxid == done.zxid
        assert after.data == b"x"


@either_way
async def test_a_watcher_elsewhere_hears_of_a_write_once(sockets):
    """One write, one event for each watcher, sent without any request of theirs."""
    async with stage(sockets=sockets) as there:
        writer = await there.client()
        await writer.send(create(1, "/a"))
        await writer.answer()
        watchers = [await there.client() for _ in range(20)]
        for each in watchers:
            await each.send(get_data(1, "/a", watch=True))
            await each.answer()
        await writer.send(set_data(2, "/a", b"1"), set_data(3, "/a", b"2"))
        first, _ = await writer.answers(2)
        for each in watchers:
            event = await each.answer()
            assert (event.xid, event.zxid) == (-1, first.zxid)
            await each.send(request(9, 11))
            assert (await each.answer()).xid == -2
        assert there.stats.events == 20


@pytest.mark.parametrize(
    "bad", [struct.pack(">i", -1), struct.pack(">i", 0x100000), struct.pack(">i", 7) + bytes(7)]
)
async def test_what_is_no_request_ends_the_connection_alone(bad):
    """A length below 0 or above the limit, or a frame without a header: replies before it, then the end."""
    async with stage() as there:
        client, other = await there.client(), await there.client()
        await client.send(get_data(1, "/"), bad, get_data(2, "/"))
        assert (await client.answer()).xid == 1
        assert await client.ended()
        await other.send(get_data(1, "/"))
        assert (await other.answer()).err == 0


@either_way
async def test_the_largest_frame_is_served(sockets):
    """A frame of exactly the limit is a request; its data comes back."""
    async with stage(Limits(frame=20_000), sockets=sockets) as there:
        client = await there.client()
        size = 20_000 - len(create(1, "/a", b"")) + 4
        await client.send(create(1, "/a", b"x" * size), get_data(2, "/a"))
        made, got = await client.answers(2)
        assert (made.err, got.data) == (0, b"x" * size)


@either_way
async def test_a_closed_session_is_answered_and_nothing_behind_it(sockets):
    """The reply to closeSession is the last: ephemerals and session are gone, later requests are not answered."""
    async with stage(sockets=sockets) as there:
        client, other = await there.client(), await there.client()
        await client.send(
            create(1, "/e", flags=1), get_data(2, "/e", watch=True), request(3, -11), get_data(4, "/e")
        )
        made, got, event, closed = await client.answers(4)
        assert [made.xid, got.xid, event.xid, closed.xid] == [1, 2, -1, 3]
        assert (closed.err, closed.body) == (0, b"")
        assert event.body == struct.pack(">ii", 2, 3) + string("/e")
        assert await client.ended()
        await other.send(get_data(1, "/e"))
        assert (await other.answer()).err == -101
        again = there.call()
        await again.connect(session=client.session, password=client.password)
        assert again.session == 0


@either_way
async def test_half_closed_clients_get_their_answers(sockets):
    """A client that stops writing is answered all it asked, a write in flight too, and then closed."""
    async with stage(sockets=sockets) as there:
        client = await there.client()
        there.store.close_gate()
        await client.send(create(1, "/a"), get_data(2, "/a"))
        await client.stream.send_eof()
        await trio.testing.wait_all_tasks_blocked()
        there.store.open_gate()
        made, got = await client.answers(2)
        assert (made.err, got.err) == (0, 0)
        assert await client.ended()


async def test_a_reader_that_does_not_read_is_not_read_from():
    """Back-pressure: with a megabyte unread its requests stay unread, and all are answered once it reads."""
    async with stage(Limits(outbox_high=10_000)) as there:
        writer = await there.client()
        await writer.send(create(1, "/big", b"x" * 4000))
        await writer.answer()
        client = there.call(lockstep=True)
        await client.connect()
        sent = 0

        async def ask() -> None:
            nonlocal sent
            for xid in range(100):
                await client.send(get_data(xid, "/big"))
                sent = xid + 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            assert sent < 10
            for xid in range(100):
                answer = await client.answer()
                assert (answer.xid, len(answer.data)) == (xid, 4000)
        assert sent == 100


@either_way
async def test_too_much_parked_stops_the_reader_until_the_store_answers(sockets):
    """Requests behind a write are bounded in number, and none is lost."""
    async with stage(Limits(parked=10), sockets=sockets) as there:
        client = await there.client()
        there.store.close_gate()
        await client.send(create(0, "/a"), *(get_data(xid, "/a") for xid in range(1, 100)))
        await trio.testing.wait_all_tasks_blocked()
        assert there.stats.outstanding == 10
        there.store.open_gate()
        answers = await client.answers(100)
        assert [each.xid for each in answers] == list(range(100))
        assert {each.err for each in answers} == {0}


@either_way
async def test_only_who_writes_waits_for_room(sockets):
    """A keeper that is crowded with others' writes answers a reader, its pings too, however many it sends at once."""
    many = 2 * REQUESTS_AT_ONCE + 4
    async with stage(Limits(in_flight=4), sockets=sockets) as there:
        writer, reader = await there.client(), await there.client()
        there.store.close_gate()
        await writer.send(create(1, "/first"))
        await trio.testing.wait_all_tasks_blocked()
        await writer.send(*(create(xid, f"/{xid}") for xid in range(2, 30)))
        await trio.testing.wait_all_tasks_blocked()
        assert there.services.crowded()
        await reader.send(*(get_data(xid, "/") for xid in range(1, many + 1)), request(-2, 11))
        assert [each.xid for each in await reader.answers(many + 1)] == [*range(1, many + 1), -2]
        await writer.send(get_data(30, "/"))
        await trio.testing.wait_all_tasks_blocked()
        assert there.stats.outstanding == 29  # what came behind its writes is not even read
        there.store.open_gate()
        assert [each.xid for each in await writer.answers(30)] == list(range(1, 31))


async def test_a_watcher_that_does_not_read_is_cut_off():
    """Events cannot be held back: at the limit the peer is cut off, counted and logged; others are served."""
    async with stage(Limits(outbox=2_000)) as there:
        deaf = there.call(lockstep=True)
        await deaf.connect()
        await deaf.send(request(1, 106, string("/") + struct.pack(">i", 1)))
        assert (await deaf.answer()).err == 0
        writer = await there.client()
        for xid in range(100):
            await writer.send(create(xid, f"/node{xid:04}"))
            assert (await writer.answer()).err == 0
        assert there.stats.cut_off == 1
        assert [each.session for each in there.stats.connections] == [writer.session]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=60), _REQUESTS), max_size=12), st.booleans(), st.booleans())
async def test_no_bytes_end_more_than_their_own_connection(pieces, shaken, sockets):
    """Whatever comes, before the handshake or behind it: no error of ours, and the next client is served."""
    async with stage(sockets=sockets) as there:
        client = await there.client() if shaken else there.call()
        with contextlib.suppress(trio.BrokenResourceError):
            for piece in pieces:
                await client.send(piece)
            await client.stream.send_eof()
        while await client.packet():
            pass
        other = await there.client()
        await other.send(get_data(1, "/"))
        assert (await other.answer()).err == 0
        assert there.stats.crashed == 0


@either_way
async def test_an_error_of_ours_ends_one_connection_with_a_traceback(caplog, monkeypatch, sockets):
    """A bug met by one client's request is logged, counted, and harms nobody else."""

    def broken(*arguments: object) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setitem(dispatch._READS, 7_777, (dispatch.OPERATIONS[4].decode, broken))
    monkeypatch.setitem(dispatch.READS, 7_777, broken)
    async with stage(sockets=sockets) as there:
        direct, parked, other = await there.client(), await there.client(), await there.client()
        await direct.send(request(1, 7_777, string("/") + b"\0"))
        assert await direct.ended()
        await parked.send(create(1, "/a"), request(2, 7_777, string("/") + b"\0"), create(3, "/b"))
        while await parked.packet():
            pass
        await other.send(create(1, "/c"), get_data(2, "/c"))
        assert [each.err for each in await other.answers(2)] == [0, 0]
        assert there.stats.crashed == 2
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 2
    assert all(
        record.exc_info and "ZeroDivisionError" in str(record.exc_text or record.exc_info)
        for record in errors
    )


@either_way
async def test_nobody_is_answered_past_the_serve_deadline(sockets):
    """Others may have taken the session: the client has to ask elsewhere."""
    async with stage(sockets=sockets) as there:
        client = await there.client()
        there.services.lease.deadline = trio.current_time()
        await client.send(get_data(1, "/"), create(2, "/late"))
        assert await client.ended()
        assert "/late" not in there.services.replica.nodes


async def test_a_connection_that_was_reset_is_freed_at_once():
    """Without the collector, which does not look at what has lived long: no circle holds it, nor half a frame of it."""
    gc.disable()
    try:
        async with stage(sockets=True) as there:
            client = await there.client()
            (transport,) = (weakref.ref(each) for each in gc.get_objects() if isinstance(each, KernelSocket))
            await client.send(get_data(1, "/"), get_data(2, "/")[:10])
            await trio.testing.wait_all_tasks_blocked()
            client.stream.socket.close()  # type: ignore[attr-defined]  # with an answer unread: a reset
            await trio.testing.wait_all_tasks_blocked()
            assert not there.stats.connections
            await (
                there.client()
            )  # (the committer remembers its last batch, the opening of the session, until the next)
            assert transport() is None
    finally:
        gc.enable()


@either_way
async def test_a_peer_that_vanishes_keeps_its_session(sockets):
    """A connection that breaks ends; its session can be resumed with id and password within its timeout."""
    async with stage(sockets=sockets) as there:
        client = await there.client()
        await client.send(create(1, "/e", flags=1))
        await client.answer()
        await trio.aclose_forcefully(client.stream)
        await trio.testing.wait_all_tasks_blocked()
        assert not there.stats.connections
        again = there.call()
        await again.connect(session=client.session, password=client.password)
        assert again.session == client.session
        await again.send(get_data(1, "/e"))
        assert (await again.answer()).err == 0


async def test_a_connection_that_ends_takes_at_most_its_time_to_flush(autojump_clock):
    """A peer that neither reads nor closes is left after `Limits.close`."""
    async with stage(Limits(close=3.0)) as there:
        client = there.call(lockstep=True)
        await client.connect()
        await client.send(request(1, 999))
        started = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):
            await client.stream.send_all(b"is anybody there?")
        assert trio.current_time() - started == pytest.approx(3.0)


async def test_cancelling_a_keeper_with_hung_peers_ends_it(autojump_clock):
    """However many peers don't read, a keeper that is told to end does so at once."""
    async with stage() as there:
        writer = await there.client()
        await writer.send(create(1, "/a", b"x" * 100_000))
        await writer.answer()
        for _ in range(5):
            client = there.call(lockstep=True)
            await client.connect()
            await client.send(get_data(1, "/a"), get_data(2, "/a"))
        await trio.testing.wait_all_tasks_blocked()
        started = trio.current_time()
    assert trio.current_time() - started < 1


@either_way
async def test_a_clean_stop_answers_what_is_in_flight(sockets):
    """Writes that were received before the stop are committed and answered; then connections close."""
    async with stage(sockets=sockets) as there:
        client = await there.client()
        there.store.close_gate()
        await client.send(create(1, "/a"))
        await trio.testing.wait_all_tasks_blocked()
        there.keeper.stop()
        await trio.testing.wait_all_tasks_blocked()
        there.store.open_gate()
        assert (await client.answer()).err == 0
        assert await client.ended()
