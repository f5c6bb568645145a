"""multi: all or nothing, one zxid, each operation seeing the ones before it, answers byte by byte."""

import pytest

from parkeeper.wire.multi import Multi
from parkeeper.wire.records import Acl
from parkeeper.wire.requests import Check, Create, CreateTtl, Delete, SetAcl, SetData
from tests.tree.ledger import Asked
from tests.tree.planning import OPEN, ROOT, USER, Bench, Outcome, but, stat_in

MULTI = 14
END = bytes.fromhex("ffffffff 01 ffffffff")


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.plant("/p", "/p/x")
    bench.plant("/closed", acl=but(2))
    return bench


def ask(bench: Bench, *ops, session: int | None = None, **context) -> Outcome:
    return bench.ask(MULTI, Multi(ops), bench.mine if session is None else session, **context)


def head(type: int) -> bytes:
    return type.to_bytes(4) + bytes(5)


def failure(code: int) -> bytes:
    number = code.to_bytes(4, signed=True)
    return b"\xff\xff\xff\xff\0" + number + number


def test_multi_answers_each_in_its_way(bench):
    """create its path; create2, container and TTL node path and Stat under type 15; setData its Stat."""
    outcome = ask(
        bench,
        (1, Create("/p/1", b"", OPEN, 0)),
        (15, Create("/p/2", b"22", OPEN, 0)),
        (19, Create("/p/3", b"", OPEN, 4)),
        (21, CreateTtl("/p/4", b"", OPEN, 5, 9)),
        (5, SetData("/p/x", b"55555", -1)),
        (13, Check("/p/x", 1)),
        (2, Delete("/p/x", 1)),
    )
    stat = 68
    parts = [head(1) + b"\0\0\0\4/p/1"]
    parts += [head(15) + b"\0\0\0\4/p/%d" % number + b"?" * stat for number in (2, 3, 4)]
    parts += [head(5) + b"?" * stat, head(13), head(2), END]
    wanted = b"".join(parts)
    assert len(outcome.body) == len(wanted)
    assert all(a == b for a, b in zip(outcome.body, wanted, strict=True) if b != ord("?"))
    at = wanted.index(b"?" * stat)
    assert stat_in(outcome.body[: at + stat]).length == 2
    at = wanted.index(head(5)) + 9
    assert stat_in(outcome.body[: at + stat]).length == 5


def test_multi_has_one_zxid_and_stats_of_the_moment(bench):
    """Each Stat is that right after its operation, not the end's."""
    outcome = ask(
        bench,
        (15, Create("/p/n", b"", OPEN, 0)),
        (5, SetData("/p/n", b"1", 0)),
        (1, Create("/p/n/c", b"", OPEN, 0)),
        (5, SetData("/p/n", b"22", 1)),
    )
    body = outcome.body
    first = 9 + 8 + 68
    made, set_once = stat_in(body[:first]), stat_in(body[: first + 9 + 68])
    set_twice = stat_in(body[: -len(END)])
    assert made.czxid == made.mzxid == made.pzxid == outcome.zxid
    assert (made.version, made.children, made.length) == (0, 0, 0)
    assert (set_once.version, set_once.children, set_once.length) == (1, 0, 1)
    assert (set_twice.version, set_twice.children, set_twice.length, set_twice.cversion) == (2, 1, 2, 1)
    assert {set_once.mzxid, set_twice.mzxid, set_twice.pzxid} == {outcome.zxid}
    assert bench.stat("/p/n") == set_twice


@pytest.mark.parametrize("bad", range(4))
def test_multi_when_one_fails(bench, bad):
    """0 before it, its code, -2 after it; the header says 0; nothing is left of the others."""
    before = bench.stat("/p")
    ops = [
        (1, Create("/p/n", b"", OPEN, 2)),
        (5, SetData("/p/x", b"1", 0)),
        (2, Delete("/p/x", 1)),
        (1, Create("/q", b"", OPEN, 0)),
    ]
    ops[bad] = (2, Delete("/p/none", -1))
    outcome = ask(bench, *ops)
    codes = [failure(0)] * bad + [failure(-101)] + [failure(-2)] * (3 - bad)
    assert (outcome.code, outcome.body, outcome.changes) == (0, b"".join(codes) + END, [])
    assert bench.stat("/p") == before
    assert bench.replica.nodes["/p/x"].version == 0


FAILURES = [
    ((1, Create("/p/x", b"", OPEN, 0)), -110),
    ((1, Create("/no/x", b"", OPEN, 0)), -101),
    ((1, Create("/p/y", b"", (), 0)), -114),
    ((1, Create("/p/y", b"", OPEN, 9)), -8),
    ((21, CreateTtl("/p/y", b"", OPEN, 5, 0)), -8),
    ((21, CreateTtl("/p/y", b"", None, 5, 1)), -114),
    ((2, Delete("/", -1)), -8),
    ((2, Delete("/p", -1)), -111),
    ((5, SetData("/closed", b"", -1)), -102),
    ((5, SetData("/p/x", b"", 3)), -103),
    ((13, Check("/p/x", 3)), -103),
]


@pytest.mark.parametrize(("op", "code"), FAILURES)
def test_multi_makes_every_check_of_the_operation_alone(bench, op, code):
    """ACLs included."""
    assert ask(bench, op).body == failure(code) + END


