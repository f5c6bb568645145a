"""The processes that ask, from the one the user started: it makes the znodes, watches, adds up and cleans up.

Processes, not threads: what asks must never wait for what prints, and one interpreter is one processor.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from selectors import EVENT_READ, DefaultSelector
from typing import Final

import msgspec

from parkeeper.cli.bench.asking import Failed, Line, create
from parkeeper.cli.bench.driver import Word
from parkeeper.cli.bench.figures import Result, Tally, result
from parkeeper.cli.bench.load import Load, Work
from parkeeper.wire.jute import read_paths, write_string
from parkeeper.wire.op import Op

_COMMAND: Final = [sys.executable, "-P", "-m", "parkeeper.cli.bench.driver"]
_NO_NODE: Final = -101
_ANY_VERSION: Final = b"\xff\xff\xff\xff"

Watch = Callable[[float, int], None]
"""Called now and then with seconds since the beginning and requests answered."""


def run(load: Load, processes: int, watch: Watch) -> Result:
    """Run a benchmark.

    Raises: `Failed`; what was made is removed in any case, as far as the server is there.
    """
    with znodes(load):
        parts = load.split(processes)
        children = [_start(part) for part in parts]
        try:
            for child in children:
                _said(child)  # that it is ready
            for child in children:
                _tell(child, "go")
            return result(_collect(children, watch))
        finally:
            for child in children:
                child.kill()
                child.communicate()


def _start(part: Load) -> subprocess.Popen[str]:
    child = subprocess.Popen(_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    _tell(child, msgspec.json.encode(part).decode())
    return child


def _tell(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdin is not None
    child.stdin.write(line + "\n")
    child.stdin.flush()


def _said(child: subprocess.Popen[str]) -> Word:
    """The next line of a process that asks. Raises: `Failed` if it did."""
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise Failed(f"a process of the load generator ended with {child.wait()}")
    word = msgspec.json.decode(line, type=Word)
    if word.failed:
        raise Failed(word.failed)
    return word


def _collect(children: list[subprocess.Popen[str]], watch: Watch) -> list[Tally]:
    """Listen until all have told their tally."""
    tallies: list[Tally] = []
    done = dict.fromkeys(range(len(children)), 0)
    began = time.perf_counter()
    with DefaultSelector() as selector:
        for place, child in enumerate(children):
            assert child.stdout is not None
            selector.register(child.stdout, EVENT_READ, place)
        while selector.get_map():
            for key, _ in selector.select():
                which: int = key.data
                said = _said(children[which])
                done[which] = said.done
                if said.tally is not None:
                    tallies.append(said.tally)
                    selector.unregister(key.fileobj)
            watch(time.perf_counter() - began, sum(done.values()))
    return tallies


@contextmanager
def znodes(load: Load) -> Generator[None]:
    """The znodes of a benchmark, for as long as it takes.

    Raises: `Failed`.
    """
    line = Line(load.host, load.port, load.timeout)
    data = bytes(load.size)
    below = [] if load.work is Work.CONNECT else [load.node(number) for number in range(load.nodes)]
    if load.work in {Work.CREATE, Work.EPHEMERAL_SEQUENTIAL}:
        below += [load.own(number) for number in range(load.connections)]
    line.ask([(Op.CREATE, create(path, data)) for path in (load.base, *below)])
    line.close()
    try:
        yield
    finally:
        line = Line(load.host, load.port, load.timeout)
        _remove(line, load.base)
        line.close()


def _remove(line: Line, path: str) -> None:
    """Remove a znode and all below it; ephemerals may vanish by themselves meanwhile."""
    (body,) = line.ask([(Op.GET_CHILDREN, write_string(path) + b"\0")], _NO_NODE)
    names = [f"{path}/{name}" for name in read_paths(body, 0)[0]] if body else []
    bodies = line.ask([(Op.GET_CHILDREN, write_string(name) + b"\0") for name in names], _NO_NODE)
    for name, body in zip(names, bodies, strict=True):
        if body and read_paths(body, 0)[0]:
            _remove(line, name)
    gone = [(Op.DELETE, write_string(name) + _ANY_VERSION) for name in (*names, path)]
    line.ask(gone, _NO_NODE)
