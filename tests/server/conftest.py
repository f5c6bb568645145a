"""Fixtures of several of these tests."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.server.parking import Pair


@pytest.fixture
def pairs() -> Iterator[Callable[[], Pair]]:
    """Makes connected sockets: ours and the peer's."""
    with ExitStack() as stack:

        def make() -> Pair:
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            stack.enter_context(ours)
            stack.enter_context(theirs)
            return ours, theirs

        yield make
