"""What every store promises (`parkeeper.store.facade`) about commits, guards and limits, asked of each of them."""

from itertools import pairwise, product

import pytest
import trio

from parkeeper.errors import GuardFailed, Rejected
from parkeeper.store.facade import Commit, Head, Item
from tests.store.backends import Pair
from tests.store.writers import Writer, listening, load_items, make_namespace, writers

# --- an empty store, and the first commit ---------------------------------------------------------------------


async def test_load_when_empty(store_pair: Pair) -> None:
    """Nothing is there, and that is no error."""
    snapshot = await store_pair.a.load()
    assert (snapshot.revision, list(snapshot.items), dict(snapshot.heads)) == (0, [], {})
    assert await store_pair.a.head() == 0
    assert await store_pair.a.read("meta") is None
    survey = await store_pair.a.survey()
    assert (dict(survey.heads), dict(survey.keepers)) == ({}, {})


async def test_commit_of_nobody_makes_the_namespace(store_pair: Pair) -> None:
    """The first commit has no keeper: it moves no head, and all its items have one revision."""
    receipt = await make_namespace(store_pair.a)
    assert receipt.revision > 0
    assert receipt.previous == 0
    items = await load_items(store_pair.b)
    assert {name: item.value for name, item in items.items()} == {
        "meta": b"meta",
        "ids": b"0",
        "node/": b"root",
        "data/": b"",
    }
    assert {item.revision for item in items.values()} == {receipt.revision}
    assert await store_pair.b.head() == 0


async def test_commit_of_nobody_when_the_namespace_is_there(store_pair: Pair) -> None:
    """Two first keepers: one makes the namespace, the other is told that it is made."""
    await make_namespace(store_pair.a)
    with pytest.raises(GuardFailed) as caught:
        await make_namespace(store_pair.b)
    assert caught.value == GuardFailed(0, 0, None)


# --- commits and guards ---------------------------------------------------------------------------------------


async def test_commit_writes_and_deletes_together(store_pair: Pair) -> None:
    """Puts and deletes of one commit are all there after it, at its revision, for both facades."""
    one, _ = await writers(store_pair.a, store_pair.b)
    first = await one.commit({"node/a": b"A", "data/a": b"1", "node/b": b"B"}, {"node/a": 0, "node/b": 0})
    second = await one.commit({"data/a": b"2"}, {"node/b": first.revision}, ["node/b", "data/never-there"])
    for store in (store_pair.a, store_pair.b):
        items = await load_items(store)
        assert items["node/a"] == Item("node/a", b"A", first.revision)
        assert items["data/a"] == Item("data/a", b"2", second.revision)
        assert "node/b" not in items
        assert "data/never-there" not in items


async def test_commit_returns_the_revision_before(store_pair: Pair) -> None:
    """`previous` is the newest revision under `head/` before the commit, whoever's, beats not counted."""
    one, two = await writers(store_pair.a, store_pair.b)
    first = await one.commit({"node/a": b"1"})
    await two.send_beat(b"tick")
    second = await two.commit({"node/b": b"1"})
    third = await one.commit({"node/a": b"2"})
    assert second.previous == first.revision
    assert third.previous == second.revision
    assert first.revision < second.revision < third.revision


async def test_commit_when_a_guard_is_right(store_pair: Pair) -> None:
    """0 guards absence, a revision guards that revision; both hold again after delete and create."""
    one, _ = await writers(store_pair.a)
    created = await one.commit({"node/a": b"1"}, {"node/a": 0})
    changed = await one.commit({"node/a": b"2"}, {"node/a": created.revision, "kids/a": 0})
    await one.commit({}, {"node/a": changed.revision}, ["node/a"])
    again = await one.commit({"node/a": b"3"}, {"node/a": 0})
    assert await store_pair.b.read("node/a") == Item("node/a", b"3", again.revision)


