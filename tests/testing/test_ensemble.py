"""The ensemble for synchronous code, with kazoo, the real client, on the other side."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import pytest
from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import ConnectionLoss, NoNodeError, OperationTimeoutError, SessionExpiredError
from kazoo.retry import KazooRetry

from parkeeper.testing import Ensemble
from parkeeper.testing.records import Event, Exchange

Connect = Callable[..., Any]


@pytest.fixture
def one() -> Iterator[Ensemble]:
    with Ensemble() as ensemble:
        yield ensemble


@pytest.fixture
def two() -> Iterator[Ensemble]:
    with Ensemble(keepers=2) as ensemble:
        yield ensemble


@contextmanager
def client_of(hosts: str, **options: Any) -> Iterator[Any]:
    retry = KazooRetry(max_tries=-1, delay=0.02, max_delay=0.1)
    client = KazooClient(hosts, **{"timeout": 5.0, "connection_retry": retry, **options})
    client.start()
    try:
        yield client
    finally:
        client.stop()
        client.close()


class States:
    """What a kazoo client tells its listeners."""

    def __init__(self, client: Any) -> None:
        self.seen: list[str] = []
        self._changed = threading.Condition()
        client.add_listener(self)

    def __call__(self, state: str) -> None:
        with self._changed:
            self.seen.append(state)
            self._changed.notify_all()

    def wait_for(self, *wanted: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: tuple(self.seen[-len(wanted) :]) == wanted, 10), self.seen


def connected(ensemble: Ensemble, session: int) -> bool:
    info = ensemble.sessions().get(session)
    return info is not None and info.connected


def test_hosts_answer_as_soon_as_it_is_entered() -> None:
    """No waiting for readiness: the first connect is served, on every keeper, at a port the kernel chose."""
    with Ensemble(keepers=3) as ensemble:
        hosts = ensemble.hosts.split(",")
        assert len(set(hosts)) == 3
        for each in hosts:
            host, port = each.split(":")
            with socket.create_connection((host, int(port)), 5) as peer:
                peer.sendall(b"ruok")
                assert peer.recv(16) == b"imok"
        assert ensemble.sessions() == {}
        assert ensemble.requests() == {}


def test_after_the_block_nobody_listens() -> None:
    """The ports are given back."""
    with Ensemble() as ensemble:
        host, port = ensemble.hosts.split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), 5)
    with pytest.raises(RuntimeError):
        ensemble.tree()


def test_an_error_of_the_test_comes_out_as_it_is() -> None:
    """No exception groups in the caller's face."""
    with pytest.raises(ZeroDivisionError), Ensemble():
        raise ZeroDivisionError


def test_the_tree_is_a_dict_that_can_be_loaded(one: Ensemble) -> None:
    """What `tree` gives, `load` takes; missing parents are made, existing znodes get the data."""
    one.load({"/app/config": "a", "/app/empty": None, "/other": b"\x00"})
    assert one.tree() == {"/app": b"", "/app/config": b"a", "/app/empty": None, "/other": b"\x00"}
    with client_of(one.hosts) as client:
        data, stat = client.get("/app/config")
        assert (data, stat.version) == (b"a", 0)
    one.load({"/app/config": b"b"})
    node = one.node("/app/config")
    assert node is not None
    assert (node.data, node.version, node.acl) == (b"b", 1, ((31, "world", "anyone"),))
    with Ensemble() as another:
        another.load(one.tree())
        assert another.tree() == one.tree()


def test_sessions_and_watches_are_seen(one: Ensemble) -> None:
    """Who is there, what it owns, what it watches."""
    with client_of(one.hosts, timeout=7) as client:
        client.create("/e", ephemeral=True)
        client.exists("/later", watch=print)
        client.get_children("/", watch=print)
        session = client.client_id[0]
        assert one.sessions() == {session: (session, 7000, 0, True, ("/e",))}
        assert one.watches() == {"/later": {("data", session)}, "/": {("child", session)}}
        assert one.session_id(client) == one.session_id("/e") == one.session_id(session) == session
        with pytest.raises(LookupError):
            one.session_id("/later")
    assert one.sessions() == {}
    assert one.watches() == {}


def test_requests_and_events_are_recorded(one: Ensemble) -> None:
    """The last ones of every session, decoded, with what became of them."""
    with client_of(one.hosts) as client:
        client.get_children("/", watch=lambda event: None)
        client.create("/a", b"x")
        with pytest.raises(NoNodeError):
            client.get("/b")
        records = one.requests()[client.client_id[0]]
    asked = [each for each in records if isinstance(each, Exchange)]
    assert [(each.op, each.path, each.error) for each in asked] == [
        ("getChildren", "/", "OK"),
        ("create", "/a", "OK"),
        ("getData", "/b", "NO_NODE"),
    ]
    assert getattr(asked[1].request, "data", None) == b"x"
    told = [each for each in records if isinstance(each, Event)]
    assert [(each.type, each.path) for each in told] == [("CHILDREN_CHANGED", "/")]
    assert "getData" not in one.report(since=one.mark())
    assert "NO_NODE" in one.report()


