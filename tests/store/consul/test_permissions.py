"""Consul's ACLs: the least policy, and what is said when something is missing."""

import json
from collections.abc import Iterator

import pytest
import trio

from parkeeper.errors import AccessDenied, GuardFailed
from parkeeper.store.consul.store import ConsulStore
from parkeeper.store.facade import Item
from parkeeper.store.urls import StoreOptions
from tests.processes import http
from tests.servers import Consul
from tests.store.consul.conftest import opened, registered
from tests.store.writers import listening, writers

MASTER = "11111111-2222-3333-4444-555555555555"

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
