"""The committer beside its batches: room, errands, tickets, and a clean stop under load."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from parkeeper.options import Limits, Options
from parkeeper.server.committer import Errand
from parkeeper.server.incarnation import Incarnation
from parkeeper.server.planner import HOLD
from parkeeper.testing.faults import Before, Slow
from parkeeper.tree.encoding import Turn, decode_turn, encode_turn
from tests.raw import encode as raw
from tests.server.ensemble import Client, Ensemble, Gone
from tests.server.test_faults import OPTIONS, Group


def incarnation_of(group: Ensemble, number: int) -> Incarnation:
    incarnation = group.keepers[number].incarnation
    assert incarnation is not None
    return incarnation


async def test_everybody_who_waits_for_room_gets_it(autojump_clock: MockClock) -> None:
    """Several readers pause while too much is in flight; all of them go on."""
    async with Group(1, Options(tick_time=500, limits=Limits(in_flight=1))) as (group, stores):
        clients = [await group.client() for _ in range(4)]
        assert await clients[0].create("/a") == "/a"
        with stores[0].commits.holding() as held:
            for client in clients:
                for _ in range(3):
                    await client.send(5, raw.set_data("/a", b"x"))
                await trio.testing.wait_all_tasks_blocked()
            held.set()
        with trio.fail_after(1):
            for client in clients:
                assert [(await client.receive()).err for _ in range(3)] == [0, 0, 0]


async def test_a_clean_stop_under_load_says_goodbye(autojump_clock: MockClock) -> None:
    """Clients that never stop asking don't keep a keeper from going; its sessions are adopted at once."""
    async with Group(2) as (group, stores):
        clients = [await group.client(0) for _ in range(3)]
        assert await clients[0].create("/a") == "/a"

        async def work(client: Client) -> None:
            try:
                while True:
                    for _ in range(8):
                        await client.send(5, raw.set_data("/a", b"x"))
                    for _ in range(8):
                        assert (await client.receive()).err == 0
            except Gone:
                pass

        stores[0].commits.fail_all(Slow(0.005, 0.005))
        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(work, client)
            await trio.sleep(0.1)
            begun = trio.current_time()
            await group.stop(0)
        assert trio.current_time() - begun < OPTIONS.stop_grace / 2
        assert list(incarnation_of(group, 1).replica.registry.keepers) == [2]
        assert await group.move(clients[0], 1)


async def test_an_errand_that_fails_over_our_own_fence_is_tried_again(autojump_clock: MockClock) -> None:
    """That a session was taken from us says nothing of what the errand rests on."""
    async with Group(2) as (group, stores):
        client = await group.client(0)
        done: list[bool] = []
        with stores[0].commits.holding() as held:
            incarnation_of(group, 0).committer.errand(Errand(guards={}, done=done.append, deletes=["turn/1"]))
            await stores[0].commits.wait_entered(1)
            assert await group.move(client, 1)
            held.set()
        await trio.testing.wait_all_tasks_blocked()
        assert done == [True]


async def test_an_errand_that_fails_over_its_own_guard_is_not(autojump_clock: MockClock) -> None:
    """Whoever made it is told."""
    async with Group(1) as (group, _):
        done: list[bool] = []
        incarnation_of(group, 0).committer.errand(Errand(guards={"keeper/1": 0}, done=done.append))
        await trio.testing.wait_all_tasks_blocked()
        assert done == [False]


async def test_a_ticket_is_taken_down_when_nothing_waits(autojump_clock: MockClock) -> None:
    """One that came to be known after the commit it was for; everybody's registry is without it."""
    async with Group(2) as (group, stores):
        await stores[0].put("turn/1", encode_turn(Turn(1, 1, frozenset({"stat/a"}))))
        await trio.sleep(0.1)
        assert await stores[0].read("turn/1") is None
        assert incarnation_of(group, 0).replica.registry.turns == {}
        assert incarnation_of(group, 1).replica.registry.turns == {}


async def test_a_ticket_too_old_to_be_honoured_is_renewed(autojump_clock: MockClock) -> None:
    """Else a keeper that goes on losing would be left alone with it."""
    async with Group(2) as (group, stores):
        one, two = await group.client(0), await group.client(1)
        assert await one.create("/hot") == "/hot"
        await two.sync()
        numbers: set[int] = set()

        async def win() -> None:
            await trio.sleep(HOLD + 0.1)
            assert await two.set("/hot", b"2") == 0
            ticket = await stores[0].read("turn/1")
            if ticket is not None:
                numbers.add(decode_turn(ticket.value).number)

        stores[0].commits.fail_next(Before(win), times=6)
        assert await one.set("/hot", b"1") == 0
        assert group.keepers[0].commits.lost == 6
        assert numbers == {1, 2, 3}


async def test_clients_that_take_turns_share_one_commit(autojump_clock: MockClock) -> None:
    """Two groups whose commits would alternate for ever: whoever is answered is waited for."""
    async with Group(1) as (group, stores):
        clients = [await group.client() for _ in range(8)]
        assert await clients[0].create("/a") == "/a"
        stores[0].commits.fail_all(Slow(0.01, 0))

        async def ask(client: Client, wait: float) -> None:
            await trio.sleep(wait)
            for _ in range(10):
                await client.send(5, raw.set_data("/a", b"x"))
                assert (await client.receive()).err == 0
                await trio.sleep(0.001)  # its way there and back

        before = group.keepers[0].commits.commits
        async with trio.open_nursery() as nursery:
            for number, client in enumerate(clients):
                nursery.start_soon(ask, client, 0.005 * (number % 2))
        assert 10 <= group.keepers[0].commits.commits - before <= 12
