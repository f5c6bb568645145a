"""Several agents, lost answers and impatient callers."""

import pytest
import trio

from parkeeper.errors import Cut, GuardFailed, InDoubt, Unavailable
from parkeeper.store.facade import Item
from parkeeper.store.urls import StoreOptions
from tests.proxy import TcpProxy
from tests.servers import Consul
from tests.store.consul.conftest import opened, registered
from tests.store.writers import Listener

run = trio.to_thread.run_sync


@pytest.mark.slow
async def test_store_when_the_leader_is_killed(namespace: str) -> None:
    """Three servers, all named: commits, beats and the stream go on at the others; each commit is told once."""
    with Consul(members=3) as server:
        options = StoreOptions(namespace=namespace, keeper_ttl=6.0)
        leader = await run(server.leader)
        ports = [server.ports[leader], *(p for i, p in enumerate(server.ports) if i != leader)]
        async with opened(ports, options) as store, opened(ports, options) as other:
            one = await registered(store)
            made = [(await one.commit({"node/a": b"%d" % n})).revision for n in range(5)]
            listener = Listener()

            async def follow() -> None:
                while True:
                    position = listener.events[-1].revision if listener.events else made[-1]
                    with pytest.raises(Cut):
                        await other.follow(position, listener.deliver)
                    await trio.sleep(0.05)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(follow)
                await one.commit({"node/a": b"before"})
                await listener.until(lambda told: len(told.commits) == 1)
                await run(server.members[leader].kill)
                planned = None
                with trio.fail_after(30):
                    while True:
                        try:
                            if planned is None:
                                planned = await one.plan({"node/a": b"after"})
                            with trio.fail_after(2):
                                after = (await one.send(planned)).revision
                            break
                        except (Unavailable, InDoubt, trio.TooSlowError):
                            await trio.sleep(0.05)
                        except GuardFailed as failed:
                            after = failed.own
                            break
                    while True:
                        try:
                            await one.send_beat(b"after")
                            break
                        except (Unavailable, InDoubt):
                            await trio.sleep(0.05)
                    await listener.reaches(one.beat)
                nursery.cancel_scope.cancel("done")
            assert [commit.puts["node/a"] for commit in listener.commits] == [b"before", b"after"]
            assert listener.commits[-1].revision == after


async def test_store_when_the_first_agent_is_away(consul: Consul, namespace: str) -> None:
    """Whatever was certainly not sent goes to the next agent by itself."""
    with TcpProxy("127.0.0.1", consul.ports[0]) as proxy:
        options = StoreOptions(namespace=namespace)
        async with opened([proxy.port, consul.ports[0]], options) as store:
            one = await registered(store)
            proxy.refuse()
            proxy.cut()
            await one.commit({"node/a": b"1"})
            await one.send_beat(b"beat")
            assert await store.head() == one.revision


async def test_commit_when_its_answer_is_lost(consul: Consul, namespace: str) -> None:
    """In doubt, at once and never sent a second time by itself; the same commit again tells that it had happened."""
    with TcpProxy("127.0.0.1", consul.ports[0]) as proxy:
        options = StoreOptions(namespace=namespace)
        async with opened([proxy.port, consul.ports[0]], options) as store:
            one = await registered(store)
            commit = await one.plan({"node/a": b"1"})
            proxy.hold("down")
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def lose() -> None:
                    await run(proxy.await_held, "down")
                    proxy.cut()
                    proxy.release()

                with pytest.raises(InDoubt):
                    await store.commit(commit)
            with pytest.raises(GuardFailed) as caught:
                await store.commit(commit)
            assert caught.value.own_identity == commit.head
            assert await store.read("node/a") == Item("node/a", b"1", caught.value.own)


async def test_commit_when_its_caller_gives_up(consul: Consul, namespace: str) -> None:
    """A cancelled try leaves that agent: the next goes elsewhere."""
    with TcpProxy("127.0.0.1", consul.ports[0]) as proxy:
        options = StoreOptions(namespace=namespace)
        async with opened([proxy.port, consul.ports[0]], options) as store:
            one = await registered(store)
            commit = await one.plan({"node/a": b"1"})
            proxy.hold("up")
            with trio.move_on_after(0.2) as patience:
                await store.commit(commit)
            assert patience.cancelled_caught
            with trio.fail_after(2):
                await one.send(commit)
