"""setWatches: a client that comes back registers what it watched, and hears at once what it missed.

The replica's zxids say exactly whether something happened to a path since the last one the client saw. What is
told now is not registered. Nothing here is filtered by ACL, and events carry zxid -1. Source: DataTree.setWatches.
"""

from __future__ import annotations

from parkeeper.tree.paths import ROOT
from parkeeper.tree.replica import Replica
from parkeeper.tree.watches import PERSISTENT, RECURSIVE, Watcher, WatchTable
from parkeeper.wire.events import CATCH_UP_ZXID, EventType, event
from parkeeper.wire.requests import SetWatches


def set_watches(replica: Replica, watches: WatchTable, watcher: Watcher, request: SetWatches) -> None:
    """Register the watches of a request, or notify in place of those that fired meanwhile.

    Args:
        request: setWatches or setWatches2; `relative_zxid` is the last one the client saw. Missed events of the
            persistent lists are lost: there is no telling how many.
    """

    def tell(type: EventType, path: str) -> None:
        watcher.notify(event(CATCH_UP_ZXID, type, path))

    seen = request.relative_zxid
    for path in request.data:
        node = replica.nodes.get(path or ROOT)
        if node is None:
            tell(EventType.DELETED, path)
        elif node.mzxid > seen:
            tell(EventType.DATA_CHANGED, path)
        else:
            watches.watch_data(path, watcher)
    for path in request.exist:
        if (path or ROOT) in replica.nodes:
            tell(EventType.CREATED, path)
        else:
            watches.watch_data(path, watcher)
    for path in request.child:
        node = replica.nodes.get(path or ROOT)
        if node is None:
            tell(EventType.DELETED, path)
            continue
        kids = replica.kids.get(path or ROOT)
        if (node.czxid if kids is None else kids.pzxid) > seen:
            tell(EventType.CHILDREN_CHANGED, path)
        else:
            watches.watch_child(path, watcher)
    for path in request.persistent:
        watches.watch(path, watcher, PERSISTENT)
    for path in request.recursive:
        watches.watch(path, watcher, RECURSIVE)
