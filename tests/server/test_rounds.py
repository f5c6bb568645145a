"""Random clients at two keepers over kernel sockets, so that commits are made at rounds' ends as well as by the task."""

from __future__ import annotations

import random
import struct

import pytest
import trio
import trio.testing

from parkeeper.errors import NotApplied, Unavailable
from parkeeper.options import Limits
from parkeeper.server.readiness import Readiness
from parkeeper.store.facade import Commit, Receipt
from parkeeper.store.memory import MemoryServer
from tests.raw import encode as raw
from tests.server.stage import GatedStore, Stage, create, get_data, request, set_data, stage, string

PATHS = ("/n0", "/n1", "/n2")
ROUNDS = 60


class Moody(GatedStore):
    """A store that now and then will not commit by a plain call, fails to, or takes its time."""

    def __init__(self, server: MemoryServer, choose: random.Random) -> None:
        super().__init__(server)
        self.choose = choose
        self.moods = 0

    def commit_now(self, commit: Commit) -> Receipt | None:
        """See `MemoryStore.commit_now`."""
        mood = self.choose.random()
        self.moods += mood < 0.15
        if mood < 0.1:
            return None
        if mood < 0.15:
            raise self.choose.choice((NotApplied, Unavailable))("a mood")
        return super().commit_now(commit)

    async def commit(self, commit: Commit) -> Receipt:
        """See `MemoryStore.commit`."""
        if self.choose.random() < 0.3:
            await trio.sleep(self.choose.random() * 0.003)
        return await super().commit(commit)


def version_in(stat: bytes) -> int:
    """The version that a Stat says."""
    version: int = struct.unpack_from(">i", stat, 32)[0]
    return version


class Talker:
    """One client that asks at random, several requests at a time, and checks what it is answered.

    Args:
        there: where it connects.
        number: of its own.
        choose: the dice.
        made: (path, version) of every write that happened, everybody's.
    """

    def __init__(self, there: Stage, number: int, choose: random.Random, made: set[tuple[str, int]]) -> None:
        self.there = there
        self.number = number
        self.choose = choose
        self.made = made
        self.seen = dict.fromkeys(PATHS, 0)
        self.xid = 0

    def ask(self) -> tuple[bytes, str, str]:
        """A request, what it is, and of which path."""
        self.xid += 1
        xid, path = self.xid, self.choose.choice(PATHS)
        mine = f"/c{self.number}-{xid}"
        what = self.choose.choices(
            ("set", "guarded", "get", "sync", "create", "none"), (45, 15, 20, 5, 10, 5)
        )[0]
        packet = {
            "set": lambda: set_data(xid, path, b"x"),
            "guarded": lambda: set_data(xid, path, b"x", self.seen[path]),
            "get": lambda: get_data(xid, path),
            "sync": lambda: request(xid, 9, raw.only_path(path)),
            "create": lambda: create(xid, mine, b"", 1),
            "none": lambda: set_data(xid, "/none", b""),
        }[what]()
        return packet, what, path

    async def run(self) -> None:
        client = await self.there.client()
        newest, xid = 0, 0
        for _ in range(ROUNDS):
            asked = [
                self.ask() for _ in range(self.choose.randint(1, 60 if self.choose.random() < 0.1 else 5))
            ]
            await client.send(*(packet for packet, _, _ in asked))
            for _, what, path in asked:
                with trio.fail_after(10):
                    answer = await client.answer()
                xid += 1
                assert answer.xid == xid
                assert answer.zxid >= newest
                newest = answer.zxid
                self.check(what, path, answer.err, answer.body)

    def check(self, what: str, path: str, err: int, body: bytes) -> None:
        """Versions grow, nobody gets one that another got, and what was seen is not unseen."""
        if what == "none":
            assert err == -101
        elif what == "guarded" and err:
            assert err == -103
        else:
            assert err == 0
            if what in ("set", "guarded"):
                version = version_in(body)
                assert (path, version) not in self.made
                assert version > self.seen[path]
                self.made.add((path, version))
                self.seen[path] = version
            elif what == "get":
                (length,) = struct.unpack_from(">i", body)
                version = version_in(body[4 + length :])
                assert version >= self.seen[path]
                self.seen[path] = version


@pytest.mark.skipif(not Readiness.available, reason="this system has no epoll")
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_random_clients_at_two_keepers(seed: int) -> None:
    """Every write happens once, in an order that all see, and everybody is answered in turn."""
    choose, server, made = random.Random(seed), MemoryServer(), set[tuple[str, int]]()
    limits = Limits(batch=(1, 3, 256)[seed % 3], in_flight=(2, 10_000)[seed % 2])
    stores = [Moody(server, choose) for _ in range(2)]
    async with (
        stage(limits, sockets=True, store=stores[0]) as here,
        stage(sockets=True, store=stores[1]) as there,
    ):
        first, second = await here.client(), await there.client()
        await first.send(*(create(xid, path) for xid, path in enumerate(PATHS)))
        assert [each.err for each in await first.answers(3)] == [0, 0, 0]
        await second.send(request(1, 9, string("/n0")))
        await second.answer()

        async def jitter() -> None:
            while True:
                server.delay = choose.choice((0, 0, 0, 0.002, 0.01))
                await trio.sleep(choose.random() * 0.02)

        async with trio.open_nursery() as weather:
            weather.start_soon(jitter)
            async with trio.open_nursery() as nursery:
                for number in range(6):
                    at = (here, there)[number % 2]
                    nursery.start_soon(Talker(at, number, choose, made).run)
            weather.cancel_scope.cancel()
        server.delay = 0
        for path in PATHS:
            await first.send(request(8, 9, string(path)), get_data(9, path))
            _, got = await first.answers(2)
            (length,) = struct.unpack_from(">i", got.body)
            last = version_in(got.body[4 + length :])
            assert sorted(version for each, version in made if each == path) == list(range(1, last + 1))
        for each in (here, there):
            assert each.keeper.incarnation is not None
            with trio.fail_after(10):
                await each.keeper.incarnation.committer.settled()
        assert all(store.moods and store.prompt for store in stores)
