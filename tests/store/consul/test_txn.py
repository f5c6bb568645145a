"""Commits as Consul transactions: which operations, in which order, and what fits."""

import json
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from parkeeper.errors import Rejected
from parkeeper.store.consul.messages import Pair
from parkeeper.store.consul.names import Names
from parkeeper.store.consul.ring import Ring, pack_entry
from parkeeper.store.consul.txn import Transactions
from parkeeper.store.facade import Commit, Head, Receipt
from parkeeper.store.keys import Layout

NAMES = Names(Layout())
HEAD = Head(7, 5, 0x1_0000_0009)
FLAGS = 3 << 32 | 9


def commit(
    guards: Mapping[str, int], puts: Mapping[str, bytes], deletes: tuple[str, ...] = (), head: Head = HEAD
) -> Commit:
    """Of keeper 3, whose head is at 50 and whose fence is at 40."""
    return Commit(3, head, {"head/3": 50, "fence/3": 40} | dict(guards), puts, deletes, b"journal", 60)


def exact(
    transactions: Transactions, commit: Commit, ring: Ring | None = None
) -> list[dict[str, Any]] | None:
    """The operations of a commit with all its guards."""
    assert commit.head is not None
    body = transactions.exact(commit, pack_entry(commit, commit.head), ring or Ring(3))
    return None if body is None else [each["KV"] for each in json.loads(body)]


def told(operations: list[dict[str, Any]] | None) -> list[tuple[Any, ...]]:
    """Verb, key below the namespace, and index."""
    assert operations is not None
    return [
        (each["Verb"], each["Key"].removeprefix("parkeeper/"), each.get("Index", 0)) for each in operations
    ]


def test_exact_when_small() -> None:
    """Guards, the look at the heads, writes, the ring, the head; guard and write of a key are one."""
    operations = exact(
        Transactions(NAMES),
        commit(
            {"node/a": 20, "kids/": 30, "node/x": 31, "kids/x": 0, "stat/a": 0},
            {"stat/a": b"S", "data/a": b"D", "kids/": b"K", "fence/4": b"F"},
            ("node/x", "data/x", "kids/x"),
        ),
    )
    assert told(operations) == [
        ("check-index", "fence/3", 40),
        ("check-index", "node/a", 20),
        ("check-index", "node/x", 31),
        ("check-not-exists", "kids/x", 0),
        ("get-tree", "live/head/", 0),
        ("cas", "kids/", 30),
        ("cas", "stat/a", 0),
        ("set", "data/a", 0),
        ("set", "fence/4", 0),
        ("delete", "node/x", 0),
        ("delete", "data/x", 0),
        ("set", "feed/3/5", 0),
        ("cas", "live/head/3", 50),
    ]


def test_exact_marks_all_it_writes() -> None:
    """Consul drops a write of the same value and Flags: every set and cas carries keeper and try number."""
    operations = exact(Transactions(NAMES), commit({"node/a": 20}, {"node/a": b"1", "data/a": b""}))
    assert operations is not None
    assert [each.get("Flags") for each in operations] == [None, None, FLAGS, FLAGS, FLAGS, FLAGS]


def test_exact_when_many_are_deleted() -> None:
    """Fourteen deletes under one parent are one commit: a deleted node's guard and delete are then one."""
    guards: dict[str, int] = {"node/p": 10, "kids/p": 11}
    deletes: list[str] = []
    for i in range(14):
        guards |= {f"node/p/{i}": 12, f"kids/p/{i}": 0}
        deletes += [f"node/p/{i}", f"stat/p/{i}", f"data/p/{i}"]
    operations = told(exact(Transactions(NAMES), commit(guards, {"kids/p": b"K"}, tuple(deletes))))
    assert len(operations) == 62
    assert operations.count(("delete-cas", "node/p/3", 12)) == 1
    assert ("check-index", "node/p/3", 12) not in operations


@pytest.mark.parametrize("kind", ["creates", "sets"])
def test_exact_when_as_large_as_it_may_be(kind: str) -> None:
    """29 creates under one parent, or 20 setData, are exactly 64 operations; one more is no commit."""

    def shape(n: int) -> Commit:
        if kind == "creates":
            puts = {f"{part}/p/{i}": b"v" for i in range(n) for part in ("node", "data")}
            return commit({"node/p": 10, "kids/p": 11}, puts | {"kids/p": b"K"})
        puts = {f"{part}/{i}": b"v" for i in range(n) for part in ("stat", "data")}
        return commit({f"{part}/{i}": 12 for i in range(n) for part in ("node", "stat")}, puts)

    most = {"creates": 29, "sets": 20}[kind]
    operations = exact(Transactions(NAMES), shape(most))
    assert operations is not None
    assert len(operations) == 64
    assert exact(Transactions(NAMES), shape(most + 1)) is None


def test_coarse_guards_the_heads_that_live() -> None:
    """What is about the tree is guarded by "nobody committed, nobody came"; the other guards stay."""
    transactions = Transactions(NAMES)
    large = commit(
        {f"node/{i}": 10 for i in range(300)} | {"keeper/8": 44, "node/a": 12},
        {"node/a": b"1", "fence/8": b"F"},
        ("keeper/8",),
    )
    assert exact(transactions, large) is None
    body = transactions.coarse(large, b"entry", Ring(3), {4: 51, 6: 58}, 33)
    assert told([each["KV"] for each in json.loads(body)]) == [
        ("check-index", "fence/3", 40),
        ("check-index", "live/keeper/8", 44),
        ("check-index", "live/ids", 33),
        ("check-index", "live/head/4", 51),
        ("check-index", "live/head/6", 58),
        ("get-tree", "live/head/", 0),
        ("set", "node/a", 0),
        ("set", "fence/8", 0),
        ("delete", "live/keeper/8", 0),
        ("set", "feed/3/5", 0),
        ("cas", "live/head/3", 50),
    ]


