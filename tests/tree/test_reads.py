"""The reads: bodies byte by byte, order of checks, and what each leaves watched."""

import pytest

from parkeeper.errors import Refused
from parkeeper.tree import reads
from parkeeper.tree.acl import intern
from parkeeper.tree.node import CONTAINER
from parkeeper.tree.reads import READS
from parkeeper.tree.schemes import Identities
from parkeeper.tree.watches import WatchTable
from parkeeper.wire import requests
from parkeeper.wire.multi import MultiRead
from parkeeper.wire.opcodes import OPERATIONS, Kind
from parkeeper.wire.records import Acl, Id
from tests.tree.grove import Grove, Listener

EXISTS, GET_DATA, GET_ACL, GET_CHILDREN, GET_CHILDREN2, CHECK, REMOVE, MULTI_READ = 3, 4, 6, 8, 12, 17, 18, 22
EPHEMERALS, ALL_CHILDREN, ADD_WATCH, WHO_AM_I, SET_WATCHES, SET_WATCHES2 = 103, 104, 106, 107, 101, 105
OF_CHILDREN, OF_DATA, OF_ANY, OF_PERSISTENT, OF_RECURSIVE = 1, 2, 3, 4, 5

BOB = Identities([Id("ip", "10.0.0.1"), Id("digest", "bob:aGFzaA==")])
BOBS = intern([Acl(31, "digest", "bob:aGFzaA==")])


class Desk(Grove):
    """A grove with watches and a client that reads."""

    def __init__(self):
        super().__init__()
        self.watches = WatchTable()
        self.client = Listener()

    def read(self, op, record):
        return READS[op](self.replica, self.watches, self.client, record)

    def refused(self, op, record):
        """The code of a refusal; it must not leave a watch, unless it is exists on a missing node."""
        with pytest.raises(Refused) as refused:
            self.read(op, record)
        return refused.value.code


def stat(czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, length, children, pzxid):
    """A Stat from its fields, in order of the record."""
    sizes = (8, 8, 8, 8, 4, 4, 4, 8, 4, 4, 8)
    fields = (czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, length, children, pzxid)
    return b"".join(field.to_bytes(size, signed=True) for size, field in zip(sizes, fields, strict=True))


def test_table_when_compared_with_the_operations():
    """Every operation that is a read has its function, and nothing else has."""
    assert set(READS) == {number for number, operation in OPERATIONS.items() if operation.kind is Kind.READ}


def test_get_data_when_the_node_was_set():
    """Data, then the Stat."""
    desk = Desk()
    desk.create("/a", b"old")
    desk.set("/a", b"new!")
    assert desk.read(GET_DATA, requests.GetData("/a", False)) == bytes.fromhex(
        "00000004 6e657721"
        "0000000000000001 0000000000000002 00000000000003e8 00000000000007d0"
        "00000001 00000000 00000000 0000000000000000 00000004 00000000 0000000000000001"
    )


def test_get_data_when_data_is_null_or_empty():
    """A client can tell them apart by the length; the Stat's is 0 for both."""
    desk = Desk()
    desk.create("/null", None)
    desk.create("/empty", b"")
    null, empty = (desk.read(GET_DATA, requests.GetData(path, False)) for path in ("/null", "/empty"))
    assert null == bytes.fromhex("ffffffff") + stat(1, 1, 1000, 1000, 0, 0, 0, 0, 0, 0, 1)
    assert empty == bytes.fromhex("00000000") + stat(2, 2, 2000, 2000, 0, 0, 0, 0, 0, 0, 2)


@pytest.mark.parametrize("size", [0, reads.KEPT, reads.KEPT + 1])
def test_get_data_when_things_changed_since(size):
    """A kept body never outlives setData, setACL, a child's coming or going, or the node itself."""
    desk = Desk()
    data = b"x" * size
    ask = requests.GetData("/a", False)
    desk.create("/a", data)
    head = size.to_bytes(4) + data

    def answer():
        assert desk.read(GET_DATA, ask) == desk.read(GET_DATA, ask)
        return desk.read(GET_DATA, ask)

    assert answer() == head + stat(1, 1, 1000, 1000, 0, 0, 0, 0, size, 0, 1)
    desk.create("/a/b")
    assert answer() == head + stat(1, 1, 1000, 1000, 0, 1, 0, 0, size, 1, 2)
    desk.delete("/a/b")
    assert answer() == head + stat(1, 1, 1000, 1000, 0, 2, 0, 0, size, 0, 3)
    desk.set_acl("/a", desk.replica.nodes["/a"].acl)
    assert answer() == head + stat(1, 1, 1000, 1000, 0, 2, 1, 0, size, 0, 3)
    desk.set("/a", b"y")
    assert answer() == b"\0\0\0\1y" + stat(1, 5, 1000, 5000, 1, 2, 1, 0, 1, 0, 3)
    desk.replica.stranger("/a", b"zz", revision=2)
    assert answer() == b"\0\0\0\2zz" + stat(1, 5, 1000, 5000, 1, 2, 1, 0, 2, 0, 3)
    desk.delete("/a")
    assert desk.refused(GET_DATA, ask) == -101
    desk.create("/a", data)
    assert answer() == head + stat(7, 7, 7000, 7000, 0, 0, 0, 0, size, 0, 7)


