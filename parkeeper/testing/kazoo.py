"""`kazoo.testing` without Java: the same harness, on an ensemble in this process.

    from parkeeper.testing.kazoo import KazooTestCase, KazooTestHarness   # was: from kazoo.testing import ...

or nothing changed in the tests, and `PARKEEPER_KAZOO_HARNESS=1` in the environment of pytest. The size of the cluster
is `ZOOKEEPER_CLUSTER_SIZE`, 3 by default, as there. Ports are free ones, or, for tests that know theirs by heart, those
from `ZOOKEEPER_PORT_OFFSET` on (20000: 20000, 20010, 20020). TLS, SASL and reconfig are not there.
"""

# pyright: basic
# kazoo has no types.
from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from kazoo.testing import harness  # type: ignore[import-untyped]

from parkeeper.testing.embedded import default_options
from parkeeper.testing.ensemble import Ensemble

SUPER_DIGEST: Final = "super:D/InIHSb7yEEbrWz8b9l71RjZJU="
"""What kazoo's harness gives its servers: the password of `super` is `test`."""


class Server:
    """One keeper, with what `kazoo.testing.common.ManagedZooKeeper` has."""

    def __init__(self, cluster: Cluster, number: int) -> None:
        self._cluster = cluster
        self._number = number

    @property
    def address(self) -> str:
        """`127.0.0.1:port`; the same until the cluster is terminated."""
        return self._cluster.ensemble.host(self._number)

    @property
    def secure_address(self) -> str:
        """There is none.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("parkeeper.testing does not serve TLS")

    @property
    def client_port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def running(self) -> bool:
        return self._cluster.running and self._cluster.ensemble.is_up(self._number)

    def run(self) -> None:
        """Start it."""
        self._cluster.ensemble.start(self._number)

    def stop(self) -> None:
        """Stop it; its port stays its own."""
        if self._cluster.running:
            self._cluster.ensemble.stop(self._number)

    def reset(self) -> None:
        """There is nothing on disk."""
        self.stop()

    def destroy(self) -> None:
        """There is nothing on disk."""
        self.stop()


class Cluster:
    """What `kazoo.testing.common.ZookeeperCluster` has.

    Args:
        size: keepers.
    """

    def __init__(self, size: int) -> None:
        self._servers = [Server(self, number) for number in range(size)]
        self._stack = ExitStack()
        self._ensemble: Ensemble | None = None

    def __getitem__(self, number: int) -> Server:
        return self._servers[number]

    def __iter__(self) -> Iterator[Server]:
        return iter(self._servers)

    @property
    def running(self) -> bool:
        return self._ensemble is not None

    @property
    def ensemble(self) -> Ensemble:
        """The ensemble, for what kazoo's harness cannot do."""
        if self._ensemble is None:
            raise RuntimeError("the cluster does not run")
        return self._ensemble

    def start(self) -> None:
        """Start the servers that are down."""
        if self._ensemble is None:
            options = replace(default_options(), super_digest=SUPER_DIGEST)
            size, offset = len(self._servers), os.environ.get("ZOOKEEPER_PORT_OFFSET")
            bind = (
                [] if offset is None else [("127.0.0.1", int(offset) + 10 * number) for number in range(size)]
            )
            self._ensemble = self._stack.enter_context(Ensemble(size, options=options, bind=bind))
        else:
            self._ensemble.start()

    def stop(self) -> None:
        """Stop all; the tree stays."""
        if self._ensemble is not None:
            self._ensemble.stop()

    def terminate(self) -> None:
        """The end; `start` makes a new one."""
        self._stack.close()
        self._ensemble = None

    def reset(self) -> None:
        """An empty tree."""
        if self._ensemble is not None:
            self._ensemble.reset()

    def get_logs(self) -> list[list[str]]:
        """What the sessions last asked."""
        return [] if self._ensemble is None else [self._ensemble.report().splitlines(keepends=True)]


_clusters: dict[int, Cluster] = {}


def cluster() -> Cluster:
    """The one of this process."""
    size = int(os.environ.get("ZOOKEEPER_CLUSTER_SIZE", "3"))
    return _clusters.setdefault(size, Cluster(size))


def install() -> None:
    """Put parkeeper under `kazoo.testing` for all of this process."""
    harness.get_global_cluster = cluster


class KazooTestHarness(harness.KazooTestHarness):  # type: ignore[misc]
    """`kazoo.testing.KazooTestHarness`, with `setup_zookeeper`, `client`, `expire_session`, ... as there."""

    @property
    def cluster(self) -> Cluster:
        """Its servers."""
        return cluster()


class KazooTestCase(KazooTestHarness):
    """`kazoo.testing.KazooTestCase`: `self.client` is connected, in a chroot of its own."""

    def setUp(self) -> None:
        """Start what is down, and connect."""
        self.setup_zookeeper()

    def tearDown(self) -> None:
        """Close the clients."""
        self.teardown_zookeeper()

    @classmethod
    def tearDownClass(cls) -> None:
        """Stop the servers."""
        cluster().terminate()
