"""Services that say where they are, and a client that always knows which of them live.

    python examples/service_registration.py 127.0.0.1:2181

A service registers with an ephemeral znode: it is there as long as the service's session. The client watches the
directory, and hears of whoever comes, stops, or dies.
"""

from __future__ import annotations

import queue
import sys

from kazoo.client import KazooClient

DIRECTORY = "/services/search"


class Service:
    """One instance of a service, registered until it stops."""

    def __init__(self, hosts: str, where: str) -> None:
        self._zk = KazooClient(hosts=hosts)
        self._zk.start()
        self._zk.ensure_path(DIRECTORY)
        self._zk.create(f"{DIRECTORY}/instance-", where.encode(), ephemeral=True, sequence=True)

    def stop(self) -> None:
        self._zk.stop()  # ends the session, and so the registration
        self._zk.close()


class Directory:
    """Where the instances are, kept up to date by a watch; what changed can be waited for."""

    def __init__(self, hosts: str) -> None:
        self.changes: queue.Queue[list[str]] = queue.Queue()
        self._zk = KazooClient(hosts=hosts)
        self._zk.start()
        self._zk.ensure_path(DIRECTORY)
        self._zk.ChildrenWatch(DIRECTORY, self._changed)

    def _changed(self, names: list[str]) -> None:
        found: list[str] = []
        for name in sorted(names):
            stat = self._zk.exists(f"{DIRECTORY}/{name}")
            if stat is not None:  # it may be gone already: then we are about to hear of that as well
                found.append(self._zk.get(f"{DIRECTORY}/{name}")[0].decode())
        self.changes.put(found)

    def stop(self) -> None:
        self._zk.stop()
        self._zk.close()


def main(address: str) -> None:
    directory = Directory(address)
    print(f"at first: {directory.changes.get(timeout=10)}")
    one = Service(address, "10.0.0.1:9000")
    print(f"one came: {directory.changes.get(timeout=10)}")
    two = Service(address, "10.0.0.2:9000")
    print(f"another came: {directory.changes.get(timeout=10)}")
    one.stop()
    print(f"the first left: {directory.changes.get(timeout=10)}")
    two.stop()
    print(f"all left: {directory.changes.get(timeout=10)}")
    directory.stop()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:2181")