def test_multi_when_ttl_nodes_are_off(bench):
    """The operation fails, not the request."""
    op = (21, CreateTtl("/p/y", b"", OPEN, 5, 1))
    assert bench.ask(MULTI, Multi((op,)), ttl_nodes=False).body == failure(-6) + END


def test_multi_when_empty(bench):
    """It succeeds, with nothing to commit and nothing to rest on."""
    outcome = ask(bench)
    assert (outcome.code, outcome.body, outcome.guards) == (0, END, {})


def test_multi_makes_what_the_kind_says(bench):
    """The decoder settled it by the flag; ephemerals belong to the asker."""
    ask(bench, (19, Create("/p/c", b"", OPEN, 4)), (15, Create("/p/e", b"", OPEN, 1)))
    assert bench.replica.nodes["/p/c"].owner == -(1 << 63)
    assert bench.replica.nodes["/p/e"].owner == bench.mine


@pytest.mark.parametrize(
    "ops",
    [
        ((2, Delete("/p/x", -1)), (1, Create("/p/x", b"new", OPEN, 0)), (5, SetData("/p/x", b"s", 0))),
        ((1, Create("/p/y", b"", OPEN, 0)), (2, Delete("/p/y", 0)), (13, Check("/p", 0))),
        ((1, Create("/q", b"", OPEN, 0)), (1, Create("/q/r", b"", OPEN, 0)), (2, Delete("/q/r", -1))),
        ((5, SetData("/p/x", b"1", 0)), (13, Check("/p/x", 1)), (5, SetData("/p/x", b"2", 1))),
        ((2, Delete("/p/x", -1)), (2, Delete("/p", -1)), (1, Create("/p", b"", OPEN, 1))),
    ],
)
def test_multi_sees_what_it_did_before(bench, ops):
    """Every operation has the state that the ones before it left."""
    assert len(ask(bench, *ops).changes) == sum(op != 13 for op, _ in ops)


@pytest.mark.parametrize(
    ("ops", "code"),
    [
        (((1, Create("/p/y", b"", OPEN, 0)), (1, Create("/p/y", b"", OPEN, 0))), -110),
        (((2, Delete("/p/x", -1)), (5, SetData("/p/x", b"", -1))), -101),
        (((5, SetData("/p/x", b"", -1)), (2, Delete("/p/x", 0))), -103),
        (((1, Create("/p/x/y", b"", OPEN, 0)), (2, Delete("/p/x", -1))), -111),
        (((1, Create("/e", b"", OPEN, 1)), (1, Create("/e/y", b"", OPEN, 0))), -108),
        (((1, Create("/s", b"", but(4), 0)), (1, Create("/s/y", b"", OPEN, 0))), -102),
        (((2, Delete("/p/x", -1)), (2, Delete("/p", -1)), (1, Create("/p/x", b"", OPEN, 0))), -101),
    ],
)
def test_multi_fails_by_what_it_did_before(bench, ops, code):
    """The same for errors."""
    assert ask(bench, *ops).body.endswith(failure(code) + END)


def test_multi_asks_with_the_identities_of_the_request(bench):
    """Each operation with the same ones."""
    bench.ask(7, SetAcl("/p", (Acl(4, "digest", "u:h"),), -1), who=ROOT)
    op = (1, Create("/p/y", b"", OPEN, 0))
    assert ask(bench, op).body == failure(-102) + END
    assert ask(bench, op, who=USER).body != failure(-102) + END


def test_multi_in_a_batch_after_a_failed_one(bench):
    """What failed is not seen by the next request of the same commit, and takes no position."""
    make = (1, Create("/p/n", b"", OPEN, 2))
    failed, made, after = bench.together(
        Asked(MULTI, Multi((make, make, (13, Check("/no", 0))))),
        Asked(1, Create("/p/n", b"", OPEN, 2)),
        Asked(MULTI, Multi((make,))),
    )
    assert failed.changes == []
    assert made.path == "/p/n0000000001"
    assert after.changes[0].path == "/p/n0000000002"
    assert after.zxid == made.zxid + 1 == bench.ledger.revision * 4096 + 1


def test_a_container_with_an_ephemeral_flag_has_no_children_in_the_multi_that_makes_it(bench):
    """ZooKeeper's pending record takes it for an ephemeral until it is applied; found by the oracle."""
    for flags, child in ((1, "/p/c/1"), (3, "/p/c0000000001/1")):
        outcome = ask(bench, (19, Create("/p/c", b"", OPEN, flags)), (1, Create(child, b"", OPEN, 0)))
        assert outcome.body == failure(0) + failure(-108) + END
    assert (
        ask(bench, (19, Create("/p/c", b"", OPEN, 4)), (1, Create("/p/c/1", b"", OPEN, 0))).body[:4]
        == head(15)[:4]
    )
    again = ((19, Create("/p/d", b"", OPEN, 1)), (2, Delete("/p/d", -1)), (1, Create("/p/d", b"", OPEN, 0)))
    assert ask(bench, *again, (1, Create("/p/d/1", b"", OPEN, 0))).body[:4] == head(15)[:4]
    made = ask(bench, (19, Create("/p/e", b"", OPEN, 1)))
    assert made.body[:4] == head(15)[:4]
    assert ask(bench, (1, Create("/p/e/1", b"", OPEN, 0))).body[:4] == b"\0\0\0\1"
