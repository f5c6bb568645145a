"""Opening the adapter over real Consul, and what it takes and refuses."""

from pathlib import Path
from random import Random

import pytest
import trio
import trustme

from parkeeper.errors import ConfigError, GuardFailed, Rejected, Unavailable
from parkeeper.store.consul.store import ConsulStore
from parkeeper.store.facade import Item, StoreLimits
from parkeeper.store.urls import StoreOptions, open_store
from tests.processes import free_port
from tests.servers import Consul, Tls
from tests.store.consul.conftest import OpenStore, opened, registered
from tests.store.writers import listening, writers

run = trio.to_thread.run_sync


async def test_open_store_finds_the_adapter(consul: Consul, namespace: str) -> None:
    """By URL, through `parkeeper.store.urls`."""
    store = open_store(consul.url, StoreOptions(namespace=namespace))
    assert isinstance(store, ConsulStore)
    await store.open()
    assert await store.head() == 0
    await store.aclose()


async def test_open_when_nobody_is_there() -> None:
    """Worth waiting for."""
    store = ConsulStore([("127.0.0.1", free_port())], False, StoreOptions())
    with pytest.raises(Unavailable):
        await store.open()
    await store.aclose()


@pytest.mark.slow
async def test_open_when_there_is_no_leader(namespace: str) -> None:
    """One of three, alone: worth waiting for, and it works once there are two."""
    with Consul(members=3) as server:
        for member in server.members[1:]:
            await run(member.kill)
        store = ConsulStore([("127.0.0.1", server.ports[0])], False, StoreOptions(namespace=namespace))

        async def gives(error: type[Exception] | None) -> None:
            with trio.fail_after(30):
                while True:
                    try:
                        await store.open()
                    except Unavailable:
                        if error is Unavailable:
                            return
                    else:
                        if error is None:
                            return
                    await trio.sleep(0.1)

        await gives(Unavailable)
        await run(server.members[1].launch)
        await gives(None)
        assert await store.head() == 0
        await store.aclose()


@pytest.mark.parametrize("prefix", ["/", "/app/"])
def test_store_when_the_data_prefix_begins_with_a_slash(prefix: str) -> None:
    """Refused at once: Consul's HTTP API redirects such keys."""
    with pytest.raises(ConfigError, match="leave the slash out"):
        ConsulStore([("127.0.0.1", 8500)], False, StoreOptions(data_prefix=prefix))


async def test_open_when_the_datacenter_is_not_known(consul: Consul) -> None:
    """Said by Consul, told to whoever set it."""
    store = ConsulStore([("127.0.0.1", consul.ports[0])], False, StoreOptions(datacenter="nowhere"))
    with pytest.raises(Unavailable, match="No path to datacenter"):
        await store.open()
    await store.aclose()


async def test_store_when_the_datacenter_is_named(consul: Consul, namespace: str) -> None:
    """Every call carries it, the stream's too."""
    async with opened(consul.ports, StoreOptions(namespace=namespace, datacenter="dc1")) as store:
        one = await registered(store)
        async with listening(store, one.revision) as listener:
            receipt = await one.commit({"data/a": b"1"})
            await listener.reaches(receipt.revision)
        assert (await store.load()).revision == receipt.revision


@pytest.mark.slow
async def test_store_over_tls(tmp_path: Path, namespace: str) -> None:
    """With an authority of one's own, and a client certificate where the server wants one."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name in ("server", "client"):
        certificate = authority.issue_cert("127.0.0.1")
        certificate.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
        certificate.private_key_pem.write_to_path(tmp_path / f"{name}.key")
    tls = Tls(tmp_path / "server.pem", tmp_path / "server.key", tmp_path / "ca.pem")
    with Consul(tls=tls) as server:
        options = StoreOptions(
            namespace=namespace,
            ca_file=tmp_path / "ca.pem",
            cert_file=tmp_path / "client.pem",
            key_file=tmp_path / "client.key",
        )
        async with opened(server.https_ports, options, tls=True) as store:
            one = await registered(store)
            async with listening(store, one.revision) as listener:
                receipt = await one.commit({"data/a": b"1"})
                await listener.reaches(receipt.revision)
        for lacking in (
            StoreOptions(ca_file=tmp_path / "ca.pem"),
            StoreOptions(cert_file=options.cert_file, key_file=options.key_file),
        ):
            store = ConsulStore([("127.0.0.1", server.https_ports[0])], True, lacking)
            with pytest.raises(Unavailable):
                await store.open()
            await store.aclose()


# --- limits ---------------------------------------------------------------------------------------------------


async def test_limits_by_default(open_store: OpenStore) -> None:
    """About 190 KB a value: it stands twice in a request of 512 KiB, in base64."""
    async with open_store() as store:
        assert store.limits == StoreLimits(store.limits.value, shared=True, keeper_ttl=20.0)
        assert 180_000 < store.limits.value < 196_608
        assert store.fits(3, 3, 0, store.limits.value + 500)
        assert not store.fits(3, 3, 0, 200_000)


@pytest.mark.parametrize(
    "limits",
    [{"txn_max_req_len": 4 << 20, "kv_max_value_size": 2 << 20}, {"kv_max_value_size": 4 << 20}],
    ids=["both raised", "that of a value alone"],
)
@pytest.mark.slow
async def test_values_of_a_megabyte(limits: dict[str, int], namespace: str) -> None:
    """With the limits raised, ZooKeeper's largest nodes fit; they come back by stream, load and read."""
    with Consul({"limits": limits}) as server:
        async with opened(server.ports, StoreOptions(namespace=namespace)) as store:
            assert 1 << 20 < store.limits.value < 2 << 20
            one = await registered(store)
            value = bytes(range(256)) * 4096
            async with listening(store, one.revision) as listener:
                receipt = await one.commit({"data/large": value, "stat/large": b"S"}, {"stat/large": 0})
                await listener.reaches(receipt.revision)
            async with opened(server.ports, StoreOptions(namespace=namespace)) as other:
                async with listening(other, receipt.previous) as far:
                    await far.reaches(receipt.revision)
                assert far.commits[0].puts["data/large"] == listener.commits[0].puts["data/large"] == value
                assert await other.read("data/large") == Item("data/large", value, receipt.revision)
                assert Item("data/large", value, receipt.revision) in (await other.load()).items
            largest = bytes(store.limits.value)
            await one.commit({"data/large": largest, "stat/large": b"T"}, {"stat/large": receipt.revision})
            with pytest.raises(Rejected):
                await one.commit({"data/large": bytes(5 << 20)})
            await one.commit({"data/large": b"small again"})


