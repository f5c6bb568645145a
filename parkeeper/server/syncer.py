"""`sync`: what follows on that session is linearizable, more than ZooKeeper gives (DESIGN section 5).

One `head()` for all who wait: whoever comes joins the *next* read, never one that is in flight, for that may have been
answered before the call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from parkeeper.server.applier import Applier


class Syncer:
    """Serves the syncs of one keeper.

    Args:
        newest: a linearizable read of the newest commit's revision.
        applier: tells when it is reached.
    """

    def __init__(self, newest: Callable[[], Awaitable[int]], applier: Applier) -> None:
        self._newest = newest
        self._applier = applier
        self._joined: list[Callable[[], None]] = []
        self._wake = trio.Event()

    def join(self, reached: Callable[[], None]) -> None:
        """Call `reached` when the replica has all that was committed before this call."""
        self._joined.append(reached)
        self._wake.set()

    async def run(self) -> None:
        """Serve for ever."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            joined, self._joined = self._joined, []
            revision = await self._newest()
            for reached in joined:
                self._applier.call_at(revision, reached)
