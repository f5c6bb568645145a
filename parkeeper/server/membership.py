"""Membership: proving by beats that this keeper and its stream live, and seeing when others don't (PROTOCOL section 6).

A beat is a transaction of its own on a connection of its own, every third of the keeper TTL. It counts for the *serve
deadline* only when the applier has reached it on the stream, everything before it applied: so it proves the stream
alive too. Past the deadline nothing is answered any more.

Another keeper is declared dead when its beat did not change for its TTL, counted only over intervals between own beats
that came back within half a TTL of each other: a keeper that was paused, or cut from the store, has counted nothing.
At the moment when a silent one's TTL is over a beat is made besides, so that it is declared no later either.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Final

import trio

from parkeeper.errors import GuardFailed, InDoubt, NotApplied, Rejected, Unavailable
from parkeeper.server.doubt import Ended
from parkeeper.server.errand import Errand
from parkeeper.server.trouble import Trouble
from parkeeper.store.facade import Store
from parkeeper.tree.encoding import KeeperItem, encode_keeper
from parkeeper.tree.replica import Replica

log = logging.getLogger("parkeeper.membership")

RETRY: Final = 0.1
HEARD_WITHIN: Final = 12
"""The part of a TTL within which the stream must bring anything after a beat came back."""

ROUNDING: Final = 0.001
"""Seconds after a keeper's TTL at which it is looked at, so that what was added up is surely no less."""

CLOCK_SKEW: Final = 1000
"""ms between two keepers' wall clocks above which the one that is behind logs it; no safety rests on it."""


