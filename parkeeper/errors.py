"""Every exception parkeeper raises on purpose, in one tree.

    ParkeeperError
     +-- ProtocolError            a peer sent bytes that are not the protocol: its connection ends
     |    +-- Malformed           a record cannot be decoded (answered -5 where a header was readable)
     |    +-- FrameTooBig         a length outside 0..jute.maxbuffer
     +-- Refused(code)            a request was understood and is answered with a ZooKeeper error code
     +-- StoreError               the store did not do as asked
     |    +-- GuardFailed         certainly not applied: a guarded key has another revision
     |    +-- NotApplied          certainly not applied: safe to plan again
     |    +-- Rejected            certainly not applied, and never will be as it is (too large)
     |    +-- InDoubt             may have been applied, now or later
     |    +-- Compacted           the change stream cannot continue from there: load anew
     |    +-- Cut                 the change stream broke: prove the past, then follow again
     |    +-- WentBack            the store's past is not the one we know (restored backup), or we were declared dead
     |    +-- Unavailable         the store cannot be reached, or has no leader
     |    +-- AccessDenied        wrong credentials, or a permission is missing
     |    +-- Incompatible        unknown format, other data prefix, a server too old, locked by another process
     +-- ConfigError              an option that cannot be obeyed

Foreign errors (OSError, httpx, sqlite3) are translated once, in the adapter that meets them.
"""

from __future__ import annotations

from dataclasses import dataclass


class ParkeeperError(Exception):
    """Root of the tree; never raised itself."""


class ProtocolError(ParkeeperError):
    """The peer's bytes are not the ZooKeeper protocol."""


class Malformed(ProtocolError):
    """A record ends too early, or holds an impossible length. Answered -5 (MarshallingError)."""


class FrameTooBig(ProtocolError):
    """A frame length below 0 or above the limit; seen from its four bytes, before anything is buffered."""


class Refused(ParkeeperError):
    """A request that gets a ZooKeeper error code for an answer.

    Args:
        code: the code of the reply header, below 0 (`parkeeper.wire.codes.Code`).
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class ConfigError(ParkeeperError):
    """An option that cannot be obeyed; the text is for the person who set it."""


class StoreError(ParkeeperError):
    """Root of what a store adapter raises."""


@dataclass
class GuardFailed(StoreError):
    """A commit changed nothing, since a guarded key has another revision than the one named.

    Args:
        newest: the newest revision under `head/`, read in (or, on Consul, right after) the failed transaction.
        own: revision of this keeper's own `head/`, 0 if it is gone.
        own_identity: (incarnation, counter, attempt) in that head, None if it is gone.
    """

    newest: int
    own: int
    own_identity: tuple[int, int, int] | None

    def __str__(self) -> str:
        return f"a guard failed; newest head {self.newest}, own head {self.own} {self.own_identity}"


class NotApplied(StoreError):
    """Certainly not applied; the same request may be planned again."""


class Rejected(StoreError):
    """Certainly not applied, and the store will not take it as it is; the text says why and what to do."""


class InDoubt(StoreError):
    """May have been applied, or may still be: time-out or broken connection after the request was sent."""


class Compacted(StoreError):
    """The history between the last followed revision and now is gone: load anew."""


class Cut(StoreError):
    """The change stream broke; nothing after the last delivered event was delivered."""


class WentBack(StoreError):
    """What we knew to be in the store is no longer there: a restored backup, or a declaration of death."""


class Unavailable(StoreError):
    """No answer: the store cannot be reached or has no leader. Certainly not applied."""


class AccessDenied(StoreError):
    """The store refuses our credentials or lacks a permission; the text names it."""


class Incompatible(StoreError):
    """The store or the namespace is not one this version can serve; the text says what to change."""
