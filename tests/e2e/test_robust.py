"""What clients can do to a keeper, by accident or on purpose: each ends its own connection at most.

Every test has a bystander, whose session, watch and requests must not notice anything.
"""

from __future__ import annotations

import contextlib
import re
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.keepers import Keepers
from tests.processes import wait_for
from tests.raw import encode as raw
from tests.raw.client import Closed, RawClient
from tests.servers import four_letter_word

pytestmark = pytest.mark.slow

LARGEST = 0xFFFFF
PATIENCE = 4.0
"""Seconds a bystander may wait for an answer on a machine that others use too."""


class Bystander:
    """A client that minds its own business."""

    def __init__(self, keepers: Keepers) -> None:
        self.keepers = keepers
        self.client = RawClient.connected(keepers.address, 20_000)
        self.writer = RawClient.connected(keepers.address, 20_000)
        self.path = f"/bystander-{self.client.session:x}"
        self.longest = 0.0
        assert self.client.call(raw.CREATE, raw.create(self.path, b"0", flags=1)).err == 0

    def minds(self) -> None:
        """A watch is set and told, a write answered, a read sees it, all in good time."""
        started = time.perf_counter()
        assert self.client.call(raw.GET_DATA, raw.path_watch(self.path, True)).err == 0
        token = b"%d" % time.perf_counter_ns()
        assert self.writer.call(raw.SET_DATA, raw.set_data(self.path, token)).err == 0
        event = self.client.receive_event()
        assert (event.type, event.path) == (3, self.path)
        assert self.client.call(raw.GET_DATA, raw.path_watch(self.path)).cursor.buffer() == token
        self.longest = max(self.longest, time.perf_counter() - started)
        assert self.longest < PATIENCE

    def close(self) -> None:
        for each in (self.client, self.writer):
            each.call(raw.CLOSE_SESSION)
            each.close()


@pytest.fixture(scope="module")
def keepers() -> Iterator[Keepers]:
    with Keepers(tick_time=1000) as made:
        yield made


@pytest.fixture
def bystander(keepers: Keepers) -> Iterator[Bystander]:
    made = Bystander(keepers)
    made.minds()
    yield made
    made.minds()
    made.close()
    assert counter(keepers, "zk_parkeeper_connections_crashed") == 0
    assert "Traceback" not in keepers.members[0].tail(limit=1 << 20)


def counter(keepers: Keepers, name: str) -> int:
    answer = ""
    while not answer:  # refused while the connection of the last word has not quite left
        answer = four_letter_word(keepers.address, "mntr")
    found = re.search(rf"^{name}\t(\d+)", answer, re.MULTILINE)
    assert found, name
    return int(found[1])


