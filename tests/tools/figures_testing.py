"""Prints what the harness costs: to start, for each test, and for a hundred elections with faults.

    python -m tests.tools.figures_testing

Each figure is the median of some runs, with the slowest; everything in one process unless it says otherwise.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

from parkeeper.testing import Ensemble
from tests.processes import ROOT

ELECTION = '''
import pytest
from election import Candidate

@pytest.mark.parametrize("number", range(100))
def test_election(zookeeper, number):
    """The leader's session expires, then the connection of its heir; one create loses its reply."""
    zookeeper.load({"/election": b""})
    fault = zookeeper.lose(op="create", path="/election/*")
    first, second = Candidate(zookeeper.hosts, "first"), Candidate(zookeeper.hosts, "second")
    try:
        first.start()
        assert first.wait(leads=True)
        assert fault.hits == 1
        second.start()
        zookeeper.wait_until(lambda: len(zookeeper.tree()) == 3)
        zookeeper.expire(first.client)
        assert second.wait(leads=True)
        zookeeper.wait_until(lambda: len(zookeeper.tree()) == 3)
        zookeeper.drop(second.client)
        assert second.wait(leads=False)
        assert first.wait(leads=True)
    finally:
        second.stop()
        first.stop()
'''


def report(what: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    print(
        f"{what:<60} {median(ordered) * 1000:8.1f} ms   slowest {ordered[-1] * 1000:8.1f} ms   n={len(ordered)}"
    )


def timed(action: Callable[[], object]) -> float:
    begun = perf_counter()
    action()
    return perf_counter() - begun


def in_process(keepers: int) -> float:
    ensemble = Ensemble(keepers)
    begun = perf_counter()
    with ensemble:
        return perf_counter() - begun


def process() -> float:
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready"
        command = [sys.executable, "-P", "-m", "parkeeper.cli", "serve", "--backend-url", "memory://"]
        command += ["--bind-addr", "127.0.0.1:0", "--ready-file", str(ready), "--control-addr", "127.0.0.1:0"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        begun = perf_counter()
        with subprocess.Popen([*command, "--log-level", "warning"], env=environment) as child:
            while not ready.exists():
                sleep(0.001)
            took = perf_counter() - begun
            child.terminate()
        return took


def elections() -> float:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test_elections.py").write_text(ELECTION)
        path = os.pathsep.join((str(ROOT), str(ROOT / "examples" / "testing")))
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:parkeeper",
            "-p",
            "parkeeper.testing.plugin",
            folder,
        ]
        begun = perf_counter()
        said = subprocess.run(
            [*command, "-c", os.devnull, "--rootdir", folder, "-p", "no:cacheprovider"],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        print(said.stdout.strip().splitlines()[-1])
        return perf_counter() - begun


def main() -> None:
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    in_process(1)  # imports
    for keepers in (1, 3):
        report(f"enter Ensemble(keepers={keepers}), after import", [in_process(keepers) for _ in range(20)])
    report("parkeeper serve, from exec to the ready file", [process() for _ in range(5)])
    with Ensemble() as ensemble:
        report(
            "reset: what the fixture `zookeeper` does for each test",
            [timed(ensemble.reset) for _ in range(200)],
        )
        report("the same with 3 keepers", three_keepers())
    report("100 elections with faults, pytest included", [elections()])


def three_keepers() -> list[float]:
    with Ensemble(3) as ensemble:
        return [timed(ensemble.reset) for _ in range(100)]


if __name__ == "__main__":
    main()
