"""`parkeeper bench` on the command line."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated

from typer import Argument, Exit, Option

from parkeeper.cli import exits
from parkeeper.cli.addresses import parse_address
from parkeeper.cli.bench.load import Load, Work


def bench(
    address: Annotated[str, Argument(help="HOST:PORT of the server.")] = "127.0.0.1:2181",
    op: Annotated[
        Work,
        Option(
            help="What to ask. children lists --nodes names; mixed is nine gets for a set; connect opens a session and "
            "closes it again."
        ),
    ] = Work.GET,
    connections: Annotated[int, Option(min=1, help="Connections, each with a session of its own.")] = 8,
    depth: Annotated[int, Option(min=1, help="Requests of one connection under way at once.")] = 1,
    size: Annotated[int, Option(min=0, metavar="BYTES", help="Data of a znode.")] = 128,
    seconds: Annotated[float, Option(min=0.1, help="How long to ask.")] = 5.0,
    nodes: Annotated[int, Option(min=1, help="Znodes to read and set, drawn at random.")] = 64,
    processes: Annotated[
        int, Option(min=1, help="Processes that ask, each with a part of the connections.")
    ] = 1,
    as_json: Annotated[bool, Option("--json", help="Print one JSON object.")] = False,
    quiet: Annotated[bool, Option(help="Show no progress. (It is shown on terminals only.)")] = False,
) -> None:
    """Measure any ZooKeeper server: requests a second, and the times that half, 99 % and 99.9 % of them took.

    It makes znodes of its own below one at the top, and removes them again. Where it takes more than 90 % of a
    processor itself, it says so and gives no figure: what it measured then was not the server.
    """
    from parkeeper.cli.bench.asking import Failed
    from parkeeper.cli.bench.crew import run

    where = parse_address(address)
    load = Load(
        host=where.reachable,
        port=where.port,
        work=op,
        base=f"/parkeeper-bench-{os.urandom(4).hex()}",
        connections=connections,
        first=0,
        depth=depth,
        size=size,
        seconds=seconds,
        nodes=nodes,
    )
    visible = sys.stderr.isatty() and not quiet

    def watch(since: float, done: int) -> None:
        if visible and since > 0:
            print(
                f"\r{since:5.1f} s  {done} answered  {done / since:.0f}/s ",
                end="",
                file=sys.stderr,
                flush=True,
            )

    try:
        outcome = run(load, processes, watch)
    except Failed as error:
        print(f"{where}: {error}", file=sys.stderr)
        raise Exit(exits.FAILED) from None
    finally:
        if visible:
            print(file=sys.stderr)
    print(json.dumps(outcome.to_fields(load, processes)) if as_json else outcome.text(load))
    if outcome.rate is None or outcome.errors:
        raise Exit(exits.FAILED)
