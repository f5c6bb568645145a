"""Quotas: usage, limits, and what a multi adds by itself."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parkeeper.errors import Refused
from parkeeper.tree.quotas import Limits, Planned, forbidden, parse_limits
from tests.tree.grove import Grove

STATS = "/zookeeper/quota/a/zookeeper_stats"
LIMITS = "/zookeeper/quota/a/zookeeper_limits"


def with_quota(limits=b"count=-1,bytes=-1", *, path="/a"):
    """A grove with a quota on a path, made as `setquota` makes it."""
    grove = Grove()
    grove.create("/zookeeper")
    grove.create("/zookeeper/quota")
    top = ""
    for name in path[1:].split("/"):
        top += f"/{name}"
        grove.create(top)
    add_quota(grove, path, limits)
    return grove


def add_quota(grove, path, limits):
    top = "/zookeeper/quota"
    for name in path[1:].split("/"):
        top += f"/{name}"
        if top not in grove.replica.nodes:
            grove.create(top)
    grove.create(top + "/zookeeper_limits", limits)
    grove.create(top + "/zookeeper_stats", b"count=0,bytes=0")


def usage(grove, path=STATS):
    return grove.replica.quotas.stats_data(path)


def create_code(grove, path, size=0, planned=None):
    """The code that creating a znode is refused with, 0 if it is not."""
    quotas = grove.replica.quotas
    try:
        quotas.check_create(path, size, planned or Planned(quotas))
    except Refused as refused:
        return refused.code
    return 0


def set_code(grove, path, old, new, planned=None):
    quotas = grove.replica.quotas
    try:
        quotas.check_set(path, old, new, planned or Planned(quotas))
    except Refused as refused:
        return refused.code
    return 0


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        (b"count=5,bytes=7", (5, 7, -1, -1)),
        (b"count=-1,bytes=-1=;byteHardLimit=8;countHardLimit=4", (-1, -1, 4, 8)),
        (b"count=-1,bytes=-1=;countHardLimit=4", (-1, -1, 4, -1)),
        (b"count=,bytes=3", (-1, 3, -1, -1)),
        (b"bytes=3", (-1, 3, -1, -1)),
        (b"countHardLimit=0", (-1, -1, 0, -1)),
        (b"count=5,,;bytes=7;later=9", (5, 7, -1, -1)),
        (b"", (-1, -1, -1, -1)),
        (None, (-1, -1, -1, -1)),
        (b"count=many,bytes=7", (-1, -1, -1, -1)),
        (b"\xff\xfe", (-1, -1, -1, -1)),
        (b"count=" + b"9" * 5000, (-1, -1, -1, -1)),
    ],
)
def test_parse_limits(text, limits):
    """The text of StatsTrack; what cannot be read limits nothing."""
    assert parse_limits(text) == Limits(*limits)


def test_forbidden_when_the_path_is_empty():
    """The limits node that would kill a ZooKeeper server, and no other."""
    assert forbidden("/zookeeper/quota/zookeeper_limits")
    assert not forbidden("/zookeeper/quota/zookeeper_stats")
    assert not forbidden(LIMITS)


def test_stats_when_the_subtree_is_measured():
    """Nodes with the root of the subtree, and bytes of data; neighbours with the same beginning are outside."""
    grove = with_quota()
    grove.set("/a", b"12")
    grove.create("/a/b", b"345")
    grove.create("/a/b/c", None)
    grove.create("/ab", b"xxxx")
    assert usage(grove) == b"count=3,bytes=5"


def test_stats_when_things_change_afterwards():
    """Creates, deletes and setData are followed."""
    grove = with_quota()
    assert usage(grove) == b"count=1,bytes=0"
    grove.create("/a/b", b"345")
    grove.set("/a", b"1")
    grove.create("/elsewhere", b"xxxx")
    assert usage(grove) == b"count=2,bytes=4"
    grove.set("/a/b", b"3")
    grove.set("/a", None)
    assert usage(grove) == b"count=2,bytes=1"
    grove.delete("/a/b")
    assert usage(grove) == b"count=1,bytes=0"


def test_stats_when_there_is_nothing_to_count():
    """The path of the quota doesn't exist (any more)."""
    grove = with_quota()
    grove.delete("/a")
    assert usage(grove) == b"count=0,bytes=0"


def test_stats_data_when_the_path_is_no_stats_node():
    """Only nodes of that name, below /zookeeper/quota, that exist."""
    grove = with_quota()
    grove.create("/zookeeper_stats")
    assert usage(grove, "/zookeeper_stats") is None
    assert usage(grove, "/a") is None
    assert usage(grove, LIMITS) is None
    assert usage(grove, "/zookeeper/quota/b/zookeeper_stats") is None
    grove.delete(STATS)
    assert usage(grove) is None


def test_stats_when_they_are_of_the_whole_tree():
    """The root cannot have limits, but ZooKeeper counts it where asked to."""
    grove = with_quota()
    grove.create("/zookeeper/quota/zookeeper_stats")
    assert usage(grove, "/zookeeper/quota/zookeeper_stats") == b"count=8,bytes=32"
    grove.create("/x", b"1")
    assert usage(grove, "/zookeeper/quota/zookeeper_stats") == b"count=9,bytes=33"


def test_create_when_the_hard_count_is_reached():
    """-125 for one more than allowed; elsewhere nothing is refused."""
    grove = with_quota(b"count=-1,bytes=-1=;countHardLimit=2")
    assert create_code(grove, "/a/b") == 0
    grove.create("/a/b")
    assert create_code(grove, "/a/c") == -125
    assert create_code(grove, "/a/b/c") == -125
    assert create_code(grove, "/ab") == 0
    assert set_code(grove, "/a/b", 0, 1000) == 0


