"""A client that comes while the keeper doesn't serve: four-letter words are answered, everybody else is turned away.

A ZooKeeper server in that state closes the connection when the length or the connect request is read
(NIOServerCnxn.readLength); the client tries another server, or this one again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from parkeeper.server.transport import GONE, Transport

PATIENCE: Final = 1.0
"""Seconds such a client has to send four bytes."""


async def turn_away(transport: Transport, words: Callable[[bytes], bytes | None]) -> None:
    """Answer one word, or nothing, and close."""
    first = b""
    try:
        with trio.move_on_after(PATIENCE):
            while len(first) < 4:
                chunk = await transport.receive(4 - len(first))
                if not chunk:
                    return
                first += chunk
            answer = words(first)
            if answer is not None:
                await transport.send_all(memoryview(answer))
    except GONE:
        return
    finally:
        await trio.aclose_forcefully(transport)
