"""Three keepers over three Consul servers that are killed one after the other: every follower stays exact."""

from random import Random

import pytest
import trio

from parkeeper.errors import Cut, GuardFailed, InDoubt, NotApplied, StoreError, Unavailable
from parkeeper.store.consul.store import ConsulStore
from parkeeper.store.urls import StoreOptions
from tests.servers import Consul
from tests.store.consul.conftest import opened
from tests.store.writers import Listener, Writer, make_namespace

run = trio.to_thread.run_sync

SECONDS = 60.0
DOUBT = (InDoubt, NotApplied, Unavailable, trio.TooSlowError)


async def settled(writer: Writer, value: bytes) -> int:
    """Commit once, sent until its fate is known; returns its revision."""
    commit = await writer.plan({"node/shared": value}, journal=value, seen=writer.revision)
    assert commit.head is not None
    patience = 1.0
    while True:
        try:
            with trio.fail_after(patience):
                return (await writer.send(commit)).revision
        except GuardFailed as error:
            failed = error
            break
        except DOUBT:
            patience = min(patience * 2, 8.0)
            await trio.sleep(0.05)
    assert failed.own_identity == commit.head
    writer.head, writer.revision = commit.head, failed.own
    return failed.own


async def follow(store: ConsulStore, position: int, listener: Listener) -> None:
    """Go on after every break, as a keeper does."""
    while True:
        with pytest.raises(Cut):
            await store.follow(position, listener.deliver)
        position = listener.events[-1].revision if listener.events else position
        while True:
            try:
                await store.survey()
                break
            except StoreError:
                await trio.sleep(0.05)


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_followers_when_servers_are_killed(namespace: str) -> None:
    """What was acknowledged is told to all, each commit once, in one order; nothing else is."""
    random = Random(1)
    with Consul(members=3) as server:
        options = StoreOptions(namespace=namespace, keeper_ttl=6.0)
        ports = server.ports
        made: dict[int, bytes] = {}
        kills = 0
        async with (
            opened(ports, options) as first,
            opened([*ports[1:], ports[0]], options) as second,
            opened([ports[2], *ports[:2]], options) as third,
        ):
            stores = [first, second, third]
            await make_namespace(first)
            writers = [Writer(store, number) for number, store in enumerate(stores, 1)]
            for writer in writers:
                await writer.register()
            start = await first.head()
            listeners = [Listener() for _ in stores]
            end = trio.current_time() + SECONDS

            async def write(writer: Writer) -> None:
                number = 0
                while trio.current_time() < end:
                    number += 1
                    value = b"%d by %d" % (number, writer.keeper)
                    made[await settled(writer, value)] = value

            async with trio.open_nursery() as followers:
                for store, listener in zip(stores, listeners, strict=True):
                    followers.start_soon(follow, store, start, listener)
                async with trio.open_nursery() as nursery:
                    for writer in writers:
                        nursery.start_soon(write, writer)
                    while trio.current_time() < end:
                        member = random.choice(server.members)
                        await trio.sleep(random.uniform(0.5, 2))
                        await run(member.kill)
                        kills += 1
                        await trio.sleep(random.uniform(0, 1))
                        await run(member.start)
                for listener in listeners:
                    await listener.reaches(max(made))
                followers.cancel_scope.cancel("all heard")
        assert kills > 5
        assert len(made) > 300
        for listener in listeners:
            assert [commit.revision for commit in listener.commits] == sorted(made)
            assert {commit.revision: commit.journal for commit in listener.commits} == made
