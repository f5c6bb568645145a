"""The keeper: listeners, and incarnation after incarnation until it is stopped."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Sequence
from time import time

import trio

from parkeeper.errors import (
    AccessDenied,
    Compacted,
    Cut,
    InDoubt,
    NotApplied,
    StoreError,
    Unavailable,
    WentBack,
)
from parkeeper.options import Options
from parkeeper.server.apart import turn_away
from parkeeper.server.barrier import serve
from parkeeper.server.commit_stats import CommitStats
from parkeeper.server.incarnation import Incarnation, Surroundings
from parkeeper.server.listener import BACKLOG, Admission, ClientListener, listen
from parkeeper.server.services import Services
from parkeeper.server.serving import Serving, State
from parkeeper.server.stats import ServerStats
from parkeeper.server.transport import Transport
from parkeeper.store.facade import Store

log = logging.getLogger("parkeeper.keeper")

RETRY = 0.5
"""Seconds between tries to come back to a store that was lost."""

_SHORT = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))
"""What accept(2) says when the system is short of something that others may give back."""

SHORT_PAUSE = 0.1
"""Seconds before accepting is tried again then."""

SHORT_LIFE = 1.0
"""Seconds an incarnation must have lived for the next one to begin without a pause."""

KEPT_REASONS = 100
"""Why incarnations ended is remembered for so many of them."""

DENIED_PAUSE = 5.0
"""Seconds between tries to come back to a store that refuses our credentials."""

_WORTH_WAITING = (Unavailable, NotApplied, InDoubt, Cut, Compacted, WentBack)


def wall_clock() -> int:
    """Wall clock in ms since 1970."""
    return int(time() * 1000)


class Keeper:
    """One server of the ensemble.

    Args:
        store: not opened yet; the keeper opens and closes it.
        options: how it behaves.
        data_prefix: where data keys lie, "" for the namespace's own.
        now_ms: wall clock.

    Attributes:
        stats: counters.
        commits: counters of commits.
        reasons: why the latest incarnations ended, oldest first.
        serving: state.
        incarnation: the one that lives now, None between two.
        words: answers four-letter words; set before `run`.
        loaded: called whenever a tree was loaded, before anybody is served from it; set before `run`.
        bound: addresses of the listeners.
    """

    def __init__(
        self, store: Store, options: Options, data_prefix: str = "", now_ms: Callable[[], int] = wall_clock
    ) -> None:
        self.store = store
        self.options = options
        self.stats = ServerStats(now_ms)
        self.commits = CommitStats()
        self.serving = Serving()
        self.incarnation: Incarnation | None = None
        self.words: Callable[[bytes], bytes | None] = lambda word: None  # noqa: ARG005
        self.loaded: Callable[[], None] = lambda: None
        self._data_prefix = data_prefix
        self._now_ms = now_ms
        self.bound: list[tuple[str, int]] = []
        self._stop = trio.Event()
        self._opening = trio.CancelScope()
        self._served = False
        self._give_up = 0.0
        self.reasons: list[str] = []

    @property
    def services(self) -> Services | None:
        """What a connection that comes now may use; None while the keeper does not serve."""
        return None if self.incarnation is None else self.incarnation.services

    def stop(self) -> None:
        """Stop cleanly: finish commits in flight, flush replies, say goodbye to the store."""
        self._stop.set()
        self._opening.cancel("the keeper stops")
        if self.incarnation is not None:
            self.incarnation.stop()

    async def run(
        self,
        bind: Sequence[tuple[str | None, int]] = (),
        *,
        reuse_port: bool = False,
        task_status: trio.TaskStatus[list[tuple[str, int]]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Live until stopped. `started()` gets the bound addresses when the keeper serves for the first time.

        Args:
            bind: host and port of each listener; host None: every address; port 0: one the kernel picks.
            reuse_port: let several keepers listen on the same port, each from when it serves for the first time: sooner
                the kernel would give it clients, to be turned away, that another one serves already.

        Raises:
            OSError: a port is taken.
            ConfigError: a host has no address, or too few descriptors are left.
            Incompatible: at any time: nothing that waiting could mend.
            AccessDenied: at the start; later, rights that were taken away are waited for.
            Unavailable: at the start, when the store could not be reached for `store_wait` seconds.
        """
        admission = Admission.by(self.options, self._rejected)
        listeners: list[ClientListener] = []
        for host, port in bind:
            sockets = await listen(port, host, reuse_port=reuse_port, backlog=None if reuse_port else BACKLOG)
            listeners += [ClientListener(sock, admission) for sock in sockets]
        self.bound = bound = [(each.host, each.port) for each in listeners]
        around = Surroundings(
            self.store, self.options, self._data_prefix, self.stats, self.commits, self.serving, self._now_ms, self._word,
            self.options.addresses or tuple(f"{host}:{port}" for host, port in bound), self.loaded,
        )  # fmt: skip
        try:
            async with trio.open_nursery() as self._strangers, trio.open_nursery() as nursery:
                nursery.start_soon(self._begin, listeners if reuse_port else [], bound, task_status)
                if listeners and not reuse_port:
                    nursery.start_soon(self._accept, listeners)
                self._give_up = trio.current_time() + self.options.store_wait
                await self._open(self.options.store_wait)
                while not self._stop.is_set():
                    await self._live(around)
                nursery.cancel_scope.cancel("the keeper stopped")
                self._strangers.cancel_scope.cancel("the keeper stopped")
        finally:
            self.serving.become(State.STOPPING)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 2):
                for each in listeners:
                    await each.aclose()
                await self.store.aclose()

    async def _accept(self, listeners: list[ClientListener]) -> None:
        """Accept until told to stop; a connection lives in the incarnation that serves it."""
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(self._accept_from, listener)
            await self._stop.wait()
            nursery.cancel_scope.cancel("the keeper stops")

    async def _accept_from(self, listener: ClientListener) -> None:
        while True:
            try:
                transport = await listener.accept()
            except OSError as error:
                if error.errno not in _SHORT:
                    raise
                log.error("cannot accept clients just now", extra={"reason": str(error)})
                await trio.sleep(SHORT_PAUSE)
            else:
                self.connect(transport)

    def connect(self, transport: Transport) -> None:
        """Serve a client: in the incarnation that lives now, or turn it away."""
        incarnation = self.incarnation
        if incarnation is None or incarnation.services is None or incarnation.connections is None:
            self._strangers.start_soon(turn_away, transport, self._word)
        else:
            incarnation.connections.start_soon(serve, transport, incarnation.services)

    def _rejected(self) -> None:
        self.stats.rejected += 1

    def _word(self, word: bytes) -> bytes | None:
        return self.words(word)

    async def _begin(
        self,
        late: list[ClientListener],
        bound: list[tuple[str, int]],
        task_status: trio.TaskStatus[list[tuple[str, int]]],
    ) -> None:
        """When it serves for the first time: say so; and where listening had to wait, listen before, accept after."""
        await self.serving.until(State.SERVING)
        self._served = True
        for listener in late:
            listener.listen()
        task_status.started(bound)
        if late:
            await self._accept(late)

    async def _live(self, around: Surroundings) -> None:
        self.incarnation = incarnation = Incarnation(around)
        begun = trio.current_time()
        try:
            reason = await incarnation.run()
        except* _WORTH_WAITING as group:
            reason = self._excuse(group)
            await self._pause()
        except* AccessDenied as group:
            # At the start a person looks on and mends it; later a keeper waits for whoever took its rights away.
            reason = self._excuse(group)
            await self._wait_for_rights(reason)
        finally:
            self.incarnation = None
        if reason:
            self.reasons.append(reason)
            del self.reasons[:-KEPT_REASONS]
            log.warning("this incarnation of the keeper ended; loading anew", extra={"reason": reason})
            if trio.current_time() - begun < SHORT_LIFE:
                await (
                    self._pause()
                )  # no better at once, as on a full disk; and every registration uses an id up
            if not self.store.limits.shared:
                await self.store.aclose()
                await self._open(float("inf"))

    def _excuse(self, group: BaseExceptionGroup[StoreError]) -> str:
        """Why an incarnation ended. Raises: its error, if the keeper has never served and may not wait longer."""
        errors = _leaves(group)
        if not self._served and (isinstance(errors[0], AccessDenied) or trio.current_time() >= self._give_up):
            raise errors[0]
        return "; ".join(str(each) for each in errors)

    async def _pause(self, seconds: float = RETRY) -> None:
        with trio.move_on_after(seconds):
            await self._stop.wait()

    async def _wait_for_rights(self, reason: str) -> None:
        log.error("the store refuses us; waiting for the rights we had", extra={"reason": reason})
        await self._pause(DENIED_PAUSE)

    async def _open(self, patience: float) -> None:
        """Open the store, waiting for one that cannot be reached or has no leader."""
        give_up = trio.current_time() + patience
        while not self._stop.is_set():
            self._opening = trio.CancelScope()
            try:
                with self._opening:
                    await self.store.open()
            except Unavailable as error:
                log.warning("waiting for the store", extra={"reason": str(error)})
                if trio.current_time() >= give_up:
                    raise
                await self._pause()
            except AccessDenied as error:
                if not self._served:  # at the start a person looks on; later one waits, as above
                    raise
                await self._wait_for_rights(str(error))
            else:
                return


def _leaves(group: BaseExceptionGroup[StoreError]) -> list[StoreError]:
    """The exceptions inside a group of groups."""
    found: list[StoreError] = []
    for each in group.exceptions:
        found += _leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return found
