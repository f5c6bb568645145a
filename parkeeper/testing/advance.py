"""Putting the time forward, for sessions, TTL nodes and containers, without waiting and without a mock clock.

Deadlines of sessions are kept in Trio's time, TTLs and the age of containers in wall clock time; both move together.
A session with a living connection counts as having pinged at the end, as a client whose clock moved too would have
done; unless nothing passes between it and its keeper. Heartbeats of keepers stay where they are: they are between
parkeeper and its store, which has a clock of its own. But a keeper that was killed is declared dead, if the time put
forward is longer than its TTL.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from parkeeper.server.incarnation import Incarnation
from parkeeper.testing.clock import Clock
from parkeeper.testing.member import Member


async def advance(seconds: float, members: Sequence[Member], clock: Clock) -> None:
    """Put the time forward; returns when everything that is due by then has happened, at every keeper.

    Args:
        seconds: 0 or more.
        members: of the ensemble; those that do not serve, or are paused, do not take part.
        clock: of the ensemble.

    Raises:
        ValueError: time does not go back.
    """
    if seconds < 0:
        raise ValueError(f"time does not go back: {seconds}")
    living = [each for each in members if each.incarnation is not None and not each.paused]
    ttl = min((each.store.limits.keeper_ttl for each in living), default=0.0)
    if seconds >= ttl and _declare_dead(living, members):
        # From the moment a keeper is declared dead its sessions have their full timeout.
        await _settle(_incarnations(living))
        clock.advance(ttl)
        await _step(seconds - ttl, living, clock)
    else:
        await _step(seconds, living, clock)


def _declare_dead(living: Sequence[Member], members: Sequence[Member]) -> bool:
    """Have keepers that were killed declared dead, as happens when their TTL has passed; False if there are none."""
    for incarnation in _incarnations(living)[:1]:
        killed = {keeper for each in members for keeper in each.killed}
        dead = killed & incarnation.replica.registry.keepers.keys()
        for keeper in dead:
            incarnation.membership.declare(keeper)
        return bool(dead)
    return False


async def _step(seconds: float, living: Sequence[Member], clock: Clock) -> None:
    clock.advance(seconds)
    now = trio.current_time()
    incarnations = _incarnations(living)
    for member, incarnation in zip(living, incarnations, strict=True):
        _shift(incarnation, seconds, now, pinged=not member.line.shut)
    for incarnation in incarnations:
        incarnation.expiry.close_due()
        if incarnation.janitor.on_duty:
            incarnation.janitor.close_orphans(now)
    await _settle(incarnations)
    for incarnation in incarnations:
        # A parent may be due once its last child is gone.
        while incarnation.janitor.on_duty and incarnation.janitor.reap():
            await _settle(incarnations)


def _incarnations(members: Sequence[Member]) -> list[Incarnation]:
    return [each.incarnation for each in members if each.incarnation is not None]


def _shift(incarnation: Incarnation, seconds: float, now: float, *, pinged: bool) -> None:
    sessions = incarnation.sessions
    sessions.clocks.shift(-seconds)
    sessions.orphans.shift(-seconds)
    for attachment in sessions.attachments.values():
        if pinged:
            attachment.touched = now
            sessions.clocks.touch(attachment.session, now + attachment.timeout / 1000)
        else:
            attachment.touched -= seconds
    sessions.wake()


async def _settle(incarnations: Sequence[Incarnation]) -> None:
    """Until all that was asked is committed, and applied everywhere."""
    for incarnation in incarnations:
        await incarnation.committer.settled()
    newest = max((each.replica.revision for each in incarnations), default=0)
    for incarnation in incarnations:
        await incarnation.applier.wait_for(newest)
