"""Batches: what several changes of one item become, what a commit may hold, and what a refused request leaves."""

import struct

import pytest

from parkeeper.tree import encoding, journal
from parkeeper.tree.batch import Batch, written
from parkeeper.tree.sessions import (
    CLAIM_SESSION,
    CLOSE_SESSION,
    OPEN_SESSION,
    ClaimSession,
    CloseSession,
    OpenSession,
)
from parkeeper.tree.view import View
from parkeeper.wire.multi import Multi
from parkeeper.wire.requests import Check, Create, Delete, SetAcl, SetData
from tests.tree.ledger import Asked, plan_one
from tests.tree.planning import OPEN, Acl, Bench

READ = (Acl(17, "world", "anyone"),)
MINE = 1 << 32 | 1


@pytest.fixture
def bench() -> Bench:
    """/p with x (set once, one child) and y (never set); /q without children."""
    bench = Bench()
    bench.plant("/p", "/p/x", "/p/x/c", "/p/y", "/q")
    bench.ask(5, SetData("/p/x", b"1", -1))
    return bench


def create(path: str, data: bytes | None = b"", acl=OPEN, flags: int = 0) -> Asked:
    return Asked(1, Create(path, data, acl, flags), MINE)


def delete(path: str) -> Asked:
    return Asked(2, Delete(path, -1))


def set_data(path: str, data: bytes | None) -> Asked:
    return Asked(5, SetData(path, data, -1))


def set_acl(path: str, acl) -> Asked:
    return Asked(7, SetAcl(path, acl, -1))


FOLDS = [
    ("create", [create("/p/n")], "node/p/n data/p/n kids/p", ""),
    ("set", [set_data("/p/y", b"1")], "stat/p/y data/p/y", ""),
    ("set twice", [set_data("/p/y", b"1"), set_data("/p/y", b"2")], "stat/p/y data/p/y", ""),
    ("acl twice", [set_acl("/p/y", READ), set_acl("/p/y", OPEN)], "node/p/y", ""),
    ("set and acl", [set_data("/p/y", b"1"), set_acl("/p/y", READ)], "stat/p/y data/p/y node/p/y", ""),
    ("create, set", [create("/p/n"), set_data("/p/n", b"1")], "node/p/n data/p/n kids/p stat/p/n", ""),
    ("create, acl", [create("/p/n"), set_acl("/p/n", READ)], "node/p/n data/p/n kids/p", ""),
    ("create, delete", [create("/p/n"), delete("/p/n")], "kids/p", ""),
    ("create, set, acl, delete", [create("/p/n"), set_data("/p/n", b"1"), set_acl("/p/n", READ), delete("/p/n")],
     "kids/p", ""),
    ("create, delete, create", [create("/p/n"), set_data("/p/n", b"1"), delete("/p/n"), create("/p/n")],
     "node/p/n data/p/n kids/p", ""),
    ("delete", [delete("/p/y")], "kids/p", "node/p/y data/p/y stat/p/y"),
    ("delete with kids", [delete("/p/x/c"), delete("/p/x")], "kids/p",
     "node/p/x data/p/x stat/p/x kids/p/x node/p/x/c data/p/x/c stat/p/x/c"),
    ("set, delete", [set_data("/p/y", b"1"), delete("/p/y")], "kids/p", "node/p/y data/p/y stat/p/y"),
    ("acl, delete", [set_acl("/p/y", READ), delete("/p/y")], "kids/p", "node/p/y data/p/y stat/p/y"),
    ("delete, create", [delete("/p/y"), create("/p/y")], "kids/p node/p/y data/p/y", "stat/p/y"),
    ("delete, create, set", [delete("/p/y"), create("/p/y"), set_data("/p/y", b"1")],
     "kids/p node/p/y data/p/y stat/p/y", ""),
    ("delete, create, delete", [delete("/p/y"), create("/p/y"), delete("/p/y")], "kids/p",
     "node/p/y data/p/y stat/p/y"),
    ("parent anew", [delete("/p/x/c"), delete("/p/x"), create("/p/x")], "kids/p node/p/x data/p/x",
     "stat/p/x kids/p/x node/p/x/c data/p/x/c stat/p/x/c"),
    ("parent and child anew", [delete("/p/x/c"), delete("/p/x"), create("/p/x"), create("/p/x/c")],
     "kids/p node/p/x data/p/x kids/p/x node/p/x/c data/p/x/c", "stat/p/x stat/p/x/c"),
    ("a family comes and goes", [create("/q/n"), create("/q/n/c"), delete("/q/n/c"), delete("/q/n")], "kids/q", ""),
    ("open", [Asked(OPEN_SESSION, OpenSession(77, 1))], "session/77", ""),
    ("open, claim", [Asked(OPEN_SESSION, OpenSession(77, 1)), Asked(CLAIM_SESSION, ClaimSession(77, 2))], "session/77", ""),
    ("open, close", [Asked(OPEN_SESSION, OpenSession(77, 1)), Asked(CLOSE_SESSION, CloseSession(77))], "", ""),
    ("claim, close", [Asked(CLAIM_SESSION, ClaimSession(MINE, 2)), Asked(CLOSE_SESSION, CloseSession(MINE))], "",
     f"session/{MINE}"),
    ("ephemeral and close", [create("/p/e", flags=1), Asked(CLOSE_SESSION, CloseSession(MINE))], "kids/p",
     f"session/{MINE}"),
]  # fmt: skip


