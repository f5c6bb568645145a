"""What ZooKeeper 3.9.3 answered to each recorded script, parkeeper answers too, byte for byte.

The recordings (`tests/recorded/*.json`, made by `tests/tools/record.py`) hold script and answers; what differs by
nature (zxids, session ids, times) is mapped on both sides by `tests.scripts.normal`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.keepers import Keepers
from tests.scripts.library.catalogue import SCRIPTS
from tests.scripts.normal import differences, normalise
from tests.scripts.recording import from_json
from tests.scripts.run import Runner

RECORDED = sorted((Path(__file__).resolve().parents[1] / "recorded").glob("*.json"))


@pytest.fixture
def keeper() -> Iterator[Keepers]:
    """A keeper with an empty tree and the tick of the recordings."""
    with Keepers(tick_time=200) as keeper:
        yield keeper


@pytest.mark.slow
@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.stem)
def test_answers_are_zookeepers(recorded: Path, keeper: Keepers) -> None:
    """Every frame of a recorded script comes back with the same bytes, but for what differs by nature."""
    script, transcript = from_json(json.loads(recorded.read_text()))
    found = Runner([keeper.address]).run(script)
    wrong = differences(normalise(script, transcript), normalise(script, found))
    assert not wrong, "\n".join([f"{len(wrong)} differences:", *wrong[:40]])


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.stem)
def test_recordings_are_of_the_scripts_we_have(recorded: Path) -> None:
    """A script that was changed must be recorded again."""
    assert from_json(json.loads(recorded.read_text()))[0] == SCRIPTS[recorded.stem]


def test_every_script_is_recorded() -> None:
    """No script stands in the library that ZooKeeper was never asked."""
    assert {path.stem for path in RECORDED} == set(SCRIPTS)
