"""Which ephemerals each session owns: an index of the replica."""

from __future__ import annotations

from collections.abc import Iterator

from parkeeper.tree.node import Znode


class Ephemerals:
    """Session to paths. The replica tells it of every znode that comes or goes.

    Attributes:
        count: ephemerals in all.
    """

    __slots__ = ("_owned", "count")

    def __init__(self) -> None:
        self._owned: dict[int, dict[str, None]] = {}
        self.count = 0

    def created(self, path: str, node: Znode) -> None:
        """A znode was created (or loaded)."""
        if node.ephemeral:
            self._owned.setdefault(node.owner, {})[path] = None
            self.count += 1

    def deleted(self, path: str, node: Znode) -> None:
        """A znode was deleted."""
        if node.ephemeral:
            owned = self._owned[node.owner]
            del owned[path]
            if not owned:
                del self._owned[node.owner]
            self.count -= 1

    def changed(self, path: str, old: Znode, new: Znode) -> None:
        """Data or ACL of a znode changed; its owner never does."""

    def of(self, session: int) -> list[str]:
        """The paths a session owns, in the order they were created."""
        return list(self._owned.get(session, ()))

    def sessions(self) -> Iterator[int]:
        """The sessions that own any, in no order."""
        return iter(self._owned)