MULTIS = [
    (
        f"{name}, in a multi",
        [Asked(14, Multi(tuple((each.op, each.record) for each in asked)), MINE)],
        puts,
        deletes,
    )
    for name, asked, puts, deletes in FOLDS
    if all(each.op in (1, 2, 5) for each in asked)
]


@pytest.mark.parametrize(
    ("asked", "puts", "deletes"),
    [each[1:] for each in FOLDS + MULTIS],
    ids=[each[0] for each in FOLDS + MULTIS],
)
def test_changes_of_an_item_fold(bench, asked, puts, deletes):
    """Its last value is put; what came and went leaves nothing; the journal keeps every change in order."""
    outcomes = bench.together(*asked)
    assert all(outcome.code == 0 for outcome in outcomes)
    assert bench.puts.keys() == set(puts.split())
    assert set(bench.deletes) == set(deletes.split())
    assert len(set(bench.deletes)) == len(bench.deletes)
    entries = list(journal.decode(bench.ledger.log[-1].journal))
    told = [(position, change) for position, outcome in enumerate(outcomes) for change in outcome.changes]
    assert [(entry.position, entry.kind, entry.path) for entry in entries] == [
        (position, change.kind, change.path) for position, change in told
    ]


def test_values_are_the_last_ones(bench):
    """Numbers of the last change, zxids by position: ~i for what this commit writes, a number for what it found."""
    czxid = bench.replica.nodes["/p/y"].czxid
    bench.now = 9_999
    bench.together(
        set_data("/p/y", b"one"), set_data("/p/y", b"three"), set_acl("/p/y", READ), create("/p/n")
    )
    null, version, mzxid, mtime, length = struct.unpack_from(">xBiqqI", bench.puts["stat/p/y"])
    assert (null, version, mzxid, mtime, length) == (0, 2, ~1, 9_999, 5)
    assert bench.puts["data/p/y"] == b"three"
    assert struct.unpack_from(">xBqqi", bench.puts["node/p/y"])[1:] == (czxid, 1_000, 1)
    assert struct.unpack_from(">xBqqi", bench.puts["node/p/n"]) == (0, ~3, 9_999, 0)
    assert struct.unpack_from(">xiiq", bench.puts["kids/p"]) == (3, 3, ~3)


