"""The change stream: one watch on the namespace, a second on a data prefix outside it.

A watch is a POST whose answer never ends, a JSON object a line. Each has its own resume point; what they tell is put
together in `assembly`. Asked for is `fragment`, without which the replay of 250 large commits was one line of 433 MB.

A watch that would tell us but our own commits is closed for a while (`alone` says when, and what is known then).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple, NoReturn

import msgspec
import trio

from parkeeper.errors import (
    AccessDenied,
    Compacted,
    Cut,
    InDoubt,
    NotApplied,
    Rejected,
    StoreError,
    Unavailable,
    WentBack,
)
from parkeeper.store.etcd.alone import Alone
from parkeeper.store.etcd.assembly import Assembly, Group, Groups
from parkeeper.store.etcd.calls import RANGE, WATCH, Calls
from parkeeper.store.etcd.messages import (
    RANGE_REPLY,
    WATCH_LINE,
    Range,
    WatchCreate,
    WatchRequest,
    WatchResult,
    decoded,
    encode,
    end_of,
)
from parkeeper.store.etcd.refusals import TokenRefused, refusal
from parkeeper.store.facade import Event
from parkeeper.store.http import Streaming
from parkeeper.store.keys import Layout

log = logging.getLogger("parkeeper.store.etcd")

CREATED_WITHIN = 5.0
"""Seconds until a watch must have answered that it exists; a member may accept connections and be stuck."""

RESUMED_WITHIN = 1.0
"""The same for one that rested: a store that is slow to answer may have been put back meanwhile, and a stream that is cut
has the past proven before it goes on."""

HELD = 4 << 20
"""Bytes of data events of which nobody knows whether they are a commit's: above it we ask instead of waiting."""

WAITING = 64 << 20
"""Bytes of commits that wait for their data keys: above it the namespace's watch is not read."""

SLICE = 0.001
"""Seconds that events may be told without a checkpoint."""


class Forgotten(Compacted):
    """A watch wants history that is gone.

    Args:
        revision: the compacted one; what comes after it can be watched.
    """

    def __init__(self, revision: int) -> None:
        super().__init__(f"etcd has forgotten its history up to revision {revision}")
        self.revision = revision


class Position(NamedTuple):
    """Where to go on: everything up to `namespace` was told, the data prefix's watch stands at `data`.

    `told` is the newest revision of which anything was told.
    """

    namespace: int
    data: int
    told: int


class Lines:
    """Bytes as they arrive to lines. The last line of a stream may have no end (gateway v1)."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._seen = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that end in this chunk."""
        self._buffer += chunk
        end = self._buffer.rfind(b"\n", self._seen)
        self._seen = len(self._buffer)
        if end < 0:
            return []
        lines = bytes(self._buffer[:end]).split(b"\n")
        del self._buffer[: end + 1]
        self._seen = len(self._buffer)
        return lines

    @property
    def empty(self) -> bool:
        """Whether no line has begun."""
        return not self._buffer

    def rest(self) -> list[bytes]:
        """What has no end, at the end of the stream."""
        return [bytes(self._buffer)] if self._buffer else []


