"""The value under `head/<keeper>`: who made the last commit, how many data keys it put, and its journal.

Memory and etcd keep the whole of it there. (Consul keeps the journal in a ring, and nobody follows sqlite's file:
both pack an empty one into the head.) Big-endian, so that a hex dump of the value reads like the numbers in a log line:

    offset  bytes
    0       1      format, 1
    1       8      incarnation
    9       8      counter
    17      8      attempt
    25      4      data keys put (PROTOCOL section 8: a follower waits for that many)
    29      -      journal, up to the end of the value
"""

from __future__ import annotations

import struct
from typing import Final

from parkeeper.errors import Incompatible
from parkeeper.store.facade import Head

FORMAT = 1
_FIXED: Final = struct.Struct(">BQQQI")


def pack_head(head: Head, data_puts: int, journal: bytes) -> bytes:
    """Encode a head.

    Args:
        head: three unsigned 64-bit numbers.
        data_puts: how many `data/` items the commit puts, 0 to 2^32-1.
        journal: the changes in order, as the tree encoded them; b"" in an empty commit.

    Raises:
        struct.error: a number is out of range, which is a mistake of the caller.
    """
    return _FIXED.pack(FORMAT, head.incarnation, head.counter, head.attempt, data_puts) + journal


def unpack_head(value: bytes) -> tuple[Head, int, bytes]:
    """Decode a head into identity, number of `data/` items put, and journal.

    Raises:
        Incompatible: not a head, or one of a later format.
    """
    if len(value) < _FIXED.size:
        raise Incompatible(
            f"the value of a head has {len(value)} bytes, at least {_FIXED.size} were expected"
        )
    version, incarnation, counter, attempt, data_puts = _FIXED.unpack_from(value)
    if version != FORMAT:
        raise Incompatible(
            f"a head is written in format {version}, this version reads format {FORMAT}: "
            "upgrade this keeper, or serve another namespace"
        )
    return Head(incarnation, counter, attempt), data_puts, value[_FIXED.size :]
