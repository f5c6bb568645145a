"""For tests of programs that use ZooKeeper: the real protocol, in the test's own process, with faults on command.

    from parkeeper.testing import Ensemble

    with Ensemble(keepers=3) as zookeeper:              # any ZooKeeper client, any number of threads
        client = KazooClient(zookeeper.hosts)
        ...
        zookeeper.lose(op="create", path="/locks/*")    # the next create there happens, and its reply is lost
        zookeeper.expire(client)                        # its time is up, now
        zookeeper.advance(3600)                         # TTL nodes of an hour are gone
        assert zookeeper.tree() == {"/locks": b""}

`async with Ensemble(...)` is the same inside Trio, where a mock clock may drive it over memory streams. With pytest
the fixture `zookeeper` is a running one with an empty tree. Other languages: `parkeeper serve --control-addr`.

The parts of parkeeper's own tests are here too: a store that fails as told (`faulty`, `faults`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parkeeper.testing.embedded import AsyncEnsemble as AsyncEnsemble
    from parkeeper.testing.ensemble import Ensemble as Ensemble

__all__ = ["AsyncEnsemble", "Ensemble"]


def __getattr__(name: str) -> object:
    """Import it when it is asked for: pytest loads this package for everybody who has parkeeper installed."""
    if name == "Ensemble":
        from parkeeper.testing.ensemble import Ensemble

        return Ensemble
    if name == "AsyncEnsemble":
        from parkeeper.testing.embedded import AsyncEnsemble

        return AsyncEnsemble
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
