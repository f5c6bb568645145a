"""jute primitives: what the bytes mean, and where they stop meaning anything."""

import struct

import pytest

from parkeeper.errors import Malformed
from parkeeper.wire.jute import (
    decoder,
    read_bool,
    read_buffer,
    read_int,
    read_long,
    read_path,
    read_paths,
    read_string,
    write_buffer,
    write_string,
    write_strings,
)


def test_numbers_are_signed_and_big_endian():
    """int32 and int64 read as Java writes them, and say where they end."""
    assert read_int(b"\xff\xff\xff\xfe", 0) == (-2, 4)
    assert read_int(b"..\x00\x00\x01\x00", 2) == (256, 6)
    assert read_long(b"\x80\x00\x00\x00\x00\x00\x00\x00", 0) == (-(1 << 63), 8)
    assert read_long(b"\x00\x00\x00\x01\x00\x00\x00\x02", 0) == ((1 << 32) + 2, 8)


@pytest.mark.parametrize(
    ("byte", "value"), [(b"\x00", False), (b"\x01", True), (b"\x02", True), (b"\xff", True)]
)
def test_bool_is_true_when_not_zero(byte, value):
    """Any byte but 0 is true."""
    assert read_bool(byte, 0) == (value, 1)


@pytest.mark.parametrize("read", [read_buffer, read_string])
def test_length_minus_one_is_null(read):
    """-1 is null, which is not the same as empty."""
    assert read(b"\xff\xff\xff\xff", 0) == (None, 4)
    assert read(b"\x00\x00\x00\x00", 0)[0] is not None


def test_buffer_and_string_keep_what_they_hold():
    """A buffer is its bytes, a string is UTF-8, and the rest of the frame is left alone."""
    assert read_buffer(b"\x00\x00\x00\x02\x00\xffrest", 0) == (b"\x00\xff", 6)
    assert read_string(b"\x00\x00\x00\x03\xe2\x82\xacrest", 0) == ("\u20ac", 7)
    assert read_path(b"xx\x00\x00\x00\x02/a", 2) == ("/a", 8)


@pytest.mark.parametrize("read", [read_string, read_path])
def test_bytes_that_are_not_utf8_become_the_replacement_character(read):
    """Such a string is no fault of framing; the path rules refuse it later."""
    assert read(b"\x00\x00\x00\x03/\xff\xfe", 0) == ("/\ufffd\ufffd", 7)


@pytest.mark.parametrize("read", [read_buffer, read_string, read_path])
@pytest.mark.parametrize(
    "payload",
    [
        b"\xff\xff\xff\xfe" + b"x" * 8,
        b"\x80\x00\x00\x00" + b"x" * 8,
        b"\x00\x00\x00\x05abcd",
        b"\x7f\xff\xff\xffabcd",
    ],
)
def test_an_impossible_length_is_malformed(read, payload):
    """Below -1, or past the end of the frame: no value may come out."""
    with pytest.raises(Malformed):
        read(payload, 0)


def test_path_when_null_is_malformed():
    """Where a path must be there, -1 is refused."""
    with pytest.raises(Malformed):
        read_path(b"\xff\xff\xff\xff", 0)


def test_paths_of_every_count():
    """A count of 0 and one below -1 are empty, others are as many strings."""
    assert read_paths(b"\x00\x00\x00\x00", 0) == ((), 4)
    assert read_paths(b"\xff\xff\xff\xfe", 0) == ((), 4)
    two = b"\x00\x00\x00\x02\x00\x00\x00\x02/a\x00\x00\x00\x00"
    assert read_paths(two, 0) == (("/a", ""), 14)


@pytest.mark.parametrize(
    "payload",
    [b"\xff\xff\xff\xff", b"\x00\x00\x00\x01\xff\xff\xff\xff"],
    ids=["null list", "null in the list"],
)
def test_paths_when_something_is_null_is_malformed(payload):
    """setWatches has no use for a null."""
    with pytest.raises(Malformed):
        read_paths(payload, 0)


def test_paths_when_the_count_is_a_lie_stops_at_the_end():
    """Two thousand million strings that are not there cost nothing and end in a fault the decoder translates."""
    with pytest.raises(Malformed):
        decoder(read_paths)(b"\x7f\xff\xff\xff\x00\x00\x00\x00", 0)


@pytest.mark.parametrize("fault", [struct.error("short"), IndexError("short")])
def test_decoder_translates_the_end_of_the_frame(fault):
    """Both ways in which Python notices the end become Malformed, and keep the cause."""

    @decoder
    def read(_payload, _at):
        raise fault

    with pytest.raises(Malformed) as caught:
        read(b"", 0)
    # (mypyc leaves out `from`: compiled, the cause is the context.)
    assert fault in (caught.value.__cause__, caught.value.__context__)


def test_decoder_lets_other_faults_through():
    """A fault in our own code must not look like the peer's."""

    @decoder
    def read(_payload, _at):
        raise KeyError("ours")

    with pytest.raises(KeyError):
        read(b"", 0)


def test_writing_null_empty_and_more():
    """Null is -1, empty is 0, and lengths count bytes, not characters."""
    assert write_buffer(None) == b"\xff\xff\xff\xff"
    assert write_buffer(b"") == b"\x00\x00\x00\x00"
    assert write_buffer(b"ab") == b"\x00\x00\x00\x02ab"
    assert write_string(None) == b"\xff\xff\xff\xff"
    assert write_string("") == b"\x00\x00\x00\x00"
    assert write_string("\u20ac") == b"\x00\x00\x00\x03\xe2\x82\xac"
    assert write_strings([]) == b"\x00\x00\x00\x00"
    assert write_strings({"a": 1, "": 2}) == b"\x00\x00\x00\x02\x00\x00\x00\x01a\x00\x00\x00\x00"
