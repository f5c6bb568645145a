"""Whose clock is kept where, and which connection holds a session."""

from __future__ import annotations

from trio.testing import MockClock

from parkeeper.server.requests import Attachment
from parkeeper.server.sessions import LocalSessions
from parkeeper.tree.replica import Replica
from parkeeper.tree.sessions import Session


def held(dropped: list[str], session: int, rev: int = 1) -> Attachment:
    attachment = Attachment(session, 10_000, 0.0, dropped.append)
    attachment.rev = rev
    return attachment


async def test_ids_are_the_keepers_own_and_never_given_twice(mock_clock: MockClock) -> None:
    """Keeper id << 32 | counter from 1; the password is 16 bytes that only the secret can tell."""
    sessions = LocalSessions(Replica(0), b"secret", 0.5)
    sessions.start(3)
    assert [sessions.new_id() for _ in range(3)] == [0x3_0000_0001, 0x3_0000_0002, 0x3_0000_0003]
    assert len(sessions.password(0x3_0000_0001)) == 16
    assert sessions.check_password(0x3_0000_0001, sessions.password(0x3_0000_0001))
    assert not sessions.check_password(0x3_0000_0002, sessions.password(0x3_0000_0001))
    assert not sessions.check_password(0x3_0000_0001, None)


async def test_a_claim_ends_the_older_connection_and_a_close_spares_who_asked(mock_clock: MockClock) -> None:
    """The asker of a close is answered first."""
    sessions, dropped = LocalSessions(Replica(0), b"secret", 0.5), list[str]()
    sessions.start(1)
    first = held(dropped, 5)
    sessions.attach(first)
    sessions.changed(5, Session(10_000, 1, 0, False, 1, rev=2), None)
    assert (dropped, first.alive, sessions.attachments) == (
        ["the session was claimed by another connection"],
        False,
        {},
    )
    second = held(dropped, 5, rev=2)
    sessions.attach(second)
    sessions.ended(5, second)
    assert (len(dropped), second.alive) == (1, True)
    assert 5 not in sessions.clocks


async def test_a_session_of_a_keeper_that_is_gone_is_an_orphan(mock_clock: MockClock) -> None:
    """Everybody keeps its clock; one of a keeper that lives has its clock there."""
    replica = Replica(0)
    sessions = LocalSessions(replica, b"secret", 0.5)
    sessions.start(1)
    record = Session(10_000, 2, 0, False, 0, rev=1)
    replica.sessions[7] = record
    sessions.changed(7, record, None)
    assert 7 in sessions.orphans
    sessions.changed(7, record.claimed(1, 10_000), None)
    assert (7 in sessions.orphans, 7 in sessions.clocks) == (False, True)
