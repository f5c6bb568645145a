"""Items <-> bytes: the values under `node/`, `stat/`, `kids/`, `session/`, `keeper/`, `fence/`, `turn/`, `ids`, `meta`.

`data/` items have no encoding: they are the client's bytes. Every other value begins with its format, one byte, which
is 1 today; all numbers are big-endian. A zxid field is a real zxid, or a negative number ~i: "the revision that wrote
this key, position i" (PROTOCOL section 1, `parkeeper.tree.zxid`). Whoever reads the item resolves it.

No commit writes the value that stands there already, with one exception: a znode that is deleted and made anew in
one commit can get the very bytes of the one before in `node/`, `stat/` and `kids/` (same ms, same positions), and so
can `kids/` when its creations are used up. A store that drops such a write has to tell commits apart by itself.

| item    | after the format byte |
| ------- | --------------------- |
| node    | u8 1 if the data it was created with is null, i64 czxid, i64 ctime (ms), i32 aversion, i64 stored owner, u32 length and u32 CRC-32 of that data, then the ACL as a jute vector |
| stat    | u8 1 if the data is null, i32 version, i64 mzxid, i64 mtime (ms), u32 length, u32 CRC-32 of the data |
| kids    | i32 creations ever (stored cversion), i32 children now, i64 pzxid |
| session | i32 timeout (ms), u32 owning keeper, i64 created (ms), u8 closing, u32 claims |
| keeper  | u64 incarnation, u64 beats, u32 TTL (ms), i64 wall clock (ms), i64 revision applied, addresses (UTF-8, one a line) |
| fence   | u32 keeper that took something, u64 incarnation, u64 counter, u64 attempt of its commit |
| turn    | u64 incarnation, u64 number of the ticket, names (UTF-8, separated by NUL) |
| ids     | u32 the last keeper id given |
| meta    | 16 bytes cluster id, 32 bytes secret, i64 zxid_base, data prefix (UTF-8, with the namespace's own `data/` empty) |
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple
from zlib import crc32

from parkeeper.errors import Incompatible, Malformed
from parkeeper.tree.acl import AccessList, intern
from parkeeper.tree.node import Kids, Znode
from parkeeper.tree.sessions import Session
from parkeeper.wire.records import read_acl

FORMAT: Final = 1

_NODE: Final = struct.Struct(">BBqqiqII")
_STAT: Final = struct.Struct(">BBiqqII")
_KIDS: Final = struct.Struct(">Biiq")
_SESSION: Final = struct.Struct(">BiIqBI")
_KEEPER: Final = struct.Struct(">BQQIqq")
_FENCE: Final = struct.Struct(">BIQQQ")
_TURN: Final = struct.Struct(">BQQ")
_IDS: Final = struct.Struct(">BI")
_META: Final = struct.Struct(">B16s32sq")

_EMPTY_CRC: Final = crc32(b"")


Stored = tuple[str, bytes, int]
"""An item as a store hands it over: name, value, revision."""


class KeeperItem(NamedTuple):
    """`keeper/<id>`: a registration and its last beat. TTL and wall clock in ms."""

    incarnation: int
    beats: int
    ttl: int
    wall: int
    applied: int
    addresses: tuple[str, ...]


class Turn(NamedTuple):
    """`turn/<id>`: the names a keeper lost three commits in a row over (PROTOCOL section 4)."""

    incarnation: int
    number: int
    names: frozenset[str]


class Meta(NamedTuple):
    """`meta`: what every keeper of a namespace must agree on."""

    cluster: bytes
    secret: bytes
    base: int
    data_prefix: str


class NodePart(NamedTuple):
    """A decoded `node/`: czxid may be pending; length and CRC-32 are those of the data it was created with."""

    null: bool
    czxid: int
    ctime: int
    aversion: int
    owner: int
    length: int
    crc: int
    acl: AccessList


class StatPart(NamedTuple):
    """A decoded `stat/`: mzxid may be pending."""

    null: bool
    version: int
    mzxid: int
    mtime: int
    length: int
    crc: int


def _check(kind: str, value: bytes, layout: struct.Struct) -> None:
    if len(value) < layout.size:
        raise Incompatible(f"a {kind} item is {len(value)} bytes long, expected at least {layout.size}")
    if value[0] != FORMAT:
        raise Incompatible(f"a {kind} item has format {value[0]}; this version reads format {FORMAT}")


def encode_node(node: Znode) -> bytes:
    """`node/`. Where a `stat/` exists, it tells the data's length and CRC and these mean nothing."""
    data = node.data
    crc = crc32(data) if data else _EMPTY_CRC
    return (
        _NODE.pack(
            FORMAT, data is None, node.czxid, node.ctime, node.aversion, node.owner, len(data) if data else 0, crc
        )
        + node.acl.encoded
    )  # fmt: skip


def decode_node(value: bytes) -> NodePart:
    """Raises: `Incompatible` for another format or a value that is none."""
    _check("node", value, _NODE)
    _, null, czxid, ctime, aversion, owner, length, crc = _NODE.unpack_from(value)
    try:
        acl, _ = read_acl(value, _NODE.size)
    except (Malformed, struct.error, IndexError) as error:
        raise Incompatible("a node item has no readable ACL") from error
    return NodePart(bool(null), czxid, ctime, aversion, owner, length, crc, intern(acl or ()))


