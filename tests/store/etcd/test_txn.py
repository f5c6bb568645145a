"""Commits as etcd transactions: what is asked, within which limits."""

import json
from base64 import b64encode
from typing import Any

import pytest

from parkeeper.errors import GuardFailed, Rejected
from parkeeper.store.etcd.alone import COARSE_AFTER
from parkeeper.store.etcd.store import EtcdStore
from parkeeper.store.etcd.txn import Transactions
from parkeeper.store.facade import Commit, Head
from parkeeper.store.keys import Layout
from parkeeper.store.urls import StoreOptions
from tests.servers import Etcd
from tests.store.etcd.clusters import opened
from tests.store.writers import Writer, listening, make_namespace, writers

pytestmark = pytest.mark.usefixtures("patient")


def b64(text: str | bytes) -> str:
    return b64encode(text.encode() if isinstance(text, str) else text).decode()


def as_json(transactions: Transactions, commit: Commit) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(transactions.commit(commit))
    return body


NEWEST = {
    "request_range": {
        "key": b64("p/head/"),
        "range_end": b64("p/head0"),
        "limit": 1,
        "sort_order": "DESCEND",
        "sort_target": "MOD",
        "keys_only": True,
    }
}
HEAD = bytes.fromhex("01 0000000000000005 0000000000000006 0000000000000007 00000001") + b"journal"


def test_commit_as_it_is_sent() -> None:
    """Guards; the read of the commit before; deletes, puts, the head; and what is read when a guard fails."""
    transactions = Transactions(Layout("p/", "/"), None, None)
    commit = Commit(
        3,
        Head(5, 6, 7),
        {"head/3": 40, "kids/a": 0},
        {"node/a": b"A", "data/a": b"\x00\xff"},
        ["stat/a"],
        b"journal",
        41,
    )
    assert as_json(transactions, commit) == {
        "compare": [
            {"key": b64("p/head/3"), "target": "MOD", "result": "EQUAL", "mod_revision": 40},
            {"key": b64("p/kids/a"), "target": "MOD", "result": "EQUAL", "mod_revision": 0},
        ],
        "success": [
            NEWEST,
            {"request_delete_range": {"key": b64("p/stat/a")}},
            {"request_put": {"key": b64("p/node/a"), "value": b64("A")}},
            {"request_put": {"key": b64("/a"), "value": b64(b"\x00\xff")}},
            {"request_put": {"key": b64("p/head/3"), "value": b64(HEAD)}},
        ],
        "failure": [NEWEST, {"request_range": {"key": b64("p/head/3")}}],
    }


def test_guards_when_they_do_not_fit() -> None:
    """One compare over the heads stands for those of items; it can't for those of head, fence, keeper, ids, meta."""
    transactions = Transactions(Layout("p/"), None, None)
    stay = {"head/3": 40, "fence/3": 12, "keeper/4": 39, "ids": 8, "meta": 1}
    guards = stay | {f"node/{number}": number for number in range(200)}
    sent = as_json(transactions, Commit(3, Head(5, 6, 7), guards, {}, seen=41))
    assert sent["compare"] == [
        *(
            {"key": b64("p/" + name), "target": "MOD", "result": "EQUAL", "mod_revision": revision}
            for name, revision in stay.items()
        ),
        {
            "key": b64("p/head/"),
            "range_end": b64("p/head0"),
            "target": "MOD",
            "result": "LESS",
            "mod_revision": 42,
        },
    ]


def test_guards_when_their_names_are_long() -> None:
    """Guards that would make the request too large are replaced as well; what is left fits."""
    transactions = Transactions(Layout("p/"), None, None)
    guards = {"head/3": 40, "fence/3": 12} | {f"node/{number}{'x' * 60_000}": 7 for number in range(30)}
    sent = as_json(transactions, Commit(3, Head(5, 6, 7), guards, {"node/a": b"x" * 100_000}, seen=41))
    assert len(sent["compare"]) == 3


