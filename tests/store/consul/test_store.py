"""The adapter as a whole over real Consul: opening, permissions, limits, failover, and what it costs."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
import trio
import trustme

from parkeeper.errors import AccessDenied, ConfigError, Cut, GuardFailed, InDoubt, Rejected, Unavailable
from parkeeper.store.consul.store import ConsulStore
from parkeeper.store.facade import Item, StoreLimits
from parkeeper.store.urls import StoreOptions, open_store
from tests.processes import free_port, http
from tests.proxy import TcpProxy
from tests.servers import Consul, Tls
from tests.store.consul.conftest import OpenStore, opened
from tests.store.writers import Listener, Writer, listening, make_namespace, writers

run = trio.to_thread.run_sync

MASTER = "11111111-2222-3333-4444-555555555555"


async def registered(store: ConsulStore) -> Writer:
    """Keeper 1, in a namespace that is made for it."""
    await make_namespace(store)
    writer = Writer(store, 1)
    await writer.register()
    return writer


# --- opening --------------------------------------------------------------------------------------------------


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


# --- permissions ----------------------------------------------------------------------------------------------

LEAST = """
key_prefix "parkeeper/" { policy = "write" }
key_prefix "app/"       { policy = "write" }
"""
"""What the README shows, with a data prefix."""

WITH_AGENT = LEAST + 'agent_prefix "" { policy = "read" }\n'


@pytest.fixture(scope="module")
def guarded() -> Iterator[Consul]:
    """A Consul that denies by default, listing without the right to list too."""
    config = {
        "acl": {
            "enabled": True,
            "default_policy": "deny",
            "enable_key_list_policy": True,
            "tokens": {"master": MASTER},
        },
        "limits": {"txn_max_req_len": 1 << 20},
    }
    with Consul(config) as server:
        yield server


def call(server: Consul, method: str, path: str, body: object = None) -> dict[str, str]:
    """As the administrator."""
    status, said = http(
        method,
        f"http://127.0.0.1:{server.ports[0]}/v1/{path}{'&' if '?' in path else '?'}token={MASTER}",
        None if body is None else json.dumps(body).encode(),
    )
    assert status == 200, said
    answer: dict[str, str] = json.loads(said)
    return answer


def token(server: Consul, name: str, rules: str) -> str:
    """A token with such a policy."""
    call(server, "PUT", "acl/policy", {"Name": name, "Rules": rules})
    return call(server, "PUT", "acl/token", {"Policies": [{"Name": name}]})["SecretID"]


@pytest.mark.parametrize("rules", [LEAST, WITH_AGENT], ids=["least", "with agent"])
async def test_store_with_the_least_policy(
    guarded: Consul, rules: str, request: pytest.FixtureRequest
) -> None:
    """Everything works with the policy that the README shows; with agent:read the real limits are known."""
    call(guarded, "DELETE", "kv/?recurse")
    secret = token(guarded, f"least-{len(rules)}", rules)
    options = StoreOptions(data_prefix="app/", token=secret)
    async with opened(guarded.ports, options) as store, opened(guarded.ports, options) as other:
        assert (store.limits.value > 300_000) == (rules == WITH_AGENT)
        one, two = await writers(store, other)
        async with listening(other, one.revision) as listener:
            await one.commit({"data/services/web": b"1", "node/a": b"A"}, {"node/a": 0})
            await two.send_beat(b"beat")
            await store.put("turn/1", b"ticket")
            last = await two.commit({}, {}, ["node/a", "turn/1"])
            await listener.reaches(last.revision)
        snapshot = await store.load()
        assert Item("data/services/web", b"1", listener.commits[1].revision) in snapshot.items
        assert set((await store.survey()).heads) == {1, 2}
        with pytest.raises(GuardFailed):
            await one.commit({}, {"node/a": 5})


@pytest.mark.parametrize(
    ("rules", "lacking"),
    [
        ('key_prefix "app/" { policy = "write" }', "parkeeper/node/"),
        ('key_prefix "parkeeper/" { policy = "write" }', "app/"),
        (LEAST + 'key_prefix "parkeeper/feed/" { policy = "read" }', "parkeeper/feed/"),
        (LEAST.replace('"app/"       { policy = "write"', '"app/" { policy = "read"'), "app/"),
    ],
    ids=["not the namespace", "not the data", "not the rings", "data read only"],
)
async def test_open_when_a_permission_is_missing(guarded: Consul, rules: str, lacking: str) -> None:
    """Found out before anything is served, and named; nothing was written for it."""
    call(guarded, "DELETE", "kv/?recurse")
    secret = token(guarded, f"lacking-{lacking.replace('/', '-')}-{len(rules)}", rules)
    store = ConsulStore(
        [("127.0.0.1", guarded.ports[0])], False, StoreOptions(data_prefix="app/", token=secret)
    )
    with pytest.raises(AccessDenied, match=f"may not write under '{lacking}'"):
        await store.open()
    await store.aclose()
    url = f"http://127.0.0.1:{guarded.ports[0]}/v1/kv/?keys&token={MASTER}"
    assert http("GET", url)[1] in (b"", b"[]")


@pytest.mark.parametrize("secret", [None, "99999999-0000-0000-0000-000000000000"])
async def test_open_when_the_token_is_wrong(guarded: Consul, secret: str | None) -> None:
    """None, or an unknown one."""
    store = ConsulStore([("127.0.0.1", guarded.ports[0])], False, StoreOptions(token=secret))
    with pytest.raises(AccessDenied):
        await store.open()
    await store.aclose()


async def test_store_when_the_token_is_taken_away(guarded: Consul) -> None:
    """Commits and the stream say so; nothing is in doubt."""
    call(guarded, "DELETE", "kv/?recurse")
    made = call(guarded, "PUT", "acl/policy", {"Name": "taken", "Rules": LEAST})
    given = call(guarded, "PUT", "acl/token", {"Policies": [{"Name": made["Name"]}]})
    options = StoreOptions(token=given["SecretID"], keeper_ttl=3.0)
    async with opened(guarded.ports, options) as store:
        one = await registered(store)
        call(guarded, "DELETE", f"acl/token/{given['AccessorID']}")
        with trio.fail_after(10):
            with pytest.raises(AccessDenied):
                await one.commit({"node/a": b"1"})
            with pytest.raises(AccessDenied):
                await store.follow(one.revision, lambda event: None)
            with pytest.raises(AccessDenied):
                await store.load()


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


# --- several agents -------------------------------------------------------------------------------------------


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


# --- size and cost --------------------------------------------------------------------------------------------


class Meter:
    """Bytes that pass between a store and Consul."""

    def __init__(self, store: ConsulStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.received = self.sent = 0
        clients = store._calls.clients
        for client in (clients.stream, clients.beats, clients.rest):
            monkeypatch.setattr(client, "send", self.metered(client.send))

    def metered(self, send):
        async def call(request, **more):
            answer = await send(request, **more)
            self.sent += len(await request.aread())
            self.received += len(answer.content)
            return answer

        return call

    def take(self) -> tuple[int, int]:
        both, self.sent, self.received = (self.sent, self.received), 0, 0
        return both


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_cost_of_a_change_when_the_tree_is_large(
    consul: Consul, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change costs its committer and a follower the same bytes beside 10, 1,000 and 50,000 items."""
    options = StoreOptions(namespace=namespace)
    costs: list[tuple[int, int, int, int]] = []
    async with opened(consul.ports, options) as store, opened(consul.ports, options) as other:
        one = await registered(store)
        near, far = Meter(store, monkeypatch), Meter(other, monkeypatch)
        stored = 0
        async with listening(other, one.revision) as listener:
            for size in (10, 1_000, 50_000):
                while stored < size:
                    batch = range(stored, min(stored + 55, size))
                    await one.commit({f"node/{number}": bytes(100) for number in batch}, seen=1)
                    stored = batch.stop
                await listener.reaches(one.revision)
                near.take(), far.take()
                receipt = await one.commit({"stat/a": b"S" * 50, "data/a": b"D" * 50}, seen=1)
                await listener.reaches(receipt.revision)
                costs.append((*near.take(), *far.take()))
        snapshot = await other.load()
    assert len(snapshot.items) > 50_000
    for before, after in pairwise(costs):
        # Numbers in JSON grow by digits, and an entry told may be asked for once more.
        assert all(abs(new - old) < 64 for old, new in zip(before, after, strict=True)), costs
    assert sum(costs[-1]) < 4_000, costs


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_load_when_large(open_store: OpenStore) -> None:
    """A large load is decoded beside the event loop: others run meanwhile."""
    async with open_store() as store:
        one = await registered(store)
        for batch in range(60):
            await one.commit({f"data/{batch}/{i}": bytes(2_000) for i in range(50)}, seen=1)
        late: list[float] = []

        async def tick() -> None:
            while True:
                expected = trio.current_time() + 0.002
                await trio.sleep_until(expected)
                late.append(trio.current_time() - expected)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tick)
            snapshot = await store.load()
            nursery.cancel_scope.cancel("loaded")
        assert len([item for item in snapshot.items if item.name.startswith("data/")]) == 3_001
        assert len(late) > 5
