"""The barrier around one client: whatever goes wrong in serving it ends its connection, and nothing else."""

from __future__ import annotations

import trio

from parkeeper.server.connection import Connection
from parkeeper.server.services import Services
from parkeeper.server.transport import Transport


async def serve(transport: Transport, services: Services) -> None:
    """Serve one client until it, or its connection, has come to its end. Raises nothing but `trio.Cancelled`.

    Args:
        transport: closed when this returns.
        services: what the connection may use.
    """
    connection = Connection(transport, services)
    try:
        await connection.run()
    except* Exception as group:  # noqa: BLE001 - the barrier: it ends one connection only
        connection.crashed(group)
    finally:
        connection.leave()
        connection.take_apart()
        await trio.aclose_forcefully(transport)
