"""A store's URL to its adapter: the only place that knows all adapters, and imports none before it is asked for.

(The start of `parkeeper serve` on sqlite must not pay for httpx.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from parkeeper.errors import ConfigError
from parkeeper.store.facade import Store
from parkeeper.store.keys import DEFAULT_NAMESPACE

SCHEMES = (
    "memory://  memory://NAME  sqlite:///PATH  etcd://HOST:PORT[,HOST:PORT...]  etcds://...  "
    "consul://HOST:PORT[,HOST:PORT...]  consuls://..."
)


@dataclass(frozen=True, kw_only=True)
class StoreOptions:
    """How to use a store, beside its URL. An adapter ignores what it has no use for.

    Args:
        namespace: prefix of all keys, ends in `/`; keepers with the same one form one ensemble.
        data_prefix: prefix of the keys with znodes' data, ends in `/`; None: `data/` in the namespace. Is written
            into `meta` when the namespace is made, and can't be changed afterwards.
        user: etcd user; None: no authentication. Consul and the embedded stores have no users.
        password: of that user.
        token: Consul ACL token (`X-Consul-Token`); None: the anonymous one.
        ca_file: PEM file of the authorities whose certificate the store may show; None: the system's.
        cert_file: PEM file of our own certificate, for a store that asks for one; with `key_file`.
        key_file: PEM file of its key.
        datacenter: Consul datacenter; None: that of the agent asked.
        keeper_ttl: seconds without a new beat after which this keeper may be declared dead; None: the store's
            default (`StoreLimits.keeper_ttl`). Adapters derive the time for one try of a beat from it (TTL / 6).
        max_txn_ops: operations in one transaction; None: the server's default (etcd `--max-txn-ops` 128; Consul
            64, fixed; embedded stores 4096).
        max_request_bytes: bytes of one transaction; None: the server's default (etcd `--max-request-bytes`
            1.5 MiB; Consul 512 KiB, or what `/v1/agent/self` tells of `txn_max_req_len`; embedded 8 MiB).
        compact: compact etcd's history behind the slowest keeper. For a cluster that serves nobody else, and
            compacts nothing by itself (`--auto-compaction-retention` 0, the default).
        history: how many events the embedded stores keep for `follow`; beyond it a follower gets `Compacted`.
    """

    namespace: str = DEFAULT_NAMESPACE
    data_prefix: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    datacenter: str | None = None
    keeper_ttl: float | None = None
    max_txn_ops: int | None = None
    max_request_bytes: int | None = None
    compact: bool = False
    history: int = 10_000


def open_store(url: str, options: StoreOptions) -> Store:
    """The adapter for a URL, not opened yet.

    Args:
        url: see `SCHEMES`. An IPv6 address stands in brackets; a port may be left out (etcd 2379, Consul 8500,
            with TLS 8501). What follows `sqlite://` is the path as it is, so an absolute one has three slashes.
            `memory://` is a store of its own; `memory://NAME` is shared by all who ask for it in this process.

    Raises:
        ConfigError: no such scheme, or an address or option that can't be obeyed.
    """
    scheme, separator, rest = url.partition("://")
    adapter = _ADAPTERS.get(scheme) if separator else None
    if adapter is None:
        raise ConfigError(f"{url!r} is no store; there are: {SCHEMES}")
    return adapter(rest, options)


def endpoints(url_rest: str, port: int) -> list[tuple[str, int]]:
    """Addresses of `HOST[:PORT][,...]`, in order.

    Args:
        url_rest: what follows `://`.
        port: where none is given.

    Raises:
        ConfigError: an empty host, a port outside 1..65535, or anything after the addresses.
    """
    return [_endpoint(part, port) for part in url_rest.removesuffix("/").split(",")]


def _endpoint(text: str, default: int) -> tuple[str, int]:
    if "@" in text:
        raise ConfigError(
            "no user or password in a store's URL: command lines are read by others; use the options"
        )
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        colon, port = rest[:1], rest[1:]
        well_formed = bool(bracket) and colon in ("", ":")
    else:
        host, colon, port = text.partition(":")
        well_formed = True
    if colon:
        well_formed = well_formed and port.isascii() and port.isdigit() and 0 < int(port) <= 65535
    if not well_formed or not host or any(character in "/?#[] " for character in host):
        raise ConfigError(f"{text!r} is not an address; expected HOST:PORT, or [IPV6]:PORT")
    return host, int(port) if colon else default


def _memory(rest: str, options: StoreOptions) -> Store:
    from parkeeper.store.memory import MemoryServer, MemoryStore, named_server

    return MemoryStore(named_server(rest) if rest else MemoryServer(), options)


def _sqlite(rest: str, options: StoreOptions) -> Store:
    from parkeeper.store.sqlite import SqliteStore

    if not rest:
        raise ConfigError(
            "sqlite:// needs the path of a file, as in sqlite:///var/lib/parkeeper/parkeeper.db"
        )
    return SqliteStore(Path(rest), options)


def _etcd(rest: str, options: StoreOptions, tls: bool = False) -> Store:
    from parkeeper.store.etcd.store import EtcdStore

    return EtcdStore(endpoints(rest, 2379), tls, options)


def _consul(rest: str, options: StoreOptions, tls: bool = False) -> Store:
    from parkeeper.store.consul.store import ConsulStore

    return ConsulStore(endpoints(rest, 8501 if tls else 8500), tls, options)


_ADAPTERS: Mapping[str, Callable[[str, StoreOptions], Store]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "etcd": _etcd,
    "etcds": lambda rest, options: _etcd(rest, options, tls=True),
    "consul": _consul,
    "consuls": lambda rest, options: _consul(rest, options, tls=True),
}
