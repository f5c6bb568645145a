"""Every request against every other: two keepers plan at the same time, one commits first.

The later commit happens only if its guards hold, and then its answer must be what it would have been, had it been
planned after the first one (`tests.tree.agreement`). With each goes a write that nothing contends for, so that
refusals commit too. This is what the guards of PROTOCOL section 3 are for.
"""

from __future__ import annotations

import pytest

from parkeeper.tree.plan.reap import REAP, Reap
from parkeeper.tree.sessions import CLAIM_SESSION, CLOSE_SESSION, ClaimSession, CloseSession
from parkeeper.wire.multi import Multi
from parkeeper.wire.records import Acl
from parkeeper.wire.requests import Check, Create, CreateTtl, Delete, SetAcl, SetData
from tests.tree.agreement import Ensemble
from tests.tree.drawn import OPEN
from tests.tree.ledger import Asked

MINE = (Acl(31, "digest", "u:h"),)
"""What nobody here has."""

FIRST, SECOND = 1 << 32 | 1, 2 << 32 | 3
"""A session of each keeper, which asks; the first one owns /b/e."""

SCENE = (
    *((1, Create(path, b"", OPEN, 0)) for path in ("/first", "/second", "/b/set")),
    (1, Create("/b/e", b"", OPEN, 1)),
    (19, Create("/b/c", b"", OPEN, 0)),
    (19, Create("/b/new", b"", OPEN, 0)),
    (1, Create("/b/c/x", b"", OPEN, 0)),
    (2, Delete("/b/c/x", -1)),
    (21, CreateTtl("/b/t", b"", OPEN, 5, 1)),
    (5, SetData("/b/set", b"0", 0)),
)
"""What there is, beside /a, /a/a, /a/b, /a/b/c, /b and /b/a."""

REQUESTS: dict[str, tuple[int, object]] = {
    "create": (1, Create("/b/n", b"n", OPEN, 0)),
    "create2": (15, Create("/b/n", b"m", OPEN, 0)),
    "create a sibling": (1, Create("/b/o", b"n", OPEN, 0)),
    "create in sequence": (15, Create("/b/n", b"", OPEN, 2)),
    "create an ephemeral": (15, Create("/b/n", b"", OPEN, 1)),
    "create what is there": (1, Create("/b/a", b"", OPEN, 0)),
    "create without a parent": (1, Create("/b/n/n", b"", OPEN, 0)),
    "create below": (15, Create("/b/a/n", b"", OPEN, 0)),
    "create below an ephemeral": (1, Create("/b/e/n", b"", OPEN, 0)),
    "create below a container": (1, Create("/b/c/n", b"", OPEN, 0)),
    "create below a TTL node": (1, Create("/b/t/n", b"", OPEN, 0)),
    "create with a bad name": (1, Create("/b/.", b"", OPEN, 0)),
    "delete": (2, Delete("/b/a", -1)),
    "delete by version": (2, Delete("/b/a", 0)),
    "delete by a wrong version": (2, Delete("/b/a", 1)),
    "delete what was set": (2, Delete("/b/set", 1)),
    "delete a parent": (2, Delete("/b", -1)),
    "delete what is not there": (2, Delete("/b/n", -1)),
    "delete an ephemeral": (2, Delete("/b/e", -1)),
    "delete a container": (2, Delete("/b/c", -1)),
    "delete without a parent": (2, Delete("/b/n/n", -1)),
    "set": (5, SetData("/b/a", b"set", -1)),
    "set by version": (5, SetData("/b/a", b"by version", 0)),
    "set by a wrong version": (5, SetData("/b/a", b"", 1)),
    "set again": (5, SetData("/b/set", b"again", 1)),
    "set what is not there": (5, SetData("/b/n", b"", -1)),
    "set a parent": (5, SetData("/b", b"parent", -1)),
    "set an ephemeral": (5, SetData("/b/e", b"e", -1)),
    "set a container": (5, SetData("/b/c", b"c", -1)),
    "set a TTL node": (5, SetData("/b/t", b"t", -1)),
    "restrict": (7, SetAcl("/b/a", MINE, -1)),
    "restrict by aversion": (7, SetAcl("/b/a", MINE, 0)),
    "restrict a parent": (7, SetAcl("/b", MINE, -1)),
    "restrict an ephemeral": (7, SetAcl("/b/e", MINE, 0)),
    "restrict what is not there": (7, SetAcl("/b/n", MINE, -1)),
    "check": (14, Multi(((13, Check("/b/a", 0)), (1, Create("/a/n", b"", OPEN, 0))))),
    "check what is not there": (14, Multi(((13, Check("/b/n", 0)), (1, Create("/a/n", b"", OPEN, 0))))),
    "set and list": (14, Multi(((5, SetData("/b/a", b"1", -1)), (15, Create("/b/a/s", b"", OPEN, 2))))),
    "make anew": (14, Multi(((2, Delete("/b/a", -1)), (15, Create("/b/a", b"", OPEN, 0))))),
    "make anew and set": (
        14,
        Multi(
            ((2, Delete("/b/set", -1)), (1, Create("/b/set", b"", OPEN, 0)), (5, SetData("/b/set", b"0", 0)))
        ),
    ),
    "come and go": (14, Multi(((1, Create("/b/n", b"", MINE, 0)), (2, Delete("/b/n", -1))))),
    "claim the first": (CLAIM_SESSION, ClaimSession(FIRST, 7_000)),
    "claim the second": (CLAIM_SESSION, ClaimSession(SECOND, 7_000)),
    "close the first": (CLOSE_SESSION, CloseSession(FIRST)),
    "close the second": (CLOSE_SESSION, CloseSession(SECOND)),
    "close one that is not there": (CLOSE_SESSION, CloseSession(99)),
    "reap a container": (REAP, Reap("/b/c")),
    "reap an unused container": (REAP, Reap("/b/new")),
    "reap a TTL node": (REAP, Reap("/b/t")),
}


def race(first: tuple[int, object], second: tuple[int, object]) -> bool:
    """Whether both commits happened."""
    ensemble = Ensemble(0, 1)
    one, two = ensemble.keepers
    one.catch_up()
    ensemble.propose(one, [Asked(op, record, FIRST) for op, record in SCENE])
    ensemble.land(one)
    ensemble.now += 400_000
    for keeper, asked, session, mark in ((one, first, FIRST, "/first"), (two, second, SECOND, "/second")):
        keeper.catch_up()
        session = 0 if asked[0] in (REAP, CLAIM_SESSION, CLOSE_SESSION) else session
        write = Asked(5, SetData(mark, b"", -1))
        ensemble.propose(keeper, [Asked(*asked, session), write])
    before = ensemble.ledger.newest
    ensemble.land(one)
    assert ensemble.ledger.newest == before + 1
    ensemble.land(two, at_once=False)
    happened = ensemble.ledger.newest == before + 2
    ensemble.end()
    return happened


@pytest.mark.slow
@pytest.mark.parametrize("first", REQUESTS)
def test_guards_suffice_when_two_keepers_plan_at_once(first: str) -> None:
    """Whatever the second is, it happens as if planned later, or not at all."""
    for second in REQUESTS.values():
        race(REQUESTS[first], second)
