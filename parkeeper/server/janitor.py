"""The janitor: what somebody has to do for all keepers, done by the live one with the lowest id (PROTOCOL section 6).

It finishes closing sessions, closes orphans after their full timeout, deletes expired TTL nodes and empty containers,
forgets keepers long gone, and, where asked to, compacts the store's history behind the slowest keeper. Everything is
guarded, so a second janitor is harmless.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import trio

from parkeeper.errors import StoreError
from parkeeper.options import Options
from parkeeper.server.errand import Errand
from parkeeper.server.expiry import LATE, NOBODY
from parkeeper.server.requests import Request, Silent
from parkeeper.server.sessions import LocalSessions
from parkeeper.store.facade import Store
from parkeeper.tree.plan.reap import REAP, Reap
from parkeeper.tree.replica import Replica
from parkeeper.tree.sessions import CLOSE_SESSION, CloseSession

log = logging.getLogger("parkeeper.janitor")

COMPACT_EVERY: Final = 60.0
"""Seconds between compactions."""


class Janitor:
    """The janitor's work of one keeper, done while it is the eldest.

    Args:
        replica: what there is to do.
        sessions: the orphans' clocks.
        options: of the keeper.
        submit: the committer, for requests.
        errand: the committer, for errands.
        store: for compaction.
        now_ms: wall clock.
    """

    def __init__(
        self,
        replica: Replica,
        sessions: LocalSessions,
        options: Options,
        submit: Callable[[Request], None],
        errand: Callable[[Errand], None],
        store: Store,
        now_ms: Callable[[], int],
    ) -> None:
        self.reaped = 0
        self._replica = replica
        self._sessions = sessions
        self._options = options
        self._submit = submit
        self._errand = errand
        self._store = store
        self._now_ms = now_ms
        self._closing: set[int] = set()
        self._reaping: set[str] = set()
        self._gone_since: dict[int, float] = {}
        self._forgetting: set[int] = set()

    @property
    def on_duty(self) -> bool:
        """Whether we are the eldest keeper alive."""
        return self._replica.registry.eldest == self._sessions.keeper

    async def run(self) -> None:
        """Work for ever, tick by tick."""
        tick = self._options.tick_time / 1000
        reap_at = trio.current_time() + self._options.reap_interval
        compact_at = trio.current_time() + COMPACT_EVERY
        while True:
            due = trio.current_time() + tick
            await trio.sleep_until(due)
            now = trio.current_time()
            if now - due > LATE:
                self._sessions.orphans.stood_still(now - due)
            self._watch_the_gone(now)
            if not self.on_duty:
                continue
            self.close_orphans(now)
            self._finish_closing()
            if now >= reap_at:
                reap_at = now + self._options.reap_interval
                self.reap()
            if self._options.compact and now >= compact_at:
                compact_at = now + COMPACT_EVERY
                await self._compact()

    def close_orphans(self, now: float) -> None:
        """Ask for the end of all sessions that nobody came back for since their keeper is gone."""
        for session in self._sessions.orphans.expired(now):
            record = self._replica.sessions.get(session)
            if record is not None and record.owner not in self._replica.registry.keepers:
                self._close(session, record.rev)

    def _finish_closing(self) -> None:
        for session, record in self._replica.sessions.items():
            if record.closing and session not in self._closing:
                self._close(session, None)

    def _close(self, session: int, expected: int | None) -> None:
        self._closing.add(session)

        def done(code: int | None) -> None:
            self._closing.discard(session)
            now, orphans = self._replica.sessions.get(session), self._sessions.orphans
            if code == 0:
                log.info("session of a keeper that is gone closed", extra={"session": f"{session:#x}"})
                return
            orphan = now is not None and now.owner not in self._replica.registry.keepers
            if now is not None and orphan and session not in orphans:
                # The store would not take it: without a clock it would live for ever.
                orphans.touch(session, trio.current_time() + now.timeout / 1000)

        record = CloseSession(session, expected)
        self._submit(Request(CLOSE_SESSION, record, 0, None, NOBODY, Silent(done)))

    def reap(self) -> int:
        """Ask for the deletion of all TTL nodes and containers that are due; returns how many there are."""
        unused = int(self._options.container_unused * 1000)
        due = self._replica.reaping.candidates(self._now_ms(), self._replica.kids, unused)
        for path in due:
            if path not in self._reaping:
                self._reap(path)
        return len(due)

    def _reap(self, path: str) -> None:
        self._reaping.add(path)

        def done(code: int | None) -> None:
            self._reaping.discard(path)
            if code == 0:
                self.reaped += 1
                log.info("reaped", extra={"path": path})

        self._submit(Request(REAP, Reap(path), 0, None, NOBODY, Silent(done)))

    def _watch_the_gone(self, now: float) -> None:
        """Note since when a keeper that left its head is gone; forget it when that is long ago."""
        registry = self._replica.registry
        for keeper in [each for each in self._gone_since if each not in registry.heads]:
            del self._gone_since[keeper]  # another janitor forgot it
        for keeper, head in list(registry.heads.items()):
            if keeper in registry.keepers:
                continue
            since = self._gone_since.setdefault(keeper, now)
            if self.on_duty and now - since >= self._options.forget_after:
                self._forget(keeper, {f"keeper/{keeper}": 0, f"head/{keeper}": head}, [f"head/{keeper}"])
        # A ticket is written without a guard, so perhaps late.
        for keeper in {*registry.fences, *registry.turns}:
            if keeper not in registry.keepers and keeper not in registry.heads and self.on_duty:
                self._forget(keeper, {f"keeper/{keeper}": 0, f"head/{keeper}": 0}, [])

    def _forget(self, keeper: int, guards: dict[str, int], deletes: list[str]) -> None:
        if keeper in self._forgetting:
            return
        self._forgetting.add(keeper)

        def done(happened: bool) -> None:
            self._forgetting.discard(keeper)
            if happened:
                self._gone_since.pop(keeper, None)
                log.info("a keeper long gone is forgotten", extra={"keeper": keeper})

        self._errand(
            Errand(guards=guards, done=done, deletes=[*deletes, f"fence/{keeper}", f"turn/{keeper}"])
        )

    async def _compact(self) -> None:
        slowest = min((each.item.applied for each in self._replica.registry.keepers.values()), default=0)
        if slowest:
            try:
                await self._store.compact(slowest)
            except StoreError as error:
                log.warning("the store's history was not compacted", extra={"reason": str(error)})
