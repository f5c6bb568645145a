"""The planner's queue: which requests the next commit tries (PROTOCOL section 4).

Order of arrival is order of effect, and requests of one session are never reordered. After a lost commit the requests
whose own guarded items changed go into a later commit of their own, and what the same session asked behind them waits
too; contended and fresh batches alternate, so that a hot node delays nobody who doesn't touch it.

So there are three queues. What a session has in `again` (the rest of a batch that did not happen) it asked before what
it has in `contended`, and that before what it has in `queue`: `again` is planned first and by itself, and a session
with something contended waits with what is fresh.

A keeper that lost three times over some names puts up a *ticket*; whoever has none, or a younger one, holds back the
requests that write one of those names until it is gone, at most 200 ms. Tickets are courtesy: safety rests on guards.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import trio

from parkeeper.errors import Refused
from parkeeper.options import Options
from parkeeper.server.requests import Request
from parkeeper.store.facade import Store
from parkeeper.tree.answers import NOTHING, Answer, encode
from parkeeper.tree.batch import Batch, size_of, written
from parkeeper.tree.changes import Change
from parkeeper.tree.plan.context import Context
from parkeeper.tree.plan.rules import plan
from parkeeper.tree.replica import Replica
from parkeeper.tree.sessions import CLAIM_SESSION, CLOSE_SESSION
from parkeeper.tree.view import View, revision_of
from parkeeper.tree.zxid import POSITIONS
from parkeeper.wire.codes import Code

log = logging.getLogger("parkeeper.committer")

PATIENCE: Final = 3
"""Losses after which a ticket is put up. [counted per commit, the far keeper starved: 1 create/s against 85]"""

HOLD: Final = 0.2
"""Seconds another keeper's ticket is honoured at most."""

PARTS: Final = (1024, 256, 64, 16, 4, 1)
"""Ephemerals a commit may delete when a session closes in parts: the first that fits."""

_ENDS_SESSION: Final = frozenset({CLAIM_SESSION, CLOSE_SESSION})


