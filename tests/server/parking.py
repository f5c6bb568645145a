"""Sockets that can be parked, and a `Readiness` that runs."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from parkeeper.server.readiness import Readiness

Pair = tuple[socket.socket, socket.socket]


@asynccontextmanager
async def running(readiness: Readiness | None = None) -> AsyncIterator[tuple[Readiness, trio.Nursery]]:
    """One that runs, and a nursery for readers."""
    readiness = Readiness() if readiness is None else readiness
    async with trio.open_nursery() as nursery:
        nursery.start_soon(readiness.run)
        yield readiness, nursery
        nursery.cancel_scope.cancel()


class Around:
    """What is called around rounds: counts them, and says whether another one may follow."""

    def __init__(self, may_follow: Callable[[int], bool] = lambda _: True, dozes: bool = False) -> None:
        self.begun = self.ended = 0
        self._may_follow = may_follow
        self.readiness = Readiness(self._begins, self._ends, dozes)

    def _begins(self) -> None:
        assert self.begun == self.ended
        self.begun += 1

    def _ends(self) -> bool:
        self.ended += 1
        assert self.begun == self.ended
        return self._may_follow(self.ended)
