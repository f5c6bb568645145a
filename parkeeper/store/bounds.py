"""What one commit of an embedded store may hold. Nothing forces these bounds but the time a commit may take."""

from __future__ import annotations

from typing import NamedTuple

from parkeeper.errors import Rejected
from parkeeper.store.facade import Commit
from parkeeper.store.urls import StoreOptions

OPERATIONS = 4096
REQUEST_BYTES = 8 << 20
VALUE_BYTES = 2 << 20  # twice the largest frame of ZooKeeper's clients (`jute.maxbuffer`, 1 MiB)


class Bounds(NamedTuple):
    """Bounds of a commit. Guards and the journal don't count.

    Args:
        operations: puts and deletes.
        request: bytes of the names and values of all of them.
        value: bytes of one value.
    """

    operations: int
    request: int
    value: int

    @classmethod
    def of(cls, options: StoreOptions) -> Bounds:
        """As the options ask, else the constants above."""
        request = options.max_request_bytes or REQUEST_BYTES
        return cls(options.max_txn_ops or OPERATIONS, request, min(VALUE_BYTES, request))

    def fits(self, puts: int, deletes: int, size: int) -> bool:
        """Whether so many puts and deletes, with so many bytes, are one commit."""
        return puts + deletes <= self.operations and size <= self.request

    def check(self, commit: Commit) -> None:
        """Refuse a commit that is over a bound.

        A name is counted by its characters: what `fits` allowed with its bytes is never refused.

        Raises:
            Rejected: names the bound.
        """
        operations = len(commit.puts) + len(commit.deletes)
        if operations > self.operations:
            raise Rejected(f"{operations} puts and deletes in one commit, {self.operations} are allowed")
        size = sum(map(len, commit.deletes))
        for name, value in commit.puts.items():
            if len(value) > self.value:
                raise Rejected(f"the value of {name!r} has {len(value)} bytes, {self.value} are allowed")
            size += len(name) + len(value)
        if size > self.request:
            raise Rejected(f"{size} bytes of names and values in one commit, {self.request} are allowed")
