"""Who is alone in committing: what such a keeper need not ask, and when its change stream may rest.

A keeper is *alone* while the commit before each of its own was its own too. Its next commit may then be guarded as a
whole, "my head is the newest one", which says at the same time which commit stood before it: nothing has to be read in
the transaction (`txn`). Who loses by such a guard pays a round trip, so the first loss ends it.

The stream tells who is alone nothing but its own commits, which it knew from their answers, and that is not cheap: etcd
writes every key and value once more as JSON, and we read it. But etcd counts every change of any key. So while each
commit of ours has the revision that follows the last one's, nobody changed anything at all, and there is nothing to
tell: the stream may be closed, and begin again later behind the last of these commits that we have applied, as the next
one says. (An answer may not reach us.) It begins again at once when a revision was skipped, when a commit fails or is in
doubt, when a read names a commit that we don't know, and for our beats; and soon when no commits come any more.

(etcd tells a watch that begins in the past only at its next look, 100 ms later at most. Who waits for another keeper's
commit would feel that. So nothing rests where another keeper is registered.)

(setData compiled, in turn with a version whose stream never rests and which reads in each transaction, 1 / 8 / 64
connections: 1.19, 1.24 and 1.22 times as many a second, leaner requests included.)
"""

from __future__ import annotations

import trio

from parkeeper.store.facade import Commit, Receipt

COARSE_AFTER = 8
"""Commits of ours in a row after which one guard over all heads will do."""

RUN = 16
"""Commits of ours, without a revision between them, that are worth a rest: a watch costs as much as two of them."""

BRISK = 0.24
"""Seconds within which so many have to come."""

IDLE = 0.02
"""Seconds without a commit that end a rest."""

SHORT = 6.0
"""Seconds of a keeper TTL below which nothing rests: a beat is expected on the stream within a twelfth of it, and a
stream has to be opened for it, which is served 100 ms later."""


class _Chain:
    """Commits of ours at all revisions from `first` to `newest`, each to be applied when it was answered."""

    def __init__(self, first: int, newest: int) -> None:
        self.first = first
        self.newest = newest
        self.brisk = False
        self._counted, self._began = 0, float("-inf")

    def grow(self) -> None:
        """One more."""
        self.newest += 1
        self._counted += 1
        if self._counted >= RUN:
            now = trio.current_time()
            self.brisk = now - self._began <= BRISK
            self._counted, self._began = 0, now

    def slow(self) -> None:
        """It is to show once more how fast it grows."""
        self.brisk = False
        self._counted, self._began = 0, trio.current_time()


class Alone:
    """One keeper's commits, as their answers tell of them.

    Args:
        rests: whether the change stream may rest at all.

    Attributes:
        newest: revision of our last commit that was answered.
    """

    def __init__(self, rests: bool) -> None:
        self._rests = rests
        self.newest = 0
        self._in_a_row = 0
        self._applied = 0
        self._sole = False
        self._chain = _Chain(1, 0)
        self._wanted = trio.Event()

    def loaded(self) -> None:
        """Everything is loaded anew: nothing is known of what was committed before."""
        self.over()
        self._applied = 0

    def begins(self, commit: Commit) -> bool:
        """A commit of ours is about to be sent. Whether one guard over all heads is as good as one for each item.

        Not for a commit without a journal: whoever makes that asks what became of each of its guards.
        """
        self._applied = commit.seen
        alone = self._in_a_row >= COARSE_AFTER and commit.seen == self.newest
        return alone and commit.newest == commit.keeper and bool(commit.journal)

    def happened(self, commit: Commit, receipt: Receipt) -> None:
        """A commit of ours was answered."""
        self._in_a_row = self._in_a_row + 1 if receipt.previous == self.newest else 0
        self.newest = revision = receipt.revision
        self._sole = commit.sole
        applied = commit.seen == receipt.previous  # at its answer, since all before it was
        if applied and revision == self._chain.newest + 1:
            self._chain.grow()
        else:
            self._chain = _Chain(revision if applied else revision + 1, revision)
            self.wake()

    def over(self) -> None:
        """A commit of ours failed or is in doubt."""
        self._in_a_row = 0
        self._chain = _Chain(self.newest + 1, self.newest)
        self.wake()

    def wake(self) -> None:
        """The stream is wanted."""
        wanted, self._wanted = self._wanted, trio.Event()
        wanted.set()

    def may_rest(self, told: int) -> bool:
        """Whether a stream that has told everything up to a revision has nothing to tell, and that for a while yet."""
        chain = self._chain
        return chain.brisk and self._rests and self._sole and chain.first <= told + 1

    async def rest(self, told: int) -> int:
        """Wait until the stream is wanted. Returns the revision up to which it has nothing to tell after `told`."""
        chain, wanted = self._chain, self._wanted
        last = -1
        while self.may_rest(told) and last != chain.newest:
            last = chain.newest
            with trio.move_on_after(IDLE):
                await wanted.wait()
                break
        chain.slow()
        return max(told, min(chain.newest, self._applied)) if chain.first <= told + 1 else told
