"""The registry: keepers, heads, fences and tickets as the store has them, with the revisions that guard commits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from parkeeper.tree.encoding import KeeperItem, Turn, decode_ids, decode_keeper, decode_turn

KINDS: Final = ("keeper", "fence", "turn")


class Registered(NamedTuple):
    """A keeper that lives, and the revision of its last beat."""

    item: KeeperItem
    revision: int


class Registry:
    """What keepers write of themselves.

    Attributes:
        keepers: id -> last beat; gone when it was declared dead or stopped.
        heads: id -> revision of its last commit (`head/<id>`).
        fences: id -> revision of `fence/<id>`.
        turns: id -> (ticket, revision).
        ids: the last id given, and the revision of that item.
    """

    def __init__(self) -> None:
        self.keepers: dict[int, Registered] = {}
        self.heads: dict[int, int] = {}
        self.fences: dict[int, int] = {}
        self.turns: dict[int, tuple[Turn, int]] = {}
        self.ids: tuple[int, int] = (0, 0)
        self._newest = 0

    def item(self, name: str, value: bytes | None, revision: int) -> None:
        """An item under `keeper/`, `fence/`, `turn/`, or `ids`, as it is now; None: gone. Others are ignored."""
        kind, _, rest = name.partition("/")
        if kind == "ids" and value is not None:
            self.ids = decode_ids(value), revision
        elif kind == "keeper":
            if value is None:
                self.keepers.pop(int(rest), None)
            else:
                self.keepers[int(rest)] = Registered(decode_keeper(value), revision)
        elif kind == "fence":
            if value is None:
                self.fences.pop(int(rest), None)
            else:
                self.fences[int(rest)] = revision
        elif kind == "turn":
            if value is None:
                self.turns.pop(int(rest), None)
            else:
                self.turns[int(rest)] = decode_turn(value), revision

    def commit(self, keeper: int, puts: Mapping[str, bytes], deletes: Iterable[str], revision: int) -> None:
        """What a commit at `revision` did to the registry."""
        self.heads[keeper] = revision
        self._newest = keeper
        for name, value in puts.items():
            if name.startswith(("keeper/", "fence/", "turn/", "ids")):
                self.item(name, value, revision)
        for name in deletes:
            if name.startswith(KINDS):
                self.item(name, None, revision)
            elif name.startswith("head/"):
                self.heads.pop(int(name[5:]), None)

    @property
    def newest(self) -> int:
        """The keeper that committed last, 0 if nobody did."""
        if self._newest not in self.heads:  # just loaded
            self._newest = max(self.heads, key=self.heads.__getitem__, default=0)
        return self._newest

    @property
    def eldest(self) -> int:
        """The lowest id of the keepers that live, 0 if there is none: the janitor."""
        return min(self.keepers, default=0)
