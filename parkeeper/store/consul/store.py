"""Consul as a store: see `parkeeper.store.facade.Store` for what it promises, the modules beside this one for how.

Seen to work with Consul 1.8.7. Of its own, it has nothing that orders guarded commits but KV transactions, and no history at
all: followers read commits from rings that the committers keep (`ring`), told by a blocking query (`stream`).

With ACLs, the least policy of the token is (`app/` being the data prefix, if there is one):

    key_prefix "parkeeper/" { policy = "write" }
    key_prefix "app/"       { policy = "write" }
    agent_prefix ""         { policy = "read" }    # optional: to learn version and limits from /v1/agent/self

Known limits: a stranger's write to `data/` is noticed at `load()` only; a value is at most about 190 KB unless the
operator raises `limits.txn_max_req_len` and `limits.kv_max_value_size`.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Sequence
from typing import NoReturn

import msgspec
import trio

from parkeeper.errors import AccessDenied, GuardFailed, Incompatible, InDoubt, Rejected, Unavailable
from parkeeper.store.consul.calls import LOAD, READ, Calls, GuardRefused, TooManyOperations
from parkeeper.store.consul.live import Live, Told
from parkeeper.store.consul.messages import AGENT_REPLY, Operation, Pair, transaction
from parkeeper.store.consul.names import Names
from parkeeper.store.consul.own import Own
from parkeeper.store.consul.ring import RING_BYTES, SLOTS, Ring, pack_entry
from parkeeper.store.consul.stream import Stream
from parkeeper.store.consul.txn import OPERATIONS_SINCE_1_14, REQUEST_BYTES, Transactions
from parkeeper.store.facade import Commit, Event, Head, Item, Receipt, Snapshot, StoreLimits, Survey
from parkeeper.store.keys import Layout
from parkeeper.store.urls import StoreOptions

log = logging.getLogger("parkeeper.store.consul")

KEEPER_TTL = 20.0
"""Seconds. With `raft_multiplier` at its default of 5, a killed leader is replaced within 14.5 s."""

PUT = 5.0
"""Seconds for a ticket, which is courtesy."""

CANARY = "parkeeper.permission"
"""Name of a key that is never written: only whether it might be is asked."""

OLDEST: tuple[int, ...] = (1, 0)
"""Consul version below which `check-not-exists` may be unknown."""


class ConsulStore:
    """A namespace in Consul's KV store.

    Args:
        endpoints: host and port of each agent, the first is preferred.
        tls: whether they speak TLS.
        options: see `StoreOptions`.
        slots: entries of a keeper's ring; all keepers of a namespace must agree. Other than the default, for tests.
        ring_bytes: of its entries.

    Raises:
        ConfigError: a certificate that cannot be used, or a data prefix that Consul cannot have.
    """

    def __init__(
        self,
        endpoints: list[tuple[str, int]],
        tls: bool,
        options: StoreOptions,
        slots: int = SLOTS,
        ring_bytes: int = RING_BYTES,
    ) -> None:
        self._names = Names(Layout(options.namespace, options.data_prefix))
        self._calls = Calls(endpoints, tls, options)
        self._options = options
        self._slots = slots
        self._ring_bytes = ring_bytes
        self._ttl = options.keeper_ttl or KEEPER_TTL
        self._transactions = Transactions(self._names)
        if options.max_txn_ops is not None:
            self._transactions.operations = options.max_txn_ops
        if options.max_request_bytes is not None:
            self._transactions.body = self._transactions.largest = options.max_request_bytes
        self._ring = Ring(0, slots, ring_bytes)
        self._own = Own()
        self._told = Told(0)

    def __repr__(self) -> str:
        return f"<ConsulStore {self._names.live!r} {self._calls!r} {self._ring!r}>"

    @property
    def limits(self) -> StoreLimits:
        """As far as they are known: after `open()`."""
        return StoreLimits(self._transactions.value, shared=True, keeper_ttl=self._ttl)

    def fits(self, guards: int, puts: int, deletes: int, size: int) -> bool:
        """See `Transactions.fits`."""
        others = max(0, self._own.alive - 1)
        return self._transactions.fits(guards, puts, deletes, size, others, self._ring.filling)

    # Opening.

    async def open(self) -> None:
        """Find an agent with a leader, learn its limits, and check that the token may write everywhere."""
        agent = await self._calls.get_any("agent/self")
        if agent.status_code == 200:
            self._learn(agent.content)
        else:
            log.info("the token may not read /v1/agent/self: Consul's default limits are assumed")
        await self._check_permission()
        log.info(
            "what this Consul can hold",
            extra={"largest_value": self.limits.value, "operations": self._transactions.operations},
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._calls.aclose()

    def _learn(self, answer: bytes) -> None:
        """Take the limits from `/v1/agent/self`. (It needs agent:read; without it the defaults are assumed.)"""
        try:
            reply = AGENT_REPLY.decode(answer)
        except msgspec.MsgspecError as error:
            raise Unavailable(f"not an answer of Consul: {error}") from error
        found = re.match(r"(\d+)\.(\d+)", reply.config.version)
        version = (int(found[1]), int(found[2])) if found else OLDEST
        if version < OLDEST:
            raise Incompatible(f"this is Consul {reply.config.version}; parkeeper needs 1.0 or later")
        limits = reply.debug_config
        body = limits.txn_max_req_len or REQUEST_BYTES
        if body == REQUEST_BYTES:  # not set: then the limit of one value counts, if that is higher
            body = max(body, limits.kv_max_value_size)
        self._transactions.body = min(body, self._options.max_request_bytes or body)
        self._transactions.largest = limits.kv_max_value_size or REQUEST_BYTES
        if self._options.max_txn_ops is None and version >= (1, 14):
            self._transactions.operations = OPERATIONS_SINCE_1_14

    async def _check_permission(self) -> None:
        """Ask for writes that a guard keeps from happening: what is not permitted is named all the same.

        (A read that is not permitted looks like an empty store; whoever may write may read.)
        """
        keys = [prefix + CANARY for prefix in (*self._names.trees, self._names.feeds)]
        never = Operation("check-index", keys[0], 1)
        for key in keys:
            try:
                await self._calls.write(transaction([never, Operation("set", key)]), within=READ)
            except GuardRefused:
                continue
            except InDoubt as error:
                raise Unavailable(str(error)) from error
            except AccessDenied as error:
                prefix = key.removesuffix(CANARY)
                raise AccessDenied(f"the token may not write under {prefix!r}: {error}") from error
            raise Incompatible("Consul applied a transaction whose guard cannot hold")

    # Reading.

    async def load(self) -> Snapshot:
        """One read-only transaction: it cannot be paged, so it is decoded off the event loop.

        (Separate reads beside a writer were torn in 30 of 30 tries.)
        """
        self._own.forget()
        pairs = await self._calls.read([Operation("get-tree", prefix) for prefix in self._names.trees], LOAD)
        live, items = await trio.to_thread.run_sync(self._sorted, pairs)
        position = max((item.revision for item in live.items.values()), default=0)
        position = max(position, live.newest)
        self._told = Told.by(live, position)
        self._own.alive = len(live.keepers)
        heads = {keeper: (each.head, each.revision) for keeper, each in live.heads.items()}
        return Snapshot(live.newest, position, items, heads)

    def _sorted(self, pairs: Sequence[Pair]) -> tuple[Live, list[Item]]:
        """Pairs by what they are."""
        prefix = self._names.live
        live = Live.of(self._names, (pair for pair in pairs if pair.key.startswith(prefix)))
        items = list(live.items.values())
        items += [
            Item(name, pair.value or b"", pair.modify_index)
            for pair in pairs
            if not pair.key.startswith(prefix) and (name := self._names.name(pair.key)) is not None
        ]
        return live, items

    async def read(self, name: str) -> Item | None:
        """A `get` of its own: `?consistent`."""
        key = self._names.key(name)
        try:
            pairs = await self._calls.read([Operation("get", key)])
        except GuardRefused:
            return None
        if not pairs:
            raise AccessDenied(f"the token may not read {key!r} (Consul leaves it out without a word)")
        return Item(name, pairs[0].value or b"", pairs[0].modify_index)

    async def head(self) -> int:
        """The newest of all heads."""
        return (await self._live(self._names.heads)).newest

    async def survey(self) -> Survey:
        """One `get-tree` of `live/`."""
        live = await self._live(self._names.live)
        heads = {keeper: (each.head, each.revision) for keeper, each in live.heads.items()}
        keepers = {keeper: (item.value, item.revision) for keeper, item in live.keepers.items()}
        return Survey(heads, keepers)

    async def _live(self, prefix: str) -> Live:
        return Live.of(self._names, await self._calls.read([Operation("get-tree", prefix)]))

    # Writing.

    async def commit(self, commit: Commit) -> Receipt:
        """One transaction (`txn`); where its guards don't fit, a read of the heads before it."""
        if self._ring.keeper != commit.keeper:
            self._ring = Ring(commit.keeper, self._slots, self._ring_bytes)
        entry = b"" if commit.head is None else pack_entry(commit, commit.head)
        while True:
            body = self._transactions.exact(commit, entry, self._ring)
            if body is None:
                body = await self._coarse(commit, entry)
            try:
                pairs = await self._calls.write(body)
            except TooManyOperations as error:
                if error.limit >= self._transactions.operations:
                    raise Rejected(f"Consul takes {error.limit} operations in a transaction") from error
                self._transactions.operations = error.limit
            except GuardRefused as refused:
                failed = await self._guard_failed(commit.keeper)
                if commit.head is not None and failed.own_identity == commit.head:
                    self._made(commit, failed.own, len(entry))
                raise failed from refused
            else:
                receipt = self._transactions.receipt(pairs)
                self._made(commit, receipt.revision, len(entry))
                return receipt

    async def _coarse(self, commit: Commit, entry: bytes) -> bytes:
        """The commit without the guards that are about the tree, if nobody committed since it was planned."""
        live = await self._live(self._names.live)
        if live.newest != commit.seen:  # older: it was put back to a backup
            raise _failed(live, commit.keeper)
        keepers = live.keepers
        heads = {
            keeper: head.revision
            for keeper, head in live.heads.items()
            if keeper in keepers and keeper != commit.keeper
        }
        ids = live.items.get("ids")
        return self._transactions.coarse(commit, entry, self._ring, heads, ids.revision if ids else 0)

    def _made(self, commit: Commit, revision: int, size: int) -> None:
        """A commit happened."""
        if commit.head is not None:
            counter = commit.head.counter
            self._ring.written(counter, size, self._ring.droppable(counter))
        self._own.committed(commit, revision)

    async def _guard_failed(self, keeper: int) -> GuardFailed:
        """What to tell of a failed guard: the heads as they are right after it."""
        try:
            return _failed(await self._live(self._names.heads), keeper)
        except Unavailable as error:
            # Not applied, but nobody can say what stands in the way; the same commit, sent again, will tell.
            raise InDoubt(f"a guard failed, and the heads could not be read: {error}") from error

    async def put(self, name: str, value: bytes | None) -> None:
        """Flags are random, so that no write is dropped for being the same as the last."""
        key = self._names.key(name)
        if value is None:
            operation = Operation("delete", key)
        else:
            operation = Operation("set", key, value=value, flags=secrets.randbits(63))
        await self._calls.write(transaction([operation]), within=PUT)

    async def erase(self) -> None:
        """Remove everything under the namespace and the data prefix, rings included; no keeper may use it any more."""
        operations = [Operation("delete-tree", each) for each in (*self._names.trees, self._names.feeds)]
        await self._calls.write(transaction(operations), within=PUT)

    async def beat(self, keeper: int, guard: int, value: bytes) -> int:
        """One cas; the guard in its Flags makes it differ from the beat before, whatever the value."""
        key = self._names.key(f"keeper/{keeper}")
        body = transaction([Operation("cas", key, guard, value, keeper << 32 | guard & 0xFFFFFFFF)])
        try:
            pairs = await self._calls.write(body, self._calls.clients.beats, self._ttl / 6)
        except GuardRefused as refused:
            raise await self._guard_failed(keeper) from refused
        revision = pairs[0].modify_index
        self._own.beat(keeper, revision)
        return revision

    # Following.

    async def follow(self, after: int, deliver: Callable[[Event], None]) -> NoReturn:
        """See `stream`. While it runs, the rings of keepers that are gone for a minute are removed, too."""
        stream = Stream(self._calls, self._names, self._told.at(after), self._own, self._ttl, self._slots)
        try:
            await stream.run(deliver)
        finally:
            self._told = stream.told

    async def compact(self, revision: int) -> None:  # noqa: ARG002, the facade asks
        """The rings keep their own bounds."""
        await trio.lowlevel.checkpoint()


def _failed(live: Live, keeper: int) -> GuardFailed:
    own = live.heads.get(keeper)
    identity: Head | None = None if own is None else own.head
    return GuardFailed(live.newest, 0 if own is None else own.revision, identity)
