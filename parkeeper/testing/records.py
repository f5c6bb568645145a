"""What passed over the connections of each session, decoded: what a failed test wants to know first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from parkeeper.wire.codes import Code
from parkeeper.wire.events import EventType

KEPT: Final = 100
"""Requests and events kept of each session."""

SESSIONS: Final = 256
"""Sessions of which anything is kept; the one heard of first is forgotten first."""

_WIDEST: Final = 120
"""Characters of a request or its answer in a report."""


@dataclass(slots=True)
class Exchange:
    """A request, and what became of it.

    Attributes:
        at: seconds since the ensemble started.
        keeper: number of the keeper asked.
        xid: as the client numbered it.
        op: ZooKeeper's name of the operation, such as `create2`; `op<N>` for a number that is none.
        path: what it was about, "" where that is nothing or several paths.
        request: the decoded record, None if it could not be decoded.
        error: of the reply: `OK` or a name of `parkeeper.wire.codes.Code`; None while there is no reply.
        zxid: of the reply's header.
        fault: what a test did to it, "" for nothing.
    """

    at: float
    keeper: int
    xid: int
    op: str
    path: str
    request: object
    error: str | None = None
    zxid: int = 0
    fault: str = ""

    def __str__(self) -> str:
        answer = "no reply" if self.error is None else self.error
        fault = f"  [{self.fault}]" if self.fault else ""
        return f"{self.at:9.3f} keeper {self.keeper}  #{self.xid} {_short(self.request or self.op)} -> {answer}{fault}"


@dataclass(frozen=True, slots=True)
class Event:
    """A watch fired, and the client was told.

    Attributes:
        at: seconds since the ensemble started.
        keeper: number of the keeper that told it.
        type: a name of `parkeeper.wire.events.EventType`.
        path: of the znode.
        zxid: of the change.
    """

    at: float
    keeper: int
    type: str
    path: str
    zxid: int

    def __str__(self) -> str:
        return f"{self.at:9.3f} keeper {self.keeper}  event {self.type} {self.path}"


@dataclass(frozen=True, slots=True)
class Turn:
    """Something happened to the session's connection.

    Attributes:
        at: seconds since the ensemble started.
        keeper: number of the keeper.
        what: `connected`, `refused` (the session is expired) or `disconnected`.
    """

    at: float
    keeper: int
    what: str

    def __str__(self) -> str:
        return f"{self.at:9.3f} keeper {self.keeper}  {self.what}"


Record = Exchange | Event | Turn


class Recorder:
    """The last records of every session, oldest first.

    Args:
        kept: how many of each session.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._sessions: dict[int, deque[Record]] = {}

    def add(self, session: int, record: Record) -> None:
        """Keep a record; session 0 is a connection that never had one, and is not kept."""
        if not session:
            return
        records = self._sessions.get(session)
        if records is None:
            if len(self._sessions) >= SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            records = self._sessions[session] = deque(maxlen=self._kept)
        records.append(record)

    def knows(self, session: int) -> bool:
        """Whether anything of it is kept."""
        return session in self._sessions

    def forget(self, session: int) -> None:
        """Forget one session."""
        self._sessions.pop(session, None)

    def clear(self) -> None:
        """Forget all."""
        self._sessions.clear()

    def all(self) -> dict[int, list[Record]]:
        """A copy: session -> its records."""
        return {session: list(records) for session, records in self._sessions.items()}


def render(sessions: dict[int, list[Record]], last: int = 20) -> str:
    """The last records of each session as text, for a report."""
    parts: list[str] = []
    for session, records in sessions.items():
        skipped = f", the last {last} of {len(records)}" if len(records) > last else ""
        parts.append(f"session {session:#x}{skipped}:")
        parts.extend(f"  {each}" for each in records[-last:])
    return "\n".join(parts)


def error_name(code: int) -> str:
    """`OK`, `NO_NODE`, ..., or the number."""
    try:
        return Code(code).name
    except ValueError:
        return str(code)


def event_name(type: int) -> str:
    """`CREATED`, ..., or the number."""
    try:
        return EventType(type).name
    except ValueError:
        return str(type)


def paths_of(record: object) -> Iterable[str]:
    """Every path a decoded request names: its own, or those of the operations of a multi."""
    path = getattr(record, "path", None)
    if isinstance(path, str):
        yield path
    ops = getattr(record, "ops", ())
    for _, each in ops:
        yield from paths_of(each)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."
