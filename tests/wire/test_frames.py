"""Frames: the same payloads however the bytes are sliced, and no memory for a length that is a lie."""

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parkeeper.errors import FrameTooBig
from parkeeper.wire.frames import SLICE, Frames

LIMIT = 0xFFFFF


def test_feed_when_the_chunk_is_exactly_whole_frames():
    """Two frames in, two payloads out, nothing kept."""
    frames = Frames(LIMIT)
    assert frames.feed(b"\x00\x00\x00\x02ab\x00\x00\x00\x01c") == [b"ab", b"c"]
    assert frames.wanted() == SLICE


def test_feed_when_it_comes_byte_by_byte():
    """Each payload comes out with its last byte, not before and not later."""
    frames = Frames(LIMIT)
    got = [frames.feed(bytes([byte])) for byte in b"\x00\x00\x00\x02ab\x00\x00\x00\x00\x00\x00\x00\x01c"]
    assert [(i, out) for i, out in enumerate(got) if out] == [(5, [b"ab"]), (9, [b""]), (14, [b"c"])]


def test_feed_when_a_frame_ends_inside_a_chunk():
    """The tail of one frame and the head of the next may share a chunk."""
    frames = Frames(LIMIT)
    assert frames.feed(b"\x00\x00\x00\x04ab") == []
    assert frames.feed(b"cd\x00\x00\x00\x01e\x00\x00") == [b"abcd", b"e"]
    assert frames.feed(b"\x00\x01f") == [b"f"]


def test_feed_when_given_a_bytearray_keeps_its_own_copy():
    """Memory streams hand out bytearrays; payloads are bytes, and what is kept does not change behind our back."""
    frames = Frames(LIMIT)
    chunk = bytearray(b"\x00\x00\x00\x01a\x00\x00\x00\x02b")
    (payload,) = frames.feed(chunk)
    assert type(payload) is bytes
    chunk[-1:] = b"X"
    assert frames.feed(bytearray(b"c")) == [b"bc"]


def test_wanted_when_a_frame_is_unfinished():
    """A large frame is asked for in one go; for anything small it is a slice."""
    frames = Frames(LIMIT)
    assert frames.wanted() == 4096
    frames.feed(struct.pack(">i", 100_000))
    assert frames.wanted() == 100_000
    frames.feed(bytes(99_000))
    assert frames.wanted() == 4096
    assert frames.feed(bytes(1_000)) == [bytes(100_000)]


def test_feed_when_the_length_is_the_limit():
    """N equal to jute.maxbuffer is allowed, one more is not."""
    assert Frames(8).feed(b"\x00\x00\x00\x0812345678") == [b"12345678"]
    frames = Frames(8)
    assert frames.feed(b"\x00\x00\x00\x09123456789") == []
    assert isinstance(frames.broken, FrameTooBig)


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff", b"\x80\x00\x00\x00", b"\x7f\xff\xff\xff", b"ruok"])
def test_feed_when_a_length_is_impossible_after_good_frames(length):
    """The requests before it are answered; after it nothing is read, however much follows."""
    frames = Frames(LIMIT)
    assert frames.feed(b"\x00\x00\x00\x01a" + length[:2]) == [b"a"]
    assert frames.broken is None
    assert frames.feed(length[2:]) == []
    assert frames.broken is not None
    with pytest.raises(FrameTooBig):
        frames.feed(b"\x00\x00\x00\x01b")

    at_once = Frames(LIMIT)
    assert at_once.feed(b"\x00\x00\x00\x01a" + length + b"\x00\x00\x00\x01b") == [b"a"]
    assert at_once.broken is not None


def test_feed_when_only_a_length_came_holds_four_bytes():
    """A megabyte announced is not a megabyte allocated."""
    frames = Frames(LIMIT)
    frames.feed(b"\x00\x0f\xff\xff")
    assert "4 of 1048579 bytes" in repr(frames)


@given(payloads=st.lists(st.binary(max_size=40), max_size=8), cuts=st.lists(st.integers(0, 400), max_size=12))
def test_feed_when_cut_anywhere_gives_the_same_frames(payloads, cuts):
    """Slicing never changes what comes out."""
    stream = b"".join(struct.pack(">i", len(payload)) + payload for payload in payloads)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    frames = Frames(LIMIT)
    got = [frame for a, b in itertools.pairwise(edges) for frame in frames.feed(stream[a:b])]
    assert got == payloads
    assert frames.broken is None


@given(stream=st.binary(max_size=200), limit=st.integers(0, 64))
def test_feed_of_arbitrary_bytes_whole_and_byte_by_byte_agree(stream, limit):
    """Whatever a peer sends: the same frames, the same verdict, and never another exception than FrameTooBig."""
    whole, single = Frames(limit), Frames(limit)
    frames = whole.feed(stream)
    got = []
    for byte in stream:
        if single.broken is not None:
            break
        got += single.feed(bytes([byte]))
    assert got == frames
    assert (single.broken is None) == (whole.broken is None)
    assert all(len(frame) <= limit for frame in frames)
