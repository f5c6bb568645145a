"""Sending a commit until its fate is known (PROTOCOL section 3); test_faults.py shows what clients see of it."""

from __future__ import annotations

from itertools import count
from typing import NoReturn

import pytest
import trio
from trio.testing import MockClock

from parkeeper.errors import GuardFailed, NotApplied
from parkeeper.server.commit_stats import CommitStats
from parkeeper.server.doubt import UNKNOWN, Ended, Sender, Superseded
from parkeeper.store.facade import Commit, Head
from parkeeper.store.memory import MemoryServer, MemoryStore
from parkeeper.testing.faults import LoseAnswer, LoseRequest, Refuse, Straggle
from parkeeper.testing.faulty import FaultyStore
from tests.server.stage import GatedStore, create, stage

FIRST = Head(7, 0, 1)


class Scene:
    """A store with one keeper's registration in it, and that keeper's sender."""

    def __init__(self) -> None:
        self.server = MemoryServer()
        self.store = FaultyStore(MemoryStore(self.server))
        self.stats = CommitStats()
        self.sender = Sender(self.store, 1, count(100).__next__, self.stats)
        self.rev = 0

    async def register(self) -> None:
        receipt = await self.store.commit(Commit(1, FIRST, {"head/1": 0}, {"fence/1": b"f", "node/a": b"0"}))
        self.rev = receipt.revision

    def commit(self, **guards: int) -> Commit:
        named = {"head/1": self.rev, **{f"node/{name}": rev for name, rev in guards.items()}}
        return Commit(1, Head(7, 1, 2), named, {"node/a": b"1"}, seen=self.rev)


async def test_a_lost_answer_is_found_in_our_own_head(autojump_clock: MockClock) -> None:
    """It had happened, at that revision; only the stream knows what was before it."""
    scene = Scene()
    await scene.register()
    scene.store.commits.fail_next(LoseAnswer())
    receipt = await scene.sender.send(scene.commit(a=scene.rev), FIRST, scene.rev)
    assert receipt.previous == UNKNOWN
    assert scene.server.items[b"parkeeper/node/a"] == (b"1", receipt.revision)
    assert (scene.stats.in_doubt, scene.stats.found) == (1, 1)


async def test_what_is_refused_after_a_doubt_is_superseded_and_its_copy_harmless(
    autojump_clock: MockClock,
) -> None:
    """An empty commit moves our head, so that no late copy can be applied any more."""
    scene = Scene()
    await scene.register()
    copy = Straggle()
    scene.store.commits.fail_next(copy, LoseRequest())
    commit = scene.commit(a=scene.rev)
    scene.server.stranger_put(b"parkeeper/node/a", b"theirs")
    with pytest.raises(Superseded) as superseded:
        await scene.sender.send(commit, FIRST, scene.rev)
    assert (superseded.value.head.counter, superseded.value.head.attempt) == (1, 100)
    await copy.arrive()
    assert isinstance(copy.outcomes[0], GuardFailed)
    assert scene.server.items[b"parkeeper/node/a"][0] == b"theirs"


async def test_a_copy_that_arrives_before_the_empty_commit_is_found(autojump_clock: MockClock) -> None:
    """Whichever moves our head first has happened, the other one never will."""
    scene = Scene()
    await scene.register()
    scene.store.commits.fail_next(Straggle(0.05), LoseRequest())
    receipt = await scene.sender.send(scene.commit(a=scene.rev), FIRST, scene.rev)
    assert scene.server.items[b"parkeeper/node/a"] == (b"1", receipt.revision)


async def test_a_definite_refusal_is_told_at_once(autojump_clock: MockClock) -> None:
    """Without a doubt there is nothing to settle."""
    scene = Scene()
    await scene.register()
    with pytest.raises(GuardFailed):
        await scene.sender.send(scene.commit(a=99), FIRST, scene.rev)
    scene.store.commits.fail_next(Refuse(NotApplied))
    with pytest.raises(NotApplied):
        await scene.sender.send(scene.commit(a=scene.rev), FIRST, scene.rev)
    assert scene.stats.in_doubt == 0


async def test_a_head_we_know_nothing_of_is_the_end(autojump_clock: MockClock) -> None:
    """Our registration is gone, or somebody else commits under our id."""
    scene = Scene()
    await scene.register()
    with pytest.raises(Ended):
        await scene.sender.send(scene.commit(a=99), Head(8, 0, 1), scene.rev)


async def test_a_store_that_limits_commits_by_itself_is_let_do_it(autojump_clock: MockClock) -> None:
    """Its watch runs as long as the keeper lives, and no commit is given up by anybody else."""

    class Patient(GatedStore):
        watched = 0

        async def watch_commits(self) -> NoReturn:
            self.watched += 1
            try:
                await trio.sleep_forever()
            finally:
                self.watched -= 1

    store = Patient(MemoryServer())
    async with stage(store=store) as staged:
        client = await staged.client()
        assert store.watched == 1
        store.close_gate()
        await client.send(create(1, "/a"))
        await trio.sleep(5)
        assert staged.keeper.commits.in_doubt == 0
        store.open_gate()
    assert store.watched == 0