@pytest.mark.parametrize(("guards", "writes"), [(3, 126), (3, 127), (100, 300), (3, 4031), (4000, 4031)])
def test_lists_are_within_the_limit(guards: int, writes: int) -> None:
    """No list has more than 128, nor a nested one more than 128 less the longest outer one."""
    transactions = Transactions(Layout("p/"), None, None)
    names = {f"node/{number}": 1 for number in range(guards)}
    puts = {f"node/{number}": b"" for number in range(writes)}
    sent = as_json(transactions, Commit(3, Head(5, 6, 7), {"head/3": 1} | names, puts, seen=1))
    outer = max(len(sent[part]) for part in ("compare", "success", "failure"))
    assert outer <= 128
    written = 0
    for operation in sent["success"][1:]:
        inner = operation.get("request_txn")
        if inner is None:
            written += 1
        else:
            assert list(inner) == ["success"]
            assert len(inner["success"]) <= 128 - outer
            written += len(inner["success"])
    assert written == writes + 1


def test_commit_when_it_is_too_large() -> None:
    """Refused before it is sent, with the flag to raise."""
    transactions = Transactions(Layout("p/"), None, None)
    with pytest.raises(Rejected, match="max-txn-ops 128 lets 4032 pass"):
        transactions.commit(Commit(1, Head(1, 1, 1), {}, {f"node/{n}": b"" for n in range(4032)}))
    with pytest.raises(Rejected, match="max-request-bytes 1572864"):
        transactions.commit(Commit(1, Head(1, 1, 1), {}, {"node/a": b"x" * 1_550_000}))


# --- against servers ------------------------------------------------------------------------------------------


async def written(store: EtcdStore, revision: int) -> int:
    return sum(item.revision == revision for item in (await store.load()).items)


@pytest.mark.slow
async def test_commit_of_thousands_of_writes(any_etcd: Etcd) -> None:
    """4031 items beside the head are one commit: one revision, told at once, and it knows the one before."""
    any_etcd.wipe()
    async with opened(any_etcd) as store:
        one, two = await writers(store)
        before = await two.commit({"node/x": b""})
        puts = {f"node/{number}": b"value" for number in range(4031)}
        assert store.fits(10, 4031, 0, 60_000)
        assert not store.fits(10, 4032, 0, 60_000)
        async with listening(store, before.revision) as listener:
            receipt = await one.commit(puts, {"node/x": before.revision})
            await listener.reaches(receipt.revision)
        assert receipt.previous == before.revision
        assert await written(store, receipt.revision) == 4031
        assert [(event.revision, event.puts) for event in listener.commits] == [(receipt.revision, puts)]


async def test_commit_of_thousands_when_a_guard_fails(any_etcd: Etcd) -> None:
    """A guard of the outer transaction keeps the nested ones from happening."""
    any_etcd.wipe()
    async with opened(any_etcd) as store:
        one, two = await writers(store)
        other = await two.commit({"node/x": b""})
        puts = {f"node/{number}": b"" for number in range(500)}
        with pytest.raises(GuardFailed) as caught:
            await one.commit(puts, {"node/x": 0})
        assert caught.value == GuardFailed(other.revision, one.revision, one.head)
        assert await store.read("node/1") is None


@pytest.mark.slow
async def test_commit_of_the_largest_size(any_etcd: Etcd) -> None:
    """What we would just send, the server takes; nothing between is left to its refusal."""
    any_etcd.wipe()
    async with opened(any_etcd) as store:
        one, _ = await writers(store)
        largest, refusals = 0, list[str]()
        for size in (1_500_000, 1_520_000, 1_522_000, 1_523_000, 1_523_500, 1_530_000):
            try:
                await one.commit({"node/a": b"x" * size})
                largest = size
            except Rejected as error:
                refusals.append(str(error))
        assert 1_500_000 <= largest < 1_530_000
        assert refusals
        assert all("--max-request-bytes" in text for text in refusals)  # ours, not etcd's own