def test_positions_count_writes_only(bench):
    """Refused requests have none, and neither has a multi that only checks."""
    batch = bench.keeper.plan(
        [delete("/no"), create("/a"), Asked(14, Multi(())), delete("/no"), create("/b"), create("/b")], 0
    )
    assert [each.position for each in batch.planned] == [-1, 0, -1, -1, 1, -1]
    assert [each.code for each in batch.planned] == [-101, 0, 0, -101, 0, -110]
    assert [entry.position for entry in journal.decode(batch.seal().journal)] == [0, 1]


def test_changes_nothing(bench):
    """A batch of refusals has nothing to commit, though it has guards."""
    batch = bench.keeper.plan([delete("/no"), Asked(14, Multi(()))], 0)
    assert batch.changes_nothing
    assert batch.guards == {"node/": bench.ledger.revision_of("node/"), "node/no": 0}
    assert not bench.keeper.plan([create("/a")], 0).changes_nothing


def test_wrote(bench):
    """Whether an item will be another after the batch."""
    batch = bench.keeper.plan([create("/p/n"), delete("/p/y"), create("/q/c"), delete("/q/c")], 0)
    for name in ("node/p/n", "data/p/n", "kids/p", "node/p/y", "stat/p/y", "kids/q"):
        assert batch.wrote(name), name
    for name in ("stat/p/n", "node/p", "node/q/c", "kids/p/y"):
        assert not batch.wrote(name), name


# Limits.


def limited(bench: Bench, most: int, *asked: Asked) -> Batch[Asked]:
    """A batch of at most so many puts and deletes, with each request tried."""
    batch = Batch[Asked](
        View(bench.replica, 0, 1), lambda guards, puts, deletes, size: puts + deletes <= most
    )
    for each in asked:
        plan_one(batch, each)
    return batch


def test_take_when_it_does_not_fit(bench):
    """The view is as before: what comes next is planned as if it had not been there."""
    batch = limited(bench, 5, create("/p/n"), create("/q/n"), set_data("/p/y", b"1"), create("/p/o", flags=2))
    # 3 for the first, 3 more for the second, 2 more for the third, 2 more (kids/p is there) for the last
    assert [each.asked.record.path for each in batch.planned] == ["/p/n", "/p/y"]
    assert batch.view.peek("/q/n") is None
    assert batch.view.peek("/p/o0000000003") is None
    sealed = batch.seal()
    assert sealed.puts.keys() == {"node/p/n", "data/p/n", "kids/p", "stat/p/y", "data/p/y"}
    assert "node/q" not in sealed.guards


def test_take_counts_what_is_new_only(bench):
    """An item that the batch writes already costs nothing more."""
    sets = [set_data("/p/y", b"%d" % number) for number in range(9)]
    assert len(limited(bench, 2, *sets).planned) == 9
    siblings = [create(f"/q/{number}") for number in range(9)]
    assert len(limited(bench, 11, *siblings).planned) == 5


def test_take_counts_fences(bench):
    """A session taken from another keeper rewrites its fence; once for several."""
    for session in (2 << 32 | 1, 2 << 32 | 2):
        value = struct.pack(">BiIqBI", 1, 4_000, 2, 0, 0, 0)
        keeper = encoding.encode_keeper(encoding.KeeperItem(1, 1, 1, 1, 1, ()))
        bench.ledger.commit(2, {}, {f"session/{session}": value, "keeper/2": keeper}, (), b"")
    bench.keeper.load()
    claims = [Asked(CLAIM_SESSION, ClaimSession(2 << 32 | number, 1)) for number in (1, 2)]
    assert len(limited(bench, 1, *claims).planned) == 0
    batch = limited(bench, 3, *claims)
    assert len(batch.planned) == 2
    assert batch.taken == {2}


