"""What every store promises about the stream of changes."""

import pytest
import trio

from parkeeper.errors import Compacted
from parkeeper.store.facade import Changed, Committed
from tests.store.backends import Pair
from tests.store.writers import Listener, Writer, listening, writers


async def test_follow_tells_all_of_a_commit(store_pair: Pair) -> None:
    """Keeper, identity, journal, values and deletes, to the keeper that made it as to the others."""
    one, _ = await writers(store_pair.a, store_pair.b)
    start = await store_pair.a.head()
    async with listening(store_pair.a, start) as own, listening(store_pair.b, start) as other:
        first = await one.commit({"node/a": b"A", "data/a": b"\x00"}, journal=b"created a")
        first_head = one.head
        second = await one.commit({"kids/": b"1"}, {}, ["node/a"], journal=b"")
        for listener in (own, other):
            await listener.reaches(second.revision)
            told, deleted = listener.events
            assert isinstance(told, Committed)
            assert isinstance(deleted, Committed)
            assert (told.revision, told.keeper, told.head) == (first.revision, 1, first_head)
            assert told.journal == b"created a"
            assert dict(told.puts) == {"node/a": b"A", "data/a": b"\x00"}
            assert list(told.deletes) == []
            assert (deleted.revision, deleted.head, deleted.journal) == (second.revision, one.head, b"")
            assert dict(deleted.puts) == {"kids/": b"1"}
            assert list(deleted.deletes) == ["node/a"]


async def test_follow_tells_changes_between_commits(store_pair: Pair) -> None:
    """Beats and tickets are told in the order of their revisions; a commit's own are told in it only."""
    one, two = await writers(store_pair.a, store_pair.b)
    async with listening(store_pair.b, await store_pair.b.head()) as listener:
        first = await one.commit({"node/a": b"1"})
        beat = await two.send_beat(b"tick")
        await listener.reaches(beat)
        await store_pair.a.put("turn/1", b"ticket")
        await listener.until(lambda told: any(change.name == "turn/1" for change in told.changes))
        last = await one.commit({"keeper/9": b"of the commit"}, {}, ["turn/1"])
        await listener.reaches(last.revision)
        await store_pair.a.put("turn/2", b"ticket")
        await listener.until(lambda told: any(change.name == "turn/2" for change in told.changes))
        await store_pair.a.put("turn/2", None)
        await listener.until(lambda told: any(change.value is None for change in told.changes))
    assert [(type(event), getattr(event, "name", None)) for event in listener.events] == [
        (Committed, None),
        (Changed, "keeper/2"),
        (Changed, "turn/1"),
        (Committed, None),
        (Changed, "turn/2"),
        (Changed, "turn/2"),
    ]
    assert listener.events[0].revision == first.revision
    assert listener.events[1] == Changed(beat, "keeper/2", b"tick")
    assert dict(listener.commits[1].puts) == {"keeper/9": b"of the commit"}
    assert [event.revision for event in listener.events] == sorted(
        event.revision for event in listener.events
    )


async def test_follow_when_two_write_at_once(store_pair: Pair) -> None:
    """Both followers hear every commit once, in order of revision, with the values it wrote."""
    one, two = await writers(store_pair.a, store_pair.b)
    start = await store_pair.a.head()
    made: dict[int, bytes] = {}

    async def write(writer: Writer) -> None:
        for number in range(60):
            value = b"%d by %d" % (number, writer.keeper)
            made[(await writer.commit({"node/shared": value}, journal=value)).revision] = value

    async with listening(store_pair.a, start) as near, listening(store_pair.b, start) as far:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write, one)
            nursery.start_soon(write, two)
        for listener in (near, far):
            await listener.reaches(max(made))
            assert [commit.revision for commit in listener.commits] == sorted(made)
            assert {commit.revision: commit.journal for commit in listener.commits} == made
            assert all(commit.puts["node/shared"] == commit.journal for commit in listener.commits)


async def test_follow_when_resumed(store_pair: Pair) -> None:
    """Whoever goes on after the last event he was told, in pieces, hears the same as who never stopped."""
    one, _ = await writers(store_pair.a, store_pair.b)
    start = position = await store_pair.b.head()
    pieces: list[int] = []
    for number in range(12):
        receipt = await one.commit({"node/a": b"%d" % number})
        if number % 3 == 2:
            async with listening(store_pair.b, position) as listener:
                await listener.reaches(receipt.revision)
            pieces += [event.revision for event in listener.events]
            position = pieces[-1]
    async with listening(store_pair.a, start) as listener:
        await listener.reaches(position)
    assert pieces == [event.revision for event in listener.events]
    assert len(pieces) == 12


async def test_follow_when_stopped_in_the_middle(store_pair: Pair) -> None:
    """A follower cancelled while events come has been told a prefix: none skipped, none half."""
    one, _ = await writers(store_pair.a, store_pair.b)
    start = await store_pair.b.head()
    for number in range(40):
        last = await one.commit({"node/a": b"%d" % number})
    all_of_them = Listener()
    heard: list[int] = []
    position = start
    while position < last.revision:
        with trio.CancelScope() as scope:

            def deliver(event: Committed | Changed, scope: trio.CancelScope = scope) -> None:
                all_of_them.deliver(event)
                heard.append(event.revision)
                if len(heard) % 7 == 0:
                    scope.cancel("seven more")

            with trio.move_on_after(5):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(store_pair.b.follow, position, deliver)
                    await all_of_them.until(
                        lambda told: told.events[-1].revision == last.revision if told.events else False
                    )
                    nursery.cancel_scope.cancel("all heard")
        position = heard[-1]
    assert [commit.puts["node/a"] for commit in all_of_them.commits] == [
        b"%d" % number for number in range(40)
    ]


async def test_follow_when_the_history_is_gone(store_pair: Pair) -> None:
    """What can't be told any more is said so, never skipped; from the end it goes on."""
    if store_pair.forget is None:
        pytest.skip("this store can't be made to forget")
    one, _ = await writers(store_pair.a, store_pair.b)
    first = await one.commit({"node/a": b"1"})
    await one.commit({"node/a": b"2"})
    last = await one.commit({"node/a": b"3"})
    await store_pair.forget(last.revision)
    with trio.fail_after(20), pytest.raises(Compacted):
        await store_pair.b.follow(first.revision, lambda event: None)
    async with listening(store_pair.b, last.revision) as listener:
        again = await one.commit({"node/a": b"4"})
        await listener.reaches(again.revision)
    assert [event.revision for event in listener.events] == [again.revision]


async def test_follow_when_nothing_happens(store_pair: Pair) -> None:
    """A quiet stream waits, and can be cancelled."""
    await writers(store_pair.a)
    events: list[object] = []
    with trio.move_on_after(0.2) as scope:
        await store_pair.a.follow(await store_pair.a.head(), events.append)
    assert scope.cancelled_caught
    assert events == []
