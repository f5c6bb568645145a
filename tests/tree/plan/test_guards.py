"""Guards: exactly what a decision rests on, and nothing more (PROTOCOL section 3, its table and its refusals).

Too few lose updates (`tests.tree.test_races` shows that these suffice); too many make keepers lose commits to each
other for nothing.
"""

import pytest

from parkeeper.tree.plan.reap import REAP, Reap
from parkeeper.tree.sessions import (
    CLAIM_SESSION,
    CLOSE_SESSION,
    OPEN_SESSION,
    ClaimSession,
    CloseSession,
    OpenSession,
)
from parkeeper.wire.multi import Multi
from parkeeper.wire.requests import Check, Create, CreateTtl, Delete, SetAcl, SetData
from tests.tree.ledger import Asked
from tests.tree.planning import OPEN, Bench, but

MINE = 1 << 32 | 1


@pytest.fixture
def bench() -> Bench:
    """/p with children: x was set and has a child, y nothing of it."""
    bench = Bench()
    bench.plant("/p", "/p/x", "/p/x/c", "/p/y", "/q")
    bench.plant("/shut", acl=(but(1)[0]._replace(perms=0),))
    bench.plant("/shut/in", acl=(but(1)[0]._replace(perms=0),))
    bench.plant("/e", "/p/e1", "/p/e2", flags=1)
    bench.ask(5, SetData("/p/x", b"1", -1))
    bench.ask(19, Create("/box", b"", OPEN, 4))
    bench.plant("/box/in")
    bench.ask(2, Delete("/box/in", -1))
    return bench


DONE = [
    ("create", 1, Create("/p/n", b"", OPEN, 0), "node/p kids/p"),
    ("the first child", 1, Create("/q/n", b"", OPEN, 0), "node/q kids/q"),
    ("create at the root", 15, Create("/n", b"", OPEN, 0), "node/ kids/"),
    ("sequential", 1, Create("/p/n", b"", OPEN, 2), "node/p kids/p"),
    ("ephemeral", 1, Create("/p/n", b"", OPEN, 1), "node/p kids/p"),
    ("container", 19, Create("/p/n", b"", OPEN, 4), "node/p kids/p"),
    ("TTL", 21, CreateTtl("/p/n", b"", OPEN, 5, 1), "node/p kids/p"),
    ("delete", 2, Delete("/p/y", -1), "node/p node/p/y kids/p/y kids/p"),
    ("delete by version", 2, Delete("/p/y", 0), "node/p node/p/y stat/p/y kids/p/y kids/p"),
    ("set", 5, SetData("/p/x", b"", -1), "node/p/x stat/p/x"),
    ("the first set", 5, SetData("/p/y", b"", 0), "node/p/y stat/p/y"),
    ("set the root", 5, SetData("/", b"", -1), "node/ stat/"),
    ("setACL", 7, SetAcl("/p/x", OPEN, -1), "node/p/x"),
    ("setACL by aversion", 7, SetAcl("/p/x", OPEN, 0), "node/p/x"),
    ("check", 14, Multi(((13, Check("/p/x", 1)),)), "node/p/x stat/p/x"),
    ("no multi", 14, Multi(()), ""),
    ("multi", 14, Multi(((5, SetData("/q", b"", -1)), (2, Delete("/p/y", -1)))), "node/q stat/q node/p node/p/y kids/p/y kids/p"),
    ("open", OPEN_SESSION, OpenSession(77, 1), "session/77"),
    ("claim", CLAIM_SESSION, ClaimSession(MINE, 1), f"session/{MINE}"),
    ("close", CLOSE_SESSION, CloseSession(MINE), f"session/{MINE} kids/ kids/p"),
    ("reap", REAP, Reap("/box"), "node/box stat/box kids/box kids/"),
]  # fmt: skip

