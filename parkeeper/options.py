"""Every option and every limit, frozen, each with its unit, its default and its reason.

The command line and the embedded harness fill these in; nothing else in parkeeper reads the environment.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from parkeeper.errors import ConfigError

DEFAULT_WORDS = frozenset({"ruok", "srvr", "stat", "mntr", "conf", "isro", "dirs", "envi"})
"""Four-letter words answered by default: what health checks and scrapers ask for, nothing that lists clients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of what one peer can make us hold. Each refusal is logged with its reason, and counted.

    Args:
        frame: bytes of the largest request frame (`jute.maxbuffer`; ZooKeeper's default, 1 MiB - 1).
        slice: bytes a reader takes before it yields; of many small requests it yields earlier
            (`parkeeper.server.connection.REQUESTS_AT_ONCE`).
        parked: requests one connection may have waiting behind its own writes; reading stops above it.
        parked_bytes: bytes of the same.
        outbox_high: bytes waiting to be sent above which we stop reading from that peer.
        outbox: bytes waiting to be sent at which a peer that doesn't read is cut off.
        handshake: seconds a connection may take until its session is asked for (ZooKeeper: 10 s).
        close: seconds the last replies of a closing connection may take to be sent.
        batch: writes in one commit at most, if the store does not ask for fewer (`StoreLimits.batch`); positions go
            to 4095, a smaller batch keeps apply slices short.
        batch_parked: reads parked between the writes of one session that end a batch.
        spare_descriptors: file descriptors kept for the store and the admin port when connections use them up.
        in_flight: requests waiting to be committed in the whole keeper; readers pause above it.
        connections: connections in all, 0: what descriptors allow.
    """

    frame: int = 0xFFFFF
    slice: int = 4096
    parked: int = 4096
    parked_bytes: int = 4 << 20
    outbox_high: int = 1 << 20
    outbox: int = 64 << 20
    handshake: float = 10.0
    close: float = 2.0
    batch: int = 256
    batch_parked: int = 1024
    spare_descriptors: int = 64
    in_flight: int = 65536
    connections: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How one keeper behaves.

    Args:
        tick_time: ms of one tick: sessions expire in whole ticks.
        min_session_timeout: ms, 0: two ticks.
        max_session_timeout: ms, 0: twenty ticks.
        reap_interval: seconds between looks for expired TTL nodes and empty containers.
        container_unused: seconds a container that never had a child is kept (ZooKeeper: 300).
        max_connections_per_address: 0: no limit.
        super_digest: `user:base64(SHA1(user:password))` of the identity that passes every ACL, None: nobody.
        words: four-letter words that are answered; `*` alone: all.
        ttl_nodes: whether createTTL works (`extendedTypesEnabled`).
        hard_quotas: whether hard quotas refuse (`enforceQuota`).
        keeper_ttl: seconds without a new beat after which others declare this keeper dead; 0: the store's default.
        forget_after: seconds after which the head and fence of a dead keeper are forgotten.
        compact: compact the store's history behind the slowest keeper.
        store_wait: seconds to wait at start for a store that cannot be reached.
        stop_grace: seconds a clean stop may take for commits in flight and replies.
        addresses: what this keeper tells others of itself, `host:port`.
        own_process: whether Trio's run and its thread are parkeeper's alone: it may then sleep in Trio's stead
            (`parkeeper.server.dozing`).
        limits: see `Limits`.
    """

    tick_time: int = 2000
    min_session_timeout: int = 0
    max_session_timeout: int = 0
    reap_interval: float = 60.0
    container_unused: float = 300.0
    max_connections_per_address: int = 0
    super_digest: str | None = None
    words: frozenset[str] = DEFAULT_WORDS
    ttl_nodes: bool = True
    hard_quotas: bool = False
    keeper_ttl: float = 0.0
    forget_after: float = 6 * 3600.0
    compact: bool = False
    store_wait: float = 30.0
    stop_grace: float = 10.0
    addresses: tuple[str, ...] = ()
    own_process: bool = False
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.tick_time <= 0:
            raise ConfigError(f"the tick time must be above 0 ms, not {self.tick_time}")
        if self.least_timeout > self.most_timeout:
            raise ConfigError(
                f"the least session timeout ({self.least_timeout} ms) is above the most ({self.most_timeout} ms)"
            )

    @property
    def least_timeout(self) -> int:
        """Least session timeout in ms."""
        return self.min_session_timeout or 2 * self.tick_time

    @property
    def most_timeout(self) -> int:
        """Most session timeout in ms."""
        return self.max_session_timeout or 20 * self.tick_time

    def negotiate(self, asked: int) -> int:
        """The session timeout in ms for what a client asked (ZooKeeperServer.processConnectRequest)."""
        return min(max(asked, self.least_timeout), self.most_timeout)
