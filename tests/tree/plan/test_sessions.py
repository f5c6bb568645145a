"""Sessions: opened, claimed, closed in one commit or in parts; who is expired, and who is fenced off."""

import pytest

from parkeeper.tree.sessions import (
    CLAIM_SESSION,
    CLOSE_SESSION,
    OPEN_SESSION,
    ClaimSession,
    CloseSession,
    OpenSession,
)
from parkeeper.wire.requests import Create, Delete, SetData
from tests.tree.ledger import Asked, Keeper
from tests.tree.planning import OPEN, ROOT, Bench, but

EXPIRED, MOVED_ON = -112, -103
MINE = 1 << 32 | 1
THEIRS = 2 << 32 | 1


@pytest.fixture
def bench() -> Bench:
    return Bench()


def second(bench: Bench) -> Keeper:
    """A keeper with the number 2 and a session of its own."""
    keeper = Keeper(bench.ledger, 2)
    keeper.register()
    keeper.catch_up()
    send(keeper, Asked(OPEN_SESSION, OpenSession(THEIRS, 6_000)))
    bench.keeper.catch_up()
    return keeper


def send(keeper: Keeper, *asked: Asked) -> list[tuple[int, bytes | None]] | None:
    """The answers, or None if another keeper was first."""
    flight = keeper.send(keeper.plan(asked, 1_000))
    keeper.catch_up()
    return None if flight is None else flight.answers


def test_open_makes_a_record(bench):
    """With the timeout negotiated, the keeper, and the time."""
    bench.now = 1_234
    outcome = bench.ask(OPEN_SESSION, OpenSession(0x1_0000_0002, 4_321))
    assert (outcome.code, outcome.body) == (0, b"")
    record = bench.replica.sessions[0x1_0000_0002]
    assert (record.timeout, record.owner, record.created, record.closing) == (4_321, 1, 1_234, False)
    assert record.rev == bench.ledger.revision
    assert list(bench.puts) == ["session/4294967298"]


def test_open_when_the_id_was_given_before(bench):
    """That cannot be, and is no client's fault."""
    with pytest.raises(AssertionError, match="0x100000001"):
        bench.ask(OPEN_SESSION, OpenSession(MINE, 4_000))


def test_claim_by_the_owner(bench):
    """A commit all the same: a new revision ends older attachments. The timeout is the new one."""
    before = bench.replica.sessions[MINE].rev
    assert bench.code(CLAIM_SESSION, ClaimSession(MINE, 9_000)) == 0
    record = bench.replica.sessions[MINE]
    assert (record.timeout, record.owner, record.claims) == (9_000, 1, 1)
    assert record.rev > before
    assert list(bench.puts) == [f"session/{MINE}"]


def test_claim_of_another_keepers(bench):
    """It moves, and its old keeper is fenced off: what that one planned by it no longer commits."""
    other = second(bench)
    planned = other.plan([Asked(1, Create("/late", b"", OPEN, 1), THEIRS)], 1_000)
    batch = bench.keeper.plan([Asked(CLAIM_SESSION, ClaimSession(THEIRS, 6_000))], 1_000)
    assert batch.taken == {2}
    flight = bench.keeper.send(batch)
    assert flight is not None
    assert other.send(planned) is None
    other.catch_up()
    assert other.replica.sessions[THEIRS].owner == 1
    assert other.alive(Asked(1, None, THEIRS), other.plan([], 0).view) is False


def test_claim_of_a_keeper_that_is_gone(bench):
    """Its death wrote its fence already."""
    second(bench)
    bench.ledger.commit(1, {}, {"fence/2": b"dead"}, ["keeper/2"], b"")
    bench.keeper.catch_up()
    batch = bench.keeper.plan([Asked(CLAIM_SESSION, ClaimSession(THEIRS, 6_000))], 1_000)
    assert batch.taken == set()
    assert batch.planned[0].code == 0


