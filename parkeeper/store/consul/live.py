"""What the prefix `live/` holds at one moment, and what it tells a follower who knew an earlier one.

A blocking query answers with the state, not with changes: several merge, a delete is a mere absence. Commits are
read back from the rings, none missing; of `keeper/`, `turn/` and `meta` the follower is told the state as it is now,
at the index it got it, between the commits where it belongs. A delete has no index any more: it is told last, at
the index of the answer, which is that of the newest change or delete under the prefix.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from parkeeper.errors import WentBack
from parkeeper.store.consul.messages import Pair
from parkeeper.store.consul.names import Names, keeper_of
from parkeeper.store.facade import Changed, Committed, Event, Head, Item
from parkeeper.store.heads import unpack_head


class LiveHead(NamedTuple):
    """A keeper's head: its last commit at `revision`, its registration at `created`."""

    head: Head
    revision: int
    created: int


@dataclass(frozen=True, slots=True)
class Live:
    """What stands under `live/`.

    Args:
        index: of the answer, 0 where it has none.
        heads: keeper -> head.
        items: name -> item, of all the others.
    """

    index: int
    heads: Mapping[int, LiveHead]
    items: Mapping[str, Item]

    @classmethod
    def of(cls, names: Names, pairs: Iterable[Pair], index: int = 0) -> Live:
        """From an answer. Raises: `Incompatible`."""
        heads: dict[int, LiveHead] = {}
        items: dict[str, Item] = {}
        for pair in pairs:
            name = names.name(pair.key)
            if name is None:
                continue
            if name.startswith("head/"):
                head = unpack_head(pair.value or b"")[0]
                heads[keeper_of(name)] = LiveHead(head, pair.modify_index, pair.create_index)
            else:
                items[name] = Item(name, pair.value or b"", pair.modify_index)
        return cls(index, heads, items)

    @property
    def newest(self) -> int:
        """The newest revision under `head/`, 0 if there is none."""
        return max((each.revision for each in self.heads.values()), default=0)

    @property
    def keepers(self) -> dict[int, Item]:
        """Those that live."""
        return {keeper_of(name): item for name, item in self.items.items() if name.startswith("keeper/")}


@dataclass(slots=True)
class Told:
    """What a follower has been told.

    Attributes:
        position: revision of the last event.
        heads: keeper -> its last commit that was told, or was there before.
        names: items of `keeper/`, `turn/` and `meta` -> revision, as told.
    """

    position: int
    heads: dict[int, LiveHead] = field(default_factory=dict[int, LiveHead])
    names: dict[str, int] = field(default_factory=dict[str, int])

    @classmethod
    def by(cls, live: Live, position: int) -> Told:
        """What somebody knows who has loaded, or seen, `live`; only what is not newer than `position`."""
        heads = {keeper: head for keeper, head in live.heads.items() if head.revision <= position}
        names = {
            name: item.revision
            for name, item in live.items.items()
            if item.revision <= position and _is_told(name)
        }
        return cls(position, heads, names)

    def at(self, position: int) -> Told:
        """A copy to go on from `position`: heads and items known to be newer are as unknown."""
        heads = {keeper: head for keeper, head in self.heads.items() if head.revision <= position}
        names = {name: revision for name, revision in self.names.items() if revision <= position}
        return Told(position, heads, names)

    def revisions(self) -> dict[str, int]:
        """Names of heads and items -> revision: what any later answer must be at least as new as."""
        return {f"head/{keeper}": head.revision for keeper, head in self.heads.items()} | self.names

    def check(self, live: Live, floor: Mapping[str, int]) -> None:
        """That an answer is not older than what was known when it was asked for (PROTOCOL section 7).

        Args:
            live: the answer.
            floor: `revisions()`, and one's own acknowledged beats and commits, when it was asked for.

        Raises:
            WentBack: a head, a beat or another item is older; so the store was restored.
        """
        for name, known in floor.items():
            item = live.heads.get(keeper_of(name)) if name.startswith("head/") else live.items.get(name)
            if item is not None and item.revision < known:
                raise WentBack(f"{name} was at revision {known} and is at {item.revision}")
        for keeper, told in self.heads.items():
            now = live.heads.get(keeper)
            if now is None or now[:2] == told[:2]:
                continue
            if now.revision <= told.revision or now.head.counter <= told.head.counter:
                raise WentBack(f"head/{keeper} was {told[:2]} and is {now[:2]}")

    def check_gone(self, live: Live, floor: Mapping[str, int], commits: Sequence[Committed]) -> None:
        """That every head which is gone was deleted by one of the commits that the answer tells of.

        Raises:
            WentBack: one was not.
        """
        deleted = {name for commit in commits for name in commit.deletes}
        for name, known in floor.items():
            if name.startswith("head/") and keeper_of(name) not in live.heads and name not in deleted:
                raise WentBack(f"{name} at revision {known} is gone")

    def news(self, live: Live, commits: Sequence[Committed]) -> list[Event]:
        """What is to be told, in order, now that the answer is `live`, and `commits` were made since."""
        events: list[Event] = [*commits]
        written: dict[str, int] = {}
        for commit in commits:
            written |= dict.fromkeys(filter(_is_told, commit.puts), commit.revision)
            written |= dict.fromkeys(filter(_is_told, commit.deletes), 0)
        known = self.names | written
        for name, item in live.items.items():
            if item.revision > self.position and _is_told(name) and item.revision != known.get(name):
                events.append(Changed(item.revision, name, item.value))
        last = max([self.position, live.index, *(event.revision for event in events)])
        events.sort(key=lambda event: event.revision)
        events += [
            Changed(last, name, None)
            for name, revision in known.items()
            if revision and name not in live.items
        ]
        return events

    def take(self, event: Event, live: Live) -> None:
        """An event is about to be told."""
        self.position = event.revision
        if isinstance(event, Changed):
            if event.value is None:
                self.names.pop(event.name, None)
            else:
                self.names[event.name] = event.revision
            return
        head = live.heads.get(event.keeper)
        created = event.revision if head is None else head.created
        self.heads[event.keeper] = LiveHead(event.head, event.revision, created)
        self.names |= dict.fromkeys(filter(_is_told, event.puts), event.revision)
        for name in event.deletes:
            self.names.pop(name, None)
            if name.startswith("head/"):
                self.heads.pop(keeper_of(name), None)

    def settle(self, live: Live) -> None:
        """Everything that `live` has was told: heads and items that were there before are known from now on."""
        self.heads |= live.heads
        self.names |= {name: item.revision for name, item in live.items.items() if _is_told(name)}


def _is_told(name: str) -> bool:
    return name.startswith(("keeper/", "turn/")) or name == "meta"
