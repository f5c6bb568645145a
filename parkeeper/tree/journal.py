"""The journal of a commit: every change in order as (position, kind, path), for the followers.

Values are not in it: a follower takes them from the items the commit put. Where no kept item has the ACL that an
event's READ filter needs (a node created and deleted in one commit, an ACL set twice), the journal carries it.

Layout: u8 format, then per change u16 position, u8 kind (| 0x80 when an ACL follows the path), and

    znodes      u32 length, path in UTF-8, [ACL as a jute vector]
    sessions    i64 session id
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from parkeeper.errors import Incompatible, Malformed
from parkeeper.tree.acl import AccessList, intern
from parkeeper.tree.changes import CREATE, END_SESSION, SET_ACL, SET_SESSION, Change
from parkeeper.tree.node import Znode
from parkeeper.wire.records import read_acl

FORMAT: Final = 1
_WITH_ACL: Final = 0x80
_ENTRY: Final = struct.Struct(">HB")
_PATH: Final = struct.Struct(">HBI")
_SESSION: Final = struct.Struct(">HBq")

ENTRY_OVERHEAD: Final = _PATH.size
"""Bytes of a change besides its path (and ACL)."""


class Entry(NamedTuple):
    """One change as the journal tells it."""

    position: int
    kind: int
    path: str
    session: int
    acl: AccessList | None


def encode(writes: Iterable[tuple[int, list[Change]]], kept: Mapping[str, object]) -> bytes:
    """The journal of a commit.

    Args:
        writes: (position, changes), in order of position.
        kept: item name -> what the commit puts: where `node/<path>` is a `Znode`, a follower will find its ACL.
    """
    parts = [b"\x01"]
    for position, changes in writes:
        for change in changes:
            kind = change.kind
            if kind >= SET_SESSION:
                parts.append(_SESSION.pack(position, kind, change.session))
                continue
            path = change.path.encode()
            if kind in (CREATE, SET_ACL) and change.node is not None:
                final = kept.get("node/" + change.path[1:])
                if not isinstance(final, Znode) or final.acl is not change.node.acl:
                    parts.append(
                        _PATH.pack(position, kind | _WITH_ACL, len(path)) + path + change.node.acl.encoded
                    )
                    continue
            parts.append(_PATH.pack(position, kind, len(path)) + path)
    return b"".join(parts)


def decode(journal: bytes) -> Iterator[Entry]:
    """The entries in order. Raises: `Incompatible` for another format or bytes that are no journal."""
    if not journal:
        return
    if journal[0] != FORMAT:
        raise Incompatible(f"a journal has format {journal[0]}; this version reads format {FORMAT}")
    at, end = 1, len(journal)
    try:
        while at < end:
            position, kind = _ENTRY.unpack_from(journal, at)
            if kind & ~_WITH_ACL >= SET_SESSION:
                _, _, session = _SESSION.unpack_from(journal, at)
                if kind not in (SET_SESSION, END_SESSION):
                    raise Incompatible(f"a journal has a change of kind {kind}; this version knows none such")
                at += _SESSION.size
                yield Entry(position, kind, "", session, None)
                continue
            _, _, length = _PATH.unpack_from(journal, at)
            at += _PATH.size + length
            if at > end or not CREATE <= kind & ~_WITH_ACL <= SET_ACL:
                raise Incompatible("a commit's journal ends inside a change, or has one of an unknown kind")
            path = journal[at - length : at].decode()
            acl = None
            if kind & _WITH_ACL:
                entries, at = read_acl(journal, at)
                acl = intern(entries or ())
            yield Entry(position, kind & ~_WITH_ACL, path, 0, acl)
    except (struct.error, UnicodeDecodeError, Malformed, IndexError) as error:
        raise Incompatible("a commit's journal cannot be read") from error
