"""Requests for scripts: each is `tests.raw.encode`'s body with its opcode and a note that says it in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tests.raw import encode
from tests.raw.encode import OPEN, Acl, String
from tests.scripts.model import Request

EPHEMERAL, SEQUENCE, EPHEMERAL_SEQUENCE, CONTAINER, TTL, TTL_SEQUENCE = range(1, 7)


def words(*values: object) -> str:
    return " ".join(value if isinstance(value, str) else repr(value) for value in values)


def create(
    path: String,
    data: bytes | None = b"",
    acl: Sequence[Acl] | None = OPEN,
    flags: int = 0,
    op: int = encode.CREATE,
) -> Request:
    names = {encode.CREATE: "create", encode.CREATE2: "create2", encode.CREATE_CONTAINER: "createContainer"}
    more = () if acl is OPEN else (acl,)
    return Request(
        op, encode.create(path, data, acl, flags), words(names[op], path, data, f"flags={flags}", *more)
    )


def create2(
    path: String, data: bytes | None = b"", acl: Sequence[Acl] | None = OPEN, flags: int = 0
) -> Request:
    return create(path, data, acl, flags, encode.CREATE2)


def create_container(path: String, data: bytes | None = b"", flags: int = CONTAINER) -> Request:
    return create(path, data, OPEN, flags, encode.CREATE_CONTAINER)


def create_ttl(path: String, data: bytes | None = b"", flags: int = TTL, ttl: int = 60_000) -> Request:
    body = encode.create_ttl(path, data, OPEN, flags, ttl)
    return Request(encode.CREATE_TTL, body, words("createTTL", path, data, f"flags={flags} ttl={ttl}"))


def delete(path: String, version: int = -1) -> Request:
    return Request(encode.DELETE, encode.path_version(path, version), words("delete", path, version))


def check(path: String, version: int = -1) -> Request:
    return Request(encode.CHECK, encode.path_version(path, version), words("check", path, version))


def exists(path: String, watch: bool = False) -> Request:
    return Request(encode.EXISTS, encode.path_watch(path, watch), words("exists", path, watch))


def get(path: String, watch: bool = False) -> Request:
    return Request(encode.GET_DATA, encode.path_watch(path, watch), words("getData", path, watch))


def put(path: String, data: bytes | None = b"", version: int = -1) -> Request:
    return Request(
        encode.SET_DATA, encode.set_data(path, data, version), words("setData", path, data, version)
    )


def get_acl(path: String) -> Request:
    return Request(encode.GET_ACL, encode.only_path(path), words("getACL", path))


def set_acl(path: String, acl: Sequence[Acl] | None = OPEN, version: int = -1) -> Request:
    return Request(encode.SET_ACL, encode.set_acl(path, acl, version), words("setACL", path, acl, version))


def children(path: String, watch: bool = False) -> Request:
    return Request(encode.GET_CHILDREN, encode.path_watch(path, watch), words("getChildren", path, watch))


def children2(path: String, watch: bool = False) -> Request:
    return Request(encode.GET_CHILDREN2, encode.path_watch(path, watch), words("getChildren2", path, watch))


def descendants(path: String) -> Request:
    return Request(
        encode.GET_ALL_CHILDREN_NUMBER, encode.only_path(path), words("getAllChildrenNumber", path)
    )


def ephemerals(prefix: String = None) -> Request:
    return Request(encode.GET_EPHEMERALS, encode.only_path(prefix), words("getEphemerals", prefix))


def sync(path: String = "/") -> Request:
    return Request(encode.SYNC, encode.only_path(path), words("sync", path))


def ping(xid: int = encode.PING_XID) -> Request:
    return Request(encode.PING, b"", "ping", xid)


def auth(scheme: String, data: bytes | None, xid: int | None = encode.AUTH_XID) -> Request:
    return Request(encode.AUTH, encode.auth(scheme, data), words("auth", scheme, data), xid)


def who() -> Request:
    return Request(encode.WHO_AM_I, b"", "whoAmI")


def close() -> Request:
    return Request(encode.CLOSE_SESSION, b"", "closeSession")


def sasl(token: bytes | None = b"") -> Request:
    return Request(encode.SASL, encode.sasl(token), words("sasl", token))


def reconfig() -> Request:
    return Request(encode.RECONFIG, encode.reconfig(members="server.1=127.0.0.1:1:2;3"), "reconfig")


def add_watch(path: String, mode: int = 0) -> Request:
    return Request(encode.ADD_WATCH, encode.path_type(path, mode), words("addWatch", path, mode))


def check_watches(path: String, type_: int = 3) -> Request:
    return Request(encode.CHECK_WATCHES, encode.path_type(path, type_), words("checkWatches", path, type_))


def remove_watches(path: String, type_: int = 3) -> Request:
    return Request(encode.REMOVE_WATCHES, encode.path_type(path, type_), words("removeWatches", path, type_))


def set_watches(
    since: int,
    data: Iterable[String] = (),
    exist: Iterable[String] = (),
    child: Iterable[String] = (),
) -> Request:
    """`since`: step after which the client saw the newest zxid."""
    data, exist, child = tuple(data), tuple(exist), tuple(child)
    note = words("setWatches since step", since, data, exist, child)
    return Request(
        encode.SET_WATCHES, encode.set_watches(0, data, exist, child), note, encode.SET_WATCHES_XID, since
    )


def set_watches2(
    since: int,
    data: Iterable[String] = (),
    exist: Iterable[String] = (),
    child: Iterable[String] = (),
    persistent: Iterable[String] = (),
    recursive: Iterable[String] = (),
) -> Request:
    """`since`: step after which the client saw the newest zxid."""
    lists = tuple(data), tuple(exist), tuple(child), tuple(persistent), tuple(recursive)
    note = words("setWatches2 since step", since, *lists)
    return Request(encode.SET_WATCHES2, encode.set_watches2(0, *lists), note, encode.SET_WATCHES_XID, since)


def multi(*requests: Request, op: int = encode.MULTI) -> Request:
    note = ("multi" if op == encode.MULTI else "multiRead") + f" [{'; '.join(one.note for one in requests)}]"
    return Request(op, encode.multi((one.op, one.body) for one in requests), note)


def multi_read(*requests: Request) -> Request:
    return multi(*requests, op=encode.MULTI_READ)


def raw(op: int, body: bytes = b"", note: str = "") -> Request:
    """Any opcode with any body."""
    return Request(op, body, note or f"opcode {op}, body {body.hex() or 'empty'}")


def cut(request: Request, count: int) -> Request:
    """A request that ends `count` bytes too early."""
    return replace(request, body=request.body[:-count], note=f"{request.note}, {count} bytes short")


def longer(request: Request, more: bytes) -> Request:
    """A request with bytes after its record."""
    return replace(request, body=request.body + more, note=f"{request.note}, and {more.hex()} after it")
