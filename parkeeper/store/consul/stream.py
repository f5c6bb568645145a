"""The change stream over Consul: a blocking query on `live/`, and the commits it tells of read from the rings.

The query answers with all of `live/` whenever something in it changed: some hundred bytes a keeper, however large
the tree is. From the heads follows which commits were made, from the rings what they were. Every answer is checked
against what was known when it was asked for; a server that lost its past is found by the first one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NoReturn
from urllib.parse import quote

import msgspec
import trio

from parkeeper.errors import AccessDenied, Compacted, Cut, InDoubt, Rejected, StoreError, Unavailable
from parkeeper.store.consul.calls import Calls, GuardRefused, refusal
from parkeeper.store.consul.live import Live, LiveHead, Told
from parkeeper.store.consul.messages import PAIRS, Operation, Pair, transaction
from parkeeper.store.consul.names import Names
from parkeeper.store.consul.own import Own
from parkeeper.store.consul.ring import SLOTS, unpack_entry
from parkeeper.store.facade import Committed, Event

log = logging.getLogger("parkeeper.consul")

FETCHED = 32
"""Entries read at once: 6 MB of the largest, or 2 ms of small ones."""

SLICE = 0.001
"""Seconds of decoding or telling after which others may run."""

GONE = 60.0
"""Seconds after which the ring of a keeper that is gone is removed. A follower still behind then loads anew."""


class Stream:
    """One `follow`.

    Args:
        calls: the agents.
        names: items to keys.
        told: what the follower knows; moved on with every event.
        own: what this process wrote.
        ttl: keeper TTL in seconds: an answer is awaited for a third of it, and half as long again before the
            connection is given up.
        slots: entries of a ring.
    """

    def __init__(
        self, calls: Calls, names: Names, told: Told, own: Own, ttl: float, slots: int = SLOTS
    ) -> None:
        self.told = told
        self._calls = calls
        self._names = names
        self._own = own
        self._slots = slots
        self._wait = ttl / 3
        self._within = self._wait * 17 / 16 + ttl / 6  # Consul adds up to a sixteenth
        self._gone: dict[int, float] = {}
        self._swept: set[int] = set()
        self._slice_end = 0.0

    async def run(self, deliver: Callable[[Event], None]) -> NoReturn:
        """Tell every event, for ever. Raises: as `facade.Store.follow`."""
        index = 0
        while True:
            floor = self.told.revisions()
            for name, revision in self._own.revisions.items():
                floor[name] = max(revision, floor.get(name, 0))
            live = await self._ask(index)
            self.told.check(live, floor)
            commits = await self._missing(live)
            self.told.check_gone(live, floor, commits)
            for event in self.told.news(live, commits):
                self.told.take(event, live)
                if isinstance(event, Committed):
                    self._own.told(event)
                deliver(event)
                await self._breathe()
            self.told.settle(live)
            # An index that is not newer must not be waited for: tombstones are forgotten, or a server was restored
            # (it wakes the query with the old state, and its index is then too high ever to be woken at).
            index = live.index if live.index > index else 0
            self._own.alive = len(live.keepers)
            await self._sweep(live)

    async def _ask(self, index: int) -> Live:
        """The state once it is newer than `index`, or after a while."""
        path = f"kv/{quote(self._names.live)}?recurse&consistent&index={index}&wait={self._wait * 1000:.0f}ms"
        try:
            answer = await self._calls.get(path, self._within, stream=True)
        except (Unavailable, InDoubt) as error:
            raise Cut(f"the blocking query broke: {error}") from error
        if answer.status_code not in (200, 404):
            refused = refusal(answer)
            raise refused if isinstance(refused, AccessDenied) else Cut(str(refused))
        try:
            pairs = PAIRS.decode(answer.content) if answer.status_code == 200 else []
            return Live.of(self._names, pairs, int(answer.headers["X-Consul-Index"]))
        except (msgspec.MsgspecError, KeyError, ValueError) as error:
            raise Cut(f"not an answer of Consul: {error}") from error

    async def _missing(self, live: Live) -> list[Committed]:
        """The commits made since what was told, up to the heads in `live`, in order."""
        commits: list[Committed] = []
        wanted: list[tuple[int, int]] = []
        for keeper, head in live.heads.items():
            if head.revision <= self.told.position:
                continue
            known = self.told.heads.get(keeper)
            if known is None:
                commits += await self._whole_ring(live, keeper, head)
                continue
            for counter in range(known.head.counter + 1, head.head.counter + 1):
                own = self._own.commits.get((keeper, counter))
                if own is None:
                    wanted.append((keeper, counter))
                else:
                    commits.append(own)
        for start in range(0, len(wanted), FETCHED):
            commits += await self._entries(live, wanted[start : start + FETCHED])
        commits = [commit for commit in commits if commit.revision > self.told.position]
        commits.sort(key=lambda commit: commit.revision)
        return commits

    async def _entries(self, live: Live, wanted: list[tuple[int, int]]) -> list[Committed]:
        """Some entries of rings, by keeper and counter."""
        keys = [self._names.slot(keeper, counter % self._slots) for keeper, counter in wanted]
        pairs = {pair.key: pair for pair in await self._read([Operation("get", key) for key in keys], live)}
        commits: list[Committed] = []
        for (keeper, counter), key in zip(wanted, keys, strict=True):
            pair = pairs.get(key)
            commit = None if pair is None else unpack_entry(pair.value or b"", keeper, pair.modify_index)
            if commit is None or commit.head[:2] != (live.heads[keeper].head.incarnation, counter):
                raise self._overrun(live, keeper, counter)
            commits.append(commit)
            await self._breathe()
        return commits

    async def _whole_ring(self, live: Live, keeper: int, head: LiveHead) -> list[Committed]:
        """What a keeper committed of which nothing is known: since its registration, or since what was told."""
        pairs = await self._read([Operation("get-tree", self._names.feed(keeper))], live)
        found: dict[int, Committed] = {}
        for pair in pairs:
            commit = unpack_entry(pair.value or b"", keeper, pair.modify_index)
            found[commit.head.counter] = commit
            await self._breathe()
        commits: list[Committed] = []
        for counter in range(head.head.counter, -1, -1):
            if counter not in found:
                raise self._overrun(live, keeper, counter)
            commit = found[counter]
            if commit.revision <= self.told.position:
                break
            commits.append(commit)
            if commit.revision == head.created:
                break
        return commits

    async def _read(self, operations: list[Operation], live: Live) -> list[Pair]:
        try:
            return await self._calls.read(operations)
        except GuardRefused as refused:
            self.told.settle(live)
            raise Compacted(f"commits were overwritten before they were read: {refused}") from refused
        except (Unavailable, Rejected) as error:
            raise Cut(f"the commits could not be read: {error}") from error

    def _overrun(self, live: Live, keeper: int, counter: int) -> Compacted:
        self.told.settle(live)  # whoever goes on from a later position knows these heads
        return Compacted(f"commit {counter} of keeper {keeper} is not in its ring any more")

    async def _breathe(self) -> None:
        """Let others run, if a slice of time is over."""
        now = trio.current_time()
        if now > self._slice_end:
            await trio.lowlevel.checkpoint()
            self._slice_end = trio.current_time() + SLICE

    async def _sweep(self, live: Live) -> None:
        """Remove the rings of keepers gone for a minute; done by the follower of the eldest keeper alive.

        Their heads stay for hours, and show which they are. Whatever goes wrong is tried again after a while.
        """
        keepers = live.keepers
        now = trio.current_time()
        for keeper in live.heads:
            if keeper not in keepers:
                self._gone.setdefault(keeper, now)
        if min(keepers, default=0) != self._own.keeper:
            return
        for keeper, since in list(self._gone.items()):
            if keeper in keepers:
                del self._gone[keeper]
            elif now - since >= GONE and keeper not in self._swept:
                self._gone[keeper] = now
                if await self._remove(keeper):
                    self._swept.add(keeper)

    async def _remove(self, keeper: int) -> bool:
        """Remove a keeper's ring, if it is still gone."""
        operations = [
            Operation("check-not-exists", self._names.key(f"keeper/{keeper}")),
            Operation("delete-tree", self._names.feed(keeper)),
        ]
        try:
            await self._calls.write(transaction(operations), within=self._wait)
        except (StoreError, GuardRefused) as error:
            log.info(
                "the ring of a keeper that is gone stays", extra={"keeper": keeper, "reason": str(error)}
            )
            return False
        log.info("removed the ring of a keeper that is gone", extra={"keeper": keeper})
        return True