def test_create_when_the_hard_bytes_are_reached():
    """Exactly the limit is allowed; a node without data is not looked at."""
    grove = with_quota(b"count=-1,bytes=-1=;byteHardLimit=8")
    assert create_code(grove, "/a/b", 8) == 0
    assert create_code(grove, "/a/b", 9) == -125
    grove.create("/a/b", b"123456789")
    assert create_code(grove, "/a/c", 0) == 0


def test_set_when_the_hard_bytes_are_exceeded():
    """A smaller value that is still too large is refused as well; one of the same size is not looked at."""
    grove = with_quota(b"count=-1,bytes=-1=;byteHardLimit=8")
    grove.set("/a", b"x" * 20)
    assert set_code(grove, "/a", 20, 21) == -125
    assert set_code(grove, "/a", 20, 20) == 0
    assert set_code(grove, "/a", 20, 9) == -125
    assert set_code(grove, "/a", 20, 8) == 0


def test_limits_when_they_are_soft(caplog):
    """Only logged, once until they are kept again."""
    grove = with_quota(b"count=1,bytes=-1")
    with caplog.at_level(logging.WARNING, logger="parkeeper.tree.quotas"):
        assert create_code(grove, "/a/b") == 0
        assert create_code(grove, "/a/b") == 0
    assert len(caplog.records) == 1
    assert "quota of /a exceeded: count would be 2, the soft limit is 1" in caplog.text


def test_limits_when_hard_and_soft_are_set():
    """The hard one is the one compared."""
    grove = with_quota(b"count=1,bytes=1=;byteHardLimit=100;countHardLimit=100")
    assert create_code(grove, "/a/b", 50) == 0


def test_limits_when_they_are_changed():
    """setData on the limits node counts from then on."""
    grove = with_quota(b"count=-1,bytes=-1=;countHardLimit=1")
    assert create_code(grove, "/a/b") == -125
    grove.set(LIMITS, b"count=-1,bytes=-1=;countHardLimit=2")
    assert create_code(grove, "/a/b") == 0
    grove.delete(LIMITS)
    assert create_code(grove, "/a/b") == 0


def test_limits_when_the_stats_node_is_missing():
    """Not in force (ZooKeeperServer.checkQuota)."""
    grove = with_quota(b"count=-1,bytes=-1=;countHardLimit=1")
    grove.delete(STATS)
    assert create_code(grove, "/a/b") == 0
    grove.create(STATS)
    assert create_code(grove, "/a/b") == -125


def test_limits_when_they_are_nested():
    """Only the deepest counts for a path."""
    grove = with_quota(b"count=-1,bytes=-1=;countHardLimit=2")
    grove.create("/a/b")
    add_quota(grove, "/a/b", b"count=-1,bytes=-1=;countHardLimit=5")
    assert create_code(grove, "/a/c") == -125
    assert create_code(grove, "/a/b/c") == 0


def test_planned_when_a_multi_adds_by_itself():
    """Later operations count the earlier ones, creates, deletes and setData."""
    grove = with_quota(b"count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=3")
    planned = Planned(grove.replica.quotas)
    planned.note("/a/b", 1, 6)
    planned.note("/elsewhere", 1, 6)
    assert create_code(grove, "/a/c", 4, planned) == 0
    assert create_code(grove, "/a/c", 5, planned) == -125
    planned.note("/a/c", 1, 4)
    assert create_code(grove, "/a/d", 0, planned) == -125
    assert set_code(grove, "/a/c", 4, 5, planned) == -125
    planned.note("/a/b", -1, -6)
    planned.note("/a/c", 0, 6)
    assert create_code(grove, "/a/d", 0, planned) == 0
    assert set_code(grove, "/a/c", 10, 11, planned) == -125


def test_planned_when_it_is_rolled_back():
    """A refused request takes back what it added, and nothing else."""
    grove = with_quota(b"count=-1,bytes=-1=;countHardLimit=3")
    planned = Planned(grove.replica.quotas)
    planned.note("/a/b", 1, 0)
    mark = planned.mark()
    planned.note("/a/c", 1, 0)
    assert create_code(grove, "/a/d", 0, planned) == -125
    planned.rollback(mark)
    assert create_code(grove, "/a/d", 0, planned) == 0
    planned.note("/a/d", 1, 0)
    assert create_code(grove, "/a/e", 0, planned) == -125


NAMES = st.sampled_from(["/a", "/a/b", "/a/b/c", "/a/d", "/e", "/e/f"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("cdsqu"), NAMES, st.integers(0, 9)), max_size=40))
def test_usage_when_compared_with_counting_anew(steps):
    """After any steps, whenever it was first asked for, usage is what a count of the whole subtree says."""
    grove = with_quota()
    nodes, kids = grove.replica.nodes, grove.replica.kids
    for step, path, size in steps:
        if step == "c" and path not in nodes and path[: path.rfind("/")] in ("", *nodes):
            grove.create(path, b"x" * size)
        elif step == "d" and path in nodes and (path not in kids or kids[path].count == 0):
            grove.delete(path)
        elif step == "s" and path in nodes:
            grove.set(path, b"x" * size)
        elif step == "q" and f"/zookeeper/quota{path}/zookeeper_limits" not in nodes:
            add_quota(grove, path, b"")
        elif step == "u":
            inside = [node for each, node in nodes.items() if each == path or each.startswith(path + "/")]
            said = usage(grove, f"/zookeeper/quota{path}/zookeeper_stats")
            if f"/zookeeper/quota{path}/zookeeper_stats" not in nodes:
                assert said is None
            else:
                total = sum(len(node.data or b"") for node in inside)
                assert said == f"count={len(inside)},bytes={total}".encode()
