"""The ring: where a keeper's commits are kept for followers, since Consul has no history (PROTOCOL section 7).

Each commit writes one entry, `feed/<keeper>/<counter mod SLOTS>`, in its own transaction: the journal with all that
was put and deleted, for a late follower must not read a later value. Each keeper has a ring of its own, so that
keepers don't wait for one another. An entry that is missing, or has a later counter than the one wanted, was
overwritten or dropped: the follower was too slow, and loads anew.

An entry is a byte that tells its format, 1, and a MessagePack array: `[incarnation, counter, attempt, journal,
{name: value}, [deleted names]]`.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

import msgspec

from parkeeper.errors import Incompatible
from parkeeper.store.facade import Commit, Committed, Head

SLOTS = 8192
"""Entries of a ring: more than a keeper commits in a keeper TTL (N = 128 cost a reload at every pause of 2 s)."""

RING_BYTES = 32 << 20
"""Bytes of entries above which a commit also drops its keeper's two oldest. All of it lies in Consul's memory."""

DROPPED = 2
FORMAT = b"\x01"


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """One commit, as it stands in the ring."""

    incarnation: int
    counter: int
    attempt: int
    journal: bytes
    puts: dict[str, bytes]
    deletes: list[str]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


def pack_entry(commit: Commit, head: Head) -> bytes:
    """The entry of a commit."""
    return FORMAT + _encode(Entry(*head, commit.journal, dict(commit.puts), list(commit.deletes)))


def unpack_entry(value: bytes, keeper: int, revision: int) -> Committed:
    """The commit in an entry of `keeper`'s ring that was written at `revision`.

    Raises:
        Incompatible: no entry, or one of a later format.
    """
    if value[:1] != FORMAT:
        raise Incompatible(
            f"a commit of keeper {keeper} is written in format {value[:1].hex()}, this version reads format "
            f"{FORMAT.hex()}: upgrade this keeper, or serve another namespace"
        )
    try:
        entry = _decode(memoryview(value)[1:])
    except msgspec.MsgspecError as error:
        raise Incompatible(f"what stands in the ring of keeper {keeper} is no commit: {error}") from error
    head = Head(entry.incarnation, entry.counter, entry.attempt)
    return Committed(revision, keeper, head, entry.journal, entry.puts, tuple(entry.deletes))


class Ring:
    """What one's own ring holds, so that it keeps its bounds. Of this incarnation only: ids are never given twice.

    Args:
        keeper: whose.
        slots: entries.
        size: bytes.
    """

    def __init__(self, keeper: int, slots: int = SLOTS, size: int = RING_BYTES) -> None:
        self.keeper = keeper
        self._slots = slots
        self._limit = size
        self._size = 0
        self._held: deque[tuple[int, int]] = deque()  # counter, bytes

    def __repr__(self) -> str:
        return f"<Ring of keeper {self.keeper}: {len(self._held)} entries, {self._size} bytes>"

    @property
    def overfull(self) -> bool:
        """Whether the next commit should drop entries."""
        return self._size > self._limit

    @property
    def filling(self) -> bool:
        """Whether room for drops should be left in what is planned now, and sent a little later."""
        return self._size > self._limit // 2

    def slot(self, counter: int) -> int:
        """Where the entry with this counter stands."""
        return counter % self._slots

    def droppable(self, counter: int) -> list[int]:
        """Counters of the entries that the commit `counter` should drop: the oldest, if there is too much.

        Never the slot that the commit itself writes.
        """
        if not self.overfull:
            return []
        slot = self.slot(counter)
        oldest = [held for held, _ in islice(self._held, DROPPED + 1) if self.slot(held) != slot]
        return oldest[:DROPPED]

    def written(self, counter: int, size: int, dropped: list[int]) -> None:
        """A commit happened that wrote an entry of `size` bytes and dropped others."""
        if self._held and self._held[-1][0] >= counter:
            return  # told twice: by the answer, and by the head that a second try found
        slot = self.slot(counter)
        while self._held and (self._held[0][0] in dropped or self.slot(self._held[0][0]) == slot):
            self._size -= self._held.popleft()[1]
        self._held.append((counter, size))
        self._size += size