@pytest.mark.slow
async def test_commit_when_the_server_allows_other_sizes() -> None:
    """Its flags are told to us by options: 16 operations, 64 KiB."""
    flags = ["--max-txn-ops=16", "--max-request-bytes=65536"]
    with Etcd(flags=flags) as etcd:
        options = StoreOptions(max_txn_ops=16, max_request_bytes=65536)
        async with opened(etcd, options) as store:
            one, _ = await writers(store)
            most = max(number for number in range(200) if store.fits(0, number, 0, 0))
            assert most == 7 * 8 - 1
            receipt = await one.commit({f"node/{number}": b"" for number in range(most)}, {"node/none": 0})
            assert await written(store, receipt.revision) == most
            with pytest.raises(Rejected, match="--max-request-bytes 65536"):
                await one.commit({"node/a": b"x" * 64_000})


@pytest.mark.slow
async def test_commit_when_the_server_allows_less_than_we_were_told() -> None:
    """The server's refusal is a definite one, and its text is passed on."""
    with Etcd(flags=["--max-request-bytes=65536", "--max-txn-ops=16"]) as etcd:
        async with opened(etcd) as store:
            one, _ = await writers(store)
            with pytest.raises(Rejected, match="request is too large"):
                await one.commit({"node/a": b"x" * 70_000})
            with pytest.raises(Rejected, match="larger than max"):
                await one.commit({"node/a": b"x" * 700_000})
            with pytest.raises(Rejected, match="too many operations"):
                await one.commit({f"node/{number}": b"" for number in range(20)})
            assert await store.read("node/a") is None


async def test_commit_replaces_guards_only_when_nobody_came_between(any_etcd: Etcd) -> None:
    """The compare over the heads fails when another keeper committed what was not seen, whatever it wrote."""
    any_etcd.wipe()
    async with opened(any_etcd) as store:
        one, two = await writers(store)
        seen = await store.head()
        await two.commit({"node/elsewhere": b""})
        guards = {f"node/{number}": 0 for number in range(200)}
        with pytest.raises(GuardFailed):
            await one.commit({"node/a": b""}, guards, seen=seen)
        await one.commit({"node/a": b""}, guards)


def test_commit_of_who_is_alone_as_it_is_sent() -> None:
    """Guarded as a whole, by the own head as the newest one; and nothing is read."""
    transactions = Transactions(Layout("p/"), None, None)
    guards = {"head/3": 41, "fence/3": 12, "ids": 8, "node/a": 7, "stat/a": 8}
    commit = Commit(3, Head(5, 6, 7), guards, {"data/a": b"A"}, (), b"journal", 41, 3)
    assert json.loads(transactions.commit(commit, coarse=True)) == {
        "compare": [
            {"key": b64("p/head/3"), "target": "MOD", "result": "EQUAL", "mod_revision": 41},
            {"key": b64("p/ids"), "target": "MOD", "result": "EQUAL", "mod_revision": 8},
            {
                "key": b64("p/head/"),
                "range_end": b64("p/head0"),
                "target": "MOD",
                "result": "LESS",
                "mod_revision": 42,
            },
        ],
        "success": [
            {"request_put": {"key": b64("p/data/a"), "value": b64("A")}},
            {"request_put": {"key": b64("p/head/3"), "value": b64(HEAD)}},
        ],
    }


