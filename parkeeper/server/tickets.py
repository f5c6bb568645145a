"""A keeper's ticket: asking the others to let it go first where it lost too often (PROTOCOL section 4).

Tickets are courtesy, and safety rests on guards; so whatever goes wrong here is ignored. Whose ticket holds what back is
the planner's part.
"""

from __future__ import annotations

import logging

import trio

from parkeeper.errors import StoreError
from parkeeper.server.commit_stats import CommitStats
from parkeeper.server.doubt import FIRST_TRY
from parkeeper.server.planner import HOLD, Planner
from parkeeper.store.facade import Store
from parkeeper.tree.encoding import Turn, encode_turn
from parkeeper.tree.replica import Replica

log = logging.getLogger("parkeeper.committer")


class Tickets:
    """Puts the ticket of one keeper up, and takes it down.

    Args:
        store: where it stands, under `turn/<keeper>`.
        planner: says over which names it is due.
        replica: knows the one that is there.
        keeper: our id.
        stats: counters.
    """

    def __init__(
        self, store: Store, planner: Planner, replica: Replica, keeper: int, stats: CommitStats
    ) -> None:
        self._store = store
        self._planner = planner
        self._registry = replica.registry
        self._keeper = keeper
        self._stats = stats
        self._number = 0
        self._put_up_at = -HOLD
        self._taken_down = 0

    async def put_up(self, incarnation: int) -> None:
        """Put one up if it is due: for the names we lost too often over."""
        names = self._planner.impatient
        there = self._registry.turns.get(self._keeper)
        now = trio.current_time()
        if not names or (there is not None and there[0].names >= names and now - self._put_up_at < HOLD):
            return  # (one that is older is honoured by nobody any more)
        self._number += 1
        self._put_up_at = now
        self._stats.tickets += 1
        turn = Turn(incarnation, self._number, names)
        try:
            with trio.move_on_after(FIRST_TRY):
                await self._store.put(f"turn/{self._keeper}", encode_turn(turn))
        except StoreError as error:
            log.debug("a ticket could not be put up", extra={"reason": str(error)})

    async def take_down(self) -> None:
        """Nothing of ours waits any more, and no commit took it along: it may have come to be known too late."""
        there = self._registry.turns.get(self._keeper)
        if there is None or there[0].number == self._taken_down:
            return
        self._taken_down = there[0].number
        try:
            with trio.move_on_after(FIRST_TRY):
                await self._store.put(f"turn/{self._keeper}", None)
        except StoreError as error:
            log.debug("a ticket could not be taken down", extra={"reason": str(error)})