class Planner:
    """Requests on their way, planned batch by batch.

    Args:
        replica: as applied.
        store: its limits end a batch.
        options: of the keeper.
        keeper: our id.
        now_ms: wall clock.
    """

    def __init__(
        self, replica: Replica, store: Store, options: Options, keeper: int, now_ms: Callable[[], int]
    ) -> None:
        self.queue: deque[Request] = deque()
        self.again: deque[Request] = deque()
        self.contended: deque[Request] = deque()
        self.too_big = 0
        self.held = False
        self._replica = replica
        self._store = store
        self._keeper = keeper
        self._now_ms = now_ms
        self._was_fresh = False
        self._single = 0
        self._ticket_seen: dict[tuple[int, int], float] = {}
        self._most = min(options.limits.batch, store.limits.batch)
        self._batch_parked = options.limits.batch_parked
        self._ttl_nodes, self._hard_quotas = options.ttl_nodes, options.hard_quotas
        self._unused = int(options.container_unused * 1000)
        self._lost_over: set[str] = set()

    def __len__(self) -> int:
        return len(self.queue) + len(self.again) + len(self.contended)

    def single(self, count: int) -> None:
        """Plan the next `count` requests one by one: a commit of several was refused for its size."""
        self._single = count

    @property
    def impatient(self) -> frozenset[str]:
        """The names for which a ticket is due: those of requests that lost too often."""
        return (
            frozenset(self._lost_over)
            if any(each.losses >= PATIENCE for each in (*self.again, *self.contended))
            else frozenset()
        )

    def next(self, at_once: bool = False, most: int = POSITIONS) -> Batch[Request] | None:
        """Plan the next batch; None if nothing can be tried now (`held` tells whether a ticket is why).

        Args:
            at_once: the replica stands at a linearizable read that began after all in `again` and `contended` had
                come: of those, refusals that rest on nothing an earlier request of the batch writes are answered
                immediately.
            most: requests in it, besides what the options and the store allow.
        """
        held = False
        while self:
            source = self._source()
            batch = self._plan_from(source, at_once, most)
            held = held or self.held
            if batch is not None or source is self.queue or (source is self.contended and not self.queue):
                self.held = held
                return batch
        return None

    def _plan_from(self, source: deque[Request], at_once: bool, most: int) -> Batch[Request] | None:
        batch = Batch[Request](View(self._replica, self._now_ms(), self._keeper), self._store.fits)
        blocked = set[int]()
        if source is self.queue:
            at_once = False  # who came after that read may have seen what it had not
            blocked = {each.session for each in self.contended}
        kept: list[Request] = []
        most = 1 if self._single else min(most, self._most)
        parked: dict[int, int] = {}
        self.held = False
        while source and len(batch.planned) < most:
            request = source.popleft()
            session = request.session
            if session and session in blocked:
                kept.append(request)
                continue
            if not self._alive(request, batch.view):
                request.place.abandon()
                continue
            if self._parked_too_long(request, parked):
                source.appendleft(request)
                break
            if not self._plan(batch, request, at_once):
                if self.held and request.session not in blocked:
                    kept.append(request)
                    blocked.add(session)
                    continue
                source.appendleft(request)
                break
        if self._single:
            self._single -= 1
        if (
            source is self.again and kept
        ):  # held back, they wait with the contended ones, and nobody with them
            kept += [each for each in source if each.session in blocked]
            self.again = deque(each for each in source if each.session not in blocked)
            source = self.contended
        source.extendleft(reversed(kept))
        return batch if batch.planned else None

    def _source(self) -> deque[Request]:
        """The queue to plan from: what did not happen before; else contended and fresh requests in turn."""
        if self.again:
            return self.again
        from_contended = bool(self.contended) and (self._was_fresh or not self.queue)
        self._was_fresh = not from_contended
        return self.contended if from_contended else self.queue

    def _alive(self, request: Request, view: View) -> bool:
        """Whether the request may still have an effect: it dies with the attachment it came in on."""
        if request.unless is not None and request.unless():
            return False
        attachment = request.attachment
        if attachment is None or request.parts:  # what closes a session in parts began while it was alive
            return True
        record = view.session(request.session)
        return record is not None and not record.closing and record.rev == attachment.rev

    def _parked_too_long(self, request: Request, parked: dict[int, int]) -> bool:
        """Whether so many reads wait between this session's writes that answering them needs a slice of its own."""
        order = request.place.order
        first = parked.setdefault(request.session, order)
        return bool(request.session) and order - first > self._batch_parked

    def _plan(self, batch: Batch[Request], request: Request, at_once: bool) -> bool:
        """Plan one request into the batch; False if it must wait for a later one."""
        view = batch.view
        view.begin()
        try:
            answer = plan(view, request.op, request.record, self._context(request))
        except Refused as refused:
            view.undo()
            return self._refuse(batch, request, refused.code, NOTHING, at_once)
        except Exception:  # the barrier: no request may end this keeper, then the one its client goes to
            log.exception("planning a request failed; MarshallingError, as PrepRequestProcessor answers")
            view.undo()
            return batch.refused(request, Code.MARSHALLING_ERROR, NOTHING)
        if not view.changes:
            return self._refuse(batch, request, 0, answer, at_once)
        if self._replica.registry.turns and self._must_wait(view):
            view.undo()
            self.held = True
            return False
        changes = view.changes
        if batch.take(request, answer):
            return True
        if batch.planned:
            return False
        self._too_big(batch, request, changes)
        return True

    def _refuse(
        self, batch: Batch[Request], request: Request, code: int, answer: Answer, at_once: bool
    ) -> bool:
        if at_once and not any(map(batch.wrote, batch.view.looked)):
            stands_before = any(each.asked.session == request.session for each in batch.planned)
            if not stands_before or not request.session:
                request.place.before()
                request.place.fulfil(self._replica.zxid, code, b"" if code else encode(answer))
                return True
        return batch.refused(request, code, answer)

    def _too_big(self, batch: Batch[Request], request: Request, changes: list[Change]) -> None:
        """No commit can hold it: a close goes in parts, anything else is refused."""
        if request.op in _ENDS_SESSION:
            for most in PARTS:
                if most < (request.parts or most + 1):
                    request.parts = most
                    if self._plan_part(batch, request):
                        return
        self.too_big += 1
        log.warning(
            "a request is larger than a commit of this store can be; refused with BadArguments",
            extra={
                "op": request.op,
                "path": changes[0].path,
                "changes": len(changes),
                "bytes": size_of(changes),
                "largest_value": self._store.limits.value,
            },
        )
        batch.view.begin()
        batch.refused(request, Code.BAD_ARGUMENTS, NOTHING)

    def _plan_part(self, batch: Batch[Request], request: Request) -> bool:
        view = batch.view
        view.begin()
        return batch.take(request, plan(view, request.op, request.record, self._context(request)))

    def _context(self, request: Request) -> Context:
        return Context(
            request.session,
            request.identities,
            self._ttl_nodes,
            self._hard_quotas,
            self._unused,
            request.parts,
        )

    # Contention.

    def put_back(self, batch: Batch[Request]) -> None:
        """A batch did not happen, for no fault of its requests: they are the first again."""
        self.again.extendleft(each.asked for each in reversed(batch.planned))

    def go_on(self, batch: Batch[Request]) -> None:
        """A batch happened: closes that went in parts have the next one to do."""
        for each in batch.planned:
            if each.answer.unfinished:
                self.queue.appendleft(each.asked)

    def lost(self, batch: Batch[Request]) -> None:
        """A batch lost against another keeper: what rested on changed items is contended, the rest goes first."""
        replica = self._replica
        fresh: list[Request] = []
        contended: list[Request] = []
        behind = set[int]()
        names = set[str]()
        for each in batch.planned:
            changed = [name for name, seen in each.looked.items() if revision_of(replica, name) != seen]
            request = each.asked
            if changed:
                request.losses += 1
                names.update(changed)
            if changed or (request.session and request.session in behind):
                behind.add(request.session)
                contended.append(request)
            else:
                fresh.append(request)
        self._lost_over = self._lost_over | names if self.contended else names
        self.contended.extendleft(reversed(contended))
        self.again.extendleft(reversed(fresh))

    def _must_wait(self, view: View) -> bool:
        """Whether an older ticket of another keeper asks us to hold what was just planned back."""
        turns = self._replica.registry.turns
        mine = turns.get(self._keeper)
        now = trio.current_time()
        names: set[str] | None = None
        for keeper, (turn, revision) in turns.items():
            if keeper == self._keeper or (mine is not None and mine[1] < revision):
                continue
            since = self._ticket_seen.setdefault((keeper, turn.number), now)
            if now - since > HOLD:
                continue
            if names is None:
                names = written(view.changes)
            if not names.isdisjoint(turn.names):
                return True
        return False

    def forget_tickets(self) -> None:
        """A ticket came or went: forget when we first saw those that are gone."""
        turns = self._replica.registry.turns
        there = {(keeper, turn.number) for keeper, (turn, _) in turns.items()}
        self._ticket_seen = {key: since for key, since in self._ticket_seen.items() if key in there}

    def give_up(self) -> Iterable[Request]:
        """Everything that waits, to be abandoned."""
        waiting = [*self.again, *self.contended, *self.queue]
        self.again.clear()
        self.contended.clear()
        self.queue.clear()
        return waiting