@pytest.mark.parametrize("guard", ["present though guarded absent", "changed since", "absent though guarded"])
async def test_commit_when_a_guard_is_wrong(store_pair: Pair, guard: str) -> None:
    """Nothing of the commit happens, and the error tells the newest head and one's own."""
    one, two = await writers(store_pair.a, store_pair.b)
    before = await one.commit({"node/a": b"1", "node/b": b"1"})
    after = await two.commit({"node/a": b"2"}, {"node/a": before.revision})
    guards = {
        "present though guarded absent": {"node/a": 0},
        "changed since": {"node/a": before.revision},
        "absent though guarded": {"node/gone": before.revision},
    }[guard]
    with pytest.raises(GuardFailed) as caught:
        await one.commit({"node/c": b"1"}, {"node/b": before.revision} | guards, ["node/b"])
    assert caught.value == GuardFailed(after.revision, one.revision, one.head)
    items = await load_items(store_pair.a)
    assert "node/c" not in items
    assert items["node/b"].revision == before.revision
    assert await store_pair.a.head() == after.revision
    later = await one.commit({"node/c": b"1"}, {"node/b": before.revision})
    assert later.previous == after.revision


async def test_commit_when_sent_twice(store_pair: Pair) -> None:
    """Whoever is in doubt sends the same commit again, and learns that and when it had happened."""
    one, two = await writers(store_pair.a, store_pair.b)
    commit = await one.plan({"node/a": b"1"}, {"node/a": 0})
    receipt = await one.send(commit)
    rival = await two.commit({"node/b": b"1"})
    with pytest.raises(GuardFailed) as caught:
        await store_pair.a.commit(commit)
    assert caught.value == GuardFailed(rival.revision, receipt.revision, commit.head)


async def test_commit_when_an_empty_one_came_first(store_pair: Pair) -> None:
    """An empty commit, guarded by the head alone, keeps a late copy of the one in doubt out."""
    one, _ = await writers(store_pair.a)
    late = await one.plan({"node/a": b"1"})
    empty = await one.plan({}, journal=b"")
    receipt = await one.send(Commit(1, empty.head, {"head/1": one.revision}, {}))
    with pytest.raises(GuardFailed) as caught:
        await store_pair.b.commit(late)
    assert caught.value == GuardFailed(receipt.revision, receipt.revision, empty.head)
    assert await store_pair.b.read("node/a") is None


async def test_commit_when_the_head_is_gone(store_pair: Pair) -> None:
    """A keeper that was forgotten learns it: its own head is 0, without identity."""
    one, two = await writers(store_pair.a, store_pair.b)
    done = await two.commit({}, {"head/1": one.revision}, ["head/1", "fence/1", "keeper/1"])
    with pytest.raises(GuardFailed) as caught:
        await one.commit({"node/a": b"1"})
    assert caught.value == GuardFailed(done.revision, 0, None)
    assert set((await store_pair.a.survey()).heads) == {2}


async def test_commit_when_fenced(store_pair: Pair) -> None:
    """Whoever's fence was rewritten can't commit any more."""
    one, two = await writers(store_pair.a, store_pair.b)
    taken = await two.commit({"fence/1": b"taken by 2"}, {"fence/1": one.fence})
    with pytest.raises(GuardFailed) as caught:
        await one.commit({"node/a": b"1"})
    assert caught.value.newest == taken.revision


async def test_commit_when_two_facades_race(store_pair: Pair) -> None:
    """Of commits that exclude each other exactly one happens, each time; the other learns of it."""
    one, two = await writers(store_pair.a, store_pair.b)
    known = (await one.commit({"node/a": b"0"})).revision
    for _ in range(20):
        won: list[int] = []
        lost: list[GuardFailed] = []

        async def try_once(writer: Writer, guard: int, won: list[int], lost: list[GuardFailed]) -> None:
            commit = await writer.plan({"node/a": b"by %d" % writer.keeper}, {"node/a": guard})
            try:
                won.append((await writer.send(commit)).revision)
            except GuardFailed as error:
                lost.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(try_once, one, known, won, lost)
            nursery.start_soon(try_once, two, known, won, lost)
        assert len(won) == len(lost) == 1
        assert lost[0].newest == won[0]
        known = won[0]


