"""Asking a server, by `zkload` where there is one, else by `parkeeper bench`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.processes import ROOT


class Cell(NamedTuple):
    """What is asked: an operation of `parkeeper bench`, connections, requests under way on each."""

    work: str
    connections: int
    depth: int = 1

    def __str__(self) -> str:
        piped = f" x {self.depth}" if self.depth > 1 else ""
        return f"{self.work} {self.connections}{piped}"


class Figure(NamedTuple):
    """Requests a second, the ms that 99 % took at most, and the server's own CPU for one in us (0: not asked)."""

    rate: float
    p99: float
    cpu: float = 0.0


@cache
def zkload() -> Path | None:
    """The program, built from the folder in ZKLOAD; None if it is not there to be built."""
    source, go = os.environ.get("ZKLOAD"), shutil.which("go")
    if not source or not go:
        return None
    program = Path(tempfile.mkdtemp(prefix="parkeeper-bench-")) / "zkload"
    copy = shutil.copytree(source, program.parent / "source")
    subprocess.run([go, "build", "-o", str(program), "."], cwd=copy, check=True)
    return program


def ask(address: str, cell: Cell, seconds: float, nodes: int = 64) -> Figure:
    """Measure a server; `nodes` znodes are read, set and listed.

    Raises: `RuntimeError` for errors, and where the load generator measured itself.
    """
    program = zkload()
    if program is not None:
        work = {"ephemeral-sequential": "eseq"}.get(cell.work, cell.work)
        line = [str(program), "-addr", address, "-op", work, "-conns", str(cell.connections)]
        # (Its channel of that depth holds the requests besides the one whose answer it waits for.)
        depth = cell.depth if os.environ.get("AS_GIVEN") else cell.depth - 1
        line += ["-depth", str(depth), "-secs", str(seconds), "-nodes", str(nodes)]
        said = subprocess.run(line, capture_output=True, text=True, check=False).stdout
        found = re.search(r"ops/s=(\d+) .*p99ms=([\d.]+) errs=0 ", said)
        if found is None:
            raise RuntimeError(f"{address} {cell}: {said}")
        return Figure(float(found[1]), float(found[2]))
    line = [sys.executable, "-m", "parkeeper.cli", "bench", address, "--json", "--op", cell.work]
    line += ["--connections", str(cell.connections), "--depth", str(cell.depth), "--seconds", str(seconds)]
    line += ["--nodes", str(nodes)]
    done = subprocess.run(
        line, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    figures = json.loads(done.stdout) if done.stdout else {}
    if figures.get("errors", 1) or figures["rate"] is None:
        raise RuntimeError(f"{address} {cell}: {done.stdout}{done.stderr}")
    return Figure(figures["rate"], figures["p99"])
