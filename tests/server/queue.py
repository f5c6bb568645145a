"""A planner over a replica that a test moves by hand, and requests whose answers are kept."""

from __future__ import annotations

from parkeeper.options import Options
from parkeeper.server.planner import Planner
from parkeeper.server.requests import Attachment, Request
from parkeeper.store.memory import MemoryStore
from parkeeper.tree.batch import Batch
from parkeeper.tree.encoding import Turn
from parkeeper.tree.node import Znode
from parkeeper.tree.schemes import NOBODY
from parkeeper.tree.sessions import Session
from parkeeper.wire.op import Op
from parkeeper.wire.records import Acl
from parkeeper.wire.requests import Create, SetData
from tests.tree.grove import Grove

ACL = (Acl(31, "world", "anyone"),)
KEEPER = 7
ONE, TWO, THREE = KEEPER << 32 | 1, KEEPER << 32 | 2, KEEPER << 32 | 3


class Kept:
    """A place that keeps what became of its request: a code, or None for given up."""

    def __init__(self, order: int = 0) -> None:
        self.order = order
        self.answers: list[int | None] = []

    def before(self) -> None:
        pass

    def fulfil(self, zxid: int, code: int, body: bytes, now: float | None = None) -> None:
        self.answers.append(code)

    def abandon(self) -> None:
        self.answers.append(None)


class Line:
    """Requests in line at a planner of keeper 7, which holds the sessions `ONE`, `TWO` and `THREE`."""

    def __init__(self, *paths: str, options: Options | None = None, store: MemoryStore | None = None) -> None:
        grove = Grove()
        for path in paths:
            grove.create(path)
        self.replica = grove.replica
        self.replica.revision = 1
        self.planner = Planner(
            self.replica, store or MemoryStore(), options or Options(), KEEPER, lambda: 1_000_000
        )
        self._attachments: dict[int, Attachment] = {}
        for session in (ONE, TWO, THREE):
            self.replica.sessions[session] = Session(10_000, KEEPER, 0, False, 0, 1)
            self._attachments[session] = Attachment(session, 10_000, 0.0, lambda reason: None)
            self._attachments[session].rev = 1

    def ask(self, session: int, op: int, record: object, order: int = 0) -> Request:
        place = Kept(order)
        request = Request(op, record, session, self._attachments[session], NOBODY, place)
        self.planner.queue.append(request)
        return request

    def set(self, session: int, path: str, data: bytes = b"", version: int = -1, order: int = 0) -> Request:
        return self.ask(session, Op.SET_DATA, SetData(path, data, version), order)

    def create(self, session: int, path: str) -> Request:
        return self.ask(session, Op.CREATE, Create(path, b"", ACL, 0))

    def plan(self, at_once: bool = False) -> Batch[Request]:
        batch = self.planner.next(at_once)
        assert batch is not None
        return batch

    def move(self, path: str) -> None:
        """Another keeper sets this znode's data."""
        self.replica.revision += 1
        node = self.replica.nodes[path]
        fresh = Znode(
            node.czxid, node.mzxid, node.ctime, node.mtime, node.version + 1, 0, 0, node.acl, b"",
            node.node_rev, self.replica.revision,
        )  # fmt: skip
        self.replica.nodes[path] = fresh

    def ticket(self, keeper: int, number: int, *names: str, revision: int = 1) -> None:
        """There is a ticket from now on."""
        self.replica.registry.turns[keeper] = Turn(1, number, frozenset(names)), revision


def asked(batch: Batch[Request]) -> list[Request]:
    return [each.asked for each in batch.planned]


def answers(request: Request) -> list[int | None]:
    assert isinstance(request.place, Kept)
    return request.place.answers
