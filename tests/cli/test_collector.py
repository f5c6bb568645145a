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


def test_a_keeper_serves_with_the_collector_on() -> None:
    """Thousands of connections that come and go leave no more behind than a few do."""
    with KeeperProcess("memory://") as keeper:

        def come_and_go(times: int) -> int:
            for _ in range(times):
                with RawClient.connected(keeper.address) as client:
                    assert client.call(encode.EXISTS, encode.path_watch("/", True)).err == 0
                    client.close_session()
            with open(f"/proc/{keeper.pid}/statm") as file:
                return int(file.read().split()[1]) * 4096

        before = come_and_go(400)
        assert come_and_go(1200) - before < 12 << 20
