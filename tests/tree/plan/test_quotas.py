"""Quotas as the planner asks for them: hard and soft, and what a batch has done already."""

import pytest

from parkeeper.wire.multi import Multi
from parkeeper.wire.requests import Create, Delete, SetData
from tests.tree.ledger import Asked
from tests.tree.planning import OPEN, Bench, but

EXCEEDED = -125
HOME = "/zookeeper/quota/q"
END = bytes.fromhex("ffffffff 01 ffffffff")


def limited(limits: bytes) -> Bench:
    """/q and /q/1 of one byte each; /q has limits."""
    bench = Bench()
    bench.plant("/q", "/q/1", data=b"x")
    bench.plant(HOME)
    bench.plant(f"{HOME}/zookeeper_limits", data=limits)
    bench.plant(f"{HOME}/zookeeper_stats", data=b"count=0,bytes=0")
    return bench


def create(path: str, data: bytes = b"") -> tuple[int, Create]:
    return 1, Create(path, data, OPEN, 0)


def test_create_above_a_hard_count():
    """Refused where quotas are enforced; as ever where they are not."""
    bench = limited(b"count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=3")
    assert bench.code(*create("/q/2"), hard_quotas=True) == 0
    assert bench.code(*create("/q/3"), hard_quotas=True) == EXCEEDED
    assert bench.code(*create("/q/3")) == 0
    assert bench.code(*create("/elsewhere"), hard_quotas=True) == 0


def test_create_above_a_soft_count():
    """It is only logged."""
    assert limited(b"count=1,bytes=1").code(*create("/q/2", b"xx"), hard_quotas=True) == 0


def test_create_above_hard_bytes():
    """Data counts, and null counts as nothing."""
    bench = limited(b"count=-1,bytes=-1=;byteHardLimit=4")
    assert bench.code(*create("/q/2", b"xxx"), hard_quotas=True) == EXCEEDED
    assert bench.code(*create("/q/2", b"xx"), hard_quotas=True) == 0
    assert bench.code(1, Create("/q/3", None, OPEN, 0), hard_quotas=True) == 0


@pytest.mark.parametrize(("size", "code"), [(3, 0), (4, EXCEEDED), (1, 0), (0, 0)])
def test_set_data_above_hard_bytes(size, code):
    """What grows too much is refused."""
    bench = limited(b"count=-1,bytes=-1=;byteHardLimit=4")
    assert bench.code(5, SetData("/q/1", b"x" * size, -1), hard_quotas=True) == code


def test_set_data_when_it_shrinks_but_stays_above():
    """Refused as well; of the same size it is not looked at."""
    bench = limited(b"count=-1,bytes=-1=;byteHardLimit=4")
    assert bench.code(5, SetData("/q/1", b"x" * 9, -1)) == 0
    assert bench.code(5, SetData("/q/1", b"x" * 8, -1), hard_quotas=True) == EXCEEDED
    assert bench.code(5, SetData("/q/1", b"y" * 9, -1), hard_quotas=True) == 0
    assert bench.code(5, SetData("/q/1", b"x" * 3, -1), hard_quotas=True) == 0


def test_quota_stands_last_among_the_checks_of_create_and_before_the_version_of_set_data():
    """The order of checks."""
    bench = limited(b"count=-1,bytes=-1=;byteHardLimit=1;countHardLimit=1")
    bench.plant("/q/e", flags=1)
    bench.plant("/q/closed", acl=but(2))
    hard = {"hard_quotas": True}
    assert bench.code(*create("/q/1"), **hard) == -110
    assert bench.code(*create("/q/e/x"), **hard) == -108
    assert bench.code(*create("/q/."), **hard) == -8
    assert bench.code(5, SetData("/q/closed", b"xx", -1), **hard) == -102
    assert bench.code(5, SetData("/q/1", b"xx", 7), **hard) == EXCEEDED


def test_multi_counts_its_own_operations():
    """ZooKeeper lets one multi overshoot; here it is refused as a whole, and may make room for itself."""
    bench = limited(b"count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=3")
    outcome = bench.ask(14, Multi((create("/q/2"), create("/q/3"))), hard_quotas=True)
    assert (
        outcome.body
        == b"".join(b"\xff\xff\xff\xff\0" + 2 * code.to_bytes(4, signed=True) for code in (0, EXCEEDED)) + END
    )
    outcome = bench.ask(
        14, Multi((create("/q/2"), (2, Delete("/q/1", -1)), create("/q/3"))), hard_quotas=True
    )
    assert len(outcome.changes) == 3
    assert bench.replica.quotas.stats_data(f"{HOME}/zookeeper_stats") == b"count=3,bytes=1"


def test_batch_counts_what_it_did_and_forgets_what_failed():
    """Requests of one commit see each other; a failed multi leaves no trace in the usage."""
    bench = limited(b"count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=4")
    outcomes = bench.together(
        Asked(14, Multi((create("/q/a"), create("/q/b"), (2, Delete("/no", -1)))), hard_quotas=True),
        Asked(*create("/q/2"), hard_quotas=True),
        Asked(*create("/q/3"), hard_quotas=True),
        Asked(*create("/q/4"), hard_quotas=True),
        Asked(2, Delete("/q/2", -1), hard_quotas=True),
        Asked(*create("/q/5"), hard_quotas=True),
    )
    assert [outcome.code for outcome in outcomes] == [0, 0, 0, EXCEEDED, 0, 0]


def test_quota_rests_on_no_guard():
    """Usage is computed, so what is refused guards what it would have guarded otherwise."""
    bench = limited(b"count=-1,bytes=-1=;byteHardLimit=0;countHardLimit=0")
    assert bench.ask(*create("/q/2", b"x"), hard_quotas=True).guards.keys() == {"node/q", "kids/q"}
    outcome = bench.ask(5, SetData("/q/1", b"xx", -1), hard_quotas=True)
    assert (outcome.code, outcome.guards.keys()) == (EXCEEDED, {"node/q/1", "stat/q/1"})
