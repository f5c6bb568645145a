"""The view: what is looked at is guarded, what is planned lies over the replica, and can be taken back."""

import pytest

from parkeeper.tree.acl import OPEN
from parkeeper.tree.node import UNWRITTEN, Znode
from parkeeper.tree.sessions import Session
from parkeeper.tree.view import Overlay, View, revision_of
from tests.tree.planning import Bench

MINE = 1 << 32 | 1


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.plant("/p", "/p/x")
    bench.plant("/e1", "/p/e2", "/e3", flags=1)
    return bench


@pytest.fixture
def view(bench) -> View:
    view = View(bench.replica, 5_000, 1)
    view.begin()
    return view


def fresh(view: View, owner: int = 0) -> Znode:
    return Znode(view.zxid, view.zxid, 0, 0, 0, 0, owner, OPEN, b"", UNWRITTEN, 0)


def test_overlay_undo():
    """Back to what `begin` found: an older entry, a deletion, or nothing."""
    overlay = Overlay[str, int]()
    overlay.begin()
    overlay.put("kept", 1)
    overlay.put("gone", None)
    overlay.begin()
    for value in (2, None, 3):
        overlay.put("kept", value)
        overlay.put("gone", value)
        overlay.put("new", value)
    overlay.undo()
    assert overlay.table == {"kept": 1, "gone": None}
    overlay.undo()
    assert overlay.table == {"kept": 1, "gone": None}


def test_looking_notes_guards(bench, view):
    """Each part under its own name, at the replica's revision; 0 for what is absent."""
    view.node("/p")
    view.stat("/p")
    view.kids("/p")
    view.node("/no")
    view.stat("/no")
    view.kids("/no")
    view.node("/")
    view.guarded_session(MINE)
    view.guarded_session(99)
    view.head(1)
    view.head(9)
    parts = [f"{kind}/{path}" for kind in ("node", "stat", "kids") for path in ("p", "no")]
    names = ("node/", f"session/{MINE}", "session/99", "head/1", "head/9")
    assert view.looked == bench.revisions(*parts, *names)


def test_peeking_notes_nothing(bench, view):
    """For what another guard covers."""
    assert view.peek("/p") is bench.replica.nodes["/p"]
    assert view.peek("/no") is None
    assert view.session(MINE) is bench.replica.sessions[MINE]
    assert view.looked == {}


@pytest.mark.parametrize("path", ["p", "", "op", "p/x", "/p/", "//", "/p/../p", "/p/\x01"])
def test_a_path_that_cannot_be_is_not_guarded(view, path):
    """Without its first character it might be the name of another znode's item."""
    assert view.node(path) is None
    assert view.looked == {}


def test_what_is_planned_lies_over_the_replica(bench, view):
    """Created, set, restricted and deleted ones, and the sessions; the replica doesn't move."""
    made = fresh(view)
    view.create("/p/n", made, "/p", view.kids("/p"))
    before = bench.replica.nodes["/p/x"]
    after = before.with_data(b"1", view.zxid, view.now)
    view.set_data("/p/x", before, after)
    view.delete("/e1")
    assert view.node("/p/n") is view.peek("/p/n") is made
    assert view.node("/p/x") is after
    assert view.node("/e1") is view.peek("/e1") is None
    assert view.kids("/p/n") is None
    kids = view.kids("/p")
    assert (kids.creates, kids.count, kids.pzxid) == (3, 3, -1)
    record = Session(1, 1, 1, False, 0, -1)
    view.set_session(77, record)
    view.end_session(MINE)
    assert view.session(77) is view.guarded_session(77) is record
    assert view.session(MINE) is None
    assert bench.replica.nodes["/p/x"] is before
    assert "/p/n" not in bench.replica.nodes
    assert "/e1" in bench.replica.nodes
    guards = bench.revisions("node/p/n", "node/p/x", "node/e1", "kids/p", "kids/p/n", "kids/", "session/77")
    assert view.looked == guards


def test_undo_takes_back_this_request_alone(bench, view):
    """What was planned before it stays; what it looked at stays looked at."""
    view.create("/p/n", fresh(view), "/p", view.kids("/p"))
    view.position += 1
    view.begin()
    view.taken.add(2)
    view.create("/p/m", fresh(view), "/p", view.kids("/p"))
    view.delete("/p/n")
    view.end_session(MINE)
    view.undo()
    assert view.peek("/p/n") is not None
    assert view.peek("/p/m") is None
    assert view.session(MINE) is bench.replica.sessions[MINE]
    assert (view.changes, view.taken) == ([], set())
    assert view.looked == bench.revisions("kids/p")
    assert view.kids("/p").count == 3


def test_zxid_is_that_of_the_position(view):
    """Pending."""
    assert view.zxid == -1
    view.position = 7
    assert view.zxid == -8


def test_ephemerals_are_those_of_now(bench, view):
    """Known ones in the order of creation, whether changed or not; then the batch's own; not the deleted ones."""
    assert list(view.ephemerals(MINE)) == ["/e1", "/p/e2", "/e3"]
    first = bench.replica.nodes["/e1"]
    view.set_data("/e1", first, first.with_data(b"1", -1, 0))
    view.delete("/p/e2")
    view.create("/e0", fresh(view, MINE), "/", view.kids("/"))
    view.create("/other", fresh(view, MINE + 1), "/", view.kids("/"))
    view.create("/plain", fresh(view), "/", view.kids("/"))
    assert list(view.ephemerals(MINE)) == ["/e1", "/e3", "/e0"]
    view.delete("/e0")
    view.delete("/e3")
    view.create("/e3", fresh(view, MINE + 1), "/", view.kids("/"))
    assert list(view.ephemerals(MINE)) == ["/e1"]
    assert list(view.ephemerals(MINE + 1)) == ["/other", "/e3"]


@pytest.mark.parametrize(
    "name",
    [
        "node/p",
        "stat/p",
        "kids/p",
        "node/",
        "kids/",
        "stat/",
        "node/no",
        "kids/no",
        "session/99",
        f"session/{MINE}",
    ],
)
def test_revision_of(bench, name):
    """What a plan of now would guard it with."""
    assert revision_of(bench.replica, name) == bench.ledger.revision_of(name)
