"""One process that asks: reads its `Load` from a line of stdin, says when it is connected, begins when told.

On stdout it writes a `Word` a line, in JSON.

No Trio, no objects per request: bare sockets and one selector, one clock reading for all that comes in one piece. A
request costs about 9 us here, most of it the kernel's. Alone on one connection, one request at a time, even the
selector is left out.
"""

from __future__ import annotations

import gc
import socket
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from typing import Final, Protocol

import msgspec

from parkeeper.cli.bench.asking import CLOSE, Failed, Line, connect_request, requests
from parkeeper.cli.bench.figures import Tally
from parkeeper.cli.bench.load import Load, Work

PROGRESS: Final = 0.25
"""Seconds between two words of how far we are."""

LAST: Final = 10.0
"""Seconds to wait for the last replies."""


@dataclass(frozen=True, slots=True)
class Word:
    """What the process says, a line each.

    Args:
        done: requests answered so far; 0: it is connected, and waits for the word.
        tally: at the end.
        failed: instead of a tally, why there is none.
    """

    done: int = 0
    tally: Tally | None = None
    failed: str = ""


_clock = time.perf_counter
_length_at = struct.Struct(">i").unpack_from
_error_at = struct.Struct(">i").unpack_from


class Asker(Protocol):
    """One connection that asks over and over."""

    socket: socket.socket
    waiting: bool  # for a reply

    def begin(self) -> None:
        """The first requests."""
        ...

    def ready(self, writable: bool, more: bool) -> None:
        """Take what came, and ask again.

        Args:
            writable: whether the socket takes bytes, or has some.
            more: whether to ask again.

        Raises: `OSError` when the connection is lost.
        """
        ...


class Steady(Asker):
    """Keeps `depth` requests under way on one session."""

    def __init__(self, load: Load, connection: int, tally: Tally, selector: DefaultSelector) -> None:
        self.socket = Line(load.host, load.port, load.timeout).socket
        self.waiting = False
        self._alone = load.connections == load.depth == 1
        self.socket.setblocking(self._alone)
        self._depth = load.depth
        self._next = requests(load, connection)
        self._tally = tally
        self._selector = selector
        self._sent = deque[float]()
        self._rest = b""  # of what was received
        self._unsent = b""
        if self._alone:  # a lost server must not hold us for ever
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(LAST), 0))
        else:
            selector.register(self.socket, EVENT_READ, self)

    def begin(self) -> None:
        """See `Asker`."""
        self._ask(self._depth)

    def ready(self, writable: bool, more: bool) -> None:
        """See `Asker`."""
        if writable:
            self._send(self._unsent)
            return
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionResetError("the server hung up")
        now = _clock()
        if self._rest:
            data = self._rest + data
        at, end, sent, errors = 0, len(data), self._sent, 0
        laps: list[float] = []
        while end - at >= 4:
            after = at + 4 + _length_at(data, at)[0]
            if after > end:
                break
            if _error_at(data, at + 16)[0]:
                errors += 1
            laps.append(now - sent.popleft())
            at = after
        self._rest = data[at:]
        tally = self._tally
        tally.done += len(laps)
        tally.errors += errors
        tally.note(laps)
        if more:
            self._ask(len(laps))
        else:
            self.waiting = bool(sent)

    def _ask(self, many: int) -> None:
        following = self._next
        data = following() if many == 1 else b"".join([following() for _ in range(many)])
        now = _clock()
        self._sent.extend([now] * many)
        self.waiting = True
        if self._unsent:
            self._unsent += data
        else:
            self._send(data)

    def _send(self, data: bytes) -> None:
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        had, self._unsent = self._unsent, data[sent:]
        if bool(had) != bool(self._unsent):
            events = EVENT_READ | EVENT_WRITE if self._unsent else EVENT_READ
            self._selector.modify(self.socket, events, self)


