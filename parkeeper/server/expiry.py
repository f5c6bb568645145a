"""Closing the sessions whose time is up: our own, never early and at most a tick late (PROTOCOL section 6).

The reader only notes the time of the last traffic; whether a deadline holds is asked when it is due. A close carries
the revision of the session's record and the last touch, and is dropped at planning if either moved.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import trio

from parkeeper.server.requests import Request, Silent
from parkeeper.server.sessions import LocalSessions
from parkeeper.tree.replica import Replica
from parkeeper.tree.schemes import Identities
from parkeeper.tree.sessions import CLOSE_SESSION, CloseSession

log = logging.getLogger("parkeeper.sessions")

LATE: Final = 0.1
"""Seconds a wake-up may be late before all deadlines are shifted by that (`ExpiryQueue.stood_still`)."""

NOBODY: Final = Identities()


class Expiry:
    """Watches the clocks of our own sessions.

    Args:
        sessions: the clocks.
        replica: the sessions' records.
        submit: the committer.
        look: deals with all that clients' sockets hold now.
    """

    def __init__(
        self,
        sessions: LocalSessions,
        replica: Replica,
        submit: Callable[[Request], None],
        look: Callable[[], None],
    ) -> None:
        self.expired = 0
        self._sessions = sessions
        self._replica = replica
        self._submit = submit
        self._look = look
        self._wake = trio.Event()
        sessions.wake = self._look_again

    def _look_again(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Watch for ever."""
        clocks = self._sessions.clocks
        while True:
            due = clocks.next
            if due is None:
                await self._wake.wait()
                self._wake = trio.Event()
                continue
            with trio.move_on_at(due) as scope:
                await self._wake.wait()
                self._wake = trio.Event()
            if not scope.cancelled_caught:
                continue
            late = trio.current_time() - due
            if late > LATE:
                clocks.stood_still(late)
                continue
            await trio.lowlevel.checkpoint()  # readers first: what they have received counts,
            self._look()  # and what those who sleep would have
            self.close_due()

    def close_due(self) -> None:
        """Ask for the end of all sessions whose deadline is past, unless they were heard of."""
        for session in self._sessions.clocks.expired(trio.current_time()):
            self._due(session)

    def _due(self, session: int) -> None:
        record = self._replica.sessions.get(session)
        if record is None or record.owner != self._sessions.keeper:
            return
        held = self._sessions.attachments.get(session)
        if held is not None:
            deadline = held.touched + held.timeout / 1000
            if deadline > trio.current_time():
                self._sessions.clocks.touch(session, deadline)
                return
        touched = held.touched if held is not None else 0.0

        def heard_of() -> bool:
            now_held = self._sessions.attachments.get(session)
            return now_held is not held or (now_held is not None and now_held.touched != touched)

        def done(code: int | None) -> None:
            if code == 0:
                self.expired += 1
                log.info("session expired", extra={"session": f"{session:#x}", "timeout_ms": record.timeout})
                return
            now, clocks = self._replica.sessions.get(session), self._sessions.clocks
            if now is not None and now.owner == self._sessions.keeper and session not in clocks:
                # Heard of again, or the store would not take it: a session without a clock would live for ever.
                clocks.touch(session, trio.current_time() + now.timeout / 1000)
                self._look_again()

        self._submit(
            Request(
                CLOSE_SESSION,
                CloseSession(session, record.rev),
                0,
                None,
                NOBODY,
                Silent(done),
                unless=heard_of,
            )
        )
