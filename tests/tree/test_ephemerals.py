"""The index of ephemerals."""

from parkeeper.tree.node import CONTAINER, ttl_owner
from tests.tree.grove import Grove

MINE, YOURS = 0x1_0000_0001, 0x2_0000_0001


def test_of_when_sessions_own_some():
    """Each session's own, in order of creation; nobody else's."""
    grove = Grove()
    grove.create("/z", owner=MINE)
    grove.create("/a", owner=MINE)
    grove.create("/m", owner=YOURS)
    ephemerals = grove.replica.ephemerals
    assert ephemerals.of(MINE) == ["/z", "/a"]
    assert ephemerals.of(YOURS) == ["/m"]
    assert ephemerals.of(3) == []
    assert set(ephemerals.sessions()) == {MINE, YOURS}
    assert ephemerals.count == 3


def test_of_when_they_are_deleted():
    """A session without any is no longer listed."""
    grove = Grove()
    grove.create("/a", owner=MINE)
    grove.create("/b", owner=MINE)
    grove.set("/a", b"x")
    grove.delete("/a")
    assert grove.replica.ephemerals.of(MINE) == ["/b"]
    grove.delete("/b")
    assert list(grove.replica.ephemerals.sessions()) == []
    assert grove.replica.ephemerals.count == 0


def test_count_when_nodes_are_of_other_kinds():
    """Persistent nodes, containers and TTL nodes have an owner field too, but no session."""
    grove = Grove()
    grove.create("/p")
    grove.create("/c", owner=CONTAINER)
    grove.create("/t", owner=ttl_owner(5))
    assert grove.replica.ephemerals.count == 0
    grove.delete("/c")
    assert list(grove.replica.ephemerals.sessions()) == []
