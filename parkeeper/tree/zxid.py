"""zxids from revisions (PROTOCOL section 1).

A write cannot know its revision before it commits. Until then a zxid is *pending*: the negative number `~i`,
"the revision that writes this, position i". `resolve` turns it into a real zxid once the revision is known; a real
zxid is never negative.
"""

from __future__ import annotations

POSITIONS = 4096
"""Writes one commit can hold, each with a zxid of its own."""


def pending(position: int) -> int:
    """The zxid of the write at a position of a commit whose revision is not known yet."""
    return ~position


def resolve(zxid: int, base: int, revision: int) -> int:
    """A pending zxid becomes that of its position in `revision`; a real one stays."""
    return zxid if zxid >= 0 else base + revision * POSITIONS + ~zxid


def of(base: int, revision: int, position: int) -> int:
    """The zxid of the write at a position of a commit."""
    return base + revision * POSITIONS + position


def last_of(base: int, revision: int) -> int:
    """The highest zxid a commit can have: what a replica stands at when the commit is applied."""
    return base + revision * POSITIONS + POSITIONS - 1


def revision_of(zxid: int, base: int) -> int:
    """The revision a zxid belongs to (below 0 for zxids from before `base`)."""
    return (zxid - base) // POSITIONS