def test_claim_when_it_is_not_there(bench):
    """Expired; and that rests on its absence."""
    outcome = bench.ask(CLAIM_SESSION, ClaimSession(99, 6_000))
    assert (outcome.code, outcome.guards) == (EXPIRED, {"session/99": 0})


def test_close_takes_the_ephemerals_along(bench):
    """In the order of their creation, under one zxid; nothing of others goes."""
    bench.plant("/p", "/p/stays")
    bench.plant("/z", "/p/e", "/a", flags=1)
    bench.ask(5, SetData("/z", b"1", -1))
    outcome = bench.ask(CLOSE_SESSION, CloseSession(MINE), MINE)
    assert [change.path for change in outcome.changes] == ["/z", "/p/e", "/a", ""]
    assert bench.replica.sessions == {}
    assert bench.stat("/p").pzxid == bench.stat("/").pzxid == outcome.zxid
    items = {kind + path for kind in ("node", "data", "stat") for path in ("/z", "/p/e", "/a")}
    assert set(bench.deletes) == items | {f"session/{MINE}"}
    assert set(bench.puts) == {"kids/", "kids/p"}


def test_close_whatever_the_acls_say(bench):
    """The session's end asks nobody."""
    bench.plant("/closed", acl=but(8))
    bench.plant("/closed/e", flags=1)
    assert bench.code(CLOSE_SESSION, CloseSession(MINE)) == 0
    assert "/closed/e" not in bench.replica.nodes


def test_close_sees_the_batch(bench):
    """Ephemerals made before it in the same commit go, those deleted in it don't go twice."""
    bench.plant("/old", "/gone", flags=1)
    *_, closed = bench.together(
        Asked(2, Delete("/gone", -1), MINE),
        Asked(1, Create("/new", b"", OPEN, 1), MINE),
        Asked(5, SetData("/old", b"", -1), MINE),
        Asked(1, Create("/mine", b"", OPEN, 0), MINE),
        Asked(CLOSE_SESSION, CloseSession(MINE), MINE),
    )
    assert [change.path for change in closed.changes] == ["/old", "/new", ""]
    assert "/mine" in bench.replica.nodes
    assert bench.replica.ephemerals.count == 0


def test_close_when_it_is_not_there(bench):
    """Expired."""
    assert bench.code(CLOSE_SESSION, CloseSession(99)) == EXPIRED


def test_close_by_a_clock(bench):
    """Dropped if the record moved since the clock was read, also if it did a moment ago in the same commit."""
    seen = bench.replica.sessions[MINE].rev
    claimed, closed = bench.together(
        Asked(CLAIM_SESSION, ClaimSession(MINE, 4_000)), Asked(CLOSE_SESSION, CloseSession(MINE, seen))
    )
    assert (claimed.code, closed.code) == (0, MOVED_ON)
    assert bench.code(CLOSE_SESSION, CloseSession(MINE, seen)) == MOVED_ON
    assert bench.code(CLOSE_SESSION, CloseSession(MINE, bench.replica.sessions[MINE].rev)) == 0


def test_close_by_a_clock_of_one_that_is_closing(bench):
    """Its end is not to be stopped any more."""
    bench.plant("/1", "/2", "/3", flags=1)
    seen = bench.replica.sessions[MINE].rev
    assert bench.ask(CLOSE_SESSION, CloseSession(MINE, seen), most=2).body is None
    assert bench.code(CLOSE_SESSION, CloseSession(MINE, seen)) == 0


def test_close_in_parts(bench):
    """First it is marked; each part deletes some, the last one the record; only then there is an answer."""
    bench.plant("/1", "/2", "/3", "/4", "/5", flags=1)
    close = (CLOSE_SESSION, CloseSession(MINE))
    first = bench.ask(*close, most=2)
    assert (first.code, first.body) == (0, None)
    assert list(bench.puts) == ["kids/", f"session/{MINE}"]
    assert bench.replica.sessions[MINE].closing
    assert bench.replica.ephemerals.of(MINE) == ["/3", "/4", "/5"]
    assert bench.ask(*close, most=2).body is None
    assert list(bench.puts) == ["kids/"]
    last = bench.ask(*close, most=2)
    assert (last.code, last.body) == (0, b"")
    assert bench.replica.sessions == {}
    assert bench.replica.ephemerals.count == 0


