"""An incarnation: everything that lives under one keeper id, in one nursery (PROTOCOL section 6).

Load, stream, commits, beats, expiry and connections live and die together. It ends when its id is lost, when the
store's past is not the one it knows, when its history was compacted away, when its serve deadline passes, or when the
keeper stops. Whatever the reason, its clients are dropped (their sessions stay) and the next incarnation loads anew
under a new id; clients come back and set their watches again, as exact as a reconnect to ZooKeeper.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Final

import trio

from parkeeper.errors import (
    Compacted,
    GuardFailed,
    Incompatible,
    NotApplied,
    Rejected,
    StoreError,
    Unavailable,
    WentBack,
)
from parkeeper.options import Options
from parkeeper.server.applier import Applier, OwnCommit
from parkeeper.server.commit_stats import CommitStats
from parkeeper.server.committer import Committer
from parkeeper.server.doubt import Ended, Sender
from parkeeper.server.errand import Errand
from parkeeper.server.expiry import Expiry
from parkeeper.server.flusher import Flusher
from parkeeper.server.follower import Follower
from parkeeper.server.janitor import Janitor
from parkeeper.server.membership import Membership
from parkeeper.server.namespace import open_namespace
from parkeeper.server.planner import Planner
from parkeeper.server.readiness import Readiness
from parkeeper.server.services import Services
from parkeeper.server.serving import Serving, State
from parkeeper.server.sessions import LocalSessions
from parkeeper.server.stats import ServerStats
from parkeeper.server.syncer import Syncer
from parkeeper.server.trouble import Seldom
from parkeeper.store.facade import Commit, Head, PatientStore, Store
from parkeeper.tree import zxid
from parkeeper.tree.encoding import encode_fence, encode_ids
from parkeeper.tree.watches import WatchTable

log = logging.getLogger("parkeeper.keeper")

MOST_IDS: Final = (1 << 31) - 1
RETRY: Final = 0.1


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What outlives an incarnation.

    Args:
        store: opened.
        options: of the keeper.
        data_prefix: as configured; what `meta` must say too.
        stats: counters of the process.
        commits: counters of commits.
        serving: the keeper's state.
        now_ms: wall clock, ms since 1970.
        words: answers four-letter words.
        addresses: what others are told of us.
        loaded: called when a tree was loaded.
    """

    store: Store
    options: Options
    data_prefix: str
    stats: ServerStats
    commits: CommitStats
    serving: Serving
    now_ms: Callable[[], int]
    words: Callable[[bytes], bytes | None]
    addresses: tuple[str, ...]
    loaded: Callable[[], None]


