"""Consul's requests and replies as types; msgspec turns base64 into bytes. Names are those of its HTTP API.

Fields at their default are left out, which Go reads as zero: a `cas` without Index is one with Index 0, "must not
exist"; no Value is an empty one.
"""

from __future__ import annotations

from typing import Literal

import msgspec
import trio

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


class Pair(msgspec.Struct, rename="pascal", gc=False):
    """A key with its value. Flags and locks are nobody's business here."""

    key: str
    modify_index: int
    create_index: int = 0
    value: bytes | None = None


class Result(msgspec.Struct, gc=False):
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


class RawReply(msgspec.Struct, rename="pascal"):
    """Of a transaction whose results are decoded one by one."""

    results: list[msgspec.Raw] | None = None


TXN_REPLY = msgspec.json.Decoder(TxnReply)
AGENT_REPLY = msgspec.json.Decoder(AgentReply)
PAIRS = msgspec.json.Decoder(list[Pair])
_RAW_REPLY = msgspec.json.Decoder(RawReply)
_RESULT = msgspec.json.Decoder(Result)
_encode = msgspec.json.Encoder().encode

LARGE = 256 << 10
"""Bytes of an answer above which it is decoded on a thread: 1 MB of pairs takes about 2 ms."""


def transaction(operations: list[Operation]) -> bytes:
    """The body of `PUT /v1/txn`."""
    return _encode([Wrapped(operation) for operation in operations])


async def read_pairs(body: bytes) -> list[Pair]:
    """What a transaction read and wrote, in the order of its operations.

    Raises:
        msgspec.MsgspecError: this is no answer to a transaction.
    """
    if len(body) <= LARGE:
        return TXN_REPLY.decode(body).pairs
    return await trio.to_thread.run_sync(_read_many, body)


def _read_many(body: bytes) -> list[Pair]:
    """One by one: a thread in msgspec lets no other run, and all of 120,000 pairs at once take 60 ms."""
    return [_RESULT.decode(result).kv for result in _RAW_REPLY.decode(body).results or ()]
