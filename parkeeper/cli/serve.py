"""`parkeeper serve`: its options, each an environment variable too. What happens then is in `parkeeper.cli.run`.

Imports here are paid for by every command; Trio, the store and the server come with `run`, when it is known that a
server is wanted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Exit, Option

from parkeeper.cli.addresses import parse_address, parse_addresses
from parkeeper.cli.settings import Plan, default_url, secret, words
from parkeeper.errors import ConfigError
from parkeeper.log import Format, Level
from parkeeper.options import DEFAULT_WORDS, Limits, Options
from parkeeper.store.keys import DEFAULT_NAMESPACE
from parkeeper.store.urls import SCHEMES, StoreOptions

_DEFAULT = Options()
_LIMITS = Limits()


def serve(
    backend_url: Annotated[
        str,
        Option(
            envvar="PARKEEPER_BACKEND_URL",
            show_default="a SQLite file in $XDG_STATE_HOME/parkeeper or ~/.local/state/parkeeper",
            help=f"The store: {SCHEMES}. Keepers with the same one form an ensemble (etcd, Consul).",
        ),
    ] = "",
    bind_addr: Annotated[
        list[str] | None,
        Option(
            envvar="PARKEEPER_BIND_ADDR",
            metavar="HOST:PORT",
            show_default="0.0.0.0:2181",
            help="Where clients come in; may be repeated (in the environment: separated by blanks). Port 0: any free one, "
            "see --ready-file. [::]:2181 is IPv6, :2181 both.",
        ),
    ] = None,
    namespace: Annotated[
        str,
        Option(
            envvar="PARKEEPER_NAMESPACE",
            help="Prefix of all keys in the store; each one is a tree of its own.",
        ),
    ] = DEFAULT_NAMESPACE,
    data_prefix: Annotated[
        str | None,
        Option(
            envvar="PARKEEPER_DATA_PREFIX",
            show_default="data/ in the namespace",
            help="Prefix of the keys that hold znodes' data, for native programs to read; with / znode /services/web is "
            "the etcd key /services/web. Chosen when the namespace is made, and fixed from then on.",
        ),
    ] = None,
    tick_time: Annotated[
        int, Option(envvar="PARKEEPER_TICK_TIME", metavar="MS", min=1, help="Sessions expire in whole ticks.")
    ] = _DEFAULT.tick_time,
    min_session_timeout: Annotated[
        int,
        Option(
            envvar="PARKEEPER_MIN_SESSION_TIMEOUT",
            metavar="MS",
            min=0,
            show_default="2 ticks",
            help="Least session timeout a client gets.",
        ),
    ] = 0,
    max_session_timeout: Annotated[
        int,
        Option(
            envvar="PARKEEPER_MAX_SESSION_TIMEOUT",
            metavar="MS",
            min=0,
            show_default="20 ticks",
            help="Longest session timeout a client gets.",
        ),
    ] = 0,
    store_wait: Annotated[
        float,
        Option(
            envvar="PARKEEPER_STORE_WAIT",
            metavar="S",
            min=0,
            help="How long to wait at the start for a store that cannot be reached or has no leader; then exit 1. Wrong "
            "credentials (3) and an unknown format (4) are not waited for. Later, a store is waited for without end.",
        ),
    ] = _DEFAULT.store_wait,
    reap_interval: Annotated[
        float,
        Option(
            envvar="PARKEEPER_REAP_INTERVAL",
            metavar="S",
            min=0.001,
            help="Between two looks for expired TTL nodes and empty containers.",
        ),
    ] = _DEFAULT.reap_interval,
    max_connections_per_address: Annotated[
        int,
        Option(
            envvar="PARKEEPER_MAX_CONNECTIONS_PER_ADDRESS",
            min=0,
            help="Connections one address may have (with --workers: at each worker). 0: no limit.",
        ),
    ] = _DEFAULT.max_connections_per_address,
    jute_maxbuffer: Annotated[
        int,
        Option(
            envvar="PARKEEPER_JUTE_MAXBUFFER",
            metavar="BYTES",
            min=1,
            max=(1 << 31) - 1,
            help="Largest request; a connection that sends a larger one ends.",
        ),
    ] = _LIMITS.frame,
    super_digest: Annotated[
        str | None,
        Option(
            envvar="PARKEEPER_SUPER_DIGEST",
            metavar="USER:DIGEST",
            help="Who proves to be this by digest authentication passes every ACL. DIGEST is the base64 of the SHA-1 of "
            "USER:PASSWORD. Better set in the environment: command lines are read by others.",
        ),
    ] = None,
    whitelist: Annotated[
        str,
        Option(
            "--4lw-whitelist",
            envvar="PARKEEPER_4LW_WHITELIST",
            metavar="WORD,...",
            help="Four-letter words that are answered; * for all.",
        ),
    ] = ",".join(sorted(DEFAULT_WORDS)),
    ttl_nodes: Annotated[
        bool,
        Option(envvar="PARKEEPER_TTL_NODES", help="Whether clients may create nodes with a time to live."),
    ] = _DEFAULT.ttl_nodes,
    hard_quotas: Annotated[
        bool,
        Option(
            envvar="PARKEEPER_HARD_QUOTAS",
            help="Whether hard quotas refuse; soft ones are logged in any case.",
        ),
    ] = _DEFAULT.hard_quotas,
    keeper_ttl: Annotated[
        float,
        Option(
            envvar="PARKEEPER_KEEPER_TTL",
            metavar="S",
            min=0,
            show_default="6, on Consul 20",
            help="Without a heartbeat for so long, a keeper is declared dead by the others, and its sessions are theirs.",
        ),
    ] = 0,
    stop_grace: Annotated[
        float,
        Option(
            envvar="PARKEEPER_STOP_GRACE",
            metavar="S",
            min=0,
            help="How long a clean stop may take for commits in flight and replies.",
        ),
    ] = _DEFAULT.stop_grace,
    ready_file: Annotated[
        Path | None,
        Option(
            envvar="PARKEEPER_READY_FILE",
            help="A file that exists while clients are served: the bound addresses, one a line.",
        ),
    ] = None,
    workers: Annotated[
        int,
        Option(
            envvar="PARKEEPER_WORKERS",
            min=1,
            help="Processes that share the port, each a keeper of its own. More than one needs a store that processes can "
            "share: etcd or Consul.",
        ),
    ] = 1,
    control_addr: Annotated[
        str,
        Option(
            envvar="PARKEEPER_CONTROL_ADDR",
            metavar="HOST:PORT",
            show_default="none",
            help="For tests: an HTTP port that takes commands (`parkeeper control`): end sessions, lose replies, put the "
            "time forward. Each --bind-addr becomes a keeper of its own. Loopback only. Port 0: any free one, see the line "
            "`control HOST:PORT` of --ready-file.",
        ),
    ] = "",
    control_open: Annotated[
        bool,
        Option(
            envvar="PARKEEPER_CONTROL_OPEN",
            help="Let the control port be reached from other machines. Whoever reaches it may do anything.",
        ),
    ] = False,
    log_level: Annotated[
        Level, Option(envvar="PARKEEPER_LOG_LEVEL", help="The least that is logged.")
    ] = Level.INFO,
    log_format: Annotated[
        Format,
        Option(envvar="PARKEEPER_LOG_FORMAT", help="Lines for people, or a JSON object a line; to stderr."),
    ] = Format.TEXT,
    store_user: Annotated[
        str | None, Option(envvar="PARKEEPER_STORE_USER", help="etcd user; none: no authentication.")
    ] = None,
    store_password_file: Annotated[
        Path | None,
        Option(
            envvar="PARKEEPER_STORE_PASSWORD_FILE",
            help="File with the etcd user's password. Or set PARKEEPER_STORE_PASSWORD to the password itself.",
        ),
    ] = None,
    store_token_file: Annotated[
        Path | None,
        Option(
            envvar="PARKEEPER_STORE_TOKEN_FILE",
            help="File with the Consul ACL token. Or set PARKEEPER_STORE_TOKEN to the token itself.",
        ),
    ] = None,
    store_ca_file: Annotated[
        Path | None,
        Option(
            envvar="PARKEEPER_STORE_CA_FILE",
            show_default="the system's",
            help="PEM file of the authorities the store's certificate may come from (etcds, consuls).",
        ),
    ] = None,
    store_cert_file: Annotated[
        Path | None,
        Option(
            envvar="PARKEEPER_STORE_CERT_FILE",
            help="PEM file of our certificate, for a store that asks for one.",
        ),
    ] = None,
    store_key_file: Annotated[
        Path | None, Option(envvar="PARKEEPER_STORE_KEY_FILE", help="PEM file of that certificate's key.")
    ] = None,
    consul_datacenter: Annotated[
        str | None,
        Option(
            envvar="PARKEEPER_CONSUL_DATACENTER",
            show_default="that of the agent asked",
            help="Consul datacenter.",
        ),
    ] = None,
    max_txn_ops: Annotated[
        int | None,
        Option(
            envvar="PARKEEPER_MAX_TXN_OPS",
            min=16,
            show_default="as the store's default: etcd 128, Consul 64",
            help="Operations in one transaction; what etcd was given as --max-txn-ops.",
        ),
    ] = None,
    max_request_bytes: Annotated[
        int | None,
        Option(
            envvar="PARKEEPER_MAX_REQUEST_BYTES",
            metavar="BYTES",
            min=4096,
            show_default="as the store's default: etcd 1.5 MiB, Consul 512 KiB",
            help="Size of one transaction; what etcd was given as --max-request-bytes.",
        ),
    ] = None,
    compact: Annotated[
        bool,
        Option(
            envvar="PARKEEPER_COMPACT",
            help="Compact etcd's history behind the slowest keeper. Only where the etcd serves nobody else and its own "
            "auto-compaction is off.",
        ),
    ] = _DEFAULT.compact,
) -> None:
    """Serve the ZooKeeper protocol from a store, until SIGTERM or SIGINT.

    Each option is also an environment variable; the command line wins.
    """
    if (store_cert_file is None) != (store_key_file is None):
        raise ConfigError("--store-cert-file and --store-key-file go together")
    bind = parse_addresses(bind_addr or ["0.0.0.0:2181"])
    if not bind:
        raise ConfigError("--bind-addr names no address")
    options = Options(
        tick_time=tick_time,
        min_session_timeout=min_session_timeout,
        max_session_timeout=max_session_timeout,
        reap_interval=reap_interval,
        max_connections_per_address=max_connections_per_address,
        super_digest=super_digest or None,
        words=words(whitelist),
        ttl_nodes=ttl_nodes,
        hard_quotas=hard_quotas,
        keeper_ttl=keeper_ttl,
        compact=compact,
        store_wait=store_wait,
        stop_grace=stop_grace,
        own_process=True,
        limits=Limits(frame=jute_maxbuffer),
    )
    store = StoreOptions(
        namespace=namespace,
        data_prefix=data_prefix,
        user=store_user,
        password=secret("PARKEEPER_STORE_PASSWORD", store_password_file),
        token=secret("PARKEEPER_STORE_TOKEN", store_token_file),
        ca_file=store_ca_file,
        cert_file=store_cert_file,
        key_file=store_key_file,
        datacenter=consul_datacenter,
        keeper_ttl=keeper_ttl or None,
        max_txn_ops=max_txn_ops,
        max_request_bytes=max_request_bytes,
        compact=compact,
    )
    plan = Plan(
        url=backend_url or default_url(),
        bind=bind,
        options=options,
        store=store,
        ready_file=ready_file,
        workers=workers,
        level=log_level,
        form=log_format,
        control=parse_address(control_addr) if control_addr else None,
        control_open=control_open,
    )
    from parkeeper.cli.run import run

    raise Exit(run(plan))
