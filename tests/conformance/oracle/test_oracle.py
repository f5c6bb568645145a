"""parkeeper against ZooKeeper 3.9.3 with generated scripts: every reply byte for byte, after mapping.

A quick part runs in `make test`; `make conformance` runs at length: memory with the most scripts, then three keepers
over each store that they can share, connection by connection another one. PARKEEPER_ORACLE_SCRIPTS sets how many
scripts memory gets, PARKEEPER_ORACLE_ON_STORES how many each other store, PARKEEPER_ORACLE_SEED where they start. How
many were run, where they started, and of what they were is printed at the end (`tests/conftest.py`).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings

from tests.conformance.oracle import sides
from tests.conformance.oracle.arena import Arena, Side, Tally
from tests.conformance.oracle.generate import scripts
from tests.scripts.model import Connect, Script, Send, Step
from tests.servers import Consul, Etcd

CHUNK = 500  # scripts under one seed: hypothesis remembers every one it made
QUICK = 120
PARTS = 3  # run beside each other: most of the time is spent in waiting for sessions to expire
FULL = int(os.environ.get("PARKEEPER_ORACLE_SCRIPTS", "22500"))  # about 45 requests each
ON_STORES = int(os.environ.get("PARKEEPER_ORACLE_ON_STORES", "1000"))
START = int(os.environ.get("PARKEEPER_ORACLE_SEED", random.SystemRandom().randrange(2**31)))


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


Record = Callable[[str, object], None]
"""pytest's `record_property`."""


def compare_and_report(
    record: Record, name: str, found: Side, count: int = ON_STORES, start: int = START, version: str = "3.9"
) -> None:
    """New scripts every time; what was run is told, whatever comes of it."""
    with Arena(sides.zookeeper(version), found, older=version != "3.9") as arena:
        try:
            compare(arena, count, start)
        finally:
            record("figures", f"oracle: {name}, seed {start}: {report(arena.tally)}")


@pytest.mark.conformance
@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(PARTS))
def test_many_scripts_agree(record_property: Record, part: int) -> None:
    """Memory, the most of them."""
    compare_and_report(
        record_property, "memory", sides.keepers(), -(-FULL // PARTS), (START + part * FULL) % 2**31
    )


@pytest.mark.conformance
@pytest.mark.timeout(0)
def test_many_scripts_agree_on_sqlite(record_property: Record) -> None:
    """A keeper over SQLite."""
    compare_and_report(record_property, "sqlite", sides.keepers("sqlite"))


@pytest.mark.conformance
@pytest.mark.timeout(0)
@pytest.mark.parametrize("version", ["3.4", "3.5.16"])
def test_many_scripts_agree_on_etcd(record_property: Record, version: str) -> None:
    """Three keepers over etcd, both JSON dialects, against one ZooKeeper."""
    with Etcd(version) as store:
        compare_and_report(record_property, f"etcd {version}", sides.keepers(store.url, members=3))


@pytest.mark.conformance
@pytest.mark.timeout(0)
def test_many_scripts_agree_on_consul(record_property: Record) -> None:
    """Three keepers over Consul against one ZooKeeper."""
    with Consul() as store:
        compare_and_report(record_property, "consul", sides.keepers(store.url, members=3))


@pytest.mark.conformance
@pytest.mark.timeout(0)
def test_many_scripts_agree_with_3_8(record_property: Record) -> None:
    """ZooKeeper 3.8, but for what it does otherwise than 3.9 (`tests.scripts.older`)."""
    compare_and_report(record_property, "memory, ZooKeeper 3.8", sides.keepers(), version="3.8")
