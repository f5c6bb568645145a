"""A commit as an etcd transaction, and what its answer says.

    compare   each guard: mod_revision EQUAL r (0: absent)
    success   range: the newest key under head/, which is the commit before this one; it stands before the puts,
              so it sees the state before them
              puts, deletes, and the put of head/<keeper>
    failure   range: the newest key under head/; range: head/<keeper>

etcd counts each list by itself against `--max-txn-ops` (128). What is more goes into nested transactions: one that
holds `outer` compares and operations leaves `128 - outer` to each nested one, so 63 * 64 writes at most. Nested
ones have no compares of their own (a failed one would not fail the whole). One compare over all of head/,
"mod_revision LESS seen + 1", can stand for all guards but those it does not cover: keys that are written without a
commit, or by a commit of a keeper that has no head yet. This *coarse* guard fails with any other keeper's commit, so it
is for a keeper that is alone in committing, and for guards that don't fit. (A compare costs etcd 10 us, a put 20 us, a
transaction 450 us: two compares less for each set of 64 were a fifth of all.)

Who is alone (`alone`) reads nothing either: "my head is at `seen`, and no head is newer" says which commit stood before,
and what a failure branch reads is asked for when it fails, which is rare then. Nor does it guard its fence: who rewrites
that moves a head of its own. (One setData: 700 us of etcd's instead of 800.)

Sizes are those of the protobuf request that etcd measures (`--max-request-bytes`, 1.5 MiB), not of our JSON.
"""

from __future__ import annotations

from collections.abc import Mapping

from parkeeper.errors import GuardFailed, Rejected
from parkeeper.store.etcd.messages import (
    Compare,
    Delete,
    Operation,
    Put,
    Range,
    Txn,
    TxnReply,
    encode,
    end_of,
)
from parkeeper.store.facade import Commit, Head, Receipt, Survey
from parkeeper.store.heads import pack_head, unpack_head
from parkeeper.store.keys import Layout

MAX_TXN_OPS = 128
MAX_REQUEST_BYTES = 1536 << 10
FULL = 0.89
"""Share of `--max-request-bytes` that `fits` fills (1.4 MB of the default)."""

HARD = 0.97
"""Share of it above which a request is not sent: etcd adds headers of its own before it measures."""

_EACH = 28
"""Bytes around the key and value of one operation or guard, nested: tags, lengths, a revision of 9 bytes."""

_FIXED = 2048
"""Bytes of the reads, of the head without its journal, and of guards that always stay, rounded up."""

_STAY = ("head/", "fence/", "keeper/", "ids", "meta")
"""Guards that a compare over head/ can't stand for. (No other item's name begins with `ids` or `meta`.)"""

_STAY_ALONE = ("head/", "keeper/", "ids", "meta")
"""The same where nobody else commits."""