@pytest.mark.slow
async def test_values_when_only_the_request_may_be_larger(namespace: str) -> None:
    """One value stays at 512 KiB then, ring entry included; the limits know it."""
    with Consul({"limits": {"txn_max_req_len": 4 << 20}}) as server:
        async with opened(server.ports, StoreOptions(namespace=namespace)) as store:
            assert 500_000 < store.limits.value < 524_288
            one = await registered(store)
            await one.commit({"data/large": bytes(store.limits.value)})
            with pytest.raises(Rejected, match="kv_max_value_size"):
                await one.commit({"data/large": bytes(524_288)})


async def test_commit_when_the_agent_takes_fewer_operations(consul: Consul, namespace: str) -> None:
    """Told 128 where 64 is true: the refusal teaches it, and the commit goes another way."""
    options = StoreOptions(namespace=namespace, max_txn_ops=128)
    async with opened(consul.ports, options) as store:
        one = await registered(store)
        assert store.fits(100, 20, 0, 1000)
        receipt = await one.commit({"data/a": b"1"}, {f"node/{i}": 0 for i in range(100)})
        assert await store.read("data/a") == Item("data/a", b"1", receipt.revision)
        assert not store.fits(110, 20, 0, 1000)
        with pytest.raises(Rejected, match="64"):
            await one.commit({f"data/{i}": b"" for i in range(70)})
        await one.commit({"data/a": b"2"})


async def test_commit_when_the_value_is_the_same(open_store: OpenStore) -> None:
    """Consul drops identical writes; no two commits write one, so each is seen by every guard on the item."""
    random = Random(7)
    async with open_store() as store, open_store() as other:
        pair = await writers(store, other)
        for _ in range(60):
            name = random.choice(["fence/9", "data/a", "node/a", "session/5"])
            value = random.choice([b"", b"same"])
            there = await store.read(name)
            revision = 0 if there is None else there.revision
            writer = random.choice(pair)
            receipt = await writer.commit({name: value}, {name: revision} if random.random() < 0.5 else {})
            assert await other.read(name) == Item(name, value, receipt.revision)
            rival = pair[0] if writer is pair[1] else pair[1]
            with pytest.raises(GuardFailed):
                await rival.commit({name: b"stale"}, {name: revision})


async def test_beat_when_the_value_is_the_same(open_store: OpenStore) -> None:
    """A beat is seen, whatever it says."""
    async with open_store() as store:
        one = await registered(store)
        beats = [await one.send_beat(b"registered") for _ in range(5)]
        assert beats == sorted({one.revision, *beats})[1:]
        await store.put("turn/1", b"ticket")
        first = await store.read("turn/1")
        await store.put("turn/1", b"ticket")
        second = await store.read("turn/1")
        assert first is not None
        assert second is not None
        assert first.revision < second.revision


async def test_coarse_guards_want_what_was_seen(open_store: OpenStore) -> None:
    """A store that was put back to a backup has nothing newer than what was seen, but not that either."""
    async with open_store() as store:
        one, _ = await writers(store)
        absent = {f"node/{number}": 0 for number in range(200)}  # more than a transaction holds
        seen = await store.head()
        for lost in (1, 1000):
            with pytest.raises(GuardFailed) as caught:
                await one.commit({"node/b": b""}, absent, seen=seen + lost)
            assert caught.value.newest == seen
        await one.commit({"node/b": b""}, absent, seen=seen)
