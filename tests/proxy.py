"""A TCP proxy that fails on command: what a network does to a client and its server, decided by a test.

    with TcpProxy("127.0.0.1", 2379) as proxy:      # clients connect to proxy.port
        proxy.hold("down")                           # requests arrive, answers do not
        proxy.await_held("down")                     # ... and one is waiting
        proxy.cut()                                  # the client sees its connection break

A thread of its own does all the work, so it serves synchronous tests, Trio tests and child processes alike; a
command has taken effect when it returns. Directions are "up" (client to server) and "down" (server to client).
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Literal, Self

Direction = Literal["up", "down"]
RESET = struct.pack("ii", 1, 0)  # SO_LINGER with time 0: close sends RST
BUFFERED = 1 << 20  # bytes of one direction of one connection that we take in and do not pass on


class Lane:
    """One direction of one connection: what was read and is not yet sent on."""

    def __init__(self, direction: Direction, source: socket.socket, sink: socket.socket) -> None:
        self.direction = direction
        self.source = source
        self.sink = sink
        self.pieces: deque[tuple[float, bytes]] = deque()  # (when it may go on, bytes); b"" is the end
        self.size = 0
        self.ended = False

    def read(self, delay: float) -> None:
        piece = self.source.recv(65536)
        self.ended = not piece
        self.size += len(piece)
        self.pieces.append((time.perf_counter() + delay, piece))

    def write(self) -> None:
        due, piece = self.pieces.popleft()
        if not piece:
            self.sink.shutdown(socket.SHUT_WR)
            return
        sent = self.sink.send(piece)
        self.size -= sent
        if sent < len(piece):
            self.pieces.appendleft((due, piece[sent:]))


class TcpProxy:
    """Forwards 127.0.0.1:`port` to one target.

    Args:
        host, port: the target.
        listen: port to listen on; 0 for any.

    Attributes:
        delay: seconds by which each piece that arrives is delayed, each way; may be set at any time.
        accepted: connections accepted so far.
    """

    def __init__(self, host: str, port: int, listen: int = 0) -> None:
        self.target = (host, port)
        self.delay = 0.0
        self.accepted = 0
        self.port = listen
        self._held: set[Direction] = set()
        self._lanes: list[Lane] = []
        self._listener: socket.socket | None = None
        self._commands: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._wake, self._woken = socket.socketpair()
        self._changed = threading.Condition()
        self._closed = False
        self._listen()
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"proxy {self.port}")
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """`host:port` for clients."""
        return f"127.0.0.1:{self.port}"

    def accept(self) -> None:
        """Listen (again, after `refuse`)."""
        self._do(self._listen)

    def refuse(self) -> None:
        """Refuse new connections; those that stand stay."""
        self._do(self._refuse)

    def hold(self, *directions: Direction) -> None:
        """Stop passing bytes on (both ways if none is named): the peer looks slow or dead, nothing is lost."""
        self._do(lambda: self._held.update(directions or ("up", "down")))

    def release(self) -> None:
        """Pass on what was held, and go on."""
        self._do(self._held.clear)

    def await_held(self, direction: Direction, timeout: float = 10.0) -> None:
        """Wait until bytes are being held in that direction.

        Raises: `TimeoutError`.
        """

        def waiting() -> bool:
            return any(lane.size for lane in self._lanes if lane.direction == direction)

        with self._changed:
            if not self._changed.wait_for(lambda: direction in self._held and waiting(), timeout):
                raise TimeoutError(f"nothing was held {direction} within {timeout} s")

    def cut(self) -> None:
        """Break every connection with a reset, both sides; what was held is lost."""
        self._do(self._cut)

    def close(self) -> None:
        if not self._closed:
            self._do(self._close)
            self._thread.join()
            self._wake.close()
            self._woken.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _do(self, command: Callable[[], None]) -> None:
        """Run a command on the proxy's thread and wait for it."""
        done: Future[None] = Future()
        self._commands.append((command, done))
        self._wake.send(b"x")
        done.result(timeout=10)

    # The rest runs on the proxy's thread (the first _listen excepted).

    def _listen(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self.port = self._listener.getsockname()[1]

    def _refuse(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _cut(self) -> None:
        for lane in self._lanes:
            _reset(lane.source)
        self._lanes = []

    def _close(self) -> None:
        self._refuse()
        self._cut()
        self._closed = True

    def _run(self) -> None:
        while not self._closed:
            events = self._poll()
            if self._woken.fileno() in events:
                self._woken.recv(4096)
            while self._commands:
                command, done = self._commands.popleft()
                try:
                    command()
                except OSError as error:  # for example: the port to listen on was taken meanwhile
                    done.set_exception(error)
                else:
                    done.set_result(None)
            if self._listener is not None and self._listener.fileno() in events:
                self._connect(self._listener)
            for lane in list(self._lanes):
                self._serve(lane, events)
            with self._changed:
                self._changed.notify_all()

    def _poll(self) -> dict[int, int]:
        """Wait until something can be done: descriptor -> what it is ready for."""
        poll = select.poll()
        wanted: dict[int, int] = {self._woken.fileno(): select.POLLIN}
        if self._listener is not None:
            wanted[self._listener.fileno()] = select.POLLIN
        now = time.perf_counter()
        wait = 3600.0
        for lane in self._lanes:
            if not lane.ended and lane.size < BUFFERED:
                wanted[lane.source.fileno()] = wanted.get(lane.source.fileno(), 0) | select.POLLIN
            if lane.pieces and lane.direction not in self._held:
                due = lane.pieces[0][0]
                wait = min(wait, max(0.0, due - now))
                if due <= now:
                    wanted[lane.sink.fileno()] = wanted.get(lane.sink.fileno(), 0) | select.POLLOUT
        writable = any(flags & select.POLLOUT for flags in wanted.values())
        for descriptor, flags in wanted.items():
            poll.register(descriptor, flags)
        return dict(poll.poll(3_600_000 if writable else wait * 1000))

    def _connect(self, listener: socket.socket) -> None:
        client = listener.accept()[0]
        try:
            server = socket.create_connection(self.target)
        except OSError:
            _reset(client)
            return
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.setblocking(False)
        self._lanes += [Lane("up", client, server), Lane("down", server, client)]
        self.accepted += 1

    def _serve(self, lane: Lane, events: dict[int, int]) -> None:
        if lane not in self._lanes:  # its partner broke
            return
        readable = events.get(lane.source.fileno(), 0) & ~select.POLLOUT
        writable = events.get(lane.sink.fileno(), 0) & ~select.POLLIN
        try:
            if readable and not lane.ended:
                lane.read(self.delay)
            held = lane.direction in self._held
            if writable and lane.pieces and not held and lane.pieces[0][0] <= time.perf_counter():
                lane.write()
        except BlockingIOError:
            return
        except OSError:
            self._break(lane)
            return
        partner = next(other for other in self._lanes if other.source is lane.sink)
        if all(one.ended and not one.pieces for one in (lane, partner)):
            self._forget(lane)
            lane.source.close()
            lane.sink.close()

    def _break(self, lane: Lane) -> None:
        """One end broke: let the other end see it."""
        self._forget(lane)
        _reset(lane.source)
        _reset(lane.sink)

    def _forget(self, lane: Lane) -> None:
        self._lanes = [other for other in self._lanes if other.source not in {lane.source, lane.sink}]


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    end.close()
