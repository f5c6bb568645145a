"""The first packet each way, which has no request or reply header (reference 1.2).

The readOnly byte came with ZooKeeper 3.4 and is optional: `None` here means that it was not there, and an answer
carries it exactly if the request did, since the C client and ClickHouse check the answer's length.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from parkeeper.wire.jute import decoder, read_buffer, write_buffer

_FIXED: Final = struct.Struct(">iqiq")
_ANSWER: Final = struct.Struct(">iiiq")

REFUSED_PASSWORD = bytes(16)
"""Sent with timeout 0 and session 0 to say "expired": the C client and ClickHouse want 16 bytes there too."""


class ConnectRequest(NamedTuple):
    """ConnectRequest.

    Attributes:
        protocol_version: ignored.
        last_zxid: the last zxid the client saw.
        timeout: ms the client asks for; any 32-bit number.
        session: id of the session to resume, 0 for a new one; signed.
        password: of that session; tolerated null.
        read_only: may this server be read-only; None: an old client that did not say, so no.
    """

    protocol_version: int
    last_zxid: int
    timeout: int
    session: int
    password: bytes | None
    read_only: bool | None


@decoder
def _read(payload: bytes, at: int) -> ConnectRequest:
    version, zxid, timeout, session = _FIXED.unpack_from(payload, at)
    password, at = read_buffer(payload, at + _FIXED.size)
    read_only = payload[at] != 0 if at < len(payload) else None
    return ConnectRequest(version, zxid, timeout, session, password, read_only)


def connect_request(payload: bytes) -> ConnectRequest:
    """Decode a ConnectRequest, a whole frame without its length; bytes behind the readOnly byte are ignored.

    Raises:
        Malformed: it ends before its password does, or the password's length is impossible.
    """
    return _read(payload, 0)


def connect_response(timeout: int, session: int, password: bytes, read_only: bool | None) -> bytes:
    """A whole ConnectResponse packet with its length: 40 bytes, or 41 with the readOnly byte.

    Args:
        timeout: negotiated, ms; 0 for a session that cannot be resumed.
        session: id, signed; 0 likewise.
        password: 16 bytes; `REFUSED_PASSWORD` likewise.
        read_only: is this server read-only; None where the request did not have the byte.
    """
    secret = write_buffer(password)
    last = b"" if read_only is None else bytes((read_only,))
    return _ANSWER.pack(16 + len(secret) + len(last), 0, timeout, session) + secret + last


def session_refused(read_only: bool | None) -> bytes:
    """The answer to a wrong password, an unknown or an expired session; the connection is closed after it."""
    return connect_response(0, 0, REFUSED_PASSWORD, read_only)
