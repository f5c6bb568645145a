"""A commit as a Consul transaction.

    guards       check-index, or check-not-exists for 0; first, since a check sees the writes before it
    get-tree     of head/: the commit before this one is the newest there
    writes       set, delete; guard and write of one key are one `cas`
    the ring     its entry, and its oldest entries if it is overfull
    cas          of head/<keeper>, guard and write in one; its answer tells the revision

All of it counts against one limit, 64 operations (128 from Consul 1.14.0), and its JSON against `txn_max_req_len`
(512 KiB). So there are three ways to write a commit, and the first that fits is taken:

1. as above, a guarded delete as check-index and delete;
2. a guarded delete of a `node/` as one delete-cas. It passes on a missing key; but whoever deleted the node wrote
   its parent's `kids/`, which is guarded as well (PROTOCOL section 7);
3. without the guards that are about the tree, guarding in their place that no keeper committed since: a check of the
   head of every keeper that lives (the dead are fenced) and of `ids` (nobody came). Whoever builds this has read
   the heads just before and found none newer than the commit's `seen`.

Consul drops a write of the same value and Flags: no new index, nobody woken. So Flags are the keeper's id and the
try number of the commit, with everything it writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from parkeeper.errors import Rejected
from parkeeper.store.consul.messages import Operation, Pair, transaction
from parkeeper.store.consul.names import Names
from parkeeper.store.consul.ring import DROPPED, Ring
from parkeeper.store.facade import Commit, Receipt
from parkeeper.store.heads import pack_head

OPERATIONS = 64
OPERATIONS_SINCE_1_14 = 128
REQUEST_BYTES = 512 << 10
"""Consul's defaults: of `limits.txn_max_req_len`, and of `limits.kv_max_value_size`."""

OVERHEAD = 4
"""Operations of every commit: check of the fence, get-tree, ring entry, cas of the head."""

COARSE = 2
"""Guards beside the heads in the third way: `ids`, and one that is never replaced."""

_KEPT = ("head/", "fence/", "keeper/", "ids", "meta")
"""Guards that are never replaced: what is written without a commit, or by a keeper that has no head yet."""

_EACH = 144
"""Bytes of an operation's JSON, and of what the ring entry says of it, beside prefix, name and value."""

_NAMES = 8 << 10
"""Bytes of names in a commit that may be spelled three times as long (`parkeeper.store.keys.escape`)."""


