"""Where the watches of etcd go on when they were cut at different places (PROTOCOL section 8)."""

from __future__ import annotations

import pytest
import trio

from parkeeper.errors import Compacted
from parkeeper.store.urls import StoreOptions
from tests.servers import Etcd
from tests.store.etcd.clusters import opened
from tests.store.etcd.test_watch import Resuming, resuming, stranger
from tests.store.writers import writers


@pytest.mark.parametrize("quiet", [True, False])
async def test_follow_when_the_quiet_datas_history_is_compacted(any_etcd: Etcd, quiet: bool) -> None:
    """Nothing happened under the data prefix in the gap: go on. Something did: load anew."""
    any_etcd.wipe()
    async with opened(any_etcd, StoreOptions(data_prefix="/services/", compact=True)) as store:
        one, _ = await writers(store)
        position = (await store.load()).position
        follower = Resuming(store, position)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follower.run)
            for number in range(10):
                await one.commit({"node/a": b"%d" % number})
            await follower.listener.reaches(one.revision)
            nursery.cancel_scope.cancel("a pause")
        assert store._position is not None
        assert store._position.data == position < store._position.namespace
        if not quiet:
            # The namespace's watch has told of all up to here, the data's has not brought this yet.
            store._position = store._position._replace(data=position)
            await stranger(any_etcd, "/services/a", b"strange")
            follower.last = (await one.commit({"node/a": b"x"})).revision
            store._position = store._position._replace(namespace=follower.last, told=follower.last)
        await store.compact(follower.last)
        if quiet:
            async with resuming(store, follower.last) as second:
                after = await one.commit({"node/a": b"A", "data/a": b"1"})
                await second.listener.reaches(after.revision)
                assert [event.revision for event in second.listener.commits] == [after.revision]
        else:
            with trio.fail_after(10), pytest.raises(Compacted, match="'/services/' after revision"):
                await store.follow(follower.last, print)


async def test_follow_after_a_stranger_was_told_ahead_of_a_beat(any_etcd: Etcd) -> None:
    """That no commit can come before it any more says nothing of beats, tickets and `meta`: they are still told.

    [going on after the stranger's event lost them; the end of `meta` for good]"""
    any_etcd.wipe()
    async with opened(any_etcd, StoreOptions(data_prefix="/services/")) as store:
        one, _ = await writers(store)
        told = (await store.load()).position
        beat = await one.send_beat(b"beat")
        await stranger(any_etcd, "/services/a", b"strange")
        after = await one.commit({"node/a": b"A"})
        # As if the namespace's watch had stood still, and much that was held back had been decided.
        strange = after.revision - 1
        assert store._position is not None
        store._position = store._position._replace(told=strange)
        async with resuming(store, strange) as second:
            await second.listener.until(lambda heard: bool(heard.commits))
        # (The stranger's may come again, and at any place.)
        heard = [event.revision for event in second.listener.events if event.revision > told]
        assert [each for each in heard if each != strange] == [beat, after.revision]
