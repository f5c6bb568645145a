"""One keeper over a ledger, to plan requests on and see what becomes of them: answer, guards, puts, deletes."""

from __future__ import annotations

from typing import NamedTuple

from parkeeper.tree import encoding
from parkeeper.tree.changes import Change
from parkeeper.tree.reads import exists
from parkeeper.tree.schemes import NOBODY, SUPER, Identities
from parkeeper.tree.sessions import OPEN_SESSION, OpenSession
from parkeeper.wire.records import Acl, Id
from parkeeper.wire.requests import Create, Exists
from tests.tree.grove import Listener
from tests.tree.ledger import Asked, Keeper, Ledger, body_of
from tests.tree.plain import STAT

OPEN = (Acl(31, "world", "anyone"),)
ROOT = Identities([SUPER])
USER = Identities([Id("digest", "u:h")])
EVERYBODY_BUT = {1: 30, 2: 29, 4: 27, 8: 23, 16: 15}
"""Permission -> all the others."""


def but(perm: int) -> tuple[Acl, ...]:
    """An ACL that lets everybody do everything but one thing."""
    return (Acl(EVERYBODY_BUT[perm], "world", "anyone"),)


class Stat(NamedTuple):
    """A Stat as a client reads it."""

    czxid: int
    mzxid: int
    ctime: int
    mtime: int
    version: int
    cversion: int
    aversion: int
    owner: int
    length: int
    children: int
    pzxid: int


def stat_in(body: bytes) -> Stat:
    """The Stat at the end of a body."""
    return Stat(*STAT.unpack(body[-STAT.size :]))


class Outcome(NamedTuple):
    """What became of a request.

    Attributes:
        code, body: of the reply.
        guards: that it looked at: item name -> revision.
        changes: that it made.
        zxid: of its write, meaningless if it made none.
    """

    code: int
    body: bytes | None
    guards: dict[str, int]
    changes: list[Change]
    zxid: int

    @property
    def stat(self) -> Stat:
        assert self.code == 0
        return stat_in(self.body)

    @property
    def path(self) -> str:
        """Of a created znode."""
        assert self.code == 0
        return self.body[4 : 4 + int.from_bytes(self.body[:4])].decode()


class Bench:
    """A keeper with the number 1, caught up, at a wall clock of 1,000 ms that ticks with `now`.

    Attributes:
        puts, deletes: of the last commit.
        mine: a session of the keeper.
    """

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.keeper = Keeper(self.ledger, 1)
        self.keeper.register()
        self.keeper.catch_up()
        self.now = 1_000
        self.puts: dict[str, bytes] = {}
        self.deletes: list[str] = []
        self.mine = 1 << 32 | 1
        self.ask(OPEN_SESSION, OpenSession(self.mine, 4_000))

    @property
    def replica(self):
        return self.keeper.replica

    def ask(self, op: int, record: object, session: int = 0, who: Identities = NOBODY, **context) -> Outcome:
        """One request in a commit of its own."""
        return self.together(Asked(op, record, session, who, **context))[0]

    def code(self, op: int, record: object, session: int = 0, who: Identities = NOBODY, **context) -> int:
        return self.ask(op, record, session, who, **context).code

    def together(self, *asked: Asked) -> list[Outcome]:
        """Requests in one commit."""
        batch = self.keeper.plan(asked, self.now)
        assert len(batch.planned) == len(asked)
        self.puts, self.deletes = {}, []
        if batch.changes_nothing:
            answers = [body_of(each) for each in batch.planned]
        else:
            flight = self.keeper.send(batch)
            assert flight is not None
            self.keeper.catch_up()
            self.puts, self.deletes = dict(flight.sealed.puts), list(flight.sealed.deletes)
            answers = flight.answers
        revision = self.ledger.revision
        return [
            Outcome(*answer, each.looked, each.changes, revision * 4096 + each.position)
            for answer, each in zip(answers, batch.planned, strict=True)
        ]

    def plant(
        self, *paths: str, acl: tuple[Acl, ...] = OPEN, data: bytes | None = b"", flags: int = 0
    ) -> None:
        """Znodes, each in a commit of its own; ephemerals are `mine`."""
        for path in paths:
            assert self.code(1, Create(path, data, acl, flags), self.mine, ROOT) == 0

    def rewrite(self, path: str, **fields: int) -> None:
        """Change a znode's stored numbers: `version`, `aversion`, or `creates` (of its children)."""
        replica = self.replica
        for name, number in fields.items():
            if name == "creates":
                kids = replica.kids[path]
                kids.creates = number
                put = {"kids" + path: encoding.encode_kids(kids)}
            else:
                node = replica.nodes[path].copy()
                setattr(node, name, number)
                encode = encoding.encode_node if name == "aversion" else encoding.encode_stat
                put = {("node" if name == "aversion" else "stat") + path: encode(node)}
            self.ledger.commit(1, {}, put, (), b"")
        self.keeper.load()

    def stat(self, path: str) -> Stat:
        """The Stat that exists answers."""
        return stat_in(exists(self.replica, self.keeper.watches, Listener(ROOT), Exists(path, watch=False)))

    def revisions(self, *names: str) -> dict[str, int]:
        """Item names with the revisions they have in the store."""
        return {name: self.ledger.revision_of(name) for name in names}
