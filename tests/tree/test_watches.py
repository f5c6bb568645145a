"""Registering, firing, filtering, removing and counting watches."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parkeeper.tree.acl import OPEN, intern
from parkeeper.tree.schemes import SUPER, Identities
from parkeeper.tree.watches import PERSISTENT, RECURSIVE, Summary, WatchTable
from parkeeper.wire.records import Acl, Id
from tests.tree.grove import Listener

CHILDREN, DATA, ANY, OF_PERSISTENT, OF_RECURSIVE = 1, 2, 3, 4, 5
BOB = Id("digest", "bob:x")
BOBS = intern([Acl(1, "digest", "bob:x")])


def test_changed_when_many_watch():
    """Everybody gets the very same bytes: the event is encoded once, with the zxid of the write."""
    table = WatchTable()
    crowd = [Listener() for _ in range(3)]
    for each in crowd:
        table.watch_data("/a", each)
    table.changed("/a", OPEN, 0x123)
    assert crowd[0].packets == [
        bytes.fromhex("0000001e ffffffff 0000000000000123 00000000 00000003 00000003 00000002 2f61")
    ]
    assert all(each.packets[0] is crowd[0].packets[0] for each in crowd)


def test_changed_when_watches_were_of_another_path():
    """No prefix, no neighbour."""
    table, listener = WatchTable(), Listener()
    for path in ("/ab", "/a/b", "/", ""):
        table.watch_data(path, listener)
    table.changed("/a", OPEN, 1)
    assert listener.told() == []


def test_watch_data_when_a_persistent_one_is_there():
    """A one-shot watch beside it is used up alone."""
    table, listener = WatchTable(), Listener()
    table.watch("/a", listener, PERSISTENT)
    table.watch_data("/a", listener)
    table.changed("/a", OPEN, 1)
    assert listener.told() == [(3, "/a")]
    assert table.contains("/a", listener, OF_PERSISTENT)
    assert not table.contains("/a", listener, DATA)


def test_deleted_when_a_persistent_watch_outlives_the_node():
    """It tells of the next creation too."""
    table, listener = WatchTable(), Listener()
    table.watch("/a", listener, PERSISTENT)
    table.deleted("/a", OPEN, "/", OPEN, 1)
    table.created("/a", OPEN, "/", OPEN, 2)
    assert listener.told_with_zxid() == [(1, 2, "/a"), (2, 1, "/a")]


def test_deleted_when_the_parent_is_watched_for_its_own_end():
    """A child watch is used up by whatever comes first."""
    table, listener = WatchTable(), Listener()
    table.watch_child("/a", listener)
    table.created("/a/b", OPEN, "/a", OPEN, 1)
    table.deleted("/a", OPEN, "/", OPEN, 2)
    assert listener.told() == [(4, "/a")]


def test_fire_when_read_is_not_allowed():
    """The event is dropped silently, and the one-shot watch is used up all the same."""
    table, stranger, bob, root = (
        WatchTable(),
        Listener(),
        Listener(Identities([BOB])),
        Listener(Identities([SUPER])),
    )
    for each in (stranger, bob, root):
        table.watch_data("/a", each)
    table.changed("/a", BOBS, 1)
    assert (stranger.told(), bob.told(), root.told()) == ([], [(3, "/a")], [(3, "/a")])
    table.changed("/a", OPEN, 2)
    assert stranger.told() == []


def test_fire_when_identities_came_later():
    """What counts is who the connection is now, not when it registered."""
    table, listener = WatchTable(), Listener()
    table.watch_data("/a", listener)
    listener.identities = listener.identities.plus(BOB)
    table.changed("/a", BOBS, 1)
    assert listener.told() == [(3, "/a")]


def test_created_when_only_the_parent_may_be_read():
    """Each event is filtered by the ACL of its own node."""
    table, listener = WatchTable(), Listener()
    table.watch("/a/b", listener, PERSISTENT)
    table.watch("/a", listener, PERSISTENT)
    table.created("/a/b", BOBS, "/a", OPEN, 1)
    assert listener.told() == [(4, "/a")]
    table.deleted("/a/b", OPEN, "/a", BOBS, 1)
    assert listener.told() == [(2, "/a/b")]


# Types of checkWatches and removeWatches against the four ways of watching (reference 5.5).
MATCHES = {
    "data": {DATA, ANY},
    "child": {CHILDREN, ANY},
    "persistent": {OF_PERSISTENT, ANY},
    "recursive": {OF_RECURSIVE, ANY},
}


def register(table, how, path, listener):
    if how == "data":
        table.watch_data(path, listener)
    elif how == "child":
        table.watch_child(path, listener)
    else:
        table.watch(path, listener, PERSISTENT if how == "persistent" else RECURSIVE)


@pytest.mark.parametrize("type", [CHILDREN, DATA, ANY, OF_PERSISTENT, OF_RECURSIVE])
@pytest.mark.parametrize("how", MATCHES)
def test_contains_and_remove(how, type):
    """Exactly the matching types find it, of this connection and path; after removal it is silent."""
    table, listener, other = WatchTable(), Listener(), Listener()
    register(table, how, "/a", listener)
    expected = type in MATCHES[how]
    assert table.contains("/a", listener, type) is expected
    assert not table.contains("/a", other, type)
    assert not table.contains("/b", listener, type)
    assert table.remove("/a", other, type) is False
    assert table.remove("/a", listener, type) is expected
    assert table.remove("/a", listener, type) is False
    table.deleted("/a", OPEN, "/", OPEN, 1)
    assert listener.told() == ([] if expected else [(2, "/a")])


def test_remove_when_type_is_any():
    """All of one connection go, those of others stay."""
    table, listener, other = WatchTable(), Listener(), Listener()
    for how in MATCHES:
        register(table, how, "/a", listener)
        register(table, how, "/a", other)
    assert table.remove("/a", listener, ANY)
    table.deleted("/a", OPEN, "/", OPEN, 1)
    assert listener.told() == []
    assert other.told() == [(2, "/a")]


def test_drop_when_a_connection_ends():
    """Nothing is left of it, and nobody else is touched."""
    table, listener, other = WatchTable(), Listener(), Listener()
    for how in MATCHES:
        for path in ("/a", "/b"):
            register(table, how, path, listener)
    table.watch_data("/a", other)
    table.drop(listener)
    assert table.count == 1
    assert table.summary() == Summary(1, 1, 1)
    table.deleted("/a", OPEN, "/", OPEN, 1)
    assert listener.told() == []
    assert other.told() == [(2, "/a")]
    table.drop(listener)
    assert table.count == 0


def test_fire_when_a_watcher_drops_itself():
    """A peer that is cut off because of this very event is no harm to the others."""
    table, last = WatchTable(), Listener()

    class Fragile(Listener):
        def notify(self, packet):
            super().notify(packet)
            table.drop(self)

    fragile = Fragile()
    for each in (fragile, last):
        table.watch("/a", each, PERSISTENT)
        table.watch("/", each, RECURSIVE)
    table.changed("/a", OPEN, 1)
    table.changed("/a", OPEN, 2)
    assert len(fragile.packets) == 1
    assert last.told_with_zxid() == [(1, 3, "/a"), (2, 3, "/a")]


def test_counts_when_all_kinds_are_there():
    """wch* leave child watches out; mntr counts both of ZooKeeper's tables, where a persistent watch stands twice."""
    table, one, two = WatchTable(), Listener(session=1), Listener(session=2)
    table.watch_data("/a", one)
    table.watch_data("/a", one)
    table.watch_child("/c", one)
    table.watch("/a", two, PERSISTENT)
    table.watch("/b", two, RECURSIVE)
    assert table.count == 5
    assert table.summary() == Summary(connections=2, paths=2, watches=3)
    assert sorted(table.by_path()["/a"]) == [1, 2]
    assert table.by_path()["/b"] == [2]
    assert "/c" not in table.by_path()
    assert {session: sorted(paths) for session, paths in table.by_session()} == {1: ["/a"], 2: ["/a", "/b"]}


