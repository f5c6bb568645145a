"""Answers: bodies once their changes are applied."""

import pytest

from parkeeper.tree.acl import OPEN
from parkeeper.tree.answers import (
    EMPTY,
    FAILED_MULTI,
    MULTI,
    NOTHING,
    PATH,
    PATH_AND_STAT,
    STAT,
    Answer,
    encode,
)
from parkeeper.tree.changes import After
from parkeeper.tree.node import Kids, Znode

END = "ffffffff 01 ffffffff"
STAT_HEX = (
    "0000000000000001 0000000000000002 0000000000000003 0000000000000004 00000005 00000003 00000006"
    "0000000000000000 00000002 00000001 0000000000000009"
)


def applied() -> After:
    after = After()
    after.node, after.kids = Znode(1, 2, 3, 4, 5, 6, 0, OPEN, b"xx", 1, 1), Kids(2, 1, 9, 1)
    return after


BODIES = [
    (NOTHING, ""),
    (Answer(PATH, "/é", After()), "00000003 2fc3a9"),
    (Answer(STAT, after=applied()), STAT_HEX),
    (Answer(PATH_AND_STAT, "/a", applied()), "00000002 2f61" + STAT_HEX),
    (Answer(MULTI), END),
    (
        Answer(
            MULTI,
            results=((1, Answer(PATH, "/a")), (19, Answer(PATH_AND_STAT, "/a", applied())), (2, NOTHING)),
        ),
        "00000001 00 00000000 00000002 2f61 0000000f 00 00000000 00000002 2f61"
        + STAT_HEX
        + "00000002 00 00000000"
        + END,
    ),
    (
        Answer(FAILED_MULTI, codes=(0, -101, -2)),
        "ffffffff 00 00000000 00000000 ffffffff 00 ffffff9b ffffff9b ffffffff 00 fffffffe fffffffe" + END,
    ),
    (Answer(EMPTY, code=-112), ""),
]


@pytest.mark.parametrize(("answer", "hex"), BODIES)
def test_encode(answer, hex):
    """Byte by byte."""
    assert encode(answer) == bytes.fromhex(hex)


@pytest.mark.parametrize("kind", [STAT, PATH_AND_STAT])
@pytest.mark.parametrize("after", [None, After()])
def test_encode_before_its_change_was_applied(kind, after):
    """There is no Stat yet: a fault of ours."""
    with pytest.raises(AssertionError, match="before its change was applied"):
        encode(Answer(kind, "/a", after))