def test_close_in_parts_when_it_fits(bench):
    """It is one part."""
    bench.plant("/1", "/2", flags=1)
    assert bench.ask(CLOSE_SESSION, CloseSession(MINE), most=2).body == b""


def test_claim_of_one_that_is_closing(bench):
    """Its end is brought about, in parts if need be; then it is expired."""
    bench.plant("/1", "/2", "/3", flags=1)
    bench.ask(CLOSE_SESSION, CloseSession(MINE), most=1)
    claim = (CLAIM_SESSION, ClaimSession(MINE, 4_000))
    half = bench.ask(*claim, most=1)
    assert half.body is None
    assert bench.replica.sessions[MINE].closing
    done = bench.ask(*claim, most=1)
    assert (done.code, done.body) == (EXPIRED, b"")
    assert bench.replica.sessions == {}
    assert bench.code(*claim) == EXPIRED


def test_close_of_another_live_keepers(bench):
    """It is fenced off, and what it committed is known: an ephemeral of it is deleted or never was."""
    other = second(bench)
    send(other, Asked(1, Create("/e", b"", OPEN, 1), THEIRS, ROOT))
    bench.keeper.catch_up()
    planned = other.plan([Asked(1, Create("/f", b"", OPEN, 1), THEIRS)], 1_000)
    wanted = bench.revisions(f"session/{THEIRS}", "kids/", "head/2")
    assert bench.ask(CLOSE_SESSION, CloseSession(THEIRS)).guards == wanted
    assert other.send(planned) is None
    assert set(bench.replica.nodes).isdisjoint({"/e", "/f"})


def test_close_of_another_live_keepers_that_committed_meanwhile(bench):
    """An ephemeral that we have not seen would outlive its session: the close loses, and is planned again."""
    other = second(bench)
    send(other, Asked(1, Create("/e", b"", OPEN, 1), THEIRS, ROOT))
    batch = bench.keeper.plan([Asked(CLOSE_SESSION, CloseSession(THEIRS))], 1_000)
    assert [change.path for change in batch.planned[0].changes] == [""]
    assert bench.keeper.send(batch) is None
    bench.keeper.catch_up()
    assert bench.code(CLOSE_SESSION, CloseSession(THEIRS)) == 0
    assert "/e" not in bench.replica.nodes


def test_close_of_another_keepers_that_is_closing(bench):
    """Anybody ends what its owner began: nothing is created by it any more."""
    other = second(bench)
    for path in ("/1", "/2"):
        send(other, Asked(1, Create(path, b"", OPEN, 1), THEIRS, ROOT))
    send(other, Asked(CLOSE_SESSION, CloseSession(THEIRS), most=1))
    bench.keeper.catch_up()
    assert bench.code(CLOSE_SESSION, CloseSession(THEIRS)) == 0
    assert set(bench.replica.nodes).isdisjoint({"/1", "/2"})


def test_close_of_one_whose_keeper_is_gone(bench):
    """The janitor's work; nobody is fenced off any more."""
    other = second(bench)
    send(other, Asked(1, Create("/e", b"", OPEN, 1), THEIRS, ROOT))
    bench.ledger.commit(1, {}, {"fence/2": b"dead"}, ["keeper/2"], b"")
    bench.keeper.catch_up()
    assert bench.code(CLOSE_SESSION, CloseSession(THEIRS, bench.replica.sessions[THEIRS].rev)) == 0
    assert bench.puts.keys() == {"kids/"}
    assert "/e" not in bench.replica.nodes
