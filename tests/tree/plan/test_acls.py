"""setACL: the order of checks, aversion, what moves."""

import pytest

from parkeeper.wire.requests import SetAcl, SetData
from tests.tree.planning import OPEN, ROOT, USER, Acl, Bench, but

SET_ACL = 7
READ = (Acl(1, "world", "anyone"),)


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.plant("/p", "/p/x")
    bench.plant("/fixed", acl=but(16))
    return bench


ORDER = [
    *((path, (), 7, -8) for path in [None, "", "p", "/p/", "/p//x", "/p/.", "/p/\0", "/\U0001f333"]),
    # the ACL, before anything is looked for
    ("/nope", (), 7, -114),
    ("/nope", None, 7, -114),
    ("/nope", (Acl(1, "world", "me"),), 7, -114),
    ("/nope", (Acl(1, "auth", ""),), 7, -114),
    ("/nope", READ, 7, -101),
    # ADMIN on the znode, before its aversion
    ("/fixed", READ, 7, -102),
    ("/zookeeper/config", READ, 7, -102),
    ("/p/x", READ, 1, -103),
    ("/p/x", READ, -2, -103),
]


@pytest.mark.parametrize(("path", "acl", "version", "code"), ORDER)
def test_set_acl_is_refused_by_the_first_check_that_fails(bench, path, acl, version, code):
    """The codes and their order are those of PrepRequestProcessor."""
    assert bench.code(SET_ACL, SetAcl(path, acl, version)) == code


def test_set_acl_moves_aversion_alone(bench):
    """Not mzxid, mtime or version, and nothing of the parent."""
    bench.ask(5, SetData("/p/x", b"data", -1))
    before, parent = bench.stat("/p/x"), bench.stat("/p")
    bench.now = 5_555
    assert bench.ask(SET_ACL, SetAcl("/p/x", READ, 0)).stat == before._replace(aversion=1)
    assert bench.stat("/p/x") == before._replace(aversion=1)
    assert bench.stat("/p") == parent
    assert bench.replica.nodes["/p/x"].acl.entries == READ


@pytest.mark.parametrize(("aversion", "following"), [(2**31 - 1, -(2**31)), (-2, 0), (0, 1)])
def test_set_acl_when_aversion_wraps(bench, aversion, following):
    """32 bits, and never -1."""
    bench.rewrite("/p/x", aversion=aversion)
    assert bench.code(SET_ACL, SetAcl("/p/x", READ, 5)) == -103
    assert bench.ask(SET_ACL, SetAcl("/p/x", OPEN, aversion)).stat.aversion == following


def test_set_acl_of_nodes_that_always_are(bench):
    """They are like any other; config begins at -1."""
    assert bench.ask(SET_ACL, SetAcl("/", READ, 0)).stat.aversion == 1
    assert bench.ask(SET_ACL, SetAcl("/zookeeper/config", OPEN, -1), who=ROOT).stat.aversion == 0


def test_set_acl_counts_at_once(bench):
    """In the same commit already: whoever shut himself out is out."""
    from tests.tree.ledger import Asked

    mine = (Acl(31, "auth", ""),)
    outcomes = bench.together(
        Asked(SET_ACL, SetAcl("/p/x", mine, -1), identities=USER),
        Asked(5, SetData("/p/x", b"", -1)),
        Asked(5, SetData("/p/x", b"", -1), identities=USER),
    )
    assert [outcome.code for outcome in outcomes] == [0, -102, 0]
    assert bench.replica.nodes["/p/x"].acl.entries == (Acl(31, "digest", "u:h"),)