async def test_guards_are_coarse_for_who_is_alone_and_fine_again_after_the_first_loss(any_etcd: Etcd) -> None:
    """What lost but for being coarse happens when it is sent again, and then a while of fine guards follows."""
    any_etcd.wipe()
    async with opened(any_etcd) as store, opened(any_etcd) as other:
        one, two = await writers(store, other)
        await one.commit({"node/a": b""})
        for number in range(COARSE_AFTER + 2):
            before = one.revision
            assert (await one.commit_alone({"node/a": b"%d" % number})).previous == before
        seen = await store.head()
        theirs = await two.commit({"node/elsewhere": b""})
        absent = {"node/b": 0}
        with pytest.raises(GuardFailed) as caught:
            await one.commit({"node/b": b""}, absent, seen=seen, newest=1)
        assert caught.value == GuardFailed(theirs.revision, one.revision, one.head)
        for name in ("c", "d"):
            theirs = await two.commit({"node/elsewhere": b""})
            ours = await one.commit({f"node/{name}": b""}, {f"node/{name}": 0}, seen=seen, newest=1)
            assert ours.previous == theirs.revision
        with pytest.raises(GuardFailed):
            await one.commit({"node/c": b""}, {"node/c": 0})


async def test_guards_of_who_is_alone_fail_when_something_is_taken_from_it(any_etcd: Etcd) -> None:
    """Whoever rewrites our fence moves a head: that is noticed without a look at the fence."""
    any_etcd.wipe()
    async with opened(any_etcd) as store, opened(any_etcd) as other:
        one, two = await writers(store, other)
        for number in range(COARSE_AFTER + 2):
            await one.commit_alone({"node/a": b"%d" % number})
        taken = await two.commit({"fence/1": b"taken"}, {"node/x": 0})
        with pytest.raises(GuardFailed) as caught:
            await one.commit_alone({"node/a": b"late"})
        assert caught.value == GuardFailed(taken.revision, one.revision, one.head)


async def test_guards_are_fine_without_a_journal(any_etcd: Etcd) -> None:
    """A batch is planned again when it loses, whatever it lost by; an errand takes a lost guard for an answer."""
    any_etcd.wipe()
    async with opened(any_etcd) as store, opened(any_etcd) as other:
        one, two = await writers(store, other)
        for number in range(COARSE_AFTER + 2):
            await one.commit_alone({"node/a": b"%d" % number})
        seen = one.revision
        await two.commit({"node/elsewhere": b""})
        await one.commit({"node/b": b""}, {"node/b": 0}, journal=b"", seen=seen, newest=1)


async def test_coarse_guards_want_what_was_seen(any_etcd: Etcd) -> None:
    """A store that was put back to a backup has nothing newer than what was seen, but not that either.

    [a keeper that was the first to ask after it made a child of a znode that is no more]"""
    any_etcd.wipe()
    async with opened(any_etcd) as store, opened(any_etcd) as other:
        one, two = await writers(store, other)
        absent = {f"node/{number}": 0 for number in range(200)}  # more than a transaction holds
        for number in range(COARSE_AFTER + 2):
            await one.commit({"node/a": b"%d" % number})
        lost = await store.head() + 1000  # keeper 2 had come to there
        with pytest.raises(GuardFailed):
            await one.commit({"node/lost/child": b""}, {"node/lost": lost}, seen=lost, newest=2)
        with pytest.raises(GuardFailed):
            await one.commit({"node/b": b""}, absent, seen=lost, newest=2)
        for _ in range(COARSE_AFTER + 2):
            there = (await two.commit({"node/a": b""})).revision
        await one.commit({"node/b": b""}, absent, seen=there, newest=2)


async def test_writers_of_another_namespace_do_not_matter(any_etcd: Etcd) -> None:
    """Revisions are the store's, heads are the namespace's: `previous` and `head()` know only ours."""
    any_etcd.wipe()
    async with (
        opened(any_etcd, StoreOptions(namespace="a/")) as ours,
        opened(any_etcd, StoreOptions(namespace="b/")) as theirs,
    ):
        await make_namespace(ours)
        await make_namespace(theirs)
        one, other = Writer(ours, 1), Writer(theirs, 1)
        await one.register()
        await other.register()
        first = await one.commit({"node/a": b"1"})
        await other.commit({"node/a": b"1"})
        assert await ours.head() == first.revision
        assert (await one.commit({"node/a": b"2"})).previous == first.revision
