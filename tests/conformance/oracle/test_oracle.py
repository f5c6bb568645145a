"""parkeeper against ZooKeeper 3.9.3 with generated scripts: every reply byte for byte, after mapping.

A quick part runs in `make test`; `make conformance` runs at length. PARKEEPER_ORACLE_SCRIPTS sets how many scripts
that is, PARKEEPER_ORACLE_SEED where they start (printed with the result).
"""

from __future__ import annotations

import os
import random
import sys

import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings

from tests.conformance.oracle import sides
from tests.conformance.oracle.arena import Arena, Tally
from tests.conformance.oracle.generate import scripts
from tests.scripts.model import Connect, Script, Send, Step

CHUNK = 500  # scripts under one seed: hypothesis remembers every one it made
QUICK = 120
FULL = 20_000


def words(step: Step) -> str:
    """A step as a person reads it."""
    if isinstance(step, Connect | Send):
        said = "; ".join(request.note for request in step.requests)
        return f"{step.__class__.__name__} {step.conn}: {said or step}"
    return str(step)


def compare(arena: Arena, count: int, start: int) -> None:
    """Run so many generated scripts; a divergence is shrunk and shown."""
    for number in range(0, count, CHUNK):

        @seed(start + number)
        @settings(
            max_examples=min(CHUNK, count - number),
            database=None,
            deadline=None,
            print_blob=False,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(scripts())
        def agree(script: Script) -> None:
            lines = arena.differences(script)
            if lines:
                note("\n".join(f"{i}. {words(step)}" for i, step in enumerate(script.steps)))
                raise AssertionError("\n".join(lines[:20]))

        agree()


def report(tally: Tally) -> str:
    operations = ", ".join(f"{op}: {count}" for op, count in sorted(tally.operations.items()))
    codes = ", ".join(f"{code}: {count}" for code, count in sorted(tally.codes.items(), reverse=True))
    return (
        f"{tally.scripts} scripts, {tally.steps} steps, {tally.requests} requests; {tally.again} differences did not "
        f"show again\nby opcode: {operations}\nby code: {codes}"
    )


@pytest.mark.slow
@pytest.mark.timeout(170)
def test_a_few_scripts_agree() -> None:
    """The same scripts every time: what a change breaks is found where it was made."""
    with Arena(sides.zookeeper(), sides.keepers()) as arena:
        compare(arena, QUICK, start=0)


@pytest.mark.conformance
@pytest.mark.timeout(0)
def test_many_scripts_agree(capsys: pytest.CaptureFixture[str]) -> None:
    """New scripts every time."""
    count = int(os.environ.get("PARKEEPER_ORACLE_SCRIPTS", FULL))
    start = int(os.environ.get("PARKEEPER_ORACLE_SEED", random.SystemRandom().randrange(2**31)))
    with Arena(sides.zookeeper(), sides.keepers()) as arena:
        try:
            compare(arena, count, start)
        finally:
            with capsys.disabled():
                sys.stdout.write(f"\noracle, seed {start}: {report(arena.tally)}\n")
