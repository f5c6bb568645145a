"""Requests of one session keep their order through lost, refused and superseded commits; refusals are up to date."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from tests.raw import encode as raw
from tests.server.test_faults import Group


async def test_what_a_session_asked_before_a_contended_request_goes_first(autojump_clock: MockClock) -> None:
    """The commit loses over the second request; the first one still happens before it."""
    async with Group(2) as (group, stores):
        one, two = await group.client(0), await group.client(1)
        for path in ("/own", "/hot"):
            assert await one.create(path) == path
        await two.sync()
        with stores[0].commits.holding() as held:
            own, hot = raw.set_data("/own", b"1"), raw.set_data("/hot", b"2")
            await one.send_raw(raw.request(101, 5, own) + raw.request(102, 5, hot))
            await stores[0].commits.wait_entered(1)
            assert await two.set("/hot", b"other") == 0
            held.set()
            replies = [await one.receive() for _ in range(2)]
        assert [reply.err for reply in replies] == [0, 0]
        zxids = [reply.zxid for reply in replies]
        assert zxids == sorted(zxids)
        assert group.keepers[0].commits.lost == 1


async def test_a_refusal_of_who_came_after_the_read_is_up_to_date(autojump_clock: MockClock) -> None:
    """A read that shows the replica to be late answers for those who waited for it, and for nobody who came after it:
    what another keeper acknowledged meanwhile counts."""
    async with Group(2) as (group, stores):
        one, late, two = await group.client(0), await group.client(0), await group.client(1)
        stream = stores[0].stream
        with stores[0].heads.holding_answers() as answered:
            stream.hold()
            assert await two.create("/other") == "/other"
            await one.send(1, raw.create("/none/x"))
            await trio.testing.wait_all_tasks_blocked()
            stream.release()
            await trio.testing.wait_all_tasks_blocked()
            stream.hold()
            assert await two.create("/p") == "/p"
            await late.send(1, raw.create("/p/x"))
            await trio.testing.wait_all_tasks_blocked()
            answered.set()
        assert (await one.receive()).err == -101
        await trio.testing.wait_all_tasks_blocked()
        stream.release()
        assert (await late.receive()).err == 0
        assert group.keepers[0].commits.stale >= 1
