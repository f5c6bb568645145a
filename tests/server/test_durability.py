"""Nobody is told of a commit before it is durable, and nobody at all of one that may be lost."""

from __future__ import annotations

import select
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from parkeeper.errors import InDoubt
from parkeeper.server.serving import State
from parkeeper.store import sqlite, sqlite_sync
from parkeeper.store.sqlite import SqliteStore
from tests.server.stage import (
    Answer,
    Client,
    GatedStore,
    Stage,
    connect_request,
    create,
    get_data,
    request,
    set_data,
    stage,
)
from tests.store.sqlite.aids import unsyncable

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="without epoll every commit is made by the task"
)


class Watched(GatedStore):
    """A store in memory that has something looked at, or goes wrong, when a commit should become durable."""

    look: Callable[[], None] | None = None

    def durable(self) -> None:
        """See `MemoryStore.durable`."""
        if self.look is not None:
            self.look()


def bytes_for(client: Client) -> bool:
    """Whether something has come to a client that it has not read."""
    stream = client.stream
    assert isinstance(stream, trio.SocketStream)
    return bool(select.select([stream.socket.fileno()], [], [], 0)[0])


async def watching(there: Stage) -> tuple[Client, Client]:
    """One that writes to /a, and one that watches it."""
    writer, watcher = await there.client(), await there.client()
    await writer.send(create(1, "/a"))
    await writer.answer()
    await watcher.send(get_data(1, "/a", watch=True))
    await watcher.answer()
    return writer, watcher


async def serving(there: Stage) -> None:
    """Wait for the next incarnation. (The one before ended before anybody could hear of it.)"""
    with trio.fail_after(10):
        await there.keeper.serving.until(State.SERVING)


async def test_nobody_is_served_from_that_moment_on() -> None:
    """Not by a task either that has its turn before it hears that it is cancelled."""
    store = Watched()
    async with stage(sockets=True, store=store) as there:
        writer, _ = await watching(there)
        incarnation = there.keeper.incarnation
        assert incarnation is not None
        found: list[tuple[bool, int]] = []
        become = there.keeper.serving.become

        def apart(state: State) -> None:
            if state is State.APART and not found:
                found.append(
                    (incarnation.membership.deadline < trio.current_time(), len(incarnation.flusher))
                )
            become(state)

        there.keeper.serving.become = apart  # type: ignore[method-assign]

        def fail() -> None:
            store.look = None
            raise InDoubt("the disk went up in smoke")

        store.look = fail
        await writer.send(set_data(2, "/a", b"1"))
        assert await writer.ended()
        assert found == [(True, 0)]


async def test_a_refusal_that_rests_on_what_may_be_lost_is_told_nobody_either() -> None:
    """A session that was closed in the same commit has not expired if that is lost."""
    store = Watched()
    async with stage(sockets=True, store=store) as there:
        one, other, busy = await there.client(), there.call(), await there.client()
        store.close_gate()
        await busy.send(create(1, "/a"))
        await trio.testing.wait_all_tasks_blocked()
        await one.send(request(1, -11))
        await trio.testing.wait_all_tasks_blocked()
        await other.send(connect_request(session=one.session, password=one.password))
        await trio.testing.wait_all_tasks_blocked()

        def fail() -> None:
            store.look = None
            raise InDoubt("the disk went up in smoke")

        store.look = fail
        store.open_gate()
        with trio.fail_after(5):
            assert await other.ended()
            assert await one.ended()
        assert store.look is None


async def test_it_is_applied_before_and_told_after() -> None:
    """The reply, the event, and what was asked behind the write."""
    store = Watched()
    async with stage(sockets=True, store=store) as there:
        writer, watcher = await watching(there)
        seen: list[tuple[int, bool, bool]] = []

        def look() -> None:
            node = there.services.replica.nodes["/a"]
            seen.append((node.version, bytes_for(writer), bytes_for(watcher)))

        store.look = look
        await writer.send(set_data(2, "/a", b"1"), get_data(3, "/a"))
        assert [each.err for each in await writer.answers(2)] == [0, 0]
        assert (await watcher.answer()).xid == -1
        assert seen == [(1, False, False)]


async def test_what_may_be_lost_is_told_nobody() -> None:
    """Neither its reply nor its event; whoever would have got one is cut off, and the keeper loads anew."""
    store = Watched()
    async with stage(sockets=True, store=store) as there:
        writer, watcher = await watching(there)
        idle = await there.client()

        def fail() -> None:
            store.look = None
            raise InDoubt("the disk went up in smoke")

        store.look = fail
        await writer.send(set_data(2, "/a", b"1"), get_data(3, "/a"))
        await idle.send(get_data(1, "/a"))
        with trio.fail_after(5):
            assert await writer.ended()
            assert await watcher.ended()
            with suppress(trio.BrokenResourceError):  # (its bytes may lie there unread)
                if answer := await idle.packet():
                    assert Answer(0, 0, 0, answer[16:]).data == b""  # (asked in the same round, before)
                    assert await idle.ended()
        await serving(there)
        assert "may have lost a commit: the disk went up in smoke" in there.keeper.reasons[0]
        again = await there.client()
        await again.send(get_data(1, "/a"))
        assert (await again.answer()).data == b"1"  # (this store has it)


@pytest.mark.skipif(not sqlite_sync.available(), reason="another C library than glibc on 64 bits")
async def test_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real thing: a sync that fails in the background. Opened anew, the file tells what is true."""
    monkeypatch.setattr(sqlite, "INLINE_SECONDS", 1.0)
    store = SqliteStore(tmp_path / "store.db")
    async with stage(sockets=True, store=store) as there:  # type: ignore[arg-type]
        writer, watcher = await watching(there)
        assert store._database is not None
        sync = store._database._sync
        assert sync is not None
        with unsyncable(sync):
            await writer.send(set_data(2, "/a", b"1"))
            with trio.fail_after(5):
                assert await writer.ended()
                assert await watcher.ended()
            await serving(there)
        assert "store.db could not be brought to the disk" in there.keeper.reasons[0]
        again = await there.client()
        await again.send(get_data(1, "/a"), set_data(2, "/a", b"2"))
        found, changed = await again.answers(2)
        assert (found.data, changed.err) == (b"1", 0)
