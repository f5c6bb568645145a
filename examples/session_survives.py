"""A session outlives its connection: ephemerals, watches and locks are kept while the client is away.

    python examples/session_survives.py 127.0.0.1:2181

A client creates, watches and locks; then its connection breaks, as networks do. While it is away somebody else
changes what it watches and asks for its lock. It comes back with the session it had, hears of the change, and still
holds the lock. At the end it stops, and what was its own is gone.
"""

from __future__ import annotations

import logging
import queue
import socket
import sys

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import LockTimeout
from kazoo.handlers.threading import SequentialThreadingHandler


class Network(SequentialThreadingHandler):
    """kazoo's usual handler, on a network that can be cut."""

    connection: socket.socket

    def create_connection(self, *args: object, **kwargs: object) -> socket.socket:
        self.connection = super().create_connection(*args, **kwargs)
        return self.connection

    def cut(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)


def main(address: str) -> None:
    logging.getLogger("kazoo").setLevel(logging.ERROR)  # or it reports the lost connection on its own
    network = Network()
    zk = KazooClient(hosts=address, handler=network, timeout=10)
    states: queue.Queue[str] = queue.Queue()
    zk.add_listener(states.put)
    zk.start()
    assert states.get(timeout=10) == KazooState.CONNECTED
    session = zk.client_id[0]
    print("connected, with a new session")

    zk.ensure_path("/demo")
    zk.create("/demo/config", b"blue")
    zk.create("/demo/mine", b"", ephemeral=True)
    told: queue.Queue[bytes] = queue.Queue()

    @zk.DataWatch("/demo/config")
    def changed(data: bytes | None, stat: object) -> None:  # noqa: ARG001, kazoo counts the arguments
        if data is not None:
            told.put(data)

    print(f"watches /demo/config: {told.get(timeout=10).decode()}")
    lock = zk.Lock("/demo/lock", "the first")
    lock.acquire()
    print("holds the lock")

    network.cut()
    print(f"the connection breaks: {states.get(timeout=10)}")
    other = KazooClient(hosts=address)
    other.start()
    other.set("/demo/config", b"green")
    print(
        f"meanwhile another client sets /demo/config, and asks for the lock of {other.Lock('/demo/lock').contenders()}"
    )

    print(f"back again: {states.get(timeout=30)}, the same session: {zk.client_id[0] == session}")
    while (data := told.get(timeout=10)) != b"green":  # it may have been back before the other client came
        pass
    print(f"is told of /demo/config: {data.decode()}")
    print(f"its ephemeral is its own: {zk.get('/demo/mine')[1].ephemeralOwner == session}")
    try:
        other.Lock("/demo/lock", "the second").acquire(timeout=0.5)
    except LockTimeout:
        print("the other client does not get the lock")

    lock.release()
    with other.Lock("/demo/lock", "the second"):
        print("... until it is released")
    zk.stop()
    zk.close()
    print(f"stopped, and its ephemeral is gone: {other.exists('/demo/mine') is None}")
    other.delete("/demo", recursive=True)
    other.stop()
    other.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:2181")
