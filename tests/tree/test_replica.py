"""The replica: applying, following and loading one by one; `tests.tree.agreement` has them together."""

import logging

import pytest

from parkeeper.errors import Incompatible
from parkeeper.tree import encoding
from parkeeper.tree.acl import OPEN, READ_ONLY, intern
from parkeeper.tree.changes import CREATE, DELETE, SET_ACL, SET_DATA, After, Change
from parkeeper.tree.node import UNWRITTEN, Kids, Znode
from parkeeper.tree.replica import LOAD_STEP, Replica
from parkeeper.wire.multi import Multi
from parkeeper.wire.requests import Create, Delete, SetAcl, SetData
from tests.tree.ledger import Asked, Keeper, Ledger, picture
from tests.tree.planning import Bench

OPEN_ENTRIES = OPEN.entries


@pytest.fixture
def bench() -> Bench:
    """/p with x, of one byte."""
    bench = Bench()
    bench.plant("/p", "/p/x", data=b"x")
    return bench


# Applying.


def test_apply_settles_and_fills_in_the_stat(bench):
    """The change's zxids become real; the Stat is that of the znode and its children right then."""
    replica = bench.replica
    before = replica.nodes["/p"]
    after = After()
    replica.apply(Change(SET_DATA, "/p", before.with_data(b"123", -3, 77), after=after), 50)
    node = replica.nodes["/p"]
    assert (node.mzxid, node.stat_rev, node.node_rev) == (50 * 4096 + 2, 50, before.node_rev)
    assert after.node is node
    assert after.kids is replica.kids["/p"]


def test_apply_of_a_set_acl_takes_the_acl_alone(bench):
    """Another keeper set the data after it was planned: that stays, and shows in the Stat."""
    replica = bench.replica
    planned, after = replica.nodes["/p/x"].with_acl(READ_ONLY), After()
    replica.apply(Change(SET_DATA, "/p/x", replica.nodes["/p/x"].with_data(b"theirs", -1, 5)), 50)
    replica.apply(Change(SET_ACL, "/p/x", planned, after=after), 51)
    node = replica.nodes["/p/x"]
    assert (node.data, node.version, node.stat_rev) == (b"theirs", 1, 50)
    assert (node.acl, node.aversion, node.node_rev) == (READ_ONLY, 1, 51)
    assert after.node is node


def test_apply_drops_a_kept_reply(bench):
    """When its own data or ACL, or what its children moved, changes."""
    nodes = bench.replica.nodes

    def kept(path: str, op: int, record: object) -> bool:
        nodes[path].reply = b"kept"
        bench.ask(op, record)
        return nodes[path].reply is not None

    assert not kept("/p", 1, Create("/p/n", b"", OPEN_ENTRIES, 0))
    assert not kept("/p", 2, Delete("/p/n", -1))
    assert not kept("/p", 5, SetData("/p", b"", -1))
    assert not kept("/p", 7, SetAcl("/p", OPEN_ENTRIES, -1))
    assert kept("/p", 1, Create("/p/x/n", b"", OPEN_ENTRIES, 0))
    assert kept("/p", 5, SetData("/p/x", b"", -1))


def test_apply_counts_bytes(bench):
    """Paths and data, up and down."""
    replica = bench.replica
    size = replica.data_size
    assert size == sum(len(path) + len(node.data or b"") for path, node in replica.nodes.items())
    bench.plant("/p/n", data=b"12345")
    assert replica.data_size == size + 9
    bench.ask(5, SetData("/p/n", None, -1))
    assert replica.data_size == size + 4
    bench.ask(2, Delete("/p/n", -1))
    assert replica.data_size == size


def test_reached_stands_at_the_last_zxid(bench):
    """Between commits a reply carries the highest zxid of the last one."""
    bench.replica.reached(70)
    assert (bench.replica.revision, bench.replica.zxid) == (70, 70 * 4096 + 4095)


# Following.


def test_writes_are_the_commits_changes_one_by_one(bench):
    """In order, with their positions."""
    follower = Keeper(bench.ledger, 2)
    create = Create("/p/n", b"", OPEN_ENTRIES, 0)
    bench.together(
        Asked(1, create), Asked(14, Multi(((5, SetData("/p/n", b"1", 0)), (2, Delete("/p/x", -1)))))
    )
    entry = bench.ledger.log[-1]
    seen = []
    for write in follower.replica.writes(entry.journal, entry.puts, entry.revision):
        (change,) = write.changes
        seen.append((write.position, change.kind, change.path))
        follower.replica.apply(change, entry.revision)
    assert seen == [(0, CREATE, "/p/n"), (1, SET_DATA, "/p/n"), (1, DELETE, "/p/x")]


