"""A light client beside heavy ones, and one write that 10,000 connections watch."""

from __future__ import annotations

import contextlib
import resource
import select
import socket
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.bench import contestants
from tests.bench.asking import Cell, ask
from tests.bench.contestants import Server
from tests.bench.size import busy
from tests.raw import encode
from tests.raw.client import RawClient

LIGHT = Cell("get", 1)
HEAVY = {Cell("get", 8, 1000): 64, Cell("set", 8, 1000): 64, Cell("children", 8): 50_000}
SECONDS = 3.0
WATCHERS = 10_000
IDLE = 5_000
AT_ONCE = 40
"""Connections opened before the next are: ZooKeeper's socket takes 50 at a time, the others wait a second each."""
EVENT = 4 + 16 + 4 + 4 + 4 + len("/fan")
PERSISTENT = 0


def run() -> None:
    """p99 of one connection at depth 1, alone and beside eight heavy ones."""
    for name, start in (("memory", contestants.memory), ("zookeeper", contestants.zookeeper)):
        with contextlib.suppress(pytest.skip.Exception), start() as server, ThreadPoolExecutor() as threads:
            ask(server.address, LIGHT, SECONDS)
            print(f"{name}: alone p99 {ask(server.address, LIGHT, SECONDS, nodes=1).p99:.2f} ms")
            for cell, nodes in HEAVY.items():
                heavy = threads.submit(ask, server.address, cell, SECONDS * 4, nodes)
                time.sleep(SECONDS if nodes < 1000 else SECONDS + 5)
                # One znode: what the light one makes before it is measured waits behind all that the heavy ones asked.
                light = ask(server.address, LIGHT, SECONDS, nodes=1)
                assert not heavy.done(), "the light one was not beside the heavy ones"
                print(
                    f"{name}: beside {cell!s} of {nodes} znodes: p99 {light.p99:.2f} ms, {light.rate:.0f}/s; the heavy"
                    f" {heavy.result().rate:.0f}/s",
                    flush=True,
                )


def fan_out() -> None:
    """One write that fires watches of 10,000 connections; 5,000 idle sessions that ping."""
    with wider():
        for name, start in (("memory", contestants.memory), ("zookeeper", contestants.zookeeper)):
            with contextlib.suppress(pytest.skip.Exception), start() as server:
                fan(name, server)
            with contextlib.suppress(pytest.skip.Exception), start() as server:
                idle(name, server)


def fan(name: str, server: Server) -> None:
    """Writes, one after the other, each watched by all; with a light client beside them."""
    with many(server, WATCHERS) as peers, RawClient.connected(_address(server), timeout=40_000) as writer:
        writer.call(encode.CREATE, encode.create("/fan"))
        watch = encode.request(1, encode.ADD_WATCH, encode.string("/fan") + encode.i32(PERSISTENT))
        for peer in peers:
            peer.sendall(watch)
        collect(peers, 20)
        took = [fire(writer, peers) for _ in range(3)]
        with ThreadPoolExecutor() as threads:
            light = threads.submit(ask, server.address, LIGHT, 6.0)
            time.sleep(1)
            for _ in range(4):
                took.append(fire(writer, peers))
                time.sleep(0.5)
            print(
                f"{name}: all of {WATCHERS} events within {statistics.median(took):.2f} s"
                f" [{min(took):.2f}..{max(took):.2f}]; a light client beside it: p99 {light.result().p99:.2f} ms",
                flush=True,
            )


def fire(writer: RawClient, peers: list[socket.socket]) -> float:
    """Write once; seconds until every watcher has its event."""
    began = time.perf_counter()
    writer.send(encode.SET_DATA, encode.set_data("/fan", b"x"))
    collect(peers, EVENT)
    took = time.perf_counter() - began
    writer.receive_reply()
    return took


def idle(name: str, server: Server, seconds: float = 10.0) -> None:
    """CPU for sessions of 30 s that ping every 10 s, as clients do."""
    ping = encode.request(encode.PING_XID, encode.PING)
    with many(server, IDLE) as peers:
        time.sleep(1)
        before, began = busy(server.pids[0]), time.perf_counter()
        for place, peer in enumerate(peers):
            peer.sendall(ping)
            if (ahead := began + place * seconds / IDLE - time.perf_counter()) > 0.002:
                time.sleep(ahead)
        share = (busy(server.pids[0]) - before) / (time.perf_counter() - began)
        print(f"{name}: {IDLE} idle sessions, a ping every 10 s: {share:.1%} of a processor", flush=True)


@contextmanager
def many(server: Server, count: int) -> Iterator[list[socket.socket]]:
    """So many sessions."""
    hello = encode.connect(40_000, 0, bytes(16), 0, False)
    with contextlib.ExitStack() as stack:
        peers: list[socket.socket] = []
        for start in range(0, count, AT_ONCE):
            fresh = [
                socket.create_connection(_address(server), timeout=20)
                for _ in range(min(AT_ONCE, count - start))
            ]
            for peer in fresh:
                stack.enter_context(peer)
                peer.sendall(hello)
            collect(fresh, 41)
            peers += fresh
        yield peers


def collect(peers: list[socket.socket], size: int, patience: float = 60.0) -> None:
    """Receive so many bytes from each.

    Raises: `TimeoutError`.
    """
    missing = {peer.fileno(): size for peer in peers}
    sockets = {peer.fileno(): peer for peer in peers}
    until = time.perf_counter() + patience
    with select.epoll() as poll:
        for number in missing:
            poll.register(number, select.EPOLLIN)
        while missing:
            if time.perf_counter() > until:
                raise TimeoutError(f"{len(missing)} connections did not get their {size} bytes")
            for number, _ in poll.poll(1.0, 1000):
                chunk = sockets[number].recv(missing[number])
                if not chunk:
                    raise ConnectionError("the server hung up")
                missing[number] -= len(chunk)
                if not missing[number]:
                    del missing[number]
                    poll.unregister(number)


@contextmanager
def wider() -> Iterator[None]:
    """As many descriptors as we may have, for us and the servers we start."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _address(server: Server) -> tuple[str, int]:
    host, _, port = server.address.rpartition(":")
    return host, int(port)
