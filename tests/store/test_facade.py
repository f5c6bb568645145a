"""Stores that can commit by a plain call: it is the commit that `commit` makes, or nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from parkeeper.errors import GuardFailed, InDoubt, Rejected, Unavailable
from parkeeper.store import sqlite, sqlite_file
from parkeeper.store.facade import PromptStore
from parkeeper.store.memory import MemoryStore
from parkeeper.store.sqlite import SqliteStore
from parkeeper.store.sqlite_file import Database
from tests.store.writers import listening, writers


@asynccontextmanager
async def opened(kind: str, path: Path) -> AsyncIterator[MemoryStore | SqliteStore]:
    store = MemoryStore() if kind == "memory" else SqliteStore(path)
    await store.open()
    try:
        yield store
    finally:
        await store.aclose()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the disk is like today."""
    monkeypatch.setattr(sqlite, "INLINE_SECONDS", 1.0)


either = pytest.mark.parametrize("kind", ["memory", "sqlite"])


@either
async def test_a_commit_by_a_plain_call_is_the_same(kind: str, tmp_path: Path) -> None:
    """Its receipt, its items, what followers are told, and the head."""
    async with opened(kind, tmp_path / "a.db") as store:
        assert isinstance(store, PromptStore)
        one, two = await writers(store)
        start = await store.head()
        async with listening(store, store.head_now()) as listener:
            plan = await one.plan({"node/a": b"1", "data/a": b"2"}, {"node/a": 0}, deletes=["kids/a"])
            receipt = store.commit_now(plan)
            assert receipt is not None
            assert (receipt.previous, store.head_now(), await store.head()) == (
                start,
                *[receipt.revision] * 2,
            )
            await listener.reaches(receipt.revision)
        told = listener.commits[-1]
        assert (told.revision, told.head, dict(told.puts), told.deletes) == (
            receipt.revision, plan.head, {"node/a": b"1", "data/a": b"2"}, ("kids/a",),
        )  # fmt: skip
        item = await store.read("data/a")
        assert item is not None
        assert (item.value, item.revision) == (b"2", receipt.revision)
        with pytest.raises(GuardFailed) as failed:
            store.commit_now(await two.plan({"node/a": b"3"}, {"node/a": 0}))
        assert (failed.value.newest, failed.value.own_identity) == (receipt.revision, two.head)
        assert store.head_now() == receipt.revision


@either
async def test_a_commit_by_a_plain_call_keeps_to_the_bounds(kind: str, tmp_path: Path) -> None:
    """As `commit` does."""
    async with opened(kind, tmp_path / "a.db") as store:
        one, _ = await writers(store)
        with pytest.raises(Rejected):
            store.commit_now(await one.plan({"data/a": bytes(store.limits.value + 1)}))


async def test_sqlite_does_not_wait_by_a_plain_call(tmp_path: Path) -> None:
    """While somebody else is at the file, and where a commit belongs on a thread, it does nothing at all."""
    async with opened("sqlite", tmp_path / "a.db") as store:
        assert isinstance(store, SqliteStore)
        one, _ = await writers(store)
        plan = await one.plan({"node/a": b"1"})
        async with store._lock:
            assert store.commit_now(plan) is None
        assert store.commit_now(await one.plan({"data/a": bytes(sqlite_file.LOGGED_BYTES)})) is None
        many = {f"node/{number}": b"" for number in range(sqlite_file.PENDING_ROWS)}
        assert store.commit_now(await one.plan(many)) is None
        store._seconds = 1.5  # the disk is slow
        assert (store.ready(), store.commit_now(plan)) == (0, None)
        assert await store.read("node/a") is None
        store._seconds = 0.0
        assert store.ready() > 0
        assert store.commit_now(plan) is not None


async def test_sqlite_is_not_ready_when_its_log_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself: else what is planned for a plain call is planned twice."""
    monkeypatch.setattr(sqlite_file, "LOG_ROWS", 5)
    async with opened("sqlite", tmp_path / "a.db") as store:
        assert isinstance(store, SqliteStore)
        one, _ = await writers(store)
        while store.ready():
            assert store.commit_now(await one.plan({"node/a": b"1"})) is not None
            one.revision = store.head_now()
        assert store.commit_now(await one.plan({"node/a": b"2"})) is None
        await one.commit({"node/a": b"3"})
        assert store.ready() > 0


async def test_sqlite_in_doubt_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever commits next hears of it too, by either way."""

    def fail(*_: object) -> bool:
        raise InDoubt("COMMIT failed")

    async with opened("sqlite", tmp_path / "a.db") as store:
        one, _ = await writers(store)
        plan = await one.plan({"node/a": b"1"})
        with monkeypatch.context() as patch:
            patch.setattr(Database, "begin", fail)
            with pytest.raises(InDoubt):
                store.commit_now(plan)
        with pytest.raises(InDoubt):
            store.commit_now(plan)
        with pytest.raises(InDoubt), trio.fail_after(5):
            await store.commit(plan)
        with pytest.raises(Unavailable):
            store.head_now()


@pytest.mark.parametrize("count", [1, 8, 9, 32, 33, 70])
async def test_sqlite_looks_at_every_guard(tmp_path: Path, count: int) -> None:
    """However it looks them up: the one that fails may be any, and absent keys are revision 0."""
    async with opened("sqlite", tmp_path / "a.db") as store:
        one, _ = await writers(store)
        names = [f"node/{number}" for number in range(count)]
        first = await one.commit(dict.fromkeys(names, b"x"))
        guards = dict.fromkeys(names, first.revision) | {"node/absent": 0}
        for name in names:
            for wrong in (0, first.revision - 1):
                with pytest.raises(GuardFailed):
                    store.commit_now(await one.plan({"node/y": b""}, guards | {name: wrong}))
        with pytest.raises(GuardFailed):
            store.commit_now(await one.plan({"node/y": b""}, guards | {"node/absent": 1}))
        assert store.commit_now(await one.plan({"node/y": b""}, guards)) is not None


@pytest.mark.parametrize("count", [1, 30, 31, 32, 63, 70])
async def test_sqlite_writes_every_row(tmp_path: Path, count: int) -> None:
    """However many statements it takes."""
    async with opened("sqlite", tmp_path / "a.db") as store:
        one, _ = await writers(store)
        puts = {f"data/{number:02}": b"%d" % number for number in reversed(range(count))}
        await one.commit(puts)
        assert {item.name: item.value for item in (await store.load()).items if item.name in puts} == puts
