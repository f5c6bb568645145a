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

    @property
    def order(self) -> int:
        """How many requests of its connection entered the response queue before it."""
        ...

    def before(self) -> None:
        """Answer all that this session asked before this request: it is about to be applied or refused."""
        ...

    def fulfil(self, zxid: int, code: int, body: bytes, now: float | None = None) -> None:
        """Encode the reply, now and in turn.

        Args:
            zxid: for the reply's header.
            code: 0, or a ZooKeeper error code.
            body: the encoded reply record, empty for a bare header.
            now: Trio time, for the statistics, if whoever calls has it at hand.
        """
        ...

    def abandon(self) -> None:
        """No answer will come (session moved, keeper ended): the connection ends without one."""
        ...


class Silent:
    """The place of a request that the keeper makes itself: nobody waits for the answer, but somebody may look on.

    Args:
        done: called once with the code it was answered with, None if it was given up.
    """

    order = 0

    def __init__(self, done: Callable[[int | None], None] | None = None) -> None:
        self._done = done

    def before(self) -> None:
        """Nothing stands before it."""

    def fulfil(self, zxid: int, code: int, body: bytes, now: float | None = None) -> None:  # noqa: ARG002  # the protocol's signature
        """It was applied or refused."""
        if self._done is not None:
            self._done(code)

    def abandon(self) -> None:
        """It was given up."""
        if self._done is not None:
            self._done(None)


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
        unless: asked at planning: True drops the request without an answer (a close decided by a clock, when the
            client was heard of again).
        losses: commits lost to other keepers so far.
        parts: ephemerals one commit may delete when a session must close in parts; 0: all at once.
    """

    __slots__ = ("attachment", "identities", "losses", "op", "parts", "place", "record", "session", "unless")

    def __init__(
        self,
        op: int,
        record: object,
        session: int,
        attachment: Attachment | None,
        identities: Identities,
        place: Place,
        unless: Callable[[], bool] | None = None,
    ) -> None:
        self.op = op
        self.record = record
        self.session = session
        self.attachment = attachment
        self.identities = identities
        self.place = place
        self.unless = unless
        self.losses = 0
        self.parts = 0
