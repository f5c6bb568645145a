"""A change of the sqlite store, and its form in the file's log. Synchronous, no I/O.

A commit of 38 writes is 77 rows all over the table of items, 290 to 440 us of SQLite's time; as one row of a log it
is 130 to 200. So a small change is committed as a row of `log`, and a few hundred of them are moved into `item` together
(`parkeeper.store.sqlite_file`). The form of a change there, numbers little-endian, of 32 bits:

    numbers   how many puts, how many deletes, bytes of the keys; then for each put the bytes of its value
    keys      of the puts, then of the deletes, UTF-8, with a NUL between two
    values    of the puts
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping, Sequence
from typing import Final

from parkeeper.errors import Incompatible
from parkeeper.store.facade import Commit
from parkeeper.store.heads import pack_head
from parkeeper.store.keys import Layout

Row = tuple[str, int, bytes]
"""Key, revision, value: the value last, so that SQLite finds a revision without reading a large value's pages."""

_BIG_ENDIAN: Final = sys.byteorder == "big"
_FIXED: Final = 3  # numbers before the sizes of the values


class Change:
    """What one transaction does.

    Args:
        guards: key -> the revision it must have, 0: is absent.
        puts: rows to write; no key twice.
        deletes: keys to remove, none of them put.
    """

    __slots__ = ("deletes", "guards", "puts", "size")

    def __init__(self, guards: Mapping[str, int], puts: Sequence[Row], deletes: Sequence[str] = ()) -> None:
        self.guards = guards
        self.puts = puts
        self.deletes = deletes
        self.size = sum([len(key) + len(value) for key, _, value in puts])
        self.size += sum([len(key) for key in deletes])
        """Of what it writes: bytes of the values, characters of the keys."""

    @property
    def rows(self) -> int:
        """How many it writes and removes."""
        return len(self.puts) + len(self.deletes)


def change_of(commit: Commit, layout: Layout, revision: int) -> Change:
    """What a commit does at a revision, in the keys of a layout; the head's row is the last of `puts`.

    The head goes without the journal: nobody follows a file, and those who follow the store have it from memory.
    """
    rows: list[Row] = []
    data_puts = 0
    for name, value in commit.puts.items():
        rows.append((layout.key(name), revision, value))
        data_puts += name.startswith("data/")
    if commit.head is not None:
        head = pack_head(commit.head, data_puts, b"")
        rows.append((layout.key(f"head/{commit.keeper}"), revision, head))
    guards = {layout.key(name): guarded for name, guarded in commit.guards.items()}
    return Change(guards, rows, [layout.key(name) for name in commit.deletes])


def pack_change(puts: Sequence[Row], deletes: Sequence[str]) -> bytes:
    """Encode what a change writes; its revision is the log's to keep.

    Raises:
        ValueError: a NUL in a key, which no path of ZooKeeper may have (`PathUtils.validatePath`).
    """
    keys = [key for key, _, _ in puts]
    keys += deletes
    names = "\0".join(keys).encode()
    if names.count(b"\0") != max(len(keys) - 1, 0):
        raise ValueError("a key has a NUL in it")
    parts = [value for _, _, value in puts]
    numbers = array("I", [len(puts), len(deletes), len(names)])
    numbers.extend([len(value) for value in parts])
    if _BIG_ENDIAN:
        numbers.byteswap()
    return b"".join([numbers.tobytes(), names, *parts])


def unpack_change(data: object, revision: int) -> tuple[list[Row], list[str]]:
    """Decode a change: the rows it puts, at its revision, and the keys it deletes.

    Raises:
        Incompatible: it is not one.
    """
    if not isinstance(data, bytes):
        raise Incompatible(f"revision {revision} of the log can't be read: it is no blob")
    try:
        puts, deletes, named = _numbers(data, 0, _FIXED)
        sizes = _numbers(data, _FIXED, puts)
        at = 4 * (_FIXED + puts)
        keys = data[at : at + named].decode().split("\0") if puts or deletes else []
    except ValueError as error:
        raise Incompatible(f"revision {revision} of the log can't be read: {error}") from error
    at += named
    if len(keys) != puts + deletes or at + sum(sizes) != len(data):
        raise Incompatible(f"revision {revision} of the log can't be read: it is not whole")
    rows: list[Row] = []
    for key, size in zip(keys[:puts], sizes, strict=True):
        rows.append((key, revision, data[at : at + size]))
        at += size
    return rows, keys[puts:]


def _numbers(data: bytes, first: int, count: int) -> list[int]:
    """Raises: `ValueError` if there are not so many."""
    numbers = array("I", data[4 * first : 4 * (first + count)])
    if len(numbers) != count:
        raise ValueError("it is too short")
    if _BIG_ENDIAN:
        numbers.byteswap()
    return numbers.tolist()
