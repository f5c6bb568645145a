"""What etcd's error answers mean for what was asked: the table of every refusal we know.

The text is stable across versions, the HTTP status and the gRPC code are not: 429 alone is three different things,
and "no answer in time" is 500 in one gateway and 504 in the other. What is not in the table is in doubt.
"""

from __future__ import annotations

import msgspec

from parkeeper.errors import (
    AccessDenied,
    Compacted,
    Incompatible,
    InDoubt,
    NotApplied,
    Rejected,
    StoreError,
    Unavailable,
    WentBack,
)
from parkeeper.store.etcd.messages import ERROR_REPLY


class TokenRefused(StoreError):
    """Not applied: the token is unknown, expired, or missing. Get a new one."""


class AuthOff(StoreError):
    """Authentication is not enabled on this server: use no token."""


class NoSpace(InDoubt):
    """The quota is exceeded. The write that crosses it is refused and may be stored all the same."""


NO_SPACE = (
    "etcd's database is full and it takes no writes. Free history (etcdctl compact REVISION), then space (etcdctl "
    "defrag, one member after the other), then the alarm (etcdctl alarm disarm); and see that history is compacted "
    "(etcd --auto-compaction-retention, or parkeeper's option to compact), or raise --quota-backend-bytes"
)

_TEXTS: tuple[tuple[str, type[StoreError]], ...] = (
    ("invalid auth token", TokenRefused),
    ("user name is empty", TokenRefused),
    ("revision of auth store is old", TokenRefused),
    ("authentication is not enabled", AuthOff),
    ("authentication failed", AccessDenied),
    ("permission denied", AccessDenied),
    ("CommonName of client", AccessDenied),
    ("required revision has been compacted", Compacted),
    ("required revision is a future revision", WentBack),
    ("database space exceeded", NoSpace),
    ("request is too large", Rejected),
    ("message larger than max", Rejected),
    ("too many operations", Rejected),
    ("too many requests", NotApplied),
    ("etcdserver: no leader", Unavailable),
    ("not supported for learner", Unavailable),
)

_CODES: dict[int, type[StoreError]] = {
    3: Rejected,  # invalid argument
    5: Rejected,  # not found: a lease, which we don't use
    7: AccessDenied,
    9: Rejected,  # failed precondition
    11: Rejected,  # out of range
    12: Incompatible,  # unimplemented
    16: TokenRefused,
}

_STATUSES: dict[int, type[StoreError]] = {404: Incompatible, 405: Incompatible, 501: Incompatible}
"""Of answers that are not etcd's."""


def refusal(status: int, body: bytes) -> StoreError:
    """The error for an answer other than 200.

    Args:
        status: HTTP status.
        body: `{"code":3,"message":"..."}`; or text, if it is not from the gateway itself.
    """
    try:
        reply = ERROR_REPLY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = body[:300].decode(errors="replace").strip()
        return _named(text, _STATUSES.get(status, InDoubt))(f"HTTP {status}: {text}")
    return _named(reply.message, _CODES.get(reply.code, InDoubt))(reply.message or f"HTTP {status}")


def _named(text: str, otherwise: type[StoreError]) -> type[StoreError]:
    for part, kind in _TEXTS:
        if part in text:
            return kind
    return otherwise
