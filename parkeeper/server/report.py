"""What a keeper tells operators: `parkeeper.admin.status.Status` over the server's objects.

Everything is looked up when it is asked for, so it is right across incarnations; between two of them, when there is no
replica to tell of, figures of the tree are 0 (and nobody is served: most words say only that).
"""

from __future__ import annotations

import os
import platform
import pwd
import resource
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import trio

from parkeeper.admin.status import (
    Access,
    Due,
    Gauges,
    Monitor,
    Peer,
    Server,
    Sessions,
    Settings,
    Spread,
    Watching,
)
from parkeeper.server.keeper import Keeper
from parkeeper.server.sessions import LocalSessions
from parkeeper.server.stats import ConnectionStats, Histogram, Latency
from parkeeper.version import FULL_VERSION, VERSION

_QUANTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999))


@dataclass(frozen=True, slots=True)
class About:
    """What operators are told of how the keeper was started.

    Args:
        store: its URL; holds no secrets.
        namespace: prefix of its keys.
        worker: `2/4` where several processes share a port, None: there is one.
        file: the file of an embedded store, None: nothing is kept on this machine.
    """

    store: str
    namespace: str
    worker: str | None = None
    file: Path | None = None


class Report:
    """A keeper's status.

    Args:
        keeper: whose.
        about: how it was started.
    """

    def __init__(self, keeper: Keeper, about: About) -> None:
        self._keeper = keeper
        self._about = about

    def access(self) -> Access:
        """Who is answered now."""
        serving = self._keeper.serving
        if not serving.open or self._keeper.services is None:
            return Access.NOBODY
        return Access.READ_ONLY if serving.read_only else Access.READ_WRITE

    def server(self) -> Server:
        """Version, mode and the figures of srvr."""
        stats, services = self._keeper.stats, self._keeper.services
        return Server(
            version=FULL_VERSION,
            mode=self._mode(),
            latency=_spread(stats.latency),
            received=stats.received,
            sent=stats.sent,
            connections=len(stats.connections),
            outstanding=stats.outstanding,
            zxid=services.replica.zxid if services else 0,
            nodes=len(services.replica.nodes) if services else 0,
        )

    def peers(self) -> Sequence[Peer]:
        """All connections, in the order they came."""
        sessions = self._sessions()
        peers = sorted(self._keeper.stats.connections, key=lambda each: each.established)
        return [self._peer(each, sessions) for each in peers]

    def settings(self) -> Settings:
        """Options, and what ZooKeeper has no word for."""
        options, about = self._keeper.options, self._about
        more = [
            ("parkeeper.backend", about.store),
            ("parkeeper.namespace", about.namespace),
            ("parkeeper.keeperTtl", str(options.keeper_ttl or self._keeper.store.limits.keeper_ttl)),
        ]
        if about.worker is not None:
            more.append(("parkeeper.worker", about.worker))
        bound = self._keeper.bound
        return Settings(
            port=bound[0][1] if bound else 0,
            directory=about.file.parent if about.file else None,
            tick_time=options.tick_time,
            min_session_timeout=options.least_timeout,
            max_session_timeout=options.most_timeout,
            max_connections=options.max_connections_per_address,
            keeper=self._id(),
            more=more,
        )

    def environment(self) -> Sequence[tuple[str, str]]:
        """Host, interpreter, system and user."""
        system = os.uname()
        user, home = _user()
        pairs = [
            ("host.name", socket.gethostname()),
            ("parkeeper.version", VERSION),
            ("python.version", platform.python_version()),
            ("python.home", sys.prefix),
            ("os.name", system.sysname),
            ("os.arch", system.machine),
            ("os.version", system.release),
            ("user.name", user),
            ("user.home", home),
            ("user.dir", os.getcwd()),
        ]
        if self._about.worker is not None:
            pairs.append(("parkeeper.worker", self._about.worker))
        return pairs

    def sessions(self) -> Sessions:
        """Those with a clock here, those with one elsewhere, and all ephemerals."""
        services, local = self._keeper.services, self._sessions()
        if services is None or local is None:
            return Sessions(due=(), elsewhere=(), ephemerals=())
        replica = services.replica
        due: list[Due] = []
        for clocks in (local.clocks, local.orphans):
            for session, end in clocks.deadlines():
                attachment = local.attachments.get(session)
                if attachment is not None:
                    end = max(end, attachment.touched + attachment.timeout / 1000)
                due.append(Due(session, self._wall(end)))
        here = {each.session for each in due}
        return Sessions(
            due=due,
            elsewhere=[(id, each.timeout) for id, each in replica.sessions.items() if id not in here],
            ephemerals=[(id, replica.ephemerals.of(id)) for id in replica.ephemerals.sessions()],
        )

    def watching(self) -> Watching:
        """Connections, paths and watches."""
        services = self._keeper.services
        return Watching(*services.watches.summary()) if services else Watching(0, 0, 0)

    def watches_by_session(self) -> Sequence[tuple[int, Sequence[str]]]:
        """Sessions and what they watch."""
        services = self._keeper.services
        return services.watches.by_session() if services else ()

    def watches_by_path(self) -> Mapping[str, Sequence[int]]:
        """Paths and who watches them."""
        services = self._keeper.services
        return services.watches.by_path() if services else {}

    def monitor(self) -> Monitor:
        """The figures of mntr."""
        stats, commits = self._keeper.stats, self._keeper.commits
        counters = {
            "connection_request_count": stats.asked,
            "connection_rejected": stats.rejected,
            "connection_drop_count": stats.dropped,
            "sessionless_connections_expired": stats.late_handshakes,
            "large_requests_rejected": stats.large_requests,
            "auth_failed_count": stats.auth_failed,
            "bytes_received_count": stats.bytes_received,
            "response_bytes": max(0, stats.bytes_sent - stats.event_bytes),
            "watch_bytes": stats.event_bytes,
            "parkeeper_watch_events": stats.events,
            "parkeeper_slow_readers_cut_off": stats.cut_off,
            "parkeeper_connections_crashed": stats.crashed,
            "commit_count": commits.commits,
        }
        for field in fields(commits):
            if field.name != "commits":
                count: int = getattr(commits, field.name)
                counters[f"parkeeper_{field.name}_count"] = count
        counters["parkeeper_keeper"] = self._id()
        if self._about.worker is not None:
            counters["parkeeper_worker"] = int(self._about.worker.partition("/")[0])
        spreads = {"readlatency": _spread(stats.reads), "updatelatency": _spread(stats.updates)}
        return Monitor(gauges=self._gauges(), counters=counters, ops=stats.ops, spreads=spreads)

    def disk_use(self) -> int:
        """Bytes of the store's file and those beside it with its name (SQLite's log)."""
        file, used = self._about.file, 0
        if file is not None:
            for each in (file, file.with_name(file.name + "-wal"), file.with_name(file.name + "-shm")):
                with suppress(FileNotFoundError):
                    used += each.stat().st_size
        return used

    def forget_server(self) -> None:
        """srst."""
        self._keeper.stats.reset()

    def forget_connections(self) -> None:
        """crst."""
        for each in self._keeper.stats.connections:
            each.reset()

    def _gauges(self) -> Gauges:
        stats, services = self._keeper.stats, self._keeper.services
        replica = services.replica if services else None
        return Gauges(
            num_alive_connections=len(stats.connections),
            outstanding_requests=stats.outstanding,
            uptime=stats.uptime_ms,
            znode_count=len(replica.nodes) if replica else 0,
            watch_count=services.watches.count if services else 0,
            ephemerals_count=replica.ephemerals.count if replica else 0,
            approximate_data_size=replica.data_size if replica else 0,
            global_sessions=len(replica.sessions) if replica else 0,
            open_file_descriptor_count=_descriptors(),
            max_file_descriptor_count=_most_descriptors(),
            synced_followers=len(replica.registry.keepers) - 1
            if replica and self._mode() == "leader"
            else None,
        )

    def _mode(self) -> str:
        """standalone for a keeper alone, else leader for the janitor and follower for all others."""
        services = self._keeper.services
        if self._keeper.serving.read_only:
            return "read-only"
        if services is None or len(services.replica.registry.keepers) <= 1:
            return "standalone"
        return "leader" if services.replica.registry.eldest == self._id() else "follower"

    def _id(self) -> int:
        return self._keeper.incarnation.keeper if self._keeper.incarnation else 0

    def _sessions(self) -> LocalSessions | None:
        return (
            self._keeper.incarnation.sessions if self._keeper.services and self._keeper.incarnation else None
        )

    def _peer(self, stats: ConnectionStats, sessions: LocalSessions | None) -> Peer:
        held = sessions.attachments.get(stats.session) if sessions and stats.session else None
        if held is not None:
            expires = self._wall(held.touched + held.timeout / 1000)
        else:
            expires = stats.established + int(self._keeper.options.limits.handshake * 1000)
        return Peer(
            host=stats.host,
            port=stats.port,
            reading=stats.session
            != 0,  # whoever asks for a word is not listened to any more, as in ZooKeeper
            queued=len(stats.queue),
            received=stats.received,
            sent=stats.sent,
            session=stats.session,
            op=stats.op,
            established=stats.established,
            timeout=stats.timeout,
            cxid=stats.xid,
            zxid=stats.zxid,
            responded=stats.responded,
            latency=_spread(stats.latency),
            last=stats.latency.last,
            expires=expires,
        )

    def _wall(self, when: float) -> int:
        """Wall clock ms of a Trio time."""
        return self._keeper.stats.now_ms() + int((when - trio.current_time()) * 1000)


def _spread(latency: Latency) -> Spread:
    return Spread(
        average=latency.average,
        least=latency.least,
        most=latency.most,
        count=latency.count,
        total=latency.total,
        quantiles=_quantiles(latency) if isinstance(latency, Histogram) else (),
    )


def _quantiles(times: Histogram) -> Sequence[tuple[str, float]]:
    return [(name, times.quantile(share)) for name, share in _QUANTILES]


def _descriptors() -> int | None:
    with suppress(OSError):
        return len(os.listdir("/dev/fd"))
    return None


def _most_descriptors() -> int | None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def _user() -> tuple[str, str]:
    """Name and home of who we run as; a number where there is no entry, as in many containers."""
    try:
        entry = pwd.getpwuid(os.getuid())
    except KeyError:
        return str(os.getuid()), os.environ.get("HOME", "?")
    return entry.pw_name, entry.pw_dir
