"""Which TTL nodes and containers may go."""

from hypothesis import given, settings
from hypothesis import strategies as st

from parkeeper.tree.node import CONTAINER, ttl_owner
from tests.tree.grove import Grove

UNUSED = 300_000


def candidates(grove, now, unused=UNUSED):
    return grove.replica.reaping.candidates(now, grove.replica.kids, unused)


def test_ttl_when_its_time_is_up():
    """Longer than the TTL since mtime, not as long; and again until it is deleted."""
    grove = Grove()
    grove.create("/t", owner=ttl_owner(500), at=1000)
    assert candidates(grove, 1500) == []
    assert candidates(grove, 1501) == ["/t"]
    assert candidates(grove, 1501) == ["/t"]
    grove.delete("/t")
    assert candidates(grove, 9999) == []


def test_ttl_when_data_is_set():
    """mtime counts; so the ACL does not."""
    grove = Grove()
    grove.create("/t", owner=ttl_owner(500), at=1000)
    grove.set("/t", b"x", at=1400)
    grove.set_acl("/t", grove.replica.nodes["/t"].acl)
    assert candidates(grove, 1501) == []
    assert candidates(grove, 1900) == []
    assert candidates(grove, 1901) == ["/t"]


def test_ttl_when_the_clock_of_the_next_writer_is_behind():
    """An mtime that goes back counts as well: it is not kept until a time that nobody stands for any more."""
    grove = Grove()
    grove.create("/t", owner=ttl_owner(500), at=1_000_000)
    grove.set("/t", b"x", at=1000)
    assert candidates(grove, 1501) == ["/t"]


def test_ttl_when_it_has_children():
    """Kept while there are any, of whatever kind; children coming and going don't refresh it."""
    grove = Grove()
    grove.create("/t", owner=ttl_owner(500), at=1000)
    grove.create("/t/c", owner=0x1_0000_0001)
    assert candidates(grove, 5000) == []
    grove.delete("/t/c")
    assert candidates(grove, 5000) == ["/t"]


def test_ttl_when_it_is_deleted_and_made_again():
    """The new one has a time of its own."""
    grove = Grove()
    grove.create("/t", owner=ttl_owner(500), at=1000)
    grove.delete("/t")
    grove.create("/t", owner=ttl_owner(500), at=3000)
    assert candidates(grove, 3400) == []
    assert candidates(grove, 3501) == ["/t"]


def test_ttl_when_many_are_made_and_deleted():
    """What is long gone is not remembered for as long as its TTL was."""
    grove = Grove()
    for _ in range(5000):
        grove.create("/t", owner=ttl_owner(1 << 39), at=1000)
        grove.delete("/t")
    assert len(grove.replica.reaping._heap) < 2000


def test_container_when_its_last_child_goes():
    """Not before it had one; then at once, and again until it is deleted."""
    grove = Grove()
    grove.create("/c", owner=CONTAINER, at=1000)
    assert candidates(grove, 2000) == []
    grove.create("/c/a")
    grove.create("/c/b")
    grove.delete("/c/a")
    assert candidates(grove, 10**9) == []
    grove.delete("/c/b")
    assert candidates(grove, 2000) == ["/c"]
    assert candidates(grove, 2000) == ["/c"]
    grove.create("/c/c")
    assert candidates(grove, 2000) == []
    grove.delete("/c/c")
    grove.delete("/c")
    assert candidates(grove, 2000) == []


def test_container_when_it_was_never_used():
    """Kept for the time given since its mtime; 0 is for ever."""
    grove = Grove()
    grove.create("/c", owner=CONTAINER, at=1000)
    assert candidates(grove, 1000 + UNUSED) == []
    assert candidates(grove, 1001 + UNUSED) == ["/c"]
    assert candidates(grove, 10**12, unused=0) == []
    grove.set("/c", b"x", at=2000)
    assert candidates(grove, 1001 + UNUSED) == []
    assert candidates(grove, 2001 + UNUSED) == ["/c"]


def test_container_when_the_child_is_a_container():
    """Emptied from below, one after the other."""
    grove = Grove()
    grove.create("/c", owner=CONTAINER, at=1000)
    grove.create("/c/d", owner=CONTAINER, at=1000)
    grove.create("/c/d/x")
    assert candidates(grove, 2000) == []
    grove.delete("/c/d/x")
    assert candidates(grove, 2000) == ["/c/d"]
    grove.delete("/c/d")
    assert candidates(grove, 2000) == ["/c"]


def test_other_nodes_are_never_candidates():
    """Persistent and ephemeral nodes, empty or not."""
    grove = Grove()
    grove.create("/p", at=0)
    grove.create("/p/c", at=0)
    grove.delete("/p/c")
    grove.create("/e", owner=5, at=0)
    assert candidates(grove, 10**12) == []


def test_counts():
    """Both kinds, while they are there."""
    grove = Grove()
    grove.create("/c", owner=CONTAINER)
    grove.create("/t", owner=ttl_owner(1))
    grove.create("/u", owner=ttl_owner(1))
    grove.delete("/u")
    reaping = grove.replica.reaping
    assert (reaping.ttl_count, reaping.container_count) == (1, 1)


PATHS = ["/a", "/b", "/a/x", "/b/x"]
STEPS = st.lists(
    st.tuples(st.sampled_from("cdsl"), st.sampled_from(PATHS), st.integers(0, 4), st.integers(0, 200)),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_candidates_when_compared_with_a_look_at_every_node(steps):
    """After any steps, at any moment: exactly what ContainerManager's walk over all of them finds."""
    grove = Grove()
    nodes, kids = grove.replica.nodes, grove.replica.kids
    for step, path, kind, time in steps:
        if step == "c" and path not in nodes and path[: path.rfind("/")] in ("", *nodes):
            grove.create(path, owner=[0, CONTAINER, ttl_owner(50), ttl_owner(5), 7][kind], at=time)
        elif step == "d" and path in nodes and (path not in kids or kids[path].count == 0):
            grove.delete(path)
        elif step == "s" and path in nodes:
            grove.set(path, b"", at=time)
        elif step == "l":
            expected = set()
            for each, node in nodes.items():
                below = kids.get(each)
                if below is not None and below.count:
                    continue
                if node.owner == CONTAINER and (below is not None or time - node.mtime > 100):
                    expected.add(each)
                if node.owner in (ttl_owner(50), ttl_owner(5)):
                    ttl = 50 if node.owner == ttl_owner(50) else 5
                    if time - node.mtime > ttl:
                        expected.add(each)
            found = candidates(grove, time, unused=100)
            assert len(found) == len(set(found))
            assert set(found) == expected
