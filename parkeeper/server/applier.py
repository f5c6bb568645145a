"""The applier: the one place where the replica moves, in the store's order (PROTOCOL section 5).

Commits come from the store's stream and, for one's own, also from the commit's answer; either may come first. One's
own is applied from its plan, state by state, so that two sets of one node in one batch answer versions 1 and 2; a
foreign one from its journal and items. Everything here is synchronous: nobody sees a half-applied commit.

Position by position: what the session asked before its write is answered; the changes and their watch events; the
reply. An event therefore stands behind every reply that is encoded already and before every one that is not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from itertools import count

import trio

from parkeeper.errors import Incompatible
from parkeeper.server.requests import Attachment, Request
from parkeeper.server.sessions import LocalSessions
from parkeeper.store.facade import Changed, Committed, Event, Head, Receipt
from parkeeper.tree import answers, zxid
from parkeeper.tree.batch import Planned
from parkeeper.tree.changes import CREATE, DELETE, END_SESSION, SET_DATA, SET_SESSION, Change
from parkeeper.tree.replica import Replica
from parkeeper.tree.watches import WatchTable

log = logging.getLogger("parkeeper.applier")


class OwnCommit:
    """A commit of this keeper whose fate is not known yet, or known and not applied.

    Args:
        head: its identity.
        planned: the requests, in order; empty for an errand or an empty commit.
        puts, deletes: what it does to the store.
    """

    __slots__ = ("deletes", "head", "planned", "puts")

    def __init__(
        self,
        head: Head,
        planned: Sequence[Planned[Request]],
        puts: Mapping[str, bytes],
        deletes: Sequence[str],
    ) -> None:
        self.head = head
        self.planned = planned
        self.puts = puts
        self.deletes = deletes


class Applier:
    """Applies commits in order.

    Args:
        keeper: our id.
        replica: what moves.
        watches: fired by every change.
        sessions: told of every change of a session.
        lost: called with a reason when this incarnation must end.
        removed: called when the namespace was deleted.

    Attributes:
        followed: revision of the last event the stream delivered.
        heads: keeper -> identity and revision of its last commit, as applied.
        beaten: called with (keeper, revision) for every beat the stream delivers.
        on_turn: called when a ticket came or went.
    """

    def __init__(
        self,
        keeper: int,
        replica: Replica,
        watches: WatchTable,
        sessions: LocalSessions,
        lost: Callable[[str], None],
        removed: Callable[[], None],
    ) -> None:
        self.keeper = keeper  # 0 until we are registered
        self.replica = replica
        self.followed = replica.revision
        self.beaten: Callable[[int, int], None] = lambda keeper, revision: None  # noqa: ARG005
        self.on_turn: Callable[[], None] = lambda: None
        self.commits = 0
        self.heads: dict[int, tuple[Head, int]] = {}
        self._watches = watches
        self._sessions = sessions
        self._lost = lost
        self._removed = removed
        self._own: dict[Head, OwnCommit] = {}
        self._waiting: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()

    # One's own commits.

    def expect(self, own: OwnCommit) -> None:
        """A commit is about to be sent: if the stream brings it, it is applied from this plan."""
        self._own[own.head] = own

    def forget(self, own: OwnCommit) -> None:
        """It certainly did not happen, and never will."""
        self._own.pop(own.head, None)

    def answered(self, own: OwnCommit, receipt: Receipt) -> None:
        """The store said it happened: apply it now if all before it is applied, else when the stream is there."""
        if receipt.previous == self.replica.revision and own.head in self._own:
            self._apply_own(own, receipt.revision)

    # The stream.

    def deliver(self, event: Event) -> None:
        """The next event of the store's stream. Never raises: what cannot be applied ends the incarnation."""
        try:
            if isinstance(event, Committed):
                self._committed(event)
            else:
                self._changed(event)
        except Incompatible as error:
            self._lost(f"a commit at revision {event.revision} cannot be read: {error}")
        self.followed = max(self.followed, event.revision)

    def _committed(self, event: Committed) -> None:
        if event.revision <= self.replica.revision:
            return
        own = self._own.get(event.head) if event.keeper == self.keeper else None
        if own is not None:
            self._apply_own(own, event.revision)
            return
        number = -1
        for write in self.replica.writes(event.journal, event.puts, event.revision):
            if write.position != number:
                number = write.position
                self.replica.zxid = zxid.of(self.replica.base, event.revision, number)
            self._change(write.changes[0], event.revision, None)
        self._done(event.keeper, event.head, event.puts, event.deletes, event.revision)

    def _changed(self, event: Changed) -> None:
        kind, _, rest = event.name.partition("/")
        registry = self.replica.registry
        if kind == "keeper":
            registry.item(event.name, event.value, event.revision)
            if event.value is None:
                self._keeper_gone(int(rest))
            else:
                self.beaten(int(rest), event.revision)
        elif kind == "turn":
            registry.item(event.name, event.value, event.revision)
            self.on_turn()
        elif kind == "data":
            if self.replica.stranger("/" + rest, event.value, event.revision):
                log.warning(
                    "a data key was written by another program; serving its bytes", extra={"path": "/" + rest}
                )
        elif kind == "meta" and event.value is None:
            self._removed()

    def _keeper_gone(self, keeper: int) -> None:
        if keeper == self.keeper:
            self._lost("this keeper was declared dead")
        else:
            self._sessions.orphaned(keeper)

    # Applying.

    def _apply_own(self, own: OwnCommit, revision: int) -> None:
        del self._own[own.head]
        replica, base, now = self.replica, self.replica.base, trio.current_time()
        for planned in own.planned:
            request = planned.asked
            place = request.place
            place.before()
            if planned.position >= 0:
                replica.zxid = zxid.of(base, revision, planned.position)
                for change in planned.changes:
                    self._change(change, revision, request.attachment)
            answer = planned.answer
            if not answer.unfinished:
                code = planned.code or answer.code
                place.fulfil(replica.zxid, code, b"" if code else answers.encode(answer), now)
        self._done(self.keeper, own.head, own.puts, own.deletes, revision)

    def _change(self, change: Change, revision: int, asker: Attachment | None) -> None:
        replica = self.replica
        kind, path = change.kind, change.path
        if kind == SET_DATA:
            replica.apply(change, revision)
            self._watches.changed(path, replica.nodes[path].acl, replica.zxid)
        elif kind == CREATE:
            replica.apply(change, revision)
            nodes, parent = replica.nodes, change.parent
            self._watches.created(path, nodes[path].acl, parent, nodes[parent].acl, replica.zxid)
        elif kind == DELETE:
            gone = replica.nodes[path].acl
            replica.apply(change, revision)
            parent = change.parent
            self._watches.deleted(path, gone, parent, replica.nodes[parent].acl, replica.zxid)
        else:
            replica.apply(change, revision)
            if kind == SET_SESSION and change.record is not None:
                self._sessions.changed(change.session, change.record, asker)
            elif kind == END_SESSION:
                self._sessions.ended(change.session, asker)

    def _done(
        self, keeper: int, head: Head, puts: Mapping[str, bytes], deletes: Iterable[str], revision: int
    ) -> None:
        replica = self.replica
        self.heads[keeper] = (head, revision)
        replica.registry.commit(keeper, puts, deletes, revision)
        replica.reached(revision)
        self.commits += 1
        for name in deletes:
            if name.startswith("keeper/"):
                self._keeper_gone(int(name[7:]))
            elif name.startswith("head/"):
                self.heads.pop(int(name[5:]), None)
            elif name.startswith("turn/"):
                self.on_turn()
        for name in puts:
            if name.startswith("keeper/"):
                self.beaten(int(name[7:]), revision)
        waiting = self._waiting
        while waiting and waiting[0][0] <= revision:
            heappop(waiting)[2]()

    # Waiting.

    def call_at(self, revision: int, then: Callable[[], None]) -> None:
        """Call `then` once the commit at `revision` is applied: now, if it is."""
        if revision <= self.replica.revision:
            then()
        else:
            heappush(self._waiting, (revision, next(self._order), then))

    async def wait_for(self, revision: int) -> None:
        """Wait until the commit at `revision` is applied."""
        if revision > self.replica.revision:
            reached = trio.Event()
            self.call_at(revision, reached.set)
            await reached.wait()
