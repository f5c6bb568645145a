"""Quotas: what a subtree may hold, and what it holds. An index of the replica; nothing of it is stored.

    /zookeeper/quota<path>/zookeeper_limits   its data says what <path> and all below it may hold
    /zookeeper/quota<path>/zookeeper_stats    its data, as read, says what they hold: computed, no version moves

The text is that of StatsTrack, `count=N,bytes=N` and, for hard limits, `=;byteHardLimit=N;countHardLimit=N`.
Soft limits are logged, hard ones refuse (where the option says so). Only the deepest limits above a path are looked
at (DataTree.getMaxPrefixWithQuota), and only if their stats node exists, as in ZooKeeper.

Usage is that of the whole subtree, quotas inside it included: that is what ZooKeeper says after a restart. (While it
runs it counts a change for the deepest quota only, which would make keepers that loaded at different times disagree.)
A subtree is measured when somebody first asks, and kept up to date from then on.
Sources: Quotas, StatsTrack, DataTree.updateQuotaStat, ZooKeeperServer.checkQuota, SetQuotaCommand.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from parkeeper.errors import Refused
from parkeeper.tree.children import Children
from parkeeper.tree.node import Znode
from parkeeper.tree.paths import QUOTA, ROOT, join
from parkeeper.wire.codes import Code

log: Final = logging.getLogger(__name__)

_HOME: Final = QUOTA + "/"
_LIMITS: Final = "/zookeeper_limits"
_STATS: Final = "/zookeeper_stats"


def forbidden(path: str) -> bool:
    """Whether creating this node must be refused with BAD_ARGUMENTS: limits for the empty path.

    Creating it kills a ZooKeeper server (PathTrie.addPath).
    """
    return path == QUOTA + _LIMITS


class Limits(NamedTuple):
    """What a limits node says of znodes and of bytes of their data; -1: no limit."""

    soft_count: int = -1
    soft_bytes: int = -1
    hard_count: int = -1
    hard_bytes: int = -1


_NUMBER: Final = re.compile(r"[+-]?\d{1,19}", re.ASCII)


def parse_limits(data: bytes | None) -> Limits:
    """The limits in the data of a limits node; none if it is not such a text (StatsTrack)."""
    found: dict[str, int] = {}
    for pair in re.split("[,;]+", (data or b"").decode(errors="replace")):
        # "bytes=5=" is what StatsTrack writes before further keys, for the sake of older parsers.
        key, _, rest = pair.partition("=")
        number = rest.partition("=")[0] or "-1"
        if _NUMBER.fullmatch(number) is None:
            return Limits()
        found[key] = int(number)
    return Limits(
        found.get("count", -1),
        found.get("bytes", -1),
        found.get("countHardLimit", -1),
        found.get("byteHardLimit", -1),
    )


class Usage:
    """What a subtree holds: znodes, its root included, and bytes of their data."""

    __slots__ = ("bytes", "count")

    def __init__(self) -> None:
        self.count = 0
        self.bytes = 0

    def add(self, count: int, size: int) -> None:
        self.count += count
        self.bytes += size


class Quotas:
    """Limits and usage. The replica tells it of every znode that comes, goes or changes, after it did so itself.

    Args:
        nodes, children: the replica's own, read to measure a subtree.
    """

    def __init__(self, nodes: Mapping[str, Znode], children: Mapping[str, Children]) -> None:
        self._nodes: Final = nodes
        self._children: Final = children
        # Keys are the paths that have limits or stats; the root, which can have stats only, is "".
        self._limits: dict[str, Limits] = {}
        self._stats: set[str] = set()
        self._usage: dict[str, Usage] = {}
        self._exceeded: set[tuple[str, str]] = set()

    def created(self, path: str, node: Znode) -> None:
        """A znode was created (or loaded)."""
        if self._usage:
            self._count(path, 1, _size(node))
        if path.startswith(_HOME):
            if path.endswith(_STATS):
                self._stats.add(_subject(path, _STATS))
            elif path.endswith(_LIMITS) and not forbidden(path):
                self._limits[_subject(path, _LIMITS)] = parse_limits(node.data)

    def deleted(self, path: str, node: Znode) -> None:
        """A znode was deleted."""
        if path.startswith(_HOME):
            if path.endswith(_STATS):
                subject = _subject(path, _STATS)
                self._stats.discard(subject)
                self._usage.pop(subject, None)
            elif path.endswith(_LIMITS):
                subject = _subject(path, _LIMITS)
                self._limits.pop(subject, None)
                self._exceeded -= {(subject, "count"), (subject, "bytes")}
        if self._usage:
            self._count(path, -1, -_size(node))

    def changed(self, path: str, old: Znode, new: Znode) -> None:
        """Data or ACL of a znode changed."""
        if self._usage:
            self._count(path, 0, _size(new) - _size(old))
        if path.startswith(_HOME) and path.endswith(_LIMITS) and not forbidden(path):
            self._limits[_subject(path, _LIMITS)] = parse_limits(new.data)

    def stats_data(self, path: str) -> bytes | None:
        """The data of a stats node, which stands in no item; None if the path is not that of a stats node."""
        if not (path.endswith(_STATS) and path.startswith(_HOME)):
            return None
        subject = _subject(path, _STATS)
        if subject not in self._stats:
            return None
        usage = self._used(subject)
        return b"count=%d,bytes=%d" % (usage.count, usage.bytes)

    def check_create(self, path: str, size: int, planned: Planned) -> None:
        """Whether a znode more is allowed. Limits are those of the replica: a multi does not see its own.

        Args:
            path: of the znode.
            size: bytes of its data.
            planned: what the batch has planned so far and the replica doesn't know, earlier operations of the same
                multi included (ZooKeeper leaves those out, so that one multi can overshoot).

        Raises:
            Refused: QUOTA_EXCEEDED, a hard limit stands against it.
        """
        subject = self._limited(path) if self._limits else None
        if subject is not None:
            self._check(subject, 1, size, planned)

    def check_set(self, path: str, old_size: int, new_size: int, planned: Planned) -> None:
        """Whether data of another size is allowed.

        One that shrinks, but not enough, is refused as well. Sizes in bytes; `planned` and errors as for
        `check_create`.
        """
        subject = self._limited(path) if self._limits else None
        if subject is not None:
            self._check(subject, 0, new_size - old_size, planned)

    def enclosing(self, path: str) -> Iterator[str]:
        """The paths with limits that a path lies in or is, deepest first."""
        return (each for each in _upwards(path) if each in self._limits) if self._limits else iter(())

    def _limited(self, path: str) -> str | None:
        """The deepest path with limits, if they are in force."""
        deepest = next(self.enclosing(path), None)
        return deepest if deepest in self._stats else None

    def _check(self, subject: str, count: int, size: int, planned: Planned) -> None:
        limits = self._limits[subject]
        usage = self._used(subject)
        if count:
            after = usage.count + planned.count(subject) + count
            self._compare(subject, "count", after, limits.soft_count, limits.hard_count)
        if size:
            after = usage.bytes + planned.bytes(subject) + size
            self._compare(subject, "bytes", after, limits.soft_bytes, limits.hard_bytes)

    def _compare(self, subject: str, what: str, after: int, soft: int, hard: int) -> None:
        limit = hard if hard > -1 else soft
        if limit < 0 or after <= limit:
            self._exceeded.discard((subject, what))
            return
        if (subject, what) not in self._exceeded:  # once, until it is kept again
            self._exceeded.add((subject, what))
            kind = "hard" if hard > -1 else "soft"
            log.warning(
                "quota of %s exceeded: %s would be %d, the %s limit is %d", subject, what, after, kind, limit
            )
        if hard > -1:
            raise Refused(Code.QUOTA_EXCEEDED)

    def _count(self, path: str, count: int, size: int) -> None:
        """A change of what the replica holds, for every measured subtree around it."""
        for each in _upwards(path):
            usage = self._usage.get(each)
            if usage is not None:
                usage.add(count, size)

    def _used(self, subject: str) -> Usage:
        usage = self._usage.get(subject)
        if usage is None:
            usage = self._usage[subject] = self._measure(subject or ROOT)
        return usage

    def _measure(self, top: str) -> Usage:
        usage = Usage()
        waiting = [top] if top in self._nodes else []
        while waiting:
            path = waiting.pop()
            usage.add(1, _size(self._nodes[path]))
            waiting += [join(path, name) for name in self._children.get(path, ())]
        return usage


class Planned:
    """What a batch being planned adds to the usage of limited subtrees, so that its later operations see it.

    The planner notes every create (+1, its size), delete (-1, minus its size) and setData (0, the difference) after
    it was accepted, and takes them back with what it takes back itself.
    """

    def __init__(self, quotas: Quotas) -> None:
        self._quotas: Final = quotas
        self._totals: dict[str, Usage] = {}
        self._notes: list[tuple[Usage, int, int]] = []

    def note(self, path: str, count: int, size: int) -> None:
        """An operation was planned: znodes and bytes more (or less, below 0)."""
        for subject in self._quotas.enclosing(path):
            total = self._totals.setdefault(subject, Usage())
            total.add(count, size)
            self._notes.append((total, count, size))

    def mark(self) -> int:
        """Where we are, for `rollback`."""
        return len(self._notes)

    def rollback(self, mark: int) -> None:
        """Take back all that was noted since a mark."""
        for total, count, size in self._notes[mark:]:
            total.add(-count, -size)
        del self._notes[mark:]

    def count(self, subject: str) -> int:
        """Znodes more in a limited subtree."""
        total = self._totals.get(subject)
        return 0 if total is None else total.count

    def bytes(self, subject: str) -> int:
        """Bytes more in a limited subtree."""
        total = self._totals.get(subject)
        return 0 if total is None else total.bytes


def _size(node: Znode) -> int:
    return len(node.data) if node.data else 0


def _subject(path: str, ending: str) -> str:
    """The path that a node below /zookeeper/quota is about."""
    return path[len(QUOTA) : -len(ending)]


def _upwards(path: str) -> Iterator[str]:
    """A path and all above it, the root as the empty text last."""
    if path == ROOT:
        path = ""
    yield path
    while path:
        path = path[: path.rfind("/")]
        yield path
