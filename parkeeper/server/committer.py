"""The committer: one commit in flight per keeper; what arrives meanwhile is the next batch (PROTOCOL section 4).

One round trip when idle, throughput that grows with load. Between batches go *errands*, the commits that a keeper
makes for itself: a declaration of death, a clean stop, forgetting keepers long gone.

Two ways lead to a commit. The task (`run`) knows all that can happen: doubt, lost races, a store that refuses. And where
the store can commit without waiting (`PromptStore`) and nothing is under way, what the readers submitted in one round is
committed, applied and answered at the round's end by whoever ran it (`hold`, `let_go`): no task is woken for it. Whatever
has to be waited for or is refused there is put back for the task to do from the beginning.

(setData on memory, in turn with a version that wakes the task: 1 connection 1.45 times as many a second, 8 connections
1.37 times, 64 the same.)
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Final

import trio

from parkeeper.errors import GuardFailed, InDoubt, NotApplied, Rejected, StoreError, Unavailable
from parkeeper.options import Options
from parkeeper.server.applier import Applier, OwnCommit
from parkeeper.server.commit_stats import CommitStats
from parkeeper.server.doubt import Ended, Sender, Superseded
from parkeeper.server.errand import Errand
from parkeeper.server.flusher import Flusher
from parkeeper.server.gathering import Gathering
from parkeeper.server.planner import Planner
from parkeeper.server.requests import Request
from parkeeper.server.tickets import Tickets
from parkeeper.server.trouble import Trouble
from parkeeper.store.facade import Commit, Head, PromptStore, Receipt, Store
from parkeeper.tree.answers import NOTHING, encode
from parkeeper.tree.batch import Batch
from parkeeper.tree.encoding import encode_fence
from parkeeper.wire.codes import Code

log = logging.getLogger("parkeeper.committer")

RETRY: Final = 0.1
"""Seconds before a store that refused or could not be reached is asked again."""

LONGEST: Final = 0.001
"""Seconds of commits without a wait before other tasks have a turn: as long as the flusher's slice."""

HELD: Final = 0.02
"""Seconds between looks at requests that another keeper's ticket holds back."""