def encode_stat(node: Znode) -> bytes:
    """`stat/`."""
    data = node.data
    crc = crc32(data) if data else _EMPTY_CRC
    return _STAT.pack(
        FORMAT, data is None, node.version, node.mzxid, node.mtime, len(data) if data else 0, crc
    )  # fmt: skip


def decode_stat(value: bytes) -> StatPart:
    """Raises: `Incompatible`."""
    _check("stat", value, _STAT)
    _, null, version, mzxid, mtime, length, crc = _STAT.unpack_from(value)
    return StatPart(bool(null), version, mzxid, mtime, length, crc)


def encode_kids(kids: Kids) -> bytes:
    """`kids/`."""
    return _KIDS.pack(FORMAT, kids.creates, kids.count, kids.pzxid)


def decode_kids(value: bytes, revision: int) -> Kids:
    """The pzxid may be pending: `Kids.settle` resolves it. Raises: `Incompatible`."""
    _check("kids", value, _KIDS)
    _, creates, count, pzxid = _KIDS.unpack_from(value)
    return Kids(creates, count, pzxid, revision)


def encode_session(session: Session) -> bytes:
    """`session/`."""
    return _SESSION.pack(
        FORMAT, session.timeout, session.owner, session.created, session.closing, session.claims
    )  # fmt: skip


def decode_session(value: bytes, revision: int) -> Session:
    """Raises: `Incompatible`."""
    _check("session", value, _SESSION)
    _, timeout, owner, created, closing, claims = _SESSION.unpack_from(value)
    return Session(timeout, owner, created, bool(closing), claims, revision)


def encode_keeper(item: KeeperItem) -> bytes:
    """`keeper/`."""
    fixed = _KEEPER.pack(FORMAT, item.incarnation, item.beats, item.ttl, item.wall, item.applied)
    return fixed + "\n".join(item.addresses).encode()


def decode_keeper(value: bytes) -> KeeperItem:
    """Raises: `Incompatible`."""
    _check("keeper", value, _KEEPER)
    _, incarnation, beats, ttl, wall, applied = _KEEPER.unpack_from(value)
    text = value[_KEEPER.size :].decode(errors="replace")
    return KeeperItem(incarnation, beats, ttl, wall, applied, tuple(text.split("\n")) if text else ())


def encode_fence(keeper: int, incarnation: int, counter: int, attempt: int) -> bytes:
    """`fence/`: names taker and commit, so that no two values are alike."""
    return _FENCE.pack(FORMAT, keeper, incarnation, counter, attempt)


def encode_turn(turn: Turn) -> bytes:
    """`turn/`."""
    return _TURN.pack(FORMAT, turn.incarnation, turn.number) + "\0".join(sorted(turn.names)).encode()


def decode_turn(value: bytes) -> Turn:
    """Raises: `Incompatible`."""
    _check("turn", value, _TURN)
    _, incarnation, number = _TURN.unpack_from(value)
    text = value[_TURN.size :].decode(errors="replace")
    return Turn(incarnation, number, frozenset(text.split("\0")) if text else frozenset())


def encode_ids(last: int) -> bytes:
    """`ids`."""
    return _IDS.pack(FORMAT, last)


def decode_ids(value: bytes) -> int:
    """Raises: `Incompatible`."""
    _check("ids", value, _IDS)
    last: int = _IDS.unpack_from(value)[1]
    return last


def encode_meta(meta: Meta) -> bytes:
    """`meta`."""
    return _META.pack(FORMAT, meta.cluster, meta.secret, meta.base) + meta.data_prefix.encode()


def decode_meta(value: bytes) -> Meta:
    """Raises: `Incompatible`, naming the format that was found."""
    _check("meta", value, _META)
    _, cluster, secret, base = _META.unpack_from(value)
    return Meta(cluster, secret, base, value[_META.size :].decode(errors="replace"))


def build(node: NodePart, stat: StatPart | None, data: bytes | None, node_rev: int, stat_rev: int) -> Znode:
    """A znode from its decoded parts; zxids may still be pending (`Znode.settle` with each item's own revision).

    Null is told by the flag; bytes of another length or CRC are a stranger's and are served as they are.
    """
    null, length = (node.null, node.length) if stat is None else (stat.null, stat.length)
    return Znode(
        czxid=node.czxid,
        mzxid=node.czxid if stat is None else stat.mzxid,
        ctime=node.ctime,
        mtime=node.ctime if stat is None else stat.mtime,
        version=0 if stat is None else stat.version,
        aversion=node.aversion,
        owner=node.owner,
        acl=node.acl,
        data=None if null and not data and length == 0 else data or b"",
        node_rev=node_rev,
        stat_rev=stat_rev,
    )


def is_strangers(part: NodePart | StatPart, data: bytes | None) -> bool:
    """Whether the data key holds something else than what the item says a client wrote."""
    actual = data or b""
    return part.length != len(actual) or part.crc != crc32(actual)
