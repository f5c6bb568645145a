"""Streams of stores that fail on command: they end, are silent or late as told, and lose nothing."""

import pytest
import trio
from trio.testing import MockClock

from parkeeper.errors import (
    AccessDenied,
    Compacted,
    Cut,
    StoreError,
    WentBack,
)
from parkeeper.testing.faults import (
    HoldRequest,
)
from tests.store.writers import listening
from tests.testing.worlds import World


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (lambda stream: stream.cut(), Cut),
        (lambda stream: stream.compacted(), Compacted),
        (lambda stream: stream.fail(lambda: WentBack("restored")), WentBack),
        (lambda stream: stream.fail(lambda: AccessDenied("revoked")), AccessDenied),
    ],
)
async def test_stream_ends_on_command(world: World, command, error: type[StoreError]) -> None:
    """With the error itself, not a group of one; following again goes on without a gap."""
    heard: list[int] = []
    start = world.server.revision
    raised: list[StoreError] = []

    async def follow() -> None:
        with pytest.raises(error) as caught:
            await world.store.follow(start, lambda event: heard.append(event.revision))
        raised.append(caught.value)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        await world.store.stream.wait_followed()
        first = await world.two.commit({"node/a": b"1"})
        while not heard:
            await trio.lowlevel.checkpoint()
        command(world.store.stream)
        second = await world.two.commit({"node/a": b"2"})
    assert heard == [first.revision]
    assert len(raised) == 1
    async with listening(world.store, first.revision) as listener:
        await listener.reaches(second.revision)
    assert [event.revision for event in listener.events] == [second.revision]


async def test_stream_when_following_fails_at_once(world: World) -> None:
    """So often as told, and not more."""
    world.store.stream.fail_next(Cut("no"), times=2)
    for _ in range(2):
        with pytest.raises(Cut, match="no"):
            await world.store.follow(world.server.revision, lambda event: None)
    async with listening(world.store, world.server.revision) as listener:
        receipt = await world.two.commit({"node/a": b"1"})
        await listener.reaches(receipt.revision)
    assert world.store.stream.followed == 3


async def test_stream_when_held_is_silent(world: World) -> None:
    """Nothing comes while it is held; then all of it, in order."""
    stream = world.store.stream
    async with listening(world.store, world.server.revision) as listener:
        with stream.holding():
            for number in range(5):
                await world.two.commit({"node/a": b"%d" % number})
            await stream.wait_held(5)
            assert listener.events == []
        await listener.reaches(world.two.revision)
    assert [commit.puts["node/a"] for commit in listener.commits] == [b"0", b"1", b"2", b"3", b"4"]
    assert stream.delivered == 5


async def test_stream_when_cut_while_held(world: World) -> None:
    """What was held is not told by the old stream, and not lost to the next one."""
    stream = world.store.stream
    start = world.server.revision
    told: list[int] = []

    async def follow() -> None:
        with pytest.raises(Cut):
            await world.store.follow(start, lambda event: told.append(event.revision))

    stream.hold()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        receipt = await world.two.commit({"node/a": b"1"})
        await stream.wait_held(1)
        stream.cut()
        stream.release()
    assert told == []
    async with listening(world.store, start) as listener:
        await listener.reaches(receipt.revision)


async def test_stream_when_slow_is_late_and_in_order(world: World, autojump_clock: MockClock) -> None:
    """Every event comes as late as told, also those that come together."""
    world.store.stream.delay(2.0)
    times: list[float] = []
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            world.store.follow, world.server.revision, lambda event: times.append(trio.current_time())
        )
        await world.store.stream.wait_followed()
        await world.two.commit({"node/a": b"1"})
        await world.two.commit({"node/a": b"2"})
        await trio.sleep(1)
        await world.two.commit({"node/a": b"3"})
        await world.store.stream.wait_delivered(3)
        nursery.cancel_scope.cancel()
    assert times == pytest.approx([start + 2, start + 2, start + 3])


async def test_hold_request_of_one_call(world: World) -> None:
    """One commit waits, the beats beside it don't."""
    released = trio.Event()
    world.store.commits.fail_next(HoldRequest(released))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.one.commit, {"node/a": b"1"})
        await world.store.commits.wait_entered()
        await world.one.send_beat(b"tick")
        released.set()
    assert await world.two.store.read("node/a") is not None