class Committer:
    """Plans, commits, and has applied.

    Args:
        store: where commits go.
        applier: what applies them.
        planner: the queue.
        options: of the keeper.
        head: identity of the registration, our first commit; `head_rev` is its revision.
        flusher: sends what a commit answered: at once if nothing waits to be planned or if those who get it are
            waited for, else while the next one is under way.

    Attributes:
        gathering: how long it waits after a commit for those whom that answered.
    """

    def __init__(
        self,
        store: Store,
        applier: Applier,
        planner: Planner,
        options: Options,
        head: Head,
        head_rev: int,
        attempts: Callable[[], int],
        stats: CommitStats,
        flusher: Flusher,
    ) -> None:
        self.stats = stats
        self._flusher = flusher
        self._prompt = store if isinstance(store, PromptStore) else None
        self._in_place = store.limits.inline  # (`_inline` is a word of C, which mypyc would not rename)
        self.head = head
        self.head_rev = head_rev
        self._store = store
        self._applier = applier
        self._replica = applier.replica
        self._planner = planner
        self._most = options.limits.in_flight
        self._keeper = applier.keeper
        self._head_name, self._fence_name = f"head/{applier.keeper}", f"fence/{applier.keeper}"
        self._attempts = attempts
        self._sender = Sender(store, self._keeper, attempts, stats)
        self.gathering = Gathering(lambda: len(planner), min(options.limits.batch, store.limits.batch))
        self._trouble = Trouble(
            log, "the store did not take a commit; trying again", "the store takes commits again"
        )
        self._errands: deque[Errand] = deque()
        self._wake = trio.Event()
        self._room = trio.Event()
        self._idle = trio.Event()
        self._closed = False
        self._late: list[Request] = []
        self._tickets = Tickets(store, planner, applier.replica, self._keeper, stats)
        self._at_once = False
        self._held = False

    # What others call.

    def submit(self, request: Request) -> None:
        """Take a request in; its place gets the answer."""
        if self._closed:
            self._late.append(request)
            return
        self._planner.queue.append(request)
        if not self._held:
            self._wake.set()
        self.gathering.came()

    def errand(self, errand: Errand) -> None:
        """Take an errand in; it goes before the next batch."""
        self._errands.append(errand)
        self._wake.set()
        self.gathering.stop()

    def hold(self) -> None:
        """What is submitted until `let_go`, without a checkpoint in between, waits for that."""
        self._held = True

    def let_go(self) -> bool:
        """Commit what was submitted since `hold`: here and now if nothing has to be waited for, else in the task.

        Returns: whether nothing is under way now; never over a store with a network before it.

        Raises: `Ended`.
        """
        self._held = False
        if self._prompt is not None and self._idle.is_set():
            end = perf_counter() + LONGEST
            while self._planner and not self._wake.is_set() and self._next_now():
                if perf_counter() > end:
                    break
        if self._planner:
            self._wake.set()
        return self._prompt is not None and self._idle.is_set() and not self._wake.is_set()

    async def room(self) -> None:
        """Wait while too much is in flight in the whole keeper."""
        while self.crowded():
            await self._room.wait()

    def crowded(self) -> bool:
        """Whether too much is in flight in the whole keeper."""
        return len(self._planner) > self._most

    async def drained(self) -> None:
        """Wait until nothing waits or is under way; whoever comes from now on is abandoned at the end."""
        self._closed = True
        await self.settled()

    async def settled(self) -> None:
        """Wait until nothing waits or is under way."""
        while self._planner or self._errands or not self._idle.is_set():
            await self._idle.wait()
            await trio.lowlevel.checkpoint()

    def wake(self) -> None:
        """A ticket came or went: what was held back may go."""
        self._planner.forget_tickets()
        self._wake.set()

    def give_up(self) -> None:
        """The incarnation ends: nobody will be answered."""
        for request in (*self._planner.give_up(), *self._late):
            request.place.abandon()
        self._late.clear()

    # The loop.

    async def run(self) -> None:
        """Commit for ever. Raises: `Ended`."""
        while True:
            if self._errands:
                await self._run_errand(self._errands[0])
                self._errands.popleft()
                continue
            if self.head_rev > self._replica.revision:
                await self._applier.wait_for(self.head_rev)
            if not self._planner:
                await self._tickets.take_down()
                self._idle.set()
                await self._wake.wait()
                self._wake = trio.Event()
                self._busy()
                continue
            at_once, self._at_once = self._at_once, False
            batch = self._planner.next(at_once)
            if batch is not None:
                if len(batch.planned) > self._ready() or not self._commit_now(batch):
                    await self._finish(batch)
            elif self._planner.held:
                with trio.move_on_after(HELD):
                    await self._wake.wait()
                self._wake = trio.Event()
            self._room.set()
            self._room = trio.Event()
            if self._in_place and self._planner:
                await trio.lowlevel.checkpoint()  # the store gave nobody a turn

    def _busy(self) -> None:
        """Something is under way. (An event that is not set yet stays: somebody may wait for it.)"""
        if self._idle.is_set():
            self._idle = trio.Event()

    def _ready(self) -> int:
        """Writes that may be committed by a plain call now; 0 where keepers are in each other's way as well."""
        return 0 if self._prompt is None or self._replica.registry.turns else self._prompt.ready()

    def _next_now(self) -> bool:
        """Plan one batch and make it happen without waiting; False: what is left, or was put back, is for the task."""
        most = self._ready()
        batch = self._planner.next(most=most) if most else None
        if batch is None or self._commit_now(batch):
            return batch is not None
        self._planner.put_back(batch)
        return False

    def _commit_now(self, batch: Batch[Request]) -> bool:
        """Commit a batch, or confirm it if it changes nothing; False: not without waiting, and nothing is done.

        The commit is applied while the store brings it to the disk, and told after that. Raises: `Ended`.
        """
        store = self._prompt
        if store is None:
            return False
        try:
            if batch.changes_nothing:
                if store.head_now() != self._replica.revision:
                    return False
                self._confirmed(batch)
                return True
            commit, own = self._prepare(batch)
            receipt = store.commit_now(commit)
        except StoreError as error:  # (one in doubt stays so: an embedded store says it to the task as well)
            log.debug("not committed at once", extra={"reason": str(error)})
            return False
        if receipt is None:
            return False
        self._applier.expect(own)
        try:
            self._happened(own, receipt, store.durable)
        except InDoubt as error:
            raise Ended(f"the store may have lost a commit: {error}") from error
        self._committed(batch)
        if receipt.revision > self._replica.revision:
            self._busy()  # other keepers' commits are applied before it: the task waits for them
            self._wake.set()
        return True

    def _prepare(self, batch: Batch[Request]) -> tuple[Commit, OwnCommit]:
        """The commit of a batch, as it is sent and as it will be applied."""
        sealed = batch.seal()
        head = Head(self.head.incarnation, self.head.counter + 1, self._attempts())
        puts, deletes = sealed.puts, sealed.deletes
        for keeper in batch.taken:
            puts[f"fence/{keeper}"] = encode_fence(self._keeper, *head)
        if self._keeper in self._replica.registry.turns and not self._planner.impatient:
            deletes.append(f"turn/{self._keeper}")
        commit = self._commit(head, sealed.guards, puts, deletes, sealed.journal)
        return commit, OwnCommit(head, batch.planned, puts, deletes)

    async def _finish(self, batch: Batch[Request]) -> None:
        if batch.changes_nothing:
            await self._confirm(batch)
            return
        commit, own = self._prepare(batch)
        begun = trio.current_time()
        try:
            receipt = await self._send(commit, own)
        except GuardFailed as failed:
            self.stats.lost += 1
            await self._catch_up(failed, commit.seen)
            self._planner.lost(batch)
            self._at_once = True
            await self._tickets.put_up(self.head.incarnation)
        except Superseded:
            self._planner.put_back(batch)
        except (NotApplied, Unavailable) as error:
            self._trouble.failed(error)
            self.stats.not_applied += 1
            self._planner.put_back(batch)
            await trio.sleep(RETRY)
        except Rejected as error:
            self._rejected(batch, error)
        else:
            took = trio.current_time() - begun
            await self._applier.wait_for(receipt.revision)
            self._committed(batch)
            await self.gathering.wait(len(batch.planned), took)

    def _committed(self, batch: Batch[Request]) -> None:
        """Count a batch that happened, and have closes that go in parts go on."""
        self._trouble.over()
        self.stats.commits += 1
        self.stats.writes += batch.writes
        self._planner.go_on(batch)

    def _commit(
        self,
        head: Head,
        guards: dict[str, int],
        puts: Mapping[str, bytes],
        deletes: Sequence[str],
        journal: bytes,
    ) -> Commit:
        """A commit of ours: guarded by our head and our fence (added to `guards`), besides what it rests on."""
        guards[self._head_name] = self.head_rev
        seen, registry = self._replica.revision, self._replica.registry
        guards[self._fence_name] = registry.fences.get(self._keeper, 0)
        sole = len(registry.keepers) == 1
        return Commit(self._keeper, head, guards, puts, deletes, journal, seen, registry.newest, sole)

    async def _send(self, commit: Commit, own: OwnCommit) -> Receipt:
        """Send it until its fate is known; moves our head, and applies it if its turn has come."""
        self._applier.expect(own)
        try:
            receipt = await self._sender.send(commit, self.head, self.head_rev)
        except Superseded as superseded:
            self.stats.superseded += 1
            self._applier.forget(own)
            self.head, self.head_rev = superseded.head, superseded.receipt.revision
            await self._applier.wait_for(self.head_rev)
            raise
        except StoreError:
            self._applier.forget(own)
            raise
        self._happened(own, receipt)
        return receipt

    def _happened(self, own: OwnCommit, receipt: Receipt, durable: Callable[[], None] | None = None) -> None:
        """Our head has moved; the commit is applied if its turn has come, and told once it is durable.

        Raises: what `durable` raises; nobody is told then.
        """
        self.head, self.head_rev = own.head, receipt.revision
        self._flusher.hold()
        try:
            self._applier.answered(own, receipt)
            if durable is not None:
                durable()
        except BaseException:  # half applied, or not durable
            self._flusher.forswear()
            raise
        self._flusher.let_go(at_once=not self._in_place or not self._planner)

    async def _catch_up(self, failed: GuardFailed, seen: int) -> None:
        """Another keeper was first: see what it did. Raises: `Ended` if there is nothing to see."""
        if failed.newest <= seen:
            raise Ended(f"replica and store disagree: a guard failed, and no commit is newer than {seen}")
        await self._applier.wait_for(failed.newest)

    async def _confirm(self, batch: Batch[Request]) -> None:
        """A batch that changes nothing is true if the replica is up to date: one linearizable read tells."""
        planned_at = self._replica.revision
        newest = await self.newest()
        if newest > planned_at or self._replica.revision != planned_at:
            await self._applier.wait_for(newest)
            self._planner.put_back(batch)
            self._at_once = True
            self.stats.stale += 1
            return
        self._confirmed(batch)

    def _confirmed(self, batch: Batch[Request]) -> None:
        """Answer a batch that changes nothing and was planned on what is true."""
        self.stats.confirmed += 1
        self._flusher.hold()
        for each in batch.planned:
            place = each.asked.place
            place.before()
            place.fulfil(self._replica.zxid, each.code, b"" if each.code else encode(each.answer))
        self._flusher.let_go(at_once=not self._in_place or not self._planner)

    async def newest(self) -> int:
        """The newest commit's revision, however long the store takes to say it."""
        while True:
            try:
                return await self._store.head()
            except (Unavailable, NotApplied, InDoubt) as error:
                log.debug("the store did not say its head", extra={"reason": str(error)})
                await trio.sleep(RETRY)

    def _rejected(self, batch: Batch[Request], error: Rejected) -> None:
        """The store will not take it as it is: one by one, and what is refused alone is refused for good."""
        self.stats.rejected += 1
        if len(batch.planned) > 1:
            self._planner.put_back(batch)
            self._planner.single(len(batch.planned))
            return
        request = batch.planned[0].asked
        path = str(getattr(request.record, "path", ""))
        log.error("the store refused a request", extra={"reason": str(error), "op": request.op, "path": path})
        request.place.before()
        request.place.fulfil(self._replica.zxid, Code.BAD_ARGUMENTS, encode(NOTHING))

    async def _run_errand(self, errand: Errand) -> None:
        """Commit an errand; whatever fails before it certainly happened is tried again."""
        while True:
            await trio.lowlevel.checkpoint()  # (as above)
            head = Head(self.head.incarnation, self.head.counter + 1, self._attempts())
            puts = {**errand.puts, **{f"fence/{x}": encode_fence(self._keeper, *head) for x in errand.fences}}
            commit = self._commit(head, dict(errand.guards), puts, errand.deletes, b"")
            own = OwnCommit(head, (), puts, errand.deletes)
            try:
                receipt = await self._send(commit, own)
            except GuardFailed as failed:
                if failed.newest > commit.seen:
                    await self._applier.wait_for(failed.newest)
                if commit.guards[self._fence_name] != self._replica.registry.fences.get(self._keeper, 0):
                    continue  # a session was taken from us: that says nothing of what the errand rests on
                errand.done(False)
                return
            except Superseded:
                continue
            except (NotApplied, Unavailable, Rejected) as error:
                self._trouble.failed(error)
                await trio.sleep(RETRY)
                continue
            self._trouble.over()
            self.stats.errands += 1
            await self._applier.wait_for(receipt.revision)
            errand.done(True)
            return
