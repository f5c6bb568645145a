"""A session opened and closed over a real socket: the proof that a keeper is ready."""

from __future__ import annotations

import struct
from typing import Final

import trio

_CONNECT: Final = struct.pack(">iiqiqi16s?", 45, 0, 0, 10_000, 0, 16, bytes(16), False)
_CLOSE: Final = struct.pack(">iii", 8, 1, -11)
_ANSWER: Final = struct.Struct(">iiiq")


async def shake_hands(host: str, port: int) -> int:
    """Open a session and close it again; returns its id, which is 0 if it was refused.

    Raises:
        OSError, trio.BrokenResourceError: nobody answers.
    """
    family = trio.socket.AF_INET6 if ":" in host else trio.socket.AF_INET
    stream = trio.SocketStream(trio.socket.socket(family))
    async with stream:
        await stream.socket.connect((host, port))
        await stream.send_all(_CONNECT)
        answer = b""
        while len(answer) < _ANSWER.size:
            chunk = await stream.receive_some(64)
            if not chunk:
                raise trio.BrokenResourceError("the keeper hung up")
            answer += chunk
        session: int = _ANSWER.unpack_from(answer)[3]
        await stream.send_all(_CLOSE)
        while await stream.receive_some(64):
            pass  # the reply to the close, and the end
        return session