async def test_commit_when_counters_are_large(store_pair: Pair) -> None:
    """Identities of 63 random bits come back exactly."""
    one, _ = await writers(store_pair.a)
    head = Head(2**63 - 1, 2, 2**31 - 1)
    receipt = await store_pair.a.commit(Commit(1, head, {"head/1": one.revision}, {"node/a": b"1"}))
    assert (await store_pair.b.load()).heads[1] == (head, receipt.revision)
    assert (await store_pair.b.survey()).heads[1] == (head, receipt.revision)


# --- many guards, and limits ----------------------------------------------------------------------------------


async def test_commit_with_more_guards_than_fit(store_pair: Pair) -> None:
    """300 right guards pass, whether they are looked at or replaced by "no head newer than `seen`"."""
    one, _ = await writers(store_pair.a, store_pair.b)
    known = (await one.commit({f"node/{i}": b"1" for i in range(10)})).revision
    guards = {f"node/{i}": known if i < 10 else 0 for i in range(300)}
    receipt = await one.commit({"node/0": b"2"}, guards)
    assert await store_pair.b.read("node/0") == Item("node/0", b"2", receipt.revision)


async def test_commit_with_more_guards_than_fit_when_one_is_wrong(store_pair: Pair) -> None:
    """What was committed since the plan is noticed, also if the guard it breaks could not be sent itself."""
    one, two = await writers(store_pair.a, store_pair.b)
    known = (await one.commit({f"node/{i}": b"1" for i in range(10)})).revision
    guards = {f"node/{i}": known if i < 10 else 0 for i in range(300)}
    commit = await one.plan({"node/0": b"2"}, guards)
    rival = await two.commit({"node/299": b"created meanwhile"})
    with pytest.raises(GuardFailed) as caught:
        await one.send(commit)
    assert caught.value.newest == rival.revision


async def test_commit_with_more_guards_than_fit_when_a_keeper_beat(store_pair: Pair) -> None:
    """A `keeper/` guard is never replaced: a beat, which moves no head, still saves its keeper's life."""
    one, two = await writers(store_pair.a, store_pair.b)
    guards = {f"node/{i}": 0 for i in range(300)} | {"keeper/2": two.beat}
    commit = await one.plan({"fence/2": b"dead"}, guards, ["keeper/2"])
    await two.send_beat(b"alive")
    with pytest.raises(GuardFailed):
        await one.send(commit)
    assert 2 in (await store_pair.a.survey()).keepers


@pytest.mark.parametrize("kind", ["puts", "deletes", "creates", "bytes"])
async def test_fits_is_kept(store_pair: Pair, kind: str) -> None:
    """The largest commit that `fits` allows is taken."""
    one, _ = await writers(store_pair.a)
    big = bytes(100_000)

    def shape(n: int) -> tuple[dict[str, bytes], dict[str, int], list[str]]:
        if kind == "puts":
            return {f"data/{i:05}": b"v" for i in range(n)}, {}, []
        if kind == "deletes":
            return {}, {f"node/{i:05}": 0 for i in range(n)}, [f"node/{i:05}" for i in range(n)]
        if kind == "creates":
            return {f"node/{i:05}": b"v" for i in range(n)}, {f"node/{i:05}": 0 for i in range(n)}, []
        return {f"data/{i:05}": big for i in range(n)}, {}, []

    def fits(n: int) -> bool:
        puts, guards, deletes = shape(n)
        size = sum(len(name) + len(value) for name, value in puts.items()) + sum(map(len, deletes))
        return store_pair.a.fits(len(guards), len(puts), len(deletes), size)

    assert fits(1)
    low, high = 1, 5000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    assert not fits(high)
    puts, guards, deletes = shape(low)
    receipt = await one.commit(puts, guards, deletes)
    assert await store_pair.b.head() == receipt.revision


