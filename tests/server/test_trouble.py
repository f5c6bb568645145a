"""What a keeper logs of a store in trouble: its beginning and its end."""

from __future__ import annotations

import logging

import pytest
import trio
from trio.testing import MockClock

from parkeeper.errors import NotApplied, Unavailable
from parkeeper.testing.faults import Refuse
from tests.server.test_faults import Group
from tests.server.test_membership import Member

Told = list[tuple[str, object]]


def told(caplog: pytest.LogCaptureFixture) -> Told:
    """Each line with its reason, or the number of failures it ends."""
    return [
        (each.getMessage(), getattr(each, "reason", getattr(each, "failures", None)))
        for each in caplog.records
        if each.name in ("parkeeper.committer", "parkeeper.membership")
    ]


async def test_beats_that_are_refused(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    """Twice: what is over may begin again."""
    member = Member()
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            member.store.beats.fail_next(Refuse(NotApplied, "no space"), times=30)
            await member.beat()
            await member.beat()
    assert told(caplog) == 2 * [
        ("a beat did not come back; trying again", "no space"),
        ("beats come back again", 30),
    ]


async def test_commits_that_are_refused(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    """The client waits meanwhile, and gets its answer."""
    async with Group(1) as (group, stores):
        client = await group.client()
        with caplog.at_level(logging.INFO):
            stores[0].commits.fail_next(Refuse(Unavailable, "no leader"), times=20)
            begun = trio.current_time()
            assert await client.create("/a") == "/a"
            assert trio.current_time() - begun == pytest.approx(2, abs=0.1)
    assert told(caplog) == [
        ("the store did not take a commit; trying again", "no leader"),
        ("the store takes commits again", 20),
    ]
