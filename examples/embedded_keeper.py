"""A keeper inside a Trio program: no process, no port of a fixed number, nothing on disk.

    python examples/embedded_keeper.py [127.0.0.1:0]

The argument says where to listen; port 0 is one that is free. Two keepers over one memory store are an ensemble: what
is written through one is read, and watched, through the other.
"""

from __future__ import annotations

import sys
import threading

import trio
from kazoo.client import KazooClient

from parkeeper.options import Options
from parkeeper.server.keeper import Keeper
from parkeeper.store.memory import MemoryServer, MemoryStore


def use(first: str, second: str) -> None:
    """What any ZooKeeper program does; kazoo blocks, so it runs in a thread."""
    writer, reader = KazooClient(hosts=first), KazooClient(hosts=second)
    writer.start()
    reader.start()
    told = threading.Event()
    writer.create("/greeting", b"hello")
    reader.sync("/")
    print(f"the other keeper says {reader.get('/greeting', watch=lambda _: told.set())[0].decode()!r}")
    writer.set("/greeting", b"goodbye")
    print(f"and tells its watchers: {told.wait(10)}")
    for client in (writer, reader):
        client.stop()
        client.close()


async def main(address: str) -> None:
    host, _, port = address.rpartition(":")
    server = MemoryServer()  # what both stores share
    keepers = [Keeper(MemoryStore(server), Options(tick_time=500)) for _ in range(2)]
    async with trio.open_nursery() as nursery:
        where: list[str] = []
        for number, keeper in enumerate(keepers):
            # Returns when the keeper serves, with the addresses it listens on.
            [bound] = await nursery.start(keeper.run, [(host, int(port) + number if int(port) else 0)])
            where.append(f"{bound[0]}:{bound[1]}")
        print(f"{len(where)} keepers serve")
        await trio.to_thread.run_sync(use, *where)
        for keeper in keepers:
            keeper.stop()  # finishes what is in flight; `run` then returns
    print("stopped")


if __name__ == "__main__":
    trio.run(main, sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:0")
