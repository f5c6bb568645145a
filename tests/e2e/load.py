"""Clients that write by hand over sockets and keep what was acknowledged, whatever happens to servers meanwhile."""

from __future__ import annotations

import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import BinaryIO

from kazoo.client import KazooClient

from tests.raw import encode as raw
from tests.raw.decode import Cursor

Address = tuple[str, int]


def frame(stream: BinaryIO) -> Cursor:
    """The next packet; EOFError when there is none."""
    head = stream.read(4)
    payload = stream.read(int.from_bytes(head, "big"))
    if len(head) < 4 or len(payload) < int.from_bytes(head, "big"):
        raise EOFError
    return Cursor(payload)


@dataclass
class Writer:
    """Creates sequential znodes under /q with a token each, pairs under /m, and an ephemeral per connection."""

    number: int
    addresses: Sequence[Address]
    acknowledged: list[tuple[str, str]] = field(default_factory=list)
    pairs: list[str] = field(default_factory=list)
    sent: int = 0
    longest: float = 0.0

    def run(self, stop: threading.Event) -> None:
        choose = random.Random(self.number)
        while not stop.is_set():
            with suppress(OSError, EOFError):
                self._life(stop, choose.choice(self.addresses))
            stop.wait(0.05)

    def _life(self, stop: threading.Event, address: Address) -> None:
        with socket.create_connection(address, timeout=15) as peer, peer.makefile("rb") as stream:
            peer.sendall(raw.connect(timeout=5_000))
            frame(stream)
            peer.sendall(raw.request(1, 1, raw.create(f"/e/w{self.number}-", b"", flags=3)))
            frame(stream)
            while not stop.is_set():
                self.sent += 1
                token = f"w{self.number}-{self.sent}"
                pair = raw.multi([(1, raw.create(f"/m/{token}-a")), (1, raw.create(f"/m/{token}-b"))])
                peer.sendall(
                    raw.request(2, 1, raw.create("/q/n-", token.encode(), flags=2)) + raw.request(3, 14, pair)
                )
                for xid in (2, 3):
                    cursor = frame(stream)
                    assert (cursor.i32(), cursor.i64() > 0, cursor.i32()) == (xid, True, 0)
                    if xid == 2:
                        self.acknowledged.append((cursor.string() or "", token))
                    else:
                        self.pairs.append(token)


@dataclass
class Load:
    """All writers of a test."""

    writers: list[Writer]

    @property
    def acknowledged(self) -> int:
        return sum(len(writer.acknowledged) for writer in self.writers)


@contextmanager
def load(addresses: Sequence[Address], writers: int = 3) -> Iterator[Load]:
    """Writers on threads of their own while the block runs."""
    stop = threading.Event()
    made = Load([Writer(number, addresses) for number in range(writers)])
    threads = [threading.Thread(target=writer.run, args=(stop,), daemon=True) for writer in made.writers]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)


def prepare(client: KazooClient) -> None:
    """The parents that writers write under."""
    for path in ("/q", "/m", "/e"):
        client.ensure_path(path)


def check(client: KazooClient, made: Load) -> None:
    """Every acknowledged write is there exactly once, nothing else twice, sequences are dense, pairs are pairs."""
    client.sync("/")
    names = sorted(client.get_children("/q"))
    assert names == [f"n-{number:010d}" for number in range(len(names))]
    asked = [client.get_async(f"/q/{name}") for name in names]
    tokens = {f"/q/{name}": each.get(30)[0].decode() for name, each in zip(names, asked, strict=True)}
    twice = [token for token, amount in Counter(tokens.values()).items() if amount > 1]
    assert not twice
    pairs = set(client.get_children("/m"))
    assert {each[:-2] for each in pairs if each.endswith("a")} == {
        each[:-2] for each in pairs if each.endswith("b")
    }
    for writer in made.writers:
        for path, token in writer.acknowledged:
            assert tokens.get(path) == token
        assert {f"{token}-a" for token in writer.pairs} <= pairs


def ephemerals_go(client: KazooClient, within: float) -> None:
    """The ephemerals of sessions that nobody holds any more go."""
    deadline = threading.Event()
    for _ in range(int(within * 10)):
        client.sync("/e")
        if not client.get_children("/e"):
            return
        deadline.wait(0.1)
    raise AssertionError(f"still there: {client.get_children('/e')}")
