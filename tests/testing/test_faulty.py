"""Stores that fail on command do so exactly, and tell what was asked of them.

(That they are stores like any other when told nothing is for the contract suite to say.)
"""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from parkeeper.errors import (
    Cut,
    GuardFailed,
    InDoubt,
    NotApplied,
    Rejected,
    StoreError,
    Unavailable,
)
from parkeeper.store.facade import Receipt
from parkeeper.testing.faults import (
    After,
    Before,
    HoldAnswer,
    LoseAnswer,
    LoseRequest,
    Raise,
    Refuse,
    Send,
    Slow,
    Straggle,
)
from tests.store.writers import listening
from tests.testing.worlds import World

# --- one call -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [NotApplied, Unavailable, Rejected])
async def test_refuse_never_reaches_the_store(world: World, error: type[StoreError]) -> None:
    """Certainly not applied, and only as often as told."""
    world.store.commits.fail_next(Refuse(error), times=2)
    for _ in range(2):
        with pytest.raises(error):
            await world.one.commit({"node/a": b"1"})
    assert await world.two.store.read("node/a") is None
    await world.one.commit({"node/a": b"1"})
    assert await world.two.store.read("node/a") is not None


async def test_lose_request_never_reaches_the_store(world: World) -> None:
    """In doubt, and not applied."""
    world.store.commits.fail_next(LoseRequest())
    with pytest.raises(InDoubt):
        await world.one.commit({"node/a": b"1"})
    assert await world.two.store.read("node/a") is None


async def test_lose_answer_reaches_the_store(world: World) -> None:
    """In doubt, and applied: sending the same again shows one's own head."""
    commit = await world.one.plan({"node/a": b"1"})
    world.store.commits.fail_next(LoseAnswer())
    with pytest.raises(InDoubt):
        await world.store.commit(commit)
    applied = await world.two.store.head()
    with pytest.raises(GuardFailed) as caught:
        await world.store.commit(commit)
    assert caught.value == GuardFailed(applied, applied, commit.head)


async def test_lose_answer_when_the_store_refuses(world: World) -> None:
    """A refusal is lost as well: the caller can't tell the two apart."""
    commit = await world.one.plan({"node/a": b"1"}, {"node/b": 7})
    world.store.commits.fail_next(LoseAnswer())
    with pytest.raises(InDoubt):
        await world.store.commit(commit)
    assert await world.two.store.read("node/a") is None


async def test_straggle_arrives_when_told(world: World) -> None:
    """The copy under way is applied only on command, and its answer can be seen."""
    commit = await world.one.plan({"node/a": b"1"})
    late = Straggle()
    world.store.commits.fail_next(late)
    with pytest.raises(InDoubt):
        await world.store.commit(commit)
    assert await world.two.store.read("node/a") is None
    await late.arrive()
    item = await world.two.store.read("node/a")
    assert item is not None
    (receipt,) = late.outcomes
    assert isinstance(receipt, Receipt)
    assert receipt.revision == item.revision


async def test_straggle_when_it_comes_too_late(world: World) -> None:
    """A copy that arrives after an empty commit is refused by the store itself."""
    late = Straggle()
    world.store.commits.fail_next(late)
    with pytest.raises(InDoubt):
        await world.one.commit({"node/a": b"1"})
    await world.one.commit({}, journal=b"")
    await late.arrive()
    assert [type(outcome) for outcome in late.outcomes] == [GuardFailed]
    assert await world.two.store.read("node/a") is None


async def test_straggle_arrives_by_itself(world: World, autojump_clock: MockClock) -> None:
    """After its time, whether or not the caller is still there."""
    world.store.commits.fail_next(Straggle(after=3.0))
    start = trio.current_time()
    async with listening(world.two.store, await world.two.store.head()) as listener:
        with pytest.raises(InDoubt):
            await world.one.commit({"node/a": b"1"})
        assert trio.current_time() == start
        await listener.until(lambda told: bool(told.events))
    assert trio.current_time() == pytest.approx(start + 3.0)