class Knocking(Asker):
    """Opens a session and closes it again."""

    def __init__(self, load: Load, tally: Tally, selector: DefaultSelector) -> None:
        self.waiting = False
        self._load = load
        self._tally = tally
        self._selector = selector
        self._hello = connect_request(load.timeout)
        found = socket.getaddrinfo(load.host, load.port, type=socket.SOCK_STREAM)
        self._family, self._address = found[0][0], found[0][4]

    def begin(self) -> None:
        """See `Asker`."""
        self._began = _clock()
        self._answered = False
        self._data = b""
        self.waiting = True
        self.socket = socket.socket(self._family, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex(self._address)
        self._selector.register(self.socket, EVENT_WRITE, self)

    def ready(self, writable: bool, more: bool) -> None:
        """See `Asker`."""
        if writable:
            self.socket.send(self._hello)
            self._selector.modify(self.socket, EVENT_READ, self)
            return
        chunk = self.socket.recv(4096)
        if not chunk:
            raise ConnectionResetError("the server hung up")
        self._data += chunk
        if len(self._data) < 4 or len(self._data) < 4 + _length_at(self._data)[0]:
            return
        if not self._answered:
            if _length_at(self._data, 8)[0] <= 0:
                raise ConnectionResetError("the server gives no session")
            self._answered, self._data = True, b""
            self.socket.send(CLOSE)
            return
        self._selector.unregister(self.socket)
        self.socket.close()
        self._tally.done += 1
        self._tally.note((_clock() - self._began,))
        self.waiting = False
        if more:
            self.begin()


def drive(load: Load) -> Tally:
    """Connect, wait for the word, ask for `load.seconds`, collect what is still under way.

    Raises: `Failed` when no connection is left.
    """
    tally, selector = Tally(), DefaultSelector()
    askers: list[Asker] = []
    for number in range(load.first, load.first + load.connections):
        if load.work is Work.CONNECT:
            askers.append(Knocking(load, tally, selector))
        else:
            askers.append(Steady(load, number, tally, selector))
    gc.freeze()
    gc.disable()  # nothing here makes cycles, and a pause of ours would count against the server
    _say(Word())
    sys.stdin.readline()
    busy, began = time.process_time(), _clock()
    end, shown = began + load.seconds, began
    for asker in askers:
        asker.begin()
    alone = askers[0] if load.connections == load.depth == 1 and load.work is not Work.CONNECT else None
    while askers:
        now = _clock()
        if now > shown + PROGRESS:
            shown = now
            _say(Word(tally.done))
        if now > end and (now > end + LAST or not any(each.waiting for each in askers)):
            break
        if alone is not None:
            _serve(alone, False, now < end, askers, tally, selector)
            continue
        for key, events in selector.select(PROGRESS):
            _serve(key.data, bool(events & EVENT_WRITE), now < end, askers, tally, selector)
            if events == EVENT_READ | EVENT_WRITE:
                _serve(key.data, False, now < end, askers, tally, selector)
    tally.elapsed = _clock() - began
    tally.busy = time.process_time() - busy
    if not askers:
        raise Failed("every connection was lost")
    for asker in askers:
        if load.work is not Work.CONNECT:
            asker.socket.setblocking(True)
            asker.socket.settimeout(LAST)
            _part(asker.socket)
    return tally


def _serve(
    asker: Asker, writable: bool, more: bool, askers: list[Asker], tally: Tally, selector: DefaultSelector
) -> None:
    """Let a connection go on; one that is lost is counted and left out."""
    try:
        asker.ready(writable, more)
    except OSError:
        tally.errors += 1
        if asker in askers:
            askers.remove(asker)
            if asker.socket in selector.get_map():
                selector.unregister(asker.socket)
            asker.socket.close()


def _part(peer: socket.socket) -> None:
    """Close a session."""
    try:
        peer.sendall(CLOSE)
        while peer.recv(1 << 16):
            pass
    except OSError:
        pass  # it ends in any case
    peer.close()


def _say(word: Word) -> None:
    print(msgspec.json.encode(word).decode(), flush=True)


def main() -> None:
    """Of a process that `crew` started."""
    try:
        tally = drive(msgspec.json.decode(sys.stdin.readline(), type=Load))
        _say(Word(tally.done, tally))
    except (Failed, OSError) as error:
        _say(Word(failed=str(error)))


if __name__ == "__main__":
    main()
