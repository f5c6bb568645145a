"""Everything under the prefixes at one revision, in pages."""

from __future__ import annotations

from collections.abc import Iterator

import trio

from parkeeper.store.etcd.calls import RANGE, Calls
from parkeeper.store.etcd.messages import RANGE_REPLY, KeyValue, Range, decoded, encode, end_of
from parkeeper.store.facade import Head, Item, Snapshot
from parkeeper.store.heads import unpack_head
from parkeeper.store.keys import Layout

PAGE = 4 << 20
"""Bytes of keys and values a page should have: large enough to cost few calls, small enough to hold up nobody."""

FIRST = 64
"""Keys on the first page of a range. etcd pages by number, so pages grow as their sizes become known."""

MOST = 20_000
WITHIN = 30.0


async def load(calls: Calls, layout: Layout) -> tuple[Snapshot, int]:
    """A snapshot, and the id of the cluster it is from.

    Raises:
        Compacted: its revision was compacted before the last page.
        Unavailable: no member answers.
    """
    items: list[Item] = []
    heads: dict[int, tuple[Head, int]] = {}
    revision = cluster = 0
    for start, end in _ranges(layout):
        limit = FIRST
        key = start
        while True:
            body = encode(Range(key, end, limit=limit, revision=revision))
            reply = decoded(RANGE_REPLY, await calls.read(RANGE, body, WITHIN))
            if not revision:
                revision, cluster = reply.header.revision, reply.header.cluster_id
            _sort(layout, reply.kvs, items, heads)
            if not reply.more:
                break
            key = reply.kvs[-1].key + b"\0"
            limit = _next_limit(reply.kvs)
            await trio.lowlevel.checkpoint()
    newest = max((head for _, head in heads.values()), default=0)
    return Snapshot(newest, revision, items, heads), cluster


def _ranges(layout: Layout) -> Iterator[tuple[bytes, bytes]]:
    """The data apart from the rest, wherever it is: a page's size is guessed from the one before."""
    namespace, data = layout.namespace.encode(), layout.data.encode()
    if layout.data_apart:
        yield namespace, end_of(namespace)
    else:
        yield namespace, data
        yield end_of(data), end_of(namespace)
    yield data, end_of(data)


def _next_limit(page: list[KeyValue]) -> int:
    size = sum(len(kv.key) + len(kv.value) for kv in page)
    return max(1, min(PAGE * len(page) // size, 4 * len(page), MOST))


def _sort(
    layout: Layout, page: list[KeyValue], items: list[Item], heads: dict[int, tuple[Head, int]]
) -> None:
    for kv in page:
        name = layout.decode(kv.key)
        if name is None:
            continue
        if name.startswith("head/"):
            if name[5:].isdigit():
                heads[int(name[5:])] = unpack_head(kv.value)[0], kv.mod_revision
        else:
            items.append(Item(name, kv.value, kv.mod_revision))
