"""Answers: what a planned write will reply, encoded only when its changes have been applied.

Only then is its zxid known, and what a Stat says that no guard of the write holds still (`parkeeper.tree.changes`).
"""

from __future__ import annotations

from typing import Final

from parkeeper.tree.changes import After
from parkeeper.tree.node import pack_stat
from parkeeper.wire import multi
from parkeeper.wire.jute import write_string

EMPTY: Final = 0
PATH: Final = 1
STAT: Final = 2
PATH_AND_STAT: Final = 3
MULTI: Final = 4
FAILED_MULTI: Final = 5


class Answer:
    """The reply to one request, or one result of a multi.

    Attributes:
        kind: one of the numbers above.
        path: of a created znode.
        after: whose Stat is answered: the state right after this operation.
        results: of a multi: (operation, answer); of a failed one: the codes, one per operation.
        code: header code; other than 0 only where changes were made all the same (a claim that ended a session).
        unfinished: a close of a session that needs more commits.
    """

    __slots__ = ("after", "code", "codes", "kind", "path", "results", "unfinished")

    def __init__(
        self,
        kind: int,
        path: str = "",
        after: After | None = None,
        results: tuple[tuple[int, Answer], ...] = (),
        codes: tuple[int, ...] = (),
        code: int = 0,
        unfinished: bool = False,
    ) -> None:
        self.kind = kind
        self.path = path
        self.after = after
        self.results = results
        self.codes = codes
        self.code = code
        self.unfinished = unfinished

    def with_stat(self) -> Answer:
        """With the Stat besides the path."""
        return Answer(PATH_AND_STAT, self.path, self.after)

    def __repr__(self) -> str:
        return f"<Answer kind={self.kind} path={self.path!r} code={self.code}>"


NOTHING: Final = Answer(EMPTY)


def encode(answer: Answer) -> bytes:
    """The body of the reply, once the changes it is about are applied."""
    kind, path, after = answer.kind, answer.path, answer.after
    if kind == EMPTY:
        return b""
    if kind == PATH:
        return write_string(path)
    if kind == MULTI:
        return b"".join([multi.result(op, encode(each)) for op, each in answer.results]) + multi.END
    if kind == FAILED_MULTI:
        return b"".join([multi.failure(code) for code in answer.codes]) + multi.END
    if after is None or after.node is None:
        raise AssertionError("an answer with a Stat, encoded before its change was applied")
    stat = pack_stat(after.node, after.kids)
    return stat if kind == STAT else write_string(path) + stat
