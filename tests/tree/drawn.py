"""What the property tests of the tree draw from: some thousand requests that mostly do something, and odd ones.

They are made once, the same every time, so that hypothesis has one choice to make per request, and its scripts are
long and soon shrunk.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from hypothesis import strategies as st

from parkeeper.tree.plan.reap import REAP, Reap
from parkeeper.tree.schemes import NOBODY, SUPER, Identities
from parkeeper.tree.sessions import CLAIM_SESSION, CLOSE_SESSION, OPEN_SESSION
from parkeeper.wire.multi import Multi
from parkeeper.wire.records import Acl, Id
from parkeeper.wire.requests import Check, Create, CreateTtl, Delete, SetAcl, SetData
from tests.tree.plain import QUOTA

WHO = {"nobody": NOBODY, "user": Identities([Id("digest", "u:h")]), "super": Identities([SUPER])}

OPEN = (Acl(31, "world", "anyone"),)

GOOD = ("/a", "/b", "/a/a", "/a/b", "/a/é", "/a/b/c", "/b/a")
ODD = (
    "/",
    "/zookeeper",
    QUOTA,
    "/a/",
    "a/b",
    "oo/a",
    "/a//b",
    "/a/./b",
    "/é/\0",
    "/\U0001f333",
    "x",
    "/b/..",
)
QUOTAS = (
    *(QUOTA + "/a", QUOTA + "/a/zookeeper_limits", QUOTA + "/a/zookeeper_stats"),
    *(QUOTA + "/zookeeper_limits", QUOTA + "/zookeeper_stats"),
)
PATHS = GOOD * 14 + ODD + QUOTAS * 2
DATA = (None, b"", b"x", b"count=2,bytes=3", b"z" * 40)
VERSIONS = (-1, -1, -1, -1, -1, 0, 1, 2)
ACLS = (
    *([OPEN] * 12),
    (Acl(1, "world", "anyone"),),
    (Acl(30, "world", "anyone"),),
    (Acl(31, "digest", "u:h"),),
    (Acl(15, "world", "anyone"), Acl(16, "auth", "")),
    (Acl(15, "world", "anyone"), Acl(15, "world", "anyone")),
    (),
    (Acl(31, "world", "you"),),
)


class Ask(NamedTuple):
    """A write by the session with an index among those the keeper has."""

    op: int
    record: object
    session: int
    who: str


class AskSession(NamedTuple):
    """Opening, claiming or closing the session with an index; at most `most` ephemerals a commit."""

    op: int
    session: int
    most: int


def _operation(random: Random, in_multi: bool) -> tuple[int, object]:
    pick = random.choice
    path, data, version = pick(PATHS), pick(DATA), pick(VERSIONS)
    kind = pick(("create",) * 6 + ("ttl", "delete", "set", "set", "set", "other"))
    if kind == "create":
        create = Create(path, data, pick(ACLS), pick((0, 0, 0, 0, 1, 1, 2, 3, 4)))
        return pick((1, 1, 15, 19)), create
    if kind == "ttl":
        flags = pick((5, 6) if in_multi else (5, 5, 5, 6, 6, 6, 0, 9))
        return 21, CreateTtl(path, data, pick(ACLS), flags, pick((1, 1, 2, 3, 0, -1)))
    if kind == "delete":
        return 2, Delete(path, version)
    if kind == "set":
        return 5, SetData(path, data, version)
    return (13, Check(path, version)) if in_multi else (7, SetAcl(path, pick(ACLS), version))


def _life(random: Random, kinds: tuple[str, ...]) -> list[tuple[int, object]]:
    """Operations on one znode that have a good chance, from where it is or isn't."""
    pick = random.choice
    path, there = pick(GOOD[2:]), pick((True, False))
    ops: list[tuple[int, object]] = []
    for _ in range(pick((1, 2, 3, 4))):
        kind = pick(kinds) if there else "create"
        if kind == "create":
            ops.append((pick((1, 15)), Create(path, pick(DATA), pick(ACLS[9:-2]), pick((0, 0, 1)))))
        elif kind == "delete":
            ops.append((2, Delete(path, -1)))
        elif kind == "set":
            ops.append((5, SetData(path, pick(DATA), -1)))
        elif kind == "acl":
            ops.append((7, SetAcl(path, pick(ACLS[9:-2]), -1)))
        else:
            ops.append((1, Create(path + "/s", b"", OPEN, 2)))
        there = kind != "delete"
    return ops


def _write(random: Random) -> tuple[int, object]:
    kind = random.randrange(10)
    if kind == 0:
        return REAP, Reap(random.choice(GOOD))
    if kind == 1:
        return 14, Multi(tuple(_life(random, ("delete", "set", "child"))))
    if kind == 2:
        count = random.choice((0, 1, 1, 2, 2, 2, 3, 4))
        return 14, Multi(tuple(_operation(random, True) for _ in range(count)))
    return _operation(random, False)


def _request(random: Random) -> Ask | AskSession:
    if random.randrange(8) == 0:
        op = random.choice((OPEN_SESSION, CLAIM_SESSION, CLAIM_SESSION, CLOSE_SESSION, CLOSE_SESSION))
        return AskSession(op, random.randrange(10), random.choice((0, 0, 1, 2)))
    return Ask(*_write(random), random.randrange(4), random.choice(("nobody",) * 6 + tuple(WHO)))


_POOL = [_request(Random(number)) for number in range(4_000)]

_LIVES = [
    [Ask(*each, 0, "super") for each in _life(Random(number), ("delete", "delete", "set", "acl", "child"))]
    for number in range(1_000)
]
_batches = st.one_of(
    st.lists(st.integers(0, len(_POOL) - 1).map(_POOL.__getitem__), min_size=1, max_size=8),
    st.integers(0, len(_LIVES) - 1).map(_LIVES.__getitem__),
)


class Step(NamedTuple):
    """What happens next in a script; which of the fields matter depends on `kind`.

    Attributes:
        kind: `work` (plan and commit), `plan`, `land` (commit what was planned), `deliver`, `stranger`, `reload`.
        number: of the keeper it happens to.
        batch: requests to plan.
        amount: writes a commit may hold at most, entries to deliver, which data key.
        later: ms since the step before.
        at_once: the answer of a commit comes before the stream brings it.
    """

    kind: str
    number: int
    batch: list[Ask | AskSession]
    amount: int
    later: int
    at_once: bool


_steps = st.builds(
    Step,
    st.sampled_from(
        ("work",) * 5 + ("plan",) * 5 + ("land",) * 4 + ("deliver",) * 4 + ("stranger", "reload")
    ),
    st.integers(0, 1),
    _batches,
    st.integers(0, 20),
    st.sampled_from([0, 0, 1, 5, 200_000]),
    st.booleans(),
)

scripts = st.lists(_steps, min_size=30, max_size=60)
"""Of steps."""

PLANTED = [Ask(1, Create(path, b"", OPEN, 0), 0, "nobody") for path in GOOD if path != "/a/é"]
"""To begin with."""
