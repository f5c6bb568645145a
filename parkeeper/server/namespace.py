"""Making, checking and loading a namespace."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping

import trio

from parkeeper.errors import GuardFailed, Incompatible, InDoubt
from parkeeper.store.facade import Commit, Head, Store
from parkeeper.tree import genesis
from parkeeper.tree.encoding import Meta, decode_meta
from parkeeper.tree.replica import Replica

log = logging.getLogger("parkeeper.keeper")


async def open_namespace(
    store: Store, data_prefix: str
) -> tuple[Replica, Meta, int, Mapping[int, tuple[Head, int]]]:
    """Load the namespace into a fresh replica; make it first if there is none.

    Args:
        store: opened.
        data_prefix: as configured, "" for the namespace's own.

    Returns: the replica, the namespace's `meta`, the position from which to follow, and the heads by keeper.

    Raises:
        Incompatible: an unknown format, or another data prefix than configured.
    """
    while True:
        snapshot = await store.load()
        value = next((item.value for item in snapshot.items if item.name == "meta"), None)
        if value is not None:
            break
        await _make(store, data_prefix)
    meta = decode_meta(value)
    if meta.data_prefix != data_prefix:
        raise Incompatible(
            f"this namespace keeps its data under {meta.data_prefix or 'its own prefix'!r}, "
            f"not under {data_prefix or 'its own prefix'!r}: start with --data-prefix {meta.data_prefix!r}"
        )
    replica = Replica(meta.base)
    for _ in replica.load(snapshot.items, snapshot.revision):
        await trio.lowlevel.checkpoint()
    return replica, meta, snapshot.position, snapshot.heads


async def _make(store: Store, data_prefix: str) -> None:
    """One commit, guarded by the absence of `meta`; losing the race, or a doubt, is settled by loading again."""
    meta = Meta(secrets.token_bytes(16), secrets.token_bytes(32), 0, data_prefix)
    try:
        await store.commit(Commit(0, None, {"meta": 0}, genesis.items(meta)))
    except GuardFailed:
        log.info("another keeper made the namespace")
    except InDoubt as error:
        log.warning("making the namespace is in doubt; looking again", extra={"reason": str(error)})
    else:
        log.info("made a new namespace", extra={"cluster": meta.cluster.hex()})
