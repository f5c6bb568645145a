"""Words about the server and its connections: srvr stat cons conf envi dirs crst srst.

Line for line what ZooKeeper 3.9.3 prints (StatCommand, ConsCommand, ConfCommand, EnvCommand, DirsCommand), since
scrapers read it with regular expressions of a fixed order. Two things differ on purpose: the build date has the form
that go-zookeeper's older versions want, and a leader prints no proposal sizes, for there are no proposals.
"""

from __future__ import annotations

from typing import Final

from parkeeper.admin.status import Access, Peer, Server, Status
from parkeeper.wire.opcodes import OPERATIONS, Op

_OPENING: Final = "SESS"
_NOTHING: Final = "NA"


def srvr(status: Status) -> bytes:
    """Version, latencies, counts, mode."""
    server = status.server()
    return _lines(*_version(status, server), *_figures(server))


def stat(status: Status) -> bytes:
    """As `srvr`, with a line per connection."""
    server = status.server()
    clients = [_client(peer) + ")" for peer in status.peers()]
    return _lines(*_version(status, server), "Clients:", *clients, "", *_figures(server))


def cons(status: Status) -> bytes:
    """All that is known of each connection."""
    return _lines(*map(_connection, status.peers()), "")


def conf(status: Status) -> bytes:
    """The settings; below ZooKeeper's, those it has no word for."""
    settings = status.settings()
    directory, used = settings.directory or "", status.disk_use()
    return _lines(
        f"clientPort={settings.port or -1}",
        "secureClientPort=-1",
        f"dataDir={directory}",
        f"dataDirSize={used}",
        f"dataLogDir={directory}",
        f"dataLogSize={used}",
        f"tickTime={settings.tick_time}",
        f"maxClientCnxns={settings.max_connections}",
        f"minSessionTimeout={settings.min_session_timeout}",
        f"maxSessionTimeout={settings.max_session_timeout}",
        "clientPortListenBacklog=-1",
        f"serverId={settings.keeper}",
        *(f"{key}={value}" for key, value in settings.more),
    )


def envi(status: Status) -> bytes:
    """Where the server runs; clients take its version from here."""
    pairs = (("zookeeper.version", status.server().version), *status.environment())
    return _lines("Environment:", *(f"{key}={value}" for key, value in pairs))


def dirs(status: Status) -> bytes:
    """Bytes on this machine's disk."""
    used = status.disk_use()
    return _lines(f"datadir_size: {used}", f"logdir_size: {used}")


def crst(status: Status) -> bytes:
    """Connections' counters start anew."""
    status.forget_connections()
    return _lines("Connection stats reset.")


def srst(status: Status) -> bytes:
    """The server's counters start anew."""
    status.forget_server()
    return _lines("Server stats reset.")


def _version(status: Status, server: Server) -> list[str]:
    lines = [f"Zookeeper version: {server.version}"]
    if status.access() is Access.READ_ONLY:
        lines.append("READ-ONLY mode; serving only read-only clients")
    return lines


def _figures(server: Server) -> list[str]:
    latency = server.latency
    return [
        f"Latency min/avg/max: {int(latency.least)}/{round(latency.average, 4)}/{int(latency.most)}",
        f"Received: {server.received}",
        f"Sent: {server.sent}",
        f"Connections: {server.connections}",
        f"Outstanding: {server.outstanding}",
        f"Zxid: {hexadecimal(server.zxid)}",
        f"Mode: {server.mode}",
        f"Node count: {server.nodes + 1}",  # ZooKeeper counts its alias of the root
    ]


def _client(peer: Peer) -> str:
    return (
        f" {address(peer)}[{int(peer.reading)}](queued={peer.queued},recved={peer.received},sent={peer.sent}"
    )


def _connection(peer: Peer) -> str:
    if not peer.session:
        return _client(peer) + ")"
    latency = peer.latency
    cxid = f",lcxid={hexadecimal(peer.cxid)}" if peer.cxid >= 0 else ""
    return (
        f"{_client(peer)},sid={hexadecimal(peer.session)},lop={_last_operation(peer.op)},est={peer.established},"
        f"to={peer.timeout}{cxid},lzxid={hexadecimal(peer.zxid)},lresp={peer.responded},llat={int(peer.last)},"
        f"minlat={int(latency.least)},avglat={int(latency.average)},maxlat={int(latency.most)})"
    )


def _last_operation(op: int) -> str:
    if op == Op.CREATE_SESSION:
        return _OPENING
    operation = OPERATIONS.get(op)
    return (operation.last if operation else None) or _NOTHING


def address(peer: Peer) -> str:
    """A peer as Java prints one; IPv6 in brackets."""
    host = f"[{peer.host}]" if ":" in peer.host else peer.host
    return f"/{host}:{peer.port}"


def hexadecimal(number: int) -> str:
    """Of a Java long: one below 0 as its 64 bits."""
    return hex(number & 0xFFFF_FFFF_FFFF_FFFF)


def _lines(*lines: str) -> bytes:
    return "".join(line + "\n" for line in lines).encode(errors="replace")
