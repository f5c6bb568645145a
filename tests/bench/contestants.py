"""The servers that are measured, each started when a stage needs it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.keepers import Keepers
from tests.processes import Cluster, Process, free_port, listening
from tests.servers import Consul, Etcd, ZooKeeper

QUIET = ("--log-level", "warning")


class Server(NamedTuple):
    """One that runs: where, and the processes that are it."""

    address: str
    pids: list[int]


Start = Callable[[], AbstractContextManager[Server]]


@contextmanager
def zookeeper() -> Iterator[Server]:
    """Apache ZooKeeper with the JVM's own defaults, but for the heap."""
    level = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    with ZooKeeper(java=[level, "-Djava.net.preferIPv4Stack=true", "-Xmx1g"]) as server:
        yield Server(server.hosts, [server.members[0].pid])


@contextmanager
def keeper(url: str, *flags: str) -> Iterator[Server]:
    """A keeper over a store."""
    with Keepers(url=url, flags=(*QUIET, *flags)) as keepers:
        yield Server(f"127.0.0.1:{keepers.ports[0]}", [keepers.members[0].pid])


def memory() -> AbstractContextManager[Server]:
    """A keeper over memory."""
    return keeper("memory://")


def sqlite() -> AbstractContextManager[Server]:
    """A keeper over SQLite."""
    return keeper("sqlite")


class Zetcd(Cluster):
    """zetcd over an etcd; the program is named by the environment variable ZETCD."""

    def __init__(self, etcd: Etcd) -> None:
        program = os.environ["ZETCD"]
        super().__init__()
        self.port = free_port()
        line = [program, "--zkaddr", f"127.0.0.1:{self.port}", "--endpoints", etcd.endpoints[0]]
        home = self._home("m0")
        self.members = [Process("zetcd", line, lambda: listening(self.port), home)]
        self.launch()


@contextmanager
def zetcd(etcd: Etcd) -> Iterator[Server]:
    """zetcd over an etcd that others use too."""
    with Zetcd(etcd) as server:
        yield Server(f"127.0.0.1:{server.port}", [server.members[0].pid])


def has_zetcd() -> bool:
    """Whether there is one."""
    return Path(os.environ.get("ZETCD", "/nowhere")).exists()


def etcd() -> Etcd:
    """An etcd of the version that zetcd still works with too."""
    return Etcd("3.5.16", flags=("--quota-backend-bytes", str(8 << 30)))


def consul() -> Consul:
    """A Consul."""
    return Consul()