def entry(position: int, kind: int, path: str) -> bytes:
    return position.to_bytes(2) + bytes([kind]) + len(path).to_bytes(4) + path.encode()


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (CREATE, "/p/x"),  # it is there
        (CREATE, "/no/x"),  # its parent is not
        (DELETE, "/p/no"),
        (SET_DATA, "/p/no"),
        (SET_ACL, "/p/no"),
        (DELETE, "/no/x"),
    ],
)
def test_writes_that_this_replica_cannot_have(bench, kind, path):
    """The replica is not what the store's order made: loudly, not by some KeyError."""
    with pytest.raises(Incompatible, match=f"change {kind} of '{path}' at revision 99"):
        list(bench.replica.writes(b"\x01" + entry(0, kind, path), {}, 99))


def test_writes_when_an_item_has_another_format(bench):
    """Incompatible."""
    for kind, name in ((SET_DATA, "stat/p/x"), (SET_ACL, "node/p/x"), (DELETE, "kids/p")):
        with pytest.raises(Incompatible, match="format 9"):
            list(bench.replica.writes(b"\x01" + entry(0, kind, "/p/x"), {name: b"\x09" + bytes(60)}, 99))


def test_events_find_the_acl_that_was_there(bench):
    """A znode that was restricted and deleted again in one commit: followers filter its events by each ACL."""
    follower = Keeper(bench.ledger, 2)
    closed = ((bench.replica.nodes["/p"].acl.entries[0]._replace(perms=16)),)
    bench.together(
        Asked(1, Create("/p/n", b"", closed, 0)),
        Asked(7, SetAcl("/p/n", OPEN_ENTRIES, -1)),
        Asked(2, Delete("/p/n", -1)),
    )
    last = bench.ledger.log[-1]
    acls = []
    for write in follower.replica.writes(last.journal, last.puts, last.revision):
        acls.append(
            follower.replica.nodes["/p/n"].acl
            if write.changes[0].kind == DELETE
            else write.changes[0].node.acl
        )
        follower.replica.apply(write.changes[0], last.revision)
    assert acls == [intern(closed), OPEN, OPEN]


# Strangers.


def test_stranger_when_it_writes_a_key(bench):
    """Its bytes are served, dataLength follows, no version or zxid moves; only the first time is news."""
    before = bench.stat("/p/x")
    size = bench.replica.data_size
    bench.ledger.stranger("/p/x", b"strange")
    assert bench.replica.stranger("/p/x", b"strange", bench.ledger.revision)
    assert bench.replica.nodes["/p/x"].data == b"strange"
    assert bench.stat("/p/x") == before._replace(length=7)
    assert bench.replica.data_size == size + 6
    assert not bench.replica.stranger("/p/x", b"again", bench.ledger.revision + 1)
    assert bench.replica.nodes["/p/x"].data == b"again"


@pytest.mark.parametrize(("path", "data"), [("/no", b"1"), ("/p/x", b"x")])
def test_stranger_when_nothing_changes(bench, path, data):
    """No znode there, or the same bytes."""
    before = dict(bench.replica.nodes)
    assert not bench.replica.stranger(path, data, 99)
    assert bench.replica.nodes == before


def test_stranger_when_it_deletes_a_key(bench):
    """Empty data is served, not null."""
    assert bench.replica.stranger("/p/x", None, 99)
    assert bench.replica.nodes["/p/x"].data == b""


def test_stranger_when_a_client_wrote_since(bench):
    """What the stream brings late is older than what the keeper applied from the store's answer."""
    bench.ask(5, SetData("/p/x", b"mine", -1))
    bench.plant("/p/n", data=b"made")
    set_at, made_at = bench.ledger.revision - 1, bench.ledger.revision
    assert not bench.replica.stranger("/p/x", b"old", set_at - 1)
    assert not bench.replica.stranger("/p/n", b"old", made_at - 1)
    assert bench.replica.nodes["/p/x"].data == b"mine"
    assert bench.replica.nodes["/p/n"].data == b"made"
    bench.ask(7, SetAcl("/p/n", OPEN_ENTRIES, -1))
    assert bench.replica.stranger("/p/n", b"new", made_at + 1)  # a setACL does not touch the data


def test_stranger_bytes_outlive_a_set_acl(bench):
    """A load serves them, too."""
    bench.ledger.stranger("/p/x", b"strange")
    bench.keeper.catch_up()
    bench.ask(7, SetAcl("/p/x", OPEN_ENTRIES, -1))
    assert bench.replica.nodes["/p/x"].data == bench.ledger.load().nodes["/p/x"].data == b"strange"


