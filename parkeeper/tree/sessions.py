"""Sessions as items: the record in the store, and the requests that make, move and end one (PROTOCOL section 6)."""

from __future__ import annotations

from typing import Final, NamedTuple

OPEN_SESSION: Final = -10
CLAIM_SESSION: Final = -12
CLOSE_SESSION: Final = -11
"""Opcodes of session requests. -12 never travels: a claim is made by a ConnectRequest."""


class OpenSession(NamedTuple):
    """A new session of this keeper; `timeout` in ms, negotiated."""

    session: int
    timeout: int


class ClaimSession(NamedTuple):
    """A client comes back with id and (checked) password: the session becomes this keeper's; `timeout` in ms."""

    session: int
    timeout: int


class CloseSession(NamedTuple):
    """End a session and its ephemerals.

    `expected`: the revision of the session's record when a clock decided so, None when its client asked; a close
    decided by a clock is dropped at planning if the record moved.
    """

    session: int
    expected: int | None = None


class Session:
    """A session as the replica holds it (`session/<id>`).

    Attributes:
        timeout: ms, as negotiated last.
        owner: the keeper that holds its connection and its clock.
        created: wall clock ms.
        closing: marked by a close that did not fit one commit: no request, claim or ephemeral any more.
        rev: revision of the item, -1 while being planned. A new revision ends older attachments.
        claims: how often it was claimed; so no two values of the record are alike.
    """

    __slots__ = ("claims", "closing", "created", "owner", "rev", "timeout")

    def __init__(self, timeout: int, owner: int, created: int, closing: bool, claims: int, rev: int) -> None:
        self.timeout = timeout
        self.owner = owner
        self.created = created
        self.closing = closing
        self.claims = claims
        self.rev = rev

    def claimed(self, owner: int, timeout: int) -> Session:
        """After a claim by a keeper."""
        return Session(timeout, owner, self.created, self.closing, self.claims + 1, -1)

    def marked(self) -> Session:
        """After the first part of a close that needs several commits."""
        return Session(self.timeout, self.owner, self.created, True, self.claims, -1)

    def settle(self, revision: int) -> None:
        """Its commit happened."""
        if self.rev < 0:
            self.rev = revision

    def __repr__(self) -> str:
        state = " closing" if self.closing else ""
        return f"<Session of keeper {self.owner} {self.timeout} ms{state} @{self.rev}>"
