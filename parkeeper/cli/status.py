"""`parkeeper status`: ask a keeper, or any ZooKeeper server, how it is. Made for health checks: fast, with an exit code.

No Trio here: importing it would take longer than asking.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Annotated, Final

from typer import Argument, Exit, Option

from parkeeper.cli import exits
from parkeeper.cli.addresses import Address, parse_address

DEFAULT: Final = "127.0.0.1:2181"
_MOST: Final = 1 << 20  # bytes of an answer; one that is longer comes from something else


def status(
    address: Annotated[
        str,
        Argument(
            envvar="PARKEEPER_STATUS_ADDR",
            show_default=False,
            help=f"HOST:PORT to ask. By default the first of PARKEEPER_BIND_ADDR, or {DEFAULT}.",
        ),
    ] = "",
    timeout: Annotated[
        float, Option(envvar="PARKEEPER_STATUS_TIMEOUT", min=0.001, help="Seconds to wait for each answer.")
    ] = 5.0,
) -> None:
    """Ask a keeper how it is (four-letter word srvr), print the answer, and exit with 0 if it serves, else with 1.

    Where srvr is not in the whitelist, ruok has to do: it tells that the process lives, not that it serves.
    """
    where = parse_address(address) if address else _own_address()
    try:
        answer = _ask(where, b"srvr", timeout)
        if b"not in the whitelist" in answer:
            answer = _ask(where, b"ruok", timeout)
    except OSError as error:
        print(f"{where}: no answer: {error}", file=sys.stderr)
        raise Exit(exits.FAILED) from None
    text = answer.decode(errors="replace").rstrip("\n")
    if answer == b"imok":
        print(f"{where}: alive; it may say no more, since srvr is not in its whitelist")
    elif b"\nMode: " in answer:
        print(text)
    else:
        print(f"{where}: {text or 'closed the connection without an answer'}", file=sys.stderr)
        raise Exit(exits.FAILED)


def _own_address() -> Address:
    """Where `serve` with the same environment would be found."""
    bound = os.environ.get("PARKEEPER_BIND_ADDR", "").replace(",", " ").split()
    return parse_address(bound[0] if bound else DEFAULT)


def _ask(where: Address, word: bytes, timeout: float) -> bytes:
    """The whole answer to a word.

    Raises: `OSError`, time-outs included.
    """
    with socket.create_connection((where.reachable, where.port), timeout) as connection:
        connection.sendall(word)
        answer = b""
        while len(answer) < _MOST and (chunk := connection.recv(65536)):
            answer += chunk
        return answer
