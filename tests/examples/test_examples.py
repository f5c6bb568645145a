"""Every example runs against `parkeeper serve`, and says what its reader is told it says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.keepers import Keepers
from tests.processes import ROOT

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"

SAID = {
    "lock_with_kazoo": """
        3 workers added 1, 5 times each: 15, written 15 times
        waiting for the lock: []
    """,
    "service_registration": """
        at first: []
        one came: ['10.0.0.1:9000']
        another came: ['10.0.0.1:9000', '10.0.0.2:9000']
        the first left: ['10.0.0.2:9000']
        all left: []
    """,
    "session_survives": """
        connected, with a new session
        watches /demo/config: blue
        holds the lock
        the connection breaks: SUSPENDED
        meanwhile another client sets /demo/config, and asks for the lock of ['the first']
        back again: CONNECTED, the same session: True
        is told of /demo/config: green
        its ephemeral is its own: True
        the other client does not get the lock
        ... until it is released
        stopped, and its ephemeral is gone: True
    """,
    "embedded_keeper": """
        2 keepers serve
        the other keeper says 'hello'
        and tells its watchers: True
        stopped
    """,
}


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keepers]:
    with Keepers("sqlite", tick_time=500) as made:
        yield made


def run(name: str, address: str) -> list[str]:
    """What an example prints; it must end well, and complain of nothing."""
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / f"{name}.py", address],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", sorted(SAID))
def test_example_says_what_it_promises(name: str, keeper: Keepers) -> None:
    """Twice, so that it leaves nothing behind that it would stumble over."""
    expected = [line.strip() for line in SAID[name].strip().splitlines()]
    address = "127.0.0.1:0" if name == "embedded_keeper" else keeper.hosts
    assert run(name, address) == expected
    assert run(name, address) == expected


def test_every_example_is_run() -> None:
    """A new one comes with what it says."""
    assert {each.stem for each in EXAMPLES.glob("*.py")} == SAID.keys()
