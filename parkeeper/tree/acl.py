"""Access control lists: interned, so that a million znodes with one ACL hold it once and a check is a bit test.

Sources: ZooDefs.Perms, PrepRequestProcessor.fixupACL, ZooKeeperServer.checkACL, FinalRequestProcessor (getACL).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from weakref import WeakValueDictionary

from parkeeper.errors import Refused
from parkeeper.tree import schemes
from parkeeper.tree.schemes import Identities
from parkeeper.wire.codes import Code
from parkeeper.wire.records import Acl, write_acl

READ: Final = 1
WRITE: Final = 2
CREATE: Final = 4
DELETE: Final = 8
ADMIN: Final = 16
ALL: Final = 31

_EVERY_BIT: Final = -1


class AccessList:
    """One ACL. Made by `intern` only: equal lists are the same object while anybody holds them.

    Attributes:
        entries: as given, order kept; permissions may hold bits we don't know, as ZooKeeper keeps them.
        encoded: the jute vector of the entries.
        world: the bits everybody has. An empty list allows everything (ZooKeeperServer.checkACL).
    """

    __slots__ = ("__weakref__", "_others", "encoded", "entries", "world")

    def __init__(self, entries: tuple[Acl, ...]) -> None:
        self.entries: Final = entries
        self.encoded: Final = write_acl(entries)
        world = 0 if entries else _EVERY_BIT
        others: list[tuple[int, str, str]] = []
        for perms, scheme, id in entries:
            if scheme == "world" and id == "anyone":
                world |= perms
            elif scheme is not None and id is not None:
                others.append((perms, scheme, id))
        self.world: Final = world
        self._others: Final = tuple(others)

    def allows(self, perm: int, who: Identities) -> bool:
        """Whether somebody has at least one of the bits of `perm`."""
        if self.world & perm or who.super:
            return True
        return any(perms & perm and schemes.matches(scheme, id, who) for perms, scheme, id in self._others)

    def __repr__(self) -> str:
        return f"<AccessList {' '.join(f'{scheme}:{id}:{perms}' for perms, scheme, id in self.entries)}>"


_interned: WeakValueDictionary[tuple[Acl, ...], AccessList] = WeakValueDictionary()


def intern(entries: Iterable[Acl]) -> AccessList:
    """The one `AccessList` with these entries; they are not validated."""
    key = tuple(entries)
    known = _interned.get(key)
    if known is None:
        known = _interned[key] = AccessList(key)
    return known


OPEN: Final = intern([Acl(ALL, "world", "anyone")])
"""Everybody may do everything (ZooDefs.Ids.OPEN_ACL_UNSAFE)."""

READ_ONLY: Final = intern([Acl(READ, "world", "anyone")])
"""Everybody may read (ZooDefs.Ids.READ_ACL_UNSAFE)."""


def require(acl: AccessList, perm: int, who: Identities) -> None:
    """Raises Refused(NO_AUTH) unless `who` has at least one of the bits of `perm`."""
    if not (acl.world & perm or acl.allows(perm, who)):
        raise Refused(Code.NO_AUTH)


def fixup(entries: tuple[Acl, ...] | None, who: Identities) -> AccessList:
    """The ACL to store for one that a request brings (PrepRequestProcessor.fixupACL).

    Duplicates go, the scheme `auth` becomes an entry per authenticated identity of the connection (these may repeat
    one that was there: ZooKeeper doesn't look again).

    Raises:
        Refused: INVALID_ACL for an empty list and for ids that no scheme takes; MARSHALLING_ERROR for a null id,
            which ZooKeeper trips over.
    """
    if entries == OPEN.entries:
        return OPEN
    fixed: list[Acl] = []
    for entry in dict.fromkeys(entries or ()):
        if entry.scheme == "auth":
            mine = [Acl(entry.perms, each.scheme, each.id) for each in who.ids if schemes.authenticated(each)]
            if not mine:
                raise Refused(Code.INVALID_ACL)
            fixed += mine
        elif entry.id is None and entry.scheme in ("world", "digest", "ip"):
            raise Refused(Code.MARSHALLING_ERROR)
        elif _acceptable(entry.scheme, entry.id):
            fixed.append(entry)
        else:
            raise Refused(Code.INVALID_ACL)
    if not fixed:
        raise Refused(Code.INVALID_ACL)
    return intern(fixed)


def _acceptable(scheme: str | None, id: str | None) -> bool:
    if scheme is None or id is None:
        return False
    return id == "anyone" if scheme == "world" else schemes.valid(scheme, id)


def masked(acl: AccessList, who: Identities) -> bytes:
    """The encoded vector as `who` may see it: without ADMIN, the hash of every digest id becomes `x`."""
    if acl.allows(ADMIN, who):
        return acl.encoded
    return write_acl([_without_hash(entry) for entry in acl.entries])


def _without_hash(entry: Acl) -> Acl:
    if entry.scheme != "digest" or entry.id is None or ":" not in entry.id:
        return entry
    return entry._replace(id=f"{entry.id.partition(':')[0]}:x")