async def test_fits_less_where_it_fits_more(store_pair: Pair) -> None:
    """Of guards, puts, deletes and bytes, each by itself; down to one guard."""
    store = store_pair.a
    axes = (
        [1, 2, 9, 60, 61, 130, 500],
        [1, 3, 20, 62, 100, 4000],
        [0, 1, 30, 64],
        [100, 50_000, 600_000, 2_000_000],
    )
    for numbers in product(*axes):
        if store.fits(*numbers):
            for axis, (values, number) in enumerate(zip(axes, numbers, strict=True)):
                if number != values[0]:
                    less = (*numbers[:axis], values[values.index(number) - 1], *numbers[axis + 1 :])
                    assert store.fits(*less), (numbers, less)


async def test_commit_when_too_large(store_pair: Pair) -> None:
    """Refused for good, nothing changed, and the next commit is as any."""
    one, _ = await writers(store_pair.a)
    known = await store_pair.a.head()
    with pytest.raises(Rejected):
        await one.commit({"data/a": bytes(16 << 20), "node/a": b"1"})
    assert await store_pair.b.head() == known
    assert await store_pair.b.read("node/a") is None
    assert (await one.commit({"node/a": b"1"})).previous == known


async def test_commit_when_the_value_is_the_largest(store_pair: Pair) -> None:
    """A value of `limits.value` bytes is kept whole."""
    one, _ = await writers(store_pair.a)
    value = bytes(range(256)) * (store_pair.a.limits.value // 256)
    async with listening(store_pair.b, await store_pair.b.head()) as listener:
        receipt = await one.commit({"data/large": value})
        await listener.reaches(receipt.revision)
    assert listener.commits[-1].puts["data/large"] == value
    assert await store_pair.b.read("data/large") == Item("data/large", value, receipt.revision)


# --- what is no commit ----------------------------------------------------------------------------------------


async def test_beat_when_its_guard_is_right(store_pair: Pair) -> None:
    """Every beat has a revision of its own, newer than all before it."""
    one, _ = await writers(store_pair.a)
    revisions = [one.beat, await one.send_beat(b"1"), await one.send_beat(b"2")]
    commit = await one.commit({"node/a": b"1"})
    revisions += [commit.revision, await one.send_beat(b"3")]
    assert all(earlier < later for earlier, later in pairwise(revisions))


async def test_beat_when_its_guard_is_wrong(store_pair: Pair) -> None:
    """A keeper that was declared dead can't beat itself back to life; nor can a late copy of a beat count."""
    one, two = await writers(store_pair.a, store_pair.b)
    registered = one.beat
    await one.send_beat(b"1")
    with pytest.raises(GuardFailed) as caught:
        await store_pair.a.beat(1, registered, b"late copy")
    assert caught.value == GuardFailed(two.revision, one.revision, one.head)
    dead = await two.commit({"fence/1": b"dead"}, {"keeper/1": one.beat}, ["keeper/1"])
    with pytest.raises(GuardFailed) as caught:
        await one.send_beat(b"2")
    assert caught.value.newest == dead.revision
    assert await store_pair.b.read("keeper/1") is None


async def test_put_has_no_guard(store_pair: Pair) -> None:
    """A ticket is written whatever is there, and deleted whether or not it is."""
    await writers(store_pair.a, store_pair.b)
    await store_pair.a.put("turn/1", b"first")
    await store_pair.b.put("turn/1", b"second")
    item = await store_pair.a.read("turn/1")
    assert item is not None
    assert item.value == b"second"
    await store_pair.a.put("turn/1", None)
    assert await store_pair.b.read("turn/1") is None
    await store_pair.a.put("turn/1", None)
