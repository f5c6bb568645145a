"""Time and memory against the number of znodes, watches, sessions and keepers."""

from __future__ import annotations

import time

from tests.bench import contestants
from tests.bench.asking import Cell, ask
from tests.bench.light import many, wider
from tests.bench.size import fill, first_answer, resident
from tests.keepers import Keepers
from tests.raw import encode
from tests.raw.client import RawClient

EACH = 1.5  # seconds of asking


def run() -> None:
    """Rates and memory while one number grows; at most linear, and a request costs the same."""
    znodes()
    watches()
    sessions()
    keepers()


def znodes() -> None:
    """Of a keeper on sqlite."""
    print("znodes     get 8 x 32    set 8 x 32    bytes a znode   start")
    for count in (1_000, 10_000, 100_000):
        with Keepers(url="sqlite", flags=contestants.QUIET) as server:
            member, address = server.members[0], server.addresses[0]
            empty = resident(member.pid)
            fill(address, count)
            weight = (resident(member.pid) - empty) / count
            rates = [ask(_text(address), Cell(work, 8, 32), EACH).rate for work in ("get", "set")]
            member.stop()
            member.launch()
            again = first_answer(address)
        print(f"{count:7d} {rates[0]:12.0f}/s {rates[1]:11.0f}/s {weight:12.0f} {again:10.2f} s", flush=True)


def watches() -> None:
    """Of one connection, each on a znode of its own."""
    print("watches    get 8 x 32    set 8 x 32    bytes a watch")
    with Keepers(flags=contestants.QUIET) as server:
        address, pid = server.addresses[0], server.members[0].pid
        with RawClient.connected(address, timeout=40_000) as client:
            empty, have = resident(pid), 0
            for count in (1_000, 10_000, 100_000):
                for start in range(have, count, 500):
                    for number in range(start, start + 500):
                        client.send(encode.EXISTS, encode.string(f"/watched/{number}") + b"\x01")
                    for _ in range(500):
                        client.receive_reply()
                have = count
                weight = (resident(pid) - empty) / count
                rates = [ask(_text(address), Cell(work, 8, 32), EACH).rate for work in ("get", "set")]
                print(f"{count:7d} {rates[0]:12.0f}/s {rates[1]:11.0f}/s {weight:12.0f}", flush=True)


def sessions() -> None:
    """Idle ones, while others ask."""
    print("sessions   get 8 x 32    set 8 x 32    bytes a session   opened in")
    with wider():
        for count in (100, 1_000, 10_000):
            with Keepers(flags=contestants.QUIET) as server:
                address, pid = server.addresses[0], server.members[0].pid
                empty, began = resident(pid), time.perf_counter()
                with many(contestants.Server(_text(address), [pid]), count):
                    took = time.perf_counter() - began
                    weight = (resident(pid) - empty) / count
                    rates = [ask(_text(address), Cell(work, 8, 32), EACH).rate for work in ("get", "set")]
            print(
                f"{count:8d} {rates[0]:11.0f}/s {rates[1]:11.0f}/s {weight:12.0f} {took:12.1f} s", flush=True
            )


def keepers() -> None:
    """Over one etcd; all the load goes to the first, the others follow."""
    print("keepers    get 8 x 32    set 8 x 32")
    for count in (1, 2, 4):
        with (
            contestants.etcd() as etcd,
            Keepers(url=etcd.url, members=count, flags=contestants.QUIET) as server,
        ):
            address = _text(server.addresses[0])
            rates = [ask(address, Cell(work, 8, 32), EACH).rate for work in ("get", "set")]
        print(f"{count:7d} {rates[0]:12.0f}/s {rates[1]:11.0f}/s", flush=True)


def _text(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"
