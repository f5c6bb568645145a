"""A keeper's status with given numbers: those of the ZooKeeper 3.9.3 whose answers the tests expect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from parkeeper.admin.status import (
    Access,
    Gauges,
    Monitor,
    Peer,
    Server,
    Sessions,
    Settings,
    Spread,
    Watching,
)

VERSION = "3.9.3-parkeeper-0.1.0, built on 11/24/2026 00:00 GMT"

SERVER = Server(
    version=VERSION,
    mode="standalone",
    latency=Spread(average=2.9, least=0.2, most=11.7, count=10, total=29.0),
    received=13,
    sent=12,
    connections=2,
    outstanding=0,
    zxid=4,
    nodes=7,
)

NOBODY_WATCHES = Watching(0, 0, 0)

NOTHING = Spread(average=0, least=0, most=0, count=0, total=0)

KAZOO = Peer(
    host="127.0.0.1",
    port=58538,
    reading=True,
    queued=0,
    received=10,
    sent=10,
    session=0x1000039C2B90000,
    op=3,
    established=1795558996723,
    timeout=10000,
    cxid=9,
    zxid=4,
    responded=4039363,
    latency=Spread(average=2.9, least=0, most=11, count=10, total=29),
    last=1.4,
    expires=1795559006723,
)

ASKER = Peer(
    host="127.0.0.1",
    port=58574,
    reading=False,
    queued=0,
    received=1,
    sent=0,
    session=0,
    op=0,
    established=1795558997000,
    timeout=0,
    cxid=-1,
    zxid=0,
    responded=0,
    latency=NOTHING,
    last=0,
    expires=1795559007000,
)

SETTINGS = Settings(
    port=22181,
    directory=Path("/var/lib/zk/version-2"),
    tick_time=2000,
    min_session_timeout=4000,
    max_session_timeout=40000,
    max_connections=60,
    keeper=0,
)

GAUGES = Gauges(
    num_alive_connections=2,
    outstanding_requests=0,
    uptime=254151,
    znode_count=7,
    watch_count=3,
    ephemerals_count=1,
    approximate_data_size=53,
    global_sessions=1,
)


@dataclass
class Given:
    """A `Status` that says what it was given."""

    can: Access = Access.READ_WRITE
    head: Server = SERVER
    clients: Sequence[Peer] = (KAZOO, ASKER)
    settled: Settings = SETTINGS
    around: Sequence[tuple[str, str]] = (("host.name", "localhost"), ("os.name", "Linux"))
    ends: Sessions = field(default_factory=lambda: Sessions(due=(), elsewhere=(), ephemerals=()))
    summary: Watching = NOBODY_WATCHES
    by_session: Sequence[tuple[int, Sequence[str]]] = ()
    by_path: Mapping[str, Sequence[int]] = field(default_factory=dict)
    figures: Monitor = field(default_factory=lambda: Monitor(gauges=GAUGES, counters={}, ops={}, spreads={}))
    used: int = 67109358
    forgot: list[str] = field(default_factory=list)

    def access(self) -> Access:
        return self.can

    def server(self) -> Server:
        return self.head

    def peers(self) -> Sequence[Peer]:
        return self.clients

    def settings(self) -> Settings:
        return self.settled

    def environment(self) -> Sequence[tuple[str, str]]:
        return self.around

    def sessions(self) -> Sessions:
        return self.ends

    def watching(self) -> Watching:
        return self.summary

    def watches_by_session(self) -> Sequence[tuple[int, Sequence[str]]]:
        return self.by_session

    def watches_by_path(self) -> Mapping[str, Sequence[int]]:
        return self.by_path

    def monitor(self) -> Monitor:
        return self.figures

    def disk_use(self) -> int:
        return self.used

    def forget_server(self) -> None:
        self.forgot.append("server")

    def forget_connections(self) -> None:
        self.forgot.append("connections")


@pytest.fixture
def given() -> type[Given]:
    """The class, for tests to fill in what matters to them."""
    return Given
