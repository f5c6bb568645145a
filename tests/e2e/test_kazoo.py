"""Everything kazoo's client does, over TCP, on every store. With two keepers, two clients speak to different ones."""

from __future__ import annotations

import threading

import pytest
from kazoo.exceptions import (
    BadVersionError,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
)
from kazoo.protocol.states import WatchedEvent
from kazoo.security import make_acl, make_digest_acl

from tests.e2e.conftest import Connect


class Seen:
    """Collects what watchers are told."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self._changed = threading.Condition()

    def __call__(self, *told: object) -> None:
        with self._changed:
            self.events.append(told[0] if len(told) == 1 else told)
            self._changed.notify_all()

    def until(self, count: int) -> list[object]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.events) >= count, 20), self.events
        return self.events


def test_a_znode_lives_and_dies(connect: Connect) -> None:
    """create, get, set, exists, delete, with the Stat of each."""
    zk = connect()
    path, stat = zk.create("/a", b"one", include_data=True)
    assert path == "/a"
    assert (stat.version, stat.dataLength, stat.czxid, stat.ctime) == (0, 3, stat.mzxid, stat.mtime)
    with pytest.raises(NodeExistsError):
        zk.create("/a", b"")
    stat = zk.set("/a", b"two!", version=0)
    assert (stat.version, stat.dataLength) == (1, 4)
    assert stat.mzxid > stat.czxid
    with pytest.raises(BadVersionError):
        zk.set("/a", b"", version=0)
    assert zk.get("/a") == (b"two!", stat)
    zk.create("/a/child", b"")
    with pytest.raises(NotEmptyError):
        zk.delete("/a")
    children, stat = zk.get_children("/a", include_data=True)
    assert children == ["child"]
    assert (stat.cversion, stat.numChildren) == (1, 1)
    zk.delete("/a/child")
    stat = zk.exists("/a")
    assert (stat.cversion, stat.numChildren) == (2, 0)
    zk.delete("/a", version=1)
    assert zk.exists("/a") is None
    with pytest.raises(NoNodeError):
        zk.get("/a")


def test_sequences_and_ephemerals(connect: Connect) -> None:
    """The number is dense over all clients; what a session owned goes with it."""
    one, two = connect(), connect()
    one.create("/q")
    two.sync("/q")
    names = [
        client.create("/q/n-", ephemeral=client is one, sequence=True) for client in (one, two, one, two)
    ]
    assert names == [f"/q/n-{number:010d}" for number in range(4)]
    assert one.get("/q/n-0000000000")[1].ephemeralOwner == one.client_id[0]
    one.stop()
    two.sync("/q")
    assert sorted(two.get_children("/q")) == ["n-0000000001", "n-0000000003"]


def test_a_transaction_is_all_or_nothing(connect: Connect) -> None:
    """Each operation sees the ones before it; a failure takes all back and says where."""
    zk = connect()
    good = zk.transaction()
    good.create("/t", b"")
    good.set_data("/t", b"x", version=0)
    good.check("/t", version=1)
    good.create("/t/s-", b"", sequence=True)
    results = good.commit()
    assert results[0] == "/t"
    assert results[1].version == 1
    assert results[2] is True
    assert results[3] == "/t/s-0000000000"
    bad = zk.transaction()
    bad.create("/u", b"")
    bad.check("/t", version=7)
    bad.delete("/t/s-0000000000")
    kinds = [type(each) for each in bad.commit()]
    assert kinds == [RolledBackError, BadVersionError, RuntimeInconsistency]
    assert zk.exists("/u") is None


def test_one_shot_watches(connect: Connect) -> None:
    """Data, existence and children, told once, whichever keeper the change came through."""
    one, two = connect(), connect()
    data, exist, child = Seen(), Seen(), Seen()
    one.create("/w", b"")
    assert one.get("/w", watch=data)[0] == b""
    assert one.exists("/w/x", watch=exist) is None
    assert one.get_children("/w", watch=child) == []
    two.sync("/w")
    two.create("/w/x")
    two.set("/w", b"new")
    two.set("/w", b"newer")
    base = one.chroot
    expected = {"CREATED": "/w/x", "CHILD": "/w", "CHANGED": "/w"}
    for seen, kind in ((exist, "CREATED"), (child, "CHILD"), (data, "CHANGED")):
        assert seen.until(1) == [WatchedEvent(kind, "CONNECTED", expected[kind])], base


def test_recipes_that_watch(connect: Connect) -> None:
    """DataWatch and ChildrenWatch call again and again."""
    one, two = connect(), connect()
    one.create("/d", b"0")
    data, children = Seen(), Seen()
    one.DataWatch("/d", func=lambda value, stat: data(value))
    one.ChildrenWatch("/d", func=lambda names: children(sorted(names)))
    data.until(1)
    children.until(1)
    two.sync("/d")
    two.set("/d", b"1")
    data.until(2)
    two.create("/d/a")
    children.until(2)
    two.set("/d", b"2")
    two.create("/d/b")
    assert data.until(3)[:3] == [b"0", b"1", b"2"]
    assert children.until(3)[:3] == [[], ["a"], ["a", "b"]]


def test_acls_with_digest_auth(connect: Connect) -> None:
    """Who has no right is refused; who proves to be somebody may."""
    owner, other = connect(), connect()
    owner.add_auth("digest", "ann:secret")
    owner.create("/mine", b"x", acl=[make_digest_acl("ann", "secret", all=True)])
    owner.create(
        "/readable", b"y", acl=[make_acl("world", "anyone", read=True), make_acl("auth", "", all=True)]
    )
    other.sync("/mine")
    with pytest.raises(NoAuthError):
        other.get("/mine")
    assert other.get("/readable")[0] == b"y"
    with pytest.raises(NoAuthError):
        other.set("/readable", b"z")
    acl, stat = other.get_acls("/readable")
    assert stat.aversion == 0
    assert [each.id.id for each in acl if each.id.scheme == "digest"] == ["ann:x"]
    other.add_auth("digest", "ann:secret")
    assert other.get("/mine")[0] == b"x"
    assert other.set_acls("/mine", [make_acl("world", "anyone", all=True)]).aversion == 1
    owner.sync("/mine")
    assert owner.get_acls("/mine")[0][0].id.scheme == "world"