async def test_before_provokes_a_real_guard_failure(world: World) -> None:
    """Another keeper's commit between plan and request fails the guard, as in life."""
    known = (await world.one.commit({"node/a": b"1"})).revision
    world.store.commits.fail_next(Before(lambda: world.two.commit({"node/a": b"rival"})))
    with pytest.raises(GuardFailed) as caught:
        await world.one.commit({"node/a": b"2"}, {"node/a": known})
    assert caught.value.newest == world.two.revision


async def test_after_acts_before_the_caller_hears(world: World) -> None:
    """What comes between deed and answer is in the store when the answer arrives."""
    world.store.commits.fail_next(After(lambda: world.two.commit({"node/b": b"between"})))
    receipt = await world.one.commit({"node/a": b"1"})
    assert world.two.revision > receipt.revision


async def test_raise_gives_any_error(world: World) -> None:
    """For errors that carry values."""
    world.store.beats.fail_next(Raise(lambda: GuardFailed(9, 8, (1, 2, 3))))
    with pytest.raises(GuardFailed) as caught:
        await world.one.send_beat(b"tick")
    assert caught.value == GuardFailed(9, 8, (1, 2, 3))


async def test_slow_takes_its_time_both_ways(world: World, autojump_clock: MockClock) -> None:
    """The request arrives after the one, the answer after the other."""
    start = trio.current_time()
    world.store.commits.fail_next(Slow(2.0, back=1.0))
    async with listening(world.two.store, world.two.revision) as listener, trio.open_nursery() as nursery:
        nursery.start_soon(world.one.commit, {"node/a": b"1"})
        await listener.until(lambda told: bool(told.events))
        assert trio.current_time() == pytest.approx(start + 2.0)
    assert trio.current_time() == pytest.approx(start + 3.0)


async def test_held_answer_when_it_is_a_refusal(world: World) -> None:
    """A bad answer waits like a good one, and then is the store's own."""
    start, released = world.one.revision, trio.Event()
    world.store.commits.fail_next(HoldAnswer(released))
    caught: list[GuardFailed] = []

    async def commit() -> None:
        with pytest.raises(GuardFailed) as raised:
            await world.one.commit({"node/a": b"1"}, {"node/b": 7})
        caught.append(raised.value)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(commit)
        await wait_all_tasks_blocked()
        assert caught == []
        released.set()
    assert caught == [GuardFailed(world.two.revision, start, world.one.head)]


async def test_fault_of_ones_own(world: World) -> None:
    """Any callable will do: here a proxy that sent the request twice."""

    async def twice(send: Send[object]) -> object:
        await send()
        return await send()

    world.store.puts.fail_next(twice)  # type: ignore[arg-type]  # a fault for one operation only
    before = world.server.revision
    await world.store.put("turn/1", b"ticket")
    assert world.server.revision == before + 2


# --- switches -------------------------------------------------------------------------------------------------


async def test_every_operation_has_a_switch(world: World) -> None:
    """Each fails alone, the others go on."""
    calls = {
        "opens": world.store.open,
        "loads": world.store.load,
        "commits": lambda: world.one.commit({"node/a": b"1"}, seen=0),
        "puts": lambda: world.store.put("turn/1", b"t"),
        "reads": lambda: world.store.read("meta"),
        "heads": world.store.head,
        "surveys": world.store.survey,
        "beats": lambda: world.one.send_beat(b"tick"),
        "compactions": lambda: world.store.compact(1),
    }
    for failing in calls:
        with getattr(world.store, failing).failing(Refuse(Unavailable)):
            for name, call in calls.items():
                if name == failing:
                    with pytest.raises(Unavailable):
                        await call()
                else:
                    await call()


