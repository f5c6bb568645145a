"""Who asks, and under which options: what a rule needs besides the view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from parkeeper.tree.schemes import Identities

Record = TypeVar("Record")


@dataclass(slots=True)
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

    session: int
    identities: Identities
    ttl_nodes: bool
    hard_quotas: bool
    container_unused: int
    most: int = 0


def expect(record: object, kind: type[Record]) -> Record:
    """The record as what its opcode says it is: the opcode table pairs the two."""
    if not isinstance(record, kind):
        raise TypeError(f"expected {kind.__name__}, not {record!r:.80}")
    return record
