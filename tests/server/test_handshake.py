"""Handshakes: the bytes of both kinds of client, the order of checks, and what must not happen to others."""

from __future__ import annotations

import struct

import pytest
import trio
import trio.testing

from parkeeper.options import Limits
from parkeeper.server.serving import State
from tests.server.stage import Stage, connect_request, create, framed, get_data, request, stage

REFUSED = struct.pack(">iiiqi", 36 + 1, 0, 0, 0, 16) + bytes(16)
"""What says "expired" to a client that sent the readOnly byte, but for that byte."""


async def test_a_new_session_is_answered_with_id_password_and_the_read_only_byte():
    """41 bytes: version 0, the negotiated timeout, an id above 0, 16 bytes of password, not read-only."""
    async with stage() as there:
        client = there.call()
        await client.send(connect_request(timeout=10_000))
        packet = await client.packet()
        assert len(packet) == 37
        version, timeout, session, length = struct.unpack_from(">iiqi", packet)
        assert (version, timeout, length, packet[36]) == (0, 10_000, 16, 0)
        assert session > 0
        assert packet[20:36] != bytes(16)


async def test_a_client_without_the_read_only_byte_gets_none():
    """40 bytes to a client of ZooKeeper 3.3 and to Go's, which check the length."""
    async with stage() as there:
        client = there.call()
        await client.send(connect_request(read_only=b""))
        assert len(await client.packet()) == 36


async def test_the_read_only_byte_is_not_an_echo():
    """A client that would take a read-only server is told that this is none."""
    async with stage() as there:
        client = there.call()
        await client.send(connect_request(read_only=b"\1"))
        assert (await client.packet())[36] == 0


@pytest.mark.parametrize(("asked", "given"), [(-5, 4000), (0, 4000), (5000, 5000), (10**9, 40_000)])
async def test_the_timeout_is_negotiated(asked, given):
    """Between two and twenty ticks."""
    async with stage() as there:
        client = await there.client(timeout=asked)
        assert client.timeout == given


async def test_the_password_of_a_new_session_is_ignored():
    """Null or nonsense, a client without a session gets one."""
    async with stage() as there:
        assert (await there.client(password=None)).session
        assert (await there.client(password=b"nonsense")).session


async def test_what_is_sent_behind_the_handshake_is_kept():
    """A client that sends all in one go is answered all, in order."""
    async with stage() as there:
        client = there.call()
        await client.send(connect_request(), create(1, "/a", b"x"), get_data(2, "/a")[:9])
        assert len(await client.packet()) == 37
        await client.send(get_data(2, "/a")[9:])
        made, got = await client.answers(2)
        assert (made.xid, made.err, got.xid, got.data) == (1, 0, 2, b"x")


async def test_a_session_is_taken_along_to_a_new_connection():
    """With id and password: the same id and password again, and the connection before it is closed."""
    async with stage() as there:
        client = await there.client()
        await client.send(create(1, "/e", flags=1))
        await client.answer()
        again = there.call()
        await again.connect(session=client.session, password=client.password, timeout=6000)
        assert (again.session, again.password, again.timeout) == (client.session, client.password, 6000)
        assert await client.ended()
        await again.send(get_data(1, "/e"))
        assert (await again.answer()).err == 0
        assert [each.session for each in there.stats.connections] == [client.session]


@pytest.mark.parametrize("password", [bytes(16), b"", None, b"x" * 100])
async def test_a_wrong_password_gets_expired_and_leaves_the_session_alone(password):
    """The impostor is told "expired", byte for byte, and closed; the real client goes on."""
    async with stage() as there:
        client = await there.client()
        impostor = there.call()
        await impostor.send(connect_request(session=client.session, password=password))
        assert await impostor.bytes(100) == REFUSED + b"\0"
        old = there.call()
        await old.send(connect_request(session=client.session, password=password, read_only=b""))
        assert await old.bytes(100) == struct.pack(">i", 36) + REFUSED[4:]
        await client.send(get_data(1, "/"))
        assert (await client.answer()).err == 0


async def test_a_closed_session_is_expired():
    """The right password of a session that is no more gets "expired"; never a fresh session in its place."""
    async with stage() as there:
        client = await there.client()
        await client.send(request(1, -11))
        await client.answer()
        again = there.call()
        await again.send(connect_request(session=client.session, password=client.password))
        assert await again.bytes(100) == REFUSED + b"\0"


def zxid_at(there: Stage, ahead: int) -> int:
    """The last zxid of a revision, counted from the store's newest."""
    return there.services.replica.base + (there.store.server.revision + ahead) * 4096 + 4095


async def test_a_client_is_compared_by_its_revision():
    """A zxid within the replica's last revision is no future one."""
    async with stage() as there:
        client = await there.client(zxid=there.services.replica.zxid)
        assert client.session


async def test_a_client_of_a_store_that_went_back_in_time_has_lost_its_session(caplog):
    """Its zxid was never given out here: "expired", loudly; without a session it gets a new one."""
    async with stage() as there:
        client = await there.client()
        for ahead in (1, 99):
            lost = there.call()
            await lost.send(
                connect_request(zxid=zxid_at(there, ahead), session=client.session, password=client.password)
            )
            assert await lost.bytes(100) == REFUSED + b"\0"
            assert f"session {client.session:#x}" in caplog.text
            assert (await there.client(zxid=zxid_at(there, ahead))).session
            caplog.clear()


