"""The one packet a server sends unasked: a watch fired (reference 5.2 and 5.3)."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

_EVENT: Final = struct.Struct(">iiqiiii")

SYNC_CONNECTED = 3
"""The state in every event a server sends."""

CATCH_UP_ZXID = -1
"""The header zxid of an event that setWatches produced; a real change carries its own."""


class EventType(IntEnum):
    """What happened. Types 5 to 7 and -1 are made by client libraries, never sent."""

    CREATED = 1
    DELETED = 2
    DATA_CHANGED = 3
    CHILDREN_CHANGED = 4


def event(zxid: int, type: int, path: str, state: int = SYNC_CONNECTED) -> bytes:
    """A whole notification packet: ReplyHeader with xid -1, then WatcherEvent.

    Args:
        zxid: of the change that fired the watch, or `CATCH_UP_ZXID`.
        type: an `EventType`.
    """
    raw = path.encode()
    return _EVENT.pack(28 + len(raw), -1, zxid, 0, type, state, len(raw)) + raw