class Transactions:
    """Builds transactions within the agent's limits.

    Args:
        names: items to keys.

    Attributes:
        operations: of one transaction, at most.
        body: bytes of its JSON, at most.
        largest: bytes of one value, the ring's entry included, at most.
    """

    def __init__(self, names: Names) -> None:
        self.operations = OPERATIONS
        self.body = REQUEST_BYTES
        self.largest = REQUEST_BYTES
        self._names = names
        self._each = _EACH + max(map(len, names.trees))

    @property
    def value(self) -> int:
        """Bytes of the largest value, beside the other items of its write: it stands in the ring as well."""
        return min(self._room(16), self.largest - _NAMES) - 2048

    def _room(self, operations: int) -> int:
        """Bytes of names and values beside so many operations; base64 makes 4 of 3, and there are two of each."""
        return (self.body - (operations + 8) * self._each - _NAMES * 5 // 3) * 3 // 8

    def fits(self, guards: int, puts: int, deletes: int, size: int, others: int, filling: bool) -> bool:
        """Whether one commit can hold so much.

        Half of the guards are taken to be of items that the commit writes too, as in setData; if there are more
        of the others, the commit falls back on the third way, for which there is always room. So with 0 guards
        this tells whether there is a way at all, however many guards there are. Where many keepers live, or have
        died and were not declared dead yet, there is no room for the third way: then all guards must fit as they
        are. [a keeper that had crashed 60 times within a TTL could write nothing until they were declared]

        Args:
            guards, puts, deletes, size: see `facade.Store.fits`.
            others: keepers that live, beside this one.
            filling: whether the ring's oldest entries may have to be dropped.
        """
        operations = puts + deletes + OVERHEAD + (DROPPED if filling else 0)
        with_fallback = max((guards + 1) // 2, others + COARSE)
        operations += min(guards, with_fallback) if guards else with_fallback
        room = self._room(operations)
        return operations <= self.operations and size <= min(room, self.largest - _NAMES)

    def exact(self, commit: Commit, entry: bytes, ring: Ring) -> bytes | None:
        """The body of a commit in the first or second way; None if neither fits."""
        for pairs in (True, False):
            operations = self._operations(commit, commit.guards, entry, ring, pairs)
            if len(operations) <= self.operations:
                body = transaction(operations)
                return body if len(body) <= self.body and len(entry) <= self.largest else None
        return None

    def coarse(self, commit: Commit, entry: bytes, ring: Ring, heads: Mapping[int, int], ids: int) -> bytes:
        """The body of a commit in the third way. Nothing is sent that the agent is sure to refuse: it might cut the
        connection, which tells nothing.

        Args:
            commit: what to write.
            entry: its ring entry, `pack_entry`.
            ring: of its keeper.
            heads: other keepers that live -> revision of their heads, none newer than `commit.seen`.
            ids: revision of `ids`, read together with them.

        Raises:
            Rejected: this does not fit either.
        """
        guards = {name: revision for name, revision in commit.guards.items() if name.startswith(_KEPT)}
        guards.setdefault("ids", ids)
        for keeper, revision in heads.items():
            guards.setdefault(f"head/{keeper}", revision)
        operations = self._operations(commit, guards, entry, ring, pairs=True)
        if len(operations) > self.operations:
            raise Rejected(
                f"{len(operations)} operations in one commit; this Consul takes {self.operations} in a transaction "
                f"({OPERATIONS}, from 1.14.0 on {OPERATIONS_SINCE_1_14})"
            )
        if len(entry) > self.largest:
            raise Rejected(
                f"a commit of {len(commit.puts)} values needs one value of {len(entry)} bytes in Consul, which takes "
                f"{self.largest}; raise limits.kv_max_value_size on every agent"
            )
        body = transaction(operations)
        if len(body) > self.body:
            raise Rejected(
                f"a commit of {len(commit.puts)} values makes a request of {len(body)} bytes, Consul takes "
                f"{self.body}; raise limits.txn_max_req_len on every agent (and parkeeper's option, if its token "
                "may not read /v1/agent/self)"
            )
        return body

    def _operations(
        self, commit: Commit, guards: Mapping[str, int], entry: bytes, ring: Ring, pairs: bool
    ) -> list[Operation]:
        key = self._names.key
        own = f"head/{commit.keeper}"
        flags = flags_of(commit)
        deletes = set(commit.deletes)
        checks: list[Operation] = []
        writes: list[Operation] = []
        guarded: set[str] = set()
        for name, revision in guards.items():
            if name == own and commit.head is not None:
                continue
            if name in commit.puts:
                guarded.add(name)
                writes.append(Operation("cas", key(name), revision, commit.puts[name], flags))
            elif name in deletes and revision and not pairs and name.startswith("node/"):
                guarded.add(name)
                writes.append(Operation("delete-cas", key(name), revision))
            elif revision:
                checks.append(Operation("check-index", key(name), revision))
            else:
                checks.append(Operation("check-not-exists", key(name)))
                guarded.add(name)  # if it is to be deleted: it is not there
        writes += [
            Operation("set", key(name), value=value, flags=flags)
            for name, value in commit.puts.items()
            if name not in guarded
        ]
        writes += [Operation("delete", key(name)) for name in commit.deletes if name not in guarded]
        if commit.head is not None:
            counter = commit.head.counter
            slot = self._names.slot(commit.keeper, ring.slot(counter))
            writes += [
                Operation("delete", self._names.slot(commit.keeper, ring.slot(each)))
                for each in ring.droppable(counter)
            ]
            head = pack_head(commit.head, sum(name.startswith("data/") for name in commit.puts), b"")
            writes.append(Operation("set", slot, value=entry, flags=flags))
            writes.append(Operation("cas", key(own), guards.get(own, 0), head, flags))
        return [*checks, Operation("get-tree", self._names.heads), *writes]

    def receipt(self, pairs: Sequence[Pair]) -> Receipt:
        """What the answer to a commit says: all it wrote has one index, the heads before have lower ones.

        A transaction's results don't line up with its operations; the last of them is the last write's.
        """
        revision = pairs[-1].modify_index
        heads = (pair.modify_index for pair in pairs if pair.key.startswith(self._names.heads))
        return Receipt(revision, max((index for index in heads if index < revision), default=0))


def flags_of(commit: Commit) -> int:
    """`Flags` of everything a commit writes: no two commits write the same value with the same Flags."""
    attempt = 0 if commit.head is None else commit.head.attempt
    return commit.keeper << 32 | attempt & 0xFFFFFFFF
