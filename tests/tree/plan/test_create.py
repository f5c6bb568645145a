"""create, create2, createContainer, createTTL: the order of checks, what the znode becomes, sequence numbers."""

import pytest

from parkeeper.tree.changes import CREATE
from parkeeper.tree.node import CONTAINER
from parkeeper.wire.multi import Multi
from parkeeper.wire.records import Acl
from parkeeper.wire.requests import Create, CreateTtl, Delete
from tests.tree.planning import OPEN, ROOT, USER, Bench, Stat, but

PLAIN, CREATE2, IN_CONTAINER, WITH_TTL = 1, 15, 19, 21
BAD = ()
"""An ACL that is refused."""

LONGEST = 0xFF_FFFF_FFFF


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.plant("/p", "/p/there")
    bench.plant("/closed", acl=but(4))
    bench.plant("/e", flags=1)
    return bench


ORDER = [
    # flags first, before path and ACL are looked at
    (PLAIN, Create("nowhere", b"", BAD, 7), -8),
    (PLAIN, Create("/nope/x", b"", BAD, -1), -8),
    (IN_CONTAINER, Create("/nope/x", b"", OPEN, 7), -8),
    # a TTL flag with an operation that has no TTL
    (PLAIN, Create("/p/x", b"", OPEN, 5), -8),
    (CREATE2, Create("/p/x", b"", OPEN, 6), -8),
    (IN_CONTAINER, Create("/nope/x", b"", OPEN, 5), -8),
    # the TTL, before path and ACL
    (WITH_TTL, CreateTtl("/nope/x", b"", BAD, 5, 0), -8),
    (WITH_TTL, CreateTtl("/nope/x", b"", BAD, 6, -1), -8),
    (WITH_TTL, CreateTtl("/nope/x", b"", BAD, 5, LONGEST + 1), -8),
    (WITH_TTL, CreateTtl("/nope/x", b"", OPEN, 0, 5), -8),
    # kills a ZooKeeper server
    (WITH_TTL, CreateTtl("/p/x", b"", OPEN, 0, -1), -8),
    (WITH_TTL, CreateTtl("/p/x", b"", OPEN, 4, -1), -8),
    # the path has a slash and no NUL, before the ACL
    (PLAIN, Create("nowhere", b"", BAD, 0), -8),
    (PLAIN, Create("", b"", BAD, 0), -8),
    (PLAIN, Create("/p/\0", b"", BAD, 0), -8),
    # the ACL, before the parent
    (PLAIN, Create("/nope/x", b"", BAD, 0), -114),
    (PLAIN, Create("/nope/x", b"", None, 0), -114),
    (PLAIN, Create("/closed/x", b"", (Acl(31, "auth", ""),), 0), -114),
    # the parent, before the name
    (PLAIN, Create("/nope/x", b"", OPEN, 0), -101),
    (PLAIN, Create("/nope/.", b"", OPEN, 0), -101),
    (PLAIN, Create("/nope/", b"", OPEN, 0), -101),
    (PLAIN, Create("p/x", b"", OPEN, 0), -101),
    (PLAIN, Create("/p//x", b"", OPEN, 0), -101),
    (PLAIN, Create("/p/./x", b"", OPEN, 0), -101),
    # CREATE on the parent, before the name and before what is there
    (PLAIN, Create("/closed/..", b"", OPEN, 0), -102),
    (PLAIN, Create("/closed/", b"", OPEN, 2), -102),
    (PLAIN, Create("/zookeeper/config/x", b"", OPEN, 0), -102),
    # the name, with the number if there is one
    (PLAIN, Create("/p/", b"", OPEN, 0), -8),
    (PLAIN, Create("/p/..", b"", OPEN, 0), -8),
    (PLAIN, Create("//", b"", OPEN, 0), -8),
    (PLAIN, Create("/e/.", b"", OPEN, 0), -8),
    (PLAIN, Create("/p/\x01", b"", OPEN, 0), -8),
    (PLAIN, Create("/p/\x01", b"", OPEN, 2), -8),
    (PLAIN, Create("/p/\U0001f333", b"", OPEN, 0), -8),
    # what is there
    (PLAIN, Create("/p/there", b"", OPEN, 0), -110),
    (PLAIN, Create("/", b"", OPEN, 0), -110),
    (IN_CONTAINER, Create("/zookeeper", b"", OPEN, 0), -110),
    (WITH_TTL, CreateTtl("/p/there", b"", OPEN, 5, 1), -110),
    # an ephemeral has no children
    (PLAIN, Create("/e/x", b"", OPEN, 0), -108),
    (PLAIN, Create("/e/x", b"", OPEN, 3), -108),
    (IN_CONTAINER, Create("/e/x", b"", OPEN, 0), -108),
    # kills a ZooKeeper server
    (PLAIN, Create("/zookeeper/quota/zookeeper_limits", b"", OPEN, 0), -8),
]


