"""Watch messages put together: complete revisions, two watches, strangers. No server: every order can be tried."""

from typing import Any

import pytest

from parkeeper.errors import Compacted
from parkeeper.store.etcd.assembly import Assembly, Groups
from parkeeper.store.etcd.messages import Header, KeyValue, WatchEvent, WatchResult
from parkeeper.store.facade import Changed, Committed, Event, Head
from parkeeper.store.keys import Layout

INSIDE = Layout("p/")
APART = Layout("p/", "/")


def head(data_puts: int, journal: bytes = b"") -> bytes:
    return (
        b"\x01"
        + b"\0" * 7
        + b"\x01"
        + b"\0" * 7
        + b"\x02"
        + b"\0" * 7
        + b"\x03"
        + data_puts.to_bytes(4)
        + journal
    )


def put(revision: int, key: str, value: bytes = b"v") -> WatchEvent:
    return WatchEvent(KeyValue(key.encode(), value, revision))


def gone(revision: int, key: str) -> WatchEvent:
    return WatchEvent(KeyValue(key.encode(), b"", revision), "DELETE")


def message(*events: WatchEvent, fragment: bool = False, header: int = 1_000_000) -> WatchResult:
    return WatchResult(header=Header(revision=header), events=list(events), fragment=fragment)


def committed(
    revision: int, puts: dict[str, bytes], deletes: tuple[str, ...] = (), journal: bytes = b""
) -> Committed:
    return Committed(revision, 7, Head(1, 2, 3), journal, puts, deletes)


# --- one watch: which revisions are complete ------------------------------------------------------------------


def revisions(groups: list[Any]) -> list[tuple[int, int]]:
    return [(group.revision, len(group.events)) for group in groups]


def test_groups_of_a_whole_message() -> None:
    """A message without the flag never ends inside a revision."""
    groups = Groups(10)
    assert revisions(groups.feed(message(put(11, "a"), put(11, "b"), put(13, "a")))) == [(11, 2), (13, 1)]
    assert groups.last == 13


def test_groups_of_fragments() -> None:
    """Cuts fall inside revisions: the last one of a fragment is open until a later one comes, or the flag goes."""
    groups = Groups(10)
    assert revisions(groups.feed(message(put(11, "a"), put(12, "a"), fragment=True))) == [(11, 1)]
    assert groups.last == 11
    assert revisions(groups.feed(message(put(12, "b"), fragment=True))) == []
    assert revisions(groups.feed(message(put(12, "c"), put(13, "a"), fragment=True))) == [(12, 3)]
    assert revisions(groups.feed(message(put(13, "b")))) == [(13, 2)]
    assert groups.last == 13


def test_groups_of_events_told_before() -> None:
    """etcd before 3.4.24 and 3.5.8 may repeat events: they are dropped."""
    groups = Groups(10)
    assert revisions(groups.feed(message(put(10, "a"), put(11, "a")))) == [(11, 1)]
    assert revisions(groups.feed(message(put(11, "a"), put(12, "a")))) == [(12, 1)]
    assert revisions(groups.feed(message(put(12, "a")))) == []
    assert groups.last == 12


def test_groups_resume_after_events_never_after_headers() -> None:
    """In a replay the header names the store's revision, far above the last event; only progress may be believed."""
    groups = Groups(10)
    groups.feed(WatchResult(header=Header(revision=500), created=True))
    assert groups.last == 10
    groups.feed(message(put(11, "a"), header=500))
    assert groups.last == 11
    groups.feed(message(header=500))
    assert groups.last == 500


# --- one watch: what is told ----------------------------------------------------------------------------------


def told(assembly: Assembly) -> list[Event]:
    events: list[Event] = []
    while (event := assembly.next()) is not None:
        events.append(event)
    return events


class Watches:
    """Both watches of an assembly."""

    def __init__(self, layout: Layout, after: int = 10) -> None:
        self.assembly = Assembly(layout, after)
        self.names, self.values = Groups(after), Groups(after)

    def namespace(self, *events: WatchEvent, header: int = 0) -> list[Event]:
        self.assembly.namespace(self.names.feed(message(*events, header=header)), self.names.last)
        return told(self.assembly)

    def data(self, *events: WatchEvent, header: int = 0) -> list[Event]:
        self.assembly.data(self.values.feed(message(*events, header=header)), self.values.last)
        return told(self.assembly)


def test_commit_inside_the_namespace() -> None:
    """All of a revision with a head is that keeper's commit; the data lies in the same watch."""
    watches = Watches(INSIDE)
    assert watches.namespace(
        put(11, "p/node/a"),
        put(11, "p/data/a", b"D"),
        gone(11, "p/stat/a"),
        put(11, "p/head/7", head(1, b"j")),
    ) == [committed(11, {"node/a": b"v", "data/a": b"D"}, ("stat/a",), b"j")]


def test_changes_outside_commits() -> None:
    """Beats, tickets, meta and a stranger's data are told; what else a stranger does to our items is not."""
    watches = Watches(INSIDE)
    assert watches.namespace(
        put(11, "p/keeper/7", b"beat"),
        gone(12, "p/turn/7"),
        put(13, "p/meta", b"m"),
        put(14, "p/data/a", b"stranger"),
        put(15, "p/node/a"),
        gone(16, "p/head/7"),
        put(17, "p/metadata"),
        put(18, "p/head/x"),
    ) == [
        Changed(11, "keeper/7", b"beat"),
        Changed(12, "turn/7", None),
        Changed(13, "meta", b"m"),
        Changed(14, "data/a", b"stranger"),
    ]
    assert watches.assembly.told == 18