REFUSED = [
    ("bad flags", 1, Create("/p/n", b"", OPEN, 9), -8, ""),
    ("bad ACL", 1, Create("/p/n", b"", (), 0), -114, ""),
    ("no slash", 1, Create("n", b"", OPEN, 0), -8, ""),
    ("no parent", 1, Create("/no/n", b"", OPEN, 0), -101, "node/no"),
    ("a parent that cannot be", 1, Create("p/n", b"", OPEN, 0), -101, ""),
    ("no znode has such a parent", 1, Create("/p//n", b"", OPEN, 0), -101, ""),
    ("closed parent", 1, Create("/shut/n", b"", OPEN, 0), -102, "node/shut"),
    ("bad name", 1, Create("/p/.", b"", OPEN, 0), -8, "node/p"),
    ("bad name with a number", 1, Create("/p/\x01", b"", OPEN, 2), -8, "node/p kids/p"),
    ("there already", 1, Create("/p/x", b"", OPEN, 0), -110, "node/p kids/p"),
    ("below an ephemeral", 1, Create("/e/n", b"", OPEN, 0), -108, "node/e kids/e"),
    ("delete of the root", 2, Delete("/", -1), -8, ""),
    ("delete without a parent", 2, Delete("/no/n", -1), -101, "node/no"),
    ("delete by a closed parent", 2, Delete("/shut/in", -1), -102, "node/shut"),
    ("delete of nothing", 2, Delete("/p/n", -1), -101, "node/p node/p/n"),
    ("delete of what cannot be", 2, Delete("/p/.", -1), -101, "node/p"),
    ("delete by a wrong version", 2, Delete("/p/x", 7), -103, "node/p node/p/x stat/p/x"),
    ("delete of a parent", 2, Delete("/p/x", -1), -111, "node/p node/p/x kids/p/x"),
    ("set of nothing", 5, SetData("/p/n", b"", -1), -101, "node/p/n"),
    ("set of what is closed", 5, SetData("/shut", b"", -1), -102, "node/shut"),
    ("set by a wrong version", 5, SetData("/p/x", b"", 7), -103, "node/p/x stat/p/x"),
    ("set of a bad path", 5, SetData("/p/", b"", -1), -8, ""),
    ("setACL of nothing", 7, SetAcl("/p/n", OPEN, -1), -101, "node/p/n"),
    ("setACL of what is closed", 7, SetAcl("/shut", OPEN, -1), -102, "node/shut"),
    ("setACL by a wrong version", 7, SetAcl("/p/x", OPEN, 7), -103, "node/p/x"),
    ("check", 14, Multi(((13, Check("/p/x", 7)), (2, Delete("/p/y", -1)))), 0, "node/p/x stat/p/x"),
    ("later in a multi", 14, Multi(((2, Delete("/p/y", -1)), (13, Check("/p/n", 7)))), 0,
     "node/p node/p/y kids/p/y kids/p node/p/n"),
    ("claim of nothing", CLAIM_SESSION, ClaimSession(99, 1), -112, "session/99"),
    ("close of nothing", CLOSE_SESSION, CloseSession(99), -112, "session/99"),
    ("reap of what is in use", REAP, Reap("/p/x"), -103, "node/p/x kids/p/x"),
    ("reap of what is not due", REAP, Reap("/p/y"), -103, "node/p/y kids/p/y stat/p/y"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("op", "record", "names"), [each[1:] for each in DONE], ids=[each[0] for each in DONE]
)
def test_guards_of_what_is_done(bench, op, record, names):
    """The items of the table, each at the revision it has; 0 where it is absent."""
    wanted = bench.revisions(*names.split())
    outcome = bench.ask(op, record, 0 if op < 0 else MINE)
    assert outcome.code == 0
    assert outcome.guards == wanted


@pytest.mark.parametrize(
    ("op", "record", "code", "names"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED]
)
def test_guards_of_what_is_refused(bench, op, record, code, names):
    """What was looked at on the way to the refusal, in the order of checks."""
    wanted = bench.revisions(*names.split())
    outcome = bench.ask(op, record, 0 if op < 0 else MINE)
    assert (outcome.code, outcome.changes) == (code, [])
    assert outcome.guards == wanted


def test_guards_of_what_the_batch_wrote_itself(bench):
    """An item keeps the guard it had before: 0 for what is new, its old revision for what changed."""
    wanted = bench.revisions("node/p", "kids/p", "node/p/n", "stat/p/n", "kids/p/n", "node/p/x", "stat/p/x")
    assert wanted["node/p/n"] == wanted["stat/p/n"] == wanted["kids/p/n"] == 0
    outcomes = bench.together(
        Asked(1, Create("/p/n", b"", OPEN, 0)),
        Asked(5, SetData("/p/n", b"", 0)),
        Asked(1, Create("/p/n/n", b"", OPEN, 0)),
        Asked(5, SetData("/p/x", b"", 1)),
        Asked(5, SetData("/p/x", b"", 2)),
        Asked(7, SetAcl("/p/x", OPEN, 0)),
        Asked(1, Create("/p/n", b"", OPEN, 0)),
    )
    assert [outcome.code for outcome in outcomes] == [0, 0, 0, 0, 0, 0, -110]
    for outcome in outcomes:
        assert outcome.guards.items() <= wanted.items()
    assert outcomes[1].guards.keys() == {"node/p/n", "stat/p/n"}
    assert outcomes[2].guards.keys() == {"node/p/n", "kids/p/n"}


def test_guards_of_what_was_deleted_and_made_anew(bench):
    """Those of before the batch."""
    wanted = bench.revisions("node/p", "node/p/y", "kids/p/y", "kids/p", "stat/p/y")
    outcomes = bench.together(
        Asked(2, Delete("/p/y", -1)), Asked(1, Create("/p/y", b"", OPEN, 0)), Asked(2, Delete("/p/y", 0))
    )
    assert {**outcomes[0].guards, **outcomes[1].guards, **outcomes[2].guards} == wanted


def test_guards_of_the_whole_batch(bench):
    """The union, refusals included."""
    batch = bench.keeper.plan(
        [Asked(5, SetData("/p/x", b"", -1)), Asked(2, Delete("/q/n", -1)), Asked(7, SetAcl("/q", OPEN, -1))],
        0,
    )
    names = ("node/p/x", "stat/p/x", "node/q", "node/q/n")
    assert batch.seal().guards == bench.revisions(*names)