@pytest.mark.parametrize(("op", "record", "code"), ORDER)
def test_create_is_refused_by_the_first_check_that_fails(bench, op, record, code):
    """The codes and their order are those of PrepRequestProcessor."""
    assert bench.code(op, record, bench.mine) == code


@pytest.mark.parametrize("op", [PLAIN, CREATE2, IN_CONTAINER])
@pytest.mark.parametrize("flags", [5, 6])
def test_create_when_ttl_nodes_are_off(bench, op, flags):
    """A TTL flag is unimplemented (-6) before its TTL, path and ACL are looked at."""
    assert bench.code(op, Create("x", b"", BAD, flags), ttl_nodes=False) == -6


def test_create_ttl_when_ttl_nodes_are_off(bench):
    """createTTL too; without a TTL flag it is a bad argument as ever."""
    assert bench.code(WITH_TTL, CreateTtl("x", b"", BAD, 5, 0), ttl_nodes=False) == -6
    assert bench.code(WITH_TTL, CreateTtl("/p/x", b"", OPEN, 0, 5), ttl_nodes=False) == -8


def test_create_when_the_parent_is_for_others_only(bench):
    """Identities count, and super passes; the znode's own ACL may shut its creator out."""
    bench.plant("/users", acl=(Acl(4, "digest", "u:h"),))
    record = Create("/users/x", b"", (Acl(1, "digest", "other:h"),), 0)
    assert bench.code(PLAIN, record) == -102
    assert bench.code(PLAIN, record, who=USER) == 0
    assert bench.code(PLAIN, Create("/users/y", b"", OPEN, 0), who=ROOT) == 0


def test_create_answers_the_path(bench):
    """create: the path alone, byte by byte."""
    assert bench.ask(PLAIN, Create("/p/new", b"data", OPEN, 0)).body == bytes.fromhex("00000006 2f702f6e6577")


def test_create2_answers_path_and_stat(bench):
    """All three zxids are the write's, both times the keeper's clock, the rest is 0 but the length."""
    bench.now = 7_777
    outcome = bench.ask(CREATE2, Create("/p/new", b"data", OPEN, 0))
    assert outcome.body[:10] == bytes.fromhex("00000006 2f702f6e6577")
    assert len(outcome.body) == 78
    zxid = outcome.zxid
    assert zxid == bench.ledger.revision * 4096
    assert outcome.stat == Stat(zxid, zxid, 7_777, 7_777, 0, 0, 0, 0, 4, 0, zxid)


def test_create_when_there_are_children_already(bench):
    """The parent: one child and one change of children more, pzxid; mzxid, mtime and version stay."""
    before = bench.stat("/p")
    outcome = bench.ask(PLAIN, Create("/p/new", b"", OPEN, 0))
    after = before._replace(cversion=before.cversion + 1, children=2, pzxid=outcome.zxid)
    assert bench.stat("/p") == after
    bench.ask(PLAIN, Create("/p/new/er", b"", OPEN, 0))
    assert bench.stat("/p") == after


@pytest.mark.parametrize("data", [None, b"", b"x"])
def test_create_keeps_data(bench, data):
    """Null is not empty, though both have length 0."""
    outcome = bench.ask(CREATE2, Create("/p/x", data, OPEN, 0))
    assert outcome.stat.length == len(data or b"")
    assert bench.replica.nodes["/p/x"].data == data
    assert bench.ledger.load().nodes["/p/x"].data == data
    assert bench.puts["data/p/x"] == (data or b"")


KINDS = [
    (PLAIN, Create("/p/x", b"", OPEN, 0), 0, 0),
    (PLAIN, Create("/p/x", b"", OPEN, 1), "mine", "mine"),
    (CREATE2, Create("/p/x", b"", OPEN, 1), "mine", "mine"),
    (CREATE2, Create("/p/x", b"", OPEN, 3), "mine", "mine"),
    # flag 4 makes a plain znode here: the opcode decides
    (PLAIN, Create("/p/x", b"", OPEN, 4), 0, 0),
    (CREATE2, Create("/p/x", b"", OPEN, 4), 0, 0),
    # 19 makes a container, whatever the flag
    (IN_CONTAINER, Create("/p/x", b"", OPEN, 4), CONTAINER, 0),
    (IN_CONTAINER, Create("/p/x", b"", OPEN, 0), CONTAINER, 0),
    (IN_CONTAINER, Create("/p/x", b"", OPEN, 1), CONTAINER, 0),
    (WITH_TTL, CreateTtl("/p/x", b"", OPEN, 5, 1), -(1 << 56) + 1, 0),
    (WITH_TTL, CreateTtl("/p/x", b"", OPEN, 6, LONGEST), -(1 << 56) + LONGEST, 0),
]


@pytest.mark.parametrize(("op", "record", "stored", "reported"), KINDS)
def test_create_makes_what_opcode_and_flag_say(bench, op, record, stored, reported):
    """ephemeralOwner is reported for ephemerals only; containers and TTL nodes report 0."""
    outcome = bench.ask(op, record, bench.mine)
    path = outcome.path
    assert path == ("/p/x0000000001" if record.flags in (3, 6) else "/p/x")
    wanted = bench.mine if stored == "mine" else stored
    assert bench.replica.nodes[path].owner == wanted
    assert bench.stat(path).owner == (bench.mine if reported == "mine" else reported)
    assert (path in bench.replica.ephemerals.of(bench.mine)) == (stored == "mine")