def test_coarse_when_there_is_too_much_of_all() -> None:
    """Refused for good, and told what to change."""
    transactions = Transactions(NAMES)
    with pytest.raises(Rejected, match="64 in a transaction"):
        transactions.coarse(commit({}, {f"data/{i}": b"" for i in range(64)}), b"entry", Ring(3), {}, 33)
    with pytest.raises(Rejected, match="txn_max_req_len"):
        transactions.coarse(commit({}, {"data/a": bytes(400_000)}), bytes(400_000), Ring(3), {}, 33)
    transactions.body = 4 << 20
    with pytest.raises(Rejected, match="kv_max_value_size"):
        transactions.coarse(commit({}, {"data/a": bytes(600_000)}), bytes(600_000), Ring(3), {}, 33)


def test_exact_drops_the_oldest_when_the_ring_is_overfull() -> None:
    """Two entries go with each commit while the ring is above its bytes."""
    ring = Ring(3, slots=100, size=1000)
    for counter in range(1, 5):
        ring.written(counter, 300, [])
    operations = told(exact(Transactions(NAMES), commit({}, {"data/a": b"1"}), ring))
    assert operations[-4:] == [
        ("delete", "feed/3/1", 0),
        ("delete", "feed/3/2", 0),
        ("set", "feed/3/5", 0),
        ("cas", "live/head/3", 50),
    ]


def test_receipt_tells_the_head_before() -> None:
    """Recorded from Consul 1.8.7: the heads as they were come first, then what was written."""
    pairs = [
        Pair("parkeeper/live/head/2", 48, 20, b"x"),
        Pair("parkeeper/live/head/3", 50, 30, b"x"),
        Pair("parkeeper/data/a", 71, 71),
        Pair("parkeeper/live/head/3", 71, 30),
    ]
    assert Transactions(NAMES).receipt(pairs) == Receipt(71, 50)
    assert Transactions(NAMES).receipt(pairs[2:3]) == Receipt(71, 0)


def test_value_is_that_of_consuls_default() -> None:
    """About 190 KB, since the value stands in its key and in the ring, in base64, within 512 KiB."""
    assert 180_000 < Transactions(NAMES).value < 196_608


@given(
    puts=st.integers(0, 40),
    deletes=st.integers(0, 40),
    guards=st.integers(0, 60),
    shared=st.integers(0, 40),
    length=st.sampled_from([0, 10, 5_000, 60_000]),
    others=st.integers(0, 5) | st.integers(50, 70),
)
def test_fits_is_never_more_than_is_taken(
    puts: int, deletes: int, guards: int, shared: int, length: int, others: int
) -> None:
    """Whatever `fits` allows, or allows without guards, is a transaction: those of the heads can take their place."""
    transactions = Transactions(NAMES)
    written = {f"data/{i}": bytes(length) for i in range(puts)}
    gone = tuple(f"node/{i}" for i in range(deletes))
    # First those of items that are written too, then of others.
    targets = [*written, *gone][: min(shared, guards)]
    targets += [f"kids/{i}" for i in range(guards - len(targets))]
    size = sum(len(name) + len(value) for name, value in written.items()) + sum(map(len, gone))
    if not transactions.fits(guards, puts, deletes, size, others, filling=False):
        assume(transactions.fits(0, puts, deletes, size, others, filling=False))
    planned = commit(dict.fromkeys(targets, 9), written, gone)
    entry = pack_entry(planned, HEAD)
    body = transactions.exact(planned, entry, Ring(3))
    if body is None:
        body = transactions.coarse(planned, entry, Ring(3), {10 + i: 9 for i in range(others)}, 9)
    assert len(json.loads(body)) <= 64
    assert len(body) <= 524_288


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 2**63), st.sampled_from([b"", b"same", b"other"])),
        min_size=2,
        max_size=8,
        unique_by=lambda each: (each[0], each[1] & 0xFFFFFFFF),
    )
)
def test_no_two_commits_write_the_same_value_with_the_same_flags(
    commits: list[tuple[int, int, bytes]],
) -> None:
    """Commits of different keepers, or of one with different try numbers, never look alike to Consul."""
    seen: set[tuple[str, bytes, int]] = set()
    for keeper, attempt, value in commits:
        head = Head(7, 5, attempt)
        planned = Commit(keeper, head, {f"head/{keeper}": 1}, {"fence/9": value, "data/a": value})
        for each in exact(Transactions(NAMES), planned) or []:
            if each["Verb"] in ("set", "cas"):
                wrote = (each["Key"], b64decode(each.get("Value", "")), each["Flags"])
                assert wrote not in seen
                seen.add(wrote)


def test_a_small_commit_fits_however_many_keepers_live() -> None:
    """A keeper that crashes again and again leaves items behind until they are declared dead; meanwhile it serves."""
    transactions = Transactions(NAMES)
    assert transactions.fits(6, 3, 0, 500, others=62, filling=True)
    assert not transactions.fits(60, 3, 0, 500, others=62, filling=True)
    assert not transactions.fits(0, 3, 0, 500, others=62, filling=True)
