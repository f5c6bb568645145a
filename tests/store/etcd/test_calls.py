"""Members that die, hang, lose their leader or are full; TLS. What is certain afterwards, and what is in doubt."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trustme

from parkeeper.errors import (
    AccessDenied,
    Cut,
    GuardFailed,
    InDoubt,
    NotApplied,
    StoreError,
    Unavailable,
    WentBack,
)
from parkeeper.store.etcd.store import EtcdStore
from parkeeper.store.facade import Commit
from parkeeper.store.http import TimedOut
from parkeeper.store.urls import StoreOptions
from tests.proxy import TcpProxy
from tests.servers import ETCDS, Etcd, Tls
from tests.store.etcd.clusters import addresses, http_server, opened
from tests.store.writers import Writer, make_namespace, writers


@pytest.fixture
def proxy(etcd: Etcd) -> Iterator[TcpProxy]:
    """Before an empty etcd."""
    etcd.wipe()
    with TcpProxy("127.0.0.1", etcd.ports[0]) as proxy:
        yield proxy


# --- one member -----------------------------------------------------------------------------------------------


async def test_commit_when_the_connection_is_refused(proxy: TcpProxy) -> None:
    """Certainly not applied."""
    async with opened([proxy.endpoint]) as store:
        one, _ = await writers(store)
        proxy.refuse()
        proxy.cut()
        with pytest.raises(Unavailable, match="refused"):
            await one.commit({"node/a": b"1"}, seen=0)
        proxy.accept()
        await one.commit({"node/a": b"1"}, {"node/a": 0})


async def test_commit_when_the_connection_was_closed_while_idle(proxy: TcpProxy) -> None:
    """A restart of the server between two commits is not noticed."""
    async with opened([proxy.endpoint]) as store:
        one, _ = await writers(store)
        proxy.cut()
        await one.commit({"node/a": b"1"}, seen=0)


@pytest.mark.parametrize("applied", [False, True])
async def test_commit_when_the_connection_breaks(proxy: TcpProxy, applied: bool) -> None:
    """In doubt, whether the request or its answer was lost; the same commit again tells."""
    async with opened([proxy.endpoint]) as store:
        one, _ = await writers(store)
        commit = await one.plan({"node/a": b"1"}, {"node/a": 0})
        direction = "down" if applied else "up"
        proxy.hold(direction)
        async with trio.open_nursery() as nursery:

            async def break_it() -> None:
                await trio.to_thread.run_sync(proxy.await_held, direction)
                proxy.cut()
                proxy.release()

            nursery.start_soon(break_it)
            with pytest.raises(InDoubt):
                await store.commit(commit)
        if applied:
            with pytest.raises(GuardFailed) as caught:
                await one.send(commit)
            assert caught.value.own_identity == commit.head
        else:
            await one.send(commit)


@pytest.mark.slow
async def test_commit_when_no_answer_comes(proxy: TcpProxy) -> None:
    """In doubt after 1 s, then after 2 s; back to 1 s when it works again."""
    async with opened([proxy.endpoint]) as store:
        one, _ = await writers(store)
        commit = await one.plan({"node/a": b"1"})
        waits = list[float]()
        proxy.hold("down")
        for _ in range(2):
            start = trio.current_time()
            with pytest.raises(TimedOut):
                await store.commit(commit)
            waits.append(trio.current_time() - start)
        assert 0.9 < waits[0] < 1.8
        assert 1.9 < waits[1] < 2.8
        proxy.cut()
        proxy.release()
        with pytest.raises(GuardFailed):
            await store.commit(commit)
        assert store._patience.seconds == 1.0


async def test_read_when_the_connection_breaks(proxy: TcpProxy) -> None:
    """A read is asked again by itself."""
    async with opened([proxy.endpoint]) as store:
        await writers(store)
        proxy.hold("down")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.head)
            await trio.to_thread.run_sync(proxy.await_held, "down")
            proxy.cut()
            proxy.release()


async def test_beat_when_commits_hang(proxy: TcpProxy) -> None:
    """It has a connection of its own: a commit that waits for ever does not delay it."""
    async with opened([proxy.endpoint]) as store:
        one, _ = await writers(store)
        await one.send_beat(b"1")
        commits = proxy.accepted
        proxy.hold("down")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.plan, {"node/a": b"1"})  # its look at head() hangs
            await trio.to_thread.run_sync(proxy.await_held, "down")
            proxy.release()
        assert store._calls.clients.beats is not store._calls.clients.rest
        assert proxy.accepted == commits


async def test_beat_when_no_answer_comes(proxy: TcpProxy) -> None:
    """In doubt after a sixth of the keeper's TTL."""
    async with opened([proxy.endpoint], StoreOptions(keeper_ttl=0.6)) as store:
        one, _ = await writers(store)
        await one.send_beat(b"1")
        proxy.hold("down")
        start = trio.current_time()
        with pytest.raises(InDoubt):
            await one.send_beat(b"2")
        assert trio.current_time() - start < 1.0
        proxy.release()


