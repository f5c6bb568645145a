"""Opening: who is there, may we, what will go wrong later."""

import json
import logging
from collections.abc import AsyncIterator

import pytest
import trio

from parkeeper.errors import AccessDenied, Incompatible, Unavailable
from parkeeper.store.etcd.store import EtcdStore
from parkeeper.store.urls import StoreOptions
from tests.processes import free_port
from tests.servers import ETCDS, Etcd
from tests.store.etcd.clusters import http_server, opened
from tests.store.writers import writers


async def test_open_when_nobody_listens() -> None:
    """Worth waiting for, and the address is named."""
    port = free_port()
    with pytest.raises(Unavailable, match=f"127.0.0.1:{port}"):
        async with opened([f"127.0.0.1:{port}"]):
            pass


async def test_open_when_one_endpoint_is_dead(etcd: Etcd) -> None:
    """The next one is asked."""
    etcd.wipe()
    async with opened([f"127.0.0.1:{free_port()}", *etcd.endpoints]) as store:
        await writers(store)
        assert await store.head() > 0


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (
            "404 Not Found",
            b"404 page not found",
            "does not say that it is etcd: HTTP 404 '404 page not found'",
        ),
        ("200 OK", b'{"hello":"world"}', "does not say that it is etcd: HTTP 200"),
        (
            "200 OK",
            b'{"etcdserver":"3.3.27","etcdcluster":"3.3.0"}',
            "etcd 3.3.27; parkeeper needs 3.4 or later",
        ),
    ],
)
async def test_open_when_it_is_no_etcd_for_us(status: str, body: bytes, text: str) -> None:
    """Final, with what was answered."""
    async with http_server(status, body) as endpoint:
        with pytest.raises(Incompatible) as caught:
            async with opened([endpoint]):
                pass
        assert text in str(caught.value)


