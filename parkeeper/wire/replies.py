"""Replies: whole packets with their length, and the bodies that go into them (reference 1.5 and 2.3).

`reply` frames any body. Stats are given as their 68 bytes (`parkeeper.wire.records.pack_stat`), so that a caller may
keep them packed; ExistsResponse, SetDataResponse and SetACLResponse are nothing else. An error is the header alone, with two exceptions: a failed sasl step and a multiRead that met a
bad operation have a body.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Final

from parkeeper.wire.jute import INT, NULL, write_buffer, write_string, write_strings
from parkeeper.wire.records import Acl, ClientInfo, write_acl

NOTIFICATION_XID = -1
PING_XID = -2
"""A ping is answered with this xid, whatever xid it had."""
AUTH_XID = -4
"""What most clients send with auth; the request's own is echoed."""
SET_WATCHES_XID = -8
"""What Java sends with setWatches; the request's own is echoed."""

_HEADER: Final = struct.Struct(">iiqi")
_HEADER_AND_LENGTH: Final = struct.Struct(">iiqii")
_pack = _HEADER.pack
_pack_with_length = _HEADER_AND_LENGTH.pack


def reply(xid: int, zxid: int, err: int = 0, body: bytes = b"") -> bytes:
    """A whole reply packet: length, ReplyHeader, body.

    Args:
        xid: the request's, except for ping (`PING_XID`).
        zxid: by the rules of reference 1.6.
        err: a `Code`, 0 for success.
    """
    return _pack(16 + len(body), xid, zxid, err) + body


def error(xid: int, zxid: int, code: int) -> bytes:
    """A whole error reply: 20 bytes."""
    return _pack(16, xid, zxid, code)


def data_reply(xid: int, zxid: int, data: bytes | None, stat: bytes) -> bytes:
    """A whole GetDataResponse packet: as `reply` with `data_body`, in one join since most traffic is this."""
    if data is None:
        return reply(xid, zxid, 0, NULL + stat)
    length = len(data)
    return b"".join((_pack_with_length(20 + length + len(stat), xid, zxid, 0, length), data, stat))


def path_body(path: str | None) -> bytes:
    """CreateResponse (the path as it became) and SyncResponse (the path as it came, even null)."""
    return write_string(path)


def create2_body(path: str, stat: bytes) -> bytes:
    """Create2Response."""
    return write_string(path) + stat


def data_body(data: bytes | None, stat: bytes) -> bytes:
    """GetDataResponse."""
    return write_buffer(data) + stat


def children_body(names: Collection[str]) -> bytes:
    """GetChildrenResponse (names) and GetEphemeralsResponse (whole paths)."""
    return write_strings(names)


def children2_body(names: Collection[str], stat: bytes) -> bytes:
    """GetChildren2Response."""
    return write_strings(names) + stat


def acl_body(entries: Collection[Acl], stat: bytes) -> bytes:
    """GetACLResponse."""
    return write_acl(entries) + stat


def int_body(number: int) -> bytes:
    """GetAllChildrenNumberResponse, and ErrorResponse (what addWatch answers, with 0)."""
    return INT.pack(number)


def sasl_body(token: bytes | None) -> bytes:
    """SetSASLResponse; null goes with an error code."""
    return write_buffer(token)


def who_am_i_body(infos: Collection[ClientInfo]) -> bytes:
    """WhoAmIResponse."""
    parts = [INT.pack(len(infos))]
    for scheme, user in infos:
        parts += (write_string(scheme), write_string(user))
    return b"".join(parts)