# --- several members ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[Etcd]:
    with Etcd("3.5.16", members=3) as cluster:
        yield cluster


@pytest.mark.slow
async def test_endpoint_that_hangs_is_left(etcd: Etcd, proxy: TcpProxy) -> None:
    """A commit without an answer is in doubt; the same one again goes elsewhere, at once."""
    async with opened([proxy.endpoint, *etcd.endpoints]) as store:
        one, _ = await writers(store)
        commit = await one.plan({"node/a": b"1"})
        proxy.hold("down")
        with pytest.raises(TimedOut):
            await store.commit(commit)
        with trio.fail_after(0.9), pytest.raises(GuardFailed) as caught:
            await store.commit(commit)
        assert caught.value.own_identity == commit.head


async def test_endpoint_whose_beat_was_given_up_is_left(etcd: Etcd, proxy: TcpProxy) -> None:
    """Its caller's patience may be shorter than ours."""
    async with opened([proxy.endpoint, *etcd.endpoints]) as store:
        one, _ = await writers(store)
        proxy.hold("down")
        with trio.move_on_after(0.1) as given_up:
            await one.send_beat(b"1")
        assert given_up.cancelled_caught
        with trio.fail_after(0.9), pytest.raises(GuardFailed):  # the first try had arrived
            await one.send_beat(b"2")


async def test_endpoint_that_refuses_is_left(etcd: Etcd, proxy: TcpProxy) -> None:
    """What was certainly not applied goes to the next member within the same call."""
    async with opened([proxy.endpoint, *etcd.endpoints]) as store:
        one, _ = await writers(store)
        proxy.refuse()
        proxy.cut()
        await one.commit({"node/a": b"1"})


@pytest.mark.slow
async def test_leader_that_dies(cluster: Etcd) -> None:
    """Whatever is said meanwhile is true: each commit is there exactly if, and once, it was said to be."""
    cluster.wipe()
    async with opened(cluster) as store:
        one, _ = await writers(store)
        receipts = list[int]()
        leader = cluster.leader()

        async def kill() -> None:
            await trio.sleep(0.3)
            await trio.to_thread.run_sync(cluster.members[leader].kill)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(kill)
            with trio.fail_after(30):
                while len(receipts) < 10 or cluster.members[leader].alive or receipts[-1] < receipts[9] + 200:
                    receipts.append(await settle(one, {"node/a": b"%d" % len(receipts)}))
        assert sorted(set(receipts)) == receipts
        item = await store.read("node/a")
        assert item is not None
        assert (item.value, item.revision) == (b"%d" % (len(receipts) - 1), receipts[-1])
    await trio.to_thread.run_sync(cluster.start)


async def settle(writer: Writer, puts: dict[str, bytes]) -> int:
    """Commit, asking again while in doubt (a small committer)."""
    commit = await writer.plan(puts, seen=0)
    while True:
        try:
            return (await writer.send(commit)).revision
        except GuardFailed as error:
            if error.own_identity is None or error.own_identity != commit.head:
                raise
            writer.head, writer.revision = error.own_identity, error.own
            return error.own
        except (InDoubt, Unavailable):
            await trio.sleep(0.05)


