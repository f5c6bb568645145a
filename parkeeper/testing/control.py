"""The control port: an ensemble for tests in any language, over HTTP and JSON.

    POST /lose {"op": "create", "path": "/locks/*"}   ->  {"result": {"fault": 0}}
    GET  /tree                                         ->  {"result": {"/locks": ""}}
    POST /expire {"session": "/locks/a"}               ->  {"result": null}
    POST /nonsense                                     ->  404 {"error": "there is no command 'nonsense'; there are: ..."}

The commands are in `parkeeper.testing.commands`. Whoever reaches the port can do all of it, so it is for loopback. A
browser is kept out, whatever page it shows: a request with an Origin is refused, and so is a Host that is a name.
"""

from __future__ import annotations

import ipaddress
import json
import logging
from collections.abc import Mapping
from typing import Final, cast

import trio

from parkeeper.errors import ConfigError, ParkeeperError
from parkeeper.testing.commands import LOOKS, Commands, Json, Misused, Unknown
from parkeeper.testing.embedded import AsyncEnsemble
from parkeeper.testing.http import BadRequest, HttpRequest, answer, read_request

log = logging.getLogger("parkeeper.control")

_CLOSE: Final = 2.0
"""Seconds the last of an answer may take to be sent."""


def is_loopback(host: str) -> bool:
    """Whether an address (or `localhost`) is of this machine only."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    """Whether the Host of a request is an address or localhost: a name may be a page that was led here."""
    name = host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in ("localhost", "")
    return True


class Control:
    """Serves one ensemble.

    Args:
        ensemble: entered.
    """

    def __init__(self, ensemble: AsyncEnsemble) -> None:
        self._commands = Commands(ensemble)

    async def serve(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        open_to_all: bool = False,
        task_status: trio.TaskStatus[tuple[str, int]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled; `started()` gets the bound address.

        Args:
            host: where to listen.
            port: 0: a free one.
            open_to_all: allow a host that is not loopback.

        Raises:
            ConfigError: the host is not loopback, and that was not asked for.
            OSError: the port is taken.
        """
        if not open_to_all and not is_loopback(host):
            raise ConfigError(
                f"whoever reaches the control port may do anything, so it listens on loopback only, not on {host}"
            )
        listeners = await trio.open_tcp_listeners(port, host=host)
        bound: tuple[str, int] = listeners[0].socket.getsockname()[:2]
        task_status.started(bound)
        await trio.serve_listeners(self._serve, listeners)

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            async with stream:
                try:
                    request = await read_request(stream)
                except BadRequest as error:
                    status, said = 400, _error(str(error))
                else:
                    if request is None:
                        return
                    status, said = await self._answer(request)
                with trio.move_on_after(_CLOSE):
                    await stream.send_all(answer(status, json.dumps(said).encode()))
                    await stream.send_eof()
                    while await stream.receive_some(4096):
                        pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            log.debug("a client of the control port went away")

    async def _answer(self, request: HttpRequest) -> tuple[int, Mapping[str, Json]]:
        if "origin" in request.headers or not _is_address(request.headers.get("host", "")):
            return 403, _error("the control port is not for browsers")
        name = request.path.strip("/")
        if request.method != "POST" and not (request.method == "GET" and name in LOOKS):
            return 405, _error("commands are asked for with POST")
        try:
            arguments = _arguments(request.body)
            return 200, {"result": await self._commands.run(name, arguments)}
        except Misused as error:
            return 404 if isinstance(error, Unknown) else 400, _error(str(error))
        except trio.TooSlowError:
            return 504, _error("it did not happen in time")
        except (LookupError, ValueError) as error:
            return 400, _error(str(error.args[0]) if error.args else str(error))
        except (ParkeeperError, RuntimeError, OSError) as error:
            return 409, _error(f"{type(error).__name__}: {error}")


def _arguments(body: bytes) -> Mapping[str, object]:
    if not body.strip():
        return {}
    try:
        value: object = json.loads(body)
    except ValueError as error:
        raise Misused(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Misused("the body is not a JSON object of arguments")
    return cast("dict[str, object]", value)


def _error(text: str) -> Mapping[str, Json]:
    return {"error": text}
