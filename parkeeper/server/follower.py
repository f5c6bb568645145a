"""The follower: the store's change stream into the applier, and what a break of it asks for (PROTOCOL section 5).

After any break, before anything more is applied, the past is proven: our own last acknowledged beat is still in the
store, and so is every head the replica has applied, at the same revision or at a higher one with a higher counter. If
not, we were declared dead or the store went back in time, and this incarnation ends. (A restored etcd keeps its
cluster id, and a watch would resume on another history.)
"""

from __future__ import annotations

import logging
from typing import Final, NoReturn

import trio

from parkeeper.errors import Cut, InDoubt, NotApplied, Unavailable
from parkeeper.server.applier import Applier
from parkeeper.server.commit_stats import CommitStats
from parkeeper.server.doubt import Ended
from parkeeper.server.membership import Membership
from parkeeper.store.facade import Head, Store, Survey

log = logging.getLogger("parkeeper.follower")

RETRY: Final = 0.1
"""Seconds between tries to resume."""

LIVED: Final = 1.0
"""Seconds a stream must have lived for the next one to be begun without a pause."""


class Follower:
    """Follows the store for one incarnation.

    Args:
        store: whose stream.
        applier: where it goes.
        membership: knows our own last beat.
        stats: counters.
    """

    def __init__(self, store: Store, applier: Applier, membership: Membership, stats: CommitStats) -> None:
        self._store = store
        self._applier = applier
        self._membership = membership
        self._stats = stats
        self._stream = trio.CancelScope()

    async def run(self, position: int) -> NoReturn:
        """Follow for ever, from `position`. Raises: `Ended`, `Compacted`, `WentBack`, `AccessDenied`."""
        self._applier.followed = position
        while True:
            self._stream = trio.CancelScope()
            begun = trio.current_time()
            try:
                with self._stream:
                    await self._store.follow(self._applier.followed, self._applier.deliver)
                self._stats.breaks += 1
                log.warning("the change stream was silent; following elsewhere")
            except (Cut, Unavailable) as cut:
                self._stats.breaks += 1
                log.warning(
                    "the change stream broke; proving the past before it goes on", extra={"reason": str(cut)}
                )
            if trio.current_time() - begun < LIVED:
                await trio.sleep(RETRY)  # one that breaks at once must not make us hammer the store
            await self._prove()

    def renew(self) -> None:
        """The stream is silent: give it up, so that the adapter follows elsewhere."""
        self._stream.cancel("the stream is silent")

    async def _prove(self) -> None:
        """Raises: `Ended` if what we know to have been is no longer there."""
        while True:
            beat = self._membership.acknowledged
            heads = dict(self._applier.heads)
            try:
                survey = await self._store.survey()
            except (Unavailable, NotApplied, InDoubt, Cut) as error:
                log.debug("the store did not prove its past yet", extra={"reason": str(error)})
                await trio.sleep(RETRY)
                continue
            fault = missing(survey, heads, self._membership.keeper, beat)
            if fault:
                raise Ended(f"the store's past is not the one we know: {fault}")
            return


def missing(survey: Survey, heads: dict[int, tuple[Head, int]], keeper: int, beat: int) -> str:
    """What of the past is not in a survey; "" if all is.

    Args:
        survey: read after the break.
        heads: keeper -> identity and revision of its last commit that was applied before the survey was asked for.
        keeper: our id, 0 before we are registered.
        beat: revision of our last acknowledged beat before the survey was asked for.
    """
    if keeper:
        own = survey.keepers.get(keeper)
        if own is None or own[1] < beat:
            return f"our beat at revision {beat} is gone"
    for each, (head, revision) in heads.items():
        there = survey.heads.get(each)
        if there is None:
            return f"the last commit of keeper {each} at revision {revision} is gone"
        same = there[1] == revision and there[0] == head
        newer = there[1] > revision and (
            there[0].incarnation != head.incarnation or there[0].counter > head.counter
        )
        if not (same or newer):
            return f"keeper {each} last committed at revision {there[1]}, not {revision}"
    return ""