def test_get_data_when_it_is_asked_again():
    """Nothing is encoded twice: the very same bytes, while nothing changes."""
    desk = Desk()
    desk.create("/a", b"x")
    ask = requests.GetData("/a", False)
    assert desk.read(GET_DATA, ask) is desk.read(GET_DATA, ask)


def test_get_data_when_data_is_large():
    """Large bodies are not kept beside the data."""
    desk = Desk()
    node = desk.create("/a", b"x" * (reads.KEPT + 1))
    desk.read(GET_DATA, requests.GetData("/a", False))
    assert node.reply is None


@pytest.mark.parametrize(
    ("op", "make"),
    [
        (GET_DATA, requests.GetData),
        (GET_CHILDREN, requests.GetChildren),
        (GET_CHILDREN2, requests.GetChildren2),
    ],
)
def test_reads_when_refused(op, make):
    """-101 before -102, bad paths are missing nodes, and no watch is left."""
    desk = Desk()
    desk.create("/bobs", acl=BOBS)
    for path in ("/gone", "/bobs/", "bobs", "/a//b", "/bobs/\0"):
        assert desk.refused(op, make(path, True)) == -101
    assert desk.refused(op, make("/bobs", True)) == -102
    assert desk.watches.count == 0
    desk.client.identities = BOB
    desk.read(op, make("/bobs", True))
    assert desk.watches.count == 1


def test_reads_when_a_body_was_kept_for_somebody_else():
    """READ is asked for each time."""
    desk = Desk()
    desk.create("/bobs", b"secret", acl=BOBS)
    desk.client.identities = BOB
    desk.read(GET_DATA, requests.GetData("/bobs", False))
    desk.client.identities = Identities()
    assert desk.refused(GET_DATA, requests.GetData("/bobs", False)) == -102


@pytest.mark.parametrize(
    ("op", "make", "type"),
    [
        (GET_DATA, requests.GetData, OF_DATA),
        (EXISTS, requests.Exists, OF_DATA),
        (GET_CHILDREN, requests.GetChildren, OF_CHILDREN),
        (GET_CHILDREN2, requests.GetChildren2, OF_CHILDREN),
    ],
)
def test_reads_when_a_watch_is_asked_for(op, make, type):
    """A one-shot watch in the right table; none where none is asked for."""
    desk = Desk()
    desk.create("/a")
    desk.read(op, make("/a", False))
    assert desk.watches.count == 0
    desk.read(op, make("/a", True))
    assert desk.watches.count == 1
    assert desk.watches.contains("/a", desk.client, type)


def test_exists_when_the_node_is_there():
    """The Stat; the session of an ephemeral shows in it."""
    desk = Desk()
    desk.create("/e", b"123", owner=0x2_0000_0005)
    assert desk.read(EXISTS, requests.Exists("/e", False)) == stat(
        1, 1, 1000, 1000, 0, 0, 0, 0x2_0000_0005, 3, 0, 1
    )


def test_exists_when_the_node_is_a_container():
    """Its owner field is nobody's business."""
    desk = Desk()
    desk.create("/c", owner=CONTAINER)
    assert desk.read(EXISTS, requests.Exists("/c", False)) == stat(1, 1, 1000, 1000, 0, 0, 0, 0, 0, 0, 1)


def test_exists_when_the_node_is_missing():
    """-101, and the watch is there to tell of its creation; not if none was asked for."""
    desk = Desk()
    assert desk.refused(EXISTS, requests.Exists("/gone", False)) == -101
    assert desk.watches.count == 0
    assert desk.refused(EXISTS, requests.Exists("/gone", True)) == -101
    assert desk.watches.contains("/gone", desk.client, OF_DATA)


def test_exists_when_read_is_not_allowed_or_the_path_has_a_nul():
    """-102 and -8; no watch."""
    desk = Desk()
    desk.create("/bobs", acl=BOBS)
    assert desk.refused(EXISTS, requests.Exists("/bobs", True)) == -102
    assert desk.refused(EXISTS, requests.Exists("/\0", True)) == -8
    assert desk.watches.count == 0


