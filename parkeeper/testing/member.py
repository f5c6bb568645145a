"""One keeper of an ensemble: started, stopped and killed on command, always at the same address."""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import NoReturn

import trio

from parkeeper.admin.words import Words
from parkeeper.options import Options
from parkeeper.server.incarnation import Incarnation
from parkeeper.server.keeper import Keeper
from parkeeper.server.listener import listen
from parkeeper.server.report import About, Report
from parkeeper.server.serving import State
from parkeeper.server.transport import Transport
from parkeeper.store.facade import Event
from parkeeper.testing.backends import Backend
from parkeeper.testing.clock import Clock
from parkeeper.testing.faulty import FaultyStore
from parkeeper.testing.handshake import shake_hands
from parkeeper.testing.line import Line
from parkeeper.testing.notices import Bell
from parkeeper.testing.tap import Tap


class _Store(FaultyStore):
    """Rings whenever the keeper has been told something."""

    def __init__(self, backend: Backend, bell: Bell) -> None:
        super().__init__(backend.store())
        self._bell = bell

    async def follow(self, after: int, deliver: Callable[[Event], None]) -> NoReturn:
        """Under `stream`."""

        def told(event: Event) -> None:
            deliver(event)
            self._bell.ring()

        await super().follow(after, told)


class _Keeper(Keeper):
    """Taps every connection."""

    def __init__(
        self, store: FaultyStore, options: Options, backend: Backend, clock: Clock, line: Line
    ) -> None:
        super().__init__(store, options, backend.data_prefix, clock.now_ms)
        self.words = Words(Report(self, About(backend.url, backend.namespace)), options.words)
        self._line = line

    def connect(self, transport: Transport) -> None:
        """Serve a client through a tap."""
        super().connect(Tap(transport, self._line))


class Member:
    """One keeper.

    Args:
        number: from 0.
        options: of the keeper.
        backend: its store.
        clock: of the ensemble.
        line: its connections.
        nursery: where it lives.

    Attributes:
        store: the faulty store of the keeper that lives, or lived last.
        keeper: None while it is down.
        address: host and port, None without sockets.
        killed: ids its keepers had when they were killed.
        paused: whether it is.
    """

    def __init__(
        self, number: int, options: Options, backend: Backend, clock: Clock, line: Line, nursery: trio.Nursery
    ) -> None:
        self.number = number
        self.line = line
        self.keeper: Keeper | None = None
        self.address: tuple[str, int] | None = None
        self.killed: set[int] = set()
        self._options = options
        self._backend = backend
        self._clock = clock
        self._nursery = nursery
        self._held: list[socket.socket] = []
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self._pause = ExitStack()
        self._paused_at: float | None = None
        self.store: FaultyStore = _Store(backend, line.bell)

    @property
    def incarnation(self) -> Incarnation | None:
        """The one that serves; None while it does not."""
        if self.keeper is None or self.keeper.incarnation is None or self.keeper.incarnation.services is None:
            return None
        return self.keeper.incarnation

    @property
    def paused(self) -> bool:
        return self._paused_at is not None

    async def hold_address(self, host: str, port: int) -> None:
        """Take an address for good: a socket that is bound and does not listen keeps it while the keeper is down.

        Raises:
            OSError: it is taken.
        """
        self._held = await listen(port, host, backlog=None)
        self.address = (host, self._held[0].getsockname()[1])

    def release_address(self) -> None:
        """Give it back."""
        for each in self._held:
            each.close()
        self._held = []

    async def start(self) -> None:
        """Start, and return when it serves: with sockets, when it has answered a handshake.

        Raises:
            ParkeeperError: its store could not be used.
        """
        self.store = _Store(self._backend, self.line.bell)
        self.keeper = _Keeper(self.store, self._options, self._backend, self._clock, self.line)
        self._scope, self._ended = trio.CancelScope(), trio.Event()
        self._nursery.start_soon(self._tell_states, self.keeper, self._ended)
        await self._nursery.start(self._live, self.keeper, self._scope, self._ended)
        if self.address is not None and not self.line.shut:
            self.line.recorder.forget(await shake_hands(*self.address))

    async def _live(
        self,
        keeper: Keeper,
        scope: trio.CancelScope,
        ended: trio.Event,
        *,
        task_status: trio.TaskStatus[list[tuple[str, int]]],
    ) -> None:
        bind = [] if self.address is None else [self.address]
        try:
            with scope:
                await keeper.run(bind, task_status=task_status)
        finally:
            if self.keeper is keeper:
                self.keeper = None
            ended.set()
            self.line.bell.ring()

    async def _tell_states(self, keeper: Keeper, ended: trio.Event) -> None:
        """Ring whenever the keeper's state changes, until it has ended."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ring_on_states, keeper)
            await ended.wait()
            nursery.cancel_scope.cancel()

    async def _ring_on_states(self, keeper: Keeper) -> None:
        while True:
            others = [each for each in State if each is not keeper.serving.state]
            await keeper.serving.until(*others)
            self.line.bell.ring()

    async def stop(self) -> None:
        """A clean stop; sessions live on. Nothing if it is down."""
        await self.resume()
        if self.keeper is not None:
            self.keeper.stop()
            await self._ended.wait()

    async def kill(self) -> None:
        """No goodbye to anybody."""
        if self.keeper is not None:
            if self.incarnation is not None:
                self.killed.add(self.incarnation.keeper)
            self._scope.cancel("killed by a test")
            await self._ended.wait()
        self._pause.close()
        self._paused_at = None

    def pause(self) -> None:
        """Like SIGSTOP: nothing passes to or from clients or store, and no clock of a session goes on."""
        if self.paused:
            return
        self._paused_at = trio.current_time()
        if not self.line.shut:
            self.line.close()
            self._pause.callback(self.line.open)
        self._pause.enter_context(self.store.frozen())
        self._pause.enter_context(self._clocks_stopped())

    @contextmanager
    def _clocks_stopped(self) -> Generator[None, None, None]:
        incarnation, since = self.incarnation, trio.current_time()
        if incarnation is None:
            yield
            return
        sessions = incarnation.sessions
        sessions.clocks.shift(_FOR_EVER)
        sessions.orphans.shift(_FOR_EVER)
        try:
            yield
        finally:
            now = trio.current_time()
            sessions.clocks.shift(now - since - _FOR_EVER)
            sessions.orphans.shift(now - since - _FOR_EVER)
            for attachment in sessions.attachments.values():
                attachment.touched += now - since
            sessions.wake()

    async def resume(self) -> None:
        """Go on after a pause, which its clients' sessions have not noticed."""
        self._pause.close()
        self._paused_at = None
        await trio.lowlevel.checkpoint()

    def __repr__(self) -> str:
        state = "down" if self.keeper is None else self.keeper.serving.state.value
        return f"<Member {self.number} {state}{' paused' if self.paused else ''}>"


_FOR_EVER = 1e9
