"""One record and one decoder per request (layouts: reference 2.3).

A decoder is `decode(payload, at)`: the payload is the whole frame without its length, `at` where the record starts,
which is 8 in a request and anything inside a multi. Bytes behind the record are ignored.

Null paths: where ZooKeeper answers -5 to one (reads, delete) the decoder raises `Malformed`; create looks at its flags
first (but not in a multi, see `parkeeper.wire.multi`), setData and setACL answer -8 and sync and getEphemerals accept
it, so their records keep None. An access list that is null stays None (-114). Numbers outside a record's own range (an
addWatch mode, a watcher type) are malformed here, for that is how they are answered (reference 5.5); create flags are
not, being answered -8. Two leniencies of ZooKeeper are not followed, since no client can use them: a null path in
addWatch, checkWatches, removeWatches and in the persistent lists of setWatches2 is malformed too.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar, cast

from parkeeper.errors import Malformed
from parkeeper.wire.jute import (
    INT,
    Decoder,
    decoder,
    read_buffer,
    read_int,
    read_long,
    read_path,
    read_paths,
    read_string,
)
from parkeeper.wire.records import Acl, read_acl

T = TypeVar("T")

_new = cast("Callable[[type, tuple[object, ...]], Any]", tuple.__new__)  # pyright: ignore[reportUnknownMemberType]
"""Makes a record of a tuple, in half the time that calling its class takes (which is a function of Python's; a tenth of
what a pipelined getData costs). For what most requests are."""

HEADER: Final = struct.Struct(">ii")
"""RequestHeader: xid, operation number. A frame shorter than this ends the connection."""


class Create(NamedTuple):
    """create, create2, createContainer. `flags`: 0 persistent, 1 ephemeral, +2 sequential, 4 container, 5, 6 TTL."""

    path: str | None
    data: bytes | None
    acl: tuple[Acl, ...] | None
    flags: int


class CreateTtl(NamedTuple):
    """createTTL; `ttl` in ms."""

    path: str | None
    data: bytes | None
    acl: tuple[Acl, ...] | None
    flags: int
    ttl: int


class Delete(NamedTuple):
    """delete; `version` -1 means any."""

    path: str
    version: int


class Check(NamedTuple):
    """check, inside a multi only; `version` -1 means any."""

    path: str
    version: int


class Exists(NamedTuple):
    """exists."""

    path: str
    watch: bool


class GetData(NamedTuple):
    """getData."""

    path: str
    watch: bool


class GetChildren(NamedTuple):
    """getChildren: the names."""

    path: str
    watch: bool


class GetChildren2(NamedTuple):
    """getChildren2: the names and the Stat."""

    path: str
    watch: bool


class SetData(NamedTuple):
    """setData; `version` -1 means any."""

    path: str | None
    data: bytes | None
    version: int


class GetAcl(NamedTuple):
    """getACL."""

    path: str


class SetAcl(NamedTuple):
    """setACL; `version` is compared with aversion, -1 means any."""

    path: str | None
    acl: tuple[Acl, ...] | None
    version: int


class Sync(NamedTuple):
    """sync; the path is echoed and means nothing."""

    path: str | None


class Reconfig(NamedTuple):
    """reconfig."""

    joining: str | None
    leaving: str | None
    new_members: str | None
    config_id: int


class CheckWatches(NamedTuple):
    """checkWatches; `type` 1 children, 2 data, 3 any, 4 persistent, 5 persistent recursive."""

    path: str
    type: int


class RemoveWatches(NamedTuple):
    """removeWatches; `type` as in CheckWatches."""

    path: str
    type: int


class AddWatch(NamedTuple):
    """addWatch; `mode` 0 persistent, 1 persistent recursive."""

    path: str
    mode: int


class SetWatches(NamedTuple):
    """setWatches and setWatches2: what a client watched before it reconnected, and the last zxid it saw."""

    relative_zxid: int
    data: tuple[str, ...]
    exist: tuple[str, ...]
    child: tuple[str, ...]
    persistent: tuple[str, ...]
    recursive: tuple[str, ...]


class Auth(NamedTuple):
    """addauth; `type` means nothing."""

    type: int
    scheme: str | None
    auth: bytes | None


class Sasl(NamedTuple):
    """One step of SASL."""

    token: bytes | None


class GetEphemerals(NamedTuple):
    """getEphemerals: the session's own, below a prefix of the text (null, blank or `/`: all)."""

    prefix: str | None


class GetAllChildrenNumber(NamedTuple):
    """getAllChildrenNumber: descendants at any depth."""

    path: str


class Ping(NamedTuple):
    """ping."""


class CloseSession(NamedTuple):
    """closeSession."""


class WhoAmI(NamedTuple):
    """whoAmI."""


def _path_and_watch(kind: type[T]) -> Decoder[T]:
    """The decoder of a record that is a path and a watch flag.

    Most requests of most clients are these four, so the reading is written out: in one call instead of three.
    """
    length_at = INT.unpack_from

    def decode(payload: bytes, at: int) -> T:
        try:
            length: int = length_at(payload, at)[0]
            if length < 0:
                raise Malformed(f"a path of {length} bytes")
            end = at + 4 + length
            fields = payload[at + 4 : end].decode("utf-8", "replace"), payload[end] != 0
            record: T = _new(kind, fields)
            return record
        except (struct.error, IndexError) as fault:
            raise Malformed("the frame ends inside a record") from fault

    return decode


exists = _path_and_watch(Exists)
"""ExistsRequest."""
get_data = _path_and_watch(GetData)
"""GetDataRequest."""
get_children = _path_and_watch(GetChildren)
"""GetChildrenRequest."""
get_children2 = _path_and_watch(GetChildren2)
"""GetChildren2Request."""


