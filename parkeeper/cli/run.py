"""What `parkeeper serve` does: log, open the store, run a keeper (or a crew of them), obey signals, end with a code."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import trio

from parkeeper.admin.words import Words
from parkeeper.cli import collector, exits
from parkeeper.cli.addresses import Address
from parkeeper.cli.settings import Plan
from parkeeper.errors import ConfigError, ParkeeperError
from parkeeper.log import set_up
from parkeeper.server.keeper import Keeper
from parkeeper.server.report import About, Report
from parkeeper.server.workers import Crew, Worker, WorkerEnded
from parkeeper.store.facade import Store
from parkeeper.store.keys import Layout
from parkeeper.store.urls import open_store
from parkeeper.version import VERSION, build

log = logging.getLogger("parkeeper.cli")

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_MARGIN: Final = 5.0
"""Seconds a worker may take to stop beyond its grace, until it is taken for stuck."""
CANNOT_LISTEN: Final = frozenset({errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES})


def run(plan: Plan) -> int:
    """Serve until a signal comes or nothing more can be done; returns the exit code."""
    collector.wait()
    set_up(plan.level, plan.form, sys.stderr)
    worker = Worker.of_environment()
    ready_file = None if worker else plan.ready_file  # a worker's readiness is its parent's business
    failure: BaseException | None = None
    try:
        forget(ready_file)
        store = open_store(plan.url, plan.store)
        if plan.control is not None:
            from parkeeper.cli.controlled import serve_controlled  # for tests only

            trio.run(serve_controlled, plan, plan.control)
        elif plan.workers > 1 and worker is None:
            trio.run(_lead, plan, store)
        else:
            trio.run(_serve, plan, store, worker)
    except* (ParkeeperError, WorkerEnded) as group:
        failure = group
    finally:
        with suppress(ConfigError):
            forget(ready_file)
    return exits.STOPPED if failure is None else explain(failure)


def explain(failure: BaseException) -> int:
    """Say what ended us; returns the exit code for it."""
    for error in exits.leaves(failure):
        if isinstance(error, WorkerEnded):
            log.error("a worker cannot serve", extra={"code": error.code})
            return error.code
        log.error("cannot serve: %s", error, extra={"kind": type(error).__name__})
    return exits.code_of(failure)


async def _serve(plan: Plan, store: Store, worker: Worker | None) -> None:
    layout = Layout(plan.store.namespace, plan.store.data_prefix)
    keeper = Keeper(store, plan.options, layout.data if layout.data_apart else "")
    scheme, _, path = plan.url.partition("://")
    file = Path(path) if scheme == "sqlite" else None
    about = About(plan.url, layout.namespace, worker.place if worker else None, file)
    keeper.loaded = collector.loaded
    keeper.words = Words(Report(keeper, about), plan.options.words)
    version = f"{VERSION} ({build()})"
    log.info("starting", extra={"version": version, "store": plan.url, "namespace": layout.namespace})
    bind = worker.bind if worker else plan.bind

    def serving(bound: Sequence[tuple[str, int]]) -> None:
        if worker is not None:
            worker.ready()
        else:
            announce(bound, plan.ready_file)

    with trio.open_signal_receiver(*SIGNALS) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(obey, signals, keeper.stop)
            if worker is not None:
                nursery.start_soon(worker.outlive_nobody, keeper.stop)
            with _listening(bind):
                await keeper.run(bind, reuse_port=worker is not None, task_status=_Started(serving))
            nursery.cancel_scope.cancel()
    log.info("stopped")


class _Started:
    """A task status that calls back. (`nursery.start` would call a stop before the first client an error.)"""

    def __init__(self, callback: Callable[[Sequence[tuple[str, int]]], None]) -> None:
        self._callback = callback

    def started(self, value: Sequence[tuple[str, int]] | None = None) -> None:
        self._callback(value or ())


async def _lead(plan: Plan, store: Store) -> None:
    """The parent of several workers: it serves nobody itself."""
    if not store.limits.shared or plan.url.startswith("memory:"):  # shared by the keepers of one process
        raise ConfigError(
            f"--workers {plan.workers} needs a store that processes can share, etcd or Consul; {plan.url} cannot be"
        )
    crew = Crew(
        plan.workers,
        [sys.executable, "-P", "-m", "parkeeper.cli", *sys.argv[1:]],
        plan.bind,
        plan.options.stop_grace + _MARGIN,
    )
    with trio.open_signal_receiver(*SIGNALS) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(obey, signals, crew.stop, crew.kill)
            with _listening(plan.bind):
                await crew.run(lambda bound: announce(bound, plan.ready_file))
            nursery.cancel_scope.cancel()
    log.info("stopped")


@contextmanager
def _listening(bind: Sequence[tuple[str | None, int]]) -> Generator[None]:
    """Name the addresses in what the system says of them."""
    try:
        yield
    except OSError as error:
        if error.errno not in CANNOT_LISTEN:
            raise
        where = ", ".join(str(Address(*each)) for each in bind)
        raise exits.CannotListen(f"cannot listen on {where}: {error.strerror}") from error


async def obey(
    signals: AsyncIterator[int], stop: Callable[[], None], kill: Callable[[], None] = lambda: None
) -> None:
    """The first signal asks for a clean stop; a second one is somebody who cannot wait."""
    stopping = False
    async for number in signals:
        name = signal.Signals(number).name
        if stopping:
            log.warning("a second signal: ending at once", extra={"signal": name})
            kill()
            os._exit(128 + number)
        stopping = True
        log.info("stopping; a second signal ends at once", extra={"signal": name})
        stop()


def announce(bound: Sequence[tuple[str, int]], ready_file: Path | None, more: Sequence[str] = ()) -> None:
    """Say where clients are served, and what else there is; the file appears whole or not at all."""
    lines = [str(Address(*each)) for each in bound]
    log.info("clients are served", extra={"addresses": ",".join(lines)})
    lines += more
    if ready_file is None:
        return
    fresh = ready_file.with_name(f".{ready_file.name}.{os.getpid()}")
    try:
        fresh.write_text("".join(line + "\n" for line in lines))
        fresh.replace(ready_file)
    except OSError as error:
        raise ConfigError(f"--ready-file {ready_file} cannot be written: {error}") from error


def forget(ready_file: Path | None) -> None:
    """Nobody is served: the file of an earlier run, or of this one, goes."""
    if ready_file is None:
        return
    try:
        ready_file.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"--ready-file {ready_file} cannot be removed: {error}") from error
