"""The ring: its entries byte by byte, and its bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parkeeper.errors import Incompatible
from parkeeper.store.consul.ring import Ring, pack_entry, unpack_entry
from parkeeper.store.facade import Commit, Committed, Head

# By hand, from the MessagePack specification: the format, an array of six, small integers, binaries, a map, a list.
ENTRY = bytes.fromhex("0196 07 05 cd0102") + b"\xc4\x02jj" + b"\x81\xa6data/a\xc4\x01\x00" + b"\x91\xa6node/b"


def test_pack_entry_is_as_documented() -> None:
    """Other implementations, and later versions, can read it."""
    commit = Commit(3, Head(7, 5, 258), {}, {"data/a": b"\x00"}, ("node/b",), b"jj")
    assert commit.head is not None
    assert pack_entry(commit, commit.head) == ENTRY


def test_unpack_entry_gives_the_commit_back() -> None:
    """With the revision that its key has."""
    assert unpack_entry(ENTRY, 3, 71) == Committed(
        71, 3, Head(7, 5, 258), b"jj", {"data/a": b"\x00"}, ("node/b",)
    )


@pytest.mark.parametrize("value", [b"", b"\x02" + ENTRY[1:], ENTRY[:-1], b"\x01\x90", b"\x01\xff"])
def test_unpack_entry_when_it_is_none(value: bytes) -> None:
    """A later format, or what a stranger wrote there, is refused."""
    with pytest.raises(Incompatible, match="keeper 3"):
        unpack_entry(value, 3, 71)


@given(
    st.builds(Head, *[st.integers(0, 2**64 - 1)] * 3),
    st.binary(),
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.binary()),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]))),
)
def test_entries_come_back(head: Head, journal: bytes, puts: dict[str, bytes], deletes: list[str]) -> None:
    """Any names and values."""
    entry = pack_entry(Commit(3, head, {}, puts, deletes, journal), head)
    assert unpack_entry(entry, 3, 9) == Committed(9, 3, head, journal, puts, tuple(deletes))


def test_ring_when_it_wraps() -> None:
    """An entry that is overwritten counts no more."""
    ring = Ring(3, slots=4, size=1000)
    for counter in range(1, 20):
        ring.written(counter, 100, ring.droppable(counter))
    assert repr(ring) == "<Ring of keeper 3: 4 entries, 400 bytes>"
    assert not ring.overfull
    assert [ring.slot(counter) for counter in (3, 4, 5)] == [3, 0, 1]


def test_ring_when_above_its_bytes() -> None:
    """Each commit drops the two oldest, so the ring comes back to its bytes and stays there."""
    ring = Ring(3, slots=100, size=1000)
    dropped: list[int] = []
    for counter in range(1, 60):
        oldest = ring.droppable(counter)
        dropped += oldest
        ring.written(counter, 90, oldest)
    assert dropped == list(range(1, len(dropped) + 1))
    assert repr(ring) in {f"<Ring of keeper 3: {n} entries, {n * 90} bytes>" for n in (11, 12)}


def test_ring_when_the_oldest_is_the_one_overwritten() -> None:
    """The slot that a commit writes is not deleted by it as well."""
    ring = Ring(3, slots=3, size=10)
    for counter in (1, 2, 3):
        ring.written(counter, 10, [])
    assert ring.droppable(4) == [2, 3]
    ring.written(4, 10, [2, 3])
    assert repr(ring) == "<Ring of keeper 3: 1 entries, 10 bytes>"


def test_ring_when_told_twice() -> None:
    """A commit whose first answer was lost is counted once."""
    ring = Ring(3)
    ring.written(1, 10, [])
    ring.written(1, 10, [])
    assert repr(ring) == "<Ring of keeper 3: 1 entries, 10 bytes>"


def test_ring_leaves_room_before_it_is_overfull() -> None:
    """What is planned now may be sent when there is something to drop."""
    ring = Ring(3, size=100)
    ring.written(1, 60, [])
    assert ring.filling
    assert not ring.overfull
