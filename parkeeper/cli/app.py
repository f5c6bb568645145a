"""The command `parkeeper`: serve, status, control, version.

Each command imports what it needs when it runs, so that a health check does not pay for a server. rich is left out on
purpose: it would cost more at every start than the rest of the command line.
"""

from __future__ import annotations

import sys

import typer

from parkeeper.cli import exits
from parkeeper.cli.bench.command import bench
from parkeeper.cli.control import control
from parkeeper.cli.serve import serve
from parkeeper.cli.status import status
from parkeeper.errors import ConfigError
from parkeeper.version import VERSION, ZOOKEEPER_VERSION, build

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="A ZooKeeper server whose quorum is the etcd or Consul you already run.",
)
app.command(epilog=exits.EPILOG)(serve)
app.command()(status)
app.command()(bench)
app.command()(control)


@app.command()
def version() -> None:
    """Print our version, and the ZooKeeper version whose behaviour it has."""
    print(f"parkeeper {VERSION} ({build()}), behaves as ZooKeeper {ZOOKEEPER_VERSION}")


def main() -> None:
    """The console script."""
    try:
        app()
    except ConfigError as error:
        print(f"parkeeper: {error}", file=sys.stderr)
        sys.exit(exits.code_of(error))