def test_take_leaves_room_for_this_keepers_ticket(bench):
    """The commit that ends its waiting removes it."""
    assert len(limited(bench, 2, set_data("/p/y", b"")).planned) == 1
    bench.ledger.commit(
        1, {}, {"turn/1": encoding.encode_turn(encoding.Turn(1, 1, frozenset({"kids/"})))}, (), b""
    )
    bench.keeper.catch_up()
    assert len(limited(bench, 2, set_data("/p/y", b"")).planned) == 0
    assert len(limited(bench, 3, set_data("/p/y", b"")).planned) == 1


def test_take_tells_guards_and_size(bench):
    """Guards, those of refusals included, writes and bytes: no less than what the commit has."""
    asked: list[tuple[int, ...]] = []
    batch = Batch[Asked](View(bench.replica, 0, 1), lambda *numbers: asked.append(numbers) is None)
    for each in (
        create("/p/" + "é" * 30, b"x" * 100),
        delete("/p/no"),
        delete("/p/y"),
        set_data("/p/x", b"y" * 50),
    ):
        plan_one(batch, each)
    plan_one(batch, create("/p/" + "é" * 50, b"z" * 10, (Acl(1, "digest", "é" * 40 + ":x"),)))
    sealed = batch.seal()
    assert asked[-1][0] >= len(sealed.guards)
    size = sum(len(name.encode()) + len(value) for name, value in sealed.puts.items())
    size += sum(len(name.encode()) for name in sealed.deletes) + len(sealed.journal)
    assert size <= asked[-1][3] <= 10 * size
    assert asked[-1][1] + asked[-1][2] >= len(sealed.puts) + len(sealed.deletes)


CREATES = [create(f"/q/{number}") for number in range(9)]
CHECKS = [(13, Check(path, -1)) for path in ("/p", "/p/x", "/p/x/c", "/q")]


@pytest.mark.parametrize(
    ("bound", "most", "first", "asked"),
    [
        ("guards", 7, Asked(14, Multi(tuple((1, each.record) for each in CREATES)), MINE),
         [set_data(path, b"") for path in ("/p", "/p/x", "/p/x/c", "/q")]),
        ("writes", 12, Asked(14, Multi((*CHECKS, (5, SetData("/p/y", b"x" * 3000, -1)))), MINE), CREATES),
        ("bytes", 5000, set_data("/p/y", b"small"), [set_data("/p/y", b"x" * 5000)]),
    ],
    ids=["guards", "writes", "bytes"],
)  # fmt: skip
def test_take_asks_again_where_there_may_be_no_room(bench, bound, most, first, asked):
    """What was found to fit, with room for twice as much, says nothing of more than that, nor of another bound."""

    def fits(guards: int, puts: int, deletes: int, size: int) -> bool:
        return {"guards": guards, "writes": puts + deletes, "bytes": size}[bound] <= most

    batch = Batch[Asked](View(bench.replica, 0, 1), fits)
    assert plan_one(batch, first)
    assert not all(plan_one(batch, each) for each in asked)
    sealed = batch.seal()
    size = sum(len(name) + len(value) for name, value in sealed.puts.items())
    assert {"guards": len(sealed.guards), "writes": len(sealed.puts), "bytes": size}[bound] <= most


def test_take_counts_guards_once(bench):
    """Those the batch has already cost nothing more; a lone request may do with a store's coarse guards."""
    batch = Batch[Asked](View(bench.replica, 0, 1), lambda guards, puts, deletes, size: guards <= 2)
    for each in (set_data("/p/y", b"1"), set_data("/q", b"1"), set_data("/p/y", b"2")):
        plan_one(batch, each)
    assert [each.asked.record.data for each in batch.planned] == [b"1", b"2"]
    batch = Batch[Asked](View(bench.replica, 0, 1), lambda guards, puts, deletes, size: guards <= 1)
    for each in (set_data("/p/y", b"1"), set_data("/p/y", b"2"), set_data("/q", b"1")):
        plan_one(batch, each)
    assert [each.asked.record.data for each in batch.planned] == [b"1"]


