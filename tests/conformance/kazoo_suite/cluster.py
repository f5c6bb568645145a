"""A stand-in for kazoo's cluster class: three keepers where kazoo would drive three Java servers.

Loaded into the pytest that runs `kazoo.tests` with `-p`. KAZOO_SUITE_BACKEND says over which store: `memory` (three
keepers in this process) or the URL of a real one (three processes).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from typing import ClassVar

import kazoo.testing.common
import kazoo.testing.harness

from parkeeper.options import Options
from parkeeper.testing import Ensemble
from tests.keepers import Keepers
from tests.processes import Process

SUPER = "super:D/InIHSb7yEEbrWz8b9l71RjZJU="
"""super:test, which kazoo's harness gives to the Java servers as well."""

TICK = 2000


class InProcess:
    """One keeper of an ensemble in this process, with the words of kazoo's ManagedZooKeeper."""

    def __init__(self, ensemble: Ensemble, number: int) -> None:
        self._ensemble = ensemble
        self._number = number
        self.running = True
        self.address = self.secure_address = ensemble.host(number)

    def run(self) -> None:
        if not self.running:
            self._ensemble.start(self._number)
            self.running = True

    def stop(self) -> None:
        if self.running:
            self._ensemble.stop(self._number)
            self.running = False

    def get_logs(self) -> list[str]:
        return []


class Apart:
    """One keeper that is a process of its own."""

    def __init__(self, process: Process, address: str) -> None:
        self._process = process
        self.address = self.secure_address = address

    @property
    def running(self) -> bool:
        return self._process.alive

    def run(self) -> None:
        if not self._process.alive:
            self._process.start()

    def stop(self) -> None:
        self._process.stop()

    def get_logs(self) -> list[str]:
        return self._process.tail().splitlines()


class Cluster:
    """What `kazoo.testing.harness` asks of a ZookeeperCluster; the rest of its arguments mean nothing here."""

    _ports: ClassVar[Sequence[int] | None] = None
    """Of the first one, for all: a test that has its cluster made anew goes on with the addresses it knows."""

    def __init__(self, size: int = 3, **_: object) -> None:
        self._size = size
        self._servers: list[InProcess] | list[Apart] = []
        self._close = lambda: None

    def _begin(self) -> None:
        backend = os.environ["KAZOO_SUITE_BACKEND"]
        if backend == "memory":
            ensemble = Ensemble(
                keepers=self._size,
                options=Options(tick_time=TICK, super_digest=SUPER, words=frozenset({"*"}), stop_grace=2.0),
            )
            ensemble.__enter__()
            self._close = partial(ensemble.__exit__, None, None, None)
            self._servers = [InProcess(ensemble, number) for number in range(self._size)]
        else:
            keepers = Keepers(
                url=backend,
                tick_time=TICK,
                members=self._size,
                environment={"PARKEEPER_SUPER_DIGEST": SUPER},
                flags=("--namespace", f"kazoo-{os.getpid()}/"),
                ports=self._ports,
            )
            Cluster._ports = keepers.ports
            self._close = keepers.close
            self._servers = [
                Apart(member, f"{host}:{port}")
                for member, (host, port) in zip(keepers.members, keepers.addresses, strict=True)
            ]

    def __iter__(self) -> Iterator[InProcess | Apart]:
        if not self._servers:
            self._begin()
        return iter(self._servers)

    def __getitem__(self, number: int) -> InProcess | Apart:
        return list(self)[number]

    def start(self) -> None:
        for server in self:
            server.run()

    def terminate(self) -> None:
        self._close()
        self._close = lambda: None
        self._servers = []

    def get_logs(self) -> list[str]:
        return [line for server in self._servers for line in server.get_logs()]

    def get_ssl_client_configuration(self) -> dict[str, str]:
        return {"client_key": "/nonexistent", "client_cert": "/nonexistent", "ca_cert": "/nonexistent"}


kazoo.testing.common.ZookeeperCluster = Cluster
kazoo.testing.harness.ZookeeperCluster = Cluster
