"""What a namespace is made of: ZooKeeper's default nodes, as a client sees them."""

from parkeeper.tree.acl import OPEN, READ_ONLY
from parkeeper.tree.encoding import Meta, decode_ids, decode_meta
from parkeeper.tree.genesis import items
from tests.tree.ledger import Ledger
from tests.tree.planning import Bench, Stat

META = Meta(bytes(range(16)), bytes(range(32)), 4096, "/data")
NONE = Stat(*[0] * 11)


def test_items_when_loaded():
    """The Stats of a fresh server: all 0 but for cversion, children, and config's aversion."""
    bench = Bench()
    assert bench.stat("/") == NONE._replace(cversion=-1, children=1)
    assert bench.stat("/zookeeper") == NONE._replace(cversion=-2, children=2)
    assert bench.stat("/zookeeper/quota") == NONE
    assert bench.stat("/zookeeper/config") == NONE._replace(aversion=-1)
    nodes = Ledger().load().nodes
    assert {path: node.acl for path, node in nodes.items()} == {
        "/": OPEN, "/zookeeper": OPEN, "/zookeeper/quota": OPEN, "/zookeeper/config": READ_ONLY,
    }  # fmt: skip
    assert {node.data for node in nodes.values()} == {b""}


def test_items_when_the_root_gets_its_first_child():
    """Its cversion reads 0, and the first sequence number was 0."""
    bench = Bench()
    bench.plant("/n", flags=2)
    assert "/n0000000000" in bench.replica.nodes
    assert bench.stat("/").cversion == 0


def test_items_hold_what_keepers_agree_on():
    """meta as given, and no keeper id given yet."""
    made = items(META)
    assert decode_meta(made["meta"]) == META
    assert decode_ids(made["ids"]) == 0


def test_items_are_those_of_four_nodes():
    """Data for each, kids/ for the two that have children, no stat/."""
    names = {"meta", "ids", "kids/", "kids/zookeeper"}
    for path in ("", "zookeeper", "zookeeper/quota", "zookeeper/config"):
        names |= {f"node/{path}", f"data/{path}"}
    assert items(META).keys() == names
