"""Records that occur inside requests and replies: Stat, ACL entry, id, client info (reference 2.3)."""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Final, NamedTuple

from parkeeper.wire.jute import INT, read_int, read_string, write_string

STAT: Final = struct.Struct(">qqqqiiiqiiq")
"""A Stat, 68 bytes: czxid, mzxid, ctime, mtime, version, cversion, aversion, ephemeralOwner, dataLength,
numChildren, pzxid. Zxids and the owner (a session id) as signed 64-bit numbers, times in ms since 1970."""


class Acl(NamedTuple):
    """One entry of an access list, as a client sent it: `perms` is any 32-bit number, the strings may be null."""

    perms: int
    scheme: str | None
    id: str | None


class Id(NamedTuple):
    """An identity of a connection: a scheme and what that scheme calls it."""

    scheme: str
    id: str


class ClientInfo(NamedTuple):
    """One entry of the answer to whoAmI: an identity without its secret part."""

    scheme: str
    user: str


def pack_stat(
    czxid: int,
    mzxid: int,
    ctime: int,
    mtime: int,
    version: int,
    cversion: int,
    aversion: int,
    owner: int,
    data_length: int,
    num_children: int,
    pzxid: int,
) -> bytes:
    """The 68 bytes of a Stat; all numbers as reported (reference 3.1), not as stored.

    Args:
        ctime, mtime: ms since 1970.
        owner: session id of an ephemeral as a signed number, else 0.
        data_length: bytes; 0 for null data.
    """
    return STAT.pack(
        czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, data_length, num_children, pzxid
    )


def read_acl(payload: bytes, at: int) -> tuple[tuple[Acl, ...] | None, int]:
    """An access list, or None for a null one, and the offset behind it."""
    count, at = read_int(payload, at)
    if count == -1:
        return None, at
    entries: list[Acl] = []
    for _ in range(count):
        perms, at = read_int(payload, at)
        scheme, at = read_string(payload, at)
        identity, at = read_string(payload, at)
        entries.append(Acl(perms, scheme, identity))
    return tuple(entries), at


def write_acl(entries: Collection[Acl]) -> bytes:
    """An access list."""
    parts = [INT.pack(len(entries))]
    for perms, scheme, identity in entries:
        parts += (INT.pack(perms), write_string(scheme), write_string(identity))
    return b"".join(parts)
