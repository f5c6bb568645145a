"""`parkeeper serve --control-addr`: an ensemble for the tests of any program, with a port that takes commands."""

from __future__ import annotations

import logging
from functools import partial

import trio

from parkeeper.cli import exits
from parkeeper.cli.addresses import Address
from parkeeper.cli.run import CANNOT_LISTEN, SIGNALS, announce, obey
from parkeeper.cli.settings import Plan
from parkeeper.errors import ConfigError
from parkeeper.testing.control import Control, is_loopback
from parkeeper.testing.embedded import AsyncEnsemble
from parkeeper.version import VERSION

log = logging.getLogger("parkeeper.cli")


async def serve_controlled(plan: Plan, control: Address) -> None:
    """Serve until a signal comes: a keeper for each address, and the control port.

    Raises:
        ConfigError: what is asked for does not go together.
        CannotListen: a port is taken.
    """
    if plan.workers > 1:
        raise ConfigError("--control-addr and --workers do not go together; say --bind-addr several times")
    host = control.host or "127.0.0.1"
    if not plan.control_open and not is_loopback(host):
        raise ConfigError(
            f"--control-addr {control}: whoever reaches it may do anything, so it has to be a loopback address, "
            "unless --control-open is said"
        )
    ensemble = AsyncEnsemble(
        backend=plan.url,
        options=plan.options,
        bind=[(each.host or "0.0.0.0", each.port) for each in plan.bind],
        store=plan.store,
    )
    log.info("starting", extra={"version": VERSION, "store": plan.url, "control": str(control)})
    with trio.open_signal_receiver(*SIGNALS) as signals:
        async with trio.open_nursery() as nursery:
            stopping = trio.Event()
            nursery.start_soon(obey, signals, stopping.set)
            try:
                async with ensemble:
                    port = Control(ensemble)
                    serve = partial(port.serve, host, control.port, open_to_all=plan.control_open)
                    bound: tuple[str, int] = await nursery.start(serve)
                    where = [ensemble.address(each) for each in range(ensemble.keepers)]
                    announce(where, plan.ready_file, [f"control {Address(*bound)}"])
                    await stopping.wait()
                    await ensemble.stop()
            except OSError as error:
                if error.errno not in CANNOT_LISTEN:
                    raise
                where_to = ", ".join(str(each) for each in (*plan.bind, control))
                raise exits.CannotListen(f"cannot listen on {where_to}: {error.strerror}") from error
            nursery.cancel_scope.cancel()
    log.info("stopped")