class Membership:
    """The registration of one incarnation, and what it knows of the others.

    Args:
        store: where beats go.
        replica: whose registry shows the others.
        ttl: seconds.
        addresses: told to others.
        now_ms: wall clock.

    Attributes:
        keeper: our id, 0 until registered.
        acknowledged: revision of our last beat that the store confirmed (or our registration).
        deadline: Trio time until which we may serve.
        errand: hands a declaration of death to the committer.
        followed: tells the revision up to which the stream was followed.
        silent: called when a beat came back and the stream brought nothing at all meanwhile.
        beats: how many were begun.
        declared: how many keepers we declared dead.
        incarnation: random number of our registration.
    """

    def __init__(
        self,
        store: Store,
        replica: Replica,
        ttl: float,
        addresses: tuple[str, ...],
        now_ms: Callable[[], int],
    ) -> None:
        self.keeper = 0
        self.acknowledged = 0
        self.deadline = -1.0
        self.beats = 0
        self.declared = 0
        self.errand: Callable[[Errand], None] = lambda errand: None  # noqa: ARG005
        self.followed: Callable[[], int] = lambda: 0
        self.silent: Callable[[], None] = lambda: None
        self.incarnation = 0
        self._store = store
        self._replica = replica
        self._ttl = ttl
        self._addresses = addresses
        self._now_ms = now_ms
        self._started: dict[int, float] = {}
        self._tries: dict[bytes, float] = {}
        self._reached = trio.Event()
        self._revision = 0
        self._last_back: float | None = None
        self._silence: dict[int, float] = {}
        self._heard: dict[int, float] = {}
        self._declaring: set[int] = set()
        self._skewed: set[int] = set()
        self._over = False
        self._trouble = Trouble(log, "a beat did not come back; trying again", "beats come back again")

    def item(self) -> bytes:
        """The value of our `keeper/` item now."""
        return encode_keeper(
            KeeperItem(
                self.incarnation,
                self.beats,
                int(self._ttl * 1000),
                self._now_ms(),
                self._replica.revision,
                self._addresses,
            )
        )

    def registered(self, keeper: int, revision: int, started: float) -> None:
        """Our registration happened at `revision`; it was sent at Trio time `started`. It is as good as a beat."""
        self.keeper = keeper
        self.acknowledged = self._revision = revision
        self.deadline = started + self._ttl
        self._last_back = trio.current_time()

    def end(self) -> None:
        """Serve nobody any more, whatever beat comes back."""
        self._over = True  # (and not -inf: when it ended can still be read)
        self.deadline = min(self.deadline, math.nextafter(trio.current_time(), -math.inf))

    async def run(self) -> None:
        """Beat for ever. Raises: `Ended` when we were declared dead."""
        period = self._ttl / 3
        due = trio.current_time() + period
        while True:
            await trio.sleep_until(due)
            started = trio.current_time()
            await self.beat()
            await self._hear()
            self._judge()
            due = max(min(started + period, self._next_death()), trio.current_time())

    async def _hear(self) -> None:
        """Our beat is in the store: the stream should bring it. One that brings nothing has gone silent.

        A member that was stopped or cut off keeps its connections open and says nothing, for ever.
        """
        heard = self.followed()
        if self._started:
            self._reached = trio.Event()
            with trio.move_on_after(self._ttl / HEARD_WITHIN):
                await self._reached.wait()
        if self._started and self.followed() == heard:
            self.silent()

    async def beat(self) -> int:
        """One beat, tried until its fate is known; returns its revision. One at a time. Raises: `Ended`."""
        limit = self._ttl / 6
        self.beats += 1
        while True:
            value = self.item()
            # Kept until one of them is known to have happened: a client that asked for a beat may have gone meanwhile.
            self._tries.setdefault(value, trio.current_time())
            asked, revision = trio.current_time(), 0
            try:
                with trio.move_on_after(limit):
                    revision = await self._store.beat(self.keeper, self._revision, value)
                if not revision:
                    raise InDoubt("no answer in time")
            except GuardFailed as failed:
                revision = await self._settle(failed)
            except (NotApplied, Unavailable, Rejected, InDoubt) as error:
                self._trouble.failed(error)
                # Who answers at once will do so again: a file in doubt, a connection that is reset.
                await trio.sleep_until(asked + min(RETRY, limit))
                continue
            self._trouble.over()
            # Whichever try it is that happened, the start of the first one is a safe beginning of the deadline.
            self._came_back(revision, min(self._tries.values()))
            return revision

    async def _settle(self, failed: GuardFailed) -> int:
        """The guard failed: an earlier try of this beat is in the store, or we were declared dead."""
        while True:
            try:
                there = await self._store.read(f"keeper/{self.keeper}")
            except (NotApplied, Unavailable, InDoubt):
                await trio.sleep(RETRY)
                continue
            if there is not None and there.value in self._tries:
                return there.revision
            raise Ended("this keeper was declared dead by another") from failed

    def _came_back(self, revision: int, started: float) -> None:
        self._revision = revision
        self._tries.clear()
        self.acknowledged = max(self.acknowledged, revision)
        self._started[revision] = started
        own = self._replica.registry.keepers.get(self.keeper)
        if own is not None and own.revision >= revision:  # the stream was faster than the answer
            self.seen(self.keeper, own.revision)
        now = trio.current_time()
        if self._last_back is not None and now - self._last_back <= self._ttl / 2:
            for other in self._replica.registry.keepers:
                if other != self.keeper:
                    # Only what lies behind its last beat: else it is dead while it may serve. [1.9 s too early]
                    silent = now - self._counted_to(other)
                    self._silence[other] = self._silence.get(other, 0.0) + silent
        self._last_back = now

    def seen(self, keeper: int, revision: int) -> None:
        """The applier has reached a beat (or registration) on the stream."""
        if keeper != self.keeper:
            self._heard_of(keeper)
            self._look_at_clock(keeper)
            return
        reached = [each for each in self._started if each <= revision]
        for each in reached:
            deadline = self._started.pop(each) + self._ttl
            self._reached.set()
            if not self._over:
                self.deadline = max(self.deadline, deadline)

    def _heard_of(self, other: int) -> None:
        self._silence[other] = 0.0
        self._heard[other] = trio.current_time()

    def _look_at_clock(self, keeper: int) -> None:
        registered = self._replica.registry.keepers.get(keeper)
        if registered is None or keeper in self._skewed:
            return
        ahead = registered.item.wall - self._now_ms()
        # A beat may be late here, so only one from the future is proof; whoever is behind sees that of the other.
        if ahead > CLOCK_SKEW or ahead < -(CLOCK_SKEW + self._ttl * 1000):
            self._skewed.add(keeper)
            log.warning("another keeper's wall clock differs", extra={"keeper": keeper, "ahead_ms": ahead})

    def _judge(self) -> None:
        """Declare dead who was silent for its own TTL."""
        keepers = self._replica.registry.keepers
        for other in [each for each in self._silence if each not in keepers]:
            del self._silence[other]
            self._heard.pop(other, None)
            self._declaring.discard(other)
            self._skewed.discard(other)
        for other, silent in self._silence.items():
            if silent >= keepers[other].item.ttl / 1000 and other not in self._declaring:
                self.declare(other)

    def _next_death(self) -> float:
        """When the first of the silent keepers will have been so for its TTL: a beat of ours then tells."""
        keepers = self._replica.registry.keepers
        waited_for = self._silence.keys() & keepers.keys() - self._declaring
        return min((self._death(other) for other in waited_for), default=math.inf)

    def _death(self, other: int) -> float:
        ttl = self._replica.registry.keepers[other].item.ttl / 1000
        return self._counted_to(other) + ttl - self._silence[other] + ROUNDING

    def _counted_to(self, other: int) -> float:
        """Until when its silence is counted."""
        return max(self._last_back or 0.0, self._heard.get(other, 0.0))

    def declare(self, other: int) -> None:
        """Declare a keeper dead, if its last beat is still the one we know."""
        found = self._replica.registry.keepers.get(other)
        if found is None:
            return
        self._declaring.add(other)
        log.warning("declaring a keeper dead", extra={"keeper": other, "beat": found.revision})

        def done(happened: bool) -> None:
            self._declaring.discard(other)
            self._heard_of(other)
            if happened:
                self.declared += 1
            else:
                log.info("the keeper lives", extra={"keeper": other})

        self.errand(
            Errand(
                guards={f"keeper/{other}": found.revision},
                done=done,
                deletes=[f"keeper/{other}", f"turn/{other}"],
                fences=[other],
            )
        )
