"""The committer beside its batches: room, errands, tickets, a clean stop under load, and commits at a round's end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from time import perf_counter

import pytest
import trio
from trio.testing import MockClock

from parkeeper.options import Limits, Options
from parkeeper.server.doubt import Sender
from parkeeper.server.incarnation import Incarnation
from parkeeper.server.planner import HOLD
from parkeeper.server.readiness import Readiness
from parkeeper.store.facade import Commit, Receipt
from parkeeper.store.keys import Layout
from parkeeper.store.memory import MemoryServer, MemoryStore
from parkeeper.testing.faults import Before, Slow
from parkeeper.tree.encoding import Turn, decode_turn, encode_turn
from tests.raw import encode as raw
from tests.server import stage as stages
from tests.server.ensemble import Client, Ensemble, Gone
from tests.server.stage import GatedStore, Stage, create, get_data, request, set_data, stage
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


# --- commits at the end of a round of readers, for which the task is not woken ------------------------------------

sleeping = pytest.mark.skipif(not Readiness.available, reason="this system has no epoll")


@pytest.fixture
def by_task(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many commits the committer's task has sent since this was last called."""
    sent = 0
    send = Sender.send

    async def counted(self: Sender, *arguments) -> Receipt:
        nonlocal sent
        sent += 1
        return await send(self, *arguments)

    def since() -> int:
        nonlocal sent
        count, sent = sent, 0
        return count

    monkeypatch.setattr(Sender, "send", counted)
    return since


def stats_of(there: Stage):
    """What its committer counts."""
    return there.keeper.commits


@sleeping
async def test_what_a_round_submits_is_one_commit_at_its_end(by_task) -> None:
    """Of everybody who could be read, refusals among it; and what only refuses is answered without a commit."""
    async with stage(sockets=True) as there:
        one, two = await there.client(), await there.client()
        await one.send(create(1, "/a"))
        assert (await one.answer()).err == 0
        by_task()
        commits, confirmed = stats_of(there).commits, stats_of(there).confirmed
        await one.send(set_data(2, "/a", b"1"), set_data(3, "/none", b""), set_data(4, "/a", b"2", 1))
        await two.send(create(1, "/b"))
        assert [each.err for each in await one.answers(3)] == [0, -101, 0]
        assert (await two.answer()).err == 0
        assert stats_of(there).commits - commits <= 2  # (the second client's bytes may have come too late)
        await one.send(set_data(5, "/none", b""))
        assert (await one.answer()).err == -101
        assert stats_of(there).confirmed == confirmed + 1
        assert by_task() == 0


class Lengthy(GatedStore):
    """Whose commits take a while, however they are asked for."""

    def commit_now(self, commit: Commit) -> Receipt | None:
        """See `MemoryStore.commit_now`."""
        end = perf_counter() + 0.0002
        while perf_counter() < end:
            pass
        return super().commit_now(commit)


@sleeping
async def test_commits_at_a_rounds_end_leave_the_rest_to_the_task(nursery: trio.Nursery) -> None:
    """Others have a turn after a millisecond; the order of effect is that of arrival all the same."""
    many = 40

    async def look_on(seen: list[int]) -> None:
        while True:
            seen.append(stats_of(there).commits)
            await trio.lowlevel.checkpoint()

    async with stage(Limits(batch=1), sockets=True, store=Lengthy()) as there:
        client = await there.client()
        await client.send(create(1, "/a"))
        await client.answer()
        commits = stats_of(there).commits
        nursery.start_soon(look_on, seen := [])
        await client.send(*(set_data(xid, "/a", b"x", xid) for xid in range(many)))
        answers = await client.answers(many)
        assert [(each.xid, each.err) for each in answers] == [(xid, 0) for xid in range(many)]
        assert stats_of(there).commits == commits + many
        stretches = [after - before for before, after in pairwise(seen)]
        assert 1 < max(stretches) < many // 2  # (a few in the round, then the task goes on one by one)


class Hesitant(GatedStore):
    """A store that commits by a plain call only when it is told to, though its `commit` may wait."""

    willing = True

    def commit_now(self, commit: Commit) -> Receipt | None:
        """See `MemoryStore.commit_now`."""
        return MemoryStore.commit_now(self, commit) if self.willing else None


