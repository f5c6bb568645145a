"""The same tests on a real store: a namespace of one's own, removed afterwards."""

from __future__ import annotations

import base64

import pytest
from kazoo.client import KazooClient

from parkeeper.testing import AsyncEnsemble, Ensemble
from tests.servers import Consul, Etcd

pytestmark = pytest.mark.slow


def use(url: str) -> None:
    """A client, a fault, an expiry, a fresh tree."""
    with Ensemble(2, url) as zookeeper:
        client = KazooClient(zookeeper.hosts)
        client.start()
        client.create("/a/b", b"x", makepath=True)
        client.create("/e", ephemeral=True)
        assert zookeeper.tree() == {"/a": b"", "/a/b": b"x", "/e": b""}
        zookeeper.expire(client)
        assert "/e" not in zookeeper.tree()
        zookeeper.partition(0, store=True)
        zookeeper.heal()
        zookeeper.kill(1)
        client.stop()
        client.close()
        zookeeper.reset()
        assert zookeeper.tree() == {}
        zookeeper.load({"/c": "1"})


def test_etcd_is_left_as_it_was(etcd: Etcd) -> None:
    """No key of ours is left, whatever the test did."""
    use(etcd.url)
    prefix, end = (base64.b64encode(each).decode() for each in (b"parkeeper-test/", b"parkeeper-test0"))
    assert "kvs" not in etcd.call("kv/range", {"key": prefix, "range_end": end})


def test_consul_is_left_as_it_was(consul: Consul) -> None:
    """Rings included."""
    use(consul.url)
    assert consul.call("GET", "kv/parkeeper-test/?keys")[0] == 404


async def test_a_start_that_fails_says_why_and_not_in_a_group() -> None:
    """A port that is taken, a store that is none."""
    async with AsyncEnsemble() as ensemble:
        with pytest.raises(OSError, match="in use"):
            async with AsyncEnsemble(bind=[ensemble.address()]):
                pass
