"""Passwords of sessions: any keeper of a namespace can check one, nobody else can make one.

ZooKeeper derives them from the id with a public constant (ZooKeeperServer.generatePasswd); here they are keyed with
the namespace's secret.
"""

from __future__ import annotations

import hmac

from parkeeper.wire.jute import LONG


def password_of(secret: bytes, session: int) -> bytes:
    """The 16 bytes that prove a client to be the one who opened a session.

    Args:
        secret: of the namespace, from its `meta` item.
        session: signed, as on the wire.
    """
    return hmac.digest(secret, LONG.pack(session), "sha256")[:16]


def check(secret: bytes, session: int, password: bytes | None) -> bool:
    """Whether a password is that of a session, in a time that does not tell how wrong it is."""
    return hmac.compare_digest(password_of(secret, session), password or b"")
