"""delete: the order of checks, what it leaves behind."""

import pytest

from parkeeper.wire.requests import Delete, SetData
from tests.tree.planning import ROOT, USER, Bench, but

DELETE = 2


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.plant("/p", "/p/parent", "/p/parent/child", "/p/leaf")
    bench.plant("/closed", acl=but(8))
    bench.plant("/closed/x", "/closed/x/y")
    bench.plant("/p/mute", acl=but(8))
    bench.ask(5, SetData("/p/leaf", b"1", -1))
    return bench


ORDER = [
    # a slash, no NUL, none of the four nodes that always are, before anything is looked for
    ("nowhere", -1, -8),
    ("", -1, -8),
    ("/nope/\0", -1, -8),
    ("/", 7, -8),
    ("/zookeeper", -1, -8),
    ("/zookeeper/quota", -1, -8),
    ("/zookeeper/config", -1, -8),
    # the parent, before anything about the znode; no other path syntax
    ("/nope/x", 7, -101),
    ("p/leaf", -1, -101),
    ("/p//leaf", -1, -101),
    # DELETE on the parent, before whether it is there
    ("/closed/nope", -1, -102),
    ("/closed/x", 7, -102),
    # whether it is there
    ("/p/nope", 7, -101),
    ("/p/", -1, -101),
    ("/p/.", -1, -101),
    # its version, before its children
    ("/p/parent", 1, -103),
    ("/p/leaf", 0, -103),
    ("/p/leaf", 2, -103),
    ("/p/leaf", -2, -103),
    # its children
    ("/p/parent", 0, -111),
    ("/p/parent", -1, -111),
]


@pytest.mark.parametrize(("path", "version", "code"), ORDER)
def test_delete_is_refused_by_the_first_check_that_fails(bench, path, version, code):
    """The codes and their order are those of PrepRequestProcessor."""
    assert bench.code(DELETE, Delete(path, version)) == code


@pytest.mark.parametrize("version", [-1, 1])
def test_delete_by_any_or_the_right_version(bench, version):
    """Nothing is answered but the header; data, stat and the node itself go."""
    outcome = bench.ask(DELETE, Delete("/p/leaf", version))
    assert (outcome.code, outcome.body) == (0, b"")
    assert "/p/leaf" not in bench.replica.nodes
    assert sorted(bench.deletes) == ["data/p/leaf", "node/p/leaf", "stat/p/leaf"]
    assert list(bench.puts) == ["kids/p"]


def test_delete_moves_the_parent(bench):
    """One child less, one change of children more, pzxid; nothing else."""
    before = bench.stat("/p")
    outcome = bench.ask(DELETE, Delete("/p/leaf", -1))
    assert bench.stat("/p") == before._replace(cversion=before.cversion + 1, children=2, pzxid=outcome.zxid)


def test_delete_asks_the_parent_alone(bench):
    """The znode's own ACL doesn't matter; super passes that of the parent."""
    assert bench.code(DELETE, Delete("/p/mute", -1)) == 0
    assert bench.code(DELETE, Delete("/closed/x/y", -1), who=USER) == 0
    assert bench.code(DELETE, Delete("/closed/x", -1), who=USER) == -102
    assert bench.code(DELETE, Delete("/closed/x", -1), who=ROOT) == 0


def test_delete_when_the_children_are_gone(bench):
    """A parent that had children can go; its kids/ goes along."""
    bench.ask(DELETE, Delete("/p/parent/child", -1))
    assert bench.code(DELETE, Delete("/p/parent", -1)) == 0
    assert "kids/p/parent" in bench.deletes
    assert "/p/parent" not in bench.replica.kids
    assert "/p/parent" not in bench.replica.children


def test_delete_when_other_nodes_are_below_zookeeper(bench):
    """Only the four are special."""
    bench.plant("/zookeeper/quota/x", "/zookeeper/mine")
    assert bench.code(DELETE, Delete("/zookeeper/quota/x", -1)) == 0
    assert bench.code(DELETE, Delete("/zookeeper/mine", -1)) == 0