@pytest.mark.slow
async def test_member_without_a_leader(cluster: Etcd) -> None:
    """It refuses at once, and certainly has not applied: no hanging for 7 s."""
    cluster.wipe()
    async with opened([cluster.endpoints[0]]) as store:
        one, _ = await writers(store)
        for member in cluster.members[1:]:
            await trio.to_thread.run_sync(member.kill)
        try:
            with trio.fail_after(30):
                while True:
                    try:
                        await one.commit({"node/a": b"1"}, seen=0)
                    except Unavailable:
                        break
                    except (InDoubt, GuardFailed):
                        await trio.sleep(0.1)
            with pytest.raises(Unavailable, match="no leader"):
                await one.commit({"node/a": b"1"}, seen=0)
            with pytest.raises(Unavailable, match="no leader"):
                await store.head()
        finally:
            await trio.to_thread.run_sync(cluster.start)  # noqa: ASYNC102


@pytest.mark.slow
async def test_another_cluster_behind_the_address(any_etcd: Etcd) -> None:
    """Its past is not ours: said until everything is loaded anew."""
    any_etcd.wipe()
    with TcpProxy("127.0.0.1", any_etcd.ports[0]) as proxy, Etcd() as other:
        async with opened([proxy.endpoint]) as store:
            one, _ = await writers(store)
            await store.load()
            proxy.target = ("127.0.0.1", other.ports[0])
            proxy.cut()
            for call in (store.head, store.survey, lambda: one.send_beat(b"x"), lambda: store.read("meta")):
                with pytest.raises(WentBack, match="another etcd cluster"):
                    await call()
            with pytest.raises(WentBack):
                await store.follow(0, lambda event: None)
            assert (await store.load()).revision == 0
            await make_namespace(store)


@pytest.mark.parametrize("answer", [b"not JSON", b'{"header":7}', b""])
async def test_something_else_behind_the_address(etcd: Etcd, answer: bytes) -> None:
    """A proxy's page with status 200 is no answer: a write is in doubt, and nobody crashes."""
    etcd.wipe()
    async with http_server("200 OK", answer) as impostor:
        with TcpProxy("127.0.0.1", etcd.ports[0]) as proxy:
            async with opened([proxy.endpoint]) as store:
                one, _ = await writers(store)
                proxy.target = addresses(impostor)[0]
                proxy.cut()
                for call in (store.head, store.survey, store.load, lambda: one.send_beat(b"x")):
                    with pytest.raises(InDoubt, match="not etcd's"):
                        await call()
                with pytest.raises(InDoubt, match="not etcd's"):
                    await one.commit({"node/a": b""}, seen=0)
                with pytest.raises(Cut):
                    await store.follow(0, print)


# --- a full database ------------------------------------------------------------------------------------------


async def fill(writer: Writer) -> tuple[Commit, StoreError]:
    """Commit until there is no room; returns the commit that was refused."""
    for _ in range(50):
        commit = await writer.plan({"node/a": b"x" * 500_000}, seen=0)
        try:
            await writer.send(commit)
        except StoreError as refusal:
            return commit, refusal
    raise AssertionError("there is no quota")


@pytest.mark.parametrize("version", ETCDS)
@pytest.mark.slow
async def test_database_that_is_full(version: str, caplog: pytest.LogCaptureFixture) -> None:
    """The refused commit may be stored: whether it is, is told at once; and what to do is logged."""
    with Etcd(version, flags=["--quota-backend-bytes=4194304"]) as etcd:
        async with opened(etcd) as store:
            one, _ = await writers(store)
            commit, refusal = await fill(one)
            assert "etcdctl defrag" in caplog.text
            item = await store.read("node/a")
            assert item is not None
            if isinstance(refusal, GuardFailed):
                assert refusal.own_identity == commit.head
                assert item.revision == refusal.own > one.revision
                one.revision = refusal.own
            else:
                assert isinstance(refusal, NotApplied)
                assert item.revision == one.revision
            # Once the alarm stands nothing is stored any more.
            with pytest.raises(NotApplied, match="database is full"):
                await one.commit({"node/b": b""}, seen=0)
            assert await store.read("node/b") is None
            with pytest.raises(InDoubt):
                await one.send_beat(b"1")
        with pytest.raises(Unavailable, match="database space exceeded"):
            async with opened(etcd):
                pass