def test_summary_when_one_connection_watches_in_several_ways():
    """A pair of connection and path is one watch for wchs."""
    table, one = WatchTable(), Listener()
    table.watch_data("/a", one)
    table.watch("/a", one, PERSISTENT)
    table.watch("/a", one, RECURSIVE)
    assert table.summary() == Summary(1, 1, 1)


PATHS = ["/", "/a", "/a/b", "/a/b/c", "/ab"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["data", "child", "persistent", "recursive", "remove", "drop", "create", "set", "delete"]
        ),
        st.sampled_from(PATHS),
        st.integers(0, 2),
        st.integers(1, 5),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_table_when_compared_with_a_list_of_watches(steps):
    """Any sequence tells and counts what a plain list of (how, path, who), searched from end to end, does."""
    table, crowd = WatchTable(), [Listener(session=i) for i in range(3)]
    model: set[tuple[str, str, int]] = set()

    def lie_in(path, top):
        return path == top or path.startswith("/" if top == "/" else top + "/")

    def expect(path, how_shot, type, recursive):
        told = {
            who
            for how, where, who in model
            if (where == path and (how in how_shot or how == "persistent"))
            or (recursive and how == "recursive" and lie_in(path, where))
        }
        model.difference_update({each for each in model if each[1] == path and each[0] in how_shot})
        return {(who, type, path) for who in told}

    for step, path, who, type in steps:
        listener = crowd[who]
        expected: set[tuple[int, int, str]] = set()
        parent = path[: path.rfind("/")] or "/"
        if step in MATCHES:
            register(table, step, path, listener)
            model.add((step, path, who))
        elif step == "remove":
            gone = {each for each in model if each[1:] == (path, who) and type in MATCHES[each[0]]}
            assert table.remove(path, listener, type) is bool(gone)
            model -= gone
        elif step == "drop":
            table.drop(listener)
            model = {each for each in model if each[2] != who}
        elif step == "set":
            table.changed(path, OPEN, 1)
            expected = expect(path, {"data"}, 3, True)
        elif step == "create":
            table.created(path, OPEN, parent, OPEN, 1)
            expected = expect(path, {"data"}, 1, True) | expect(parent, {"child"}, 4, False)
        else:
            table.deleted(path, OPEN, parent, OPEN, 1)
            expected = expect(path, {"data", "child"}, 2, True) | expect(parent, {"child"}, 4, False)
        told = [(i, type, where) for i, each in enumerate(crowd) for type, where in each.told()]
        assert len(told) == len(set(told))
        assert set(told) == expected
        assert table.count == sum(2 if how == "persistent" else 1 for how, _, _ in model)
        assert table.summary().watches == len({each[1:] for each in model if each[0] != "child"})
