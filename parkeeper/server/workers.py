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
from functools import partial
from typing import Final, Self

import trio

from parkeeper.errors import ConfigError

log = logging.getLogger("parkeeper.workers")

BACKOFF: Final = 0.5
"""Seconds until a crashed worker is started again; doubled each time, up to `BACKOFF_MOST`."""
BACKOFF_MOST: Final = 30.0
LONG_LIFE: Final = 60.0
"""Seconds after which a worker's crash is taken for the first one."""
SURVIVABLE: Final = 1
"""Exit code of a worker that may do better next time; higher ones say that trying again cannot help, and what is
below 0 is a signal."""

_PLACE: Final = "PARKEEPER_WORKER"
_BIND: Final = "PARKEEPER_WORKER_BIND"
_LINE: Final = "PARKEEPER_WORKER_LINE"

Bound = Sequence[tuple[str, int]]


class WorkerEnded(Exception):  # noqa: N818 - it says what happened, and is caught by those who started workers
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
        bind = [_parse(each) for each in os.environ.pop(_BIND).split()]
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
        self._announced = False

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
        bound = [_host_and_port(holder) for holder in holders]
        try:
            async with trio.open_nursery() as nursery:
                for number in range(1, self._count + 1):
                    nursery.start_soon(self._keep_alive, number, bound, announce)
        finally:
            for holder in holders:
                holder.close()

    async def _keep_alive(self, number: int, bound: Bound, announce: Callable[[Bound], None]) -> None:
        pause = BACKOFF
        while not self._stop.is_set():
            started = trio.current_time()
            served = await self._live(number, bound, announce)
            if self._stop.is_set():
                return
            lived = trio.current_time() - started
            code = self._last_code
            if not served and (code > SURVIVABLE or (code == SURVIVABLE and not self._announced)):
                raise WorkerEnded(code)
            pause = BACKOFF if lived >= LONG_LIFE else pause
            log.error(
                "a worker ended; starting it again",
                extra={"worker": number, "code": code, "lived": round(lived, 1), "pause": pause},
            )
            with trio.move_on_after(pause):
                await self._stop.wait()
            pause = min(2 * pause, BACKOFF_MOST)
