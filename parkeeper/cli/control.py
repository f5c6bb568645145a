"""`parkeeper control`: asks the control port of `parkeeper serve --control-addr` for something, from a shell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option, echo

from parkeeper.cli import exits
from parkeeper.cli.addresses import parse_address
from parkeeper.errors import ConfigError


def control(
    command: Annotated[
        str,
        Argument(
            help="hosts, tree, node, sessions, watches, requests, faults; start, stop, kill, restart, pause, resume, "
            "partition, heal, store_down, store_up, delay; drop, expire, move; fail, lose, clear_faults; advance; load, "
            "clear, reset; wait.",
        ),
    ],
    arguments: Annotated[
        list[str] | None,
        Argument(
            metavar="[NAME=VALUE]...",
            help="As in seconds=60, session=/locks/a, op=create, path=/locks/*, tree={...}: JSON, or else a string.",
        ),
    ] = None,
    addr: Annotated[
        str,
        Option(
            envvar="PARKEEPER_CONTROL_ADDR",
            metavar="HOST:PORT",
            help="The control port.",
        ),
    ] = "",
    ready_file: Annotated[
        Path | None,
        Option(
            envvar="PARKEEPER_READY_FILE", help="The ready file of the server, which names its control port."
        ),
    ] = None,
) -> None:
    """Ask a server that was started with --control-addr for something, and print the answer as JSON.

    `parkeeper control lose op=create 'path=/locks/*'` has the next create below /locks happen and its reply lost;
    `parkeeper control expire session=/locks/a` ends the session that owns that ephemeral.
    """
    import http.client

    address = parse_address(addr or _named_in(ready_file))
    body = json.dumps(dict(_argument(each) for each in arguments or ()))
    connection = http.client.HTTPConnection(address.reachable, address.port, timeout=60)
    try:
        connection.request("POST", f"/{command}", body, {"Content-Type": "application/json"})
        said = json.loads(connection.getresponse().read())
    except OSError as error:
        echo(f"parkeeper: nobody answers at {address}: {error}", err=True)
        raise Exit(exits.FAILED) from error
    finally:
        connection.close()
    if "error" in said:
        echo(f"parkeeper: {said['error']}", err=True)
        raise Exit(exits.FAILED)
    if said["result"] is not None:
        echo(json.dumps(said["result"], indent=2, ensure_ascii=False))


def _named_in(ready_file: Path | None) -> str:
    """The control port that a ready file names.

    Raises:
        ConfigError: it names none.
    """
    if ready_file is None:
        raise ConfigError("say where the control port is: --addr HOST:PORT or --ready-file FILE")
    try:
        lines = ready_file.read_text().splitlines()
    except OSError as error:
        raise ConfigError(f"{ready_file} cannot be read: {error}") from error
    for line in lines:
        kind, _, address = line.partition(" ")
        if kind == "control":
            return address
    raise ConfigError(f"{ready_file} names no control port: the server was started without --control-addr")


def _argument(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"{text!r} is no argument: expected NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
