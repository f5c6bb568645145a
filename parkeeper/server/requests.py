"""A write on its way: what the reader hands to the committer, and how the answer finds its way back.

The committer and the applier know no connection; they know `Place`, the spot a write holds in its connection's
response queue, and `Attachment`, what ties a connection to a session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from parkeeper.tree.schemes import Identities


class Place(Protocol):
    """A spot in a response queue, held for a request that is being committed."""

    def before(self) -> None:
        """Answer all that this session asked before this request: it is about to be applied or refused."""
        ...

    def fulfil(self, zxid: int, code: int, body: bytes) -> None:
        """Encode the reply, now and in turn.

        Args:
            zxid: for the reply's header.
            code: 0, or a ZooKeeper error code.
            body: the encoded reply record, empty for a bare header.
        """
        ...

    def abandon(self) -> None:
        """No answer will come (session moved, keeper ended): the connection ends without one."""
        ...


class Attachment:
    """A connection's hold on a session.

    Attributes:
        session: its id.
        rev: revision of the session's record it was opened or claimed with; a newer one ends this attachment.
        timeout: ms.
        touched: Trio time of the last traffic; the reader sets it once per slice.
        drop: ends the connection; takes the reason, for the log.
        alive: False once the connection ended or the session moved.
    """

    __slots__ = ("alive", "drop", "rev", "session", "timeout", "touched")

    def __init__(self, session: int, timeout: int, touched: float, drop: Callable[[str], None]) -> None:
        self.session = session
        self.rev = 0
        self.timeout = timeout
        self.touched = touched
        self.drop = drop
        self.alive = True


class Request:
    """One write, session opening, claim or close, waiting for its commit.

    Attributes:
        op: opcode (`parkeeper.wire.opcodes`, `parkeeper.tree.sessions`, `parkeeper.tree.plan.keepers`).
        record: the decoded request.
        session: who asks, 0 for the keeper itself.
        attachment: what the request dies with; None for requests of the keeper itself and session openings.
        identities: of the connection when the request was received.
        place: where the answer goes.
        losses: commits lost to other keepers so far.
    """

    __slots__ = ("attachment", "identities", "losses", "op", "place", "record", "session")

    def __init__(
        self,
        op: int,
        record: object,
        session: int,
        attachment: Attachment | None,
        identities: Identities,
        place: Place,
    ) -> None:
        self.op = op
        self.record = record
        self.session = session
        self.attachment = attachment
        self.identities = identities
        self.place = place
        self.losses = 0