class Incarnation:
    """One life of a keeper.

    Args:
        around: what outlives it.

    Attributes:
        keeper: our id, 0 until registered.
        services: what connections use; None while it does not serve.
        connections: the nursery in which connections live while it serves.
    """

    def __init__(self, around: Surroundings) -> None:
        self.keeper = 0
        self.services: Services | None = None
        self.connections: trio.Nursery | None = None
        self._around = around
        self._attempts = count(1)
        self._identity = secrets.randbits(63)
        self._reason = ""
        self._said_goodbye = False
        self._removed = False
        self._loading = trio.CancelScope()
        self._scope = trio.CancelScope()
        self._stopping = trio.Event()

    def attempt(self) -> int:
        """The next try number."""
        return next(self._attempts)

    def lost(self, reason: str) -> None:
        """This incarnation must end. (Once we have said goodbye, our own end is no news.)"""
        if self._said_goodbye:
            return
        if not self._reason:
            self._reason = reason
        self.services = None  # whoever comes now is turned away,
        self.membership.end()  # and whoever is here is not served any more
        self._around.serving.become(State.APART)
        self._scope.cancel(reason)

    def removed(self) -> None:
        """Somebody deleted the namespace: serving on, or making a new one unasked, would be wrong."""
        self._removed = True
        self.lost("the namespace was removed from the store")

    def stop(self) -> None:
        """Stop cleanly: finish what is in flight, say goodbye, end. Before it is registered there is nothing to end."""
        self._stopping.set()
        if not self.keeper:
            self._loading.cancel("stopped before it was loaded")
            self._scope.cancel("stopped before it was registered")

    async def run(self) -> str:
        """Live; returns the reason of the end, "" after a clean stop.

        Raises:
            AccessDenied, Incompatible: nothing that waiting could mend.
            Unavailable: the store was lost; worth waiting for.
        """
        around = self._around
        around.commits.incarnations += 1
        loaded = None
        with self._loading:
            loaded = await open_namespace(around.store, around.data_prefix)
        if loaded is None:
            return ""
        self.replica, self.meta, position, heads = loaded
        around.loaded()
        options, replica = around.options, self.replica
        tick = options.tick_time / 1000
        ttl = options.keeper_ttl or around.store.limits.keeper_ttl
        self.watches = WatchTable()
        self.sessions = LocalSessions(replica, self.meta.secret, tick)
        self.applier = Applier(0, replica, self.watches, self.sessions, self.lost, self.removed)
        self.applier.heads.update(heads)
        replica.registry.heads.update({each: revision for each, (_, revision) in heads.items()})
        self.membership = Membership(around.store, replica, ttl, around.addresses, around.now_ms)
        self.applier.beaten = self.membership.seen
        self.follower = Follower(around.store, self.applier, self.membership, around.commits)
        self.membership.followed = lambda: self.applier.followed
        self.membership.silent = self.follower.renew
        self.flusher = Flusher()
        self._unknown = Seldom()
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._guarded, self.follower.run, position)
                    await self._guarded(self._register)
                    if not self._reason:
                        await self._live(nursery)
        finally:
            self.services = None
            if self._reason or not self._stopping.is_set():
                around.serving.become(State.APART)
        if self._removed:
            raise Incompatible("the namespace was removed from the store; start again to make a new one")
        return self._reason

    async def _guarded(self, task: Callable[..., object], *arguments: object) -> None:
        """Run a task of this incarnation; what ends it ends the whole, with its reason."""
        try:
            await task(*arguments)  # type: ignore[misc]  # every task is an async function
        except (Ended, WentBack, Compacted) as error:
            self.lost(str(error) or type(error).__name__)
        except StoreError:
            self.services = None
            self._around.serving.become(State.APART)
            raise

    async def _register(self) -> None:
        """Get an id of our own: guarded by `ids`, so that no two keepers ever have the same."""
        around, registry = self._around, self.replica.registry
        while True:
            last, ids_rev = registry.ids
            keeper = last + 1
            if keeper > MOST_IDS:
                self.lost("no keeper ids are left in this namespace")
                await trio.sleep_forever()
            self._identity = self.membership.incarnation = secrets.randbits(63)
            head = Head(self._identity, 0, self.attempt())
            puts = {
                "ids": encode_ids(keeper),
                f"keeper/{keeper}": self.membership.item(),
                f"fence/{keeper}": encode_fence(keeper, *head),
            }
            guards = {"ids": ids_rev, f"keeper/{keeper}": 0, f"head/{keeper}": 0, f"fence/{keeper}": 0}
            commit = Commit(keeper, head, guards, puts, seen=self.replica.revision)
            started = trio.current_time()
            sender = Sender(around.store, keeper, self.attempt, around.commits)
            own = OwnCommit(head, (), puts, ())
            self.applier.keeper = keeper
            self.applier.expect(own)
            try:
                receipt = await sender.send(commit, None, 0)
            except GuardFailed as failed:
                self.applier.forget(own)
                if failed.newest <= commit.seen:
                    raise Ended(
                        f"replica and store disagree about the keepers: a registration was refused at {failed.newest}"
                    ) from failed
                await self.applier.wait_for(failed.newest)
            except (NotApplied, Unavailable, Rejected) as error:
                self.applier.forget(own)
                log.info(
                    "the store did not take our registration; trying again", extra={"reason": str(error)}
                )
                await trio.sleep(RETRY)
            else:
                self.applier.answered(own, receipt)
                self.membership.registered(keeper, receipt.revision, started)
                await self.applier.wait_for(receipt.revision)
                self.keeper = keeper
                self._head, self._head_rev = head, receipt.revision
                return

    async def _live(self, nursery: trio.Nursery) -> None:
        around, options, applier = self._around, self._around.options, self.applier
        planner = Planner(self.replica, around.store, options, self.keeper, around.now_ms)
        self.committer = Committer(
            around.store,
            applier,
            planner,
            options,
            self._head,
            self._head_rev,
            self.attempt,
            around.commits,
            self.flusher,
        )
        applier.on_turn = self.committer.wake
        self.membership.errand = self.committer.errand
        self.sessions.start(self.keeper)
        committer = self.committer
        readiness = (
            Readiness(committer.hold, committer.let_go, options.own_process) if Readiness.available else None
        )
        look: Callable[[], None] = (lambda: None) if readiness is None else readiness.look
        if readiness is not None and not around.store.limits.inline:
            committer.gathering.glance = readiness.glance
        expiry = Expiry(self.sessions, self.replica, self.committer.submit, look)
        self.expiry = expiry
        self.janitor = Janitor(
            self.replica, self.sessions, options, self.committer.submit, self.committer.errand, around.store,
            around.now_ms,
        )  # fmt: skip
        self._syncer = Syncer(self.committer.newest, applier)
        if not around.store.limits.shared:
            self._bury_predecessors()
        tasks: list[Callable[[], object]] = [
            self.committer.run, self.membership.run, self._watch_deadline, self._syncer.run, expiry.run, self.janitor.run,
            self.flusher.run,
        ]  # fmt: skip
        if readiness is not None:
            tasks.append(readiness.run)
        if isinstance(around.store, PatientStore):
            tasks.append(around.store.watch_commits)
        for task in tasks:
            nursery.start_soon(self._guarded, task)
        self.services = Services(
            options=options,
            replica=self.replica,
            watches=self.watches,
            sessions=self.sessions,
            submit=self.committer.submit,
            room=self.committer.room,
            crowded=self.committer.crowded,
            join_sync=self._syncer.join,
            catch_up=self._catch_up,
            lease=self.membership,
            flusher=self.flusher,
            readiness=readiness,
            stats=around.stats,
            now_ms=around.now_ms,
            serving=around.serving,
            words=around.words,
        )
        try:
            async with trio.open_nursery() as connections:
                self.connections = connections
                around.serving.become(State.SERVING)
                log.info("serving", extra={"keeper": self.keeper, "znodes": len(self.replica.nodes)})
                try:
                    await self._stopping.wait()
                finally:
                    self.services = None  # before the nursery closes: whoever comes now is turned away
                around.serving.become(State.STOPPING)
                await self._finish()
                # What connections have encoded is sent; who does not read has this long.
                limits = options.limits
                connections.cancel_scope.deadline = trio.current_time() + 2 * limits.close
        finally:
            self.committer.give_up()
        nursery.cancel_scope.cancel("the keeper stops")

    def _bury_predecessors(self) -> None:
        """One process holds this store by a lock: every other keeper found in it is dead."""
        for other in list(self.replica.registry.keepers):
            if other != self.keeper:
                self.membership.declare(other)

    async def _watch_deadline(self) -> None:
        """End when we may not serve any longer: our beats don't come back, or not through the stream."""
        deadline = -1.0
        while deadline < self.membership.deadline:
            deadline = self.membership.deadline
            await trio.sleep_until(deadline)
        raise Ended("no beat of ours came back in time: the store is slow or cannot be reached")

    async def _catch_up(self, seen: int) -> bool:
        """A client has seen a zxid: reach it; False if the store has no such commit.

        What a client has seen was committed before it came, so a linearizable read of the newest commit that begins
        now is at least as new, or the store is not what it was. (The store's own revision says less: strangers'
        writes and heartbeats move it, soon beyond what a restored backup has lost, and the client would be turned
        away until as many commits have come.) After a restore all clients come at once: they share such reads.
        """
        reached = trio.Event()
        self._syncer.join(reached.set)
        await reached.wait()
        if zxid.revision_of(seen, self.meta.base) <= self.replica.revision:
            return True
        if count := self._unknown.count():
            log.error(
                "a client has seen a zxid that no commit of this store has: the store was put back to a backup, or the"
                " client comes from another ensemble",
                extra={"zxid": f"{seen:#x}", "ours": f"{self.replica.zxid:#x}", "since_last_told": count},
            )
        return False

    async def _finish(self) -> None:
        """A clean stop: commits in flight, replies, and a goodbye that lets others adopt our sessions at once."""
        with trio.move_on_after(self._around.options.stop_grace):
            await self.committer.drained()
            self.sessions.drop_all("the keeper stops")
            said = trio.Event()
            self._said_goodbye = True
            self.committer.errand(
                Errand(
                    guards={},
                    done=lambda _: said.set(),
                    deletes=[f"keeper/{self.keeper}", f"turn/{self.keeper}"],
                    fences=[self.keeper],
                )
            )
            await said.wait()