class Transactions:
    """Builds transactions within the server's limits.

    Args:
        layout: names to keys.
        max_txn_ops: the server's `--max-txn-ops`, at least 8.
        max_request_bytes: the server's `--max-request-bytes`.

    Attributes:
        newest_head: body of a request for the newest head.
    """

    def __init__(self, layout: Layout, max_txn_ops: int | None, max_request_bytes: int | None) -> None:
        self._layout = layout
        self._ops = max_txn_ops or MAX_TXN_OPS
        self._flag_bytes = max_request_bytes or MAX_REQUEST_BYTES
        self._full = int(self._flag_bytes * FULL)
        self._hard = int(self._flag_bytes * HARD)
        self._prefix = max(len(layout.namespace.encode()), len(layout.data.encode()))
        heads = layout.encode("head/")
        newest = Range(heads, end_of(heads), 1, sort_order="DESCEND", sort_target="MOD", keys_only=True)
        self._newest = Operation(request_range=newest)
        self.newest_head = encode(newest)
        self._heads, self._after_heads = heads, end_of(heads)
        self._most_writes = max((outer - 1) * (self._ops - outer) for outer in range(2, self._ops))

    @property
    def value(self) -> int:
        """Bytes of the largest value: what is left beside the other items of its commit, and their names."""
        return self._full - _FIXED - 16 * (_EACH + self._prefix) - 8192

    def fits(self, puts: int, deletes: int, size: int) -> bool:
        """Whether one transaction holds so many puts and deletes beside the head; `size` bytes of names and values.

        Guards never decide: one compare can stand for them.
        """
        size += _FIXED + (puts + deletes) * (_EACH + self._prefix)
        return puts + deletes + 1 <= self._most_writes and size <= self._full

    def commit(self, commit: Commit, coarse: bool = False) -> bytes:
        """The body of the request.

        Args:
            commit: what is to happen.
            coarse: whether one guard over all heads is as good as one for each item, and nothing need be read: nobody
                else commits, and `commit.newest` is known.

        Raises:
            Rejected: no transaction of this server can hold it.
        """
        key = self._layout.encode
        deletes = [Delete(key(name)) for name in commit.deletes]
        puts = [Put(key(name), value) for name, value in commit.puts.items()]
        own: list[Operation] = []
        if commit.head is not None:
            head = key(f"head/{commit.keeper}")
            data_puts = sum(name.startswith("data/") for name in commit.puts)
            puts.append(Put(head, pack_head(commit.head, data_puts, commit.journal)))
            own.append(Operation(request_range=Range(head)))
        size = _FIXED + sum(len(one.key) + _EACH for one in deletes)
        size += sum(len(one.key) + len(one.value) + _EACH for one in puts)
        writes = [Operation(request_delete_range=one) for one in deletes]
        writes += [Operation(request_put=one) for one in puts]

        compares = self._coarse(commit, fence=False) if coarse else self._compares(commit.guards)
        outer = self._outer(len(compares), len(writes))
        if outer == 0 or size + _size(compares) > self._full:
            compares = self._coarse(commit)
            outer = self._outer(len(compares), len(writes))
        size += _size(compares)
        if outer == 0:
            raise Rejected(
                f"{len(writes)} writes in one transaction; --max-txn-ops {self._ops} lets {self._most_writes} "
                "pass: raise it on every member, and in parkeeper's options"
            )
        if size > self._hard:
            raise Rejected(
                f"a transaction of {size} bytes; --max-request-bytes {self._flag_bytes} lets {self._hard} "
                "pass: raise it on every member, and in parkeeper's options"
            )
        writes = self._nest(writes, outer)
        if coarse:
            return encode(Txn(compares, writes))
        return encode(Txn(compares, [self._newest, *writes], [self._newest, *own]))

    def _compares(self, guards: Mapping[str, int]) -> list[Compare]:
        return [Compare(self._layout.encode(name), guarded, "EQUAL") for name, guarded in guards.items()]

    def _coarse(self, commit: Commit, fence: bool = True) -> list[Compare]:
        stay = _STAY if fence else _STAY_ALONE
        guards = {n: r for n, r in commit.guards.items() if n.startswith(stay)}
        if commit.newest:
            # "Nothing newer" is true as well of a store without what was seen: one that was put back to a backup.
            guards[f"head/{commit.newest}"] = commit.seen
        compares = self._compares(guards)
        compares.append(Compare(self._heads, commit.seen + 1, "LESS", self._after_heads))
        return compares

    def _outer(self, compares: int, writes: int) -> int:
        """How long the outer lists may be; 0 if there is no way."""
        if max(compares, writes + 1) <= self._ops:
            return self._ops
        for outer in range(max(compares, 2), self._ops):
            if (outer - 1) * (self._ops - outer) >= writes:
                return outer
        return 0

    def _nest(self, writes: list[Operation], outer: int) -> list[Operation]:
        inner = self._ops - outer
        if not inner:
            return writes
        return [
            Operation(request_txn=Txn(success=writes[at : at + inner])) for at in range(0, len(writes), inner)
        ]

    def beat(self, keeper: int, guard: int, value: bytes) -> bytes:
        """The heartbeat's: the keeper's item, guarded by itself."""
        key = self._layout.encode(f"keeper/{keeper}")
        own = Operation(request_range=Range(self._layout.encode(f"head/{keeper}")))
        put = Operation(request_put=Put(key, value))
        return encode(Txn([Compare(key, guard, "EQUAL")], [put], [self._newest, own]))


def _size(compares: list[Compare]) -> int:
    return sum(len(one.key) + _EACH for one in compares)


def receipt(reply: TxnReply) -> Receipt:
    """What a commit's answer says.

    Raises:
        GuardFailed: it was not applied.
    """
    if not reply.succeeded:
        raise guard_failed(reply)
    return Receipt(reply.header.revision, _newest_of(reply))


def guard_failed(reply: TxnReply) -> GuardFailed:
    """What the failure branch read."""
    newest = _newest_of(reply)
    held = reply.responses[1].response_range if len(reply.responses) > 1 else None
    if held is None or not held.kvs:
        return GuardFailed(newest, 0, None)
    head: Head = unpack_head(held.kvs[0].value)[0]
    return GuardFailed(newest, held.kvs[0].mod_revision, head)


def lost(commit: Commit, survey: Survey) -> GuardFailed:
    """What a look at the heads says of a commit that failed, or may have, where the transaction itself says nothing."""
    identity, own = survey.heads.get(commit.keeper, (None, 0))
    return GuardFailed(max((revision for _, revision in survey.heads.values()), default=0), own, identity)


def _newest_of(reply: TxnReply) -> int:
    held = reply.responses[0].response_range if reply.responses else None
    return held.kvs[0].mod_revision if held is not None and held.kvs else 0