def test_a_keeper_keeps_its_port_over_stop_kill_and_restart(one: Ensemble) -> None:
    """And its clients come back to it, their sessions and znodes as they were."""
    with client_of(one.hosts) as client:
        states = States(client)
        client.create("/e", ephemeral=True)
        hosts, session = one.hosts, client.client_id[0]
        one.stop()
        states.wait_for(KazooState.SUSPENDED)
        host, port = hosts.split(":")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), 5)
        one.start()
        states.wait_for(KazooState.CONNECTED)
        one.kill()
        states.wait_for(KazooState.SUSPENDED)
        one.restart()
        states.wait_for(KazooState.CONNECTED)
        assert one.hosts == hosts
        assert client.client_id[0] == session
        assert one.tree() == {"/e": b""}


def test_an_expired_session_is_gone_and_its_client_is_told(one: Ensemble) -> None:
    """By any of its names; its ephemerals go at once."""
    with client_of(one.hosts) as client:
        states = States(client)
        client.create("/e", ephemeral=True)
        old = client.client_id[0]
        one.expire("/e")
        assert one.tree() == {}
        assert old not in one.sessions()
        states.wait_for(KazooState.LOST, KazooState.CONNECTED)
        assert client.client_id[0] != old
        one.expire(client)
        states.wait_for(KazooState.LOST, KazooState.CONNECTED)


def test_a_dropped_connection_does_not_end_the_session(one: Ensemble) -> None:
    """The client is back with the same session."""
    with client_of(one.hosts) as client:
        states = States(client)
        session = client.client_id[0]
        one.drop(client)
        states.wait_for(KazooState.SUSPENDED, KazooState.CONNECTED)
        assert client.client_id[0] == session


def test_a_session_moves_to_the_keeper_that_is_named(two: Ensemble) -> None:
    """There and back."""
    with client_of(two.hosts) as client:
        session = client.client_id[0]
        for keeper in (0, 1, 0):
            two.move(client, keeper)
            assert two.sessions()[session].keeper == keeper


def test_moving_a_client_that_cannot_go_there_takes_its_time_only(two: Ensemble) -> None:
    """It knows one address."""
    with client_of(two.host(0)) as client, pytest.raises(TimeoutError):
        two.move(client, 1, seconds=0.3)


def test_a_lost_reply_loses_the_connection_and_not_the_write(one: Ensemble) -> None:
    """What breaks clients: it happened, and they can't know."""
    with client_of(one.hosts) as client:
        fault = one.lose(op="create", path="/locks/*")
        client.create("/locks")
        with pytest.raises(ConnectionLoss):
            client.create("/locks/a")
        assert fault.hits == 1
        assert "/locks/a" in one.tree()
        assert [str(each) for each in one.requests()[one.session_id(client)] if "reply was lost" in str(each)]


def test_a_lost_request_has_no_effect(one: Ensemble) -> None:
    """The connection breaks before it is looked at."""
    with client_of(one.hosts) as client:
        one.lose(op="create", after=False)
        with pytest.raises(ConnectionLoss):
            client.create("/a")
        assert one.tree() == {}


@pytest.mark.parametrize(("after", "tree"), [(False, {}), (True, {"/a": b""})])
def test_a_failed_request_is_answered_with_the_error(
    one: Ensemble, after: bool, tree: dict[str, bytes]
) -> None:
    """Before or after it took effect; the connection stays, and what was pipelined behind it is answered in order."""
    with client_of(one.hosts) as client:
        one.fail(2, op="create", error="OPERATION_TIMEOUT", after=after)
        first, second, third = client.create_async("/a"), client.get_async("/"), client.create_async("/a")
        with pytest.raises(OperationTimeoutError):
            first.get(5)
        assert second.get(5)[0] == b""
        with pytest.raises(OperationTimeoutError):
            third.get(5)
        assert one.tree() == tree
        session = client.client_id[0]
        client.ensure_path("/b")
        assert client.client_id[0] == session