def test_get_children_when_there_are_some():
    """Names, not paths; getChildren2 adds the Stat."""
    desk = Desk()
    for path in ("/a", "/a/x", "/a/yy"):
        desk.create(path)
    names = bytes.fromhex("00000002 00000001 78 00000002 7979")
    assert desk.read(GET_CHILDREN, requests.GetChildren("/a", False)) == names
    assert desk.read(GET_CHILDREN2, requests.GetChildren2("/a", False)) == names + stat(
        1, 1, 1000, 1000, 0, 2, 0, 0, 0, 2, 3
    )


def test_get_children_when_there_are_none():
    """An empty vector, before the first and after the last."""
    desk = Desk()
    desk.create("/a")
    ask = requests.GetChildren("/a", False)
    assert desk.read(GET_CHILDREN, ask) == bytes(4)
    desk.create("/a/x")
    desk.delete("/a/x")
    assert desk.read(GET_CHILDREN, ask) == bytes(4)


@pytest.mark.parametrize("path", ["/", ""])
def test_reads_when_the_root_is_named_either_way(path):
    """The empty path is an alias of the root."""
    desk = Desk()
    desk.create("/a")
    root = stat(0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1)
    assert desk.read(GET_DATA, requests.GetData(path, False)) == bytes(4) + root
    assert desk.read(EXISTS, requests.Exists(path, False)) == root
    assert desk.read(GET_CHILDREN2, requests.GetChildren2(path, False)) == b"\0\0\0\1\0\0\0\1a" + root
    assert desk.read(ALL_CHILDREN, requests.GetAllChildrenNumber(path)) == b"\0\0\0\1"
    assert desk.read(GET_ACL, requests.GetAcl(path))[-68:] == root


def test_get_acl_when_masked():
    """READ alone shows no hash, ADMIN does, neither is refused."""
    desk = Desk()
    mixed = intern([Acl(1, "world", "anyone"), Acl(16, "digest", "bob:aGFzaA==")])
    desk.create("/a", acl=mixed)
    desk.create("/bobs", acl=BOBS)
    world = bytes.fromhex("00000001 00000005") + b"world" + bytes.fromhex("00000006") + b"anyone"
    digest = bytes.fromhex("00000010 00000006") + b"digest"
    expected = stat(1, 1, 1000, 1000, 0, 0, 0, 0, 0, 0, 1)
    assert desk.read(GET_ACL, requests.GetAcl("/a")) == (
        b"\0\0\0\2" + world + digest + bytes.fromhex("00000005") + b"bob:x" + expected
    )
    desk.client.identities = BOB
    assert desk.read(GET_ACL, requests.GetAcl("/a")) == (
        b"\0\0\0\2" + world + digest + bytes.fromhex("0000000c") + b"bob:aGFzaA==" + expected
    )
    desk.client.identities = Identities()
    assert desk.refused(GET_ACL, requests.GetAcl("/bobs")) == -102
    assert desk.refused(GET_ACL, requests.GetAcl("/gone")) == -101


def test_get_acl_when_only_admin_is_allowed():
    """ADMIN without READ is enough."""
    desk = Desk()
    desk.create("/a", acl=intern([Acl(16, "world", "anyone")]))
    desk.read(GET_ACL, requests.GetAcl("/a"))
    assert desk.refused(GET_DATA, requests.GetData("/a", False)) == -102


def test_get_all_children_number_when_they_are_nested():
    """Descendants at any depth, not what merely begins alike."""
    desk = Desk()
    for path in ("/a", "/a/b", "/a/b/c", "/a/d", "/ab", "/ab/c", "/a.b"):
        desk.create(path)
    assert desk.read(ALL_CHILDREN, requests.GetAllChildrenNumber("/a")) == b"\0\0\0\3"
    assert desk.read(ALL_CHILDREN, requests.GetAllChildrenNumber("/ab/c")) == b"\0\0\0\0"
    assert desk.read(ALL_CHILDREN, requests.GetAllChildrenNumber("/")) == b"\0\0\0\7"
    assert desk.refused(ALL_CHILDREN, requests.GetAllChildrenNumber("/gone")) == -101
    desk.create("/bobs", acl=BOBS)
    assert desk.refused(ALL_CHILDREN, requests.GetAllChildrenNumber("/bobs")) == -102


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        (None, "/a /ab /b"),
        ("", "/a /ab /b"),
        (" ", "/a /ab /b"),
        ("/", "/a /ab /b"),
        ("/a", "/a /ab"),
        ("/x", ""),
        ("\u00a0", ""),
    ],
)
def test_get_ephemerals(prefix, found):
    """The session's own that begin with the text; nothing, blank or a slash means all."""
    desk = Desk()
    for path in ("/a", "/ab", "/b"):
        desk.create(path, owner=desk.client.session)
    desk.create("/ax", owner=desk.client.session + 1)
    paths = found.split()
    encoded = b"".join(len(path).to_bytes(4) + path.encode() for path in paths)
    assert desk.read(EPHEMERALS, requests.GetEphemerals(prefix)) == len(paths).to_bytes(4) + encoded