@sleeping
async def test_nothing_is_committed_at_a_rounds_end_beside_a_commit_under_way() -> None:
    """Though the store would: what the task has sent comes first."""
    store = Hesitant()
    async with stage(sockets=True, store=store) as there:
        one, two = await there.client(), await there.client()
        store.close_gate()
        store.willing = False
        await one.send(create(1, "/a", b"1"))
        await trio.testing.wait_all_tasks_blocked()
        assert store.waiting == 1
        store.willing = True
        await two.send(set_data(1, "/a", b"2"))
        await one.send(set_data(2, "/a", b"3", 0))
        await trio.testing.wait_all_tasks_blocked()
        store.open_gate()
        assert [each.err for each in await one.answers(2)] in ([0, 0], [0, -103])
        changed = await two.answer()
        assert (changed.err, store.waiting) == (0, 0)


class Small(GatedStore):
    """A store that would rather have few writes in a commit by a plain call, and counts what it was to make durable."""

    durables = 0

    def durable(self) -> None:
        """See `MemoryStore.durable`."""
        self.durables += 1

    def ready(self) -> int:
        """See `MemoryStore.ready`."""
        return 2


async def test_the_task_commits_by_a_plain_call_what_fits(by_task) -> None:
    """For readers that do not come in rounds; a larger batch goes the long way, and is made durable as well."""
    async with stage(store=(store := Small())) as there:
        client = await there.client()
        await client.send(create(1, "/a"))
        await client.answer()
        by_task()
        for xid, count, sent in ((2, 1, 0), (3, 2, 0), (5, 3, 1)):
            store.durables = 0
            await client.send(*(set_data(each, "/a", b"x") for each in range(xid, xid + count)))
            assert [each.err for each in await client.answers(count)] == [0] * count
            assert (by_task(), store.durables) == (sent, 1)


@sleeping
async def test_what_must_be_waited_for_is_the_tasks(by_task) -> None:
    """The store says that it cannot commit now: nothing is lost, and nobody is held up."""
    async with stage(sockets=True) as there:
        client, other = await there.client(), await there.client()
        by_task()
        there.store.close_gate()
        await client.send(create(1, "/a", b"1"), get_data(2, "/a"))
        await trio.testing.wait_all_tasks_blocked()
        await other.send(get_data(1, "/zookeeper"))
        assert (await other.answer()).err == 0
        assert (there.store.waiting, by_task()) == (1, 1)
        there.store.open_gate()
        made, got = await client.answers(2)
        assert (made.err, got.data) == (0, b"1")


@sleeping
async def test_a_race_lost_at_a_rounds_end_is_run_again(by_task) -> None:
    """The other keeper's commit has not come yet: what rests on it is planned again when it has."""
    async with two_keepers() as (server, there, near, far):
        await near.send(create(1, "/a"))
        await near.answer()
        await far.send(request(1, 9, raw.only_path("/a")), get_data(2, "/a"))
        assert [each.err for each in await far.answers(2)] == [0, 0]
        server.delay = 0.05
        await near.send(set_data(2, "/a", b"near"))
        assert (await near.answer()).err == 0
        by_task()
        await far.send(set_data(3, "/a", b"far"), set_data(4, "/a", b"late", 0))
        assert [each.err for each in await far.answers(2)] == [0, -103]
        await far.send(get_data(5, "/a"))
        assert (await far.answer()).data == b"far"
        assert stats_of(there).lost == 1
        assert by_task() > 0


@sleeping
async def test_a_commit_at_a_rounds_end_is_applied_after_those_before_it(by_task) -> None:
    """It happened, but what happened before it has not come yet: it is answered then, and what follows waits."""
    async with two_keepers() as (server, there, near, far):
        await near.send(create(1, "/a"))
        await near.answer()
        await far.send(create(1, "/b"), request(2, 9, raw.only_path("/a")))
        await far.answers(2)
        server.delay = 0.05
        await near.send(set_data(2, "/a", b"1"))
        zxid = (await near.answer()).zxid
        by_task()
        await far.send(set_data(3, "/b", b"2"), get_data(4, "/a"))
        await trio.testing.wait_all_tasks_blocked()
        assert there.services.replica.zxid < zxid
        committer = incarnation_at(there).committer
        with trio.move_on_after(0) as scope:
            await committer.settled()
        assert scope.cancelled_caught  # its answer is still owed
        await far.send(set_data(5, "/b", b"3", 1))
        wrote, read, again = await far.answers(3)
        assert (wrote.err, read.data, again.err) == (0, b"1", 0)
        assert zxid < wrote.zxid < again.zxid


