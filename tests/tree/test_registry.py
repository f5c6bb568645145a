"""The registry: what keepers write of themselves, and the revisions of it."""

from parkeeper.tree.encoding import (
    KeeperItem,
    Turn,
    encode_fence,
    encode_ids,
    encode_keeper,
    encode_turn,
)
from parkeeper.tree.registry import Registered, Registry

BEAT = KeeperItem(7, 1, 6_000, 0, 0, ("a:1",))
TICKET = Turn(7, 1, frozenset({"kids/"}))


def filled() -> Registry:
    """Keepers 3 and 12, the latter with a ticket."""
    registry = Registry()
    registry.commit(3, {"keeper/3": encode_keeper(BEAT), "fence/3": b"f", "ids": encode_ids(3)}, (), 5)
    registry.commit(12, {"keeper/12": encode_keeper(BEAT), "fence/12": b"f", "ids": encode_ids(12)}, (), 6)
    registry.item("turn/12", encode_turn(TICKET), 7)
    return registry


def test_commit_of_registrations():
    """Each leaves keeper, fence, head and the last id."""
    registry = filled()
    assert registry.keepers == {3: Registered(BEAT, 5), 12: Registered(BEAT, 6)}
    assert registry.fences == {3: 5, 12: 6}
    assert registry.heads == {3: 5, 12: 6}
    assert registry.ids == (12, 6)
    assert registry.turns == {12: (TICKET, 7)}
    assert registry.eldest == 3


def test_item_of_a_beat():
    """The newer one, at its revision; no head moves."""
    registry = filled()
    newer = BEAT._replace(beats=2)
    registry.item("keeper/3", encode_keeper(newer), 9)
    assert registry.keepers[3] == Registered(newer, 9)
    assert registry.heads[3] == 5


def test_commit_of_writes_that_are_not_of_keepers():
    """Only the head moves."""
    registry = filled()
    registry.commit(
        3, {"node/keeper/1": b"", "data/fence/3": b"", "session/1": b"", "kids/": b""}, ["node/keeper/3"], 9
    )
    assert registry.heads == {3: 9, 12: 6}
    assert registry.keepers.keys() == {3, 12}
    assert registry.fences == {3: 5, 12: 6}


def test_commit_of_a_fence():
    """What a keeper guards from then on."""
    registry = filled()
    registry.commit(12, {"fence/3": encode_fence(12, 7, 1, 1)}, (), 9)
    assert registry.fences == {3: 9, 12: 6}


def test_commit_of_a_death_and_of_forgetting():
    """A dead keeper leaves its head until it is forgotten."""
    registry = filled()
    registry.commit(3, {"fence/12": b"dead"}, ["keeper/12", "turn/12"], 9)
    assert registry.keepers.keys() == {3}
    assert registry.turns == {}
    assert registry.heads == {3: 9, 12: 6}
    assert registry.newest == 3
    registry.commit(3, {}, ["head/12", "fence/12", "turn/12"], 10)
    assert registry.heads == {3: 10}
    assert registry.fences == {3: 5}


def test_newest_when_the_heads_were_loaded():
    """Not told commit by commit; nobody is the newest of none."""
    registry = Registry()
    assert registry.newest == 0
    registry.heads.update({3: 9, 12: 16, 5: 10})
    assert registry.newest == 12


def test_item_when_gone():
    """Gone twice is no error."""
    registry = filled()
    for _ in range(2):
        for name in ("keeper/3", "fence/3", "turn/12"):
            registry.item(name, None, 9)
    assert (registry.keepers.keys(), registry.fences, registry.turns) == ({12}, {12: 6}, {})
    registry.item("keeper/12", None, 9)
    assert registry.eldest == 0


def test_item_of_something_else():
    """Ignored."""
    registry = Registry()
    for name in ("meta", "node/keeper/1", "feed/1/2", "session/1"):
        registry.item(name, b"?", 9)
    assert (registry.keepers, registry.heads, registry.fences, registry.turns, registry.ids) == (
        {},
        {},
        {},
        {},
        (0, 0),
    )
