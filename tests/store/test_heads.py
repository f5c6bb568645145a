"""The value under `head/<keeper>`, byte by byte."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parkeeper.errors import Incompatible
from parkeeper.store.facade import Head
from parkeeper.store.heads import pack_head, unpack_head

VALUE = bytes.fromhex(
    "01"  # format
    "0102030405060708"  # incarnation
    "0000000000000009"  # counter
    "ffffffffffffffff"  # attempt
    "00000002"  # data keys put
    "6a6f75726e616c"  # journal
)
HEAD = Head(0x0102030405060708, 9, 2**64 - 1)
UNSIGNED = st.integers(0, 2**64 - 1)


def test_pack_writes_the_documented_bytes() -> None:
    """The format is what its table says: a keeper of another version must be able to read it."""
    assert pack_head(HEAD, 2, b"journal") == VALUE


def test_unpack_reads_the_documented_bytes() -> None:
    """Identity, count and journal come back from bytes written by hand."""
    assert unpack_head(VALUE) == (HEAD, 2, b"journal")


@given(UNSIGNED, UNSIGNED, UNSIGNED, st.integers(0, 2**32 - 1), st.binary())
def test_unpack_when_packed(incarnation: int, counter: int, attempt: int, puts: int, journal: bytes) -> None:
    """All unsigned 64-bit numbers and any journal survive."""
    head = Head(incarnation, counter, attempt)
    assert unpack_head(pack_head(head, puts, journal)) == (head, puts, journal)


@pytest.mark.parametrize("length", range(29))
def test_unpack_when_cut_short(length: int) -> None:
    """A value that is no head is refused, whatever its length."""
    with pytest.raises(Incompatible, match=f"has {length} bytes"):
        unpack_head(VALUE[:length])


def test_unpack_when_of_a_later_format() -> None:
    """A later format is refused with both formats named, never misread."""
    with pytest.raises(Incompatible, match="format 2, this version reads format 1"):
        unpack_head(b"\x02" + VALUE[1:])


@pytest.mark.parametrize("head", [Head(-1, 0, 0), Head(0, 2**64, 0), Head(0, 0, -1)])
def test_pack_when_out_of_range(head: Head) -> None:
    """A number that does not fit is an error, never a truncated identity."""
    with pytest.raises(struct.error):
        pack_head(head, 0, b"")