def test_commit_that_forgets_a_keeper() -> None:
    """A head that is deleted is a delete of the commit that does it."""
    watches = Watches(INSIDE)
    assert watches.namespace(gone(11, "p/head/3"), gone(11, "p/fence/3"), put(11, "p/head/7", head(0))) == [
        committed(11, {}, ("head/3", "fence/3"))
    ]


# --- two watches ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["namespace", "data"])
def test_commit_when_its_data_is_in_the_other_watch(first: str) -> None:
    """It is told when as many data keys as its head counts are there, whichever watch is faster."""
    watches = Watches(APART)
    names = [put(11, "p/node/a"), put(11, "p/node/b"), put(11, "p/head/7", head(2))]
    values = [put(11, "/a", b"A"), put(11, "/b", b"B")]
    whole = [committed(11, {"node/a": b"v", "node/b": b"v", "data/a": b"A", "data/b": b"B"})]
    if first == "namespace":
        assert watches.namespace(*names) == []
        assert watches.data(*values) == whole
    else:
        assert watches.data(*values) == []
        assert watches.namespace(*names) == whole


def test_commit_that_waits_holds_back_what_follows() -> None:
    """Order of revision: a beat behind it is not told before it."""
    watches = Watches(APART)
    assert (
        watches.namespace(put(11, "p/head/7", head(1)), put(12, "p/keeper/7"), put(13, "p/head/7", head(0)))
        == []
    )
    assert watches.assembly.told == 10
    assert watches.assembly.waiting > 0
    assert watches.data(put(11, "/a")) == [
        committed(11, {"data/a": b"v"}),
        Changed(12, "keeper/7", b"v"),
        committed(13, {}),
    ]
    assert watches.assembly.waiting == 0


def test_commit_whose_data_never_comes() -> None:
    """The data's watch has passed it, or brings too little: nothing can be proved, so all is loaded anew."""
    watches = Watches(APART)
    watches.namespace(put(11, "p/head/7", head(1)))
    with pytest.raises(Compacted, match="commit 11 put 1 data keys, etcd tells of 0"):
        watches.data(put(12, "/a"))
    watches = Watches(APART)
    watches.namespace(put(11, "p/head/7", head(2)))
    with pytest.raises(Compacted, match="commit 11 put 2 data keys, etcd tells of 1"):
        watches.data(put(11, "/a"))


def test_stranger_between_commits() -> None:
    """It is told in its place once the namespace's watch has passed it."""
    watches = Watches(APART)
    assert watches.data(put(11, "/a", b"stranger"), put(12, "/a", b"ours")) == []
    assert watches.assembly.held > 0
    assert watches.namespace(put(12, "p/head/7", head(1))) == [
        Changed(11, "data/a", b"stranger"),
        committed(12, {"data/a": b"ours"}),
    ]
    assert watches.assembly.held == 0


def test_stranger_when_nothing_is_committed() -> None:
    """A beat, a progress notification, or an answer that names no newer commit decide as well."""
    watches = Watches(APART)
    assert watches.data(put(11, "/a"), put(14, "/b"), gone(17, "/a")) == []
    assert watches.namespace(put(12, "p/keeper/7")) == [
        Changed(11, "data/a", b"v"),
        Changed(12, "keeper/7", b"v"),
    ]
    assert watches.namespace(header=15) == [Changed(14, "data/b", b"v")]
    watches.assembly.decide(20)
    assert told(watches.assembly) == [Changed(17, "data/a", None)]


def test_stranger_that_is_late() -> None:
    """The namespace's watch may be ahead: a change that comes later is told later, with its own revision."""
    watches = Watches(APART)
    assert watches.namespace(put(12, "p/head/7", head(0))) == [committed(12, {})]
    assert watches.data(put(11, "/a")) == [Changed(11, "data/a", b"v")]


@pytest.mark.parametrize("first", ["namespace", "data"])
def test_deletes_of_data_are_not_waited_for(first: str) -> None:
    """They belong to their commit if they are there, and are no stranger's if they come late."""
    watches = Watches(APART)
    names, value = [gone(11, "p/node/a"), put(11, "p/head/7", head(0))], gone(11, "/a")
    if first == "data":
        assert watches.data(value) == []
        assert watches.namespace(*names) == [committed(11, {}, ("node/a", "data/a"))]
    else:
        assert watches.namespace(*names) == [committed(11, {}, ("node/a",))]
        assert watches.data(value) == []
        assert watches.data(put(12, "/a")) == []
        assert watches.namespace(put(13, "p/keeper/7"))[0] == Changed(12, "data/a", b"v")


def test_namespace_is_made_over_both() -> None:
    """The first commit has no head: its data comes as changes, whichever watch is faster."""
    watches = Watches(APART)
    assert watches.namespace(put(11, "p/meta"), put(11, "p/node/")) == [Changed(11, "meta", b"v")]
    assert watches.data(put(11, "/", b"")) == [Changed(11, "data/", b"")]


def test_namespaces_own_data_is_nobodys_when_apart() -> None:
    """A key `data/...` inside the namespace is no item when the data lies elsewhere."""
    watches = Watches(APART)
    assert watches.namespace(put(11, "p/data/a"), put(12, "p/keeper/7")) == [Changed(12, "keeper/7", b"v")]


def test_keys_that_are_no_text() -> None:
    """A stranger's, left alone."""
    watches = Watches(APART)
    event = WatchEvent(KeyValue(b"/\xff", b"", 11))
    assert watches.data(event) == []
    assert watches.namespace(put(12, "p/keeper/7")) == [Changed(12, "keeper/7", b"v")]
