"""What a keeper tells of itself: the numbers behind the four-letter words, as plain values.

The server implements `Status` over its own objects; the words print it. Neither knows the other. Fields that have a
name in ZooKeeper's `mntr` bear that name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple, Protocol


class Access(Enum):
    """Who is answered; the value is what `isro` says."""

    READ_WRITE = "rw"
    READ_ONLY = "ro"
    NOBODY = "null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How a time was spread, in ms.

    Args:
        average, least, most: 0 while there is none.
        count, total: how many, and their sum.
        quantiles: (name in mntr, value), for instance ("p99", 3.0).
    """

    average: float
    least: float
    most: float
    count: int
    total: float
    quantiles: Sequence[tuple[str, float]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The head of `srvr` and `stat`.

    Args:
        version: `3.9.3-..., built on 01/02/2006 15:04 GMT`.
        mode: standalone, leader, follower or read-only.
        latency: ms from a request's receipt to its answer.
        received, sent: packets since the start or the last `srst`.
        connections: open ones, those without a session too.
        outstanding: requests received and not answered yet.
        zxid: of the last write applied.
        nodes: znodes, the root among them.
    """

    version: str
    mode: str
    latency: Spread
    received: int
    sent: int
    connections: int
    outstanding: int
    zxid: int
    nodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A client's connection.

    Args:
        host, port: where it comes from.
        reading: False while we don't take requests from it.
        queued: its requests not answered yet.
        received, sent: packets.
        session: its id, 0 before there is one; the rest counts only with one.
        op: opcode of its last request, 0 before there is one.
        established, responded: wall clock ms of the connection's begin and of the last reply.
        timeout: of the session, ms.
        cxid: xid of the last request, below 0 before there is one.
        zxid: in the header of the last reply.
        latency: ms; `last` is that of the last request.
        expires: wall clock ms at which the connection ends if nothing comes.
    """

    host: str
    port: int
    reading: bool
    queued: int
    received: int
    sent: int
    session: int
    op: int
    established: int
    timeout: int
    cxid: int
    zxid: int
    responded: int
    latency: Spread
    last: float
    expires: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `conf` prints.

    Args:
        port: the client port, 0 before there is one.
        directory: where data lies on this machine, None: nowhere.
        tick_time, min_session_timeout, max_session_timeout: ms.
        max_connections: per address, 0: no limit.
        keeper: our id in the store, 0 before there is one.
        more: what ZooKeeper has no word for, as (key, value).
    """

    port: int
    directory: Path | None
    tick_time: int
    min_session_timeout: int
    max_session_timeout: int
    max_connections: int
    keeper: int
    more: Sequence[tuple[str, str]] = ()


class Due(NamedTuple):
    """A session whose clock this keeper holds, and the wall clock ms at which it ends if nothing comes."""

    session: int
    expires: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """What `dump` tells of sessions.

    Args:
        due: those whose clocks this keeper holds.
        elsewhere: (session, timeout in ms) of those that other keepers hold.
        ephemerals: (session, its ephemerals' paths) of all.
    """

    due: Sequence[Due]
    elsewhere: Sequence[tuple[int, int]]
    ephemerals: Sequence[tuple[int, Sequence[str]]]


class Watching(NamedTuple):
    """What `wchs` counts: watching connections, watched paths, and pairs of both; child watches left out."""

    connections: int
    paths: int
    watches: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """What goes up and down, by its name in `mntr`; None: not known here, and left out.

    `znode_count` is without ZooKeeper's alias of the root, which `mntr` adds. `uptime` is in ms. A local session is
    a kind that parkeeper does not have.
    """

    num_alive_connections: int
    outstanding_requests: int
    uptime: int
    znode_count: int
    watch_count: int
    ephemerals_count: int
    approximate_data_size: int
    global_sessions: int
    local_sessions: int = 0
    open_file_descriptor_count: int | None = None
    max_file_descriptor_count: int | None = None
    synced_followers: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """What `mntr` prints beside the version, the state and the gauges.

    Args:
        counters: since the start or the last `srst`, by their names in `mntr`.
        ops: requests per opcode.
        spreads: times in ms, by their names in `mntr`.
    """

    gauges: Gauges
    counters: Mapping[str, int]
    ops: Mapping[int, int]
    spreads: Mapping[str, Spread]


class Status(Protocol):
    """A keeper, as operators see it."""

    def access(self) -> Access:
        """Who is answered now."""
        ...

    def server(self) -> Server:
        """For `srvr`, `stat` and `mntr`."""
        ...

    def peers(self) -> Sequence[Peer]:
        """All connections, that of the asker too."""
        ...

    def settings(self) -> Settings:
        """For `conf`."""
        ...

    def environment(self) -> Sequence[tuple[str, str]]:
        """For `envi`, without the version, which stands first."""
        ...

    def sessions(self) -> Sessions:
        """For `dump`."""
        ...

    def watching(self) -> Watching:
        """For `wchs`."""
        ...

    def watches_by_session(self) -> Sequence[tuple[int, Sequence[str]]]:
        """For `wchc`: the session of every watching connection, with the paths it watches."""
        ...

    def watches_by_path(self) -> Mapping[str, Sequence[int]]:
        """For `wchp`: every watched path with the sessions that watch it."""
        ...

    def monitor(self) -> Monitor:
        """For `mntr`."""
        ...

    def disk_use(self) -> int:
        """Bytes of what is kept on this machine, 0 if nothing is."""
        ...

    def forget_server(self) -> None:
        """Start the server's counters anew (`srst`)."""
        ...

    def forget_connections(self) -> None:
        """Start the counters of all connections anew (`crst`)."""
        ...