async def test_switch_counts_what_was_asked(world: World) -> None:
    """Entered, succeeded, failed; a cancelled call is neither of the last."""
    beats = world.store.beats
    await world.one.send_beat(b"1")
    beats.fail_next(Refuse(), LoseAnswer())
    for error in (NotApplied, InDoubt):
        with pytest.raises(error):
            await world.one.send_beat(b"2")
    with beats.holding(), trio.move_on_after(0):
        await world.one.send_beat(b"3")
    assert (beats.entered, beats.succeeded, beats.failed) == (4, 1, 2)


async def test_switch_takes_queued_faults_before_the_standing_one(world: World) -> None:
    """The queue is for the next calls, `fail_all` for those behind; `heal` ends both."""
    world.store.heads.fail_all(Refuse(Unavailable))
    world.store.heads.fail_next(Refuse(NotApplied))
    world.store.heads.fail_next(Refuse(Rejected))
    for error in (NotApplied, Rejected, Unavailable, Unavailable):
        with pytest.raises(error):
            await world.store.head()
    world.store.heads.fail_next(Refuse())
    world.store.heads.heal()
    assert await world.store.head() > 0


async def test_holding_keeps_calls_from_the_store(world: World) -> None:
    """Held requests have changed nothing; let go, they do."""
    with world.store.commits.holding() as released:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.one.commit, {"node/a": b"1"})
            await world.store.commits.wait_entered()
            await wait_all_tasks_blocked()
            assert await world.two.store.read("node/a") is None
            released.set()
    assert await world.two.store.read("node/a") is not None


async def test_holding_lets_go_at_the_end_of_its_block(world: World) -> None:
    """No call is left waiting, and later ones are not held."""
    async with trio.open_nursery() as nursery:
        with world.store.commits.holding():
            nursery.start_soon(world.one.commit, {"node/a": b"1"})
            await world.store.commits.wait_entered()
        await world.store.commits.wait_answered()
    await world.one.commit({"node/b": b"1"})
    assert world.store.commits.succeeded == 4  # the namespace, keeper 1, a, b


async def test_holding_answers_lets_the_store_do_it(world: World) -> None:
    """The commit is in the store, and its caller does not know yet."""
    answered: list[Receipt] = []

    async def commit() -> None:
        answered.append(await world.one.commit({"node/a": b"1"}))

    async with listening(world.two.store, await world.two.store.head()) as listener:
        with world.store.commits.holding_answers() as released:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(commit)
                await listener.until(lambda told: bool(told.events))
                assert answered == []
                released.set()
    assert [receipt.revision for receipt in answered] == [listener.events[0].revision]


async def test_wait_entered_counts_from_now(world: World) -> None:
    """What was called before does not count."""
    await world.store.head()
    with trio.move_on_after(0.05) as scope:
        await world.store.heads.wait_entered()
    assert scope.cancelled_caught


async def test_down_refuses_everything(world: World) -> None:
    """Every operation is unavailable, the stream is cut, and faults wait their turn until it is up."""
    world.store.heads.fail_next(Refuse(NotApplied))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_go_down_when_followed, world)
        with pytest.raises(Cut, match="down"):
            await world.store.follow(world.server.revision, lambda event: None)
    for call in (world.store.open, world.store.load, world.store.head, world.store.survey):
        with pytest.raises(Unavailable):
            await call()
    with pytest.raises(Unavailable):
        await world.one.commit({"node/a": b"1"}, seen=0)
    with pytest.raises(Cut):
        await world.store.follow(world.server.revision, lambda event: None)
    world.store.up()
    with pytest.raises(NotApplied):
        await world.store.head()
    await world.one.commit({"node/a": b"1"})


async def _go_down_when_followed(world: World) -> None:
    while not world.store.stream.following:
        await trio.lowlevel.checkpoint()
    world.store.down()


async def test_outage_ends(world: World) -> None:
    """Down for the block only."""
    with world.store.outage(), pytest.raises(Unavailable):
        await world.store.head()
    assert await world.store.head() > 0
