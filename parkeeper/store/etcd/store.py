"""The etcd adapter: the facade over transactions, ranges and watches of a cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NoReturn

import trio

from parkeeper.errors import Compacted, InDoubt, NotApplied, Rejected, StoreError, Unavailable, WentBack
from parkeeper.store.etcd.alone import SHORT, Alone
from parkeeper.store.etcd.auth import Auth
from parkeeper.store.etcd.calls import COMPACT, DELETE, LONGEST, PUT, RANGE, TXN, Calls, Endpoint
from parkeeper.store.etcd.checks import check_access, check_history, check_version
from parkeeper.store.etcd.load import load
from parkeeper.store.etcd.messages import (
    RANGE_REPLY,
    TXN_REPLY,
    Delete,
    Header,
    Put,
    Range,
    decoded,
    encode,
    end_of,
)
from parkeeper.store.etcd.patience import Patience
from parkeeper.store.etcd.refusals import NoSpace
from parkeeper.store.etcd.txn import Transactions, guard_failed, lost, receipt
from parkeeper.store.etcd.watch import Follower, Position
from parkeeper.store.facade import Commit, Event, Head, Item, Receipt, Snapshot, StoreLimits, Survey
from parkeeper.store.heads import unpack_head
from parkeeper.store.http import Clients, TimedOut, tls_context
from parkeeper.store.keys import Layout
from parkeeper.store.urls import StoreOptions

log = logging.getLogger("parkeeper.store.etcd")

KEEPER_TTL = 6.0


class EtcdStore:
    """One keeper's access to an etcd cluster. See `parkeeper.store.facade.Store`.

    Args:
        endpoints: hosts and ports of members; the first is used until it fails.
        tls: whether they speak TLS.
        options: see `StoreOptions`.

    Raises:
        ConfigError: a file for TLS cannot be used, or the prefixes overlap.
    """

    def __init__(self, endpoints: list[tuple[str, int]], tls: bool, options: StoreOptions) -> None:
        context = tls_context(options.ca_file, options.cert_file, options.key_file) if tls else None
        members = [Endpoint(host, port, tls) for host, port in endpoints]
        self.layout = Layout(options.namespace, options.data_prefix)
        self._calls = Calls(members, Clients(context), Auth(options.user, options.password))
        self._transactions = Transactions(self.layout, options.max_txn_ops, options.max_request_bytes)
        self._compacts = options.compact
        ttl = options.keeper_ttl or KEEPER_TTL
        self._limits = StoreLimits(self._transactions.value, shared=True, keeper_ttl=ttl)
        self._beat_try = ttl / 6
        self._patience = Patience(self._calls.clients.commits.cut, LONGEST)
        self._cluster = 0
        self._position: Position | None = None
        self._doubted: Head | None = None
        # With two watches never: they would have to rest, and to begin again, at one revision.
        self._alone = Alone(rests=ttl >= SHORT and not self.layout.data_apart)

    def __repr__(self) -> str:
        return f"<EtcdStore {self.layout.namespace!r} at {self._calls.endpoint}>"

    @property
    def limits(self) -> StoreLimits:
        """From the options; no API of etcd tells its own."""
        return self._limits

    def fits(self, guards: int, puts: int, deletes: int, size: int) -> bool:  # noqa: ARG002, the facade asks
        """See `Transactions.fits`: guards never decide."""
        return self._transactions.fits(puts, deletes, size)

    async def open(self) -> None:
        """See that this is an etcd that can serve us, and warn of what will stop it later."""
        version = await check_version(self._calls)
        revision = await check_access(self._calls, self.layout)
        await check_history(self._calls, self.layout, version, revision, self._compacts)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._calls.clients.aclose()

    async def load(self) -> Snapshot:
        """Pages of about 4 MB, all at the first one's revision; from the start if that gets compacted meanwhile."""
        self._alone.loaded()
        for _ in range(5):
            try:
                snapshot, self._cluster = await load(self._calls, self.layout)
            except Compacted as error:
                log.warning("etcd's history was compacted while it was loaded, once more: %s", error)
                continue
            self._position = Position(*[snapshot.position] * 3)
            return snapshot
        raise Unavailable("etcd's history is compacted faster than it can be loaded")

    async def commit(self, commit: Commit) -> Receipt:
        """One transaction. GuardFailed may name this very commit: then it happened (see `_without_space`)."""
        alone = self._alone
        coarse = alone.begins(commit)
        try:
            happened = await self._try(commit, coarse)
        except BaseException:  # a cancel too: whatever went wrong, the next one has fine guards
            alone.over()
            raise
        alone.happened(commit, happened)
        return happened

    async def _try(self, commit: Commit, coarse: bool) -> Receipt:
        body = self._transactions.commit(commit, coarse)
        try:
            reply = decoded(TXN_REPLY, await self._sent(body))
        except NoSpace as error:
            raise await self._without_space(commit, error) from error
        except (InDoubt, trio.Cancelled):
            self._doubted = commit.head
            raise
        self._check_cluster(reply.header)
        if not coarse:
            return receipt(reply)
        if not reply.succeeded:
            raise lost(commit, await self._looked())
        return Receipt(reply.header.revision, commit.seen)

    async def _looked(self) -> Survey:
        """A survey after a commit that lost: whatever keeps it from being made is no verdict on that."""
        try:
            return await self.survey()
        except Rejected as error:
            raise Unavailable(f"what a commit lost to is not known: {error}") from error

    async def _sent(self, body: bytes) -> bytes:
        """A commit's answer, if it comes in time."""
        patience, calls = self._patience, self._calls
        try:
            answer = await calls.write(calls.clients.commits, TXN, body, patience.begin())
        except InDoubt as error:
            if not patience.ended and not isinstance(error, TimedOut):
                raise
            waited = patience.seconds
            patience.exhausted()
            raise TimedOut(f"no answer within {waited:g} s") from error
        except trio.Cancelled:
            patience.exhausted()  # our caller had less than we
            raise
        finally:
            patience.end()
        patience.answered()
        return answer

    async def watch_commits(self) -> NoReturn:
        """See `Patience.watch`."""
        await self._patience.watch()

    async def _without_space(self, commit: Commit, error: NoSpace) -> StoreError:
        """What became of a commit that was refused for want of space: the one that crosses the quota is stored.

        One that was not stored may be planned again: nothing is wrong with it, and there may be space some day.

        It is stored before it is answered, so a linearizable look at the head tells, unless an earlier copy of the
        commit was never answered.
        """
        try:
            survey = await self.survey()
        except StoreError:
            return error
        own = survey.heads.get(commit.keeper)
        if own is not None and own[0] == commit.head:
            return lost(commit, survey)
        if commit.head is None or commit.head == self._doubted:
            return error
        return NotApplied(f"etcd's database is full: {error}")

    async def put(self, name: str, value: bytes | None) -> None:
        """One try."""
        key = self.layout.encode(name)
        calls = self._calls
        if value is None:
            await calls.write(calls.clients.rest, DELETE, encode(Delete(key)), self._patience.seconds)
        else:
            await calls.write(calls.clients.rest, PUT, encode(Put(key, value)), self._patience.seconds)

    async def read(self, name: str) -> Item | None:
        """A range of one key."""
        reply = decoded(RANGE_REPLY, await self._calls.read(RANGE, encode(Range(self.layout.encode(name)))))
        self._check_cluster(reply.header)
        return Item(name, reply.kvs[0].value, reply.kvs[0].mod_revision) if reply.kvs else None

    async def head(self) -> int:
        """A range of the newest key under head/."""
        reply = decoded(RANGE_REPLY, await self._calls.read(RANGE, self._transactions.newest_head))
        self._check_cluster(reply.header)
        newest = reply.kvs[0].mod_revision if reply.kvs else 0
        if newest > self._alone.newest:
            self._alone.wake()  # whoever asked will wait for it
        return newest

    async def survey(self) -> Survey:
        """One range from head/ to keeper/; between them lies but ids.

        (Not a transaction of two ranges: etcd 3.5.1 refuses any transaction once its database is full.)
        """
        start, end = self.layout.encode("head/"), end_of(self.layout.encode("keeper/"))
        reply = decoded(RANGE_REPLY, await self._calls.read(RANGE, encode(Range(start, end))))
        self._check_cluster(reply.header)
        heads: dict[int, tuple[Head, int]] = {}
        keepers: dict[int, tuple[bytes, int]] = {}
        for kv in reply.kvs:
            kind, _, number = (self.layout.decode(kv.key) or "").partition("/")
            if not number.isdigit():
                continue
            if kind == "head":
                heads[int(number)] = unpack_head(kv.value)[0], kv.mod_revision
            elif kind == "keeper":
                keepers[int(number)] = kv.value, kv.mod_revision
        return Survey(heads, keepers)

    async def beat(self, keeper: int, guard: int, value: bytes) -> int:
        """One transaction on a connection of its own; a try of a sixth of the keeper TTL."""
        calls = self._calls
        body = self._transactions.beat(keeper, guard, value)
        reply = decoded(TXN_REPLY, await calls.write(calls.clients.beats, TXN, body, self._beat_try))
        self._check_cluster(reply.header)
        if not reply.succeeded:
            raise guard_failed(reply)
        self._alone.wake()
        return reply.header.revision

    async def follow(self, after: int, deliver: Callable[[Event], None]) -> NoReturn:
        """One watch, or two. Who has heard all that the last call told goes on where its watches stood.

        That may be before what was told last: a stranger's data event is told as soon as no *commit* before it can
        come any more; beats, tickets and the end of `meta` still may.
        """
        position = self._position
        if position is None or position.told != after:
            position = Position(after, after, after)
        follower = Follower(self._calls, self.layout, position, self._cluster, self._alone, deliver)
        try:
            await follower.run()
        finally:
            self._position = follower.position

    async def compact(self, revision: int) -> None:
        """Only with `StoreOptions.compact`. What is compacted already, or can't be yet, is not an error."""
        if not self._compacts:
            await trio.lowlevel.checkpoint()
            return
        body = b'{"revision":"%d"}' % revision
        try:
            await self._calls.once(self._calls.clients.rest, COMPACT, body, LONGEST)
        except (Compacted, WentBack) as error:
            log.debug("not compacted at %d: %s", revision, error)

    def _check_cluster(self, header: Header) -> None:
        """A second cluster behind the same addresses is another past.

        Raises:
            WentBack: until the next load.
        """
        if self._cluster and header.cluster_id != self._cluster:
            raise WentBack(
                f"another etcd cluster, {header.cluster_id:x}, answers in place of {self._cluster:x}"
            )