async def test_open_logs_version_and_size(etcd: Etcd, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever reads the log knows what parkeeper stands on."""
    caplog.set_level(logging.INFO, "parkeeper.store.etcd")
    async with opened(etcd):
        pass
    assert "etcd 3.5.1 at http://127.0.0.1:" in caplog.text
    assert " MB" in caplog.text


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("version", ETCDS)
@pytest.mark.slow
async def test_open_warns_when_nobody_compacts(version: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its command line asks for no auto-compaction, and nothing was ever compacted. Unless we do it."""
    with Etcd(version) as etcd:
        async with opened(etcd, StoreOptions(compact=True)):
            pass
        assert warnings(caplog) == []
        async with opened(etcd):
            pass
        assert len(warnings(caplog)) == 1
        assert "its command line asks for no auto-compaction" in warnings(caplog)[0]
        caplog.clear()
        etcd.call("kv/put", {"key": "eA=="})
        etcd.call("kv/compaction", {"revision": "2"})
        async with opened(etcd):
            pass
        assert warnings(caplog) == []


@pytest.mark.slow
async def test_open_when_auto_compaction_is_on(caplog: pytest.LogCaptureFixture) -> None:
    """No warning, though nothing has been compacted yet."""
    with Etcd(flags=["--auto-compaction-retention=1h"]) as etcd:
        async with opened(etcd):
            pass
        assert warnings(caplog) == []


# --- users ----------------------------------------------------------------------------------------------------


def enable_auth(etcd: Etcd) -> None:
    """`keeper` may do anything below `parkeeper/`, `reader` may read there, `root` may do all."""
    for name, permissions in {"keepers": "READWRITE", "readers": "READ"}.items():
        etcd.call("auth/role/add", {"name": name})
        permission = {"permType": permissions, "key": "cGFya2VlcGVyLw==", "range_end": "cGFya2VlcGVyMA=="}
        etcd.call("auth/role/grant", {"name": name, "perm": permission})
    for user, role in {"root": "root", "keeper": "keepers", "reader": "readers"}.items():
        if role == "root":
            etcd.call("auth/role/add", {"name": "root"})
        etcd.call("auth/user/add", {"name": user, "password": f"{user}s-secret"})
        etcd.call("auth/user/grant", {"user": user, "role": role})
    etcd.call("auth/enable", {})


KEEPER = StoreOptions(user="keeper", password="keepers-secret")


@pytest.fixture(scope="module", params=ETCDS)
def guarded_etcd(request: pytest.FixtureRequest) -> AsyncIterator[Etcd]:
    """With authentication, and tokens that live for 2 s after their last use."""
    with Etcd(request.param, flags=["--auth-token-ttl=2"]) as etcd:
        enable_auth(etcd)
        yield etcd


@pytest.mark.slow
async def test_user_when_the_token_expires(guarded_etcd: Etcd) -> None:
    """It is renewed, and nobody notices."""
    async with opened(guarded_etcd, KEEPER) as store:
        await store.load()
        tokens = {store._calls.auth.headers}
        await trio.sleep(4)
        assert await store.read("nothing") is None
        tokens.add(store._calls.auth.headers)
        assert len(tokens) == 2


@pytest.mark.slow
async def test_user_when_the_watch_needs_a_new_token(guarded_etcd: Etcd) -> None:
    """A watch is refused in its own way: by a message, with an answer of 200."""
    async with opened(guarded_etcd, KEEPER) as store:
        snapshot = await store.load()
        await trio.sleep(4)
        told: list[object] = []
        with trio.move_on_after(10) as patience:
            async with trio.open_nursery() as nursery:

                def deliver(event: object) -> None:
                    told.append(event)
                    nursery.cancel_scope.cancel("told")

                nursery.start_soon(store.follow, snapshot.position, deliver)
                await store.put("turn/1", b"ticket")
        assert not patience.cancelled_caught
        assert len(told) == 1
        await store.put("turn/1", None)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (StoreOptions(), "give parkeeper a user and a password"),
        (StoreOptions(user="keeper", password="wrong"), "etcd refuses user 'keeper' with this password"),
        (StoreOptions(user="nobody", password="x"), "etcd refuses user 'nobody' with this password"),
        (StoreOptions(user="reader", password="readers-secret"), "all keys under 'parkeeper/'"),
        (
            StoreOptions(user="keeper", password="keepers-secret", namespace="other/"),
            "all keys under 'other/'",
        ),
        (
            StoreOptions(user="keeper", password="keepers-secret", data_prefix="/"),
            "under '/' and 'parkeeper/'",
        ),
    ],
)
async def test_user_who_may_not(guarded_etcd: Etcd, options: StoreOptions, text: str) -> None:
    """Found when opening, not at the first write; the text says what is missing."""
    with pytest.raises(AccessDenied) as caught:
        async with opened(guarded_etcd, options):
            pass
    assert text in str(caught.value)


async def test_user_when_authentication_is_off(any_etcd: Etcd, caplog: pytest.LogCaptureFixture) -> None:
    """The user is not needed; it is said once."""
    async with opened(any_etcd, KEEPER) as store:
        await store.load()
        await store.read("meta")
    assert sum("authentication is not enabled" in text for text in warnings(caplog)) == 1


@pytest.mark.parametrize("version", ETCDS)
@pytest.mark.slow
async def test_user_when_authentication_is_switched(version: str) -> None:
    """On and off while we are connected; a token left over is an error by itself on older servers."""
    with Etcd(version) as etcd:
        async with opened(etcd, KEEPER) as store:
            await store.load()
            enable_auth(etcd)
            await store.load()
            assert store._calls.auth.headers
            token = json.dumps(etcd.call("auth/authenticate", {"name": "root", "password": "roots-secret"}))
            disable_auth(etcd, json.loads(token)["token"])
            await store.load()
            one, _ = await writers(store)
            await one.commit({"node/a": b""})


def disable_auth(etcd: Etcd, token: str) -> None:
    import urllib.request

    url = f"http://{etcd.endpoints[0]}/v3/auth/disable"
    request = urllib.request.Request(url, b"{}", {"Authorization": token}, method="POST")
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 200


def test_password_is_not_shown() -> None:
    """Neither by the store nor by its options."""
    store = EtcdStore([("h", 1)], False, KEEPER)
    assert "secret" not in repr(store) + repr(KEEPER)
