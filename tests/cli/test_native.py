"""What the README tells operators of a store: native programs read the data, and how little we need to be allowed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient

from tests.cli.process import KeeperProcess
from tests.cli.test_run import ended
from tests.servers import Consul, Etcd

pytestmark = pytest.mark.slow

MASTER = "11111111-2222-3333-4444-555555555555"


def encoded(text: str) -> str:
    """As etcd's JSON gateway and Consul's transactions want it."""
    return base64.b64encode(text.encode()).decode()


def written(keeper: KeeperProcess) -> None:
    """A client creates /services/web, sets it, and creates one whose name is awkward."""
    client = KazooClient(keeper.hosts)
    client.start()
    try:
        client.create("/services/web", b"one", makepath=True)
        client.set("/services/web", b"10.0.0.7:80")
        client.create("/services/a b", b"\x00\xff")
    finally:
        client.stop()
        client.close()


def in_etcd(etcd: Etcd, key: str) -> bytes | None:
    """The value of a key, None if it is absent."""
    found = etcd.call("kv/range", {"key": encoded(key)}).get("kvs")
    return base64.b64decode(found[0].get("value", "")) if found else None


@pytest.mark.parametrize(
    ("options", "key"),
    [
        (("--namespace", "native-1/"), "native-1/data/services/web"),
        (("--namespace", "native-2/", "--data-prefix", "/"), "/services/web"),
    ],
)
def test_etcd_shows_data_as_the_client_wrote_it(etcd: Etcd, options, key):
    """Byte for byte, under the znode's path; with the data prefix /, the path is the key."""
    with KeeperProcess(etcd.url, *options) as keeper:
        written(keeper)
    assert in_etcd(etcd, key) == b"10.0.0.7:80"
    assert in_etcd(etcd, key.replace("web", "a b")) == b"\x00\xff"


def test_consul_shows_data_as_the_client_wrote_it(consul: Consul):
    """Byte for byte; what Consul's keys cannot hold is escaped."""
    with KeeperProcess(consul.url, "--namespace", "native/") as keeper:
        written(keeper)
    assert consul.call("GET", "kv/native/data/services/web?raw") == (200, b"10.0.0.7:80")
    assert consul.call("GET", "kv/native/data/services/a=20b?raw") == (200, b"\x00\xff")


@pytest.fixture(scope="module")
def guarded_etcd() -> Iterator[Etcd]:
    """An etcd with a user who may do with the namespace what it likes, and nothing else."""
    with Etcd() as etcd:
        etcd.call("auth/user/add", {"name": "root", "password": "r"})
        etcd.call("auth/user/grant", {"user": "root", "role": "root"})
        etcd.call("auth/role/add", {"name": "parkeeper"})
        own = {"permType": "READWRITE", "key": encoded("parkeeper/"), "range_end": encoded("parkeeper0")}
        etcd.call("auth/role/grant", {"name": "parkeeper", "perm": own})
        etcd.call("auth/user/add", {"name": "keeper", "password": "pass"})
        etcd.call("auth/user/grant", {"user": "keeper", "role": "parkeeper"})
        etcd.call("auth/enable", {})
        yield etcd


def test_etcd_role_of_the_readme_is_enough(guarded_etcd: Etcd):
    """Read and write on the namespace's prefix; the password comes by the environment."""
    environment = {"PARKEEPER_STORE_USER": "keeper", "PARKEEPER_STORE_PASSWORD": "pass"}
    with KeeperProcess(guarded_etcd.url, environment=environment) as keeper:
        written(keeper)
        keeper.stop()
        assert keeper.returncode == 0


def test_etcd_says_what_is_missing_when_the_role_is_too_small(guarded_etcd: Etcd):
    """Another namespace is not in the role: exit 3, and its prefix is named."""
    line = ["--namespace", "other/", "--bind-addr", "127.0.0.1:0", "--store-user", "keeper"]
    result = ended(
        "serve", "--backend-url", guarded_etcd.url, *line, environment={"PARKEEPER_STORE_PASSWORD": "pass"}
    )
    assert result.returncode == 3
    assert "'other/'" in result.stderr
    assert "pass" not in result.stderr


POLICY = 'key_prefix "parkeeper/" { policy = "write" }'


@pytest.fixture(scope="module")
def guarded_consul() -> Iterator[tuple[Consul, str]]:
    """A Consul that denies everything, and a token with the policy of the README."""
    acl = {"enabled": True, "default_policy": "deny", "tokens": {"master": MASTER}}
    with Consul(config={"acl": acl}) as consul:
        status, said = consul.call(
            "PUT", f"acl/policy?token={MASTER}", json.dumps({"Name": "p", "Rules": POLICY}).encode()
        )
        assert status == 200, said
        body = json.dumps({"Policies": [{"Name": "p"}]}).encode()
        status, said = consul.call("PUT", f"acl/token?token={MASTER}", body)
        assert status == 200, said
        yield consul, json.loads(said)["SecretID"]


def test_consul_policy_of_the_readme_is_enough(guarded_consul, tmp_path):
    """Write on the namespace's prefix; the token comes in a file."""
    consul, token = guarded_consul
    file = tmp_path / "token"
    file.write_text(token + "\n")
    with KeeperProcess(consul.url, "--store-token-file", str(file)) as keeper:
        written(keeper)
        keeper.stop()
        assert keeper.returncode == 0
        assert token not in keeper.tail()


def test_consul_says_what_is_missing_when_the_policy_is_too_small(guarded_consul):
    """Another namespace is not in the policy: exit 3, and its prefix is named."""
    consul, token = guarded_consul
    line = ["--namespace", "other/", "--bind-addr", "127.0.0.1:0"]
    result = ended("serve", "--backend-url", consul.url, *line, environment={"PARKEEPER_STORE_TOKEN": token})
    assert result.returncode == 3
    assert "other/" in result.stderr
    assert token not in result.stderr