def memory(keepers: Keepers) -> int:
    """Resident bytes of the first keeper."""
    with open(f"/proc/{keepers.members[0].pid}/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def ended(client: RawClient) -> bool:
    """Whether nothing but the end of the connection comes, replies aside."""
    with contextlib.suppress(Closed):
        while True:
            client.receive_frame()
    return True


# --- bytes that are no requests --------------------------------------------------------------------------------

LENGTHS = [-1, -(1 << 31), (1 << 31) - 1, LARGEST + 1, 1 << 24]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("shaken", [False, True])
def test_a_length_that_cannot_be(bystander: Bystander, keepers: Keepers, length: int, shaken: bool) -> None:
    """Closed from the four bytes alone, before any of the rest was sent; counted when it is a request."""
    before = counter(keepers, "zk_large_requests_rejected")
    client = RawClient.connected(keepers.address) if shaken else RawClient.open(keepers.address)
    client.send_bytes(struct.pack(">i", length))
    assert client.closed()
    client.close()
    assert counter(keepers, "zk_large_requests_rejected") == before + 1


def test_the_largest_frame_and_one_more(bystander: Bystander, keepers: Keepers) -> None:
    """A frame of jute.maxbuffer is served, one byte more ends the connection."""
    fits = LARGEST - 8 - len(raw.set_data("/large"))
    with RawClient.connected(keepers.address) as client:
        assert client.call(raw.CREATE, raw.create("/large")).err == 0
        assert client.call(raw.SET_DATA, raw.set_data("/large", bytes(fits))).err == 0
        client.send(raw.SET_DATA, raw.set_data("/large", bytes(fits + 1)))
        assert client.closed()
    with RawClient.connected(keepers.address) as client:
        assert client.call(raw.GET_DATA, raw.path_watch("/large")).cursor.buffer() == bytes(fits)
        assert client.call(raw.DELETE, raw.path_version("/large")).err == 0


REQUESTS = {
    "create": (raw.CREATE, raw.create("/t", b"data")),
    "multi": (raw.MULTI, raw.multi([(raw.CREATE, raw.create("/t")), (raw.DELETE, raw.path_version("/t"))])),
    "setData": (raw.SET_DATA, raw.set_data("/t", b"data")),
    "getData": (raw.GET_DATA, raw.path_watch("/t")),
    "setWatches": (raw.SET_WATCHES, raw.set_watches(0, ["/a"], ["/b"], ["/c"])),
    "auth": (raw.AUTH, raw.auth("digest", b"u:p")),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_record_that_is_cut_off_anywhere(bystander: Bystander, keepers: Keepers, name: str) -> None:
    """After each prefix: an answer that is an error, or the end of that connection."""
    op, body = REQUESTS[name]
    client = RawClient.connected(keepers.address)
    for end in range(len(body)):
        client.send(op, body[:end])
        try:
            answer = client.receive_reply()
        except Closed:
            client.close()
            client = RawClient.connected(keepers.address)
        else:
            assert answer.err < 0, (name, end)
    client.close()
    assert bystander.client.call(raw.EXISTS, raw.path_watch("/t")).err == -101


def test_counts_and_lengths_inside_a_record_that_lie(bystander: Bystander, keepers: Keepers) -> None:
    """Two billion entries announced in forty bytes: refused, and nothing of that size is made room for."""
    before = memory(keepers)
    most = struct.pack(">i", 0x7FFFFFFF)
    bodies = [
        (raw.CREATE, raw.string("/x") + raw.buffer(b"") + most),
        (raw.CREATE, raw.string("/x") + most),
        (raw.CREATE, most),
        (raw.SET_WATCHES, raw.i64(0) + most),
        (raw.SET_WATCHES2, raw.i64(0) + raw.strings([]) * 3 + most),
        (raw.SET_ACL, raw.string("/x") + most),
        (raw.CREATE, raw.string("/x") + struct.pack(">i", -2)),
    ]
    for op, body in bodies:
        with RawClient.connected(keepers.address) as client:
            client.send(op, body)
            with contextlib.suppress(Closed):
                assert client.receive_reply().err == -5
    assert memory(keepers) < before + (8 << 20)


@pytest.mark.parametrize("shaken", [False, True])
def test_garbage(bystander: Bystander, keepers: Keepers, shaken: bool) -> None:
    """Other protocols, and bytes of no protocol: the connection ends, and says nothing that is no answer."""
    noise = bytes((i * 197 + 31) % 256 for i in range(100_000))
    for garbage in (
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 9,
        noise,
        b"\xff" * 64,
    ):
        client = RawClient.connected(keepers.address) if shaken else RawClient.open(keepers.address)
        client.send_bytes(garbage)
        assert ended(client)
        client.close()


# --- too slow, and too much ------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
def test_a_watcher_that_does_not_read_is_cut_off(bystander: Bystander, keepers: Keepers) -> None:
    """At 64 MiB of events that wait for it; counted, logged with the reason, its session stays until it expires."""
    before = counter(keepers, "zk_parkeeper_slow_readers_cut_off")
    path = "/" + "e" * 60_000
    with RawClient.connected(keepers.address, 20_000) as writer:
        slow = RawClient.connected(keepers.address, 20_000)
        assert slow.call(raw.ADD_WATCH, raw.string("/") + raw.i32(1)).err == 0
        assert writer.call(raw.CREATE, raw.create(path)).err == 0
        sent = 0
        while counter(keepers, "zk_parkeeper_slow_readers_cut_off") == before:
            assert sent < 5000
            for _ in range(10):
                assert writer.call(raw.SET_DATA, raw.set_data(path)).err == 0
                sent += 1
            bystander.minds()
        assert sent * len(path) > 60 << 20
        log = keepers.members[0].tail(limit=1 << 20)
        assert "it does not read: " in log
        assert "the limit is 67108864" in log
        assert ended(slow)
        slow.close()
        again = RawClient.open(keepers.address)
        assert again.connect(20_000, slow.session, slow.password).session == slow.session
        again.close_session()
        assert writer.call(raw.DELETE, raw.path_version(path)).err == 0


@pytest.mark.timeout(120)
def test_a_reader_of_large_replies_that_does_not_read(bystander: Bystander, keepers: Keepers) -> None:
    """What it asks for is not prepared before it reads: no memory is spent on it, and it loses nothing."""
    asked = 200
    data = bytes(1_000_000)
    with RawClient.connected(keepers.address, 20_000) as client:
        assert client.call(raw.CREATE, raw.create("/big", data)).err == 0
        before = memory(keepers)
        for _ in range(asked):
            client.send(raw.GET_DATA, raw.path_watch("/big"))
        for _ in range(5):
            bystander.minds()
        assert memory(keepers) < before + (16 << 20)
        for _ in range(asked):
            answer = client.receive_reply()
            assert (answer.err, answer.cursor.buffer() == data) == (0, True)
        assert client.call(raw.DELETE, raw.path_version("/big")).err == 0


@pytest.mark.timeout(60)
def test_clients_that_never_finish_their_handshake(bystander: Bystander, keepers: Keepers) -> None:
    """Silent, cut off in the middle, or a byte a second: closed after ten seconds, and counted."""
    before = counter(keepers, "zk_sessionless_connections_expired")
    started = time.perf_counter()
    request = raw.connect()
    clients = [RawClient.open(keepers.address, 15) for _ in range(3)]
    clients[1].send_bytes(request[:20])
    ends = [0.0] * 3

    def watch(number: int) -> None:
        assert ended(clients[number])
        ends[number] = time.perf_counter() - started

    threads = [threading.Thread(target=watch, args=(number,), daemon=True) for number in range(3)]
    for thread in threads:
        thread.start()
    for byte in request[:8]:
        clients[2].send_bytes(bytes((byte,)))
        bystander.minds()
        time.sleep(1)
    for thread in threads:
        thread.join(15)
    assert all(9.5 < end < 14 for end in ends), ends
    assert counter(keepers, "zk_sessionless_connections_expired") == before + 3
    for client in clients:
        client.close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("reads", [True, False])
def test_a_flood_of_requests(bystander: Bystander, keepers: Keepers, reads: bool) -> None:
    """Clients that pipeline whatever fits: others are served beside them, and those who read get every answer."""
    amount, clients = 20_000, 3
    with RawClient.connected(keepers.address) as client:
        assert client.call(raw.CREATE, raw.create("/flood")).err == 0
    answered = [0] * clients
    before = memory(keepers)
    floods = [RawClient.connected(keepers.address, 20_000) for _ in range(clients)]
    stop = threading.Event()

    def send(flood: RawClient) -> None:
        chunk = b"".join(
            raw.request(1, raw.SET_DATA, raw.set_data("/flood", b"x" * 100))
            + raw.request(2, raw.GET_DATA, raw.path_watch("/flood"))
            for _ in range(500)
        )
        with contextlib.suppress(OSError):
            for _ in range(amount // 1000):
                if not stop.is_set():
                    flood.socket.sendall(chunk)

    def receive(number: int) -> None:
        for expected in (1, 2) * (amount // 2):
            answer = floods[number].receive()
            assert (answer.xid, answer.err) == (expected, 0)
            answered[number] += 1

    threads = [threading.Thread(target=send, args=(flood,), daemon=True) for flood in floods]
    if reads:
        threads += [
            threading.Thread(target=receive, args=(number,), daemon=True) for number in range(clients)
        ]
    for thread in threads:
        thread.start()
    for _ in range(10):
        bystander.minds()
        assert memory(keepers) < before + (100 << 20)
        time.sleep(0.05)
    if reads:
        for thread in threads:
            thread.join(60)
        assert answered == [amount] * clients
    stop.set()
    for flood in floods:
        flood.socket.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(10)
    for flood in floods:
        flood.close()
    assert bystander.client.call(raw.DELETE, raw.path_version("/flood")).err == 0


# --- too many --------------------------------------------------------------------------------------------------


def many(keepers: Keepers, amount: int) -> tuple[list[RawClient], int]:
    """Connect so many; those that were let in, and how many were not."""
    let_in: list[RawClient] = []
    refused = 0
    for _ in range(amount):
        client = RawClient.open(keepers.address)
        try:
            client.connect()
        except Closed:
            refused += 1
            client.close()
        else:
            let_in.append(client)
    return let_in, refused


def wrapped(keepers: Keepers, wrap: Callable[[list[str]], list[str]]) -> None:
    """Start a keeper anew under another command."""
    member = keepers.members[0]
    keepers.stop()
    member.command = wrap(list(member.command))
    keepers.start()


def test_more_connections_than_descriptors() -> None:
    """Refused before those are used up that the store needs: counted, logged once, and others notice nothing."""
    with Keepers("sqlite") as keepers:
        wrapped(keepers, lambda command: ["sh", "-c", 'ulimit -n 120; exec "$@"', "sh", *command])
        bystander = Bystander(keepers)
        let_in, refused = many(keepers, 120)
        assert 20 < len(let_in) < 60
        bystander.minds()
        four_letter_word(keepers.address, "ruok")  # nobody more, not even for a word
        log = keepers.members[0].tail(limit=1 << 20)
        assert re.search(
            r"closed a connection from 127\.0\.0\.1: there are \d+ connections, no more fit", log
        )
        assert log.count("no more fit") <= 2
        for client in let_in:
            client.close()
        wait_for(lambda: four_letter_word(keepers.address, "ruok") == "imok", "there is room again")
        assert counter(keepers, "zk_connection_rejected") >= refused
        bystander.minds()
        bystander.close()


def test_no_descriptor_left_to_accept_with() -> None:
    """Accepting waits until there is one; who is connected is served meanwhile."""
    with Keepers("sqlite") as keepers:
        pid = keepers.members[0].pid
        bystander = Bystander(keepers)
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (5, before[1]))
        waiting = RawClient.open(keepers.address, 20)
        waiting.send_bytes(raw.connect())
        wait_for(
            lambda: "cannot accept clients just now" in keepers.members[0].tail(limit=1 << 20), "it says so"
        )
        bystander.minds()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        assert waiting.receive_frame()
        waiting.close()
        bystander.close()


def test_more_connections_of_one_address_than_allowed() -> None:
    """`--max-connections-per-address`: one too many is closed at once, and has room when another left."""
    with Keepers(flags=["--max-connections-per-address", "5"]) as keepers:
        bystander = Bystander(keepers)
        let_in, refused = many(keepers, 10)
        assert (len(let_in), refused) == (3, 7)
        assert "its address has 5 connections, the limit" in keepers.members[0].tail(limit=1 << 20)
        let_in.pop().close()
        wait_for(lambda: four_letter_word(keepers.address, "ruok") == "imok", "there is room again")
        assert counter(keepers, "zk_connection_rejected") >= 7
        bystander.minds()
        for client in let_in:
            client.close()
        bystander.close()