@pytest.mark.parametrize("op", [IN_CONTAINER, WITH_TTL])
def test_create_of_a_container_or_ttl_node_answers_path_and_stat(bench, op):
    """As create2."""
    record = Create("/p/x", b"xy", OPEN, 4) if op == IN_CONTAINER else CreateTtl("/p/x", b"xy", OPEN, 5, 9)
    outcome = bench.ask(op, record)
    assert outcome.path == "/p/x"
    assert len(outcome.body) == 8 + 68
    assert outcome.stat.length == 2


def test_create_below_containers_and_ttl_nodes(bench):
    """They may have children of any kind."""
    bench.ask(IN_CONTAINER, Create("/c", b"", OPEN, 4))
    bench.ask(WITH_TTL, CreateTtl("/t", b"", OPEN, 5, 9))
    for path in ("/c/x", "/t/x"):
        assert bench.code(PLAIN, Create(path, b"", OPEN, 1), bench.mine) == 0


# Sequence numbers.


def sequence(bench: Bench, path: str, flags: int = 2) -> str:
    return bench.ask(PLAIN, Create(path, b"", OPEN, flags), bench.mine).path


def test_sequence_counts_every_creation(bench):
    """Sequential or not, whatever the prefix; deletes don't matter."""
    bench.plant("/q")
    assert sequence(bench, "/q/a") == "/q/a0000000000"
    assert sequence(bench, "/q/b") == "/q/b0000000001"
    bench.plant("/q/plain")
    bench.ask(2, Delete("/q/a0000000000", -1))
    bench.ask(2, Delete("/q/b0000000001", -1))
    bench.ask(2, Delete("/q/plain", -1))
    assert sequence(bench, "/q/a", 3) == "/q/a0000000003"


def test_sequence_when_the_parent_is_made_anew(bench):
    """It starts at 0."""
    bench.plant("/q", "/q/x")
    bench.ask(2, Delete("/q/x", -1))
    bench.ask(2, Delete("/q", -1))
    bench.plant("/q")
    assert sequence(bench, "/q/a") == "/q/a0000000000"


def test_sequence_without_a_name(bench):
    """The number may be the whole name; at the root it counts the root's children, three of which are counted."""
    assert sequence(bench, "/p/") == "/p/0000000001"
    assert sequence(bench, "/p/.") == "/p/.0000000002"
    assert sequence(bench, "/") == "/0000000003"


def test_sequence_when_refused(bench):
    """A refused create takes no number."""
    assert bench.code(PLAIN, Create("/p/\x01", b"", OPEN, 2)) == -8
    assert sequence(bench, "/p/a") == "/p/a0000000001"


def test_sequence_in_one_batch_and_multi(bench):
    """Each sees the ones before it; a failed multi gives its numbers back."""
    make = (PLAIN, Create("/p/a", b"", OPEN, 2))
    assert bench.ask(14, Multi((make, make, (2, Delete("/nope", -1))))).changes == []
    outcome = bench.ask(14, Multi((make, make)))
    assert [change.path for change in outcome.changes] == ["/p/a0000000001", "/p/a0000000002"]
    assert sequence(bench, "/p/a") == "/p/a0000000003"


def test_sequence_when_it_is_used_up(bench):
    """At 2^31-1 the number stays: one more of another prefix, the same one is there; cversion still moves."""
    bench.rewrite("/p", creates=2**31 - 2)
    assert sequence(bench, "/p/a") == "/p/a2147483646"
    last = bench.replica.kids["/p"].pzxid
    assert sequence(bench, "/p/a") == "/p/a2147483647"
    assert bench.code(PLAIN, Create("/p/a", b"", OPEN, 2)) == -110
    assert sequence(bench, "/p/b") == "/p/b2147483647"
    stat = bench.stat("/p")
    assert stat.children == 4
    assert stat.pzxid == last  # creations no longer move it
    assert stat.cversion == 2 * (2**31 - 1) - 4 - 2**32  # wrapped
    gone = bench.ask(2, Delete("/p/b2147483647", -1))
    assert bench.stat("/p").pzxid == gone.zxid
    assert bench.replica.kids["/p"].creates == 2**31 - 1
    assert gone.changes[0].kind != CREATE


def test_a_null_path_comes_after_the_flags(bench):
    """-8 for flags that are none, or that the opcode cannot have, then -5; found by the oracle."""
    for flags in (5, 6, 7, -1):
        assert bench.ask(1, Create(None, b"", OPEN, flags), bench.mine).code == -8
    for flags in (0, 1, 2, 3, 4):
        assert bench.ask(1, Create(None, b"", OPEN, flags), bench.mine).code == -5
