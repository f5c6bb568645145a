"""Reaping: checked again under guards when it is planned."""

import pytest

from parkeeper.tree.plan.reap import REAP, Reap
from parkeeper.wire.requests import Create, CreateTtl, Delete, SetData
from tests.tree.planning import OPEN, Bench

UNUSED = 300_000
"""ms that a container which never had a child is kept."""


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.ask(21, CreateTtl("/ttl", b"", OPEN, 5, 50))
    bench.ask(19, Create("/used", b"", OPEN, 4))
    bench.ask(19, Create("/new", b"", OPEN, 4))
    bench.plant("/used/x", "/plain")
    bench.plant("/mine", flags=1)
    return bench


def code(bench: Bench, path: str, later: int) -> int:
    """Asked so many ms later."""
    now, bench.now = bench.now, bench.now + later
    try:
        return bench.code(REAP, Reap(path))
    finally:
        bench.now = now


def test_reap_of_a_ttl_node(bench):
    """When more than its TTL passed since its mtime; setData begins anew."""
    assert code(bench, "/ttl", 50) == -103
    bench.now += 30
    bench.ask(5, SetData("/ttl", b"", -1))
    assert code(bench, "/ttl", 50) == -103
    assert code(bench, "/ttl", 51) == 0
    assert code(bench, "/ttl", 51) == -103


def test_reap_of_a_ttl_node_with_children(bench):
    """Never, nor does their going begin anew."""
    bench.plant("/ttl/x")
    assert code(bench, "/ttl", 10_000) == -103
    bench.now += 40
    bench.ask(2, Delete("/ttl/x", -1))
    assert code(bench, "/ttl", 11) == 0


def test_reap_of_a_container(bench):
    """As soon as its last child is gone."""
    assert code(bench, "/used", 10 * UNUSED) == -103
    bench.ask(2, Delete("/used/x", -1))
    assert code(bench, "/used", 0) == 0
    assert sorted(bench.deletes) == ["data/used", "kids/used", "node/used", "stat/used"]


def test_reap_of_a_container_that_never_had_a_child(bench):
    """After a while since its mtime."""
    assert code(bench, "/new", UNUSED) == -103
    assert code(bench, "/new", UNUSED + 1) == 0


@pytest.mark.parametrize("path", ["/plain", "/mine", "/nope", "/"])
def test_reap_of_anything_else(bench, path):
    """Nothing happens."""
    assert code(bench, path, 10**12) == -103


def test_reap_moves_the_parent(bench):
    """As any delete."""
    before = bench.stat("/")
    bench.now += 51
    outcome = bench.ask(REAP, Reap("/ttl"))
    assert bench.stat("/") == before._replace(
        cversion=before.cversion + 1, children=before.children - 1, pzxid=outcome.zxid
    )
