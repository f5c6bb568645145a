"""Who asks, and under which options: what a rule needs besides the view."""

from __future__ import annotations

from typing import TypeVar

from parkeeper.tree.schemes import Identities

Record = TypeVar("Record")


class Context:
    """One asker.

    Args:
        session: id, 0 for the keeper itself.
        identities: when the request was received.
        ttl_nodes: whether createTTL works (`extendedTypesEnabled`).
        hard_quotas: whether hard limits refuse (`enforceQuota`).
        container_unused: ms a container that never had a child is kept.
        most: ephemerals one commit may delete when a session closes in parts; 0: all.
    """

    __slots__ = ("container_unused", "hard_quotas", "identities", "most", "session", "ttl_nodes")

    def __init__(
        self,
        session: int,
        identities: Identities,
        ttl_nodes: bool,
        hard_quotas: bool,
        container_unused: int,
        most: int = 0,
    ) -> None:
        self.session = session
        self.identities = identities
        self.ttl_nodes = ttl_nodes
        self.hard_quotas = hard_quotas
        self.container_unused = container_unused
        self.most = most


def expect(record: object, kind: type[Record]) -> Record:
    """The record as what its opcode says it is: the opcode table pairs the two."""
    if not isinstance(record, kind):
        raise TypeError(f"expected {kind.__name__}, not {record!r:.80}")
    return record
