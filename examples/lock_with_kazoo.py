"""A lock that only one of several programs can hold, with kazoo and nothing of parkeeper's.

    python examples/lock_with_kazoo.py 127.0.0.1:2181

Three workers, each with a connection and a session of its own as if they were three programs, add to a balance that
lies in a znode: read it, think, write it. Without the lock additions would get lost.
"""

from __future__ import annotations

import sys
import threading

from kazoo.client import KazooClient

WORKERS = ("ada", "grace", "barbara")
ROUNDS = 5


def work(address: str, name: str) -> None:
    """Add 1 to the balance a few times, under the lock."""
    zk = KazooClient(hosts=address)
    zk.start()
    lock = zk.Lock("/bank/lock", name)
    for _ in range(ROUNDS):
        with lock:  # an ephemeral sequential znode: if this program dies, the next one gets its turn
            data, stat = zk.get("/bank/balance")
            zk.set("/bank/balance", b"%d" % (int(data) + 1), version=stat.version)
    zk.stop()
    zk.close()


def main(address: str) -> None:
    zk = KazooClient(hosts=address)
    zk.start()
    zk.ensure_path("/bank")
    zk.create("/bank/balance", b"0")
    workers = [threading.Thread(target=work, args=(address, name)) for name in WORKERS]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    data, stat = zk.get("/bank/balance")
    print(f"{len(WORKERS)} workers added 1, {ROUNDS} times each: {int(data)}, written {stat.version} times")
    print(f"waiting for the lock: {zk.Lock('/bank/lock').contenders()}")
    zk.delete("/bank", recursive=True)
    zk.stop()
    zk.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:2181")