# Loading.


def test_load_in_any_order(bench):
    """The items' order doesn't matter, but for that of ephemerals of one write."""
    bench.plant("/e", "/p/e", flags=1)
    bench.ask(5, SetData("/p/x", b"1", -1))
    items = [(name, *held) for name, held in bench.ledger.items.items() if not name.startswith("head/")]
    pictures = []
    for order in (items, items[::-1], sorted(items), sorted(items, key=lambda item: item[2])):
        replica = Replica(0)
        for _ in replica.load(order, bench.ledger.newest):
            pass
        replica.registry.heads.update(bench.replica.registry.heads)  # no items: who loads is told of them
        assert replica.ephemerals.of(bench.mine) == ["/e", "/p/e"]
        pictures.append(picture(replica))
    assert pictures == [picture(bench.replica)] * 4


def test_load_resolves_each_zxid_by_its_own_items_revision():
    """node/, stat/ and kids/ were written by different commits; what is a number stays, as in a copied namespace."""
    node = Znode(-2, 0, 0, 0, 0, 0, 0, OPEN, b"", UNWRITTEN, 0)
    stat = Znode(0, -1, 0, 0, 5, 0, 0, OPEN, b"", 0, UNWRITTEN)
    copied = Znode(777, 0, 0, 0, 0, 0, 0, OPEN, b"", UNWRITTEN, 0)
    items = [
        ("node/", encoding.encode_node(copied), 9),
        ("data/", b"", 9),
        ("kids/", encoding.encode_kids(Kids(1, 1, -4, UNWRITTEN)), 12),
        ("node/a", encoding.encode_node(node), 10),
        ("data/a", b"", 11),
        ("stat/a", encoding.encode_stat(stat), 11),
    ]
    base = 7 << 40
    replica = Replica(base)
    for _ in replica.load(items, 20):
        pass
    root, child, kids = replica.nodes["/"], replica.nodes["/a"], replica.kids["/"]
    assert (root.czxid, root.mzxid, root.node_rev) == (777, 777, 9)
    assert (child.czxid, child.mzxid) == (base + 10 * 4096 + 1, base + 11 * 4096)
    assert (child.node_rev, child.stat_rev) == (10, 11)
    assert (kids.pzxid, kids.rev) == (base + 12 * 4096 + 3, 12)
    assert (replica.revision, replica.zxid) == (20, base + 20 * 4096 + 4095)


def test_load_when_data_is_missing_or_a_strangers(bench, caplog):
    """Missing: empty, an error. A stranger's: served, a warning, and no news later."""
    bench.plant("/p/y", data=b"y")
    bench.ledger.stranger("/p/x", b"strange")
    bench.ledger.stranger("/p/y", None)
    with caplog.at_level(logging.WARNING, "parkeeper.tree"):
        replica = bench.ledger.load()
    assert replica.nodes["/p/x"].data == b"strange"
    assert replica.nodes["/p/y"].data == b""
    assert [(record.levelname, record.path) for record in caplog.records] == [
        ("WARNING", "/p/x"),
        ("ERROR", "/p/y"),
    ]
    assert not replica.stranger("/p/x", b"more", 99)


def test_load_when_a_stranger_made_a_data_key(bench):
    """Without a node/ it is no znode."""
    bench.ledger.stranger("/alone", b"1")
    assert "/alone" not in bench.ledger.load().nodes


@pytest.mark.parametrize(
    "name", ["node/p", "stat/p/x", "kids/p", f"session/{1 << 32 | 1}", "keeper/1", "ids"]
)
def test_load_when_an_item_has_another_format(bench, name):
    """Incompatible, whichever it is."""
    bench.ask(5, SetData("/p/x", b"1", -1))
    value, revision = bench.ledger.items[name]
    bench.ledger.items[name] = b"\x02" + value[1:], revision
    with pytest.raises(Incompatible, match="has format 2"):
        bench.ledger.load()


def test_load_yields_now_and_then():
    """So that a large namespace does not hold the loop."""
    ledger = Ledger()
    node = encoding.encode_node(Znode(-1, -1, 0, 0, 0, 0, 0, OPEN, b"", UNWRITTEN, 0))
    for number in range(2 * LOAD_STEP):
        ledger.items[f"node/{number}"], ledger.items[f"data/{number}"] = (node, 1), (b"", 1)
    items = [(name, *held) for name, held in ledger.items.items() if not name.startswith("head/")]
    assert sum(1 for _ in Replica(0).load(items, 1)) >= len(items) // LOAD_STEP + 4