async def test_a_client_is_compared_with_commits_not_with_the_stores_revision():
    """Strangers' writes move that beyond what a restored backup has lost: no commit is as new, so it is lost."""
    async with stage() as there:
        client = await there.client()
        seen = zxid_at(there, 5)
        for number in range(10):
            there.store.server.stranger_put(b"somebody/else", b"%d" % number)
        lost = there.call()
        await lost.send(connect_request(zxid=seen, session=client.session, password=client.password))
        assert await lost.bytes(100) == REFUSED + b"\0"


async def test_a_four_letter_word_is_answered_in_one_piece():
    """In full or in pieces, with or without a newline: one answer, one segment, then the end."""

    def words(word: bytes) -> bytes | None:
        return {b"ruok": b"imok", b"srvr": b"line\n" * 100}.get(word)

    async with stage(words=words) as there:
        for pieces, answer in (
            ((b"ruok",), b"imok"),
            ((b"r", b"uo", b"k\n"), b"imok"),
            ((b"srvr",), b"line\n" * 100),
        ):
            client = there.call()
            for piece in pieces:
                await client.stream.send_all(piece)
                await trio.testing.wait_all_tasks_blocked()
            assert await client.stream.receive_some(8192) == answer
            assert await client.ended()


async def test_a_word_is_answered_whatever_the_state_and_sessions_are_not():
    """While the keeper does not serve, words are answered, and a ConnectRequest gets the end without a word."""
    async with stage(words=lambda word: b"imok" if word == b"ruok" else None) as there:
        there.keeper.serving.become(State.APART)
        client, word = there.call(), there.call()
        await word.send(b"ruok")
        assert await word.bytes(4) == b"imok"
        await client.send(connect_request())
        assert await client.ended()


async def test_a_read_only_keeper_serves_read_only_clients_alone():
    """Others are closed without a word, clients too old to say included; the served are told, and may not write."""
    async with stage() as there:
        there.keeper.serving.become(State.READ_ONLY)
        for said in (b"", b"\0"):
            client = there.call()
            await client.send(connect_request(read_only=said))
            assert await client.ended()
        client = there.call()
        await client.send(connect_request(read_only=b"\1"))
        assert (await client.packet())[36] == 1
        await client.send(create(1, "/a"), request(2, 9, struct.pack(">i", 1) + b"/"), get_data(3, "/"))
        assert [each.err for each in await client.answers(3)] == [-119, -119, 0]


async def test_a_client_that_asks_for_nothing_is_closed_in_time(autojump_clock):
    """Bytes that come too slowly don't keep a connection: it ends after `Limits.handshake`, and is counted."""
    async with stage(Limits(handshake=5.0)) as there:
        started = trio.current_time()
        silent, slow = there.call(), there.call()
        for byte in connect_request()[:20]:
            await slow.stream.send_all(bytes((byte,)))
            await trio.sleep(0.2)
        assert await silent.ended()
        assert await slow.ended()
        assert 5.0 <= trio.current_time() - started < 5.5
        assert there.stats.late_handshakes == 2


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        struct.pack(">i", -1),
        struct.pack(">i", 0),
        framed(bytes(10)),
        framed(bytes(24) + struct.pack(">i", 1000)),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    ],
    ids=["http", "negative", "empty", "short", "long-password", "tls"],
)
async def test_what_is_no_handshake_ends_without_an_answer(first):
    """Nothing is answered, nothing breaks, the next client is served."""
    async with stage() as there:
        client = there.call()
        await client.send(first)
        assert await client.ended()
        assert (await there.client()).session
        assert there.stats.crashed == 0


@pytest.mark.parametrize("sent", [b"", b"ru", connect_request()[:30]])
async def test_a_client_that_leaves_early_is_forgotten(sent):
    """The end of the stream before a whole ConnectRequest is the end of it."""
    async with stage() as there:
        client = there.call()
        await client.stream.send_all(sent or b"\0")
        await client.stream.send_eof()
        assert await client.ended()
        await trio.testing.wait_all_tasks_blocked()
        assert not there.stats.connections


async def test_a_session_that_cannot_be_opened_in_its_timeout_is_given_up(autojump_clock):
    """A client whose store does not answer is closed when it has given up itself; a late commit attaches nobody."""
    async with stage(keeper_ttl=1000.0) as there:
        there.store.close_gate()
        client = there.call()
        await client.send(connect_request(timeout=5000))
        started = trio.current_time()
        assert await client.ended()
        assert trio.current_time() - started == pytest.approx(5.0)
        there.store.open_gate()
        assert (await there.client()).session
        assert len(there.services.sessions.attachments) == 1


async def test_requests_are_not_looked_at_before_the_session_is_there():
    """What comes behind the ConnectRequest waits for the commit that opens the session."""
    async with stage() as there:
        there.store.close_gate()
        client = there.call()
        await client.send(connect_request(), get_data(1, "/"), request(2, 11))
        await trio.testing.wait_all_tasks_blocked()
        assert there.stats.outstanding == 0
        there.store.open_gate()
        assert len(await client.packet()) == 37
        assert [each.xid for each in await client.answers(2)] == [1, -2]