class Follower:
    """One call of `Store.follow`.

    Args:
        calls: the cluster.
        layout: which keys are ours.
        position: where to go on.
        cluster: the cluster's id as it was when the namespace was loaded; 0: not known.
        alone: whether the stream may rest.
        deliver: told every event.
    """

    def __init__(
        self,
        calls: Calls,
        layout: Layout,
        position: Position,
        cluster: int,
        alone: Alone,
        deliver: Callable[[Event], None],
    ) -> None:
        self._calls = calls
        self._layout = layout
        self._cluster = cluster
        self._alone = alone
        self._deliver = deliver
        self._told = position.told
        self._assembly = Assembly(layout, position.namespace)
        self._namespace = Groups(position.namespace)
        self._data = Groups(position.data)
        self._moved = trio.Event()
        self._failure: StoreError | None = None

    @property
    def position(self) -> Position:
        """Where the next follower goes on: data keys of commits that were not told must be told again."""
        told = self._assembly.told
        return Position(told, min(self._data.last, told), self._told)

    async def run(self) -> NoReturn:
        """Follow.

        Raises:
            Cut, Compacted, WentBack, AccessDenied: as `Store.follow`.
        """
        if not self._layout.data_apart:
            await self._follow_namespace()
        async with trio.open_nursery() as nursery:
            scope = nursery.cancel_scope
            nursery.start_soon(self._until_failure, self._follow_namespace, scope)
            nursery.start_soon(self._until_failure, self._follow_data, scope)
            nursery.start_soon(self._until_failure, self._decide, scope)
        raise self._failure or Cut("the watches ended")

    async def _until_failure(
        self, follow: Callable[[], Awaitable[NoReturn]], scope: trio.CancelScope
    ) -> None:
        try:
            await follow()
        except (Unavailable, InDoubt) as error:  # of a read, not of a watch
            self._failure = self._failure or Cut(str(error))
        except StoreError as error:
            self._failure = self._failure or error
        scope.cancel("the other watch ended")

    async def _follow_namespace(self) -> NoReturn:
        def take(groups: list[Group]) -> None:
            self._assembly.namespace(groups, self._namespace.last)

        await self._listen(
            self._layout.namespace.encode(), self._namespace, take, lambda: self._assembly.waiting < WAITING
        )

    async def _follow_data(self) -> NoReturn:
        prefix = self._layout.data.encode()

        def take(groups: list[Group]) -> None:
            self._assembly.data(groups, self._data.last)

        while True:
            try:
                await self._listen(prefix, self._data, take, lambda: self._assembly.held < HELD)
            except Forgotten as error:
                await self._check_quiet(prefix, error.revision)

    async def _check_quiet(self, prefix: bytes, forgotten: int) -> None:
        """Go on after the compacted revision, if nothing happened under a prefix up to there.

        A data prefix is quiet for long, and the history behind its watch's last event gets compacted. What the keys
        were at the compacted revision can still be read; what came after it, the watch will tell. (A stranger's
        delete in that time goes unnoticed until the next load.)

        Raises:
            Compacted: something did happen, and its history is gone.
        """
        last = self._data.last
        body = Range(
            prefix, end_of(prefix), limit=1, keys_only=True, revision=forgotten, min_mod_revision=last + 1
        )
        try:
            reply = decoded(RANGE_REPLY, await self._calls.read(RANGE, encode(body)))
        except Compacted:
            return  # once more meanwhile: the next watch says up to where
        if reply.kvs:
            raise Compacted(f"the history of {prefix.decode()!r} after revision {last} is gone")
        self._data.last = forgotten

    async def _decide(self) -> NoReturn:
        """Ask which commits there are, when much is held back since the namespace's watch brings nothing.

        Once that watch stands at the newest head, no commit up to the answer's own revision is still to come.
        """
        heads = self._layout.encode("head/")
        body = encode(
            Range(heads, end_of(heads), limit=1, sort_order="DESCEND", sort_target="MOD", keys_only=True)
        )
        while True:
            await self._until(lambda: self._assembly.held >= HELD)
            reply = decoded(RANGE_REPLY, await self._calls.read(RANGE, body))
            newest = reply.kvs[0].mod_revision if reply.kvs else 0
            await self._until(partial(self._stands_at, newest))
            self._assembly.decide(reply.header.revision)
            await self._tell()

    def _stands_at(self, revision: int) -> bool:
        return self._namespace.last >= revision

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            await self._moved.wait()

    async def _listen(
        self,
        prefix: bytes,
        groups: Groups,
        take: Callable[[list[Group]], None],
        room: Callable[[], bool],
    ) -> NoReturn:
        """One watch after the other, until one ends by itself; a token that was refused is renewed once."""
        renewed, within = False, CREATED_WITHIN
        while True:
            token = self._calls.auth.headers
            try:
                await self._watch(prefix, groups, take, room, within)
            except TokenRefused as error:
                if renewed:
                    raise AccessDenied(f"etcd refuses a watch on {prefix.decode()!r}: {error}") from error
                await self._renew(token)
                renewed = True
            else:
                renewed, within = False, RESUMED_WITHIN
                groups.last = await self._alone.rest(groups.last)
                self._assembly.skip(groups.last)

    async def _renew(self, token: tuple[tuple[bytes, bytes], ...]) -> None:
        try:
            await self._calls.renew(self._calls.clients.stream, token)
        except (Unavailable, InDoubt) as error:
            raise Cut(f"no new token: {error}") from error

    async def _watch(
        self,
        prefix: bytes,
        groups: Groups,
        take: Callable[[list[Group]], None],
        room: Callable[[], bool],
        within: float,
    ) -> None:
        """One watch, until it may rest or ends."""
        calls = self._calls
        endpoint = calls.endpoint
        create = WatchCreate(prefix, end_of(prefix), groups.last + 1)
        message = calls.message(WATCH, encode(WatchRequest(create)), within=None)
        lines = Lines()
        try:
            with trio.CancelScope(deadline=trio.current_time() + within) as patience:
                async with Streaming(calls.clients.stream, message) as answer:
                    if answer.response.status_code != 200:
                        raise refusal(answer.response.status_code, await answer.read())
                    while chunk := await answer.read():
                        for line in lines.feed(chunk):
                            result = parsed(line)
                            if result.created and not result.canceled:
                                patience.deadline = float("inf")
                                await self._created(result, groups.last)
                            take(groups.feed(checked(result)))
                            await self._tell()
                            if self._alone.may_rest(groups.last) and lines.empty and not result.fragment:
                                return
                        await self._until(room)
                    for line in lines.rest():
                        checked(parsed(line))
            raise Cut("the watch ended" if not patience.cancelled_caught else f"no watch within {within:g} s")
        except (Unavailable, InDoubt, NotApplied, Rejected, Cut) as error:
            calls.leave(endpoint, error)
            raise Cut(str(error)) from error
        except trio.Cancelled:
            calls.leave(endpoint, "its change stream was given up")
            raise

    async def _created(self, result: WatchResult, after: int) -> None:
        """A member that knows less than we do lags behind, or its store was put back to an earlier state."""
        if self._cluster and result.header.cluster_id != self._cluster:
            raise WentBack(f"another etcd cluster, {result.header.cluster_id:x}, answers")
        if result.header.revision < after:
            heads = self._layout.encode("head/")
            reply = decoded(RANGE_REPLY, await self._calls.read(RANGE, encode(Range(heads, limit=1))))
            if reply.header.revision < after:
                raise WentBack(f"etcd is at revision {reply.header.revision}, revision {after} was seen")

    async def _tell(self) -> None:
        """Tell what can be told; a checkpoint each millisecond, never inside a revision."""
        assembly, deliver = self._assembly, self._deliver
        until = trio.current_time() + SLICE
        while (event := assembly.next()) is not None:
            deliver(event)
            self._told = max(self._told, event.revision)
            if assembly.between and trio.current_time() > until:
                await trio.lowlevel.checkpoint()
                until = trio.current_time() + SLICE
        moved, self._moved = self._moved, trio.Event()
        moved.set()


def parsed(line: bytes) -> WatchResult:
    """A line of a watch.

    Raises:
        StoreError: it is an error, or no JSON.
    """
    try:
        message = WATCH_LINE.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Cut(f"not a line of a watch: {line[:200]!r}") from error
    if message.error is not None:
        raise Cut(message.error.message)
    return message.result or WatchResult()


def checked(result: WatchResult) -> WatchResult:
    """The same, if it does not say that the watch is over.

    Raises:
        Forgotten: the history after the start revision is gone.
        TokenRefused: by its text the user may do this with another token: 3.5.1 gives this reason for both.
        Cut: any other reason.
    """
    if not result.canceled:
        return result
    if result.compact_revision:
        raise Forgotten(result.compact_revision)
    reason = result.cancel_reason or "the watch was cancelled without a reason"
    if any(text in reason for text in ("PermissionDenied", "permission denied", "auth token", "user name")):
        raise TokenRefused(reason)
    raise Cut(reason)
