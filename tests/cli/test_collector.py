"""What the garbage collector of a serving process looks at."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from parkeeper.cli import collector
from tests.cli.process import KeeperProcess
from tests.raw import encode
from tests.raw.client import RawClient


@pytest.fixture
def host() -> Iterator[None]:
    """The collector of this process, as it was, afterwards."""
    thresholds = gc.get_threshold()
    yield
    gc.callbacks.clear()
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    gc.enable()


class Circle:
    """Refers to itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.mark.usefixtures("host")
def test_what_was_loaded_is_not_looked_at_when_clients_are_served() -> None:
    """A hundred thousand objects that are there at the load are in no generation afterwards."""
    collector.wait()
    assert not gc.isenabled()
    tree = [[number] for number in range(100_000)]
    collector.loaded()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 100_000
    assert len(gc.get_objects()) < 1_000
    assert len(tree) == 100_000


@pytest.mark.usefixtures("host")
def test_an_earlier_tree_is_freed_when_the_next_one_was_loaded() -> None:
    """What was frozen and has become garbage goes when a keeper loads anew."""
    circle = Circle()
    collector.loaded()
    del circle
    collector.loaded()
    assert not any(isinstance(each, Circle) for each in gc.get_objects(0))
    gc.unfreeze()
    assert not any(isinstance(each, Circle) for each in gc.get_objects())


@pytest.mark.usefixtures("host")
def test_no_collection_sees_a_tree_that_has_grown_since() -> None:
    """A hundred thousand objects made while clients are served: no single look is at more than a part of them."""
    collector.loaded()
    seen: list[int] = []

    def look(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            seen.append(sum(len(gc.get_objects(each)) for each in range(info["generation"] + 1)))

    gc.callbacks.append(look)
    tree = [[number] for number in range(100_000)]
    assert len(tree) == 100_000
    assert len(seen) >= 100_000 // collector.YOUNG - 1
    assert max(seen) <= (collector.OLDER + 2) * (collector.YOUNG + 1_000)


def test_connections_leave_nothing_behind_when_they_outlived_the_collector() -> None:
    """Hundreds that live through thousands of writes, again and again, take no more memory than the first did."""
    with KeeperProcess("memory://", "--log-level", "warning") as keeper:
        with RawClient.connected(keeper.address) as client:
            client.call(encode.CREATE, encode.create("/a"))

        def come_and_go(connections: int) -> int:
            clients = [RawClient.connected(keeper.address) for _ in range(connections)]
            for client in clients:
                for _ in range(40):
                    client.send(encode.SET_DATA, encode.set_data("/a", b"x"))
            for client in clients:
                assert all(client.receive_reply().err == 0 for _ in range(40))
                client.close_session()
            with open(f"/proc/{keeper.pid}/statm") as file:
                return int(file.read().split()[1]) * 4096

        for _ in range(2):  # the store's history fills: 10,000 revisions
            come_and_go(150)
        before = come_and_go(150)
        for _ in range(4):
            after = come_and_go(150)
        assert after - before < 4 << 20