@sleeping
async def test_a_refusal_at_a_rounds_end_is_not_answered_by_a_replica_that_lags() -> None:
    """It is planned again when what the store has by now has come."""
    async with two_keepers() as (server, _, near, far):
        await trio.testing.wait_all_tasks_blocked()
        server.delay = 0.05
        await near.send(create(1, "/a"))
        await near.answer()
        await far.send(set_data(1, "/a", b"x"))
        with trio.fail_after(5):
            assert (await far.answer()).err == 0


@sleeping
async def test_a_commit_at_a_rounds_end_that_is_not_applied_is_not_settled(
    monkeypatch, nursery: trio.Nursery
) -> None:
    """From that moment on, and until it is applied: a clean stop waits for its answer, and gets it.

    Several times, for the scheduler shuffles who waits first.
    """
    async with two_keepers() as (server, there, near, far):
        await far.send(create(1, "/b"))
        await far.answer()
        committer, readiness = incarnation_at(there).committer, there.services.readiness
        assert readiness is not None
        server.delay = 0.05
        owed: list[bool] = []
        settled: list[trio.Event] = []

        async def stop(settled: trio.Event) -> None:
            await committer.settled()
            settled.set()

        def ends() -> bool:
            quiet = committer.let_go()
            if committer.head_rev > there.services.replica.revision:
                owed.append(committer._idle.is_set() or quiet)
                settled.append(trio.Event())
                nursery.start_soon(stop, settled[-1])
            return quiet

        monkeypatch.setattr(readiness, "_ends", ends)
        for xid in range(1, 9):
            await near.send(create(xid, f"/a{xid}"))
            await near.answer()
            await far.send(set_data(xid, "/b", b"2"))
            await far.answer()
        assert owed
        assert not any(owed)
        with trio.fail_after(5):
            for each in settled:
                await each.wait()


@sleeping
async def test_rounds_may_follow_each_other_over_a_store_in_this_process() -> None:
    """While nothing is under way: other sockets are not looked at meanwhile, so not where answers come by one."""
    async with two_keepers() as (_, there, _, _):
        await trio.testing.wait_all_tasks_blocked()
        committer = incarnation_at(there).committer
        assert committer.let_go() is True
        committer._idle = trio.Event()  # as while the task is at a commit
        assert committer.let_go() is False
        committer._idle.set()
        committer.wake()
        assert committer.let_go() is False
    async with Group(1) as (group, _):  # over a store that commits by waiting
        await trio.testing.wait_all_tasks_blocked()
        assert incarnation_of(group, 0).committer.let_go() is False


@asynccontextmanager
async def two_keepers() -> AsyncIterator[tuple[MemoryServer, Stage, stages.Client, stages.Client]]:
    """A server, the second of two keepers over it, and a client of each, which come by kernel sockets."""
    server = MemoryServer()
    async with (
        stage(sockets=True, store=GatedStore(server)) as here,
        stage(sockets=True, store=GatedStore(server)) as there,
    ):
        yield server, there, await here.client(), await there.client()


def incarnation_at(there: Stage) -> Incarnation:
    incarnation = there.keeper.incarnation
    assert incarnation is not None
    return incarnation


async def test_a_commit_says_whether_another_keeper_is_there(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adapter may let its change stream rest while there is none."""
    said: list[bool] = []
    real = MemoryServer.commit

    def commit(self: MemoryServer, commit: Commit, layout: Layout, by: object) -> int:
        said.append(commit.sole)
        return real(self, commit, layout, by)

    async with Group(2) as (group, _):
        client = await group.client(1)
        monkeypatch.setattr(MemoryServer, "commit", commit)
        assert await client.create("/a") == "/a"
        assert said == [False]
        await group.stop(0)
        said.clear()
        assert await client.create("/b") == "/b"
        assert said == [True]
