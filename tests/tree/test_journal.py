"""The journal: bytes by hand, where it carries an ACL, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parkeeper.errors import Incompatible
from parkeeper.tree import journal
from parkeeper.tree.acl import OPEN, READ_ONLY, intern
from parkeeper.tree.changes import CREATE, DELETE, END_SESSION, SET_ACL, SET_DATA, SET_SESSION, Change, Write
from parkeeper.tree.journal import Entry
from parkeeper.tree.node import Kids, Znode
from parkeeper.tree.sessions import Session
from parkeeper.wire.records import Acl

READ_BYTES = "00000001 00000001 00000005 776f726c64 00000006 616e796f6e65"
OPEN_BYTES = "00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65"


def znode(acl=OPEN) -> Znode:
    return Znode(-1, -1, 0, 0, 0, 0, 0, acl, b"", -1, 0)


def create(path: str, node: Znode) -> Change:
    return Change(CREATE, path, node, "/", Kids(1, 1, -1, -1))


NODE = znode()
SESSION = Change(SET_SESSION, "", session=0x1_0000_0001, record=Session(1, 1, 1, False, 0, -1))

GOLDEN = [
    # what is kept, the changes by position, bytes and entries
    ({}, [], "01", []),
    (
        {"node/é": NODE},
        [(0, [create("/é", NODE)])],
        "01 0000 01 00000003 2fc3a9",
        [Entry(0, CREATE, "/é", 0, None)],
    ),
    (
        {},
        [(0, [Change(SET_DATA, "/a", NODE)]), (4095, [Change(DELETE, "/", None, "/", Kids(1, 0, -1, -1))])],
        "01 0000 03 00000002 2f61  0fff 02 00000001 2f",
        [Entry(0, SET_DATA, "/a", 0, None), Entry(4095, DELETE, "/", 0, None)],
    ),
    (
        {},
        [(1, [SESSION, Change(END_SESSION, "", session=-1)])],
        "01 0001 05 0000000100000001  0001 06 ffffffffffffffff",
        [Entry(1, SET_SESSION, "", 0x1_0000_0001, None), Entry(1, END_SESSION, "", -1, None)],
    ),
    (
        {"node/a": None},
        [(2, [create("/a", znode(READ_ONLY)), Change(SET_ACL, "/a", znode(OPEN))])],
        f"01 0002 81 00000002 2f61 {READ_BYTES} 0002 84 00000002 2f61 {OPEN_BYTES}",
        [Entry(2, CREATE, "/a", 0, READ_ONLY), Entry(2, SET_ACL, "/a", 0, OPEN)],
    ),
]


@pytest.mark.parametrize(("kept", "changes", "hex", "entries"), GOLDEN)
def test_encode_and_decode_are_as_documented(kept, changes, hex, entries):
    """Byte by byte: whoever changes one of these makes another format."""
    encoded = journal.encode([Write(*each) for each in changes], kept)
    assert encoded == bytes.fromhex(hex)
    assert list(journal.decode(bytes.fromhex(hex))) == entries


@pytest.mark.parametrize(
    ("kept", "carried"),
    [
        ({}, True),  # deleted again: no item
        ({"node/a": None}, True),  # deleted again where there was one before
        ({"node/a": znode(READ_ONLY)}, True),  # another ACL came later
        ({"node/a": znode(OPEN)}, False),
        ({"stat/a": znode(OPEN)}, True),
    ],
)
@pytest.mark.parametrize("kind", [CREATE, SET_ACL])
def test_encode_carries_the_acl_where_no_kept_item_has_it(kept, carried, kind):
    """An event's filter at a follower needs it."""
    change = create("/a", NODE) if kind == CREATE else Change(SET_ACL, "/a", NODE)
    (entry,) = journal.decode(journal.encode([Write(0, [change])], kept))
    assert entry == Entry(0, kind, "/a", 0, OPEN if carried else None)


def test_encode_never_carries_the_acl_of_a_set_data():
    """It is not changed by it."""
    (entry,) = journal.decode(journal.encode([Write(0, [Change(SET_DATA, "/a", NODE)])], {}))
    assert entry.acl is None


def test_decode_of_nothing():
    """A commit without changes (an errand) has no journal."""
    assert list(journal.decode(b"")) == []


@pytest.mark.parametrize("format", [0, 2, 255])
def test_decode_when_the_format_is_another(format):
    """Incompatible, saying what was found."""
    with pytest.raises(Incompatible, match=f"journal has format {format}; .* reads format 1"):
        list(journal.decode(bytes([format])))


@pytest.mark.parametrize("kind", [0, 7, 0x80, 0x85, 0x86, 0x87, 0xFF])
def test_decode_when_the_kind_is_unknown(kind):
    """Incompatible, whatever follows."""
    with pytest.raises(Incompatible):
        list(journal.decode(b"\x01\0\0" + bytes([kind]) + b"\0\0\0\x02/a" + bytes(20)))


@pytest.mark.parametrize("entries", [entries for *_, entries in GOLDEN])
def test_decode_when_it_is_cut_off(entries):
    """The entries that are whole, then Incompatible: never one that was not written."""
    whole = bytes.fromhex(next(hex for _, _, hex, each in GOLDEN if each is entries))
    for size in range(1, len(whole)):
        got: list[Entry] = []
        try:
            for entry in journal.decode(whole[:size]):
                got.append(entry)  # noqa: PERF402  # what came before the error counts
        except Incompatible:
            assert got == entries[: len(got)]
        else:
            assert got == entries[: len(got)]
            assert len(got) < len(entries)


@given(st.binary(max_size=60))
def test_decode_of_anything(value):
    """Entries or Incompatible, nothing else."""
    try:
        for entry in journal.decode(b"\x01" + value):
            assert CREATE <= entry.kind <= END_SESSION
    except Incompatible:
        pass


paths = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map("/".__add__)
acls = st.sampled_from([OPEN, READ_ONLY, intern([Acl(1, None, None)]), intern([])])
changes = st.one_of(
    st.builds(lambda path, acl: create(path, znode(acl)), paths, acls),
    st.builds(lambda path: Change(DELETE, path, None, "/", Kids(1, 0, -1, -1)), paths),
    st.builds(
        lambda path, kind, acl: Change(kind, path, znode(acl)),
        paths,
        st.sampled_from([SET_DATA, SET_ACL]),
        acls,
    ),
    st.builds(
        lambda kind, session: Change(kind, "", session=session),
        st.sampled_from([SET_SESSION, END_SESSION]),
        st.integers(-(2**63), 2**63 - 1),
    ),
)


@given(
    st.lists(st.tuples(st.integers(0, 4095), st.lists(changes, max_size=4)).map(lambda each: Write(*each)))
)
def test_there_and_back(writes):
    """Every change in order, with its position."""
    flat = [(write.position, change) for write in writes for change in write.changes]
    entries = list(journal.decode(journal.encode(writes, {})))
    assert [each[:4] for each in entries] == [
        (position, change.kind, change.path, change.session) for position, change in flat
    ]
    for entry, (_, change) in zip(entries, flat, strict=True):
        assert entry.acl is (change.node.acl if change.kind in (CREATE, SET_ACL) else None)
