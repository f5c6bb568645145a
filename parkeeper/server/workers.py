"""Several keepers behind one port: a parent that serves nobody, and worker processes that share the port.

Every worker is a keeper of its own; the store makes an ensemble of them, as if they ran on different machines, and the
kernel spreads the clients over them (SO_REUSEPORT). The parent holds the port without listening on it, so that it stays
the same when it was picked by the kernel and when a worker is being restarted. A worker that crashes is started again,
later and later while it does not live long; one that says that trying again cannot help ends them all.

Parent and worker are joined by a socket pair: the worker writes a byte when it serves; when the parent is gone, however
it went, the worker reads the end and stops. Workers lead process groups of their own, so that Ctrl-C in a terminal
reaches the parent alone, which then tells each of them once.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import trio

from parkeeper.server.listener import listen

log = logging.getLogger("parkeeper.workers")

BACKOFF: Final = 0.5
"""Seconds until a crashed worker is started again; doubled each time, up to `BACKOFF_MOST`."""
BACKOFF_MOST: Final = 30.0
LONG_LIFE: Final = 60.0
"""Seconds after which a worker's crash is taken for the first one."""
SURVIVABLE: Final = 1
"""Exit code of a worker that may do better next time; higher ones say that trying again cannot help, and what is
below 0 is a signal."""

_CLEAN: Final = frozenset({0, -signal.SIGTERM})
"""How a worker that was told to stop ends; by the signal, if it was still starting."""

_PLACE: Final = "PARKEEPER_WORKER"
_BIND: Final = "PARKEEPER_WORKER_BIND"
_LINE: Final = "PARKEEPER_WORKER_LINE"

Bound = Sequence[tuple[str, int]]


