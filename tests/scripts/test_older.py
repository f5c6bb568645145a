"""Each difference between 3.8.0 and 3.9.3 is one: the two answer otherwise, and alike when it is left out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.conformance.oracle import sides
from tests.conformance.oracle.arena import play
from tests.scripts import ask
from tests.scripts.model import Connect, Request, Script, Send
from tests.scripts.normal import differences
from tests.scripts.older import DIFFERENCES, EXISTS, ONE_MODE, for_3_8
from tests.scripts.run import Address

BLIND = ((4, "world", "anyone"),)

MEETING: dict[str, tuple[Request, ...]] = {
    DIFFERENCES[0].words: (ask.check("/"),),
    DIFFERENCES[1].words: (ask.multi(ask.create2("/a")),),
    DIFFERENCES[2].words: (ask.multi(ask.create("/a", flags=7)),),
    DIFFERENCES[3].words: (ask.get("/", True), ask.check_watches("/", 4)),
    EXISTS.words: (ask.create("/a", acl=BLIND), ask.exists("/a")),
    ONE_MODE: (ask.add_watch("/", 1), ask.get("/", True), ask.create("/a"), ask.create("/a/b")),
}


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[list[Address], list[Address]]]:
    """3.9.3 and 3.8.0."""
    with ExitStack() as stack:
        found = [
            (side, stack.enter_context(side.start())) for side in (sides.zookeeper(), sides.zookeeper("3.8"))
        ]
        newer, older = (side.addresses(cluster) for side, cluster in found)
        yield newer, older


def differ(script: Script, two: tuple[list[Address], list[Address]]) -> list[str]:
    newer, older = (play(script, True, addresses) for addresses in two)
    return differences(newer[0], older[0])


@pytest.mark.slow
@pytest.mark.parametrize("words", MEETING)
def test_a_difference_is_one_and_is_left_out(two: tuple[list[Address], list[Address]], words: str) -> None:
    """The table has no entry for nothing."""
    script = Script("met", words, (Connect(0), Send(0, MEETING[words])))
    assert differ(script, two)
    assert not differ(for_3_8(script), two)


def test_every_difference_is_met() -> None:
    """None is left out of the test above."""
    assert {*MEETING} == {*(one.words for one in DIFFERENCES), EXISTS.words, ONE_MODE}


def test_steps_keep_their_numbers() -> None:
    """A `since` names a step by its number."""
    script = Script("kept", "", (Connect(0), Send(0, (ask.check("/"),), ends=True), Send(0, (ask.who(),))))
    assert for_3_8(script).steps == (Connect(0), Send(0, ()), Send(0, (ask.who(),)))
