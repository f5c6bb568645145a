"""Requests that a test makes itself, past every client: they need no session and pass every ACL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio

from parkeeper.errors import Refused, Unavailable
from parkeeper.server.incarnation import Incarnation
from parkeeper.server.requests import Request, Silent
from parkeeper.tree.acl import OPEN
from parkeeper.tree.schemes import SUPER, Identities
from parkeeper.tree.sessions import CLOSE_SESSION, CloseSession
from parkeeper.wire.opcodes import Op
from parkeeper.wire.requests import Create, Delete, SetData

_ANYTHING: Final = Identities((SUPER,))


class _Waiting:
    """Counts the answers of some requests."""

    def __init__(self, count: int) -> None:
        self.codes: list[int | None] = []
        self.all = trio.Event()
        self._count = count
        if not count:
            self.all.set()

    def done(self, code: int | None) -> None:
        """One more."""
        self.codes.append(code)
        if len(self.codes) == self._count:
            self.all.set()


async def ask(
    incarnation: Incarnation, requests: Sequence[tuple[int, object]], forgive: Sequence[int] = ()
) -> None:
    """Have some requests committed, in order; returns when all of them are applied.

    Args:
        incarnation: of the keeper that commits them.
        requests: opcodes and records.
        forgive: codes that are as good as success.

    Raises:
        Refused: the first one that was.
        Unavailable: the keeper ended meanwhile.
    """
    waiting = _Waiting(len(requests))
    for op, record in requests:
        incarnation.committer.submit(Request(op, record, 0, None, _ANYTHING, Silent(waiting.done)))
    await waiting.all.wait()
    for code in waiting.codes:
        if code is None:
            raise Unavailable("the keeper ended before it was done")
        if code and code not in forgive:
            raise Refused(code)


def create(path: str, data: bytes | None) -> tuple[int, object]:
    """A plain znode that everybody may use."""
    return Op.CREATE, Create(path, data, OPEN.entries, 0)


def set_data(path: str, data: bytes | None) -> tuple[int, object]:
    """Whatever its version."""
    return Op.SET_DATA, SetData(path, data, -1)


def delete(path: str) -> tuple[int, object]:
    """Whatever its version."""
    return Op.DELETE, Delete(path, -1)


def close_session(session: int) -> tuple[int, object]:
    """As if its time were up."""
    return CLOSE_SESSION, CloseSession(session)
