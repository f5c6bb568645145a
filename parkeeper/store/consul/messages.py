"""Consul's requests and replies as types; msgspec turns base64 into bytes. Names are those of its HTTP API.

Fields at their default are left out, which Go reads as zero: a `cas` without Index is one with Index 0, "must not
exist"; no Value is an empty one.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec
import trio

T = TypeVar("T")

Verb = Literal[
    "set", "cas", "get", "get-tree", "check-index", "check-not-exists", "delete", "delete-cas", "delete-tree"
]


class Operation(msgspec.Struct, omit_defaults=True, rename="pascal", frozen=True):
    """One KV operation of a transaction."""

    verb: Verb
    key: str
    index: int = 0
    value: bytes = b""
    flags: int = 0


class Wrapped(msgspec.Struct, frozen=True):
    """An operation as it stands in a transaction."""

    kv: Operation = msgspec.field(name="KV")


class Pair(msgspec.Struct, rename="pascal"):
    """A key with its value. Flags and locks are nobody's business here."""

    key: str
    modify_index: int
    create_index: int = 0
    value: bytes | None = None


class Result(msgspec.Struct):
    kv: Pair = msgspec.field(name="KV")


class Failure(msgspec.Struct, rename="pascal"):
    """Why one operation failed, and with it the transaction."""

    op_index: int = 0
    what: str = ""


class TxnReply(msgspec.Struct, rename="pascal"):
    """Of a transaction. Results don't line up with the operations: match them by key."""

    results: list[Result] | None = None
    errors: list[Failure] | None = None

    @property
    def pairs(self) -> list[Pair]:
        """What was read and written, in the order of the operations."""
        return [result.kv for result in self.results or ()]


class AgentConfig(msgspec.Struct, rename="pascal"):
    version: str = ""


class AgentDebug(msgspec.Struct):
    kv_max_value_size: int = msgspec.field(name="KVMaxValueSize", default=0)
    txn_max_req_len: int = msgspec.field(name="TxnMaxReqLen", default=0)


class AgentReply(msgspec.Struct, rename="pascal"):
    """Of `/v1/agent/self`."""

    config: AgentConfig = msgspec.field(default_factory=AgentConfig)
    debug_config: AgentDebug = msgspec.field(default_factory=AgentDebug)


TXN_REPLY = msgspec.json.Decoder(TxnReply)
PAIRS = msgspec.json.Decoder(list[Pair])
AGENT_REPLY = msgspec.json.Decoder(AgentReply)
_encode = msgspec.json.Encoder().encode

LARGE = 256 << 10
"""Bytes of an answer above which it is decoded on a thread: 1 MB of pairs takes about 4 ms."""


def transaction(operations: list[Operation]) -> bytes:
    """The body of `PUT /v1/txn`."""
    return _encode([Wrapped(operation) for operation in operations])


async def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode, on a thread if it takes long."""
    if len(body) <= LARGE:
        return decoder.decode(body)
    return await trio.to_thread.run_sync(decoder.decode, body)
