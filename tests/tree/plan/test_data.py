"""setData, and check inside a multi: the order of checks, versions, what moves."""

import pytest

from parkeeper.wire.multi import Multi
from parkeeper.wire.requests import Check, Create, SetData
from tests.tree.planning import OPEN, ROOT, USER, Acl, Bench, but

SET, CHECK, MULTI = 5, 13, 14


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.plant("/p", "/p/x")
    bench.plant("/unwritable", acl=but(2))
    bench.plant("/unreadable", acl=but(1))
    bench.ask(SET, SetData("/p/x", b"1", -1))
    return bench


BAD_PATHS = ["", "x", "p/x", "/p/", "/p//x", "/p/./x", "/p/..", "/p/\0", "/p/\x7f", "/\U0001f333"]

ORDER = [
    # the path is a whole valid one, before anything is looked for
    *((path, 7, -8) for path in [None, *BAD_PATHS]),
    ("/nope", 7, -101),
    ("/nope/x", -1, -101),
    # WRITE on the znode, before its version
    ("/unwritable", 7, -102),
    ("/zookeeper/config", 7, -102),
    ("/p/x", 0, -103),
    ("/p/x", 2, -103),
    ("/p/x", -2, -103),
]


@pytest.mark.parametrize(("path", "version", "code"), ORDER)
def test_set_data_is_refused_by_the_first_check_that_fails(bench, path, version, code):
    """The codes and their order are those of PrepRequestProcessor."""
    assert bench.code(SET, SetData(path, b"", version)) == code


def test_set_data_moves_what_is_the_datas(bench):
    """version, mzxid, mtime, length; the parent stays, and the Stat answered is that right after it."""
    before, parent = bench.stat("/p/x"), bench.stat("/p")
    bench.now = 5_555
    outcome = bench.ask(SET, SetData("/p/x", b"three", 1))
    after = before._replace(mzxid=outcome.zxid, mtime=5_555, version=2, length=5)
    assert outcome.body == bench_stat_bytes(after)
    assert bench.stat("/p/x") == after
    assert bench.stat("/p") == parent


def bench_stat_bytes(stat) -> bytes:
    """68 bytes, big-endian."""
    sizes = (8, 8, 8, 8, 4, 4, 4, 8, 4, 4, 8)
    return b"".join(number.to_bytes(size, signed=True) for size, number in zip(sizes, stat, strict=True))


@pytest.mark.parametrize("data", [None, b"", b"x"])
def test_set_data_keeps_null_and_empty_apart(bench, data):
    """Here, at a follower, and after a load."""
    assert bench.ask(SET, SetData("/p/x", data, -1)).stat.length == len(data or b"")
    assert bench.replica.nodes["/p/x"].data == data
    assert bench.ledger.load().nodes["/p/x"].data == data


def test_set_data_when_it_is_the_same(bench):
    """It is a change all the same."""
    assert bench.ask(SET, SetData("/p/x", b"1", -1)).stat.version == 2


@pytest.mark.parametrize(
    ("version", "following"), [(2**31 - 1, -(2**31)), (-2, 0), (-(2**31), -(2**31) + 1), (-3, -2), (0, 1)]
)
def test_set_data_when_the_version_wraps(bench, version, following):
    """32 bits, and never -1, which means any."""
    bench.rewrite("/p/x", version=version)
    assert bench.code(SET, SetData("/p/x", b"", 5)) == -103
    assert bench.ask(SET, SetData("/p/x", b"", version)).stat.version == following


def test_set_data_of_nodes_that_always_are(bench):
    """Their data is like any other's; of config only to those who may."""
    for path in ("/", "/zookeeper", "/zookeeper/quota"):
        assert bench.ask(SET, SetData(path, b"x", 0)).stat.version == 1
    assert bench.code(SET, SetData("/zookeeper/config", b"x", 0), who=ROOT) == 0


def test_set_data_asks_the_znode_alone(bench):
    """Neither the parent nor READ; identities count."""
    bench.plant("/users", acl=(Acl(2, "digest", "u:h"),))
    assert bench.code(SET, SetData("/users", b"", -1)) == -102
    assert bench.code(SET, SetData("/users", b"", -1), who=USER) == 0
    assert bench.code(SET, SetData("/unreadable", b"", -1)) == 0


CHECKS = [
    *((path, 7, -8) for path in BAD_PATHS),
    ("/nope", 7, -101),
    ("/unreadable", 7, -102),
    ("/p/x", 0, -103),
    ("/p/x", -2, -103),
    ("/p/x", 1, 0),
    ("/p/x", -1, 0),
    ("/unwritable", 0, 0),
]


@pytest.mark.parametrize(("path", "version", "code"), CHECKS)
def test_check_is_refused_by_the_first_check_that_fails(bench, path, version, code):
    """As setData, but READ is what it needs. It changes nothing."""
    before = bench.ledger.revision
    outcome = bench.ask(MULTI, Multi(((CHECK, Check(path, version)),)))
    end = bytes.fromhex("ffffffff 01 ffffffff")
    if code:
        number = code.to_bytes(4, signed=True)
        assert outcome.body == b"\xff\xff\xff\xff\0" + number + number + end
    else:
        assert outcome.body == bytes.fromhex("0000000d 00 00000000") + end
    assert outcome.code == 0
    assert bench.ledger.revision == before


def test_check_sees_what_the_multi_wrote(bench):
    """The version of a moment ago."""
    ops = ((SET, SetData("/p/x", b"", 1)), (CHECK, Check("/p/x", 2)), (1, Create("/p/x/y", b"", OPEN, 0)))
    assert bench.ask(MULTI, Multi(ops)).changes[1].path == "/p/x/y"
