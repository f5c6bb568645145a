"""What becomes of each kind of request, on whole connections and with bytes by hand."""

from __future__ import annotations

import struct

import pytest
import trio
import trio.testing

from parkeeper.options import Limits
from tests.server.stage import buffer, create, get_data, request, set_data, stage, string


async def test_reads_are_answered_with_the_xid_they_came_with():
    """A read of a znode that exists, and one of a znode that doesn't, each under its own number."""
    async with stage() as there:
        client = await there.client()
        await client.send(create(1, "/a", b"one"), get_data(2, "/a"), get_data(-77, "/nowhere"))
        made, got, missing = await client.answers(3)
        assert (made.xid, made.err, made.body) == (1, 0, string("/a"))
        assert (got.xid, got.err, got.data) == (2, 0, b"one")
        assert (missing.xid, missing.err, missing.body) == (-77, -101, b"")
        assert 0 < made.zxid <= got.zxid <= missing.zxid


async def test_pings_overtake_a_write_that_waits():
    """A client with a slow write still gets its pings answered, with xid -2 whatever it sent."""
    async with stage() as there:
        client = await there.client()
        there.store.close_gate()
        await client.send(create(1, "/a"), request(5, 11))
        ping = await client.answer()
        assert (ping.xid, ping.err, ping.body) == (-2, 0, b"")
        there.store.open_gate()
        assert (await client.answer()).xid == 1


async def test_auth_keeps_its_place_and_counts_at_once():
    """The reply to auth comes in turn with zxid 0; what is behind it has the identity, what is before has not."""
    async with stage() as there:
        client = await there.client()
        acl = struct.pack(">ii", 1, 31) + string("auth") + string("")
        secret = request(2, 1, string("/secret") + buffer(b"") + acl + struct.pack(">i", 0))
        auth = request(-4, 100, struct.pack(">i", 0) + string("digest") + buffer(b"me:pw"))
        there.store.close_gate()
        await client.send(
            create(1, "/a"),
            request(7, 107),
            auth,
            secret,
            get_data(3, "/secret"),
            request(8, 107),
        )
        await trio.testing.wait_all_tasks_blocked()
        there.store.open_gate()
        made, before, authed, hidden, got, after = await client.answers(6)
        assert [made.xid, before.xid, authed.xid, hidden.xid, got.xid, after.xid] == [1, 7, -4, 2, 3, 8]
        assert (authed.zxid, authed.err, authed.body) == (0, 0, b"")
        assert (hidden.err, got.err) == (0, 0)
        assert before.body == struct.pack(">i", 1) + string("ip") + string("10.0.0.1")
        assert after.body == struct.pack(">i", 2) + string("ip") + string("10.0.0.1") + string(
            "digest"
        ) + string("me")
        other = await there.client()
        await other.send(get_data(1, "/secret"))
        assert (await other.answer()).err == -102


async def test_a_refused_auth_is_answered_and_ends_the_connection():
    """-115 with zxid 0 in its turn, then the end; what came behind it is not answered."""
    async with stage() as there:
        client = await there.client()
        auth = request(-4, 100, struct.pack(">i", 0) + string("kerberos") + buffer(b"me"))
        await client.send(create(1, "/a"), auth, get_data(2, "/a"))
        made, refused = await client.answers(2)
        assert (made.xid, made.err) == (1, 0)
        assert (refused.xid, refused.zxid, refused.err) == (-4, 0, -115)
        assert await client.ended()
        assert there.stats.auth_failed == 1


async def test_sasl_is_answered_as_by_a_server_without_it():
    """Error 0 and a null token, zxid 0, and the connection stays."""
    async with stage() as there:
        client = await there.client()
        await client.send(request(1, 102, buffer(b"")), get_data(2, "/"))
        step, got = await client.answers(2)
        assert (step.xid, step.zxid, step.err, step.body) == (1, 0, 0, struct.pack(">i", -1))
        assert got.err == 0


async def test_sync_echoes_its_path_in_turn():
    """The reply has the path, null too, and keeps its place between a write and a read."""
    async with stage() as there:
        client = await there.client()
        await client.send(
            create(1, "/a"), request(2, 9, string("/x")), get_data(3, "/a"), request(4, 9, string(None))
        )
        made, synced, got, null = await client.answers(4)
        assert [made.xid, synced.xid, got.xid, null.xid] == [1, 2, 3, 4]
        assert (synced.err, synced.body) == (0, string("/x"))
        assert (null.err, null.body) == (0, string(None))


@pytest.mark.parametrize("parked", [False, True], ids=["at-once", "parked"])
async def test_a_broken_multi_read_has_an_error_and_a_body(parked):
    """A null path behind a good read: -5 in the header, with the results before it; a whole one has 0."""
    get, null = (
        struct.pack(">iBi", 4, 0, -1) + string("/a") + b"\0",
        struct.pack(">iBi", 4, 0, -1) + string(None) + b"\0",
    )
    end = struct.pack(">iBi", -1, 1, -1)
    async with stage() as there:
        client = await there.client()
        await client.send(create(0, "/a", b"x"))
        await client.answer()
        before = [create(1, "/b")] if parked else []
        await client.send(*before, request(2, 22, get + end), request(3, 22, get + null + end))
        good, broken = (await client.answers(len(before) + 2))[-2:]
        assert (good.err, broken.err) == (0, -5)
        assert good.body == broken.body
        assert good.body.startswith(struct.pack(">iBi", 4, 0, 0) + buffer(b"x"))
        assert good.body.endswith(end)


async def test_a_malformed_record_is_answered_and_the_connection_stays():
    """-5, in turn behind a write or at once, for reads and writes."""
    async with stage() as there:
        client = await there.client()
        await client.send(
            request(1, 4, b"\0"), create(2, "/a"), request(3, 5, b"\0"), request(4, 4), get_data(5, "/a")
        )
        answers = await client.answers(5)
        assert [(each.xid, each.err) for each in answers] == [(1, -5), (2, 0), (3, -5), (4, -5), (5, 0)]
        assert all(each.body == b"" for each in answers[2:4])
        assert answers[0].zxid > 0


@pytest.mark.parametrize("op", [0, -1, 13, 20, -10, 999])
async def test_an_unknown_opcode_is_answered_in_turn_and_ends_the_connection(op):
    """-6 with zxid -1 behind the replies before it, then the end; what came behind it is not answered."""
    async with stage() as there:
        client = await there.client()
        await client.send(create(1, "/a"), request(2, op), get_data(3, "/a"))
        made, refused = await client.answers(2)
        assert (made.xid, made.err) == (1, 0)
        assert (refused.xid, refused.zxid, refused.err, refused.body) == (2, -1, -6, b"")
        assert await client.ended()


async def test_large_answers_behind_a_write_do_not_cut_a_client_off():
    """Parked reads count with what they will be answered with, so that their replies fit the outbox."""
    async with stage(Limits(parked_bytes=30_000, outbox_high=20_000, outbox=100_000)) as there:
        client = await there.client()
        await client.send(create(0, "/a", b"x" * 5000))
        await client.answer()
        there.store.close_gate()
        await client.send(
            set_data(1, "/a", b"y" * 5000),
            *(get_data(xid, "/a") for xid in range(2, 60)),
            set_data(60, "/a", b"z"),
        )
        await trio.testing.wait_all_tasks_blocked()
        assert there.stats.outstanding < 10
        there.store.open_gate()
        answers = await client.answers(60)
        assert [each.xid for each in answers] == list(range(1, 61))
        assert all(each.data == b"y" * 5000 for each in answers[1:59])