@pytest.mark.slow
async def test_database_that_is_full_when_an_earlier_copy_is_under_way() -> None:
    """A commit whose first try got no answer stays in doubt: that copy may yet arrive."""
    with Etcd(flags=["--quota-backend-bytes=4194304"]) as full, TcpProxy("127.0.0.1", full.ports[0]) as held:
        async with opened([held.endpoint]) as store:
            one, _ = await writers(store)
            _, refusal = await fill(one)
            if isinstance(refusal, GuardFailed):
                one.revision = refusal.own
            commit = await one.plan({"node/b": b""}, seen=0)
            held.hold("up")
            with pytest.raises(TimedOut):
                await store.commit(commit)
            held.cut()
            held.release()
            with pytest.raises(InDoubt, match="database space exceeded"):
                await store.commit(commit)


# --- TLS ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls_files(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ca.pem`, and certificate and key of `server` (127.0.0.1) and `client` (without a CN, as auth needs it)."""
    folder = tmp_path_factory.mktemp("tls")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name, certificate in {
        "server": authority.issue_cert("127.0.0.1", "localhost"),
        "client": authority.issue_cert("keeper.example"),
        "named": authority.issue_cert("keeper.example", common_name="keeper"),
    }.items():
        certificate.private_key_pem.write_to_path(str(folder / f"{name}.key"))
        certificate.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
    return folder


def tls_options(folder: Path, name: str | None = "client") -> StoreOptions:
    if name is None:
        return StoreOptions(ca_file=folder / "ca.pem")
    return StoreOptions(
        ca_file=folder / "ca.pem", cert_file=folder / f"{name}.pem", key_file=folder / f"{name}.key"
    )


@pytest.mark.parametrize("version", ETCDS)
@pytest.mark.slow
async def test_tls_with_client_certificates(version: str, tls_files: Path) -> None:
    """Commits, watches and loads over TLS, with the certificate the server wants; not without it."""
    tls = Tls(tls_files / "server.pem", tls_files / "server.key", tls_files / "ca.pem")
    with Etcd(version, tls=tls) as etcd:
        async with opened(etcd, tls_options(tls_files), tls=True) as store:
            one, _ = await writers(store)
            position = (await store.load()).position
            await one.commit({"node/a": b"x" * 1_000_000})
            told = list[object]()
            async with trio.open_nursery() as nursery:

                def deliver(event: object) -> None:
                    told.append(event)
                    nursery.cancel_scope.cancel("told")

                nursery.start_soon(store.follow, position, deliver)
            assert len(told) == 1
        with pytest.raises(StoreError, match=r"(?i)certificate"):
            async with opened(etcd, tls_options(tls_files, None), tls=True):
                pass
        with pytest.raises(Unavailable, match="certificate verify failed"):
            async with opened(etcd, StoreOptions(), tls=True):
                pass


@pytest.mark.slow
async def test_tls_when_only_one_side_speaks_it(etcd: Etcd, tls_files: Path) -> None:
    """An error with a text, not a hang."""
    with trio.fail_after(15), pytest.raises(Unavailable):
        async with opened(etcd, tls_options(tls_files), tls=True):
            pass
    tls = Tls(tls_files / "server.pem", tls_files / "server.key")
    with Etcd(tls=tls) as secured, trio.fail_after(15), pytest.raises(StoreError):
        async with opened(secured, tls=False):
            pass


@pytest.mark.slow
async def test_tls_certificate_with_a_name(tls_files: Path) -> None:
    """With authentication on, etcd's gateway refuses certificates with a CN; the text says so."""
    tls = Tls(tls_files / "server.pem", tls_files / "server.key", tls_files / "ca.pem")
    with Etcd(tls=tls) as etcd:
        store = EtcdStore(addresses(*etcd.endpoints), True, tls_options(tls_files))
        for path, body in [
            ("auth/user/add", b'{"name":"root","password":"x"}'),
            ("auth/role/add", b'{"name":"root"}'),
            ("auth/user/grant", b'{"user":"root","role":"root"}'),
            ("auth/enable", b"{}"),
        ]:
            await store._calls.once(store._calls.clients.rest, f"/v3/{path}", body, 5.0)
        await store.aclose()
        options = tls_options(tls_files, "named")
        with pytest.raises(AccessDenied, match="CommonName"):
            async with opened(
                etcd, StoreOptions(**{**vars(options), "user": "root", "password": "x"}), tls=True
            ):
                pass
