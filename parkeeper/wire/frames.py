"""Slices of a byte stream -> frames, refused from their four bytes (reference 1.1).

A frame is a length N (signed 32 bits, not counting itself) and N bytes. A length below 0 or above the limit ends the
connection without an answer, but the frames before it in the same slice were good requests: so `feed` returns those
and leaves the fault in `broken`, where the caller looks after it has handled them.
"""

from __future__ import annotations

import struct

from parkeeper.errors import FrameTooBig

_length_at = struct.Struct(">i").unpack_from

SLICE = 4096
"""Bytes worth asking a socket for at least: dozens of requests, and little enough that handling all of them does
not keep other connections waiting."""


class Frames:
    """Cuts frames out of one peer's bytes.

    What has arrived of an unfinished frame is kept in the pieces it came in and joined once, so a large frame in
    small pieces costs no more than its bytes, and a length alone never makes us allocate anything.

    Args:
        limit: largest N accepted, bytes (jute.maxbuffer; N equal to it is allowed).

    Attributes:
        broken: the length that cannot be; no frame comes after it, and feeding on raises it.
    """

    __slots__ = ("_have", "_need", "_pieces", "broken", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.broken: FrameTooBig | None = None
        self._pieces: list[bytes] = []
        self._have = 0  # bytes in _pieces
        self._need = 4  # bytes, the length's four included, before anything more can be said

    def __repr__(self) -> str:
        return f"<Frames {self._have} of {self._need} bytes, limit {self.limit}, broken={self.broken!r}>"

    def feed(self, chunk: bytes | bytearray) -> list[bytes]:
        """Take what was received; return the payloads (without lengths) that are now whole, in order.

        Raises:
            FrameTooBig: an earlier call met an impossible length.
        """
        if self.broken is not None:
            raise self.broken
        if self._have:
            self._pieces.append(bytes(chunk))
            self._have += len(chunk)
            if self._have < self._need:
                return []
            data = b"".join(self._pieces)
        else:
            data = chunk if isinstance(chunk, bytes) else bytes(chunk)
        return self._cut(data)

    def _cut(self, data: bytes) -> list[bytes]:
        """The whole frames at the beginning of `data`; keeps the rest."""
        frames: list[bytes] = []
        at, size, need = 0, len(data), 4
        while size - at >= 4:
            length: int = _length_at(data, at)[0]
            if not 0 <= length <= self.limit:
                self.broken = FrameTooBig(f"a frame of {length} bytes; the limit is {self.limit}")
                at = size
                break
            end = at + 4 + length
            if end > size:
                need = 4 + length
                break
            frames.append(data[at + 4 : end])
            at = end
        self._have = size - at
        self._need = need
        self._pieces = [data[at:]] if at < size else []
        return frames

    def wanted(self) -> int:
        """Bytes to ask for next: what the current frame still lacks, at least `SLICE`."""
        return max(SLICE, self._need - self._have)
