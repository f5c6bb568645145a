"""The sessions whose clocks this keeper holds: its own, and (for the janitor) orphans.

The owner keeps a session's clock, in memory: any traffic touches it. Nothing of it is stored, so when a keeper ends,
the clocks of its sessions start anew in full wherever they go (PROTOCOL section 6).
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from parkeeper.server.requests import Attachment
from parkeeper.tree import passwords
from parkeeper.tree.expiry import ExpiryQueue
from parkeeper.tree.replica import Replica
from parkeeper.tree.sessions import Session

log = logging.getLogger("parkeeper.sessions")


class LocalSessions:
    """Sessions by keeper id.

    Args:
        replica: whose sessions.
        secret: of the namespace, for passwords.
        tick: seconds of one tick.

    Attributes:
        keeper: our id, 0 until registered.
        clocks: deadlines of our own sessions.
        orphans: deadlines of sessions whose keeper is gone.
        attachments: session -> the connection that holds it.
        wake: called when a deadline may be earlier than the expiry task thinks.
    """

    def __init__(self, replica: Replica, secret: bytes, tick: float) -> None:
        self.keeper = 0
        self.clocks = ExpiryQueue(tick)
        self.orphans = ExpiryQueue(tick)
        self.attachments: dict[int, Attachment] = {}
        self.wake: Callable[[], None] = lambda: None
        self._replica = replica
        self._secret = secret
        self._counter = 0

    def start(self, keeper: int) -> None:
        """We are registered: from now on every session has a clock here or elsewhere."""
        self.keeper = keeper
        for session, record in self._replica.sessions.items():
            self.changed(session, record, None)

    def new_id(self) -> int:
        """A session id never used before: keeper id << 32 | counter from 1."""
        self._counter += 1
        return self.keeper << 32 | self._counter

    def password(self, session: int) -> bytes:
        """The 16 bytes that prove a session is one's own."""
        return passwords.password_of(self._secret, session)

    def check_password(self, session: int, password: bytes | None) -> bool:
        """Whether these are the 16 bytes."""
        return passwords.check(self._secret, session, password)

    def attach(self, attachment: Attachment) -> None:
        """A connection holds its session from now on; one before it is dropped."""
        before = self.attachments.get(attachment.session)
        self.attachments[attachment.session] = attachment
        self.clocks.touch(attachment.session, trio.current_time() + attachment.timeout / 1000)
        self.wake()
        if before is not None and before is not attachment:
            before.alive = False
            before.drop("the session was taken over by a newer connection")

    def detach(self, attachment: Attachment) -> None:
        """A connection ended; its session lives on until its time is up."""
        attachment.alive = False
        if self.attachments.get(attachment.session) is attachment:
            del self.attachments[attachment.session]
            if attachment.session in self.clocks:
                self.clocks.touch(attachment.session, attachment.touched + attachment.timeout / 1000)
                self.wake()

    # What the applier tells.

    def changed(self, session: int, record: Session, asker: Attachment | None) -> None:
        """A session was opened, claimed or marked; a client that closes it is told when that is done."""
        deadline = trio.current_time() + record.timeout / 1000
        if record.owner == self.keeper:
            self.orphans.remove(session)
            self.clocks.touch(session, deadline)
            self.wake()
        else:
            self.clocks.remove(session)
            if record.owner in self._replica.registry.keepers:
                self.orphans.remove(session)
            else:
                self.orphans.touch(session, deadline)
        held = self.attachments.get(session)
        if held is not None and held is not asker and held.rev != record.rev:
            del self.attachments[session]
            held.alive = False
            held.drop(
                "the session is closing"
                if record.closing
                else "the session was claimed by another connection"
            )

    def ended(self, session: int, asker: Attachment | None) -> None:
        """A session is no more; the connection of the client that asked for it ends after its reply."""
        self.clocks.remove(session)
        self.orphans.remove(session)
        held = self.attachments.get(session)
        if held is not None and held is not asker:
            del self.attachments[session]
            held.alive = False
            held.drop("the session expired")

    def orphaned(self, keeper: int) -> None:
        """A keeper is gone: its sessions have their full timeout from now on."""
        now = trio.current_time()
        for session, record in self._replica.sessions.items():
            if record.owner == keeper:
                self.orphans.touch(session, now + record.timeout / 1000)

    def drop_all(self, reason: str) -> None:
        """End every connection; the sessions live on."""
        for attachment in list(self.attachments.values()):
            attachment.alive = False
            attachment.drop(reason)
        self.attachments.clear()