class WorkerEnded(Exception):
    """A worker cannot serve, and trying again would not help.

    Args:
        code: its exit code.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """What a worker was told by its parent.

    Args:
        number, of: which of how many it is, from 1.
        bind: addresses to listen on, with `reuse_port`.
        line: to the parent.
    """

    number: int
    of: int
    bind: Bound
    line: socket.socket

    @classmethod
    def of_environment(cls) -> Self | None:
        """What the environment says; None: this process is no worker. It is not handed on to children of ours."""
        place = os.environ.pop(_PLACE, None)
        if place is None:
            return None
        number, _, of = place.partition("/")
        bind = [_address(each) for each in os.environ.pop(_BIND).split()]
        line = socket.socket(fileno=int(os.environ.pop(_LINE)))
        line.set_inheritable(False)
        return cls(number=int(number), of=int(of), bind=bind, line=line)

    @property
    def place(self) -> str:
        """For people: `2/4`."""
        return f"{self.number}/{self.of}"

    def ready(self) -> None:
        """Tell the parent that clients are served."""
        try:
            self.line.send(b"\n")
        except OSError:
            log.warning("the parent is gone")  # the other end of this line says so too, and stops us

    async def outlive_nobody(self, stop: Callable[[], None]) -> None:
        """Call `stop` when the parent is gone."""
        line = trio.socket.from_stdlib_socket(self.line)
        await trio.lowlevel.checkpoint()
        try:
            while await line.recv(1):
                pass
        except OSError:
            log.warning("the line to the parent broke")
        log.warning("the parent of this worker is gone: stopping")
        stop()


class Crew:
    """The workers, as their parent sees them.

    Args:
        count: how many, 2 or more.
        command: starts one; it finds out what it is by `Worker.of_environment`.
        bind: host and port of each listener; host None: every address; port 0: one the kernel picks.
        grace: seconds a worker may take to stop before it is killed.

    Attributes:
        processes: those that run, by number.
    """

    def __init__(
        self, count: int, command: Sequence[str], bind: Sequence[tuple[str | None, int]], grace: float
    ) -> None:
        self.processes: dict[int, trio.Process] = {}
        self._count = count
        self._command = list(command)
        self._bind = bind
        self._grace = grace
        self._stop = trio.Event()
        self._serving: set[int] = set()
        self._told: set[trio.Process] = set()
        self._announced = False
        self._bound: Bound = ()
        self._announce: Callable[[Bound], None] = lambda bound: None  # noqa: ARG005

    def stop(self) -> None:
        """Tell every worker to stop, and start no more."""
        self._stop.set()

    def kill(self) -> None:
        """End every worker at once."""
        for process in self.processes.values():
            process.kill()

    async def run(self, announce: Callable[[Bound], None]) -> None:
        """Keep the workers going until stopped.

        Args:
            announce: called with the addresses, once, when every worker serves.

        Raises:
            OSError: a port is taken.
            ConfigError: a host has no address.
            WorkerEnded: one cannot serve.
        """
        holders = await hold(self._bind)
        self._bound = [holder.getsockname()[:2] for holder in holders]
        self._announce = announce
        try:
            async with trio.open_nursery() as nursery:
                for number in range(1, self._count + 1):
                    nursery.start_soon(self._keep_alive, number)
        finally:
            for holder in holders:
                holder.close()

    async def _keep_alive(self, number: int) -> None:
        pause = BACKOFF
        while True:
            started = trio.current_time()
            code, served = await self._live(number)
            lived = trio.current_time() - started
            about = {"worker": number, "code": code, "lived": round(lived, 1)}
            if self._stop.is_set():
                if code not in _CLEAN:
                    log.warning("a worker did not stop cleanly", extra=about)
                return
            if not served and (code > SURVIVABLE or (code == SURVIVABLE and not self._announced)):
                raise WorkerEnded(code)
            if lived >= LONG_LIFE:
                pause = BACKOFF
            log.error("a worker ended; starting it again", extra={**about, "pause": pause})
            with trio.move_on_after(pause):
                await self._stop.wait()
                return
            pause = min(2 * pause, BACKOFF_MOST)

    async def _live(self, number: int) -> tuple[int, bool]:
        """One life of a worker: its exit code, and whether it ever served."""
        ours, theirs = socket.socketpair()
        with trio.socket.from_stdlib_socket(ours) as line:
            with theirs:
                process = await trio.lowlevel.open_process(
                    self._command,
                    env={
                        **os.environ,
                        _PLACE: f"{number}/{self._count}",
                        _BIND: " ".join(f"{host}#{port}" for host, port in self._bound),
                        _LINE: str(theirs.fileno()),
                    },
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    process_group=0,
                )
            self.processes[number] = process
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._stop_on_demand, process)
                    nursery.start_soon(self._hear, number, line)
                    code = await process.wait()
                    nursery.cancel_scope.cancel()
            finally:
                if process.returncode is None:
                    with trio.CancelScope(shield=True):
                        await self._end(process)
                served = number in self._serving
                self._serving.discard(number)
                del self.processes[number]
        return code, served

    async def _hear(self, number: int, line: trio.socket.SocketType) -> None:
        """A worker says that it serves; when all do for the first time, so do we."""
        if not await line.recv(1):
            return
        self._serving.add(number)
        log.info("a worker serves", extra={"worker": number})
        if len(self._serving) == self._count and not self._announced:
            self._announced = True
            self._announce(self._bound)

    async def _stop_on_demand(self, process: trio.Process) -> None:
        await self._stop.wait()
        await self._end(process)

    async def _end(self, process: trio.Process) -> None:
        """Let a worker stop cleanly; told once only, for the second time it would not."""
        if process not in self._told:
            self._told.add(process)
            process.terminate()
        with trio.move_on_after(self._grace):
            await process.wait()
            return
        log.warning("a worker does not stop: killing it", extra={"pid": process.pid})
        process.kill()
        await process.wait()


async def hold(bind: Sequence[tuple[str | None, int]]) -> list[socket.socket]:
    """Sockets that hold ports without listening, so that the kernel gives them no client; as for `Crew.run`."""
    held: list[socket.socket] = []
    await trio.lowlevel.checkpoint()
    try:
        for host, port in bind:
            held += await listen(port, host, reuse_port=True, backlog=None)
    except BaseException:
        for sock in held:
            sock.close()
        raise
    return held


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition("#")
    return host, int(port)