def test_who_am_i():
    """Scheme and user of each identity."""
    desk = Desk()
    desk.client.identities = BOB
    assert desk.read(WHO_AM_I, requests.WhoAmI()) == (
        b"\0\0\0\2" + b"\0\0\0\2ip" + b"\0\0\0\x0810.0.0.1" + b"\0\0\0\6digest" + b"\0\0\0\3bob"
    )


def test_watches_when_added_checked_and_removed():
    """addWatch asks for nothing and answers an int 0; check and remove have no body, and -121 for nothing."""
    desk = Desk()
    desk.create("/bobs", acl=BOBS)
    assert desk.read(ADD_WATCH, requests.AddWatch("/gone", 0)) == bytes(4)
    assert desk.read(ADD_WATCH, requests.AddWatch("/bobs", 1)) == bytes(4)
    assert desk.read(CHECK, requests.CheckWatches("/gone", OF_PERSISTENT)) == b""
    assert desk.read(CHECK, requests.CheckWatches("/bobs", OF_RECURSIVE)) == b""
    assert desk.refused(CHECK, requests.CheckWatches("/bobs", OF_PERSISTENT)) == -121
    assert desk.refused(CHECK, requests.CheckWatches("/gone", OF_DATA)) == -121
    assert desk.refused(REMOVE, requests.RemoveWatches("/gone", OF_CHILDREN)) == -121
    assert desk.read(REMOVE, requests.RemoveWatches("/gone", OF_ANY)) == b""
    assert desk.refused(REMOVE, requests.RemoveWatches("/gone", OF_ANY)) == -121
    assert desk.client.packets == []


@pytest.mark.parametrize("op", [SET_WATCHES, SET_WATCHES2])
def test_set_watches_when_something_was_missed(op):
    """No body; what was missed is told before there is one."""
    desk = Desk()
    desk.create("/a")
    ask = requests.SetWatches(0, ("/a",), ("/b",), (), (), ())
    assert desk.read(op, ask) == b""
    assert desk.client.told() == [(3, "/a")]
    assert desk.watches.contains("/b", desk.client, OF_DATA)


def test_multi_read_when_one_fails():
    """Each on its own: type and body, or -1 and the code twice; then the end."""
    desk = Desk()
    desk.create("/a", b"x")
    desk.create("/a/b")
    desk.create("/bobs", acl=BOBS)
    ops = (
        (GET_DATA, requests.GetData("/a", False)),
        (GET_DATA, requests.GetData("/gone", False)),
        (GET_CHILDREN, requests.GetChildren("/a", False)),
        (GET_CHILDREN, requests.GetChildren("/bobs", False)),
    )
    assert desk.read(MULTI_READ, MultiRead(ops)) == (
        bytes.fromhex("00000004 00 00000000 00000001 78") + stat(1, 1, 1000, 1000, 0, 1, 0, 0, 1, 1, 2)
        + bytes.fromhex("ffffffff 00 ffffff9b ffffff9b")
        + bytes.fromhex("00000008 00 00000000 00000001 00000001 62")
        + bytes.fromhex("ffffffff 00 ffffff9a ffffff9a")
        + bytes.fromhex("ffffffff 01 ffffffff")
    )  # fmt: skip


def test_stats_node_when_it_is_read():
    """Its data is the real usage, always fresh, and the Stat's length is that; nothing else of it moves."""
    desk = Desk()
    path = "/zookeeper/quota/a/zookeeper_stats"
    for each in ("/zookeeper", "/zookeeper/quota", "/a", "/zookeeper/quota/a"):
        desk.create(each)
    desk.create(path, b"count=0,bytes=0")
    before = b"\0\0\0\x0fcount=1,bytes=0"
    assert desk.read(GET_DATA, requests.GetData(path, False)) == before + stat(
        5, 5, 5000, 5000, 0, 0, 0, 0, 15, 0, 5
    )
    for number in range(10):
        desk.create(f"/a/{number}", b"xx")
    after = b"\0\0\0\x11count=11,bytes=20"
    moved = stat(5, 5, 5000, 5000, 0, 0, 0, 0, 17, 0, 5)
    assert desk.read(GET_DATA, requests.GetData(path, False)) == after + moved
    assert desk.read(EXISTS, requests.Exists(path, False)) == moved
    assert desk.read(GET_CHILDREN2, requests.GetChildren2(path, False)) == bytes(4) + moved