@decoder
def create(payload: bytes, at: int) -> Create:
    """CreateRequest; opcodes 1, 15 and 19."""
    return read_create(payload, at)[0]


@decoder
def create_ttl(payload: bytes, at: int) -> CreateTtl:
    """CreateTTLRequest."""
    return read_create_ttl(payload, at)[0]


@decoder
def delete(payload: bytes, at: int) -> Delete:
    """DeleteRequest."""
    return read_delete(payload, at)[0]


@decoder
def set_data(payload: bytes, at: int) -> SetData:
    """SetDataRequest."""
    return read_set_data(payload, at)[0]


@decoder
def get_acl(payload: bytes, at: int) -> GetAcl:
    """GetACLRequest."""
    return GetAcl(read_path(payload, at)[0])


@decoder
def set_acl(payload: bytes, at: int) -> SetAcl:
    """SetACLRequest."""
    path, at = read_string(payload, at)
    acl, at = read_acl(payload, at)
    return SetAcl(path, acl, read_int(payload, at)[0])


@decoder
def sync(payload: bytes, at: int) -> Sync:
    """SyncRequest."""
    return Sync(read_string(payload, at)[0])


@decoder
def reconfig(payload: bytes, at: int) -> Reconfig:
    """ReconfigRequest."""
    joining, at = read_string(payload, at)
    leaving, at = read_string(payload, at)
    members, at = read_string(payload, at)
    return Reconfig(joining, leaving, members, read_long(payload, at)[0])


def _read_watcher(payload: bytes, at: int) -> tuple[str, int]:
    """A path and a watcher type of 1..5."""
    path, at = read_path(payload, at)
    kind, at = read_int(payload, at)
    if not 1 <= kind <= 5:
        raise Malformed(f"no watcher type {kind}")
    return path, kind


@decoder
def check_watches(payload: bytes, at: int) -> CheckWatches:
    """CheckWatchesRequest."""
    return CheckWatches(*_read_watcher(payload, at))


@decoder
def remove_watches(payload: bytes, at: int) -> RemoveWatches:
    """RemoveWatchesRequest."""
    return RemoveWatches(*_read_watcher(payload, at))


@decoder
def add_watch(payload: bytes, at: int) -> AddWatch:
    """AddWatchRequest."""
    path, at = read_path(payload, at)
    mode, at = read_int(payload, at)
    if mode not in (0, 1):
        raise Malformed(f"no addWatch mode {mode}")
    return AddWatch(path, mode)


def _read_set_watches(payload: bytes, at: int) -> tuple[SetWatches, int]:
    """What both forms share; the two persistent lists are empty."""
    zxid, at = read_long(payload, at)
    data, at = read_paths(payload, at)
    exist, at = read_paths(payload, at)
    child, at = read_paths(payload, at)
    return SetWatches(zxid, data, exist, child, (), ()), at


@decoder
def set_watches(payload: bytes, at: int) -> SetWatches:
    """SetWatches."""
    return _read_set_watches(payload, at)[0]


@decoder
def set_watches2(payload: bytes, at: int) -> SetWatches:
    """SetWatches2: two more lists."""
    one_shot, at = _read_set_watches(payload, at)
    persistent, at = read_paths(payload, at)
    recursive, at = read_paths(payload, at)
    return one_shot._replace(persistent=persistent, recursive=recursive)


@decoder
def auth(payload: bytes, at: int) -> Auth:
    """AuthPacket."""
    kind, at = read_int(payload, at)
    scheme, at = read_string(payload, at)
    return Auth(kind, scheme, read_buffer(payload, at)[0])


@decoder
def sasl(payload: bytes, at: int) -> Sasl:
    """GetSASLRequest."""
    return Sasl(read_buffer(payload, at)[0])


@decoder
def get_ephemerals(payload: bytes, at: int) -> GetEphemerals:
    """GetEphemeralsRequest."""
    return GetEphemerals(read_string(payload, at)[0])


@decoder
def get_all_children_number(payload: bytes, at: int) -> GetAllChildrenNumber:
    """GetAllChildrenNumberRequest."""
    return GetAllChildrenNumber(read_path(payload, at)[0])


# What a multi contains is also needed with the offset behind it.


def read_create(payload: bytes, at: int) -> tuple[Create, int]:
    """A CreateRequest and the offset behind it."""
    path, at = read_string(payload, at)
    data, at = read_buffer(payload, at)
    acl, at = read_acl(payload, at)
    flags, at = read_int(payload, at)
    record: Create = _new(Create, (path, data, acl, flags))
    return record, at


def read_create_ttl(payload: bytes, at: int) -> tuple[CreateTtl, int]:
    """A CreateTTLRequest and the offset behind it."""
    (path, data, acl, flags), at = read_create(payload, at)
    ttl, at = read_long(payload, at)
    return CreateTtl(path, data, acl, flags, ttl), at


def read_delete(payload: bytes, at: int) -> tuple[Delete, int]:
    """A DeleteRequest and the offset behind it."""
    path, at = read_path(payload, at)
    version, at = read_int(payload, at)
    record: Delete = _new(Delete, (path, version))
    return record, at


def read_check(payload: bytes, at: int) -> tuple[Check, int]:
    """A CheckVersionRequest and the offset behind it."""
    path, at = read_path(payload, at)
    version, at = read_int(payload, at)
    return Check(path, version), at


def read_set_data(payload: bytes, at: int) -> tuple[SetData, int]:
    """A SetDataRequest and the offset behind it."""
    path, at = read_string(payload, at)
    data, at = read_buffer(payload, at)
    version: int = INT.unpack_from(payload, at)[0]
    record: SetData = _new(SetData, (path, data, version))
    return record, at + 4