def test_faults_meet_only_what_they_are_for(two: Ensemble) -> None:
    """Operation, path, session and keeper; multis by any of their paths; cleared, nothing."""
    with client_of(two.host(0)) as client, client_of(two.host(1)) as other:
        two.fail(op="getData", path="/x", error=-101, session=client)
        two.fail(op=3, keeper=1, error="NoNodeError")
        two.fail(op="multi", path="/m/*", error="SESSION_EXPIRED")
        assert client.get("/")[0] == b""
        assert client.exists("/") is not None
        assert other.exists("/") is None
        two.load({"/x": b"1"})
        assert other.get("/x")[0] == b"1"
        with pytest.raises(NoNodeError):
            client.get("/x")
        assert client.get("/x")[0] == b"1"
        transaction = client.transaction()
        transaction.check("/x", 0)
        transaction.create("/m/1")
        with pytest.raises(SessionExpiredError):
            transaction.commit()
        two.fail(op="getData")
        two.clear_faults()
        assert client.get("/x")[0] == b"1"
    with pytest.raises(ValueError, match="no operation"):
        two.fail(op="fly")
    with pytest.raises(ValueError, match="no error"):
        two.fail(error="BLUE")


def test_delayed_replies_come_late(one: Ensemble) -> None:
    """And again in time, once healed."""
    with client_of(one.hosts) as client:
        one.delay(0.2)
        begun = perf_counter()
        client.get("/")
        assert perf_counter() - begun >= 0.2
        one.heal()
        begun = perf_counter()
        client.get("/")
        assert perf_counter() - begun < 0.2


def test_a_paused_keeper_answers_when_it_is_resumed(one: Ensemble) -> None:
    """Nothing is answered meanwhile, and no session's clock goes on: one second of timeout, a longer pause."""
    with client_of(one.hosts, timeout=1.0) as client:
        client.create("/e", ephemeral=True)
        one.pause()
        answer = client.create_async("/f")
        assert not answer.wait(0.3)
        assert one.tree() == {"/e": b""}
        one.resume()
        answer.get(5)
        assert set(one.tree()) == {"/e", "/f"}


def test_a_partition_from_clients_expires_their_sessions(one: Ensemble) -> None:
    """The keeper does not hear them; connections stay open, and nothing passes."""
    with client_of(one.hosts, timeout=60) as client:
        states = States(client)
        client.create("/e", ephemeral=True)
        one.partition(clients=True)
        one.advance(61)
        assert one.tree() == {}
        one.heal()
        states.wait_for(KazooState.LOST, KazooState.CONNECTED)


def test_a_partition_from_the_store_is_survived(two: Ensemble) -> None:
    """The keeper that is cut off does not write; the other one does; healed, both agree."""
    with client_of(two.host(0)) as cut_off, client_of(two.host(1)) as other:
        two.partition(0, store=True)
        late = cut_off.create_async("/late")
        other.create("/b")
        assert not late.wait(0.1)
        two.heal()
        late.get(10)
        assert set(two.tree()) == {"/b", "/late"}


def test_without_a_store_nothing_is_written_until_it_is_back(one: Ensemble) -> None:
    """`store_up` returns when it serves again."""
    with client_of(one.hosts) as client:
        one.store_down()
        late = client.create_async("/late")
        assert not late.wait(0.2)
        one.store_up()
        late.get(10)
        assert one.tree() == {"/late": b""}


def test_wait_until_wakes_without_polling(one: Ensemble) -> None:
    """By a change, whoever made it; asked in the caller's thread; late ones are a TimeoutError."""
    looks: list[int] = []
    with client_of(one.hosts) as client:

        def there() -> bool:
            looks.append(threading.get_ident())
            return "/a" in one.tree()

        timer = threading.Timer(0.2, client.create, ["/a"])
        timer.start()
        assert one.wait_until(there)
        timer.join()
        assert set(looks) == {threading.get_ident()}
        assert len(looks) < 8
        with pytest.raises(TimeoutError):
            one.wait_until(lambda: "/never" in one.tree(), seconds=0.05)


def test_reset_gives_an_empty_tree_at_the_same_address(two: Ensemble) -> None:
    """Nobody is there, nothing goes wrong, stopped keepers live, sequences begin at 0."""
    with client_of(two.hosts) as client:
        assert client.create("/n-", sequence=True) == "/n-0000000000"
    two.fail(100)
    two.delay(1.0)
    two.kill(1)
    hosts = two.hosts
    two.reset()  # (a client that is still there would be back in an instant, with a new session)
    assert two.hosts == hosts
    assert two.tree() == {}
    assert two.sessions() == {}
    assert two.requests() == {}
    with client_of(two.host(1)) as client:
        assert client.create("/n-", sequence=True) == "/n-0000000000"


def test_clear_deletes_and_expires(one: Ensemble) -> None:
    """The same keepers go on, with nothing in them."""
    with client_of(one.hosts) as client:
        client.create("/a/b/c", makepath=True, ephemeral=True)
        one.clear()
        assert one.tree() == {}
        assert one.sessions() == {}
