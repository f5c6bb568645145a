"""The primitives of jute, ZooKeeper's serialisation (reference 1.1).

Reading is done by plain functions over a whole frame and an offset: nothing is copied but what is kept, and a
reader object would cost more than the reading. A `read_*` function returns the value and the offset behind it.

A frame that ends too early shows as `struct.error` or `IndexError` from the primitive that met its end.
`@decoder` translates both, once for a whole record, to `Malformed`; only such functions leave this package.

Null is `None`, on the wire the length or count -1. A string or buffer of another negative length, or one that
reaches past the end of the frame, is malformed; a vector of another negative count is empty
(BinaryInputArchive.checkLength, BinaryIndex.done). Nothing is ever allocated by a count the peer sent.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection
from functools import wraps
from typing import Final, TypeVar

from parkeeper.errors import Malformed

INT: Final = struct.Struct(">i")
LONG: Final = struct.Struct(">q")

NULL = INT.pack(-1)
"""A null string, buffer or vector."""

T = TypeVar("T")

Decoder = Callable[[bytes, int], T]
"""`decode(payload, at)`: the record that starts at offset `at` of a whole frame. Raises `Malformed`."""


def decoder(read: Decoder[T]) -> Decoder[T]:
    """Make a function that reads a record raise `Malformed` where the frame ends inside the record."""

    @wraps(read)
    def decode(payload: bytes, at: int) -> T:
        try:
            return read(payload, at)
        except (struct.error, IndexError) as fault:
            raise Malformed("the frame ends inside a record") from fault

    return decode


def read_int(payload: bytes, at: int) -> tuple[int, int]:
    """A signed 32-bit number."""
    return INT.unpack_from(payload, at)[0], at + 4


def read_long(payload: bytes, at: int) -> tuple[int, int]:
    """A signed 64-bit number."""
    return LONG.unpack_from(payload, at)[0], at + 8


def read_bool(payload: bytes, at: int) -> tuple[bool, int]:
    """One byte; whatever is not 0 is true."""
    return payload[at] != 0, at + 1


def read_buffer(payload: bytes, at: int) -> tuple[bytes | None, int]:
    """Bytes with a length before them, or null.

    Raises:
        Malformed: the length is below -1, or reaches past the end.
    """
    length: int = INT.unpack_from(payload, at)[0]
    start = at + 4
    if length == -1:
        return None, start
    end = start + length
    if length < 0 or end > len(payload):
        raise Malformed(f"a buffer of {length} bytes where {len(payload) - start} are left")
    return payload[start:end], end


def read_string(payload: bytes, at: int) -> tuple[str | None, int]:
    """A string or null; bytes that are not UTF-8 become U+FFFD, as in Java.

    Raises:
        Malformed: the length is below -1, or reaches past the end.
    """
    length: int = INT.unpack_from(payload, at)[0]
    start = at + 4
    if length == -1:
        return None, start
    end = start + length
    if length < 0 or end > len(payload):
        raise Malformed(f"a string of {length} bytes where {len(payload) - start} are left")
    return payload[start:end].decode("utf-8", "replace"), end


def read_path(payload: bytes, at: int) -> tuple[str, int]:
    """A string that must not be null.

    Raises:
        Malformed: it is null, or its length is below 0 or reaches past the end.
    """
    length: int = INT.unpack_from(payload, at)[0]
    start = at + 4
    end = start + length
    if length < 0 or end > len(payload):
        raise Malformed(f"a string of {length} bytes where {len(payload) - start} are left")
    return payload[start:end].decode("utf-8", "replace"), end


def read_paths(payload: bytes, at: int) -> tuple[tuple[str, ...], int]:
    """A vector of strings, where neither the vector nor one of the strings may be null.

    Raises:
        Malformed: a null, or an impossible length.
    """
    count, at = read_int(payload, at)
    if count == -1:
        raise Malformed("a null list of paths")
    paths: list[str] = []
    for _ in range(count):
        path, at = read_path(payload, at)
        paths.append(path)
    return tuple(paths), at


def write_buffer(value: bytes | None) -> bytes:
    """Bytes with their length before them."""
    return NULL if value is None else INT.pack(len(value)) + value


def write_string(value: str | None) -> bytes:
    """A string as UTF-8 with its length in bytes before it."""
    return NULL if value is None else write_buffer(value.encode())


def write_strings(values: Collection[str]) -> bytes:
    """A vector of strings; takes any collection that knows its length."""
    parts = [INT.pack(len(values))]
    parts += [write_buffer(value.encode()) for value in values]
    return b"".join(parts)
