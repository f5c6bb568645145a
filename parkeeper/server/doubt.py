"""Sending a commit until its fate is known (PROTOCOL section 3, "in doubt").

A commit that timed out may have happened, or may happen later: a copy of it can lie in a stopped member's queue. So
nothing is planned again until that is settled, and reading proves nothing. The same commit is sent again; each answer
that refuses it brings `head/K` back, which names the last commit of this keeper:

* it names this commit: it had happened, at that revision;
* it names the one before: not yet. An earlier copy may still be under way, so an *empty commit* guarded by `head/K`
  alone goes first: once that happened, no copy of the other can. Then it may be planned again.
* it is gone, or names a commit we know nothing of: this incarnation is over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import trio

from parkeeper.errors import GuardFailed, InDoubt, NotApplied, ParkeeperError, Rejected, Unavailable
from parkeeper.server.commit_stats import CommitStats
from parkeeper.store.facade import Commit, Head, PatientStore, PromptStore, Receipt, Store

log = logging.getLogger("parkeeper.committer")

FIRST_TRY: Final = 1.0
LONGEST_TRY: Final = 8.0
"""Seconds of a try; they double when tries time out again. etcd lets a write caught in a leader change hang 7 s."""

PAUSE: Final = 0.1
"""Seconds between tries that were refused at once."""

UNKNOWN: Final = -1
"""`previous` of a receipt that was learnt from `head/K`: only the stream knows when it is due."""


class Ended(ParkeeperError):
    """This incarnation is over: the store knows it no more."""


class Superseded(ParkeeperError):
    """The commit did not happen and never will: an empty commit took its place.

    Args:
        receipt: of the empty commit.
        head: its identity, now that of our last commit.
    """

    def __init__(self, receipt: Receipt, head: Head) -> None:
        super().__init__(receipt, head)
        self.receipt = receipt
        self.head = head


class Sender:
    """Sends the commits of one incarnation, one after the other.

    Args:
        store: where.
        keeper: our id.
        attempts: gives the next try number.
        stats: counters.
    """

    def __init__(self, store: Store, keeper: int, attempts: Callable[[], int], stats: CommitStats) -> None:
        self._store = store
        self._prompt = store if isinstance(store, PromptStore) else None
        self._patient = isinstance(store, PatientStore)
        self._keeper = keeper
        self._attempts = attempts
        self._stats = stats

    async def send(self, commit: Commit, before: Head | None, before_rev: int) -> Receipt:
        """Send a commit until it is known what became of it.

        Args:
            commit: planned.
            before: identity of our last commit, None when registering.
            before_rev: revision of our head, 0 when registering.

        Raises:
            GuardFailed, NotApplied, Unavailable, Rejected: certainly not applied.
            Superseded: not applied after a doubt; plan again.
            Ended: this incarnation is over.
        """
        doubt, limit = False, FIRST_TRY
        while True:
            try:
                receipt = await self._try(commit, limit)
            except InDoubt as error:
                if not self._store.limits.shared:
                    raise Ended(f"the store may have lost a commit: {error}") from error
                if not doubt:
                    doubt = True
                    self._stats.in_doubt += 1
                    log.warning("a commit is in doubt; sending it again", extra={"reason": str(error)})
                limit = min(limit * 2, LONGEST_TRY)
                await trio.sleep(PAUSE)
            except GuardFailed as failed:
                if failed.own_identity == commit.head:
                    self._stats.found += 1
                    return Receipt(failed.own, UNKNOWN)
                if failed.own_identity != before:
                    if before is None:
                        raise
                    raise Ended(
                        f"the head of this keeper names {failed.own_identity}, not {before}"
                    ) from failed
                if not doubt or before is None:
                    raise
                return await self._empty(commit, before_rev)
            except (NotApplied, Unavailable, Rejected):
                if not doubt:
                    raise
                await trio.sleep(PAUSE)
            else:
                return receipt

    async def _try(self, commit: Commit, limit: float) -> Receipt:
        """One try; one that takes too long is in doubt, as some stores see to. A file of our own answers some time."""
        if self._patient or not self._store.limits.shared:
            return await self._store.commit(commit)
        if self._prompt is not None:  # (a scope for the limit costs as much as a small commit)
            await trio.lowlevel.checkpoint_if_cancelled()
            receipt = self._prompt.commit_now(commit)
            if receipt is not None:
                self._prompt.durable()
                return receipt
        with trio.move_on_after(limit):
            return await self._store.commit(commit)
        raise InDoubt(f"no answer within {limit:g} s")

    async def _empty(self, commit: Commit, before_rev: int) -> Receipt:
        """Make sure that no copy of `commit` can happen any more, or find that one did."""
        head = commit.head
        if head is None:
            raise AssertionError("a keeper's commit has a head")
        tries = [Head(head.incarnation, head.counter, self._attempts())]
        limit = FIRST_TRY
        while True:
            empty = Commit(
                self._keeper, tries[-1], {f"head/{self._keeper}": before_rev}, {}, seen=commit.seen
            )
            try:
                receipt = await self._try(empty, limit)
            except InDoubt:
                limit = min(limit * 2, LONGEST_TRY)
                tries.append(Head(head.incarnation, head.counter, self._attempts()))
                await trio.sleep(PAUSE)
            except GuardFailed as failed:
                if failed.own_identity == head:
                    self._stats.found += 1
                    return Receipt(failed.own, UNKNOWN)
                for each in tries:
                    if failed.own_identity == each:
                        raise Superseded(Receipt(failed.own, UNKNOWN), each) from failed
                # The one before, and yet the guard failed: its head is not where it was.
                raise Ended(f"the head of this keeper names {failed.own_identity}") from failed
            except (NotApplied, Unavailable, Rejected):
                await trio.sleep(PAUSE)
            else:
                raise Superseded(receipt, tries[-1])
