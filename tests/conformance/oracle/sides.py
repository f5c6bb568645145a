"""The servers that are compared, as `tests.conformance.oracle.arena.Side`s."""

from __future__ import annotations

import uuid
from pathlib import Path

from tests.conformance.oracle.arena import NEVER, SUPER_DIGEST, TICK, Side
from tests.keepers import Keepers
from tests.servers import ZooKeeper


def zookeeper(version: str = "3.9") -> Side:
    """A real one; it does not wait for the disk, for nothing here pulls its plug."""
    properties = {
        "zookeeper.DigestAuthenticationProvider.superDigest": SUPER_DIGEST,
        "znode.container.checkIntervalMs": str(NEVER),
        "zookeeper.forceSync": "no",
    }
    return Side(
        lambda: ZooKeeper(version, tick_time=TICK, properties=properties),
        lambda cluster: [cluster.address] if isinstance(cluster, ZooKeeper) else [],
    )


def keepers(url: str = "memory://", members: int = 1, source: Path | None = None) -> Side:
    """parkeeper, with a namespace of its own; connection k of a script goes to keeper k modulo `members`.

    Args:
        source: folder with the package to run, in place of the one that is tested.
    """

    def start() -> Keepers:
        flags = (
            *("--super-digest", SUPER_DIGEST, "--reap-interval", str(NEVER)),
            *("--log-level", "warning", "--namespace", f"oracle-{uuid.uuid4().hex}/"),
        )
        environment = {"PYTHONPATH": str(source)} if source else {}
        return Keepers(url, TICK, members, flags, environment)

    return Side(start, lambda cluster: cluster.addresses if isinstance(cluster, Keepers) else [])
