"""Request bytes of the ZooKeeper protocol, written by hand for tests: nothing here comes from parkeeper.

A function per request record (zookeeper.jute, class named in each docstring) gives the body without header;
`request` puts the header before it, `frame` the length. Strings may be given as `bytes`, to send what is no UTF-8.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

String = str | bytes | None
Acl = tuple[int, String, String]
OPEN: Sequence[Acl] = ((31, "world", "anyone"),)
READ_ONLY: Sequence[Acl] = ((1, "world", "anyone"),)

# Opcodes (ZooDefs.OpCode).
CREATE, DELETE, EXISTS, GET_DATA, SET_DATA, GET_ACL, SET_ACL, GET_CHILDREN, SYNC = range(1, 10)
PING, GET_CHILDREN2, CHECK, MULTI, CREATE2, RECONFIG, CHECK_WATCHES, REMOVE_WATCHES = range(11, 19)
CREATE_CONTAINER, DELETE_CONTAINER, CREATE_TTL, MULTI_READ = range(19, 23)
AUTH, SET_WATCHES, SASL, GET_EPHEMERALS, GET_ALL_CHILDREN_NUMBER = range(100, 105)
SET_WATCHES2, ADD_WATCH, WHO_AM_I = range(105, 108)
CREATE_SESSION, CLOSE_SESSION = -10, -11

PING_XID, AUTH_XID, SET_WATCHES_XID = -2, -4, -8


def i32(value: int) -> bytes:
    return struct.pack(">i", value)


def i64(value: int) -> bytes:
    return struct.pack(">q", value)


def boolean(value: bool) -> bytes:
    return b"\x01" if value else b"\x00"


def buffer(value: bytes | None) -> bytes:
    return i32(-1) if value is None else i32(len(value)) + value


def string(value: String) -> bytes:
    return buffer(value.encode() if isinstance(value, str) else value)


def strings(values: Iterable[String] | None) -> bytes:
    if values is None:
        return i32(-1)
    items = [string(value) for value in values]
    return i32(len(items)) + b"".join(items)


def acl_list(entries: Iterable[Acl] | None) -> bytes:
    if entries is None:
        return i32(-1)
    items = [i32(perms) + string(scheme) + string(id_) for perms, scheme, id_ in entries]
    return i32(len(items)) + b"".join(items)


def frame(payload: bytes) -> bytes:
    return i32(len(payload)) + payload


def request(xid: int, op: int, body: bytes = b"") -> bytes:
    """RequestHeader and body, with the length before them."""
    return frame(i32(xid) + i32(op) + body)


def connect(
    timeout: int = 10_000,
    session: int = 0,
    password: bytes | None = bytes(16),
    last_zxid: int = 0,
    read_only: bool | None = None,
    protocol: int = 0,
) -> bytes:
    """ConnectRequest with its length; `read_only` None leaves the byte out, as old clients do."""
    body = i32(protocol) + i64(last_zxid) + i32(timeout) + i64(session) + buffer(password)
    return frame(body if read_only is None else body + boolean(read_only))


def create(path: String, data: bytes | None = b"", acl: Iterable[Acl] | None = OPEN, flags: int = 0) -> bytes:
    """CreateRequest: create, create2, createContainer."""
    return string(path) + buffer(data) + acl_list(acl) + i32(flags)


def create_ttl(
    path: String,
    data: bytes | None = b"",
    acl: Iterable[Acl] | None = OPEN,
    flags: int = 5,
    ttl: int = 60_000,
) -> bytes:
    """CreateTTLRequest; `ttl` in milliseconds."""
    return create(path, data, acl, flags) + i64(ttl)


def path_version(path: String, version: int = -1) -> bytes:
    """DeleteRequest, CheckVersionRequest."""
    return string(path) + i32(version)


def path_watch(path: String, watch: bool = False) -> bytes:
    """ExistsRequest, GetDataRequest, GetChildrenRequest, GetChildren2Request."""
    return string(path) + boolean(watch)


def set_data(path: String, data: bytes | None = b"", version: int = -1) -> bytes:
    """SetDataRequest."""
    return string(path) + buffer(data) + i32(version)


def only_path(path: String) -> bytes:
    """GetACLRequest, SyncRequest, GetEphemeralsRequest, GetAllChildrenNumberRequest."""
    return string(path)


def set_acl(path: String, acl: Iterable[Acl] | None = OPEN, version: int = -1) -> bytes:
    """SetACLRequest."""
    return string(path) + acl_list(acl) + i32(version)


def multi_header(op: int, done: bool, error: int = -1) -> bytes:
    """MultiHeader."""
    return i32(op) + boolean(done) + i32(error)


def multi(ops: Iterable[tuple[int, bytes]]) -> bytes:
    """Multi and multiRead: (opcode, body) of each."""
    return b"".join(multi_header(op, False) + body for op, body in ops) + multi_header(-1, True)


def auth(scheme: String, data: bytes | None, type_: int = 0) -> bytes:
    """AuthPacket."""
    return i32(type_) + string(scheme) + buffer(data)


def set_watches(
    since: int, data: Iterable[String] = (), exist: Iterable[String] = (), child: Iterable[String] = ()
) -> bytes:
    """SetWatches; `since` is the zxid that the client saw last."""
    return i64(since) + strings(data) + strings(exist) + strings(child)


def set_watches2(
    since: int,
    data: Iterable[String] = (),
    exist: Iterable[String] = (),
    child: Iterable[String] = (),
    persistent: Iterable[String] = (),
    recursive: Iterable[String] = (),
) -> bytes:
    """SetWatches2."""
    return set_watches(since, data, exist, child) + strings(persistent) + strings(recursive)


def path_type(path: String, type_: int) -> bytes:
    """AddWatchRequest (0 persistent, 1 recursive), CheckWatchesRequest and RemoveWatchesRequest (1 to 5)."""
    return string(path) + i32(type_)


def reconfig(
    joining: String = None, leaving: String = None, members: String = None, config: int = -1
) -> bytes:
    """ReconfigRequest."""
    return string(joining) + string(leaving) + string(members) + i64(config)


def sasl(token: bytes | None = b"") -> bytes:
    """GetSASLRequest."""
    return buffer(token)
