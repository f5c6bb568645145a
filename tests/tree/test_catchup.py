"""setWatches after a reconnect: what is told, what is registered."""

from parkeeper.tree.acl import intern
from parkeeper.tree.catchup import set_watches
from parkeeper.tree.watches import WatchTable
from parkeeper.wire.records import Acl
from parkeeper.wire.requests import SetWatches
from tests.tree.grove import Grove, Listener

DATA, CHILD, ANY, PERSISTENT, RECURSIVE = 2, 1, 3, 4, 5


def catch_up(grove, seen, data=(), exist=(), child=(), persistent=(), recursive=()):
    watches, listener = WatchTable(), Listener()
    set_watches(grove.replica, watches, listener, SetWatches(seen, data, exist, child, persistent, recursive))
    return watches, listener


def test_data_when_nothing_happened():
    """A change at the very zxid the client saw is no news; the watch is registered."""
    grove = Grove()
    grove.create("/a")
    watches, listener = catch_up(grove, grove.zxid, data=("/a",))
    assert listener.told() == []
    assert watches.contains("/a", listener, DATA)


def test_data_when_it_changed():
    """Told at once, in place of being registered, with zxid -1."""
    grove = Grove()
    grove.create("/a")
    grove.set("/a", b"x")
    watches, listener = catch_up(grove, grove.zxid - 1, data=("/a",))
    assert listener.packets == [
        bytes.fromhex("0000001e ffffffff ffffffffffffffff 00000000 00000003 00000003 00000002 2f61")
    ]
    assert not watches.contains("/a", listener, ANY)


def test_data_when_the_node_is_gone():
    """NodeDeleted, whatever the zxids."""
    watches, listener = catch_up(Grove(), 1000, data=("/a",))
    assert listener.told_with_zxid() == [(-1, 2, "/a")]
    assert watches.count == 0


def test_data_when_only_children_or_the_acl_changed():
    """Neither moves mzxid."""
    grove = Grove()
    grove.create("/a")
    seen = grove.zxid
    grove.create("/a/b")
    grove.set_acl("/a", intern([Acl(31, "digest", "a:b")]))
    watches, listener = catch_up(grove, seen, data=("/a",))
    assert listener.told() == []
    assert watches.contains("/a", listener, DATA)


def test_exist_when_the_node_is_missing():
    """Registered, to be told of its creation."""
    watches, listener = catch_up(Grove(), 0, exist=("/a",))
    assert listener.told() == []
    assert watches.contains("/a", listener, DATA)


def test_exist_when_the_node_is_there():
    """NodeCreated, even if it was created before what the client saw."""
    grove = Grove()
    grove.create("/a")
    watches, listener = catch_up(grove, 1000, exist=("/a",))
    assert listener.told_with_zxid() == [(-1, 1, "/a")]
    assert watches.count == 0


def test_child_when_nothing_happened():
    """A node that never had a child has its own czxid for pzxid."""
    grove = Grove()
    grove.create("/a")
    seen = grove.zxid
    grove.set("/a", b"x")
    watches, listener = catch_up(grove, seen, child=("/a",))
    assert listener.told() == []
    assert watches.contains("/a", listener, CHILD)
    assert catch_up(grove, seen - 1, child=("/a",))[1].told() == [(4, "/a")]


def test_child_when_children_came_or_went():
    """NodeChildrenChanged by pzxid, which deletes move too."""
    grove = Grove()
    grove.create("/a")
    grove.create("/a/b")
    seen = grove.zxid
    assert catch_up(grove, seen, child=("/a",))[1].told() == []
    grove.delete("/a/b")
    watches, listener = catch_up(grove, seen, child=("/a",))
    assert listener.told_with_zxid() == [(-1, 4, "/a")]
    assert watches.count == 0


def test_child_when_the_node_is_gone():
    """NodeDeleted."""
    assert catch_up(Grove(), 0, child=("/a",))[1].told() == [(2, "/a")]


def test_persistent_when_things_happened():
    """Registered whatever happened; nothing is replayed."""
    grove = Grove()
    grove.create("/a")
    watches, listener = catch_up(grove, 0, persistent=("/a", "/gone"), recursive=("/a", "/"))
    assert listener.told() == []
    assert watches.contains("/a", listener, PERSISTENT)
    assert watches.contains("/gone", listener, PERSISTENT)
    assert watches.contains("/a", listener, RECURSIVE)
    assert watches.contains("/", listener, RECURSIVE)


def test_order_when_a_path_is_in_several_lists():
    """Data, then exist, then child; each list tells for itself."""
    grove = Grove()
    grove.create("/a")
    grove.create("/a/b")
    assert catch_up(grove, 0, child=("/a",), exist=("/a",), data=("/b", "/a"))[1].told() == [
        (2, "/b"), (3, "/a"), (1, "/a"), (4, "/a"),
    ]  # fmt: skip


def test_acl_when_read_is_not_allowed():
    """What was missed is told without asking (DataTree.setWatches)."""
    grove = Grove()
    grove.create("/a", acl=intern([Acl(31, "digest", "a:b")]))
    assert catch_up(grove, 0, data=("/a",))[1].told() == [(3, "/a")]


def test_root_when_its_alias_is_named():
    """The empty path is the root's other name: it exists, and the event repeats the name."""
    grove = Grove()
    grove.create("/a")
    assert catch_up(grove, 0, exist=("",), child=("",))[1].told() == [(1, ""), (4, "")]
