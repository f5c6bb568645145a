"""How long a commit may take: by itself, and while somebody watches."""

import ssl
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme
from trio.testing import MockClock

from parkeeper.store.etcd import patience
from parkeeper.store.etcd.patience import FIRST_TRY, Patience
from parkeeper.store.etcd.store import EtcdStore
from parkeeper.store.facade import Commit, Head
from parkeeper.store.http import TimedOut
from parkeeper.store.urls import StoreOptions
from tests.proxy import TcpProxy
from tests.servers import Etcd
from tests.store.etcd.clusters import opened
from tests.store.writers import writers

LONGEST = 3.0


async def test_commit_that_nobody_watches_limits_itself() -> None:
    """To twice as long after each that timed out, up to a bound; to the first time again after an answer."""
    tries = Patience(lambda: True, LONGEST)
    limits = list[float]()
    for _ in range(3):
        limits.append(tries.begin())
        tries.end()
        tries.exhausted()
    assert limits == [FIRST_TRY, 2 * FIRST_TRY, LONGEST]
    tries.answered()
    assert tries.begin() == FIRST_TRY


@pytest.mark.parametrize("begins", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("doubts", [0, 1])
async def test_commit_that_is_watched_is_cut_off_in_time(
    begins: float, doubts: int, autojump_clock: MockClock
) -> None:
    """Whenever it begins, and only once."""
    cuts, cut_off = list[float](), trio.Event()

    def cut() -> bool:
        cuts.append(trio.current_time())
        cut_off.set()
        return True

    tries = Patience(cut, LONGEST)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tries.watch)
        await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(begins)
        for _ in range(doubts):
            tries.exhausted()
        begun = trio.current_time()
        assert tries.begin() == float("inf")
        assert not tries.ended
        await cut_off.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert tries.ended
        tries.end()
        await trio.sleep(10)
        assert cuts == [pytest.approx(begun + (1 + doubts) * FIRST_TRY)]
        tries.begin()
        assert not tries.ended
        nursery.cancel_scope.cancel()
    assert tries.begin() == (1 + doubts) * FIRST_TRY


async def test_commits_that_end_are_not_cut_off(autojump_clock: MockClock) -> None:
    """However many there are while it sleeps."""
    cuts = list[float]()

    def cut() -> bool:
        cuts.append(trio.current_time())
        return True

    tries = Patience(cut, LONGEST)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tries.watch)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(20):
            tries.begin()
            await trio.sleep(0.9 * FIRST_TRY)
            tries.end()
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert cuts == []


async def test_commit_without_a_connection_is_looked_at_again(autojump_clock: MockClock) -> None:
    """There is nothing to cut off yet, and it may still be sent and never be answered. [it hung for ever]"""
    connected = False
    tries = Patience(lambda: connected, LONGEST)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tries.watch)
        await trio.testing.wait_all_tasks_blocked()
        tries.begin()
        await trio.sleep(2.5 * FIRST_TRY)
        assert not tries.ended
        connected = True
        await trio.sleep(FIRST_TRY)
        assert tries.ended
        nursery.cancel_scope.cancel()


# --- against servers ------------------------------------------------------------------------------------------


@pytest.fixture
def proxy(any_etcd: Etcd) -> Iterator[TcpProxy]:
    """Before an empty etcd of each version."""
    any_etcd.wipe()
    with TcpProxy("127.0.0.1", any_etcd.ports[0]) as proxy:
        yield proxy


@pytest.mark.parametrize("watched", [True, False])
async def test_commit_when_no_answer_comes(
    proxy: TcpProxy, watched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In doubt, and it did happen; what else is asked is not cut off with it; the next one gets its answer."""
    async with opened([proxy.endpoint]) as store, trio.open_nursery() as nursery:
        one, _ = await writers(store)
        plan = await one.plan({"node/a": b"1"})
        monkeypatch.setattr(patience, "FIRST_TRY", 0.3)
        store._patience.answered()
        if watched:
            nursery.start_soon(store.watch_commits)
            await trio.testing.wait_all_tasks_blocked()
        heads, asked = list[int](), trio.Event()

        async def ask() -> None:
            heads.append(await store.head())
            asked.set()

        proxy.hold("down")
        nursery.start_soon(ask)
        with trio.fail_after(5), pytest.raises(TimedOut, match=r"no answer within 0\.3 s"):
            await one.send(plan)
        assert heads == []
        proxy.release()
        with trio.fail_after(5):
            await asked.wait()
            item = await store.read("node/a")
        assert item is not None
        assert store._patience.seconds == 0.6
        one.head, one.revision = plan.head or one.head, item.revision
        await one.commit({"node/b": b""})
        assert store._patience.seconds == 0.3
        nursery.cancel_scope.cancel()


async def test_commit_when_connecting_takes_long_and_no_answer_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in doubt all the same, a little later."""
    monkeypatch.setattr(patience, "FIRST_TRY", 0.2)
    said = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        await trio.sleep(0.3)
        server = trio.SSLStream(stream, context, server_side=True)
        while await server.receive_some():
            said.set()

    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        with authority.cert_pem.tempfile() as ca_file:
            port = listeners[0].socket.getsockname()[1]
            store = EtcdStore([("localhost", port)], True, StoreOptions(ca_file=Path(ca_file)))
        nursery.start_soon(store.watch_commits)
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(10), pytest.raises(TimedOut):
            await store.commit(Commit(1, Head(1, 1, 1), {}, {}, (), b"journal"))
        assert said.is_set()
        await store.aclose()
        nursery.cancel_scope.cancel()