def test_refused_when_the_commit_cannot_hold_its_guards(bench):
    """They count as those of writes do; without a write there is no commit to hold them."""
    nowhere = [Asked(5, SetData(f"/{name}", b"", -1)) for name in "abcd"]
    batch = Batch[Asked](View(bench.replica, 0, 1), lambda guards, puts, deletes, size: guards <= 3)
    assert [plan_one(batch, each) for each in (nowhere[0], set_data("/q", b"1"), nowhere[0])] == [True] * 3
    assert not plan_one(batch, nowhere[1])
    assert batch.guards.keys() == {"node/a", "node/q", "stat/q"}
    batch = Batch[Asked](View(bench.replica, 0, 1), lambda guards, puts, deletes, size: guards <= 3)
    assert all(plan_one(batch, each) for each in nowhere)


def test_refused_leaves_no_trace_but_its_guards(bench):
    """A multi that failed at its end: overlay, sequence numbers and changes are gone."""
    batch = Batch[Asked](View(bench.replica, 0, 1), lambda *_: True)
    multi = Multi(((1, Create("/p/n", b"", OPEN, 2)), (5, SetData("/p/x", b"", -1)), (2, Delete("/p/x", -1))))
    plan_one(batch, Asked(14, multi))
    assert batch.view.changes == []
    assert batch.view.peek("/p/n0000000002") is None
    assert batch.view.peek("/p/x") is bench.replica.nodes["/p/x"]
    assert batch.view.kids("/p") is bench.replica.kids["/p"]
    assert batch.planned[0].changes == []
    assert batch.planned[0].position == -1
    assert batch.guards.keys() == {"node/p", "kids/p", "node/p/x", "stat/p/x", "kids/p/x"}
    assert batch.seal().puts == {}


def test_refused_keeps_what_came_before(bench):
    """Only the failing request's own changes are taken back."""
    outcomes = bench.together(
        set_data("/p/y", b"kept"),
        Asked(14, Multi(((5, SetData("/p/y", b"lost", 1)), (1, Create("/p/y", b"", OPEN, 0))))),
        set_data("/q", b"kept"),
    )
    assert [outcome.code for outcome in outcomes] == [0, 0, 0]
    assert bench.puts["data/p/y"] == b"kept"
    assert bench.replica.nodes["/p/y"].version == 1


def test_written(bench):
    """All items that changes may put or delete."""
    batch = bench.keeper.plan(
        [create("/p/n"), set_acl("/q", READ), Asked(CLAIM_SESSION, ClaimSession(MINE, 1))], 0
    )
    names = [written(each.changes) for each in batch.planned]
    assert names == [{"node/p/n", "data/p/n", "kids/p"}, {"node/q"}, {f"session/{MINE}"}]
    batch = bench.keeper.plan([delete("/p/y"), set_data("/q", b"")], 0)
    names = [written(each.changes) for each in batch.planned]
    assert names[0] == {"node/p/y", "data/p/y", "stat/p/y", "kids/p/y", "kids/p"}
    assert names[1] == {"stat/q", "data/q"}


def test_values_may_repeat_where_the_docs_say_so(bench):
    """A znode made anew in one commit, in the same ms, at the same position: only a store's own mark tells them apart.

    Consul drops a write of the same value, so its adapter puts a mark of the commit beside it.
    """
    anew = Multi(
        (
            *((2, Delete("/q/c", -1)), (2, Delete("/q", -1)), (1, Create("/q", b"", OPEN, 0))),
            *((5, SetData("/q", b"x", 0)), (1, Create("/q/c", b"", OPEN, 0))),
        )
    )
    bench.plant("/q/c")
    bench.ask(14, anew)
    first = bench.puts
    bench.ask(14, anew)
    repeated = {name for name, value in bench.puts.items() if first.get(name) == value}
    assert repeated == {"node/q", "data/q", "stat/q", "kids/q", "node/q/c", "data/q/c"}
