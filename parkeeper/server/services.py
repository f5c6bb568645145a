"""What a connection may use of its keeper: types only, so that nobody has to import the keeper."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from parkeeper.options import Options
from parkeeper.server.flusher import Flusher
from parkeeper.server.readiness import Readiness
from parkeeper.server.requests import Attachment, Request
from parkeeper.server.serving import Serving
from parkeeper.server.stats import ServerStats
from parkeeper.tree.replica import Replica
from parkeeper.tree.watches import WatchTable


class Lease(Protocol):
    """Until when this keeper may serve (PROTOCOL section 6)."""

    @property
    def deadline(self) -> float:
        """Trio time past which nothing is answered."""
        ...


class Sessions(Protocol):
    """The sessions this keeper holds the clocks of."""

    def new_id(self) -> int:
        """An id never used before."""
        ...

    def password(self, session: int) -> bytes:
        """The 16 bytes that prove a session is one's own."""
        ...

    def check_password(self, session: int, password: bytes) -> bool:
        """Whether these are the 16 bytes."""
        ...

    def attach(self, attachment: Attachment) -> None:
        """A connection holds its session from now on."""
        ...

    def detach(self, attachment: Attachment) -> None:
        """A connection ended; its session lives on until its time is up. Called once for each `attach`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The few things a connection is given.

    Args:
        options: of this keeper.
        replica: answers reads.
        watches: where reads leave their watches.
        sessions: ids, passwords, who is attached.
        submit: hands a write to the committer; never waits.
        room: waits while too much is in flight in the whole keeper.
        crowded: whether it is so now.
        join_sync: calls back once the replica has reached a `head()` that began after this call.
        catch_up: reaches a zxid that a client has seen; whether there is such a one.
        lease: until when anybody may be answered; readers look once per slice.
        flusher: sends what did not come from the reader.
        readiness: lets readers sleep through slices that need no waiting; None where the system has no epoll.
        stats: counters.
        now_ms: wall clock, ms since 1970.
        serving: whether anybody is answered.
        words: answers the four bytes of a four-letter word; None: they are no word.
    """

    options: Options
    replica: Replica
    watches: WatchTable
    sessions: Sessions
    submit: Callable[[Request], None]
    room: Callable[[], Awaitable[None]]
    crowded: Callable[[], bool]
    join_sync: Callable[[Callable[[], None]], None]
    catch_up: Callable[[int], Awaitable[bool]]
    lease: Lease
    flusher: Flusher
    readiness: Readiness | None
    stats: ServerStats
    now_ms: Callable[[], int]
    serving: Serving
    words: Callable[[bytes], bytes | None]
