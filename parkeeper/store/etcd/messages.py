"""etcd's requests and replies as types; msgspec turns base64 into bytes and string integers into ints.

Names are etcd's own (`rpc.proto`, `kv.proto`), as its JSON gateway spells them. Two gateways exist (v1 in upstream
3.4 and 3.5, v2 in upstream 3.6 and in Debian's 3.5) and the version does not tell which; both leave out zero
values, so every field of a reply has its zero for a default: no `succeeded` is false, no `type` is PUT.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec

from parkeeper.errors import InDoubt


class Compare(msgspec.Struct, omit_defaults=True, frozen=True):
    """A guard. `target` is never left out: its default is VERSION, and the guard would compare that with 0."""

    key: bytes
    mod_revision: int
    result: Literal["EQUAL", "LESS"]
    range_end: bytes = b""
    target: Literal["MOD"] = msgspec.field(default_factory=lambda: "MOD")  # so that it is written


class Put(msgspec.Struct, frozen=True):
    key: bytes
    value: bytes


class Delete(msgspec.Struct, frozen=True):
    key: bytes


class Range(msgspec.Struct, omit_defaults=True, frozen=True):
    """A read; no `revision` in one that stands in a transaction with writes (etcd before 3.7 may go wrong)."""

    key: bytes
    range_end: bytes = b""
    limit: int = 0
    revision: int = 0
    sort_order: Literal["NONE", "DESCEND"] = "NONE"
    sort_target: Literal["KEY", "MOD"] = "KEY"
    keys_only: bool = False
    min_mod_revision: int = 0


class Operation(msgspec.Struct, omit_defaults=True, frozen=True):
    """One of a transaction's; exactly one field is set."""

    request_range: Range | None = None
    request_put: Put | None = None
    request_delete_range: Delete | None = None
    request_txn: Txn | None = None


class Txn(msgspec.Struct, omit_defaults=True, frozen=True):
    compare: list[Compare] = []
    success: list[Operation] = []
    failure: list[Operation] = []


class WatchCreate(msgspec.Struct, frozen=True):
    key: bytes
    range_end: bytes
    start_revision: int
    progress_notify: bool = True
    fragment: bool = True


class WatchRequest(msgspec.Struct, frozen=True):
    create_request: WatchCreate


class Header(msgspec.Struct):
    cluster_id: int = 0
    member_id: int = 0
    revision: int = 0


class KeyValue(msgspec.Struct):
    key: bytes = b""
    value: bytes = b""
    mod_revision: int = 0


class RangeReply(msgspec.Struct):
    header: Header = msgspec.field(default_factory=Header)
    kvs: list[KeyValue] = []
    more: bool = False


class OperationReply(msgspec.Struct):
    response_range: RangeReply | None = None


class TxnReply(msgspec.Struct):
    header: Header = msgspec.field(default_factory=Header)
    succeeded: bool = False
    responses: list[OperationReply] = []


class AuthReply(msgspec.Struct):
    token: str = ""


class StatusReply(msgspec.Struct):
    db_size: int = msgspec.field(name="dbSize", default=0)
    db_size_in_use: int = msgspec.field(name="dbSizeInUse", default=0)


class Nothing(msgspec.Struct):
    """A reply of which nothing is needed."""


class WatchEvent(msgspec.Struct):
    kv: KeyValue
    type: str = "PUT"


class WatchResult(msgspec.Struct):
    header: Header = msgspec.field(default_factory=Header)
    created: bool = False
    canceled: bool = False
    compact_revision: int = 0
    cancel_reason: str = ""
    fragment: bool = False
    events: list[WatchEvent] = []


class StreamError(msgspec.Struct):
    """`code` is named `grpc_code` by gateway v1."""

    code: int = 0
    grpc_code: int = 0
    message: str = ""


class WatchLine(msgspec.Struct):
    result: WatchResult | None = None
    error: StreamError | None = None


class ErrorReply(msgspec.Struct):
    code: int = 0
    message: str = ""


class VersionReply(msgspec.Struct):
    etcdserver: str = ""


class Variables(msgspec.Struct):
    """Of `/debug/vars`: how the server was called."""

    cmdline: list[str] = []


RANGE_REPLY = msgspec.json.Decoder(RangeReply, strict=False)
TXN_REPLY = msgspec.json.Decoder(TxnReply, strict=False)
WATCH_LINE = msgspec.json.Decoder(WatchLine, strict=False)
ERROR_REPLY = msgspec.json.Decoder(ErrorReply, strict=False)
AUTH_REPLY = msgspec.json.Decoder(AuthReply, strict=False)
encode = msgspec.json.Encoder().encode

Reply = TypeVar("Reply")


def decoded(decoder: msgspec.json.Decoder[Reply], body: bytes) -> Reply:
    """An answer of 200.

    Raises:
        InDoubt: it is not what etcd would say; something between us and etcd said it.
    """
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InDoubt(f"an answer that is not etcd's: {body[:100]!r} ({error})") from error


def end_of(prefix: bytes) -> bytes:
    """The `range_end` of all keys with a prefix. Ours end in `/`, which has a successor."""
    return prefix[:-1] + bytes([prefix[-1] + 1])
